"""The asyncio worker: a roster of jobs on transports, with coroutines as tasks and plain functions
in threads."""

import asyncio
import concurrent.futures
import contextlib
import inspect
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, final

from gearpy.address import Address, connect_timeout_s, reason_of
from gearpy.errors import CannotConnect, ConnectionLost, GearpyError, RemoteProtocolError
from gearpy.transport import connect_transport
from gearpy.worker.core import Assignment, WorkerCore
from gearpy.worker.costs import Cost, measured, metered
from gearpy.worker.functions import Job, Raised, Returned, in_time, overran, perform_async, raised
from gearpy.worker.heartbeat import Heartbeat
from gearpy.worker.places import FOR_NOW, Place
from gearpy.worker.registry import STOP_TIMEOUT_S, TIMEOUT_S, Registry
from gearpy.worker.roster import HANDED_BACK, TOO_LATE, Done, Roster, Work
from gearpy.worker.threads import Threads

log: Final = logging.getLogger("gearpy.worker")

CONCURRENCY: Final = 100
STOPPED: Final = "this worker has stopped"

_FAREWELL_S: Final = 5.0  # how long servers may take to hang up, and functions to be cancelled


@final
class AsyncWorker(Registry):
    """Does the jobs of Gearman servers, in an event loop.

    Like ``Worker``, with the same arguments and methods, but for this:

    - ``run`` is a coroutine: ``asyncio.run(worker.run())``.
    - ``concurrency`` is 100 by default.  Coroutine functions run side by side as tasks of the loop
      that ``run`` runs in; plain functions run in threads.
    - Where a gearpy-server says that a job was cancelled, its coroutine is cancelled.
    - A middleware is a coroutine function and awaits ``call_next()``; the function inside may be a
      plain one.  Hooks may be coroutine functions.
    - What a coroutine function sends waits in memory until the server takes it:
      ``await job.drained()`` after each part of much.
    """

    _awaits = True

    def __init__(
        self,
        servers: str | Iterable[str] | None = None,
        *,
        concurrency: int = CONCURRENCY,
        timeout: float | None = TIMEOUT_S,
        stop_timeout: float | None = STOP_TIMEOUT_S,
        reconnect: bool = True,
    ) -> None:
        super().__init__(servers, concurrency, timeout, stop_timeout, reconnect)
        self._stopping = False
        self._run: _Run | None = None

    async def run(self, *, burst: bool = False, jobs: int | None = None) -> None:
        """Connects and does jobs, until ``stop`` is called or SIGTERM or SIGINT arrives.

        As ``Worker.run``.  Functions that are not done by ``stop_timeout`` are cancelled.  To
        cancel this ends it at once: functions are cancelled, and the servers give their jobs to
        other workers.
        """
        self._check()
        async with contextlib.AsyncExitStack() as hooks:
            run = _Run(self, burst, jobs)
            try:
                with self._hearing_signals(run):
                    for hook in self._start_hooks:
                        await _call(hook)
                    for hook in self._stop_hooks:
                        hooks.push_async_callback(_call, hook)
                    self._run = run
                    if not self._stopping:
                        await run.work()
            finally:
                self._run = None
                self._stopping = False

    def stop(self) -> None:
        """Makes ``run`` return once the running jobs are done; without waiting for that.

        May be called from another thread or from a job's function.  Before ``run``, it makes the
        next ``run`` return at once.
        """
        self._stopping = True
        if (run := self._run) is not None:
            run.call_soon(run.begin_stop)

    @contextlib.contextmanager
    def _hearing_signals(self, run: "_Run") -> Iterator[None]:
        with contextlib.ExitStack() as undo:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGTERM, signal.SIGINT):
                    handler = signal.getsignal(number)
                    # None: set by something that is not Python, and could not be put back.
                    if handler not in (signal.SIG_IGN, None):
                        run.loop.add_signal_handler(number, self._on_signal, run, number)
                        undo.callback(signal.signal, number, handler)
                        undo.callback(run.loop.remove_signal_handler, number)
            yield

    def _on_signal(self, run: "_Run", number: int) -> None:
        if self._stopping and number == signal.SIGINT:
            run.fail(KeyboardInterrupt())
        self._stopping = True
        run.begin_stop()


async def _call(hook: Callable[[], object]) -> None:
    returned = hook()
    if inspect.isawaitable(returned):
        await returned


@final
class _Run:
    """One ``run`` of a worker: its connections, and what is under way.

    All of it happens in the loop's thread.
    """

    def __init__(self, worker: AsyncWorker, burst: bool, jobs: int | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.timeout_s = worker._timeout_s
        self._thread = threading.get_ident()
        self._worker = worker
        self._burst = burst
        self._jobs_left = math.inf if jobs is None else jobs
        self._functions = {  # what comes later is for the next run
            name: replace(each, is_stopped=each.is_coroutine or worker._is_replaced)
            for name, each in worker._functions.items()
        }
        self._middlewares = tuple(worker._middlewares)
        self._roster = Roster(self._functions, worker._concurrency, burst=burst)
        self._places = [Place(address) for address in worker._addresses]
        self._connect_s = connect_timeout_s(worker._addresses, worker._timeout_s)
        self._lines: dict[WorkerCore, _Line] = {}
        self._threads = Threads(worker._concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._doing: dict[Work, asyncio.Task[None]] = {}
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._stopping = False
        self._due = False  # whether ``_advance`` is called at the end of this round of the loop
        self._heartbeat = Heartbeat(worker._concurrency)

    # ---- the whole

    async def work(self) -> None:
        """Until there is nothing left to do, or no time."""
        for place in self._places:
            self._start(self._keep(place))
        self._start(self._beat())
        try:
            await self._over
            for line in list(self._lines.values()):
                await line.finish()
        finally:
            tasks = [*self._tasks, *self._doing.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_FAREWELL_S)
            self._threads.close()
            for line in list(self._lines.values()):
                line.lose(STOPPED)

    def call_soon(self, call: Callable[[], object]) -> None:
        """From any thread.  Once the loop is closed, there is nothing to be done any more."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call)

    def begin_stop(self) -> None:
        """No more jobs; those that there are get their time."""
        if self._stopping:
            return
        self._stopping = True
        self._roster.stop()
        if self._worker._stop_timeout_s is not None:
            self.loop.call_later(self._worker._stop_timeout_s, self._time_up)
        self.advance_soon()

    def _time_up(self) -> None:
        if not self._over.done():
            log.warning(HANDED_BACK, len(self._roster.running))
            self._over.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Ends the run with this."""
        if not self._over.done():
            self._over.set_exception(error)

    def _start(self, steps: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def advance_soon(self) -> None:
        """Something has changed: what follows from it is done once for each round of the loop."""
        if not self._due:
            self._due = True
            self.loop.call_soon(self._advance)

    def _advance(self) -> None:
        self._due = False
        while (work := self._roster.next_work()) is not None:
            task = self._doing[work] = self.loop.create_task(self._do(work, self._lines[work.core]))
            task.add_done_callback(partial(self._ended_job, work))
        self._roster.deal()
        for line in list(self._lines.values()):
            line.flush()
        if (
            self._burst
            and not self._stopping
            and len(self._lines) == len(self._places)
            and self._roster.idle
        ):
            self.begin_stop()
        if self._stopping and self._roster.stopped and not self._over.done():
            self._over.set_result(None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat.next_s - time.monotonic())
            if self._heartbeat.due(time.monotonic()):
                values = self._heartbeat.values(self._stopping)
                for core, line in self._lines.items():
                    core.tell_state(values)
                    line.flush()

    # ---- connections

    async def _keep(self, place: Place) -> None:
        """Connects to a server, and again whenever it is gone."""
        while not self._stopping:
            error, was_there = await self._stay(place)
            if self._stopping:
                return
            if self._burst or not self._worker._reconnect:
                raise error
            place.failed(time.monotonic(), was_there=was_there)
            if place.failures == 1:
                log.warning("this worker tries again until its server is there: %s", error)
            await asyncio.sleep(place.due_s - time.monotonic())

    async def _stay(self, place: Place) -> tuple[GearpyError, bool]:
        """One connection from its begin to its end: why it ended, and whether the server was there
        before."""
        try:
            line = await connect_transport(
                place.address, self._connect_s, lambda: _Line(self, place.address)
            )
        except CannotConnect as error:
            return error, False
        if line.lost is None:
            if place.failures:
                log.info("connected to %s again", place.address)
            self._lines[line.core] = line
            self._roster.join(line.core)
            self.advance_soon()
        await line.closed
        return ConnectionLost(line.lost), line.core.was_well

    def heard(self, line: "_Line", assignments: list[Assignment], cancels: bool) -> None:
        """The server has said something."""
        core = line.core
        if core.broken is not None:
            line.lose(f"{line.address} does not speak Gearman: {core.broken}")
        elif (refusal := core.refusal) is not None:
            if refusal.code not in FOR_NOW or not self._worker._reconnect:
                self.fail(refusal)
            line.lose(f"{line.address} takes no worker now: {refusal}")
        else:
            try:
                self._roster.received(core, assignments)
            except RemoteProtocolError as error:
                core.broken = error
                line.lose(f"{line.address} does not speak Gearman: {error}")
        if cancels:
            for work, task in self._doing.items():
                # A thread can't be cancelled, and keeps its place; its function may ask.
                if (
                    work.core is core
                    and work.registration.is_coroutine
                    and core.is_cancelled(work.assignment.handle)
                    and not task.cancelling()
                ):
                    task.cancel()
        self.advance_soon()

    def lost(self, line: "_Line") -> None:
        """A connection is gone."""
        if self._lines.pop(line.core, None) is not None:
            self._roster.leave(line.core)
            self.advance_soon()

    # ---- jobs

    async def _do(self, work: Work, line: "_Line") -> None:
        job, cost = Job(line, work.assignment), Cost()
        started_s = time.perf_counter()
        try:
            outcome = await perform_async(
                work.registration, job, self._middlewares, lambda: self._call(work, job, cost)
            )
        except asyncio.CancelledError:
            if self._over.done():
                raise  # this worker ends, and hands the job back
            if work.core.is_cancelled(work.assignment.handle):
                outcome = Raised(b"cancelled")  # the server knows
            else:
                outcome = raised(job, RuntimeError("the function was cancelled, but not its job"))
        cost.end(started_s)
        if work not in self._roster.running:
            return  # its time was up before
        self._heartbeat.count(isinstance(outcome, Returned))
        self._jobs_left -= 1
        if self._jobs_left <= 0:
            self.begin_stop()
        if not self._roster.finished(Done(work, outcome, cost)):
            log.warning(TOO_LATE, work.handle)

    def _ended_job(self, work: Work, task: asyncio.Task[None]) -> None:
        del self._doing[work]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
        self.advance_soon()

    async def _call(self, work: Work, job: Job, cost: Cost) -> Any:
        if work.registration.is_coroutine:
            return await metered(in_time(work.registration, job), cost)
        answered = self.loop.create_future()

        def call() -> None:
            settle: Callable[[], None]
            try:
                with measured() as thread_cost:
                    answer = work.registration.call(job)
            except BaseException as error:
                settle = partial(_settle, answered, answered.set_exception, error)
            else:
                settle = partial(_settle, answered, answered.set_result, answer)
            cost.cpu_s = thread_cost.cpu_s
            self.call_soon(settle)

        self._threads.give(call, len(self._doing))
        if not (self._worker._is_replaced and work.registration.timeout_ms):
            return await answered
        limit = self.loop.call_later(work.registration.timeout_ms / 1000, self._overran, work)
        try:
            return await answered
        finally:
            limit.cancel()

    def _overran(self, work: Work) -> None:
        """A function in a thread takes too long, and can't be stopped but with its process: its
        server is told, and this worker ends as soon as its other jobs are done."""
        if work in self._roster.running:
            log.error("job %s: %s; this process ends", work.handle, overran(work.registration))
            self._heartbeat.count(False)
            self._roster.overran(work)
            self.begin_stop()
            self.advance_soon()

    # ---- what jobs report, from any thread

    def report(self, line: "_Line", put: Callable[[], None]) -> None:
        """Sends what a job has to say; a thread waits until the server takes it."""
        if threading.get_ident() == self._thread:
            line.say(put)
            return
        told = line.say_and_wait(put)
        try:
            asyncio.run_coroutine_threadsafe(told, self.loop).result()
        except (RuntimeError, concurrent.futures.CancelledError):
            told.close()  # the loop is closed, or about to be
            raise ConnectionLost(STOPPED) from None


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():  # by being cancelled
        settle(value)


@final
class _Line(asyncio.Protocol):
    """A core on its transport.  ``lost`` says why the connection is gone, once it is; ``closed``
    ends then."""

    def __init__(self, run: _Run, address: Address) -> None:
        self.address = address
        self.core = WorkerCore()
        self.lost: str | None = None
        self.closed: asyncio.Future[None] = run.loop.create_future()
        self._run = run
        self._writable = asyncio.Event()
        self._writable.set()
        self._limit: asyncio.TimerHandle | None = None
        self._finishing = False  # nothing more is to be said
        self._transport: asyncio.Transport

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self.lost is not None:
            return
        cancels = self.core.cancels
        assignments = self.core.receive(data)
        self._run.heard(self, assignments, self.core.cancels != cancels)

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.lose(f"the server at {self.address} closed the connection")
        else:
            self.lose(f"the connection to {self.address} broke: {reason_of(error)}")
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()
        self._watch(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._writable.set()
        self._unwatch()

    def _watch(self, unsent_bytes: int) -> None:
        """Gives the server its time to take something."""
        if self._run.timeout_s is not None:
            self._limit = self._run.loop.call_later(self._run.timeout_s, self._look, unsent_bytes)

    def _unwatch(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def _look(self, unsent_bytes: int) -> None:
        left_bytes = self._transport.get_write_buffer_size()
        if left_bytes < unsent_bytes:
            self._watch(left_bytes)
        else:
            seconds = self._run.timeout_s
            self.lose(f"the server at {self.address} takes nothing, for {seconds} s now")

    # ---- the worker's side

    def flush(self) -> None:
        """Sends what the core has to say."""
        data = self.core.take()
        if data and self.lost is None and not self._finishing:
            self._transport.write(data)

    def say(self, put: Callable[[], None]) -> None:
        """Sends what a job reports.  Raises ConnectionLost."""
        if self.lost is not None or self._finishing:
            raise ConnectionLost(self.lost or STOPPED)
        put()
        self.flush()

    async def say_and_wait(self, put: Callable[[], None]) -> None:
        """The same, and waits until the server takes it."""
        self.say(put)
        await self.drained()

    def lose(self, reason: str) -> None:
        """Gives the connection up."""
        if self.lost is None:
            self.lost = reason
            self._unwatch()
            self._writable.set()
            self._transport.abort()
            self._run.lost(self)

    async def finish(self) -> None:
        """Ends the connection so that the last result surely arrives.

        Closing a socket with something unread in it resets the connection, and then what the
        server did not yet take is thrown away.  So: say that this was all, and read to the end.
        """
        self._finishing = True
        self._transport.set_write_buffer_limits(1, 0)  # so that drained is empty
        with contextlib.suppress(ConnectionLost):
            await self.drained()
        if self.lost is not None:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
        await asyncio.wait([self.closed], timeout=_FAREWELL_S)

    # ---- what a job reports

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None:
        self._run.report(self, lambda: self.core.progress(handle, numerator, denominator, text))

    def data(self, handle: bytes, data: bytes) -> None:
        self._run.report(self, lambda: self.core.data(handle, data))

    def warning(self, handle: bytes, warning: bytes) -> None:
        self._run.report(self, lambda: self.core.warning(handle, warning))

    def cancelled(self, handle: bytes) -> bool:
        return self.core.is_cancelled(handle)

    async def drained(self) -> None:
        await self._writable.wait()
        if self.lost is not None:
            raise ConnectionLost(self.lost)
