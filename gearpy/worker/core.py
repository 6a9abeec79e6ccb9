"""One worker connection's conversation, without I/O: what it can do, and the jobs that it holds.

core.can_do(...), cant_do(...)      what this worker can do
core.start(), wants_job, grab()     asks for a job, as often as another one can be taken
core.take() -> bytes                bytes to write to the server
core.receive(data) -> assignments   bytes that arrived
core.is_cancelled(handle)           whether a job that it holds was cancelled
core.progress(...), data(...), warning(...), usage(...), complete(...), exception(...), let_go(...)
core.tell_state(...), commands      how this worker is; what a supervisor is told to do
core.stop()                         no more jobs; ``stopped`` says when there is nothing left
"""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, final

from gearpy.errors import InvalidArgument, MalformedPacket, RemoteProtocolError, ServerError
from gearpy.priority import Priority
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser

# As for clients: what it is sent is what other programs submitted to the server of its choice.
ASSIGNMENT_BYTES_MAX: Final = 0xFFFFFFFF

# The answers to a result that came too late: the job was given to another worker, or cancelled.
# The first is gearmand's, in small letters once, the second that of Perl's server.
_LATE: Final = ("JOB_NOT_FOUND", "NOT_WORKER")

# What only gearpy's servers know is asked for under this name; others answer with that code, some
# of them in small letters.
EXTENSION: Final = b"gearpy"
_UNKNOWN_OPTION: Final = "UNKNOWN_OPTION"

_WORTH_MAX: Final = 64
_COMMANDS_MAX: Final = 100  # that nobody has taken yet; the newest count


class State(Enum):
    """Where the conversation stands, beside the jobs that are held.

        IDLE ──start──▶ AWAKE ──NO_JOB──▶ ASLEEP ──NOOP, can_do──▶ AWAKE

    While AWAKE it asks, several times where that is worth it, and falls asleep once all of that is
    answered, with NO_JOB in the end.  ``stop`` leads to STOPPED, from AWAKE once all is answered:
    the answers may be jobs, which then are this worker's.
    """

    IDLE = auto()
    AWAKE = auto()
    ASLEEP = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a gearpy-server tells of a job beside what is to be done; the defaults are for other
    servers, which say nothing of it.  Times are in seconds since the epoch, on the server's clock.
    """

    attempt: int = 0  # from 1 on; 0: not known
    attempts: int | None = None  # at most; None: no limit, or not known
    deadline_s: float | None = None  # when this attempt counts as failed
    created_s: float | None = None
    priority: Priority | None = None
    key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


NO_TERMS: Final = Terms()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job that the server gave to this worker."""

    handle: bytes
    function: bytes
    unique: bytes
    payload: bytes
    terms: Terms = NO_TERMS


@final
class WorkerCore:
    """A worker's side of one connection, from its first byte to its last.

    After ``receive`` look at ``broken``: once it is an error, the peer does not speak Gearman, so
    close the connection.  ``refusal`` is what the server answered if it takes something amiss, for
    example a function's name: such a worker would wait in vain.

    ``extended`` is whether the server speaks gearpy's own packets.  Nothing more is sent of a job
    that it said was cancelled; ``cancels`` counts how often it did.

    ``commands`` are what the server was asked to tell this worker, which said that it is a
    supervisor; take them from the left.

    ``questions_max`` is how many GRABs may be under way at a time, once the server has shown that
    it has so many jobs.  With 1, the default, a CANT_DO that is sent with the next one is in time.
    """

    def __init__(self) -> None:
        self.broken: RemoteProtocolError | None = None
        self.refusal: ServerError | None = None
        self.state = State.IDLE
        self.stopping = False
        self.asking = 0  # GRABs that are not answered: it may just have been given so many jobs
        self.questions_max = 1
        self._answers = False  # whether the server has answered a GRAB
        self.extended = False
        self._held: dict[bytes, bool] = {}  # by handle, whether it was cancelled
        self.cancels = 0
        self.commands: deque[dict[str, Any]] = deque(maxlen=_COMMANDS_MAX)
        self._parser = PacketParser(p.RES, ASSIGNMENT_BYTES_MAX)
        self._output: deque[bytes] = deque()
        # Nothing waits for the answer: before the first job comes it is here, or never comes.
        self._unknown = True
        self._dry = False  # the last answer was that there is no job
        self._worth = 1  # so many questions at a time, as far as the answers tell
        self._put(p.OPTION_REQ, EXTENSION)

    # ---- speaking

    def can_do(self, function: bytes, timeout_ms: int = 0) -> None:
        """Tells the server that this worker can do ``function``; with a timeout, the server gives a
        job of it to somebody else after that time.  If it sleeps, it wakes up: there may be one.

        Raises InvalidArgument if the name holds a NUL.
        """
        if b"\0" in function:
            raise InvalidArgument(f"the function {function!r} holds a NUL byte, which no name may")
        if timeout_ms:
            self._put(p.CAN_DO_TIMEOUT, function, b"%d" % timeout_ms)
        else:
            self._put(p.CAN_DO, function)
        self.wake()

    def cant_do(self, function: bytes) -> None:
        """Takes back what ``can_do`` said."""
        self._put(p.CANT_DO, function)

    def start(self) -> None:
        """From now on it wants jobs."""
        self.state = State.STOPPED if self.stopping else State.AWAKE

    @property
    def wants_job(self) -> bool:
        """Whether ``grab`` may be called."""
        questions = min(self._worth, self.questions_max)
        return self.state is State.AWAKE and self.asking < questions and not self._dry

    @property
    def knows_server(self) -> bool:
        """Whether the server has said by now if it speaks gearpy's own packets."""
        return not self._unknown

    @property
    def was_well(self) -> bool:
        """Whether the server has answered as one does, and never amiss: then it may be there again
        soon, if the connection ends."""
        return self._answers and self.broken is None and self.refusal is None

    @property
    def asleep(self) -> bool:
        """Whether the server had no job, and will say when it has one."""
        return self.state is State.ASLEEP

    @property
    def load(self) -> int:
        """The jobs that it holds, or that it may just have been given."""
        return len(self._held) + self.asking

    def grab(self) -> None:
        """Asks for a job."""
        self._put(p.GRAB_JOB_UNIQ)
        self.asking += 1

    def wake(self) -> None:
        """Asks again though it sleeps, and the server did not call."""
        if self.state is State.ASLEEP:
            self.state = State.AWAKE

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes = b"") -> None:
        """Tells how far a job is; in words, too, where the server has an ear for them."""
        counts = (b"%d" % numerator, b"%d" % denominator)
        if text and self.extended:
            self._tell(p.WORK_PROGRESS, handle, *counts, text)
        else:
            self._tell(p.WORK_STATUS, handle, *counts)

    def data(self, handle: bytes, data: bytes) -> None:
        """Sends a part of what a job gives."""
        self._tell(p.WORK_DATA, handle, data)

    def warning(self, handle: bytes, warning: bytes) -> None:
        """Sends a warning."""
        self._tell(p.WORK_WARNING, handle, warning)

    def usage(
        self, handle: bytes, cpu_s: float | None = None, memory_bytes: int | None = None
    ) -> None:
        """Tells what a job cost, as far as that is known, where the server has an ear for it.  To
        be called before the job's end."""
        told = {"cpu_s": cpu_s, "memory_bytes": memory_bytes}
        told = {name: value for name, value in told.items() if value is not None}
        if told and self.extended:
            self._tell(p.WORK_USAGE, handle, codec.packed(told))

    def tell_state(self, values: Mapping[str, object]) -> None:
        """Tells how this worker is, if the server has an ear for it: see WORKER_STATE in
        protocol.md.  Raises TypeError or ValueError if JSON has no word for something."""
        if self.extended:
            self._put(p.WORKER_STATE, codec.packed(values))

    def complete(self, handle: bytes, result: bytes) -> None:
        """The job is done."""
        self._tell(p.WORK_COMPLETE, handle, result)
        self.let_go(handle)

    def exception(self, handle: bytes, exception: bytes) -> None:
        """The job failed.

        WORK_EXCEPTION ends a job.  A WORK_FAIL behind it would come too late.
        """
        self._tell(p.WORK_EXCEPTION, handle, exception)
        self.let_go(handle)

    def failure(self, handle: bytes, cause: str, text: bytes) -> None:
        """The job's function did not end by itself: ``cause`` is "timeout", as it was stopped, or
        "lost", as its process is gone.  For servers that have no word for that, it is an exception.
        """
        if self.extended:
            self._tell(p.WORK_FAILURE, handle, cause.encode(), text)
            self.let_go(handle)
        else:
            self.exception(handle, text)

    def let_go(self, handle: bytes) -> None:
        """Holds a job no more, without a word: the server knows already how it ended."""
        self._held.pop(handle, None)

    def holds(self, handle: bytes) -> bool:
        """Whether the job is this worker's."""
        return handle in self._held

    def is_cancelled(self, handle: bytes) -> bool:
        """Whether the server said so of a job that it holds."""
        return self._held.get(handle, False)

    def stop(self) -> None:
        """Takes no more jobs.  Those that it holds, or that the server may just have given, are to
        be done."""
        self.stopping = True
        if not self.asking:
            self.state = State.STOPPED

    @property
    def stopped(self) -> bool:
        """Whether all is said, once what ``take`` gives is written."""
        return self.state is State.STOPPED and not self._held

    def take(self) -> bytes:
        """The bytes to write now, which then are gone from here."""
        # One by one: what another thread puts meanwhile is in here or stays for the next time.
        packets: list[bytes] = []
        with suppress(IndexError):
            while True:
                packets.append(self._output.popleft())
        return b"".join(packets)

    def _tell(self, number: int, handle: bytes, *fields: bytes) -> None:
        if not self.is_cancelled(handle):
            self._put(number, handle, *fields)

    def _put(self, number: int, *fields: bytes) -> None:
        self._output.append(codec.request(number, *fields))

    # ---- hearing

    def receive(self, data: bytes) -> list[Assignment]:
        """Bytes arrived: the jobs that they bring, at most one for each ``grab``."""
        assignments: list[Assignment] = []
        if self.broken is not None:
            return assignments
        for number, body in self._parser.feed(data):
            try:
                self._hear(number, body, assignments)
            except RemoteProtocolError as error:
                self.broken = error
                return assignments
        self.broken = self._parser.broken
        return assignments

    def _hear(self, number: int, body: bytes, assignments: list[Assignment]) -> None:
        if number == p.TEXT:
            raise RemoteProtocolError(f"it sent text: {body[:80]!r}")
        if number == p.WRONG_MAGIC:
            raise RemoteProtocolError("it sent a request where replies are read")
        if number in _ASSIGNMENTS:
            assignments.append(self._assigned(number, codec.split(number, body)))
        elif number == p.NO_JOB and self.asking:
            self._dry, self._worth = True, 1
            self._answered()
        elif number == p.NOOP and self.state is State.ASLEEP:
            self.state = State.AWAKE
        elif number == p.CANCEL_JOB:
            handle = codec.trimmed(body)
            if handle in self._held:  # otherwise it is late news
                self._held[handle] = True
                self.cancels += 1
        elif number == p.WORKER_COMMAND:
            with suppress(MalformedPacket):  # as one that a newer server tells in another way
                self.commands.append(codec.unpacked("WORKER_COMMAND", body))
        elif number == p.OPTION_RES and self._unknown:
            self._unknown = False
            self.extended = codec.trimmed(body) == EXTENSION
        elif number == p.ERROR:
            self._hear_error(*codec.split(number, body))
        # A NOOP while not asleep wakes nobody: the job that it tells of is asked for anyway.

    def _assigned(self, number: int, fields: list[bytes]) -> Assignment:
        if not self.asking:
            raise RemoteProtocolError("it assigned a job that nobody asked for")
        handle, function, *between, payload = fields
        unique = between[0] if between else b""
        terms = NO_TERMS
        if number == p.JOB_ASSIGN_OPTIONS:
            terms = _read_terms(codec.unpacked("JOB_ASSIGN_OPTIONS", between[1]))
        self._dry = False
        self._worth = min(2 * self._worth, _WORTH_MAX)
        self._answered()
        self._held[handle] = False
        return Assignment(handle, function, unique, payload, terms)

    def _hear_error(self, code: bytes, text: bytes) -> None:
        error = ServerError(code.decode("utf-8", "replace"), text.decode("utf-8", "replace"))
        if self._unknown and error.code.upper() == _UNKNOWN_OPTION:
            self._unknown = False  # not one of gearpy's servers: its jobs come without terms
        elif error.code.upper() not in _LATE:
            self.refusal = error

    def _answered(self) -> None:
        """A GRAB was: was it the last one?"""
        self._unknown = False
        self._answers = True
        self.asking -= 1
        if self.asking:
            return
        if self.stopping:
            self.state = State.STOPPED
        elif self._dry:
            self._dry = False
            self._put(p.PRE_SLEEP)
            self.state = State.ASLEEP


_ASSIGNMENTS: Final = frozenset(
    (p.JOB_ASSIGN, p.JOB_ASSIGN_UNIQ, p.JOB_ASSIGN_ALL, p.JOB_ASSIGN_OPTIONS)
)
_PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}


def _read_terms(options: Mapping[str, Any]) -> Terms:
    """What is said of a job.  Whatever is not as expected counts as not said: a job is not to fail
    because of what a newer server tells in another way."""
    attempt, attempts = options.get("attempt"), options.get("attempts")
    priority, key, labels = options.get("priority"), options.get("key"), options.get("labels")
    return Terms(
        attempt if isinstance(attempt, int) else 0,
        attempts if isinstance(attempts, int) else None,
        _seconds(options.get("deadline_s")),
        _seconds(options.get("created_s")),
        _PRIORITIES.get(priority) if isinstance(priority, str) else None,
        key if isinstance(key, str) else "",
        {name: value for name, value in labels.items() if isinstance(value, str)}
        if isinstance(labels, dict)
        else {},
    )


def _seconds(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
