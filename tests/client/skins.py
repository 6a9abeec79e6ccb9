"""The two skins of the client behind one face, so that a scenario is written once for both.

A ``Skin`` is used like the blocking client; that of asyncio has an event loop in a thread of its
own, on which each call waits.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar, cast

from gearpy.client import AsyncClient, AsyncClientJob, Client, JobStatus
from gearpy.client.desk import JobProgress

LIMIT_S: Final = 30.0  # by which everything that a test waits for has happened

_T = TypeVar("_T")


class Job(Protocol):
    """A foreground job, as ``ClientJob`` is one."""

    @property
    def handle(self) -> str: ...

    @property
    def done(self) -> bool: ...

    @property
    def last_progress(self) -> JobProgress | None: ...

    @property
    def warnings(self) -> list[bytes]: ...

    def result(self, timeout: float | None = None) -> bytes: ...

    def data(self, timeout: float | None = None) -> Iterator[bytes]: ...

    def progress(self, timeout: float | None = None) -> Iterator[JobProgress]: ...

    def status(self) -> JobStatus: ...

    def cancel(self) -> bool: ...


class Skin(Protocol):
    """A client, as ``Client`` is one."""

    def submit(self, function: Any, data: Any = b"", **more: Any) -> Job: ...

    def submit_background(self, function: Any, data: Any = b"", **more: Any) -> str: ...

    def submit_many(self, function: Any, datas: Iterable[Any], **more: Any) -> list[Any]: ...

    def submit_many_background(
        self, function: Any, datas: Iterable[Any], **more: Any
    ) -> list[str]: ...

    def map(self, function: Any, datas: Iterable[Any], **more: Any) -> Iterator[bytes]: ...

    def gather(self, jobs: Iterable[Any], timeout: float | None = None) -> list[bytes]: ...

    def status(self, handle: str) -> JobStatus: ...

    def job(self, handle: str) -> dict[str, Any]: ...

    def cancel(self, handle: str) -> bool: ...

    def operate(self, verb: str, /, **arguments: Any) -> dict[str, Any]: ...

    def echo(self, data: Any = b"") -> bytes: ...


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, complaint: self.complaints.append(complaint))

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(LIMIT_S)

    def iterate(self, items: AsyncIterator[_T]) -> Iterator[_T]:
        async def one() -> _T:
            return await anext(items)

        while True:
            try:
                yield self.run(one())
            except StopAsyncIteration:
                return

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT_S)
        self.loop.close()
        assert self.complaints == []


class _AsyncJob:
    def __init__(self, loop: _Loop, job: AsyncClientJob) -> None:
        self._loop = loop
        self.job = job

    @property
    def handle(self) -> str:
        return self.job.handle

    @property
    def done(self) -> bool:
        return self.job.done

    @property
    def last_progress(self) -> JobProgress | None:
        return self.job.last_progress

    @property
    def warnings(self) -> list[bytes]:
        return self.job.warnings

    def result(self, timeout: float | None = None) -> bytes:
        return self._loop.run(self.job.result(timeout))

    def data(self, timeout: float | None = None) -> Iterator[bytes]:
        return self._loop.iterate(self.job.data(timeout))

    def progress(self, timeout: float | None = None) -> Iterator[JobProgress]:
        return self._loop.iterate(self.job.progress(timeout))

    def status(self) -> JobStatus:
        return self._loop.run(self.job.status())

    def cancel(self) -> bool:
        return self._loop.run(self.job.cancel())


class AsyncSkin:
    """``AsyncClient``, from the first byte to the last, on the loop of a thread."""

    def __init__(self, servers: Any, **more: Any) -> None:
        self._loop = _Loop()
        self._client = AsyncClient(servers, **more)

    def __enter__(self) -> "AsyncSkin":
        try:
            self._loop.run(self._client.__aenter__())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.run(self._client.close())
        self._loop.close()

    def _job(self, job: AsyncClientJob) -> _AsyncJob:
        return _AsyncJob(self._loop, job)

    def submit(self, function: Any, data: Any = b"", **more: Any) -> _AsyncJob:
        return self._job(self._loop.run(self._client.submit(function, data, **more)))

    def submit_background(self, function: Any, data: Any = b"", **more: Any) -> str:
        return self._loop.run(self._client.submit_background(function, data, **more))

    def submit_many(self, function: Any, datas: Iterable[Any], **more: Any) -> list[_AsyncJob]:
        jobs = self._loop.run(self._client.submit_many(function, datas, **more))
        return [self._job(job) for job in jobs]

    def submit_many_background(self, function: Any, datas: Iterable[Any], **more: Any) -> list[str]:
        return self._loop.run(self._client.submit_many_background(function, datas, **more))

    def map(self, function: Any, datas: Iterable[Any], **more: Any) -> Iterator[bytes]:
        return self._loop.iterate(self._client.map(function, datas, **more))

    def gather(self, jobs: Iterable[_AsyncJob], timeout: float | None = None) -> list[bytes]:
        return self._loop.run(self._client.gather([job.job for job in jobs], timeout))

    def status(self, handle: str) -> JobStatus:
        return self._loop.run(self._client.status(handle))

    def job(self, handle: str) -> dict[str, Any]:
        return self._loop.run(self._client.job(handle))

    def cancel(self, handle: str) -> bool:
        return self._loop.run(self._client.cancel(handle))

    def operate(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        return self._loop.run(self._client.operate(verb, **arguments))

    def echo(self, data: Any = b"") -> bytes:
        return self._loop.run(self._client.echo(data))


@contextmanager
def skin(kind: str, servers: Any, **more: Any) -> Iterator[Skin]:
    """A client of that kind, "blocking" or "asyncio", until the end of the block."""
    if kind == "blocking":
        with Client(servers, **more) as client:
            yield cast(Skin, client)  # its keywords are stricter
    else:
        with AsyncSkin(servers, **more) as wrapped:
            yield wrapped
