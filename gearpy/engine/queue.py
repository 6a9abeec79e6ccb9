"""The jobs of one function: a lane for each priority, counters, limits, and its idle workers."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from gearpy.engine.job import QUEUED, Job, Key
from gearpy.engine.statistics import FunctionCounters
from gearpy.errors import FunctionDraining, QueueFull
from gearpy.priority import Priority

if TYPE_CHECKING:
    from gearpy.engine.peers import Worker
    from gearpy.engine.policy import Policy
    from gearpy.engine.timers import Timer

_FEW: Final = 64  # below this many, jobs that left early are not worth a clean-up

MINUTE_S: Final = 60.0
ANY_NUMBER: Final = 1 << 60

Maxqueue = tuple[int, int, int]
Entry = tuple[int, bytes, Job]  # place, handle, and whose they are
UNLIMITED: Final[Maxqueue] = (0, 0, 0)


@final
class Lane:
    """First in, first out, and out of turn for who is cancelled.

    A job that leaves early stays in the deque, no longer QUEUED, until its turn or until such
    ghosts are the majority: then they are swept out.  So leaving early costs constant time on
    average, and memory stays within twice what is queued.

    A ghost that is to come back (it was cancelled, and an operator has it run again) would meet its
    own shadow: call ``sweep`` before that.

    Who was taken out and comes back stands in a heap beside the deque: its place may be anywhere.
    """

    __slots__ = ("_back", "_jobs", "bare", "count", "fetching")

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()  # in the order of their places
        self._back: list[Entry] = []
        self.count = 0  # queued jobs, ghosts not counted
        self.bare = 0  # those of them whose payload is on disk only
        self.fetching = 0  # those of them whose payload is being read

    def push(self, job: Job) -> None:
        """Puts a queued job at the end."""
        self._jobs.append(job)
        self.count += 1
        if job.payload is None:
            self.bare += 1

    def put_back(self, job: Job) -> None:
        """Puts a queued job where its place is: it was here before, or others were let pass."""
        heappush(self._back, (job.place, job.handle, job))
        self.count += 1
        if job.payload is None:
            self.bare += 1

    def merge(self, entries: Iterable[Entry]) -> None:
        """Puts many queued jobs where their places are; they are given in that order."""
        jobs, merged = self._jobs, deque[Job]()
        for place, _, job in entries:
            while jobs and jobs[0].place < place:
                merged.append(jobs.popleft())
            merged.append(job)
            self.count += 1
            if job.payload is None:
                self.bare += 1
        merged.extend(jobs)
        self._jobs = merged

    def pop(self) -> Job:
        """Takes the first queued job.  The lane must hold one."""
        job = self._first_of_both() if self._back else self._jobs.popleft()
        while job.state is not QUEUED:
            job = self._first_of_both() if self._back else self._jobs.popleft()
        self.count -= 1
        if job.payload is None:
            self.bare -= 1
        if len(self._jobs) + len(self._back) != self.count:
            self._sweep()
        return job

    def _first_of_both(self) -> Job:
        """Takes whatever is first, be it a ghost; somebody came back."""
        jobs = self._jobs
        if jobs and jobs[0].place < self._back[0][0]:
            return jobs.popleft()
        return heappop(self._back)[2]

    def discard(self, job: Job) -> None:
        """One of the jobs in here is no longer QUEUED."""
        self.count -= 1
        if job.payload is None:
            self.bare -= 1
        self._sweep()

    def sweep(self) -> None:
        """Drops all ghosts."""
        if len(self) != self.count:
            self._jobs = deque(job for job in self._jobs if job.state is QUEUED)
            self._back = [entry for entry in self._back if entry[2].state is QUEUED]
            heapify(self._back)

    def head(self, count: int) -> Iterator[Job]:
        """The jobs among the first ``count`` places."""
        return (job for job in islice(self._places(), count) if job.state is QUEUED)

    def bare_at(self, place: int) -> bool:
        """Whether the job at about this place, or the last one before it, is without its payload.

        Who came back counts as being in front.
        """
        back, jobs = self._back, self._jobs
        if place < len(back) or not jobs:
            return bool(back) and back[min(place, len(back) - 1)][2].payload is None
        return jobs[min(place - len(back), len(jobs) - 1)].payload is None

    def _sweep(self) -> None:
        """Drops the ghosts if they are the majority."""
        if not self.count:
            self._jobs.clear()
            self._back.clear()
        elif len(self) - self.count > max(self.count, _FEW):
            self.sweep()

    def _places(self) -> Iterator[Job]:
        """Jobs and ghosts, in order."""
        return _merged(sorted(self._back), self._jobs) if self._back else iter(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """The queued jobs, in order."""
        return (job for job in self._places() if job.state is QUEUED)

    def __len__(self) -> int:
        """Places taken, by jobs and ghosts."""
        return len(self._jobs) + len(self._back)


def _merged(entries: list[Entry], jobs: Iterable[Job]) -> Iterator[Job]:
    """Both together in the order of their places."""
    at = 0
    for job in jobs:
        while at < len(entries) and entries[at][0] < job.place:
            yield entries[at][2]
            at += 1
        yield job
    for entry in entries[at:]:
        yield entry[2]


@final
class KeyLine:
    """The jobs of a function with one key: how many run, and who waits for one of them to end.

    Who waits is in order: priorities, and in each of them places.  A job that leaves early stays as
    a ghost, as in a lane.  A ghost that comes back has another place, so it is still known as one.
    """

    __slots__ = ("_heaps", "count", "running")

    def __init__(self) -> None:
        self.running = 0
        self.count = 0  # jobs that wait, ghosts not counted
        self._heaps: dict[Priority, list[Entry]] = {}

    def park(self, job: Job) -> None:
        """The job has to wait.  It counts as parked from now on."""
        assert job.life is not None, "it has a key"
        job.life.parked = True
        heappush(self._heaps.setdefault(job.priority, []), (job.place, job.handle, job))
        self.count += 1

    def unpark(self) -> Job | None:
        """Takes the first one out, if there is one."""
        job = self.first()
        if job is not None:
            heappop(self._heaps[job.priority])
            self._leaves(job)
        return job

    def unpark_all(self) -> dict[Priority, list[Entry]]:
        """Takes all out, in any order."""
        taken = {
            priority: [entry for entry in heap if _waits(entry)]
            for priority, heap in self._heaps.items()
        }
        for entries in taken.values():
            for entry in entries:
                self._leaves(entry[2])
        self._heaps.clear()
        return taken

    def discard(self, job: Job) -> None:
        """One of those that wait is no longer QUEUED."""
        self._leaves(job)
        ghosts = sum(map(len, self._heaps.values())) - self.count
        if not self.count:
            self._heaps.clear()
        elif ghosts > max(self.count, _FEW):
            for priority, heap in self._heaps.items():
                self._heaps[priority] = [entry for entry in heap if _waits(entry)]
                heapify(self._heaps[priority])

    def _leaves(self, job: Job) -> None:
        assert job.life is not None, "it has a key"
        job.life.parked = False
        self.count -= 1

    def first(self) -> Job | None:
        """Who comes next."""
        return next(self.heads(), None)

    def heads(self) -> Iterator[Job]:
        """Who comes next in each priority, in order."""
        for priority in sorted(self._heaps):
            heap = self._heaps[priority]
            while heap and not _waits(heap[0]):
                heappop(heap)
            if heap:
                yield heap[0][2]
            else:
                del self._heaps[priority]

    def __iter__(self) -> Iterator[Job]:
        """Those that wait, in order; only so many are looked at as are asked for."""
        for priority in sorted(self._heaps):
            for entry in _in_order(self._heaps[priority]):
                if _waits(entry):
                    yield entry[2]


def _waits(entry: Entry) -> bool:
    """Whether it is no ghost."""
    place, _, job = entry
    life = job.life
    return job.state is QUEUED and life is not None and life.parked and job.place == place


def _in_order(heap: list[Entry]) -> Iterator[Entry]:
    """What is in a heap, smallest first, without taking it out."""
    frontier = [(heap[0], 0)] if heap else []
    while frontier:
        entry, at = heappop(frontier)
        yield entry
        for below in range(2 * at + 1, min(2 * at + 3, len(heap))):
            heappush(frontier, (heap[below], below))


@final
class FunctionQueue:
    """What is known of one function.

    ``idle`` holds the workers to wake, in the order in which they came.  It may still hold some
    that got work of another function meanwhile: they are passed over when their turn comes, and
    enter again when they sleep again (``Worker.absent`` says where).  That keeps sleep and wake
    at constant cost for a worker of twenty thousand functions.

    ``coming`` counts workers that were woken for this function and have not shown up yet.

    ``room`` is how many jobs may be given out now, whatever waits: see ``Dispatch.refit``.
    """

    __slots__ = (
        "admits",
        "bound",
        "coming",
        "counters",
        "dead",
        "delayed",
        "draining",
        "dry",
        "idle",
        "kept",
        "kept_bytes",
        "keys",
        "lanes",
        "maxqueue",
        "name",
        "opening",
        "parked",
        "paused",
        "per_key",
        "policy",
        "queued",
        "retrying",
        "room",
        "running",
        "starts",
        "sweeping",
        "uniques",
        "workers",
    )

    def __init__(self, name: bytes, policy: "Policy | None" = None) -> None:
        self.name = name
        self.policy = policy
        self.maxqueue = UNLIMITED
        # A lane is made with its first job: a deque takes 600 bytes, most functions use one
        # priority.
        self.lanes: list[Lane | None] = [None for _ in Priority]
        self.queued = 0  # in lanes
        # Queued too, but waiting for the end of a job with the same key.
        self.parked = [0 for _ in Priority]
        self.per_key = 0  # how many jobs with one key may run; 0: any number
        self.delayed = [0 for _ in Priority]  # waiting for their time
        self.retrying = 0  # those of them that failed before
        self.running = 0
        self.uniques: dict[Key, Job] = {}
        self.keys: dict[bytes, KeyLine] = {}
        self.starts: deque[float] = deque()  # within the last minute, where there is a rate
        self.workers = 0
        self.idle: OrderedDict[Worker, None] = OrderedDict()
        self.coming = 0
        self.paused = False  # nothing is given out
        self.draining = False  # nothing is taken
        self.dry = False  # the next payload is being read from the disk
        self.room = ANY_NUMBER
        self.opening: Timer | None = None  # when the rate allows the next start
        self.bound = False  # whether giving out or ending a job may change ``room``
        self.admits = True  # whether a submit has nothing to be checked for
        self.dead: OrderedDict[Job, None] = OrderedDict()  # dead letters, oldest first
        self.kept: OrderedDict[Job, int] = OrderedDict()  # finished, oldest first; bytes of each
        self.kept_bytes = 0  # of their results
        self.sweeping: Timer | None = None  # when the oldest of them is to be forgotten
        self.counters = FunctionCounters()

    @property
    def total(self) -> int:
        """All unfinished jobs: what ``status`` shows and ``maxqueue`` limits, as in gearmand."""
        return self.queued + sum(self.parked) + sum(self.delayed) + self.running

    def fit(self) -> None:
        """Something was decided about the function."""
        policy = self.policy
        limited = policy is not None and bool(policy.max_queue)
        self.admits = not (self.draining or limited or self.maxqueue != UNLIMITED)

    def check_admission(self, priority: Priority) -> None:
        """Whether one more job is taken.  Raises FunctionDraining or QueueFull."""
        if self.draining:
            raise FunctionDraining
        if self.maxqueue != UNLIMITED:
            # gearmand's three limits; what is critical counts as high.
            limit = self.maxqueue[max(0, priority - Priority.HIGH)]
            if 0 < limit <= self.total:
                raise QueueFull
        policy = self.policy
        if policy is not None and policy.max_queue and self.total >= policy.max_queue:
            raise QueueFull

    def lane(self, priority: Priority) -> Lane:
        """The lane of a priority, made when it is first asked for."""
        lane = self.lanes[priority]
        if lane is None:
            lane = self.lanes[priority] = Lane()
        return lane

    def key_line(self, key: bytes) -> KeyLine:
        """The jobs with this key."""
        line = self.keys.get(key)
        if line is None:
            line = self.keys[key] = KeyLine()
        return line
