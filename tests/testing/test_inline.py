"""Jobs without any server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gearpy.errors import ConnectionLost, JobFailed, WaitTimeout
from gearpy.priority import Priority
from gearpy.tasks import Tasks
from gearpy.testing.inline import InlineClient
from gearpy.worker import AsyncWorker, Job, Worker


@pytest.fixture
def worker() -> Worker:
    worker = Worker("nowhere:1")
    worker.register("upper", lambda job: job.data.upper())
    return worker


def test_what_is_submitted_is_done(worker: Worker) -> None:
    done: list[bytes] = []
    worker.register("note", lambda job: done.append(job.data))
    with InlineClient(worker) as client:
        assert client.submit("upper", "x").result() == b"X"
        client.submit_background("note", "1")
        assert done == [b"1"]
        client.submit_many_background("note", ["2", "3"])
        assert done == [b"1", b"2", b"3"]
        assert list(client.map("upper", ["a", "b"])) == [b"A", b"B"]
        assert client.gather(client.submit_many("upper", ["c", "d"])) == [b"C", b"D"]
        assert client.echo("there") == b"there"
    client.close()
    with pytest.raises(ConnectionLost, match="this client was closed"):
        client.echo()


def test_what_a_job_says_on_the_way(worker: Worker) -> None:
    told: list[object] = []

    @worker.function("talks")
    def talks(job: Job) -> str:
        job.progress(1, 2, "half")
        assert told == [(1, 2)]
        job.send_data("part")
        job.warn("careful")
        return "done"

    with InlineClient(worker) as client:
        job = client.submit("talks", on_progress=lambda n, of, _: told.append((n, of)))
        assert list(job.data()) == [b"part"]
        assert job.result() == b"done"
        assert job.warnings == [b"careful"]


def test_jobs_that_submit_jobs(worker: Worker) -> None:
    order: list[str] = []

    @worker.function("outer")
    def outer(job: Job) -> bytes:
        client.submit_background("later", "from inside")
        client.submit_background("later", "urgent", priority=Priority.HIGH)
        assert order == []
        result = client.submit("upper", "nested", priority=Priority.HIGH).result()
        order.append("outer")
        return result

    worker.register("later", lambda job: order.append(job.data.decode()))
    with InlineClient(worker) as client:
        assert client.submit("outer").result() == b"NESTED"
    assert order[-1] == "from inside"
    assert sorted(order) == ["from inside", "outer", "urgent"]


def test_failures_retries_and_dead_letters(worker: Worker) -> None:
    attempts: list[int] = []

    @worker.function("fails")
    def fails(job: Job) -> None:
        attempts.append(job.attempt)
        raise KeyError("no")

    with InlineClient(worker, policies={"fails": {"attempts": 3, "backoff": [60]}}) as client:
        with pytest.raises(WaitTimeout, match="nobody here does it, or it is not due"):
            client.submit("fails", unique="a").result()
        assert attempts == [1]
        assert client.advance(59) == 0
        assert client.advance(1) == 1
        assert client.advance(3600) == 1
        assert attempts == [1, 2, 3]
        [dead] = client.operate("jobs", states=["dead"])["jobs"]
        assert dead["error"] == "KeyError: 'no'"
    with InlineClient(worker) as client, pytest.raises(JobFailed, match="KeyError: 'no'"):
        client.submit("fails").result()


def test_what_is_due_later(worker: Worker) -> None:
    done: list[bytes] = []
    worker.register("note", lambda job: done.append(job.data))
    with InlineClient(worker) as client:
        client.submit_background("note", "tomorrow", delay_s=86_400)
        client.submit_background("note", "in an hour", delay_s=3_600)
        assert done == []
        assert client.advance(3_600) == 1
        assert client.advance(86_400) == 1
        assert done == [b"in an hour", b"tomorrow"]


def test_nobody_does_it(worker: Worker) -> None:
    with InlineClient(worker) as client:
        with pytest.raises(WaitTimeout, match="nobody here does it"):
            client.submit("nothing like it").result()


def test_middleware_hooks_and_coroutines() -> None:
    told: list[str] = []
    worker = AsyncWorker("nowhere:1")

    @worker.function("later", codec="json", timeout=60)
    async def later(value: int) -> int:
        await asyncio.sleep(0)
        return value + 1

    worker.register("plain", lambda job: "plain")

    @worker.use
    async def around(job: Job, call_next: Callable[[], Awaitable[Any]]) -> Any:
        told.append(job.function)
        return await call_next()

    @worker.on_start
    async def start() -> None:
        told.append("start")

    worker.on_stop(lambda: told.append("stop"))
    with InlineClient(worker) as client:
        assert client.submit("later", "1").result() == b"2"
        assert client.submit("plain").result() == b"plain"
    assert told == ["start", "later", "plain", "stop"]


def test_tasks_submit_through_it() -> None:
    tasks = Tasks("shop", "nowhere:1")

    @tasks.task()
    def add(a: int, b: int = 1) -> int:
        return a + b

    @tasks.task()
    async def twice(a: int) -> int:
        return 2 * a

    with InlineClient(tasks):
        assert add.submit(1, b=2).result() == 3
        assert list(add.map([1, 2])) == [2, 3]
        assert twice.submit(4).result() == 8


def test_the_fixture(gearpy_inline: Callable[..., InlineClient], worker: Worker) -> None:
    assert gearpy_inline(worker).submit("upper", "x").result() == b"X"


def test_what_is_worse_than_an_exception_ends_one_job_only(worker: Worker) -> None:
    @worker.function("leaves")
    def leaves(job: Job) -> None:
        raise SystemExit(7)

    with InlineClient(worker) as client:
        with pytest.raises(SystemExit):
            client.submit_background("leaves")
        assert client.submit("upper", "x").result() == b"X"


def test_tasks_are_as_before_where_a_start_hook_fails() -> None:
    class Broken(Tasks):  # type: ignore[misc]  # final, for people
        def worker(self) -> Worker:
            worker = super().worker()
            worker.on_start(lambda: 1 / 0)
            return worker

    tasks = Broken("shop", "nowhere:1")
    tasks.task()(len)
    with pytest.raises(ZeroDivisionError):
        InlineClient(tasks)
    assert tasks._client is None


def test_callbacks_follow() -> None:
    asked: list[bytes] = []
    worker = Worker()
    worker.register("resize", lambda job: b"small")
    worker.register("index", lambda job: asked.append(job.data))
    worker.register("gearpy.http", lambda job: asked.append(job.data))
    with InlineClient(worker, callback_secret="sixteen bytes or more") as client:
        client.submit("resize", callback={"function": "index", "data": "4711"}).result()
        client.submit("resize", callback="https://example.org/done").result()
        client.advance(0)
    assert asked[0] == b"4711"
    assert json.loads(json.loads(asked[1])["body"])["result"] == "small"
