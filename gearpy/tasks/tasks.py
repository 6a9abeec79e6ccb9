"""Functions that can be called here, or submitted to be called by a worker."""

import asyncio
import functools
import inspect
import threading
import weakref
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import contextmanager
from contextvars import ContextVar
from typing import (
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    final,
    overload,
)

from gearpy.client.aio import AsyncClient, AsyncClientJob
from gearpy.client.blocking import TIMEOUT_S, BlockingClient, ClientJob
from gearpy.client.core import JobStatus
from gearpy.client.desk import JobProgress
from gearpy.client.options import SubmitOptions
from gearpy.client.sync import Client
from gearpy.client.wishes import read_wish
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.tasks.arguments import Arguments
from gearpy.worker.functions import Job
from gearpy.worker.registry import Registry
from gearpy.worker.sync import Worker

_P = ParamSpec("_P")
_R = TypeVar("_R")

_current: Final[ContextVar[Job]] = ContextVar("gearpy_job")
_NO_OPTIONS: Final = ("unique", "priority", "resubmit")


def current_job() -> Job:
    """The job that is being done: for its progress, its attempt, its labels.

    Raises LookupError outside of one, as when the task was called like any other function.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no worker is doing a job here: the task was simply called") from None


@final
class TaskJob(Generic[_R]):
    """A task that was submitted, with somebody who waits for it."""

    def __init__(self, job: ClientJob, arguments: Arguments) -> None:
        self._job = job
        self._arguments = arguments

    @property
    def handle(self) -> str:
        """The server's name for the job."""
        return self._job.handle

    @property
    def done(self) -> bool:
        """Whether its end has been read; only waiting for something reads."""
        return self._job.done

    def result(self, timeout: float | None = None) -> _R:
        """Waits for what the function returned.  ``timeout`` is in seconds; None: any time.

        Raises JobFailed with type and message of what the function raised, and all else as
        ``ClientJob.result``; TypeError if the result is not what the function's annotation says.
        """
        return cast(_R, self._arguments.decode_result(self._job.result(timeout)))

    def progress(self, timeout: float | None = None) -> Iterator[JobProgress]:
        """How far it is, each time that this is told.  See ``ClientJob.progress``."""
        return self._job.progress(timeout)

    def status(self) -> JobStatus:
        """What the server knows of it.  See ``Client.status``."""
        return self._job.status()

    def cancel(self) -> bool:
        """Ends it.  See ``Client.cancel``."""
        return self._job.cancel()


@final
class AsyncTaskJob(Generic[_R]):
    """A task that was submitted from asyncio.  ``await job`` is ``await job.result()``."""

    def __init__(self, job: AsyncClientJob, arguments: Arguments) -> None:
        self._job = job
        self._arguments = arguments

    def __await__(self) -> Generator[Any, None, _R]:
        return self.result().__await__()

    @property
    def handle(self) -> str:
        """The server's name for the job."""
        return self._job.handle

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._job.done

    async def result(self, timeout: float | None = None) -> _R:
        """Waits for what the function returned.  See ``TaskJob.result``."""
        return cast(_R, self._arguments.decode_result(await self._job.result(timeout)))

    def progress(self, timeout: float | None = None) -> AsyncIterator[JobProgress]:
        """How far it is, each time that this is told.  See ``ClientJob.progress``."""
        return self._job.progress(timeout)

    async def status(self) -> JobStatus:
        """What the server knows of it.  See ``Client.status``."""
        return await self._job.status()

    async def cancel(self) -> bool:
        """Ends it.  See ``Client.cancel``."""
        return await self._job.cancel()


class _Keywords(SubmitOptions, total=False):
    """What ``submit`` takes beside function, data and callbacks."""

    unique: str
    priority: Priority
    resubmit: bool


class Task(Generic[_P, _R]):
    """A function with a name under which workers do it.  Made by ``Tasks.task``.

    Calling it calls the function, here and now.  ``submit`` and its like check the arguments as
    the function would get them: they raise TypeError, which names the argument, before anything is
    sent.  What else they take and raise is as with ``Client.submit`` and its like; those with an
    ``a`` in front are for asyncio.

    ``perform`` is what a worker registers under ``name``: it does a job with the function.
    """

    def __init__(
        self,
        tasks: "Tasks",
        name: str,
        function: Callable[..., Any],
        arguments: Arguments,
        timeout_s: float | None,
        keywords: _Keywords,
    ) -> None:
        functools.update_wrapper(cast(Any, self), function)
        self.name = name
        self.timeout_s = timeout_s
        self._tasks = tasks
        self._function = function
        self._keywords = keywords
        self._arguments = arguments
        self.perform = _performer(function, self._arguments)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"

    def options(self, **keywords: Unpack[_Keywords]) -> "Task[_P, _R]":
        """The same task, submitted differently: ``resize.options(delay_s=60).submit("a.jpg")``.

        Takes the keywords of ``Client.submit``; those that were given to ``Tasks.task`` stay where
        nothing else is said.
        """
        merged = cast(_Keywords, {**self._keywords, **keywords})
        return type(self)(
            self._tasks, self.name, self._function, self._arguments, self.timeout_s, merged
        )

    def submit(self, *args: _P.args, **kwargs: _P.kwargs) -> TaskJob[_R]:
        """Submits a call, for a result to wait for."""
        payload = self._arguments.encode(args, kwargs)
        job = self._tasks.client.submit(self.name, payload, **self._keywords)
        return TaskJob(job, self._arguments)

    def submit_background(self, *args: _P.args, **kwargs: _P.kwargs) -> str:
        """Submits a call that nobody waits for, and returns its handle."""
        payload = self._arguments.encode(args, kwargs)
        return self._tasks.client.submit_background(self.name, payload, **self._keywords)

    def map(self, *iterables: Iterable[Any], timeout: float | None = None) -> Iterator[_R]:
        """The results of calls with the items of the iterables, as the built-in ``map`` has them,
        many under way at a time.  ``timeout`` is in seconds, for each result."""
        payloads = (self._arguments.encode(args, {}) for args in zip(*iterables, strict=False))
        results = self._tasks.client.map(self.name, payloads, timeout=timeout, **self._keywords)
        return map(self._arguments.decode_result, results)

    async def asubmit(self, *args: _P.args, **kwargs: _P.kwargs) -> AsyncTaskJob[_R]:
        """Submits a call, for a result to await."""
        payload = self._arguments.encode(args, kwargs)
        job = await self._tasks.async_client.submit(self.name, payload, **self._keywords)
        return AsyncTaskJob(job, self._arguments)

    async def asubmit_background(self, *args: _P.args, **kwargs: _P.kwargs) -> str:
        """Submits a call that nobody waits for, and returns its handle."""
        payload = self._arguments.encode(args, kwargs)
        return await self._tasks.async_client.submit_background(
            self.name, payload, **self._keywords
        )

    async def amap(
        self,
        *iterables: Iterable[Any],
        timeout: float | None = None,
    ) -> AsyncIterator[_R]:
        """The results of calls with the items of the iterables: ``async for``.  See ``map``."""
        payloads = (self._arguments.encode(args, {}) for args in zip(*iterables, strict=False))
        client = self._tasks.async_client
        async for data in client.map(self.name, payloads, timeout=timeout, **self._keywords):
            yield cast(_R, self._arguments.decode_result(data))


@final
class FunctionTask(Task[_P, _R]):
    """A task of a plain function."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return cast(_R, self._function(*args, **kwargs))


@final
class CoroutineTask(Task[_P, _R]):
    """A task of a coroutine function."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> Coroutine[Any, Any, _R]:
        return cast(Coroutine[Any, Any, _R], self._function(*args, **kwargs))


class _Decorator(Protocol):
    """What ``Tasks.task`` returns: makes a task of a function."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function is a function, too
        self, function: Callable[_P, Coroutine[Any, Any, _R]]
    ) -> CoroutineTask[_P, _R]: ...

    @overload
    def __call__(self, function: Callable[_P, _R]) -> FunctionTask[_P, _R]: ...


@final
class Tasks:
    """The tasks of one program, under one ``name``: that of ``resize`` is "shop.resize".

    ``servers`` and ``timeout`` (seconds) are as with ``Client``.  Connects when something is first
    submitted.  ``async_client`` is one for each event loop.
    """

    def __init__(
        self,
        name: str,
        servers: str | Iterable[str] | None = None,
        *,
        timeout: float | None = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._servers = servers if servers is None or isinstance(servers, str) else list(servers)
        self._timeout_s = timeout
        self._tasks: dict[str, Task[..., Any]] = {}
        self._client: BlockingClient | None = None
        self._connecting = threading.Lock()
        self._async_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient]
        self._async_clients = weakref.WeakKeyDictionary()

    def __iter__(self) -> Iterator[Task[..., Any]]:
        return iter(self._tasks.values())

    def task(
        self,
        name: str | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        **keywords: Unpack[_Keywords],
    ) -> _Decorator:
        """Makes a task of a function: ``@tasks.task()``, ``@tasks.task("thumbnail", retries=5)``.

        ``name`` stands behind the name of the tasks; without it that is the function's.
        ``retries`` is how often it is tried again, whatever made it fail; ``timeout`` is in
        seconds, for each attempt, and kept by the worker and the server.  ``keywords`` are those of
        ``Client.submit``; with the ``unique`` "-" calls with the same arguments share one job.

        Retries and most keywords take a gearpy-server.  Raises InvalidArgument for values that make
        no sense or a name that there is already, TypeError for an annotation whose type can't
        travel as JSON.
        """
        if retries is not None:
            if "attempts" in keywords:
                raise InvalidArgument("retries and attempts are two ways to say it: give one")
            keywords["attempts"] = retries + 1
        if timeout is not None:
            keywords.setdefault("attempt_timeout_s", timeout)
        read_wish("-", b"", "", Priority.NORMAL, True, False, _options_of(keywords))

        def make(function: Callable[..., Any]) -> Task[..., Any]:
            whole = f"{self.name}.{name or function.__name__}"
            if whole in self._tasks:
                raise InvalidArgument(f"there is a task {whole!r} already; give this one a name")
            kind: type[Task[..., Any]] = (
                CoroutineTask if inspect.iscoroutinefunction(function) else FunctionTask
            )
            arguments = Arguments(whole, function)
            task = self._tasks[whole] = kind(self, whole, function, arguments, timeout, keywords)
            return task

        return cast(_Decorator, make)

    def register(self, worker: Registry) -> None:
        """Has a ``Worker`` or an ``AsyncWorker`` do all these tasks."""
        for task in self:
            worker.register(task.name, task.perform, timeout=task.timeout_s)

    def worker(self) -> Worker:
        """A new worker that does all these tasks, for the same servers."""
        worker = Worker(self._servers)
        self.register(worker)
        return worker

    @contextmanager
    def through(self, client: BlockingClient) -> Iterator[None]:
        """Submits through this client instead, until the end of the block."""
        with self._connecting:
            before, self._client = self._client, client
        try:
            yield
        finally:
            with self._connecting:
                self._client = before

    @property
    def client(self) -> BlockingClient:
        """The client that ``submit`` and its like use.  Raises as ``Client``."""
        with self._connecting:
            if self._client is None:
                self._client = Client(self._servers, timeout=self._timeout_s)
            return self._client

    @property
    def async_client(self) -> AsyncClient:
        """The client of the running event loop.  Raises RuntimeError if none runs."""
        loop = asyncio.get_running_loop()
        client = self._async_clients.get(loop)
        if client is None:
            client = AsyncClient(self._servers, timeout=self._timeout_s)
            self._async_clients[loop] = client
        return client

    def close(self) -> None:
        """Ends the connection of ``client``; the next submit makes a new one."""
        with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Ends the connections of the running event loop's client."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()


def _options_of(keywords: _Keywords) -> SubmitOptions:
    """Those keywords that are options of a job."""
    rest = {name: value for name, value in keywords.items() if name not in _NO_OPTIONS}
    return cast(SubmitOptions, rest)


@contextmanager
def _doing(job: Job) -> Iterator[None]:
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)


def _performer(function: Callable[..., Any], arguments: Arguments) -> Callable[[Job], Any]:
    """What does a job with the function.  It has the name under which it can be imported, as an
    attribute of the task, so that a worker can have it done in another process."""

    def perform(job: Job) -> bytes:
        call = arguments.decode(job.data)
        with _doing(job):
            result = function(*call.args, **call.kwargs)
        return arguments.encode_result(result)

    async def perform_coroutine(job: Job) -> bytes:
        call = arguments.decode(job.data)
        with _doing(job):
            result = await function(*call.args, **call.kwargs)
        return arguments.encode_result(result)

    made: Any = perform_coroutine if inspect.iscoroutinefunction(function) else perform
    made.__module__ = function.__module__
    made.__qualname__ = f"{function.__qualname__}.perform"
    return cast(Callable[[Job], Any], made)
