"""Tasks that are called, submitted and done, with a real server and real workers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gearpy.errors import InvalidArgument, JobFailed, NotSupported
from gearpy.tasks import Tasks, current_job
from gearpy.testing.process import ServerProcess
from gearpy.worker import Worker
from tests.client.other_servers import LIKE_GEARMAND, scripted
from tests.workers import running

LIMIT_S = 30.0


@pytest.fixture
def tasks(server: ServerProcess) -> Iterator[Tasks]:
    made = Tasks("shop", server.address)
    yield made
    made.close()


@contextmanager
def working(server: ServerProcess, tasks: Tasks) -> Iterator[None]:
    worker = Worker(server.address)
    tasks.register(worker)
    with running(worker):
        yield


def test_a_task_is_a_function_and_a_job(server: ServerProcess, tasks: Tasks) -> None:
    @tasks.task()
    def resize(path: str, width: int = 100) -> dict[str, int]:
        """Makes it smaller."""
        return {path: width}

    assert resize("a.jpg") == {"a.jpg": 100}
    assert (resize.name, resize.__doc__) == ("shop.resize", "Makes it smaller.")
    assert repr(resize) == "<task 'shop.resize'>"
    with working(server, tasks):
        job = resize.submit("a.jpg", width=200)
        assert job.result(LIMIT_S) == {"a.jpg": 200}
        assert job.done
        assert not job.status().known
        assert list(resize.map(["a", "b"], [1, 2], timeout=LIMIT_S)) == [{"a": 1}, {"b": 2}]


def test_wrong_arguments_are_never_submitted(tasks: Tasks) -> None:
    @tasks.task()
    def resize(path: str, width: int = 100) -> None: ...

    for submit in (resize.submit, resize.submit_background):
        with pytest.raises(TypeError, match=r"shop\.resize\(\): the argument 'width': expected"):
            submit("a.jpg", width="200")  # type: ignore[arg-type]  # the mistake under test
    assert tasks.client.operate("functions")["functions"] == []


def test_a_task_in_the_background(server: ServerProcess, tasks: Tasks) -> None:
    done = threading.Event()

    @tasks.task("send-mail")
    def send(to: str) -> None:
        done.set()

    with working(server, tasks):
        assert send.submit_background("ann@example.org").startswith("H:")
        assert done.wait(LIMIT_S)
    assert send.name == "shop.send-mail"


def test_what_a_task_raises(server: ServerProcess, tasks: Tasks) -> None:
    @tasks.task()
    def fails() -> None:
        raise LookupError("no such photo")

    with working(server, tasks):
        with pytest.raises(JobFailed, match="LookupError: no such photo"):
            fails.submit().result(LIMIT_S)
        # From a client that knows the function by another signature.
        with pytest.raises(JobFailed, match=r"TypeError: shop\.fails\(\): there is no argument"):
            tasks.client.submit("shop.fails", b'{"x":1}').result(LIMIT_S)


def test_retries_are_those_of_the_server(server: ServerProcess, tasks: Tasks) -> None:
    attempts: list[tuple[int, int | None]] = []

    @tasks.task(retries=2, backoff=[0])
    def flaky(limit: int) -> str:
        job = current_job()
        attempts.append((job.attempt, job.attempts))
        job.progress(job.attempt, limit, "trying")
        if job.attempt < limit:
            raise OSError("not yet")
        return "done"

    with working(server, tasks):
        job = flaky.submit(3)
        assert [progress.text for progress in job.progress(LIMIT_S)][-1:] == ["trying"] or job.done
        assert job.result(LIMIT_S) == "done"
        assert attempts == [(1, 3), (2, 3), (3, 3)]
        with pytest.raises(JobFailed, match="not yet"):
            flaky.submit(4).result(LIMIT_S)
    with pytest.raises(LookupError, match="no worker is doing a job here"):
        flaky(1)


def test_the_same_task_submitted_differently(tasks: Tasks) -> None:
    @tasks.task(labels={"a": "1"}, unique="-")
    def later(x: int) -> None: ...

    first, same, other = (later.submit_background(x) for x in (1, 1, 2))
    assert first == same != other
    delayed = later.options(delay_s=3600).submit_background(3)
    described = tasks.client.job(delayed)["job"]
    assert (described["state"], described["labels"]) == ("delayed", {"a": "1"})
    job = later.options(unique="x").submit(4)
    assert job.cancel()


def test_what_takes_a_gearpy_server_says_so() -> None:
    with scripted(LIKE_GEARMAND) as other:
        tasks = Tasks("shop", other.address)

        @tasks.task(retries=5)
        def f() -> None: ...

        with pytest.raises(NotSupported, match="background job with attempts"):
            f.submit_background()
        tasks.close()


def test_mistakes_in_a_declaration(tasks: Tasks) -> None:
    with pytest.raises(InvalidArgument, match="give one"):
        tasks.task(retries=1, attempts=2)
    with pytest.raises(TypeError, match="colour"):
        tasks.task(colour="red")  # type: ignore[call-arg]  # the mistake under test
    with pytest.raises(InvalidArgument, match="delay_s"):
        tasks.task(delay_s=-1)

    @tasks.task()
    def twice() -> None: ...

    with pytest.raises(InvalidArgument, match=r"there is a task 'shop\.twice' already"):
        tasks.task("twice")(lambda: None)
    with pytest.raises(TypeError, match=r"shop\.bad\(\): the argument 'x' can't travel as JSON"):

        @tasks.task()
        def bad(x: list[int] | tuple[str, ...]) -> None: ...

    assert [task.name for task in tasks] == ["shop.twice"]


async def test_a_task_from_asyncio(server: ServerProcess, tasks: Tasks) -> None:
    @tasks.task()
    def double(x: int) -> int:
        return 2 * x

    with working(server, tasks):
        job = await double.asubmit(4)
        assert await job == 8
        assert job.handle.startswith("H:")
        assert [x async for x in double.amap(range(5), timeout=LIMIT_S)] == [0, 2, 4, 6, 8]
        assert (await double.asubmit_background(4)).startswith("H:")
        with pytest.raises(TypeError, match="the argument 'x'"):
            await double.asubmit("4")  # type: ignore[arg-type]  # the mistake under test
    await tasks.aclose()
    await tasks.aclose()
