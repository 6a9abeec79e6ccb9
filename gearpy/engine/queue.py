"""The jobs of one function: a lane for each priority, counters, and its idle workers."""

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, final

from gearpy.engine.job import QUEUED, Job, Key
from gearpy.priority import Priority

if TYPE_CHECKING:
    from gearpy.engine.peers import Worker

_FEW: Final = 64  # below this many, jobs that left early are not worth a clean-up

Maxqueue = tuple[int, int, int]
UNLIMITED: Final[Maxqueue] = (0, 0, 0)


@final
class Lane:
    """First in, first out, and out of turn for who is cancelled.

    A job that leaves early stays in the deque, no longer QUEUED, until its turn or until such
    ghosts are the majority: then they are swept out.  So leaving early costs constant time on
    average, and memory stays within twice what is queued.
    """

    __slots__ = ("_jobs", "count")

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self.count = 0  # queued jobs, ghosts not counted

    def push(self, job: Job) -> None:
        """Puts a queued job at the end."""
        self._jobs.append(job)
        self.count += 1

    def pop(self) -> Job:
        """Takes the first queued job.  The lane must hold one."""
        job = self._jobs.popleft()
        while job.state is not QUEUED:
            job = self._jobs.popleft()
        self.count -= 1
        if len(self._jobs) != self.count:
            self._sweep()
        return job

    def discard(self) -> None:
        """One of the jobs in here is no longer QUEUED."""
        self.count -= 1
        self._sweep()

    def _sweep(self) -> None:
        """Drops the ghosts if they are the majority."""
        if not self.count:
            self._jobs.clear()
        elif len(self._jobs) - self.count > max(self.count, _FEW):
            self._jobs = deque(job for job in self._jobs if job.state is QUEUED)

    def __len__(self) -> int:
        """Places taken, by jobs and ghosts."""
        return len(self._jobs)


@final
class FunctionQueue:
    """What is known of one function.

    ``idle`` holds the workers to wake, in the order in which they came.  It may still hold some
    that got work of another function meanwhile: they are passed over when their turn comes, and
    enter again when they sleep again (``Worker.absent`` says where).  That keeps sleep and wake
    at constant cost for a worker of twenty thousand functions.

    ``coming`` counts workers that were woken for this function and have not shown up yet.
    """

    __slots__ = (
        "coming",
        "delayed",
        "idle",
        "lanes",
        "maxqueue",
        "name",
        "queued",
        "running",
        "uniques",
        "workers",
    )

    def __init__(self, name: bytes, maxqueue: Maxqueue = UNLIMITED) -> None:
        self.name = name
        self.maxqueue = maxqueue
        # A lane is made with its first job: a deque takes 600 bytes, most functions use one
        # priority.
        self.lanes: list[Lane | None] = [None for _ in Priority]
        self.queued = 0
        self.delayed = [0 for _ in Priority]
        self.running = 0
        self.uniques: dict[Key, Job] = {}
        self.workers = 0
        self.idle: OrderedDict[Worker, None] = OrderedDict()
        self.coming = 0

    @property
    def total(self) -> int:
        """All unfinished jobs: what ``status`` shows and ``maxqueue`` limits, as in gearmand."""
        return self.queued + sum(self.delayed) + self.running

    def lane(self, priority: Priority) -> Lane:
        """The lane of a priority, made when it is first asked for."""
        lane = self.lanes[priority]
        if lane is None:
            lane = self.lanes[priority] = Lane()
        return lane
