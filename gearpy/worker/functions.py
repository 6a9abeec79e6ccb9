"""Registered functions: what one is given, and how its answer is sent."""

import asyncio
import inspect
import json
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeVar, final

from gearpy.errors import FailJob, InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol.codec import decoded, encoded
from gearpy.worker.core import Assignment

log: Final = logging.getLogger("gearpy.worker")

_Returned = TypeVar("_Returned")

_GRACE_MS: Final = 5_000

COUNT_MAX: Final = 0xFFFFFFFF  # what a server keeps of progress


class Reporter(Protocol):
    """Where a running job's news go; each is sent at once.  Raises ConnectionLost.

    ``cancelled`` is the other way round: whether the server has said that of the job by now.  It
    does not wait, and raises nothing.  ``drained`` waits until not much is under way any more.
    """

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None: ...

    def data(self, handle: bytes, data: bytes) -> None: ...

    def warning(self, handle: bytes, warning: bytes) -> None: ...

    def cancelled(self, handle: bytes) -> bool: ...

    async def drained(self) -> None: ...


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
        terms = assignment.terms
        self.handle = decoded(assignment.handle)
        self.function = decoded(assignment.function)
        self.unique = decoded(assignment.unique)
        self.data = assignment.payload
        self.attempt: int = terms.attempt
        self.attempts: int | None = terms.attempts
        self.deadline_s: float | None = terms.deadline_s
        self.created_s: float | None = terms.created_s
        self.priority: Priority | None = terms.priority
        self.key: str = terms.key
        self.labels: Mapping[str, str] = terms.labels
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

    async def drained(self) -> None:
        """Waits until the server has taken most of what was sent.

        Only a coroutine function of an ``AsyncWorker`` needs this, after each part of much: there,
        what is sent waits in memory.  Everywhere else sending is what waits, and this does not.
        Raises ConnectionLost.
        """
        await self._reporter.drained()


JobFunction = Callable[..., Any]

Middleware = Callable[[Job, Callable[[], Any]], Any]


class Codec(Protocol):
    """How payloads and answers become what a function takes and gives."""

    def encode(self, value: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> Any: ...


class _Json:
    """JSON, as UTF-8.  An empty payload is null."""

    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data or b"null")


class _Bytes:
    """Payloads as they are."""

    def encode(self, value: Any, /) -> bytes:
        return _encode_answer(value)

    def decode(self, data: bytes, /) -> bytes:
        return data


CodecName = Literal["json", "bytes"]
_CODECS: Final[Mapping[str, Codec]] = {"json": _Json(), "bytes": _Bytes()}


@dataclass(frozen=True, slots=True)
class Registration:
    """A function under its name.  ``timeout_ms`` is 0 for none, ``concurrency`` None for no limit
    of its own, ``codec`` None for a function that takes the ``Job`` itself."""

    name: bytes
    function: JobFunction
    timeout_ms: int
    concurrency: int | None = None
    codec: Codec | None = None
    takes_job: bool = False
    is_coroutine: bool = False
    is_stopped: bool = False  # by this worker, when its time is up

    @property
    def server_timeout_ms(self) -> int:
        """When the server is to give the job to another worker; 0: never.  Where this worker stops
        the function itself, and says so, that is only in case it could not."""
        return self.timeout_ms + (_GRACE_MS if self.timeout_ms and self.is_stopped else 0)

    def call(self, job: Job) -> Any:
        """Calls the function: what it returns, not encoded; of a coroutine function a coroutine."""
        if self.codec is None:
            return self.function(job)
        value = self.codec.decode(job.data)
        return self.function(value, job) if self.takes_job else self.function(value)

    def encode(self, answer: Any) -> bytes:
        """The answer as it travels."""
        return _encode_answer(answer) if self.codec is None else self.codec.encode(answer)


@dataclass(frozen=True, slots=True)
class Returned:
    """The function did its job; this is its answer as bytes."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised an exception; this is what the client is told of it.  Or it did not end
    by itself: it took too long, or its process is gone."""

    exception: bytes
    cause: Literal["exception", "timeout", "lost"] = "exception"


def registration(
    name: str | bytes,
    function: JobFunction,
    timeout_s: float | None,
    concurrency: int | None = None,
    codec: CodecName | Codec | None = None,
) -> Registration:
    """Checks what a user registers.

    Raises InvalidArgument for a bad name, timeout, concurrency or codec, TypeError for what can't
    be called.
    """
    name_bytes = encoded("a function's name", name)
    if not name_bytes or b"\0" in name_bytes:
        raise InvalidArgument(f"a function's name is not empty and holds no NUL: {name!r} won't do")
    if not callable(function):
        raise TypeError(f"{function!r} can't be called, so it can't do the jobs of {name!r}")
    if concurrency is not None and concurrency < 1:
        raise InvalidArgument(
            f"the concurrency of {name!r} is a number of jobs from 1 on, or None; not {concurrency}"
        )
    return Registration(
        name_bytes,
        function,
        0 if timeout_s is None else timeout_ms(name, timeout_s),
        concurrency,
        _read_codec(name, codec),
        codec is not None and "job" in inspect.signature(function).parameters,
        inspect.iscoroutinefunction(function),
        inspect.iscoroutinefunction(function),
    )


def timeout_ms(name: str | bytes, timeout_s: float) -> int:
    """The timeout of a function as it travels.  Raises InvalidArgument."""
    if not 0 < timeout_s < math.inf:
        raise InvalidArgument(
            f"the timeout of {name!r} is a number of seconds above 0, or None; not {timeout_s!r}"
        )
    return math.ceil(timeout_s * 1000)


def _read_codec(name: str | bytes, codec: CodecName | Codec | None) -> Codec | None:
    if codec is None:
        return None
    if isinstance(codec, str):
        if codec in _CODECS:
            return _CODECS[codec]
    elif callable(getattr(codec, "encode", None)) and callable(getattr(codec, "decode", None)):
        return codec
    raise InvalidArgument(
        f"the codec of {name!r} is one of {', '.join(map(repr, _CODECS))} or an object with encode"
        f" and decode, not {codec!r}"
    )


def perform(
    registration: Registration, job: Job, middlewares: Sequence[Middleware] = ()
) -> Returned | Raised:
    """Calls the function, inside of the middlewares, the first one outermost.  An Exception is
    logged with its traceback, and told; what is worse (KeyboardInterrupt, SystemExit) is raised."""
    try:
        if registration.is_coroutine:
            answer = _around(middlewares, job, lambda: run_here(in_time(registration, job)))
        elif middlewares:
            answer = _around(middlewares, job, lambda: registration.call(job))
        else:
            answer = registration.call(job)
        return Returned(registration.encode(answer))
    except Exception as error:
        return raised(job, error)


async def perform_async(
    registration: Registration,
    job: Job,
    middlewares: Sequence[Middleware],
    call: Callable[[], Awaitable[Any]],
) -> Returned | Raised:
    """The same for an event loop: awaits what ``call`` gives, inside of the middlewares, which are
    coroutine functions."""
    try:
        return Returned(registration.encode(await _around(middlewares, job, call)))
    except Exception as error:
        return raised(job, error)


class JobTimeout(TimeoutError):
    """A function took longer than it may, and was stopped."""


def raised(job: Job, error: Exception) -> Raised:
    """What the client is told of an exception, which is logged with its traceback, unless the
    function meant it so."""
    if isinstance(error, FailJob):
        log.info("job %s: %s failed: %s", job.handle, job.function, error)
    else:
        log.error(
            "job %s: the function %r raised an exception", job.handle, job.function, exc_info=error
        )
    return Raised(
        _describe(error).encode("utf-8", "backslashreplace"),
        "timeout" if isinstance(error, JobTimeout) else "exception",
    )


def overran(registration: Registration) -> JobTimeout:
    """What becomes of a function that was stopped."""
    return JobTimeout(
        f"{decoded(registration.name)} took longer than its {registration.timeout_ms / 1000:g} s,"
        " and was stopped"
    )


def _around(middlewares: Sequence[Middleware], job: Job, innermost: Callable[[], Any]) -> Any:
    if not middlewares:
        return innermost()
    first, *rest = middlewares
    return first(job, lambda: _around(rest, job, innermost))


_own = threading.local()


def run_here(coroutine: Coroutine[Any, Any, _Returned]) -> _Returned:
    """In an event loop of this thread, which stays for the next one."""
    runner: asyncio.Runner | None = getattr(_own, "runner", None)
    if runner is None:
        runner = _own.runner = asyncio.Runner()
    return runner.run(coroutine)


def close_loop() -> None:
    """Gives back the event loop of this thread, if it has run coroutine functions."""
    runner = getattr(_own, "runner", None)
    if runner is not None:
        del _own.runner
        runner.close()


async def in_time(registration: Registration, job: Job) -> Any:
    """Awaits a coroutine function's answer, and cancels it when its time is up."""
    try:
        async with asyncio.timeout(registration.timeout_ms / 1000 or None) as limit:
            return await registration.call(job)
    except TimeoutError:
        if limit.expired():
            raise overran(registration) from None
        raise


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
    """Type and message, as the last line of a traceback has them; of what was meant so its sentence
    only."""
    if isinstance(error, FailJob):
        return str(error)
    kind = TimeoutError if isinstance(error, JobTimeout) else type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except Exception:
        message = "<its message can't be told>"
    return f"{name}: {message}" if message else name
