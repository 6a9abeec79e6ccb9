"""What only the asyncio worker has: tasks, cancelling, coroutines around jobs, signals."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gearpy.client import AsyncClient, Client
from gearpy.errors import ConnectionLost, InvalidArgument, JobFailed
from gearpy.testing.process import ServerProcess
from gearpy.worker import AsyncWorker, Job, Worker
from tests.proxy import proxy
from tests.worker.program import WorkerProcess
from tests.workers import working

LIMIT_S = 30.0


@contextlib.asynccontextmanager
async def running(worker: AsyncWorker) -> AsyncIterator[None]:
    """The worker beside the test, until the end of the block."""
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(task, LIMIT_S)


async def test_a_thousand_coroutines_at_a_time(server: ServerProcess) -> None:
    worker, together = AsyncWorker(server.address, concurrency=1000), asyncio.Barrier(1000)

    @worker.function("meets")
    async def meets(job: Job) -> bytes:
        await together.wait()
        return job.data

    async with running(worker), AsyncClient(server.address) as client:
        datas = [b"%d" % number for number in range(1000)]
        jobs = await client.submit_many("meets", datas)
        assert await client.gather(jobs, LIMIT_S) == datas


async def test_a_cancelled_job_is_a_cancelled_coroutine(server: ServerProcess) -> None:
    worker = AsyncWorker(server.address)
    entered, left = asyncio.Event(), asyncio.Event()

    @worker.function("endless")
    async def endless(job: Job) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            assert job.cancelled
            left.set()

    async with running(worker), AsyncClient(server.address) as client:
        job = await client.submit("endless")
        await asyncio.wait_for(entered.wait(), LIMIT_S)
        assert await job.cancel()
        await asyncio.wait_for(left.wait(), LIMIT_S)
        with pytest.raises(JobFailed):
            await job.result(LIMIT_S)


async def test_a_thread_keeps_its_place_though_its_job_is_cancelled(
    server: ServerProcess,
) -> None:
    worker = AsyncWorker(server.address, concurrency=1)
    entered, going = threading.Event(), threading.Event()

    def held(job: Job) -> None:
        entered.set()
        assert going.wait(LIMIT_S)

    worker.register("held", held)
    worker.register("next", lambda job: str(going.is_set()))
    async with running(worker), AsyncClient(server.address) as client:
        job = await client.submit("held")
        await asyncio.to_thread(entered.wait, LIMIT_S)
        following = await client.submit("next")
        assert await job.cancel()
        assert not (await following.status()).running
        going.set()
        assert await following.result(LIMIT_S) == b"True"


async def test_a_function_that_cancels_itself_fails_its_job(server: ServerProcess) -> None:
    worker = AsyncWorker(server.address)

    @worker.function("leaves")
    async def leaves(job: Job) -> None:
        raise asyncio.CancelledError

    async with running(worker), AsyncClient(server.address) as client:
        with pytest.raises(JobFailed, match="the function was cancelled, but not its job"):
            await (await client.submit("leaves"))


async def test_middleware_and_hooks_are_awaited(server: ServerProcess) -> None:
    worker, told = AsyncWorker(server.address), list[str]()

    @worker.use
    async def outer(job: Job, call_next: Callable[[], Awaitable[Any]]) -> Any:
        await asyncio.sleep(0)
        if job.data == b"no":
            raise PermissionError("not this one")
        return [*await call_next(), "outer"]

    @worker.use
    async def inner(job: Job, call_next: Callable[[], Awaitable[Any]]) -> Any:
        return [*await call_next(), "inner"]

    @worker.function("plain", codec="json")
    def plain(value: object) -> list[object]:
        return [value, threading.current_thread() is threading.main_thread()]

    @worker.function("later", codec="json")
    async def later(value: object) -> list[object]:
        return [value, threading.current_thread() is threading.main_thread()]

    @worker.on_start
    async def start() -> None:
        told.append("start")

    worker.on_stop(lambda: told.append("stop"))
    async with running(worker), AsyncClient(server.address) as client:
        assert await (await client.submit("plain", "1")) == b'[1,false,"inner","outer"]'
        assert await (await client.submit("later", "2")) == b'[2,true,"inner","outer"]'
        with pytest.raises(JobFailed, match="not this one"):
            await (await client.submit("later", "no"))
    assert told == ["start", "stop"]


def test_each_worker_says_which_functions_it_calls() -> None:
    async def coroutine(*_: object) -> None: ...

    def plain(*_: object) -> None: ...

    with pytest.raises(InvalidArgument, match="Worker calls plain functions as middleware"):
        Worker("a").use(coroutine)
    with pytest.raises(InvalidArgument, match="AsyncWorker calls coroutine functions as middlew"):
        AsyncWorker("a").use(plain)
    with pytest.raises(InvalidArgument, match="Worker calls plain functions as hooks"):
        Worker("a").on_start(coroutine)


async def test_what_is_sent_waits_until_the_server_takes_it(server: ServerProcess) -> None:
    """Nothing is taken, so the function gets no further; then all of it comes through."""
    part, count = bytes(1 << 20), 64

    async def stream(job: Job) -> None:
        between.hold()
        for _ in range(count):
            job.send_data(part)
            waiting = asyncio.ensure_future(job.drained())
            await asyncio.sleep(0)
            if not waiting.done():
                between.go_on()
            await waiting

    with proxy(server.host, server.port) as between:
        worker = AsyncWorker(between.address)
        worker.register("stream", stream)
        async with running(worker), AsyncClient(server.address) as client:
            job = await client.submit("stream")
            got = 0
            async for piece in job.data(LIMIT_S):
                got += len(piece)
            assert got == len(part) * count


async def test_a_server_that_takes_nothing_is_given_up(
    server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    async def much(job: Job) -> bytes:
        attempts.append(job.attempt)
        if job.attempt == 1:
            between.hold()
            job.send_data(bytes(32 << 20))
            with contextlib.suppress(ConnectionLost):
                await job.drained()
            between.go_on()
        return b"done"

    with proxy(server.host, server.port) as between:
        worker = AsyncWorker(between.address, timeout=0.2)
        worker.register("much", much)
        async with running(worker), AsyncClient(server.address) as client:
            assert await (await client.submit("much")).result(LIMIT_S) == b"done"
    assert attempts == [1, 2]
    assert "takes nothing, for 0.2 s now" in caplog.text


async def test_to_cancel_run_ends_it_at_once(server: ServerProcess) -> None:
    worker, entered, told = AsyncWorker(server.address), asyncio.Event(), list[str]()
    worker.on_stop(lambda: told.append("stop"))

    @worker.function("endless")
    async def endless(job: Job) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    async with AsyncClient(server.address) as client:
        job = await client.submit("endless")
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(entered.wait(), LIMIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told == ["cancelled", "stop"]
        other = AsyncWorker(server.address)
        other.register("endless", lambda job: f"attempt {job.attempt}")
        async with running(other):
            assert await job.result(LIMIT_S) == b"attempt 2"


PROGRAM = """
import asyncio, signal, sys
from gearpy.worker import AsyncWorker

worker = AsyncWorker(sys.argv[1])

@worker.function("held")
async def held(job):
    print("started", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return b"let go"

@worker.function("impatient")
async def impatient(job):
    signal.raise_signal(signal.SIGINT)
    for _ in range(50):  # rounds, in which the loop hears of it
        await asyncio.sleep(0)
    print("after the first", flush=True)
    signal.raise_signal(signal.SIGINT)
    await asyncio.Event().wait()

try:
    asyncio.run(worker.run())
except KeyboardInterrupt:
    print("KeyboardInterrupt", flush=True)
    sys.exit(4)
print("returned", flush=True)
"""


@pytest.fixture
def process(tmp_path: Path, server: ServerProcess) -> Iterator[WorkerProcess]:
    process = WorkerProcess(PROGRAM, tmp_path, server)
    yield process
    process.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_job_finish(
    server: ServerProcess, process: WorkerProcess, number: int
) -> None:
    with Client(server.address) as client:
        job = client.submit("held")
        assert process.said() == "started"
        process.process.send_signal(number)
        process.go_on()
        assert job.result(LIMIT_S) == b"let go"
        assert process.said() == "returned"
        assert process.process.wait(LIMIT_S) == 0


def test_a_second_interrupt_does_not_wait(server: ServerProcess, process: WorkerProcess) -> None:
    with Client(server.address) as client:
        job = client.submit("impatient")
        assert process.said() == "after the first"
        assert process.said() == "KeyboardInterrupt"
        assert process.process.wait(LIMIT_S) == 4
        with working(server.address, impatient=lambda job: f"attempt {job.attempt}"):
            assert job.result(LIMIT_S) == b"attempt 2"
