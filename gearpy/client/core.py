"""One client connection's conversation, without I/O.

    core.submit(...), status(...), echo(...)   ask; each returns its request
    core.extend(), cancel(...), operate(...)   the same, for what takes a gearpy-server
    core.take() -> bytes                       bytes to write to the server
    core.receive(data) -> events               bytes that arrived
    core.lost(reason) -> events                the connection is gone

Requests are answered in the order in which they were made: that is how JOB_CREATED and ERROR find
theirs.  Events name the request that they belong to.  The shell around a core moves the bytes and
wakes whoever waits.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

from gearpy.client.options import NO_OPTIONS, Options, extended_submit, standard_submit
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

# What only gearpy's servers know is asked for under this name.
EXTENSION: Final = b"gearpy"
_NO_JOB: Final = b"H:gearpy:0"  # the handle of none

_ANSWERS: Final = frozenset(
    (p.JOB_CREATED, p.STATUS_RES, p.ECHO_RES, p.OPTION_RES, p.CANCEL_RES, p.OPERATE_RES)
)
_WORK: Final = frozenset(
    (
        p.WORK_DATA,
        p.WORK_WARNING,
        p.WORK_STATUS,
        p.WORK_PROGRESS,
        p.WORK_COMPLETE,
        p.WORK_FAIL,
        p.WORK_EXCEPTION,
    )
)


# ---- requests


@dataclass(slots=True, eq=False)
class Request:
    """Something asked of the server.  ``answer`` is the packet that answers it, unless ERROR.

    ``skippable`` is for what a server may leave unanswered: the answer to a later request shows it.
    """

    answer: ClassVar[int]
    skippable: ClassVar[bool] = False


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
    skippable = True

    option: bytes


@dataclass(slots=True, eq=False)
class ExtensionRequest(OptionRequest):
    """The wish for gearpy's own packets; whoever has it waits for the answer."""


@dataclass(slots=True, eq=False)
class Probe(Request):
    """A question that every server answers, only to have an answer."""

    answer = p.STATUS_RES
    skippable = True


@dataclass(slots=True, eq=False)
class CancelRequest(Request):
    """A job that is to end now."""

    answer = p.CANCEL_RES

    handle: bytes


@dataclass(slots=True, eq=False)
class OperateRequest(Request):
    """Something that an operator wants to know or to be done."""

    answer = p.OPERATE_RES


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
class Extended:
    """The answer to an ExtensionRequest: whether the server speaks gearpy's own packets."""

    request: ExtensionRequest
    granted: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer to a CancelRequest: whether there was an unfinished job to cancel."""

    request: CancelRequest
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Operated:
    """The answer to an OperateRequest."""

    request: OperateRequest
    answer: dict[str, Any]


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
    """The worker told how far it is; in words, too, if ``want_words`` was called and the server
    passes them on."""

    request: Submission
    numerator: int
    denominator: int
    text: bytes = b""


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
    """The connection went away before the answer, or before the end of the job, came.

    ``last_words`` are an ERROR that the server sent just before, and that answered nothing.
    """

    request: Request
    reason: str
    last_words: ServerError | None = None


Answer = Created | StatusKnown | Echoed | Extended | Cancelled | Operated | Refused | Lost
Ending = Completed | Failed | Lost
Event = Answer | Data | Warned | Progress | Completed | Failed


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

    ``extended`` is whether the server speaks gearpy's own packets, and None until that is known.
    Send them only where it does: others hang up on what they do not know.
    """

    def __init__(self) -> None:
        self.broken: RemoteProtocolError | None = None
        self.gone: str | None = None
        self.extended: bool | None = None
        self._parser = PacketParser(p.RES, REPLY_BYTES_MAX)
        self._output: list[bytes] = []
        self._asked: deque[Request] = deque()
        self._jobs: dict[bytes, _Sharers] = {}
        self._last_words: ServerError | None = None
        self._wants_words = False
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
        options: Options = NO_OPTIONS,
    ) -> Submission:
        """Submits a job.  Answered by Created, Refused or Lost; in the foreground the events of
        the job follow.

        ``options`` are as ``read_options`` gives them.  Where ``standard_submit`` finds no standard
        packet for all this, the server has to speak gearpy's.
        Raises InvalidArgument if a name holds a NUL, which ends it on the wire.
        """
        submission = Submission(
            checked_name("function", function), checked_name("unique", unique), background
        )
        number, between = standard_submit(priority, background, options) or extended_submit(
            priority, background, options
        )
        self._ask(submission, codec.request(number, function, unique, *between, payload))
        return submission

    def status(self, handle: bytes) -> StatusRequest:
        """Asks about a job.  Answered by StatusKnown, Refused or Lost."""
        request = StatusRequest(checked_name("handle", handle))
        self._ask(request, codec.request(p.GET_STATUS, handle))
        return request

    def echo(self, payload: bytes) -> EchoRequest:
        """Has the server send something back.  Answered by Echoed, Refused or Lost."""
        request = EchoRequest()
        self._ask(request, codec.request(p.ECHO_REQ, payload))
        return request

    def extend(self) -> ExtensionRequest:
        """Asks whether the server speaks gearpy's own packets.  Answered by Extended or Lost.

        Every server answers GET_STATUS (and not every one an echo).  So one that does not know what
        to say about an option is found out by the question behind it, without waiting for an answer
        that never comes.
        """
        request = ExtensionRequest(EXTENSION)
        self._ask(request, codec.request(p.OPTION_REQ, EXTENSION))
        self._ask(Probe(), codec.request(p.GET_STATUS, _NO_JOB))
        return request

    def want_words(self) -> None:
        """Asks for the words that workers put to their progress, which gearpy's servers pass on.

        Waits for no answer: other servers may have none, and send numbers only.
        """
        if not self._wants_words:
            self._wants_words = True
            self._ask(OptionRequest(EXTENSION), codec.request(p.OPTION_REQ, EXTENSION))

    def cancel(self, handle: bytes) -> CancelRequest:
        """Ends a job.  Answered by Cancelled, Refused or Lost.  Takes a gearpy-server."""
        request = CancelRequest(checked_name("handle", handle))
        self._ask(request, codec.request(p.CANCEL_JOB, handle))
        return request

    def operate(self, wish: Mapping[str, object]) -> OperateRequest:
        """Asks for what an operator wants.  Answered by Operated, Refused or Lost.  Takes a
        gearpy-server.  Raises TypeError or ValueError if JSON has no word for something."""
        request = OperateRequest()
        self._ask(request, codec.request(p.OPERATE, codec.packed(wish)))
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
        requests = [request for request in self._asked if _is_awaited(request)]
        for sharers in self._jobs.values():
            requests.extend(sharers.submissions)
        self._asked.clear()
        self._jobs.clear()
        self._output.clear()
        return [Lost(request, reason, self._last_words) for request in requests]

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
        # Before anybody's question counts as answered: this may raise.
        operated = codec.unpacked("OPERATE_RES", fields[0]) if number == p.OPERATE_RES else {}
        match self._answered(number, events):
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
            case ExtensionRequest() as request:
                self._extended(request, True, events)
            case CancelRequest() as request:
                events.append(Cancelled(request, codec.leading_integer(fields[1]) != 0))
            case OperateRequest() as request:
                events.append(Operated(request, operated))

    def _answered(self, number: int, events: list[Event]) -> Request | None:
        """The oldest request that such a packet answers, which then waits no more.

        None if nobody asked.  It is the oldest of all, but for those before it that a server may
        skip, as some old ones do with options.
        """
        while self._asked:
            request = self._asked[0]
            if request.answer == number:
                return self._asked.popleft()
            if not request.skippable:
                break
            self._asked.popleft()
            if isinstance(request, ExtensionRequest):
                self._extended(request, False, events)
        return None

    def _extended(self, request: ExtensionRequest, granted: bool, events: list[Event]) -> None:
        self.extended = granted
        events.append(Extended(request, granted))

    def _hear_error(self, code: bytes, text: bytes, events: list[Event]) -> None:
        error = ServerError(code.decode("utf-8", "replace"), text.decode("utf-8", "replace"))
        request = self._asked.popleft() if self._asked else None
        if request is None or request.skippable:
            # Nothing that anybody waits for; but if the connection ends next, this is why.
            self._last_words = error
            if isinstance(request, ExtensionRequest):
                self._extended(request, False, events)
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
        elif number in (p.WORK_STATUS, p.WORK_PROGRESS):
            numerator, denominator = map(codec.leading_integer, fields[1:3])
            events.append(Progress(sharers.turn(), numerator, denominator, *fields[3:]))
        else:
            # One copy is enough to end all: so nobody waits for ever for a copy that a server
            # that does not count submissions never sends.
            del self._jobs[handle]
            for submission in sharers.submissions:
                if number == p.WORK_COMPLETE:
                    events.append(Completed(submission, fields[1]))
                else:
                    events.append(Failed(submission, fields[1] if len(fields) > 1 else None))


def _is_awaited(request: Request) -> bool:
    return not request.skippable or isinstance(request, ExtensionRequest)


def checked_name(what: str, name: bytes) -> bytes:
    """The name, if it can travel.  Raises InvalidArgument if it holds a NUL."""
    if b"\0" in name:
        raise InvalidArgument(f"the {what} {name!r} holds a NUL byte, which no {what} may")
    return name
