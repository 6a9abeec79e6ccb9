"""The jobs and workers of the model."""

from dataclasses import dataclass, field

from gearpy.engine.archive import JOB_BYTES
from gearpy.engine.policy import Policy
from gearpy.engine.statistics import Usage
from gearpy.priority import Priority


@dataclass(eq=False)
class ModelJob:
    """A job, unfinished in ``Model.jobs`` or ended in ``Model.ended``."""

    handle: bytes
    function: bytes
    unique: bytes
    payload: bytes
    priority: Priority
    background: bool
    created_s: float
    since_s: float
    place: int = 0  # lower ones come first
    own: Policy | None = None  # what its client asked for
    key: bytes = b""
    state: str = "queued"
    waiting: list[str] = field(default_factory=list)  # a client for each submission
    worker: str = ""
    due_s: float = 0.0
    deadline_s: float = 0.0  # 0: none
    timer: int = 0  # the order in which due times and deadlines were set
    expire_s: float = 0.0  # 0: never mind
    expiry: int = 0  # the order in which that was set
    attempts: int = 0
    losses: int = 0
    crashes: int = 0
    progress: tuple[int, int] = (0, 0)
    text: str = ""  # beside that
    reason: str = ""
    error: bytes = b""
    output: list[bytes] = field(default_factory=list)
    came_back: bool = False  # from its end, by an operator, or from the journal
    written: bool = False  # whether it would be there after a restart
    output_written: bool = True
    log: list[tuple[int, str, Usage]] = field(default_factory=list)  # attempts, how they ended
    usage_written: Usage = Usage()  # of the attempt that lasts, as far as it would be there, too

    @property
    def wanted(self) -> bool:
        return self.background or bool(self.waiting)

    @property
    def number(self) -> int:
        return int(self.handle.rpartition(b":")[2])

    @property
    def kept_bytes(self) -> int:
        """What counts against the limit of finished jobs, beside the attempts."""
        text = self.text.encode()
        carried = (self.handle, self.unique, self.payload, self.error, text, *self.output)
        return JOB_BYTES + len(b"".join(carried))

    def same_work(self, unique: bytes, payload: bytes) -> bool:
        """Whether a submit of this job's function joins it."""
        if unique == b"-":
            return self.unique == b"-" and payload != b"" and self.payload == payload
        return unique != b"" and self.unique == unique


@dataclass
class ModelWorker:
    """A worker: functions with their timeouts, in the order in which they are served."""

    abilities: list[tuple[bytes, float]] = field(default_factory=list)

    def can(self, function: bytes) -> bool:
        return any(name == function for name, _ in self.abilities)
