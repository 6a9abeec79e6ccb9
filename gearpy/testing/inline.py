"""Jobs without any server: client, broker and worker in one thread, with no socket between them."""

import contextlib
import time
from collections.abc import Callable, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, final

from gearpy.address import Address
from gearpy.broker.broker import Broker, Facts
from gearpy.broker.callbacks import SignedCaller
from gearpy.broker.ports import Peer
from gearpy.client.blocking import TIMEOUT_S, BlockingClient
from gearpy.client.calls import Calls
from gearpy.client.core import ClientCore, Event
from gearpy.client.desk import Desk, JobNews
from gearpy.client.servers import Servers
from gearpy.client.steps import Call, Open, Pause, Step, Take, Wait, carried_out
from gearpy.engine.policy import read_policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.errors import ConnectionLost, WaitTimeout
from gearpy.testing.server import HandClock
from gearpy.version import VERSION
from gearpy.worker.core import WorkerCore
from gearpy.worker.costs import measured
from gearpy.worker.functions import (
    Job,
    Raised,
    Registration,
    Returned,
    close_loop,
    in_time,
    perform,
    perform_async,
    run_here,
)
from gearpy.worker.registry import Registry
from gearpy.worker.roster import Done, Roster

_ADDRESS: Final = Address("inline")

_Returned = TypeVar("_Returned")


class TasksLike(Protocol):
    """``gearpy.tasks.Tasks``, which is an extra."""

    def worker(self) -> Registry: ...

    def through(self, client: BlockingClient, /) -> contextlib.AbstractContextManager[None]: ...


@final
class InlineClient(BlockingClient):
    """A client whose jobs are done in the thread that submits them, before it goes on.

    ``work`` is what does them: a ``Worker``, an ``AsyncWorker``, or ``Tasks``, which submit through
    this client until its end.  In between is all that a gearpy-server is but for the network:
    coalescing, policies (``policies={"mail": {"attempts": 3}}``), history, operators' requests and
    callbacks (to URLs with a ``callback_secret``) are as there.

        with InlineClient(worker) as client:
            assert client.submit("resize", photo).result() == small

    Time stands still: what is due later is done when ``advance`` says so.  A wait that nothing can
    end any more raises WaitTimeout at once.  For one thread.
    """

    def __init__(
        self,
        work: Registry | TasksLike,
        *,
        policies: Mapping[str, Mapping[str, Any]] | None = None,
        callback_secret: str = "",
    ) -> None:
        self._clock = HandClock()
        self._desk = Desk()
        servers = Servers([_ADDRESS], lambda: 0.0)
        super().__init__(Calls(servers, self._desk, TIMEOUT_S, time.monotonic, self._clock.now_s))
        book = {name.encode(): read_policy(table) for name, table in (policies or {}).items()}
        self._broker = Broker(
            facts=Facts(version=VERSION),
            now_s=self._clock.now_s(),
            policies=PolicyBook(book),
            caller=SignedCaller(callback_secret),
        )
        self._end = contextlib.ExitStack()
        worker = work if isinstance(work, Registry) else work.worker()
        if not isinstance(work, Registry):
            self._end.enter_context(work.through(self))
        self._client = _ClientEnd(self._broker)
        self._work = _WorkerEnd(self._broker, worker, self._carry)
        self._depth = 0  # calls in jobs in calls
        self._closed = False
        self._done = 0
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Calls the worker's stop hooks.  May be called again."""
        self._closed = True
        self._end.close()

    def advance(self, seconds: float) -> int:
        """Moves time forward, and does what is due by then, each at its moment; returns how many
        jobs that were."""
        until_s, before = self._clock.now_s() + seconds, self._done
        while (due_s := self._broker.next_due_s()) < until_s:
            self._clock.move_to(due_s)
            self.drain()
        self._clock.move_to(until_s)
        self.drain()
        return self._done - before

    def drain(self) -> int:
        """Does all jobs that wait, and returns how many that were.  Submitting does so, too, but
        within a job."""
        before = self._done
        self._depth += 1
        try:
            self._carry()
            while self._do_next():
                self._carry()
        finally:
            self._depth -= 1
        return self._done - before

    # ---- calls

    def _run(self, call: Call[_Returned]) -> _Returned:
        if self._closed:
            raise ConnectionLost("this client was closed; make a new one")
        self._depth += 1
        try:
            return carried_out(call, self._do)
        finally:
            self._depth -= 1
            if not self._depth:
                self.drain()

    def _do(self, step: Step) -> object:
        match step:
            case Open():
                return self._client
            case Wait(over=over, late=late):
                self._carry()
                while not over():
                    if not self._do_next():
                        raise WaitTimeout(f"{late}: nobody here does it, or it is not due")
                    self._carry()
            case Pause(seconds=seconds):
                self.advance(seconds)
            case Take(items=items, count=count):
                return list(islice(items, count))
        return None

    # ---- the network, such as it is

    def _carry(self) -> None:
        """Moves bytes until nobody has anything to say."""
        self._broker.advance(self._clock.now_s())
        moved = True
        while moved:
            moved = self._client.speak() or self._work.speak()
            for news in self._desk.hear(self._client.hear()):
                _call_back(news)
            moved = self._work.hear() or moved
            self._broker.take_dirty()

    def _do_next(self) -> bool:
        """Does the job that is next, if there is one."""
        if not self._work.do_next():
            return False
        self._done += 1
        return True

    def _start(self) -> None:
        worker = self._work.worker
        self._end.callback(close_loop)
        for hook in worker._start_hooks:
            _call(hook)
        for hook in worker._stop_hooks:
            self._end.callback(_call, hook)
        self._carry()


def _call(hook: Callable[[], Any]) -> None:
    awaited = hook()
    if hasattr(awaited, "__await__"):
        run_here(_await(awaited))


async def _await(awaited: Any) -> Any:
    return await awaited


def _call_back(news: JobNews) -> None:
    while (callback := news.next_callback()) is not None:
        try:
            callback()
        finally:
            news.called_back()


class _End:
    """One end of a connection to the broker, which is at the other."""

    def __init__(self, broker: Broker, number: int, core: ClientCore | WorkerCore) -> None:
        self._said = core.take
        self._session = broker.connect(Peer(number, "inline", "inline"), self)

    def flush(self) -> None:
        """The broker has something to say: it is heard anyway."""

    def speak(self) -> bool:
        """Whether there was something to say."""
        data = self._said()
        if data:
            self._session.receive(data)
        return bool(data)

    def heard(self) -> bytes:
        """What the broker says."""
        data = self._session.outbox.take()
        if self._session.choked:
            self._session.resume()
        return data


@final
class _ClientEnd:
    """The client's connection."""

    def __init__(self, broker: Broker) -> None:
        self.address = _ADDRESS
        self.core = ClientCore()
        self._end = _End(broker, 1, self.core)
        self.speak = self._end.speak

    def hear(self) -> list[Event]:
        data = self._end.heard()
        return self.core.receive(data) if data else []


@final
class _WorkerEnd:
    """The worker's connection, and where its jobs report.  ``carry`` moves what is said."""

    def __init__(self, broker: Broker, worker: Registry, carry: Callable[[], None]) -> None:
        self.worker = worker
        self._core = WorkerCore()
        self._carry = carry
        self._roster = Roster(worker._functions, 1)
        self._roster.join(self._core)
        self._end = _End(broker, 2, self._core)
        self.speak = self._end.speak

    def hear(self) -> bool:
        data = self._end.heard()
        if data:
            self._roster.received(self._core, self._core.receive(data))
        return bool(data)

    def do_next(self) -> bool:
        """Does the next job, if there is one."""
        work = self._roster.next_work()
        if work is None:
            self._roster.deal()
            self._carry()
            work = self._roster.next_work()
        if work is None:
            return False
        self._roster.slots += 1  # for a job that it submits, and waits for
        job = Job(self, work.assignment)
        outcome: Returned | Raised = Raised(b"its function ended the program")
        try:
            with measured() as cost:
                outcome = self._perform(work.registration, job)
        finally:
            self._roster.finished(Done(work, outcome, cost))
            self._roster.slots -= 1
        return True

    def _perform(self, registration: Registration, job: Job) -> Returned | Raised:
        middlewares = tuple(self.worker._middlewares)
        if not self.worker._awaits:
            return perform(registration, job, middlewares)

        async def call() -> Any:
            if registration.is_coroutine:
                return await in_time(registration, job)
            return registration.call(job)

        return run_here(perform_async(registration, job, middlewares, call))

    # ---- what jobs report

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None:
        self._core.progress(handle, numerator, denominator, text)
        self._carry()

    def data(self, handle: bytes, data: bytes) -> None:
        self._core.data(handle, data)
        self._carry()

    def warning(self, handle: bytes, warning: bytes) -> None:
        self._core.warning(handle, warning)
        self._carry()

    def cancelled(self, handle: bytes) -> bool:
        return self._core.is_cancelled(handle)

    async def drained(self) -> None:
        """Nothing is under way."""
