"""Registered functions: what one is given, and how its answer is sent."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, final

from gearpy.errors import InvalidArgument
from gearpy.protocol.codec import decoded, encoded

log: Final = logging.getLogger("gearpy.worker")

COUNT_MAX: Final = 0xFFFFFFFF  # what a server keeps of progress


class Reporter(Protocol):
    """Where a running job's news go; each is sent at once.  Raises ConnectionLost."""

    def progress(self, handle: bytes, numerator: int, denominator: int) -> None: ...

    def data(self, handle: bytes, data: bytes) -> None: ...

    def warning(self, handle: bytes, warning: bytes) -> None: ...


@final
class Job:
    """What a registered function is given: the job that it is to do.

    ``data`` is the payload, ``function`` the name under which it was submitted, ``unique`` the
    submitter's key for it (may be empty), ``handle`` the server's name for it.
    """

    def __init__(
        self, reporter: Reporter, handle: bytes, function: bytes, unique: bytes, data: bytes
    ) -> None:
        self.handle = decoded(handle)
        self.function = decoded(function)
        self.unique = decoded(unique)
        self.data = data
        self._handle = handle
        self._reporter = reporter

    def progress(self, numerator: int, denominator: int) -> None:
        """Tells whoever waits that ``numerator`` of ``denominator`` is done.

        Raises InvalidArgument unless both are whole numbers from 0 to 4294967295.
        """
        counts: tuple[object, ...] = (numerator, denominator)
        for count in counts:
            if not isinstance(count, int) or not 0 <= count <= COUNT_MAX:
                raise InvalidArgument(
                    f"progress is told in whole numbers from 0 to {COUNT_MAX}, not {count!r}"
                )
        self._reporter.progress(self._handle, numerator, denominator)

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
