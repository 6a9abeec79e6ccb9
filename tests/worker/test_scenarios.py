"""What a worker does with its servers, in one thread and in several."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from gearpy.client import Client
from gearpy.errors import CannotConnect, InvalidArgument, JobFailed, SettingError
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.proxy import proxy
from tests.tls import tls_front
from tests.waiting import eventually
from tests.workers import ALL_KINDS, KINDS, Held, Kind, running, upper, worker_of

LIMIT_S = 30.0


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return cast(Kind, request.param)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_many_jobs_side_by_side(server: ServerProcess, kind: Kind) -> None:
    worker = worker_of(kind, server.address)
    worker.register("upper", upper)
    with running(worker), Client(server.address) as client:
        texts = [f"job {number}" for number in range(500)]
        results = list(client.map("upper", texts, timeout=LIMIT_S))
        assert results == [text.upper().encode() for text in texts]


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_so_many_jobs_run_at_a_time_and_no_more(server: ServerProcess, kind: Kind) -> None:
    together, most = threading.Barrier(4), threading.Semaphore(4)

    def meets(job: Job) -> None:
        assert most.acquire(blocking=False), "more than four"
        together.wait(LIMIT_S)
        most.release()

    worker = worker_of(kind, server.address)
    worker.register("meets", meets)
    with running(worker), Client(server.address) as client:
        client.gather(client.submit_many("meets", [b""] * 12), LIMIT_S)


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_function_has_a_limit_of_its_own(server: ServerProcess, kind: Kind) -> None:
    alone = threading.Semaphore(1)

    def solo(job: Job) -> bytes:
        assert alone.acquire(blocking=False), "two at a time"
        job.progress(1, 1)
        alone.release()
        return b"solo"

    worker = worker_of(kind, server.address)
    worker.register("solo", solo, concurrency=1)
    worker.register("upper", upper)
    with running(worker), Client(server.address) as client:
        solos = client.submit_many("solo", [b""] * 100)
        others = client.submit_many("upper", [b"x"] * 100)
        assert client.gather(others, LIMIT_S) == [b"X"] * 100
        assert client.gather(solos, LIMIT_S) == [b"solo"] * 100


def test_arguments_by_codec(server: ServerProcess, kind: Kind) -> None:
    class Words:
        def encode(self, value: list[str], /) -> bytes:
            return " ".join(value).encode()

        def decode(self, data: bytes, /) -> list[str]:
            return data.decode().split()

    worker = worker_of(kind, server.address)

    @worker.function("add", codec="json")
    def add(pair: list[int]) -> dict[str, int]:
        return {"sum": sum(pair)}

    @worker.function("told", codec="json")
    def told(value: Any, job: Job) -> str:
        return f"{value} {job.function}"

    @worker.function("length", codec="bytes")
    def length(data: bytes) -> str:
        return str(len(data))

    worker.register("words", lambda words: sorted(words), codec=Words())
    assert add([1, 2]) == {"sum": 3}
    with running(worker), Client(server.address) as client:
        assert json.loads(client.submit("add", "[1, 2]").result(LIMIT_S)) == {"sum": 3}
        assert client.submit("told").result(LIMIT_S) == b'"None told"'
        assert client.submit("length", b"\0\xff").result(LIMIT_S) == b"2"
        assert client.submit("words", "b a").result(LIMIT_S) == b"a b"
        with pytest.raises(JobFailed, match="JSONDecodeError"):
            client.submit("add", "{").result(LIMIT_S)
    with pytest.raises(InvalidArgument, match="the codec of 'f' is one of 'json', 'bytes'"):
        worker.register("f", upper, codec="pickle")  # type: ignore[arg-type]  # the mistake


def test_coroutine_functions(server: ServerProcess, kind: Kind) -> None:
    worker = worker_of(kind, server.address)

    @worker.function("later")
    async def later(job: Job) -> bytes:
        await asyncio.sleep(0)
        return job.data.upper()

    cancelled = threading.Event()

    @worker.function("endless", timeout=0.05)
    async def endless(job: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with running(worker), Client(server.address) as client:
        assert client.submit("later", "x").result(LIMIT_S) == b"X"
        with pytest.raises(JobFailed, match=r"TimeoutError: endless took longer than its 0\.05 s"):
            client.submit("endless").result(LIMIT_S)
        assert cancelled.is_set()
        client.operate("set-policy", function="endless", policy={"keep_s": 60})
        job = client.submit("endless")
        with pytest.raises(JobFailed):
            job.result(LIMIT_S)
        assert client.job(job.handle)["job"]["reason"] == "timeout"


@pytest.mark.parametrize("kind", ["inline", "threads"])
def test_middleware_stands_around_every_job(server: ServerProcess, kind: Kind) -> None:
    worker = worker_of(kind, server.address)
    worker.register("upper", upper)
    told: list[str] = []

    @worker.use
    def outer(job: Job, call_next: Callable[[], Any]) -> Any:
        told.append(f"begin {job.function}")
        try:
            return call_next()
        finally:
            told.append("end")

    @worker.use
    def inner(job: Job, call_next: Callable[[], Any]) -> Any:
        if job.data == b"no":
            raise PermissionError("not this one")
        return call_next() + b"!"

    with running(worker), Client(server.address) as client:
        assert client.submit("upper", "x").result(LIMIT_S) == b"X!"
        with pytest.raises(JobFailed, match="not this one"):
            client.submit("upper", "no").result(LIMIT_S)
    assert told == ["begin upper", "end"] * 2


def test_what_is_worse_than_an_exception_ends_the_worker(server: ServerProcess, kind: Kind) -> None:
    def leaves(job: Job) -> None:
        raise SystemExit(7)

    worker = worker_of(kind, server.address)
    worker.register("leaves", leaves)
    with Client(server.address) as client:
        client.submit_background("leaves")
        with pytest.raises(SystemExit, match="7"):
            worker.run()


def test_hooks_at_start_and_stop(server: ServerProcess, kind: Kind) -> None:
    worker, told = worker_of(kind, server.address), []
    worker.register("upper", upper)
    worker.on_start(lambda: told.append("start"))
    worker.on_stop(lambda: told.append("close last"))
    worker.on_stop(lambda: told.append("close first"))
    with running(worker), Client(server.address) as client:
        client.submit("upper", "x").result(LIMIT_S)
        assert told == ["start"]
    assert told == ["start", "close first", "close last"]


def test_a_burst_ends_with_the_last_job(server: ServerProcess, kind: Kind) -> None:
    worker, done = worker_of(kind, server.address), []

    def chain(job: Job) -> None:
        done.append(job.data)
        if job.data == b"first":
            with Client(server.address) as inside:
                inside.submit_background("chain", "second")

    worker.register("chain", chain)
    worker.run(burst=True)
    with Client(server.address) as client:
        client.submit_background("chain", "first")
        client.submit_background("chain", "later", delay_s=3600)
    worker.run(burst=True)
    assert done == [b"first", b"second"]


def test_it_ends_after_so_many_jobs(server: ServerProcess, kind: Kind) -> None:
    """With several at a time there may be more: those that run beside the last one."""
    worker, done = worker_of(kind, server.address), []
    worker.register("count", lambda job: done.append(job.data))
    with Client(server.address) as client:
        client.submit_many_background("count", [str(number) for number in range(100)])
        worker.run(jobs=10)
        assert 10 <= len(done) < 20
        if kind == "inline":
            assert len(done) == 10
        worker.run(burst=True)
    assert len(done) == len(set(done)) == 100


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_burst_without_a_server_says_so(kind: Kind) -> None:
    with ServerProcess() as gone:
        worker = worker_of(kind, gone.address)
    worker.register("upper", upper)
    with pytest.raises(CannotConnect, match="no Gearman server answers"):
        worker.run(burst=True)


@pytest.mark.parametrize("kind", ["inline", "asyncio", "processes"])
def test_it_outlives_a_hundred_restarts(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection ends a hundred times; after each it registers again and does the next job."""
    with ServerProcess() as server, proxy(server.host, server.port) as between:
        worker = worker_of(kind, between.address)
        worker.register("upper", upper)
        with running(worker), Client(server.address) as client:
            for number in range(100):
                text = f"job {number}"
                assert client.submit("upper", text).result(LIMIT_S) == text.upper().encode()
                between.cut()
        assert between.connections >= 100


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_it_comes_back_to_a_server_that_was_killed(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerProcess() as server:
        port = server.port
        worker = worker_of(kind, server.address)
        worker.register("upper", upper)
        with running(worker):
            for _ in range(3):
                with Client(server.address) as client:
                    assert client.submit("upper", "x").result(LIMIT_S) == b"X"
                server.kill()
                server = ServerProcess("--port", str(port))
                server.start()
            server.stop()
            server.close()
    lost = [record for record in caplog.records if "tries again until" in record.message]
    assert all(record.levelno == logging.WARNING for record in lost)


def test_a_worker_that_was_dropped_comes_again(server: ServerProcess, kind: Kind) -> None:
    """It was stuck, perhaps; now it is not, or it could not hear of it."""
    worker = worker_of(kind, server.address)
    worker.register("upper", upper)
    with running(worker), Client(server.address) as client:
        assert client.submit("upper", b"x").result(LIMIT_S) == b"X"
        (row,) = client.operate("workers")["workers"]
        client.operate("drop-worker", peer=row["peer"])
        assert client.submit("upper", b"y").result(LIMIT_S) == b"Y"


def test_what_a_lost_job_gives_is_for_nobody(
    kind: Kind, server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    entered, going = threading.Semaphore(0), threading.Event()
    attempts: list[int] = []

    def held(job: Job) -> str:
        attempts.append(job.attempt)
        entered.release()
        assert going.wait(LIMIT_S)
        return f"attempt {job.attempt}"

    with proxy(server.host, server.port) as between:
        worker = worker_of(kind, between.address)
        worker.register("held", held)
        with running(worker), Client(server.address) as client:
            job = client.submit("held")
            assert entered.acquire(timeout=LIMIT_S)
            between.cut()
            going.set()
            assert job.result(LIMIT_S) == b"attempt 2"
    assert attempts == [1, 2]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_several_servers_at_a_time(kind: Kind) -> None:
    with ServerProcess() as one, ServerProcess() as two, ServerProcess() as dead:
        addresses = [one.address, two.address, dead.address]
        dead.kill()
        worker = worker_of(kind, addresses)
        worker.register("upper", upper)
        with running(worker):
            for server in (one, two, one, two):
                with Client(server.address) as client:
                    results = list(client.map("upper", ["x"] * 50, timeout=LIMIT_S))
                    assert results == [b"X"] * 50


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_through_tls(kind: Kind, server: ServerProcess, tmp_path: Path) -> None:
    with tls_front(tmp_path, server.host, server.port) as front:
        worker = worker_of(kind, front.url)
        worker.register("upper", upper)
        with running(worker), Client(server.address) as client:
            payload = b"x" * 1_000_000
            assert client.submit("upper", payload).result(LIMIT_S) == payload.upper()
    worker = worker_of(kind, f"tls://localhost:1?ca={tmp_path}/none.pem")
    worker.register("upper", upper)
    with pytest.raises(SettingError, match=r"none\.pem"):
        worker.run()


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_job_that_does_not_end_in_time_is_handed_back(server: ServerProcess, kind: Kind) -> None:
    entered, never = threading.Event(), threading.Event()

    def hangs(job: Job) -> None:
        entered.set()
        never.wait(LIMIT_S)

    worker = worker_of(kind, server.address, stop_timeout=0.05)
    worker.register("hangs", hangs)
    with Client(server.address) as client:
        job = client.submit("hangs")
        with running(worker):
            assert entered.wait(LIMIT_S)
        other = Worker(server.address)
        other.register("hangs", lambda job: f"attempt {job.attempt}")
        with running(other):
            assert job.result(LIMIT_S) == b"attempt 2"
    never.set()


def test_a_worker_says_how_it_is_while_a_job_takes_long(server: ServerProcess, kind: Kind) -> None:
    held = Held()
    worker = worker_of(kind, server.address)
    worker.register("held", held)
    with Client(server.address) as client:
        job = client.submit("held")
        with running(worker):
            held.wait_entered()

            def states() -> list[bool]:
                return [bool(each["state"]) for each in client.operate("workers")["workers"]]

            eventually(states, [True])
            held.going.release()
            assert job.result(LIMIT_S) == b"let go"


def test_a_gearpy_server_is_told_what_a_job_cost(server: ServerProcess, kind: Kind) -> None:
    def works(job: Job) -> None:
        until_s = time.thread_time() + 0.02
        while time.thread_time() < until_s:
            pass

    worker = worker_of(kind, server.address)
    worker.register("works", works)
    with running(worker), Client(server.address) as client:
        client.operate("set-policy", function="works", policy={"keep_s": 60})
        job = client.submit("works")
        job.result(LIMIT_S)
        [attempt] = client.job(job.handle)["job"]["log"]
        assert attempt["cpu_s"] >= 0.02
        assert attempt["memory_bytes"] > 1_000_000
