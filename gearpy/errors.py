"""Every exception of gearpy, in one tree.

    GearpyError
    ├── RemoteProtocolError          the peer's bytes make no sense: answered, then closed
    │   ├── BadMagic                 not a Gearman header
    │   ├── UnknownPacket            a packet type that nobody knows
    │   ├── MalformedPacket          an argument block without its NULs
    │   ├── PayloadTooLarge          announced to be beyond the limit
    │   └── LineTooLong              a text command beyond the limit
    ├── RequestRefused               one request can't be granted: answered, the connection goes on
    │   ├── UnexpectedMagic          a reply was sent where requests are read
    │   ├── UnexpectedPacket         a packet that only a server sends
    │   ├── UnknownOption            OPTION_REQ for something that nobody knows
    │   ├── InvalidArgument          a value that is not allowed: a name, a time
    │   ├── ArgumentTooLarge         a function name, unique or reducer beyond its limit
    │   ├── QueueFull                the function's queue is at its limit
    │   ├── FunctionDraining         an operator lets the function's queue run empty
    │   ├── JournalFull              the disk of the journal is nearly full
    │   ├── TooManyFunctions         the server's or the connection's limit of functions
    │   ├── TooManyConnections       the server's limit of connections
    │   ├── ShuttingDown             the server drains and takes no new jobs
    │   ├── WorkerDropped            an operator closed the worker's connection
    │   ├── JobNotFound              a result for a job that the sender does not hold; an operator's
    │   │                            request for one that nobody knows
    │   ├── ScheduleNotFound         an operator's request for a schedule that there is not
    │   └── WorkerNotFound           an operator's request for a worker that is not connected
    ├── SettingError                 a setting has a bad value
    │   └── CannotOpenStore          the journal can't be opened, or not by this version
    ├── StoreFailed                  the journal can't be written or read any more
    ├── CannotListen                 an address can't be listened on
    ├── CannotConnect                no server answers there
    ├── ConnectionLost               the server went away
    ├── ServerError                  the server answered ERROR
    ├── NotAllSubmitted              of many jobs submitted together some were not taken
    ├── NotSupported                 the server does not know what only gearpy's servers know
    ├── JobFailed                    the worker said WORK_FAIL or WORK_EXCEPTION
    ├── FailJob                      for functions to raise: the job fails, as was to be expected
    │   └── BadErrand                a request or a command that can't be done, or is not allowed
    ├── ForgedCallback               a callback that the server did not send, or long ago
    └── WaitTimeout                  the result did not come in time (the job goes on)

The first two branches carry ``code``, the first word of the ERROR packet that tells the peer.
Codes are stable; a client may act on them.  Where gearmand has a word for the case, it is that
word.
"""

from collections.abc import Sequence
from typing import ClassVar


class GearpyError(Exception):
    """Something went wrong in gearpy."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class PeerError(GearpyError):
    """The peer asked for something that can't be done."""

    code: ClassVar[bytes] = b"INVALID_COMMAND"


class RemoteProtocolError(PeerError):
    """The peer sent something that the protocol does not allow."""


class BadMagic(RemoteProtocolError):
    """A packet starts with NUL REQ or NUL RES; this one does not."""

    code = b"INVALID_MAGIC"


class UnknownPacket(RemoteProtocolError):
    """Nobody knows this packet type."""


class MalformedPacket(RemoteProtocolError):
    """The packet has fewer NUL-separated arguments than its type needs."""

    code = b"INVALID_ARGUMENT"


class PayloadTooLarge(RemoteProtocolError):
    """The packet announces more bytes than this server takes."""

    code = b"ARGUMENT_TOO_LARGE"


class LineTooLong(RemoteProtocolError):
    """The text command is longer than this server takes."""

    code = b"LINE_TOO_LONG"


class RequestRefused(PeerError):
    """The request can't be granted."""


class UnexpectedMagic(RequestRefused):
    """Request magic expected"""

    code = b"INVALID_MAGIC"


class UnexpectedPacket(RequestRefused):
    """Command not expected"""


class UnknownOption(RequestRefused):
    """Server does not recognize given option"""

    code = b"UNKNOWN_OPTION"


class InvalidArgument(RequestRefused):
    """An argument has a value that is not allowed."""

    code = b"INVALID_ARGUMENT"


class ArgumentTooLarge(RequestRefused):
    """An argument is longer than allowed."""

    code = b"ARGUMENT_TOO_LARGE"


class QueueFull(RequestRefused):
    """Job queue is full"""

    code = b"QUEUE_ERROR"


class FunctionDraining(RequestRefused):
    """The queue of this function is being emptied and takes no new jobs."""

    code = b"QUEUE_ERROR"


class JournalFull(RequestRefused):
    """The disk of the journal is nearly full: no job can be made durable now."""

    code = b"JOURNAL_FULL"


class TooManyFunctions(RequestRefused):
    """The limit of functions is reached."""

    code = b"TOO_MANY_FUNCTIONS"


class TooManyConnections(RequestRefused):
    """The limit of connections is reached."""

    code = b"TOO_MANY_CONNECTIONS"


class ShuttingDown(RequestRefused):
    """The server is shutting down and takes no new jobs."""

    code = b"SHUTTING_DOWN"


class WorkerDropped(RequestRefused):
    """An operator closed this connection: its jobs are given to others."""

    code = b"WORKER_DROPPED"


class JobNotFound(RequestRefused):
    """Job given in work result not found"""

    code = b"JOB_NOT_FOUND"


class ScheduleNotFound(RequestRefused):
    """There is no schedule of that name."""

    code = b"SCHEDULE_NOT_FOUND"


class WorkerNotFound(RequestRefused):
    """No worker is connected from there."""

    code = b"WORKER_NOT_FOUND"


class SettingError(GearpyError):
    """A setting has a bad value."""


class CannotOpenStore(SettingError):
    """The journal can't be opened."""


class StoreFailed(GearpyError):
    """The journal can't be written or read any more."""


class CannotListen(GearpyError):
    """The server can't listen on an address."""


class CannotConnect(GearpyError):
    """No Gearman server answers at this address."""


class CannotStart(GearpyError):
    """A process of a worker could not be started."""


class NoSuchTarget(GearpyError):
    """What a worker's process is to run can't be imported."""


class ConnectionLost(GearpyError):
    """The connection to the Gearman server was lost."""


class ServerError(GearpyError):
    """The server answered with an ERROR packet; ``code`` is its first word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"the server answered {code}: {text}")
        self.code = code
        self.text = text


class NotAllSubmitted(GearpyError):
    """Of many jobs that were submitted together some were not taken.

    ``submitted`` has a place for each job up to the last one that was tried: what a submit of it
    returns, or None if it was not taken, or if that is not known.  ``error`` is the first reason.
    """

    def __init__(self, submitted: Sequence[object | None], error: Exception) -> None:
        taken = len(submitted) - submitted.count(None)
        super().__init__(f"{taken} jobs were submitted, then one was not: {error}")
        self.submitted = submitted
        self.error = error


class NotSupported(GearpyError):
    """The server does not support this: it takes a gearpy-server."""


class JobFailed(GearpyError):
    """The worker reported that the job failed; ``exception`` holds its WORK_EXCEPTION, if any."""

    def __init__(self, handle: str, exception: bytes | None = None) -> None:
        reason = "" if exception is None else ": " + exception.decode("utf-8", "replace")
        super().__init__(f"job {handle} failed{reason}")
        self.handle = handle
        self.exception = exception


class FailJob(GearpyError):
    """For functions to raise: their job fails with this sentence, as was to be expected.

    Any other exception fails it, too; it is logged with its traceback, and its name comes first.
    """


class BadErrand(FailJob):
    """A request or a command that can't be done as it was ordered, or is not allowed."""


class ForgedCallback(GearpyError):
    """A callback that does not come from the server, or comes much too late."""


class WaitTimeout(GearpyError, TimeoutError):
    """The answer did not come in the time that was given for it."""
