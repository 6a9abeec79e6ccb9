"""A client that several threads, tasks or processes use."""

import asyncio
import os
import threading
from collections.abc import Callable

import pytest

from gearpy.client import AsyncClient, Client
from gearpy.errors import CannotConnect, ConnectionLost, WaitTimeout
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job
from tests.proxy import proxy
from tests.workers import Held, upper, working

LIMIT_S = 30.0


def in_threads(count: int, run: Callable[[int], None]) -> None:
    """Runs it in so many threads at a time, and passes on what one of them raises."""
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            run(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_threads_share_one_connection(server: ServerProcess) -> None:
    with (
        working(server.address, upper=upper),
        proxy(server.host, server.port) as between,
        Client(between.address) as client,
    ):

        def run(number: int) -> None:
            for turn in range(50):
                text = f"thread {number} turn {turn}"
                assert client.submit("upper", text).result(LIMIT_S) == text.upper().encode()
                assert client.echo(text) == text.encode()

        in_threads(8, run)
        assert between.connections == 1


def test_a_thread_that_waits_long_keeps_nobody_from_anything(server: ServerProcess) -> None:
    held = Held()
    with (
        working(server.address, held=held),
        working(server.address, upper=upper),
        Client(server.address) as client,
    ):
        long = client.submit("held")
        results: list[bytes] = []
        waiting = threading.Thread(target=lambda: results.append(long.result(LIMIT_S)))
        waiting.start()
        held.wait_entered()
        for number in range(20):
            assert client.submit("upper", str(number)).result(LIMIT_S) == b"%d" % number
        assert results == []
        held.going.release()
        waiting.join(LIMIT_S)
        assert results == [b"let go"]


def test_who_leaves_hands_the_reading_on(server: ServerProcess) -> None:
    """The thread that reads for all is the first to give up; the others still get theirs."""
    held = Held()
    with working(server.address, held=held), Client(server.address) as client:
        job = client.submit("held")
        held.wait_entered()
        with pytest.raises(WaitTimeout):
            job.result(0.01)
        results: list[bytes] = []
        together = threading.Barrier(4)

        def leave(timeout_s: float) -> None:
            together.wait(LIMIT_S)
            with pytest.raises(WaitTimeout):
                job.result(timeout_s)

        def stay(_: float) -> None:
            together.wait(LIMIT_S)
            results.append(job.result(LIMIT_S))

        threads = [
            threading.Thread(target=run, args=(timeout_s,))
            for run, timeout_s in ((leave, 0.02), (stay, 0), (leave, 0.04), (stay, 0))
        ]
        for thread in threads:
            thread.start()
        threads[0].join(LIMIT_S)
        threads[2].join(LIMIT_S)
        held.going.release()
        for thread in threads:
            thread.join(LIMIT_S)
        assert results == [b"let go"] * 2


def test_callbacks_of_a_job_never_run_at_the_same_time(server: ServerProcess) -> None:
    def chatty(job: Job) -> bytes:
        for number in range(300):
            job.progress(number, 300)
        return b"done"

    inside = threading.Lock()
    told: list[int] = []

    def tell(numerator: int, *_: object) -> None:
        assert inside.acquire(blocking=False), "two at a time"
        told.append(numerator)
        inside.release()

    with working(server.address, chatty=chatty), Client(server.address) as client:
        job = client.submit("chatty", on_progress=tell)
        in_threads(6, lambda _: _is(job.result(LIMIT_S), b"done"))
    assert told == list(range(300))


def _is(found: bytes, expected: bytes) -> None:
    assert found == expected


def test_a_callback_that_takes_its_time_stops_only_its_own_job(server: ServerProcess) -> None:
    going, inside = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        inside.set()
        assert going.wait(LIMIT_S)

    def one_step(job: Job) -> bytes:
        job.progress(1, 1)
        return b"done"

    with working(server.address, one_step=one_step, upper=upper):
        with Client(server.address) as client:
            job = client.submit("one_step", on_progress=slow)
            waiting = threading.Thread(target=job.result, args=(LIMIT_S,))
            waiting.start()
            assert inside.wait(LIMIT_S)
            assert client.submit("upper", "on").result(LIMIT_S) == b"ON"
            going.set()
            waiting.join(LIMIT_S)
            assert job.result(LIMIT_S) == b"done"


def test_closing_lets_all_go_who_wait(server: ServerProcess) -> None:
    client = Client(server.address)
    job = client.submit("nobody")
    errors: list[ConnectionLost] = []
    waiting = threading.Barrier(4)

    def run() -> None:
        waiting.wait(LIMIT_S)
        with pytest.raises(ConnectionLost, match="closed by this client") as raised:
            job.result(LIMIT_S)
        errors.append(raised.value)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.wait(LIMIT_S)
    client.close()
    client.close()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(errors) == 3


def test_threads_connect_once(server: ServerProcess) -> None:
    with proxy(server.host, server.port) as between, Client(between.address) as client:
        client.echo()
        between.refuse()
        between.cut()
        with pytest.raises(ConnectionLost):
            client.echo()
        between.accept()
        in_threads(6, lambda number: _is(client.echo(str(number)), b"%d" % number))
        assert between.connections == 2


def test_a_fork_is_noticed(server: ServerProcess) -> None:
    """The child makes its own connections, and the parent's are as they were."""
    with (
        working(server.address, upper=upper),
        proxy(server.host, server.port) as between,
        Client(between.address) as client,
    ):
        job = client.submit("nobody")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with pytest.raises(ConnectionLost, match="belongs to the process that forked"):
                    job.result(LIMIT_S)
                assert client.submit("upper", "child").result(LIMIT_S) == b"CHILD"
                client.close()
                code = 0
            finally:
                os._exit(code)
        assert client.submit("upper", "parent").result(LIMIT_S) == b"PARENT"
        assert os.waitpid(child, 0)[1] == 0
        assert client.submit("upper", "parent").result(LIMIT_S) == b"PARENT"
        assert not job.done
        assert between.connections == 2


async def test_tasks_share_one_connection(server: ServerProcess) -> None:
    with working(server.address, upper=upper), proxy(server.host, server.port) as between:
        async with AsyncClient(between.address) as client:

            async def run(number: int) -> bytes:
                return await (await client.submit("upper", f"task {number}"))

            results = await asyncio.gather(*(run(number) for number in range(200)))
            assert results == [b"TASK %d" % number for number in range(200)]
            assert between.connections == 1


async def test_tasks_that_need_a_connection_share_making_it(server: ServerProcess) -> None:
    with proxy(server.host, server.port) as between:
        client = AsyncClient(between.address)
        assert await asyncio.gather(*(client.echo(str(n)) for n in range(10))) == [
            b"%d" % n for n in range(10)
        ]
        assert between.connections == 1
        await client.close()


async def test_a_task_that_is_cancelled_harms_no_other(server: ServerProcess) -> None:
    held = Held()
    with working(server.address, held=held, upper=upper):
        async with AsyncClient(server.address) as client:
            job = await client.submit("held")
            waiting = asyncio.create_task(job.result())
            other = asyncio.create_task(job.result())
            await asyncio.to_thread(held.wait_entered)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            held.going.release()
            assert await other == b"let go"
            assert await job == b"let go"


async def test_closing_lets_all_tasks_go(server: ServerProcess) -> None:
    client = AsyncClient(server.address)
    job = await client.submit("nobody")
    waiting = [asyncio.create_task(job.result()) for _ in range(3)]
    await client.echo()
    await client.close()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, ConnectionLost)
    with pytest.raises(ConnectionLost, match="closed by this client"):
        await client.echo()


async def test_a_callback_that_raises_is_told_to_the_loop(server: ServerProcess) -> None:
    def one_step(job: Job) -> bytes:
        job.progress(1, 1)
        return b"done"

    def complain(*_: object) -> None:
        raise LookupError("not this")

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, complaint: complaints.append(complaint["exception"])
    )
    with working(server.address, one_step=one_step):
        async with AsyncClient(server.address) as client:
            job = await client.submit("one_step", on_progress=complain)
            assert await job.result(LIMIT_S) == b"done"
    assert [type(complaint) for complaint in complaints] == [LookupError]


async def test_a_server_that_is_not_there_is_a_sentence_in_each_task() -> None:
    with ServerProcess() as gone:
        address = gone.address
    client = AsyncClient(address)
    for outcome in await asyncio.gather(client.echo(), client.echo(), return_exceptions=True):
        assert isinstance(outcome, CannotConnect)
    await client.close()
