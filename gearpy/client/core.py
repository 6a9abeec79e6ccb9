"""One client connection's conversation, without I/O.

    core.submit(...), status(...), echo(...)   ask; each returns its request
    core.take() -> bytes                       bytes to write to the server
    core.receive(data) -> events               bytes that arrived
    core.lost(reason) -> events                the connection is gone

Requests are answered in the order in which they were made: that is how JOB_CREATED and ERROR find
theirs.  Events name the request that they belong to.  The shell around a core moves the bytes and
wakes whoever waits.
"""

from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Final, final

from gearpy.errors import (
    InvalidArgument,
    RemoteProtocolError,
    ServerError,
)
from gearpy.priority import Priority
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser

# A client chose its server and asked for what it sends; so only the format sets a limit.
REPLY_BYTES_MAX: Final = 0xFFFFFFFF

_SUBMITS: Final = {
    (Priority.HIGH, False): p.SUBMIT_JOB_HIGH,
    (Priority.NORMAL, False): p.SUBMIT_JOB,
    (Priority.LOW, False): p.SUBMIT_JOB_LOW,
    (Priority.HIGH, True): p.SUBMIT_JOB_HIGH_BG,
    (Priority.NORMAL, True): p.SUBMIT_JOB_BG,
    (Priority.LOW, True): p.SUBMIT_JOB_LOW_BG,
}

_ANSWERS: Final = frozenset((p.JOB_CREATED, p.STATUS_RES, p.ECHO_RES, p.OPTION_RES))
_WORK: Final = frozenset(
    (
        p.WORK_DATA,
        p.WORK_WARNING,
        p.WORK_STATUS,
        p.WORK_COMPLETE,
        p.WORK_FAIL,
        p.WORK_EXCEPTION,
    )
)


# ---- requests


@dataclass(slots=True, eq=False)
class Request:
    """Something asked of the server.  ``answer`` is the packet that answers it, unless ERROR."""

    answer: ClassVar[int]


@dataclass(slots=True, eq=False)
class Submission(Request):
    """One submit.  ``handle`` is empty until the server has answered."""

    answer = p.JOB_CREATED

    function: bytes
    unique: bytes
    background: bool
    handle: bytes = b""


@dataclass(slots=True, eq=False)
class StatusRequest(Request):
    """A question about one job."""

    answer = p.STATUS_RES

    handle: bytes


@dataclass(slots=True, eq=False)
class EchoRequest(Request):
    """Something that the server is to send back."""

    answer = p.ECHO_RES


@dataclass(slots=True, eq=False)
class OptionRequest(Request):
    """A wish that a server may refuse."""

    answer = p.OPTION_RES

    option: bytes


# ---- events


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a server knows of a job: nothing (any more), or how far it is."""

    known: bool
    running: bool
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Created:
    """The server took the job; its handle is in the submission."""

    request: Submission


@dataclass(frozen=True, slots=True)
class StatusKnown:
    """The answer to a StatusRequest."""

    request: StatusRequest
    status: JobStatus


@dataclass(frozen=True, slots=True)
class Echoed:
    """The answer to an EchoRequest."""

    request: EchoRequest
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answered ERROR."""

    request: Request
    error: ServerError


@dataclass(frozen=True, slots=True)
class Data:
    """The worker sent a part of the result, or something else on the way to it."""

    request: Submission
    data: bytes


@dataclass(frozen=True, slots=True)
class Warned:
    """The worker sent a warning."""

    request: Submission
    warning: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The worker told how far it is."""

    request: Submission
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Completed:
    """The job ended well.  Nothing comes for this submission after that."""

    request: Submission
    result: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ended badly, with the worker's exception if it told one.  Nothing comes after."""

    request: Submission
    exception: bytes | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection went away before the answer, or before the end of the job, came."""

    request: Request
    reason: str


Answer = Created | StatusKnown | Echoed | Refused | Lost
Ending = Completed | Failed | Lost
Event = (
    Created | StatusKnown | Echoed | Refused | Data | Warned | Progress | Completed | Failed | Lost
)


class _Sharers:
    """The submissions of this connection that share one job, because they were coalesced.

    The server sends one copy of each packet for each of them, the copies of one packet side by
    side.  So the copies are dealt out in turn, and each submission gets each packet once.
    """

    __slots__ = ("_next", "submissions")

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self._next = 0

    def join(self, submission: Submission) -> None:
        self.submissions.append(submission)
        self._next = 0  # JOB_CREATED comes between two packets of the job, never between copies

    def turn(self) -> Submission:
        submission = self.submissions[self._next]
        self._next = (self._next + 1) % len(self.submissions)
        return submission


@final
class ClientCore:
    """A client's side of one connection, from its first byte to its last.

    After ``receive`` look at ``broken``: once it is an error, the peer does not speak Gearman, so
    close the connection and call ``lost``.  After that ``gone`` says why; ask nothing more.
    """

    def __init__(self) -> None:
        self.broken: RemoteProtocolError | None = None
        self.gone: str | None = None
        self._parser = PacketParser(p.RES, REPLY_BYTES_MAX)
        self._output: list[bytes] = []
        self._asked: deque[Request] = deque()
        self._jobs: dict[bytes, _Sharers] = {}
        self._last_words: ServerError | None = None
        # Without it a job whose worker raised an exception ends without a reason.  Servers that
        # refuse or ignore it are fine.
        self._ask(OptionRequest(b"exceptions"), codec.request(p.OPTION_REQ, b"exceptions"))

    # ---- asking

    def submit(
        self,
        function: bytes,
        payload: bytes,
        *,
        unique: bytes = b"",
        priority: Priority = Priority.NORMAL,
        background: bool = False,
    ) -> Submission:
        """Submits a job.  Answered by Created, Refused or Lost; in the foreground the events of
        the job follow.

        Raises InvalidArgument if a name holds a NUL, which ends it on the wire.
        """
        submission = Submission(_name("function", function), _name("unique", unique), background)
        number = _SUBMITS[priority, background]
        self._ask(submission, codec.request(number, function, unique, payload))
        return submission

    def status(self, handle: bytes) -> StatusRequest:
        """Asks about a job.  Answered by StatusKnown, Refused or Lost."""
        request = StatusRequest(_name("handle", handle))
        self._ask(request, codec.request(p.GET_STATUS, handle))
        return request

    def echo(self, payload: bytes) -> EchoRequest:
        """Has the server send something back.  Answered by Echoed, Refused or Lost."""
        request = EchoRequest()
        self._ask(request, codec.request(p.ECHO_REQ, payload))
        return request

    def take(self) -> bytes:
        """The bytes to write now, which then are gone from here."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def _ask(self, request: Request, packet: bytes) -> None:
        self._asked.append(request)
        self._output.append(packet)

    # ---- hearing

    def receive(self, data: bytes) -> list[Event]:
        """Bytes arrived: what they say, in order."""
        events: list[Event] = []
        if self.broken is not None:
            return events
        for number, body in self._parser.feed(data):
            try:
                self._hear(number, body, events)
            except RemoteProtocolError as error:
                self.broken = error
                return events
        self.broken = self._parser.broken
        return events

    def lost(self, reason: str) -> list[Event]:
        """The connection is gone: every request without an answer, and every job without an end,
        is lost with it.  ``reason`` is a sentence; the last words of the server are put behind it,
        in case it said why it would close."""
        if self._last_words is not None:
            reason += f"; before that {self._last_words}"
        self.gone = reason
        requests = [request for request in self._asked if not isinstance(request, OptionRequest)]
        for sharers in self._jobs.values():
            requests.extend(sharers.submissions)
        self._asked.clear()
        self._jobs.clear()
        self._output.clear()
        return [Lost(request, reason) for request in requests]

    def _hear(self, number: int, body: bytes, events: list[Event]) -> None:
        if number == p.TEXT:
            raise RemoteProtocolError(f"it sent text: {body[:80]!r}")
        if number == p.WRONG_MAGIC:
            raise RemoteProtocolError("it sent a request where replies are read")
        self._last_words = None
        if number in _WORK:
            self._hear_work(number, codec.split(number, body), events)
        elif number == p.ERROR:
            code, text = codec.split(number, body)
            self._hear_error(code, text, events)
        elif number in _ANSWERS:
            self._hear_answer(number, codec.split(number, body), events)
        # Anything else is news of a newer protocol, or a worker's business.

    def _hear_answer(self, number: int, fields: list[bytes], events: list[Event]) -> None:
        match self._answered(number):
            case Submission() as submission:
                submission.handle = codec.trimmed(fields[0])
                if not submission.background:
                    self._jobs.setdefault(submission.handle, _Sharers()).join(submission)
                events.append(Created(submission))
            case StatusRequest() as request:
                known, running, numerator, denominator = map(codec.leading_integer, fields[1:])
                status = JobStatus(known != 0, running != 0, numerator, denominator)
                events.append(StatusKnown(request, status))
            case EchoRequest() as request:
                events.append(Echoed(request, fields[0]))

    def _answered(self, number: int) -> Request | None:
        """The oldest request that such a packet answers, which then waits no more.

        None if nobody asked.  It is the oldest of all, but for options before it, which some old
        servers do not answer.
        """
        while self._asked:
            request = self._asked[0]
            if request.answer == number:
                return self._asked.popleft()
            if not isinstance(request, OptionRequest):
                break
            self._asked.popleft()
        return None

    def _hear_error(self, code: bytes, text: bytes, events: list[Event]) -> None:
        error = ServerError(code.decode("utf-8", "replace"), text.decode("utf-8", "replace"))
        request = self._asked.popleft() if self._asked else None
        if request is None or isinstance(request, OptionRequest):
            # Nothing that anybody waits for; but if the connection ends next, this is why.
            self._last_words = error
        else:
            events.append(Refused(request, error))

    def _hear_work(self, number: int, fields: list[bytes], events: list[Event]) -> None:
        handle = fields[0]
        if number == p.WORK_FAIL:
            handle = codec.trimmed(handle)  # gearmand puts a NUL behind it
        sharers = self._jobs.get(handle)
        if sharers is None:
            return  # late: a further copy of the end, or of a job that was given up
        if number == p.WORK_DATA:
            events.append(Data(sharers.turn(), fields[1]))
        elif number == p.WORK_WARNING:
            events.append(Warned(sharers.turn(), fields[1]))
        elif number == p.WORK_STATUS:
            numerator, denominator = map(codec.leading_integer, fields[1:])
            events.append(Progress(sharers.turn(), numerator, denominator))
        else:
            # One copy is enough to end all: so nobody waits for ever for a copy that a server
            # that does not count submissions never sends.
            del self._jobs[handle]
            for submission in sharers.submissions:
                if number == p.WORK_COMPLETE:
                    events.append(Completed(submission, fields[1]))
                else:
                    events.append(Failed(submission, fields[1] if len(fields) > 1 else None))


def _name(what: str, name: bytes) -> bytes:
    if b"\0" in name:
        raise InvalidArgument(f"the {what} {name!r} holds a NUL byte, which no {what} may")
    return name
