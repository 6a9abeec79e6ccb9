"""Workers in threads of the test, for whoever needs a job done."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final, Literal, cast

from gearpy.worker import AsyncWorker, Job, Worker
from gearpy.worker.functions import JobFunction

LIMIT_S: Final = 30.0


Kind = Literal["inline", "threads", "asyncio", "processes"]
KINDS: Final[tuple[Kind, ...]] = ("inline", "threads", "asyncio")
ALL_KINDS: Final[tuple[Kind, ...]] = (*KINDS, "processes")  # for functions of a module


class _Looped:
    """An ``AsyncWorker`` behind the blocking one's face: each ``run`` has a loop of its own."""

    def __init__(self, worker: AsyncWorker) -> None:
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def run(self, *, burst: bool = False, jobs: int | None = None) -> None:
        asyncio.run(self._worker.run(burst=burst, jobs=jobs))


def worker_of(kind: Kind, servers: Any, **more: Any) -> Worker:
    """A worker of that kind, so that a scenario is written once for all of them."""
    if kind == "asyncio":
        return cast(Worker, _Looped(AsyncWorker(servers, **{"concurrency": 4, **more})))
    if kind == "processes":
        return Worker(servers, **{"concurrency": 2, "processes": True, **more})
    return Worker(servers, **{"concurrency": 1 if kind == "inline" else 4, **more})


@contextlib.contextmanager
def running(worker: Worker) -> Iterator[None]:
    """The worker in a thread, until the end of the block; raises what it ended with."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    with contextlib.ExitStack() as stack:
        thread.start()
        stack.callback(thread.join, LIMIT_S)
        stack.callback(worker.stop)
        yield
    assert not thread.is_alive()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def working(address: str, **functions: JobFunction) -> Iterator[Worker]:
    """A worker with these functions in a thread, until the end of the block."""
    worker = Worker(address)
    for name, function in functions.items():
        worker.register(name, function)
    with running(worker):
        yield worker


class Held:
    """A function that waits inside its job until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.going = threading.Semaphore(0)

    def __call__(self, job: Job) -> bytes:
        self.entered.release()
        assert self.going.acquire(timeout=LIMIT_S)
        return b"let go"

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=LIMIT_S)


def upper(job: Job) -> bytes:
    return job.data.upper()
