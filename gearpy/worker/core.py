"""One worker connection's conversation, without I/O: what it can do, and one job after the other.

core.can_do(...), start()           what this worker can do; then it asks for a job
core.take() -> bytes                bytes to write to the server
core.receive(data) -> assignments   bytes that arrived
core.progress(...), data(...), warning(...), complete(...), exception(...)
core.stop()                         no more jobs; ``stopped`` says when there is nothing left
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, final

from gearpy.errors import InvalidArgument, RemoteProtocolError, ServerError
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser

# As for clients: what it is sent is what other programs submitted to the server of its choice.
ASSIGNMENT_BYTES_MAX: Final = 0xFFFFFFFF

# The answer to a result that came too late: the job was given to another worker, or cancelled.
_LATE: Final = "JOB_NOT_FOUND"


class State(Enum):
    """Where the conversation stands.

        IDLE ──start──▶ GRABBING ──JOB_ASSIGN──▶ WORKING ──complete, exception──▶ GRABBING
                        GRABBING ──NO_JOB──▶ ASLEEP ──NOOP──▶ GRABBING

    After ``stop`` every arrow to GRABBING or ASLEEP leads to STOPPED, and so does ``stop`` itself,
    except while GRABBING (the answer may be a job, which then is this worker's) or WORKING.
    """

    IDLE = auto()
    GRABBING = auto()
    ASLEEP = auto()
    WORKING = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job that the server gave to this worker."""

    handle: bytes
    function: bytes
    unique: bytes
    payload: bytes


@final
class WorkerCore:
    """A worker's side of one connection, from its first byte to its last.

    After ``receive`` look at ``broken``: once it is an error, the peer does not speak Gearman, so
    close the connection.  ``refusal`` is what the server answered if it takes something amiss, for
    example a function's name: such a worker would wait in vain.
    """

    def __init__(self) -> None:
        self.broken: RemoteProtocolError | None = None
        self.refusal: ServerError | None = None
        self.state = State.IDLE
        self.stopping = False
        self._parser = PacketParser(p.RES, ASSIGNMENT_BYTES_MAX)
        self._output: list[bytes] = []

    # ---- speaking

    def can_do(self, function: bytes, timeout_ms: int = 0) -> None:
        """Tells the server that this worker can do ``function``; with a timeout, the server gives a
        job of it to somebody else after that time.

        Raises InvalidArgument if the name holds a NUL.
        """
        if b"\0" in function:
            raise InvalidArgument(f"the function {function!r} holds a NUL byte, which no name may")
        if timeout_ms:
            self._put(p.CAN_DO_TIMEOUT, function, b"%d" % timeout_ms)
        else:
            self._put(p.CAN_DO, function)

    def start(self) -> None:
        """Asks for the first job."""
        self._grab()

    def progress(self, handle: bytes, numerator: int, denominator: int) -> None:
        """Tells how far a job is."""
        self._put(p.WORK_STATUS, handle, b"%d" % numerator, b"%d" % denominator)

    def data(self, handle: bytes, data: bytes) -> None:
        """Sends a part of what a job gives."""
        self._put(p.WORK_DATA, handle, data)

    def warning(self, handle: bytes, warning: bytes) -> None:
        """Sends a warning."""
        self._put(p.WORK_WARNING, handle, warning)

    def complete(self, handle: bytes, result: bytes) -> None:
        """The job is done; asks for the next one in the same breath."""
        self._put(p.WORK_COMPLETE, handle, result)
        self._grab()

    def exception(self, handle: bytes, exception: bytes) -> None:
        """The job failed; asks for the next one in the same breath.

        WORK_EXCEPTION ends a job.  A WORK_FAIL behind it would come too late.
        """
        self._put(p.WORK_EXCEPTION, handle, exception)
        self._grab()

    def stop(self) -> None:
        """Takes no more jobs.  One that runs, or that the server may just have given, is done."""
        self.stopping = True
        if self.state not in (State.GRABBING, State.WORKING):
            self.state = State.STOPPED

    @property
    def stopped(self) -> bool:
        """Whether all is said, once what ``take`` gives is written."""
        return self.state is State.STOPPED

    def take(self) -> bytes:
        """The bytes to write now, which then are gone from here."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def _put(self, number: int, *fields: bytes) -> None:
        self._output.append(codec.request(number, *fields))

    def _grab(self) -> None:
        if self.stopping:
            self.state = State.STOPPED
        else:
            self._put(p.GRAB_JOB_UNIQ)
            self.state = State.GRABBING

    # ---- hearing

    def receive(self, data: bytes) -> list[Assignment]:
        """Bytes arrived: the jobs that they bring.  There is at most one at a time from a server
        that keeps to the protocol, as the next one is asked for when the last is done."""
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
            if self.state is not State.GRABBING:
                raise RemoteProtocolError("it assigned a job that nobody asked for")
            fields = codec.split(number, body)
            unique = b"" if number == p.JOB_ASSIGN else fields[2]
            assignments.append(Assignment(fields[0], fields[1], unique, fields[-1]))
            self.state = State.WORKING
        elif number == p.NO_JOB and self.state is State.GRABBING:
            self._sleep()
        elif number == p.NOOP and self.state is State.ASLEEP:
            self._grab()
        elif number == p.ERROR:
            code, text = (field.decode("utf-8", "replace") for field in codec.split(number, body))
            if code != _LATE:
                self.refusal = ServerError(code, text)
        # A NOOP while not asleep wakes nobody: the job that it tells of is asked for anyway.

    def _sleep(self) -> None:
        if self.stopping:
            self.state = State.STOPPED
        else:
            self._put(p.PRE_SLEEP)
            self.state = State.ASLEEP


_ASSIGNMENTS: Final = frozenset((p.JOB_ASSIGN, p.JOB_ASSIGN_UNIQ, p.JOB_ASSIGN_ALL))
