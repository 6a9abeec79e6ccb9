"""A job, its states, and the only table of moves between them."""

from typing import TYPE_CHECKING, Final, Literal, final

from gearpy.priority import Priority

if TYPE_CHECKING:
    from gearpy.engine.life import Life
    from gearpy.engine.peers import Client, Worker
    from gearpy.engine.policy import Policy
    from gearpy.engine.queue import FunctionQueue
    from gearpy.engine.timers import Timer

JobState = Literal[
    "queued",
    "delayed",
    "running",
    "retrying",
    "completed",
    "failed",
    "dead",
    "cancelled",
    "expired",
]

QUEUED: Final[JobState] = "queued"  # waits for a worker
DELAYED: Final[JobState] = "delayed"  # waits for its time
RUNNING: Final[JobState] = "running"  # a worker holds it
RETRYING: Final[JobState] = "retrying"  # failed, and waits for the time of its next attempt
COMPLETED: Final[JobState] = "completed"
FAILED: Final[JobState] = "failed"  # for good
DEAD: Final[JobState] = "dead"  # out of attempts: kept until an operator decides
CANCELLED: Final[JobState] = "cancelled"  # by an operator or a client, or nobody waits any more
EXPIRED: Final[JobState] = "expired"  # its time was over before it could be started

UNFINISHED: Final = (QUEUED, DELAYED, RUNNING, RETRYING)
FINISHED: Final = (COMPLETED, FAILED, CANCELLED, EXPIRED)

Move = dict[JobState, JobState]

WAITING: Final = (QUEUED, DELAYED, RETRYING)

# With which jobs operators may do what.
CANCELLABLE: Final[tuple[JobState, ...]] = UNFINISHED
RETRIABLE: Final[tuple[JobState, ...]] = (DEAD, FAILED, CANCELLED, EXPIRED, DELAYED, RETRYING)
PURGEABLE: Final[tuple[JobState, ...]] = (DEAD, *FINISHED)

# job.state = ASSIGN[job.state].  A KeyError here is a bug of ours, never the peer's.
BECOME_DUE: Final[Move] = {DELAYED: QUEUED, RETRYING: QUEUED}
ASSIGN: Final[Move] = {QUEUED: RUNNING}
REQUEUE: Final[Move] = {RUNNING: QUEUED}  # lost its worker, or failed and is tried again at once
RETRY: Final[Move] = {RUNNING: RETRYING}  # the same, but not at once
COMPLETE: Final[Move] = {RUNNING: COMPLETED}
FAIL: Final[Move] = {RUNNING: FAILED}  # for good: its worker said so, or it was lost too often
# Its policy allows no further attempt; or its payload is lost.
BURY: Final[Move] = {RUNNING: DEAD, QUEUED: DEAD}
CANCEL: Final[Move] = dict.fromkeys(UNFINISHED, CANCELLED)
EXPIRE: Final[Move] = dict.fromkeys(WAITING, EXPIRED)
REVIVE: Final[Move] = dict.fromkeys((DEAD, FAILED, CANCELLED, EXPIRED), QUEUED)  # by an operator

MOVES: Final[dict[str, Move]] = {
    "become due": BECOME_DUE,
    "assign": ASSIGN,
    "requeue": REQUEUE,
    "retry": RETRY,
    "complete": COMPLETE,
    "fail": FAIL,
    "bury": BURY,
    "cancel": CANCEL,
    "expire": EXPIRE,
    "revive": REVIVE,
}

Report = Literal["data", "warning", "status", "progress"]

DATA: Final[Report] = "data"  # a part of the result
WARNING: Final[Report] = "warning"  # something that the client should know
STATUS: Final[Report] = "status"  # numerator NUL denominator
PROGRESS: Final[Report] = "progress"  # the same, NUL, and a text

Outcome = Literal["completed", "failed", "exception"]

SUCCESS: Final[Outcome] = "completed"
FAILURE: Final[Outcome] = "failed"
EXCEPTION: Final[Outcome] = "exception"

Watchers = dict["Client", int]
Key = bytes | tuple[bytes]


NO_PROGRESS: Final = (0, 0)


@final
class Job:
    """One piece of work from its submit to its end.

    ``watchers`` maps each client that waits to its number of submissions: every submission gets its
    own copy of what the worker reports.  None stands for nobody, which is the usual case in the
    background.  ``background`` is an interest of its own: it keeps the job alive whoever leaves.

    ``ticket`` is the journal's number for what was last written of it that somebody waits for; 0
    when it is not journalled.  ``life`` holds what only some jobs have.

    There may be millions of jobs, so each slot is weighed.
    """

    __slots__ = (
        "attempts",
        "background",
        "created_s",
        "due_s",
        "handle",
        "life",
        "losses",
        "payload",
        "priority",
        "progress",
        "queue",
        "since_s",
        "state",
        "ticket",
        "timer",
        "unique",
        "watchers",
        "worker",
    )

    def __init__(
        self,
        handle: bytes,
        queue: "FunctionQueue",
        unique: bytes,
        payload: bytes | None,
        priority: Priority,
        background: bool,
        now_s: float,
    ) -> None:
        self.handle = handle
        self.queue = queue
        self.unique = unique
        self.payload = payload  # None: on disk only
        self.priority = priority
        self.background = background
        self.state: JobState = QUEUED
        self.watchers: Watchers | None = None
        self.worker: Worker | None = None
        self.ticket = 0
        self.attempts = 0  # how often it was given to a worker
        self.losses = 0  # how often a worker went away or ran out of time with it
        self.progress = NO_PROGRESS  # numerator, denominator
        self.created_s = now_s
        self.since_s = now_s  # in this state
        self.due_s = 0.0  # seconds since the epoch; 0: at once
        # Of a job that waits for its time that time, of a running one its deadline.
        self.timer: Timer | None = None
        self.life: Life | None = None

    @property
    def number(self) -> int:
        """The number at the end of its handle."""
        return int(self.handle.rpartition(b":")[2])

    @property
    def place(self) -> int:
        """Where it stands in its queue: lower numbers come first."""
        return (self.life.place if self.life is not None else 0) or self.number

    @property
    def key(self) -> Key | None:
        """What makes this job the same as another of its function; None when nothing does."""
        assert self.payload is not None or self.unique != b"-", "such a payload stays in memory"
        return coalescing_key(self.unique, self.payload or b"")

    @property
    def waiting(self) -> int:
        """How many submissions wait for the end of this job."""
        return sum(self.watchers.values()) if self.watchers else 0

    @property
    def wanted(self) -> bool:
        """Whether anybody still cares: a client that waits, or a background submission."""
        return self.background or bool(self.watchers)

    @property
    def policy(self) -> "Policy | None":
        """What counts for it: what its client asked for, then what its function's policy says."""
        life = self.life
        if life is None or life.policy is None:
            return self.queue.policy
        return life.policy.over(self.queue.policy)


def coalescing_key(unique: bytes, payload: bytes) -> Key | None:
    """The key under which a second submit finds the first one's job.

    An empty unique never coalesces.  The unique ``-`` stands for the payload itself, if there is
    one; it is kept apart from real uniques by being a tuple, which holds the payload without a
    copy.

    >>> coalescing_key(b"u1", b"data")
    b'u1'
    >>> coalescing_key(b"-", b"data")
    (b'data',)
    >>> coalescing_key(b"-", b"") is coalescing_key(b"", b"data") is None
    True
    """
    if unique != b"-":
        return unique or None
    return (payload,) if payload else None
