"""What can be known of jobs from outside: what the server was told, and what it said."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn, final

from gearpy.broker.broker import Broker
from gearpy.broker.session import Session
from gearpy.engine.callbacks import Callback
from gearpy.engine.engine import Engine
from gearpy.engine.job import Job, Key
from gearpy.engine.options import Labels
from gearpy.engine.policy import Policy, attempts_max
from gearpy.priority import Priority
from gearpy.protocol.packets import RES
from gearpy.protocol.parser import PacketParser
from gearpy.testing.simulation.disk import Disk
from gearpy.testing.simulation.features import Features
from gearpy.testing.simulation.story import Story, shown

HANDLE_PREFIX: Final = b"H:sim"
NO_POLICY: Final = Policy()

VANISHED: Final = "vanished"  # in a crash, without a broken promise
PURGED: Final = "purged"


def handle_of(number: int) -> bytes:
    """The handle of the job with this number."""
    return b"%b:%d" % (HANDLE_PREFIX, number)


class Broken(AssertionError):
    """Something that must always hold does not."""


@dataclass(slots=True, eq=False)
class Paper:
    """A job, as it looks from outside."""

    handle: bytes
    number: int
    function: bytes
    unique: bytes
    payload: bytes | None  # None: the server made it itself, and nobody has seen it
    priority: Priority
    key: Key | None  # under which others coalesce with it
    background: bool
    not_before_s: float  # no attempt may start earlier
    expire_s: float  # no attempt may start then or later; 0: never mind
    limit_key: bytes = b""  # of which few may run
    own_policy: Policy | None = None  # from its client
    reducer: bytes = b""
    labels: Labels = ()
    callback: Callback | None = None
    follows: "Debt | None" = None  # the end that it was made for
    followers: "list[Paper]" = field(default_factory=list)  # what followed its ends
    given: bytes = b""  # what its last attempt gave
    in_turn: bool = True  # never delayed, requeued or set aside: first in, first out
    watchers: "dict[Seat, int]" = field(default_factory=dict)
    holder: "Seat | None" = None
    timeout_s: float = 0.0  # of the attempt; 0: none
    deadline_s: float = 0.0  # of the attempt; 0: none
    attempts: int = 0
    losses: int = 0
    crashes: int = 0  # workers lost with it in a row
    allowed: int | None = None  # attempts, when that was last decided
    limited: bool = True  # every assignment waited until its attempt was durable
    revivals: int = 0  # how often an operator had it run once more
    told: int = 0  # assignments that left the server since it was submitted
    promised: bool = False  # a receipt left
    journal_seq: int = 0  # when it became one for the journal; 0: it is not
    wait_seq: int = 0  # when it was decided how long it waits
    grant_seq: int = 0  # when it was last given to a worker
    grant_limited: bool = False  # that attempt had to be durable before its worker heard of it
    interrupted: bool = False  # a worker held it when the server went down
    ended: str = ""  # how; empty while it is unfinished
    ended_seq: int = 0
    in_memory: bool = False  # it ended while the disk was full, and had not been on it before

    @property
    def wanted(self) -> bool:
        """Whether anybody still cares."""
        return self.background or bool(self.watchers)


@dataclass(slots=True)
class Debt:
    """The end of a job that another one must follow."""

    paper: Paper
    callback: Callback
    at_once: bool  # else in a moment
    ended_s: float
    attempts: int
    given: bytes
    how: str | None  # None: it can't be known any more


@dataclass(slots=True)
class Request:
    """Something that a connection asked for, and what the answer must be."""

    what: str
    seq: int
    handle: bytes | None = None  # None: to be refused, or there is no job
    background: bool = False
    answer: tuple[bytes, ...] = ()
    attempt: int = 0
    limited: bool = False
    revivals: int = 0
    table: dict[str, object] = field(default_factory=dict)  # what the answer says, at least


class Seat:
    """One connection, as it looks from outside."""

    def __init__(self, name: str, session: Session, full: Callable[[], bool]) -> None:
        self.name = name
        self.session = session
        self.full = full  # whether its peer takes too little of what it is sent
        self.open = True
        self.parser = PacketParser(RES)
        self.requests: deque[Request] = deque()
        self.extended = False
        self.exceptions = False
        self.abilities: dict[bytes, float] = {}  # function: timeout in seconds
        self.asleep = False
        self.woken_s: float | None = None  # since it last spoke
        self.receipts: set[bytes] = set()  # handles that it heard of
        self.due: dict[bytes, deque[tuple[int, bytes]]] = {}  # what it must hear of jobs
        self.news: Counter[bytes] = Counter()  # cancelled jobs that it must hear of
        self.group: bytes | None = None  # if it said last that it is a supervisor
        self.commands: deque[bytes] = deque()  # that it must hear

    def expect(self, handle: bytes, number: int, data: bytes, copies: int) -> None:
        """It has to hear this of a job, behind what it had to hear before."""
        self.due.setdefault(handle, deque()).extend([(number, data)] * copies)


@final
class Books:
    """Everything that is known from outside, and the parts of the world that it is compared with.

    ``seq`` counts what happened.  What happened up to ``durable_seq`` can't be lost in a crash.
    """

    def __init__(self, features: Features, story: Story, disk: Disk) -> None:
        self.features = features
        self.story = story
        self.disk = disk
        self.promises = features.durability == "commit"
        self.broker: Broker
        self.reading: Callable[[], bool]  # whether payloads are being read from the disk
        self.seq = 0
        self.durable_seq = 0
        self.papers: dict[bytes, Paper] = {}
        self.unfinished: dict[bytes, Paper] = {}
        self.keys: dict[tuple[bytes, Key], Paper] = {}
        self.seats: dict[Seat, None] = {}
        self.paused: set[bytes] = set()
        self.draining: set[bytes] = set()
        # What operators decided, with the number of what happened: (paused, draining), policies.
        self.steered: dict[bytes, list[tuple[int, tuple[bool, bool]]]] = {}
        self.policies: dict[bytes, list[tuple[int, Policy | None]]] = {}
        self.starts: dict[bytes, list[float]] = {}  # of attempts, for each function
        self.counts: Counter[str] = Counter()  # since the server's start
        self.owed: list[Debt] = []
        self.seen = 0  # jobs with lower numbers are known

    @property
    def engine(self) -> Engine:
        """The engine of the server that runs."""
        return self.broker.engine

    @property
    def now_s(self) -> float:
        """The time as the engine was last told it."""
        return self.broker.engine.now_s

    @property
    def kept_seq(self) -> int:
        """Exactly what had happened by then is on the disk, as a crash has shown."""
        return max(self.durable_seq, self.disk.kept_seq)

    @property
    def all_done(self) -> bool:
        """Whether every job has ended, and nothing is to follow any more."""
        return not (self.unfinished or self.owed)

    def happened(self) -> int:
        """One more thing happened; returns its number."""
        self.seq += 1
        return self.seq

    def broken(self, rule: str, words: str) -> NoReturn:
        """Something that must always hold does not."""
        raise Broken(f"{rule}: {words}")

    def add(self, paper: Paper) -> None:
        """A job was taken."""
        self.papers[paper.handle] = paper
        self.begin(paper)

    def begin(self, paper: Paper) -> None:
        """A job is unfinished, for the first time or again."""
        paper.ended = ""
        self.unfinished[paper.handle] = paper
        if paper.key is not None:
            self.keys[paper.function, paper.key] = paper

    def end(self, paper: Paper, how: str) -> None:
        """A job ended."""
        paper.ended = how
        paper.ended_seq = self.happened()
        paper.holder = None
        paper.watchers = {}
        self.unfinished.pop(paper.handle, None)
        if paper.key is not None and self.keys.get((paper.function, paper.key)) is paper:
            del self.keys[paper.function, paper.key]

    def policy(self, paper: Paper) -> Policy | None:
        """What counts for a job."""
        policy = self.engine.functions.policies.of(paper.function)
        return policy if paper.own_policy is None else paper.own_policy.over(policy)

    def allowed(self, paper: Paper) -> int | None:
        """How many attempts a job may have as things stand now; None: any number."""
        return attempts_max(self.policy(paper) or NO_POLICY, self.features.job_retries)

    def of_function(self, function: bytes) -> Iterator[Paper]:
        """The unfinished jobs of a function."""
        return (paper for paper in self.unfinished.values() if paper.function == function)

    def rated(self, function: bytes) -> bool:
        """Whether a policy limits how many jobs of a function start within a minute."""
        policy = self.engine.functions.policies.of(function)
        return policy is not None and bool(policy.rate_per_minute)

    def job(self, paper: Paper, rule: str) -> Job:
        """What the engine has of an unfinished job."""
        job = self.engine.find(paper.handle)
        if job is None:
            self.broken(rule, f"{self.name(paper)} is gone, and nothing has ended it")
        return job

    def name(self, paper: Paper) -> str:
        """A job as the story calls it."""
        return f"{shown(paper.handle)} ({shown(paper.function)})"
