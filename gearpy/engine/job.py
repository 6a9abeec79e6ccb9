"""A job, its states, and the only table of moves between them."""

from typing import TYPE_CHECKING, Final, Literal, final

from gearpy.priority import Priority

if TYPE_CHECKING:
    from gearpy.engine.peers import Client, Worker
    from gearpy.engine.queue import FunctionQueue
    from gearpy.engine.timers import Timer

JobState = Literal["delayed", "queued", "running", "ended"]

DELAYED: Final[JobState] = "delayed"  # waits for its time
QUEUED: Final[JobState] = "queued"  # waits for a worker
RUNNING: Final[JobState] = "running"  # a worker holds it
ENDED: Final[JobState] = "ended"  # forgotten by the engine

Move = dict[JobState, JobState]

# job.state = ASSIGN[job.state].  A KeyError here is a bug of ours, never the peer's.
BECOME_DUE: Final[Move] = {DELAYED: QUEUED}
ASSIGN: Final[Move] = {QUEUED: RUNNING}
REQUEUE: Final[Move] = {RUNNING: QUEUED}  # the worker went away, or ran out of time
END: Final[Move] = {RUNNING: ENDED}  # completed, failed, excepted, or lost once too often
CANCEL: Final[Move] = {DELAYED: ENDED, QUEUED: ENDED, RUNNING: ENDED}
ABANDON: Final[Move] = {DELAYED: ENDED, QUEUED: ENDED, RUNNING: ENDED}  # nobody waits any more

MOVES: Final[dict[str, Move]] = {
    "become due": BECOME_DUE,
    "assign": ASSIGN,
    "requeue": REQUEUE,
    "end": END,
    "cancel": CANCEL,
    "abandon": ABANDON,
}

Report = Literal["data", "warning", "status"]

DATA: Final[Report] = "data"  # a part of the result
WARNING: Final[Report] = "warning"  # something that the client should know
STATUS: Final[Report] = "status"  # numerator NUL denominator

Outcome = Literal["completed", "failed", "exception"]

COMPLETED: Final[Outcome] = "completed"
FAILED: Final[Outcome] = "failed"
EXCEPTION: Final[Outcome] = "exception"

Watchers = dict["Client", int]
Key = bytes | tuple[bytes]


@final
class Job:
    """One piece of work from its submit to its end.

    ``watchers`` maps each client that waits to its number of submissions: every submission gets its
    own copy of what the worker reports.  None stands for nobody, which is the usual case in the
    background.  ``background`` is an interest of its own: it keeps the job alive whoever leaves.

    ``ticket`` is the journal's number for its creation; 0 when it is not journalled.
    """

    __slots__ = (
        "background",
        "denominator",
        "due_s",
        "handle",
        "losses",
        "numerator",
        "payload",
        "priority",
        "queue",
        "reducer",
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
        payload: bytes,
        priority: Priority,
        background: bool,
    ) -> None:
        self.handle = handle
        self.queue = queue
        self.unique = unique
        self.payload = payload
        self.priority = priority
        self.background = background
        self.state: JobState = QUEUED
        self.watchers: Watchers | None = None
        self.worker: Worker | None = None
        self.ticket = 0
        self.losses = 0  # how often a worker went away or ran out of time with it
        self.numerator = 0
        self.denominator = 0
        self.reducer = b""
        self.due_s = 0.0  # seconds since the epoch; 0: at once
        self.timer: Timer | None = (
            None  # of a delayed job its due time, of a running one its deadline
        )

    @property
    def key(self) -> Key | None:
        """What makes this job the same as another of its function; None when nothing does."""
        return coalescing_key(self.unique, self.payload)

    @property
    def waiting(self) -> int:
        """How many submissions wait for the end of this job."""
        return sum(self.watchers.values()) if self.watchers else 0

    @property
    def wanted(self) -> bool:
        """Whether anybody still cares: a client that waits, or a background submission."""
        return self.background or bool(self.watchers)


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
