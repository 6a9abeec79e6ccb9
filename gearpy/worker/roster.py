"""Which jobs a worker takes from its servers, and which of them it begins.  Does no I/O.

roster.join(core), leave(core)        a connection is there, or gone
roster.deal()                         asks for as many jobs as can be taken, server by server
roster.received(core, assignments)    jobs came
roster.next_work() -> Work            the next one to begin, as long as there is room
roster.finished(done)                 its function has returned
roster.idle                           whether no server has another job
roster.overran(work)                  its function takes longer than it may
roster.stop()                         no more jobs; ``stopped`` says when there is nothing left
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from gearpy.errors import RemoteProtocolError
from gearpy.protocol.codec import decoded
from gearpy.worker.core import Assignment, WorkerCore
from gearpy.worker.costs import Cost
from gearpy.worker.functions import Raised, Registration, Returned, overran

# Where jobs take less than this, next ones are fetched while one runs, as many as take no longer
# together: the way to the server and back would take as long.  Otherwise other workers are to have
# them.
_SHORT_S: Final = 0.002
_FORGETS: Final = 0.98  # how much of the slowest job is remembered after each next one

_AHEAD_MAX: Final = 8  # jobs that wait here
_QUESTIONS_MAX: Final = 8  # at a time, to one server


@dataclass(slots=True, eq=False)
class Work:
    """A job that this worker holds.  ``lost`` once its connection is gone: its server gives it to
    another worker, so nobody waits for what becomes of it here."""

    core: WorkerCore
    assignment: Assignment
    registration: Registration
    lost: bool = False

    @property
    def handle(self) -> str:
        """For people."""
        return decoded(self.assignment.handle)


@dataclass(frozen=True, slots=True)
class Done:
    """The function of a job has returned, or was stopped."""

    work: Work
    outcome: Returned | Raised
    cost: Cost


# For a log: how many; and a job's handle.
HANDED_BACK: Final = "stopped: jobs handed back, as their time to finish was up: %d"
TOO_LATE: Final = "job %s is done, but its server was gone meanwhile and gives it to another worker"


@final
class Roster:
    """The jobs of a worker, which can do these functions, ``slots`` of them at a time.

    A server is asked only when there is room for what it may give: so no job waits here while
    another worker could do it, but one where jobs are short.

    ``slots`` may change; what runs then goes on.

    In a ``burst`` every end of a job is a reason to ask again: it may have submitted others, and a
    server that says so is not always heard before that end.
    """

    def __init__(
        self, functions: Mapping[bytes, Registration], slots: int, *, burst: bool = False
    ) -> None:
        self.running: dict[Work, None] = {}
        self._functions = functions
        self.slots = slots
        self._burst = burst
        self._cores: deque[WorkerCore] = deque()
        self._waiting: deque[Work] = deque()
        self._held: Counter[bytes] = Counter()  # by function
        # A function with a limit of its own takes one question at a time: CANT_DO is to be in time.
        limited = any(each.concurrency is not None for each in functions.values())
        self._questions_max = 1 if limited else _QUESTIONS_MAX
        self._slowest_s = 1.0
        self._stopping = False

    # ---- connections

    def join(self, core: WorkerCore) -> None:
        """A connection is there: tells the server what this worker can do."""
        for registration in self._functions.values():
            if not self._is_full(registration):
                core.can_do(registration.name, registration.server_timeout_ms)
        if self._stopping:
            core.stop()
        core.questions_max = self._questions_max
        core.start()
        self._cores.append(core)

    def leave(self, core: WorkerCore) -> None:
        """A connection is gone, and with it its jobs."""
        if core not in self._cores:
            return
        self._cores.remove(core)
        for work in self.running:
            work.lost = work.lost or work.core is core
        for work in [work for work in self._waiting if work.core is core]:
            self._waiting.remove(work)
            self._let_go(work)

    # ---- jobs

    def deal(self) -> None:
        """Asks for as many jobs as can be taken, each time beginning with another server."""
        free = self.slots + self.ahead - len(self._waiting) - len(self.running)
        free -= sum(core.asking for core in self._cores)
        refused = 0
        while free > 0 and refused < len(self._cores):
            core = self._cores[0]
            self._cores.rotate(-1)
            if core.wants_job:
                core.grab()
                free -= 1
                refused = 0
            else:
                refused += 1

    @property
    def ahead(self) -> int:
        """How many jobs are taken while there is no room to begin them."""
        return min(int(_SHORT_S / self._slowest_s), _AHEAD_MAX)

    @property
    def hurries(self) -> bool:
        """Whether there is so much to begin, and so short, that neither saying what there is to say
        nor hearing of more is urgent."""
        return 2 * len(self._waiting) > self.ahead > 0

    def received(self, core: WorkerCore, assignments: Iterable[Assignment]) -> None:
        """Jobs came.  Raises RemoteProtocolError for one that this worker can't do."""
        for assignment in assignments:
            registration = self._functions.get(assignment.function)
            if registration is None:
                raise RemoteProtocolError(
                    f"it gave this worker a job of {assignment.function!r}, which it never said it"
                    " can do"
                )
            for work in self.running:
                # Its time was up for the server, which now has this same worker try again.
                work.lost = work.lost or (
                    work.core is core and work.assignment.handle == assignment.handle
                )
            self._waiting.append(Work(core, assignment, registration))
            self._held[registration.name] += 1
            if registration.concurrency == self._held[registration.name]:
                for each in self._cores:
                    each.cant_do(registration.name)

    def next_work(self) -> Work | None:
        """The next job to begin, which then counts as running; None if there is none, or no room
        for it."""
        if len(self.running) >= self.slots:
            return None
        for work in list(self._waiting):
            if work.core.is_cancelled(work.assignment.handle):
                self._waiting.remove(work)
                work.core.let_go(work.assignment.handle)
                self._let_go(work)
                continue
            limit = work.registration.concurrency
            if limit is None or self._running_of(work.registration) < limit:
                self._waiting.remove(work)
                self.running[work] = None
                return work
        return None

    def finished(self, done: Done) -> bool:
        """The function of a job has returned: tells its server.  False if that gave the job to
        another worker meanwhile."""
        work, cost, core = done.work, done.cost, done.work.core
        handle = work.assignment.handle
        self._slowest_s = max(cost.elapsed_s, self._slowest_s * _FORGETS, 1e-6)
        del self.running[work]
        if not work.lost:
            if cost.matters:
                core.usage(handle, cost.cpu_s, cost.memory_bytes)
            if isinstance(done.outcome, Returned):
                core.complete(handle, done.outcome.result)
            elif done.outcome.cause == "exception":
                core.exception(handle, done.outcome.exception)
            else:
                core.failure(handle, done.outcome.cause, done.outcome.exception)
        self._let_go(work)
        if self._burst:
            for each in self._cores:
                each.wake()
        return not work.lost

    def overran(self, work: Work) -> None:
        """A function takes longer than it may.  It goes on, but its job is over."""
        if not work.lost:  # else the job is somebody else's by now, or this worker's once more
            text = f"TimeoutError: {overran(work.registration)}".encode()
            work.core.failure(work.assignment.handle, "timeout", text)
        del self.running[work]
        self._let_go(work)

    @property
    def idle(self) -> bool:
        """Whether nothing is held, and all servers there are have no more jobs for this worker."""
        return not self.running and not self._waiting and all(core.asleep for core in self._cores)

    def stop(self) -> None:
        """No more jobs; those that are held are to be done."""
        self._stopping = True
        for core in self._cores:
            core.stop()

    @property
    def stopped(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self._stopping
            and not self.running
            and not self._waiting
            and all(core.stopped for core in self._cores)
        )

    def _let_go(self, work: Work) -> None:
        registration = work.registration
        was_full = self._is_full(registration)
        self._held[registration.name] -= 1
        if was_full and not self._is_full(registration):
            for core in self._cores:
                core.can_do(registration.name, registration.server_timeout_ms)

    def _is_full(self, registration: Registration) -> bool:
        limit = registration.concurrency
        return limit is not None and self._held[registration.name] >= limit

    def _running_of(self, registration: Registration) -> int:
        return sum(work.registration is registration for work in self.running)
