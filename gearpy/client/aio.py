"""The asyncio client: ``Calls`` on transports, shared by as many tasks as like.

What tasks have to say goes out once for each round of the event loop, so what many of them submit
travels together.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar, Unpack, final

from gearpy.address import Address, connect_timeout_s, read_addresses, reason_of
from gearpy.client.blocking import IN_FLIGHT, TIMEOUT_S
from gearpy.client.calls import Calls
from gearpy.client.core import ClientCore, Event, JobStatus
from gearpy.client.desk import Bell, Callbacks, Desk, JobProgress, OnBytes, OnProgress
from gearpy.client.jobs import FollowedJob, JobCall, MapCall
from gearpy.client.options import SubmitOptions
from gearpy.client.servers import Servers
from gearpy.client.steps import Call, Open, Pause, Step, Take, Wait
from gearpy.client.wishes import Bytes, Unique, read_wish, read_wishes
from gearpy.errors import ConnectionLost, WaitTimeout
from gearpy.priority import Priority
from gearpy.protocol.codec import encoded
from gearpy.transport import connect_transport

_Returned = TypeVar("_Returned")


@final
class AsyncClientJob(FollowedJob):
    """A job that was submitted in the foreground: its ``handle``, ``function`` and ``unique``.

    Made by ``AsyncClient.submit``.  ``await job`` is ``await job.result()``.  Any task may wait for
    it.
    """

    def __init__(self, client: "AsyncClient", job: JobCall) -> None:
        super().__init__(job)
        self._client = client

    def __await__(self) -> Generator[Any, None, bytes]:
        return self.result().__await__()

    async def result(self, timeout: float | None = None) -> bytes:
        """Waits for the end of the job and returns what its worker gave with WORK_COMPLETE.

        ``timeout`` is in seconds.  Gives and raises what ``ClientJob.result`` does.
        """
        return await self._client._run(self._client._calls.result(self._job, timeout))

    async def data(self, timeout: float | None = None) -> AsyncIterator[bytes]:
        """The parts of the result that the worker sends on the way.  See ``ClientJob.data``."""
        while True:
            part = await self._client._run(self._client._calls.next_part(self._job, timeout))
            if part is None:
                return
            yield part

    async def progress(self, timeout: float | None = None) -> AsyncIterator[JobProgress]:
        """How far the job is, each time that its worker tells it.  See ``ClientJob.progress``."""
        seen = 0
        while True:
            step = self._client._calls.next_progress(self._job, seen, timeout)
            news = await self._client._run(step)
            if news is None:
                return
            seen, progress = news
            yield progress

    async def status(self) -> JobStatus:
        """What the job's server knows of it.  Raises as ``Client.status``."""
        return await self._client._run(self._client._calls.status(self.handle, self._job.address))

    async def cancel(self) -> bool:
        """Ends the job.  See ``Client.cancel``."""
        return await self._client._run(self._client._calls.cancel(self.handle, self._job.address))


@final
class AsyncClient:
    """Submits jobs to Gearman servers, from the tasks of one event loop, which may share it.

    ``servers`` and ``timeout`` (seconds) are as with ``Client``, and so is all that is not said
    otherwise.  Connects when it is first needed; ``async with`` connects at once.
    """

    def __init__(
        self, servers: str | Iterable[str] | None = None, *, timeout: float | None = TIMEOUT_S
    ) -> None:
        addresses = read_addresses(servers)
        self._connect_s = connect_timeout_s(addresses, timeout)
        self._desk = Desk()
        self._calls = Calls(
            Servers(addresses, random.random), self._desk, timeout, time.monotonic, time.time
        )
        self._closed = False
        self._lines: dict[Address, _Line] = {}
        self._opening: dict[Address, asyncio.Task[_Line]] = {}
        self._to_flush = False

    async def __aenter__(self) -> "AsyncClient":
        await self._run(self._calls.open())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections.  The servers forget that this client waits for its jobs; those in
        the background go on.  What other tasks wait for is lost."""
        self._closed = True
        for opening in self._opening.values():
            opening.cancel()
        lines = list(self._lines.values())
        for line in lines:
            line.lose(f"the connection to {line.address} was closed by this client")
        for line in lines:
            await line.closed

    async def submit(
        self,
        function: Bytes,
        data: Bytes = b"",
        *,
        unique: Bytes = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        on_progress: OnProgress | None = None,
        on_data: OnBytes | None = None,
        on_warning: OnBytes | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncClientJob:
        """Submits a job and returns as soon as a server has it; awaiting that waits for its end.

        Takes what ``Client.submit`` takes, and raises what that raises.  The callbacks are plain
        functions, called as the news come; what one raises goes to the event loop's exception
        handler.
        """
        wish = read_wish(function, data, unique, priority, False, resubmit, options)
        job = JobCall(wish, Callbacks(on_progress, on_data, on_warning))
        return AsyncClientJob(self, await self._run(self._calls.submit(job)))

    async def submit_background(
        self,
        function: Bytes,
        data: Bytes = b"",
        *,
        unique: Bytes = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> str:
        """Submits a job that nobody waits for, and returns its handle, once a server has it.

        See ``Client.submit_background``.
        """
        wish = read_wish(function, data, unique, priority, True, resubmit, options)
        return await self._run(self._calls.submit_background(wish))

    async def submit_many(
        self,
        function: Bytes,
        datas: Iterable[Bytes],
        *,
        unique: Unique = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> list[AsyncClientJob]:
        """Submits a job for each of ``datas``, many at a time.  See ``Client.submit_many``."""
        wishes = read_wishes(function, datas, unique, priority, False, resubmit, options)
        return await self._run(
            self._calls.submit_many(wishes, lambda job: AsyncClientJob(self, job))
        )

    async def submit_many_background(
        self,
        function: Bytes,
        datas: Iterable[Bytes],
        *,
        unique: Unique = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> list[str]:
        """Submits a background job for each of ``datas``, and returns their handles in that order.

        See ``Client.submit_many_background``.
        """
        wishes = read_wishes(function, datas, unique, priority, True, resubmit, options)
        return await self._run(self._calls.submit_many_background(wishes))

    def map(
        self,
        function: Bytes,
        datas: Iterable[Bytes],
        *,
        in_flight: int = IN_FLIGHT,
        timeout: float | None = None,
        unique: Unique = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> AsyncIterator[bytes]:
        """The results of a job for each of ``datas``, in that order: ``async for``.

        See ``Client.map``.
        """
        wishes = read_wishes(function, datas, unique, priority, False, resubmit, options)
        return self._results(MapCall(wishes, in_flight), timeout)

    async def _results(self, mapping: MapCall, timeout_s: float | None) -> AsyncIterator[bytes]:
        while True:
            result = await self._run(self._calls.next_result(mapping, timeout_s))
            if result is None:
                return
            yield result

    async def gather(
        self, jobs: Iterable[AsyncClientJob], timeout: float | None = None
    ) -> list[bytes]:
        """Waits for the results of several jobs, and returns them in that order.

        See ``Client.gather``.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        return [
            await job.result(None if until_s is None else max(until_s - time.monotonic(), 0.0))
            for job in jobs
        ]

    async def status(self, handle: str) -> JobStatus:
        """What the servers know of a job.  See ``Client.status``."""
        return await self._run(self._calls.status(handle))

    async def job(self, handle: str) -> dict[str, Any]:
        """The whole life of a job.  See ``Client.job``."""
        return await self._run(self._calls.job(handle))

    async def cancel(self, handle: str) -> bool:
        """Ends a job, whether it waits or runs; returns False if there is no such job (any more).

        See ``Client.cancel``.
        """
        return await self._run(self._calls.cancel(handle))

    async def operate(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        """Has a server do what an operator wants, and returns what it answers.

        See ``Client.operate``.
        """
        return await self._run(self._calls.operate({"do": verb, **arguments}))

    async def echo(self, data: Bytes = b"") -> bytes:
        """Has a server send ``data`` back: it is there, and it answers.  See ``Client.echo``."""
        return await self._run(self._calls.echo(encoded("data", data)))

    # ---- running a call

    async def _run(self, call: Call[_Returned]) -> _Returned:
        """Does what the call wants done, step by step, and returns what it returns."""
        try:
            step = next(call)
            while True:
                try:
                    answer = await self._do(step)
                except Exception as error:
                    step = call.throw(error)
                else:
                    step = call.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the call returns
        finally:
            call.close()

    async def _do(self, step: Step) -> object:
        match step:
            case Open(address=address):
                return self._lines.get(address) or await self._open(address)
            case Wait(bell=bell, over=over, timeout_s=timeout_s, late=late):
                try:
                    async with asyncio.timeout(timeout_s):
                        await self._wait(bell, over)
                except TimeoutError:
                    if not over():
                        raise WaitTimeout(late) from None
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
            case Take(items=items, count=count):
                return list(islice(items, count))
        return None

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection was closed by this client; make a new one")

    async def _open(self, address: Address) -> "_Line":
        """A new connection; tasks that want one to the same server at a time share it."""
        opening = self._opening.get(address)
        if opening is None:
            self._check_open()
            opening = self._opening[address] = asyncio.create_task(self._connect(address))
            opening.add_done_callback(lambda task: self._opened(address, task))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if not opening.cancelled():
                raise
            self._check_open()
            raise

    def _opened(self, address: Address, opening: "asyncio.Task[_Line]") -> None:
        del self._opening[address]
        if not opening.cancelled():
            opening.exception()  # those who wanted it may be gone; then nobody else looks at it

    async def _connect(self, address: Address) -> "_Line":
        made = asyncio.get_running_loop().create_future
        line = await connect_transport(
            address, self._connect_s, lambda: _Line(address, self._hear, made())
        )
        if line.core.gone is None:
            self._lines[address] = line
        return line

    async def _wait(self, bell: Bell, over: Callable[[], bool]) -> None:
        self._flush_soon()
        while not over():
            self._check_open()
            rung = asyncio.get_running_loop().create_future()
            wake = _setter(rung)
            bell.waiting.append(wake)
            try:
                await rung
            finally:
                if wake in bell.waiting:
                    bell.waiting.remove(wake)

    def _flush_soon(self) -> None:
        """Sends what there is to say at the end of this round, for all tasks together."""
        if not self._to_flush:
            self._to_flush = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._to_flush = False
        for line in self._lines.values():
            line.flush()

    def _hear(self, line: "_Line", events: list[Event]) -> None:
        if line.core.gone is not None and self._lines.get(line.address) is line:
            del self._lines[line.address]
            self._calls.gone(line, events)
        for news in self._desk.hear(events):
            while (callback := news.next_callback()) is not None:
                try:
                    callback()
                except Exception as error:
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "a job's callback failed", "exception": error}
                    )
                finally:
                    news.called_back()


@final
class _Line(asyncio.Protocol):
    """A core on its transport.  ``closed`` is set once the transport is."""

    def __init__(
        self,
        address: Address,
        hear: Callable[["_Line", list[Event]], None],
        closed: asyncio.Future[None],
    ) -> None:
        self.address = address
        self.core = ClientCore()
        self.closed = closed
        self._hear = hear
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def flush(self) -> None:
        data = self.core.take()
        if data:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._hear(self, self.core.receive(data))
        if self.core.broken is not None:
            self.lose(f"{self.address} does not speak Gearman: {self.core.broken}")

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.lose(f"the server at {self.address} closed the connection")
        else:
            self.lose(f"the connection to {self.address} broke: {reason_of(error)}")
        if not self.closed.done():
            self.closed.set_result(None)

    def lose(self, reason: str) -> None:
        """Ends the connection; what was waited for on it is lost for that reason."""
        if self.core.gone is None:
            self._transport.abort()
            self._hear(self, self.core.lost(reason))


def _setter(future: asyncio.Future[None]) -> Callable[[], None]:
    def wake() -> None:
        if not future.done():
            future.set_result(None)

    return wake
