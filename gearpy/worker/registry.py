"""What a worker can do: functions by name, and what stands around them."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeVar

from gearpy.address import read_addresses, tls_context
from gearpy.errors import InvalidArgument
from gearpy.worker.functions import (
    Codec,
    CodecName,
    JobFunction,
    Middleware,
    Registration,
    registration,
    timeout_ms,
)

TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 60.0

_Function = TypeVar("_Function", bound=JobFunction)
_Hook = TypeVar("_Hook", bound=Callable[[], object])


class Registry:
    """The part of every worker that is told before it runs."""

    _awaits = False

    def __init__(
        self,
        servers: str | Iterable[str] | None,
        concurrency: int,
        timeout_s: float | None,
        stop_timeout_s: float | None,
        reconnect: bool,
    ) -> None:
        self._addresses = read_addresses(servers)
        self._concurrency = _checked(concurrency)
        self._timeout_s = timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._reconnect = reconnect
        self._is_replaced = False  # by another process, when this one ends
        self._functions: dict[bytes, Registration] = {}
        self._middlewares: list[Middleware] = []
        self._start_hooks: list[Callable[[], object]] = []
        self._stop_hooks: list[Callable[[], object]] = []

    def register(
        self,
        name: str | bytes,
        function: JobFunction,
        timeout: float | None = None,
        *,
        concurrency: int | None = None,
        codec: CodecName | Codec | None = None,
    ) -> None:
        """From the next ``run`` on, jobs of ``name`` are done by ``function``.

        It is called with a ``Job`` and returns the result: bytes, str (sent as UTF-8) or None (an
        empty result).  With a ``codec`` it is called with the decoded payload instead, and with the
        ``Job`` behind that if it has a parameter ``job``; what it returns is encoded.  A codec is
        "json", "bytes", or an object with ``encode(value)`` and ``decode(data)``.  It may be a
        coroutine function.  If it raises an exception, or the payload can't be decoded, the client
        is told type and message (WORK_EXCEPTION), the traceback is logged, and the worker goes on.

        ``timeout`` is in seconds.  A coroutine is cancelled then, and a process is killed
        (``processes=True``): the job fails, and a gearpy-server knows why (cause ``timeout``).  A
        plain function can't be stopped in its thread: there the server gives the job to another
        worker after that time, but after less than one second in no case, and what the function
        returns later is for nobody.  (It is sent in milliseconds, as gearmand has it: a server that
        was started with ``--timeout-unit s`` would take these for seconds.)

        ``concurrency`` is how many jobs of this function run at a time, beside what the worker
        allows.  Raises InvalidArgument for a bad name, timeout, concurrency or codec.
        """
        made = registration(name, function, timeout, concurrency, codec)
        self._functions[made.name] = made

    def function(
        self,
        name: str | bytes,
        *,
        timeout: float | None = None,
        concurrency: int | None = None,
        codec: CodecName | Codec | None = None,
    ) -> Callable[[_Function], _Function]:
        """Registers what stands below: ``@worker.function("resize", timeout=60)``.

        The function stays what it is.  See ``register``.
        """

        def decorate(function: _Function) -> _Function:
            self.register(name, function, timeout, concurrency=concurrency, codec=codec)
            return function

        return decorate

    def use(self, middleware: Middleware) -> Middleware:
        """Puts something around every job: ``middleware(job, call_next)`` is called instead of the
        function, and returns what ``call_next()`` returns, or something else, or raises.

        The first one is the outermost.  May be written as a decorator.  Raises InvalidArgument for
        a coroutine function where a plain one is called, or the other way round.
        """
        if inspect.iscoroutinefunction(middleware) is not self._awaits:
            needs = "coroutine" if self._awaits else "plain"
            raise InvalidArgument(
                f"{type(self).__name__} calls {needs} functions as middleware, and"
                f" {middleware!r} is none"
            )
        self._middlewares.append(middleware)
        return middleware

    def on_start(self, hook: _Hook) -> _Hook:
        """Has ``run`` call this before it connects: to open a database, for example."""
        self._check_hook(hook)
        self._start_hooks.append(hook)
        return hook

    def on_stop(self, hook: _Hook) -> _Hook:
        """Has ``run`` call this before it returns, however it ends; the last one first."""
        self._check_hook(hook)
        self._stop_hooks.append(hook)
        return hook

    @property
    def servers(self) -> list[str]:
        """The addresses of its servers."""
        return [str(address) for address in self._addresses]

    @property
    def stop_timeout(self) -> float | None:
        """How many seconds its jobs get to finish when it is stopped; None for any time."""
        return self._stop_timeout_s

    def adapt(
        self,
        servers: str | Iterable[str] | None = None,
        concurrency: int | None = None,
        stop_timeout: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Takes these for the next ``run`` in place of what it was made with; None: as it is.
        ``timeout`` is for functions that were registered without one.

        For a supervisor, which runs a worker that somebody else's program made, and puts another
        process in the place of one that ends: so from now on the worker ends where a function that
        can't be stopped takes longer than it may.  Raises as making a worker does.
        """
        self._is_replaced = True
        if timeout is not None:
            for name, each in self._functions.items():
                if not each.timeout_ms:
                    self._functions[name] = replace(each, timeout_ms=timeout_ms(name, timeout))
        if servers is not None:
            self._addresses = read_addresses(servers)
        if concurrency is not None:
            self._concurrency = _checked(concurrency)
        if stop_timeout is not None:
            self._stop_timeout_s = stop_timeout

    def _check_hook(self, hook: Callable[[], object]) -> None:
        if inspect.iscoroutinefunction(hook) and not self._awaits:
            raise InvalidArgument(
                f"{type(self).__name__} calls plain functions as hooks, and {hook!r} is none"
            )

    def _check(self) -> None:
        """Whether it makes sense to run at all.  Raises InvalidArgument and SettingError."""
        if not self._functions:
            raise InvalidArgument("this worker can do nothing: register a function before run()")
        for address in self._addresses:
            if address.tls is not None:
                tls_context(address.tls)  # files that are no good do not get better


def _checked(concurrency: int) -> int:
    if concurrency < 1:
        raise InvalidArgument(f"concurrency is a number of jobs from 1 on, not {concurrency}")
    return concurrency
