"""Registered functions: what one is given, and how its answer is sent."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final

from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol.codec import decoded, encoded
from gearpy.worker.core import Assignment

log: Final = logging.getLogger("gearpy.worker")

COUNT_MAX: Final = 0xFFFFFFFF  # what a server keeps of progress


class Reporter(Protocol):
    """Where a running job's news go; each is sent at once.  Raises ConnectionLost.

    ``cancelled`` is the other way round: whether the server has said that of the job by now.  It
    does not wait, and raises nothing.
    """

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None: ...

    def data(self, handle: bytes, data: bytes) -> None: ...

    def warning(self, handle: bytes, warning: bytes) -> None: ...

    def cancelled(self, handle: bytes) -> bool: ...


@final
class Job:
    """What a registered function is given: the job that it is to do.

    ``data`` is the payload, ``function`` the name under which it was submitted, ``unique`` the
    submitter's key for it (may be empty), ``handle`` the server's name for it.

    A gearpy-server tells more.  With any other server it is as if nothing was said:

    - ``attempt``: which attempt this is, from 1 on; 0 if the server does not say
    - ``attempts``: how many there are at most; None if there is no limit or it is not said
    - ``deadline_s``: when this attempt counts as failed; None for never, or not said
    - ``created_s``: when the job was submitted; None if not said
    - ``priority``: how urgent it is; None if not said
    - ``key``: what the job works on, as the submitter has it; "" if not said
    - ``labels``: names and values that the submitter gave it; empty if not said

    Times are in seconds since the epoch, on the server's clock.
    """

    def __init__(self, reporter: Reporter, assignment: Assignment) -> None:
        self.handle = decoded(assignment.handle)
        self.function = decoded(assignment.function)
        self.unique = decoded(assignment.unique)
        self.data = assignment.payload
        self.attempt: int = assignment.terms.attempt
        self.attempts: int | None = assignment.terms.attempts
        self.deadline_s: float | None = assignment.terms.deadline_s
        self.created_s: float | None = assignment.terms.created_s
        self.priority: Priority | None = assignment.terms.priority
        self.key: str = assignment.terms.key
        self.labels: Mapping[str, str] = assignment.terms.labels
        self._handle = assignment.handle
        self._reporter = reporter
        self._cancelled = False

    @property
    def remaining_s(self) -> float | None:
        """How many seconds this attempt may still take, 0 if its time is up, None if there is no
        limit (or none that is known).  Right if the clocks of server and worker agree."""
        return None if self.deadline_s is None else max(self.deadline_s - time.time(), 0.0)

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled by now, so that its result matters to nobody.

        A function that takes long may look at this from time to time and return early; what it
        returns or raises then is not sent.  Does not wait for anything.  Servers other than
        gearpy-server do not tell, so with them it stays False.
        """
        self._cancelled = self._cancelled or self._reporter.cancelled(self._handle)
        return self._cancelled

    def progress(self, numerator: int, denominator: int, text: bytes | str = "") -> None:
        """Tells whoever waits that ``numerator`` of ``denominator`` is done.

        ``text`` says it in words; it is for reports (``gearpy job``), and servers other than
        gearpy-server are not told it.
        Raises InvalidArgument unless both are whole numbers from 0 to 4294967295.
        """
        counts: tuple[object, ...] = (numerator, denominator)
        for count in counts:
            if not isinstance(count, int) or not 0 <= count <= COUNT_MAX:
                raise InvalidArgument(
                    f"progress is told in whole numbers from 0 to {COUNT_MAX}, not {count!r}"
                )
        words = encoded("a text", text)
        self._reporter.progress(self._handle, numerator, denominator, words)

    def send_data(self, data: bytes | str) -> None:
        """Sends a part of what the job gives; it is not part of the result."""
        self._reporter.data(self._handle, encoded("a part", data))

    def warn(self, message: bytes | str) -> None:
        """Sends a warning; the job goes on."""
        self._reporter.warning(self._handle, encoded("a warning", message))


JobFunction = Callable[[Job], bytes | str | None]


@dataclass(frozen=True, slots=True)
class Registration:
    """A function under its name.  ``timeout_ms`` is 0 for none."""

    name: bytes
    function: JobFunction
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Returned:
    """The function did its job; this is its answer as bytes."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised an exception; this is what the client is told of it."""

    exception: bytes


def registration(name: str | bytes, function: JobFunction, timeout_s: float | None) -> Registration:
    """Checks what a user registers.

    Raises InvalidArgument for a bad name or timeout, TypeError for what can't be called.
    """
    name_bytes = encoded("a function's name", name)
    if not name_bytes or b"\0" in name_bytes:
        raise InvalidArgument(f"a function's name is not empty and holds no NUL: {name!r} won't do")
    if not callable(function):
        raise TypeError(f"{function!r} can't be called, so it can't do the jobs of {name!r}")
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise InvalidArgument(
            f"the timeout of {name!r} is a number of seconds above 0, or None; not {timeout_s!r}"
        )
    return Registration(name_bytes, function, math.ceil((timeout_s or 0) * 1000))


def perform(registration: Registration, job: Job) -> Returned | Raised:
    """Calls the function.  An Exception is logged with its traceback, and told; what is worse
    (KeyboardInterrupt, SystemExit) is raised."""
    try:
        return Returned(_encode_answer(registration.function(job)))
    except Exception as error:
        log.exception("job %s: the function %r raised an exception", job.handle, job.function)
        return Raised(_describe(error).encode("utf-8", "backslashreplace"))


def _encode_answer(answer: object) -> bytes:
    match answer:
        case None:
            return b""
        case bytes() | str():
            return encoded("an answer", answer)
    raise TypeError(
        f"a job's function returns bytes, str or None; this one returned {type(answer).__name__}"
    )


def _describe(error: Exception) -> str:
    """Type and message, as the last line of a traceback has them."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except Exception:
        message = "<its message can't be told>"
    return f"{name}: {message}" if message else name
