"""The blocking worker: a roster of jobs on sockets, whose functions run here, in threads or in
processes."""

import contextlib
import logging
import math
import queue
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final, final

from gearpy.address import RECEIVE_BYTES, connect, connect_timeout_s
from gearpy.errors import CannotConnect, ConnectionLost, GearpyError, RemoteProtocolError
from gearpy.stream import Stream
from gearpy.worker.costs import measured
from gearpy.worker.functions import Job, Returned, close_loop, overran, perform
from gearpy.worker.heartbeat import Heartbeat
from gearpy.worker.line import WorkerLine
from gearpy.worker.places import FOR_NOW, Place
from gearpy.worker.registry import STOP_TIMEOUT_S, TIMEOUT_S, Registry
from gearpy.worker.roster import HANDED_BACK, TOO_LATE, Done, Roster, Work
from gearpy.worker.threads import Threads

if TYPE_CHECKING:
    from gearpy.worker.pool import Pool

log: Final = logging.getLogger("gearpy.worker")


@final
class Worker(Registry):
    """Does the jobs of Gearman servers.

    ``servers`` are as with ``Client``: one, several behind commas, a list, or None for what
    GEARPY_SERVERS says.  It works for all of them at a time, and when one goes away it tries again
    for ever, after half a second at first and up to half a minute, while it goes on for the others.

    ``concurrency`` is how many jobs it does at a time.  With one, the default, functions run in the
    thread that called ``run``; with more, each runs in a thread of its own.  Coroutine functions
    run in an event loop of their thread; ``AsyncWorker`` runs many of them in one.

    With ``processes=True`` functions run in processes of their own, as many as ``concurrency``
    says: then Python's lock does not hold them up, a function that takes longer than its timeout is
    stopped for real, with its process, and one that takes its process down harms no other job.
    Functions, middleware and hooks must stand at the top level of a module, as each process imports
    them; hooks are called in each process.

    ``timeout`` is how many seconds connecting, and each write to a server, may take: 30 by default,
    None for any time.  ``stop_timeout`` is how many seconds running jobs get to finish after
    ``stop`` or a signal; then their connections are closed, so that the servers give them to other
    workers: 60 by default, None for any time.  With a concurrency of one it takes a signal, in the
    main thread, to leave a function that goes on.

    With ``reconnect=False`` ``run`` raises instead of trying again: CannotConnect, or
    ConnectionLost.

    Register functions, then call ``run``.  Raises SettingError if an address makes no sense.
    """

    def __init__(
        self,
        servers: str | Iterable[str] | None = None,
        *,
        concurrency: int = 1,
        timeout: float | None = TIMEOUT_S,
        stop_timeout: float | None = STOP_TIMEOUT_S,
        reconnect: bool = True,
        processes: bool = False,
    ) -> None:
        super().__init__(servers, concurrency, timeout, stop_timeout, reconnect)
        self._processes = processes
        self._stopping = False
        self._waker: socket.socket | None = None
        self._waker_lock = threading.Lock()

    def run(self, *, burst: bool = False, jobs: int | None = None) -> None:
        """Connects and does jobs, until ``stop`` is called or SIGTERM or SIGINT arrives.

        Jobs that run then are finished, and their results sent, before this returns; those that
        take longer than ``stop_timeout`` are handed back. A second SIGINT does not wait: it raises
        KeyboardInterrupt, and the servers give the jobs to other workers.  Signals are only heard
        in the main thread; a signal that is ignored stays ignored; handlers of before are put back
        at the end.

        With ``burst`` it returns once its servers have no more jobs for it, with ``jobs`` once it
        has done so many, and those that it holds then.

        Raises ServerError if a server refuses something, for example a function's name;
        InvalidArgument if nothing is registered; what a hook raises; and, with ``reconnect=False``
        or ``burst``, CannotConnect and ConnectionLost.
        """
        self._check()
        with self._woken_by_signals() as woken, contextlib.ExitStack() as hooks:
            try:
                if not self._processes:  # there they are called in each
                    for hook in self._start_hooks:
                        hook()
                    for hook in self._stop_hooks:
                        hooks.callback(hook)
                if not self._stopping:
                    with _Run(self, woken, burst, jobs) as run:
                        try:
                            run.work()
                        finally:
                            _disarm()
            except _TimeUp:
                log.warning(HANDED_BACK, 1)
            finally:
                self._stopping = False

    def _new_pool(self) -> "Pool":
        # Here, as multiprocessing is nothing that each program that imports gearpy should wait for.
        from gearpy.worker.pool import Kit, Pool

        kit = Kit(
            dict(self._functions),
            tuple(self._middlewares),
            tuple(self._start_hooks),
            tuple(self._stop_hooks),
            logging.root.level,
        )
        kit.check()
        return Pool(kit)

    def stop(self) -> None:
        """Makes ``run`` return once the running jobs are done; without waiting for that.

        May be called from another thread or from a job's function.  Before ``run``, it makes the
        next ``run`` return at once.
        """
        self._stopping = True
        with self._waker_lock:
            if self._waker is not None:
                _wake(self._waker)

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[socket.socket]:
        """A socket that becomes readable when ``stop`` is called or a signal arrives.

        Looking at a flag and then waiting would miss a signal between the two.  A byte in a socket
        is not missed: the interpreter writes it as the signal arrives (``set_wakeup_fd``).
        """
        woken, waker = socket.socketpair()
        with woken, waker, contextlib.ExitStack() as undo:
            woken.setblocking(False)
            waker.setblocking(False)
            with self._waker_lock:
                self._waker = waker
            undo.callback(self._forget_waker)
            if threading.current_thread() is threading.main_thread():
                self._hear_signals(waker, undo)
            yield woken

    def _hear_signals(self, waker: socket.socket, undo: contextlib.ExitStack) -> None:
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        undo.callback(signal.set_wakeup_fd, before)
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            # None: set by something that is not Python, and could not be put back.
            if handler not in (signal.SIG_IGN, None):
                signal.signal(number, self._on_signal)
                undo.callback(signal.signal, number, handler)
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.signal(signal.SIGALRM, _on_alarm)
            undo.callback(signal.signal, signal.SIGALRM, signal.SIG_DFL)
            undo.callback(signal.setitimer, signal.ITIMER_REAL, 0)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Takes no lock: what it interrupts may hold it.
        if self._stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stopping = True
        if (
            self._concurrency == 1
            and self._stop_timeout_s is not None
            and signal.getsignal(signal.SIGALRM) is _on_alarm
        ):
            # The function runs in this thread: nobody else could stop waiting for it.
            signal.setitimer(signal.ITIMER_REAL, max(self._stop_timeout_s, 1e-6))

    def _forget_waker(self) -> None:
        with self._waker_lock:
            self._waker = None


class _TimeUp(BaseException):
    """Comes out of a function whose time to finish is up."""


def _disarm() -> None:
    """The time that a signal gave to a function is for nothing else: hooks take theirs."""
    if signal.getsignal(signal.SIGALRM) is _on_alarm:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    raise _TimeUp


@dataclass(frozen=True, slots=True)
class _Connected:
    place: Place
    stream: Stream


@dataclass(frozen=True, slots=True)
class _Unreachable:
    place: Place
    error: Exception


@dataclass(frozen=True, slots=True)
class _Worse:
    """What came out of a job's thread, and is no matter of the job: SystemExit, for example."""

    error: BaseException


@final
class _Run:
    """One ``run`` of a worker: its connections, and what is under way."""

    def __init__(self, worker: Worker, woken: socket.socket, burst: bool, jobs: int | None) -> None:
        self._worker = worker
        self._burst = burst
        self._jobs_left = math.inf if jobs is None else jobs
        self._woken = woken
        stops = worker._processes or worker._is_replaced
        self._functions = {  # what comes later is for the next run
            name: replace(each, is_stopped=each.is_coroutine or stops)
            for name, each in worker._functions.items()
        }
        self._middlewares = tuple(worker._middlewares)
        # Who ends for a function that overruns its time has to be free to notice.
        self._watches = worker._is_replaced and not worker._processes
        has_limits = any(
            each.timeout_ms and not each.is_coroutine for each in self._functions.values()
        )
        self._inline = not (
            worker._concurrency > 1 or worker._processes or (self._watches and has_limits)
        )
        self._overrun_s: dict[Work, float] = {}  # when a function's time is up that is not stopped
        self._pool = worker._new_pool() if worker._processes else None
        self._roster = Roster(self._functions, worker._concurrency, burst=burst)
        self._places = [Place(address) for address in worker._addresses]
        self._connect_s = connect_timeout_s(worker._addresses, worker._timeout_s)
        self._lines: dict[WorkerLine, Place] = {}
        self._by_core: dict[object, WorkerLine] = {}
        self._inbox: queue.SimpleQueue[_Connected | _Unreachable | Done | _Worse]
        self._inbox = queue.SimpleQueue()
        self._over = False  # nobody looks into the inbox any more
        self._over_lock = threading.Lock()
        self._threads = Threads(worker._concurrency, close_loop)
        self._selector = selectors.DefaultSelector()
        self._selector.register(woken, selectors.EVENT_READ)
        self._stopping = False
        self._stop_by_s = math.inf
        self._heartbeat = Heartbeat(worker._concurrency)
        self._beaten = threading.Event()  # there is no next heartbeat
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "_Run":
        self._beats.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._beaten.set()
        for line in self._lines:
            line.lose("this worker has stopped")  # first, so that others get its jobs soon
        if self._pool is not None:
            self._pool.close()
        self._threads.close()
        close_loop()
        self._selector.close()
        for line in self._lines:
            line.close()
        with self._over_lock:
            self._over = True
        while not self._inbox.empty():
            if isinstance(late := self._inbox.get(), _Connected):
                late.stream.close()

    def work(self) -> None:
        """Until there is nothing left to do, or no time."""
        if self._pool is not None:
            for number in range(self._worker._concurrency):
                self._in_thread(self._pool.warm, number + 1)
        while True:
            self._stop_if_wanted()
            self._connect_due()
            self._begin_works()
            self._end_overrun()
            self._speak()
            if self._finished():
                self._beaten.set()
                self._beats.join()
                for line in list(self._lines):
                    line.finish()
                return
            if time.monotonic() >= self._stop_by_s:
                log.warning(HANDED_BACK, len(self._roster.running))
                return
            self._wait()

    def _finished(self) -> bool:
        if (
            self._burst
            and not self._stopping
            and len(self._lines) == len(self._places)
            and self._roster.idle
        ):
            self._begin_stop()
            self._speak()
        return self._stopping and self._roster.stopped

    def _stop_if_wanted(self) -> None:
        if self._worker._stopping and not self._stopping:
            self._begin_stop()

    def _begin_stop(self) -> None:
        self._stopping = True
        if self._worker._stop_timeout_s is not None:
            self._stop_by_s = time.monotonic() + self._worker._stop_timeout_s
        for line in self._lines:
            line.lock.acquire()
        self._roster.stop()
        for line in self._lines:
            line.lock.release()

    # ---- connections

    def _connect_due(self) -> None:
        if self._stopping:
            return
        now_s = time.monotonic()
        for place in self._places:
            if place.due_s <= now_s:
                place.due_s = math.inf
                # In a thread: the others' jobs are not to wait for a server that does not answer.
                threading.Thread(target=self._connect, args=(place,), daemon=True).start()

    def _connect(self, place: Place) -> None:
        try:
            stream = Stream(connect(place.address, self._connect_s))
        except Exception as error:
            self._tell(_Unreachable(place, error))
            return
        if not self._tell(_Connected(place, stream)):
            stream.close()

    def _tell(self, news: _Connected | _Unreachable | Done | _Worse) -> bool:
        """Something for the thread that runs; False if it has ended."""
        with self._over_lock:
            if self._over:
                return False
            self._inbox.put(news)
        self._wake()
        return True

    def _joined(self, place: Place, stream: Stream) -> None:
        line = WorkerLine(place.address, stream, self._worker._timeout_s, reads_itself=self._inline)
        self._lines[line] = place
        self._by_core[line.core] = line
        self._selector.register(line, selectors.EVENT_READ)
        self._roster.join(line.core)
        if place.failures:
            log.info("connected to %s again", place.address)

    def _lost(self, line: WorkerLine, error: GearpyError) -> None:
        """A connection is gone: says so once, and tries again after a pause."""
        place = self._lines.pop(line)
        del self._by_core[line.core]
        self._selector.unregister(line)
        line.close()
        self._roster.leave(line.core)
        self._try_again(place, error, was_there=line.core.was_well)

    def _try_again(self, place: Place, error: GearpyError, *, was_there: bool = False) -> None:
        if self._stopping and self._lines:
            return  # jobs of other servers are still to be finished
        if self._burst or not self._worker._reconnect:
            raise error
        place.failed(time.monotonic(), was_there=was_there)
        if place.failures == 1:
            log.warning("this worker tries again until its server is there: %s", error)

    # ---- jobs

    def _begin_works(self) -> None:
        """Begins what can be begun.  Inline that is: does jobs as long as some are there."""
        while True:
            self._take_arrived()
            work = self._roster.next_work()
            if work is None:
                self._roster.deal()
                return
            if not self._inline:
                self._to_thread(work)
                continue
            if self._roster.ahead:
                self._roster.deal()  # so that the next ones are on their way meanwhile
                if not self._roster.hurries:
                    self._speak()
            done = self._perform(work, Job(self._by_core[work.core], work.assignment))
            self._stop_if_wanted()  # so that no further job is asked for
            self._finish(done)
            self._roster.deal()
            if not self._roster.hurries:
                self._speak()

    def _take_arrived(self) -> None:
        for line in self._lines:
            if self._inline and not line.arrived and not self._roster.hurries:
                line.read()
            if line.arrived and line.lost is None:
                with line.lock:
                    arrived = list(line.arrived)
                    line.arrived.clear()
                try:
                    self._roster.received(line.core, arrived)
                except RemoteProtocolError as error:
                    line.core.broken = error
                    line.lose(f"{line.address} does not speak Gearman: {error}")

    def _to_thread(self, work: Work) -> None:
        line = self._by_core[work.core]
        if self._pool is not None:
            self._in_thread(partial(self._pool.perform, work, line), len(self._roster.running))
        else:
            job = Job(line, work.assignment)
            registration = work.registration
            if self._watches and registration.timeout_ms and not registration.is_coroutine:
                self._overrun_s[work] = time.monotonic() + registration.timeout_ms / 1000
            self._in_thread(partial(self._perform, work, job), len(self._roster.running))

    def _end_overrun(self) -> None:
        """A function that takes too long can't be stopped but with its process: its server is told,
        and this worker ends as soon as its other jobs are done."""
        if not self._overrun_s:
            return
        now_s = time.monotonic()
        for work in [work for work, due_s in self._overrun_s.items() if due_s <= now_s]:
            del self._overrun_s[work]
            log.error("job %s: %s; this process ends", work.handle, overran(work.registration))
            self._heartbeat.count(False)
            line = self._by_core.get(work.core)
            with contextlib.nullcontext() if line is None else line.lock:
                self._roster.overran(work)
            if not self._stopping:
                self._begin_stop()

    def _in_thread(self, perform: Callable[[], Done | None], at_a_time: int) -> None:
        def call() -> None:
            news: Done | _Worse | None
            try:
                news = perform()
            except BaseException as error:
                news = _Worse(error)
            if news is not None:
                self._tell(news)

        self._threads.give(call, at_a_time)

    def _perform(self, work: Work, job: Job) -> Done:
        with measured() as cost:
            outcome = perform(work.registration, job, self._middlewares)
        return Done(work, outcome, cost)

    def _finish(self, done: Done) -> None:
        """The function of a job has returned: tells its server."""
        if done.work not in self._roster.running:
            return  # its time was up before
        self._overrun_s.pop(done.work, None)
        self._heartbeat.count(isinstance(done.outcome, Returned))
        self._jobs_left -= 1
        if self._jobs_left <= 0 and not self._stopping:
            self._begin_stop()
        line = self._by_core.get(done.work.core)
        with contextlib.nullcontext() if line is None else line.lock:
            in_time = self._roster.finished(done)
        if not in_time:
            log.warning(TOO_LATE, done.work.handle)

    # ---- moving bytes

    def _beat(self) -> None:
        """In a thread: a job that takes long is no reason to be missed."""
        while not self._beaten.wait(max(self._heartbeat.next_s - time.monotonic(), 0.0)):
            if self._heartbeat.due(time.monotonic()):
                values = self._heartbeat.values(self._stopping)
                for line in list(self._lines):
                    with line.lock:
                        line.core.tell_state(values)
                        line.write()

    def _speak(self) -> None:
        for line in list(self._lines):
            line.write()
            refusal = line.core.refusal
            if refusal is not None:
                if refusal.code not in FOR_NOW or not self._worker._reconnect:
                    raise refusal
                line.lose(f"{line.address} takes no worker now: {refusal}")
            if line.lost is not None:
                self._lost(line, ConnectionLost(line.lost))

    def _wait(self) -> None:
        """Waits until something arrives, or is due."""
        until_s = min(
            self._stop_by_s,
            *(math.inf if self._stopping else place.due_s for place in self._places),
            *self._overrun_s.values(),
        )
        left_s = None if until_s == math.inf else max(until_s - time.monotonic(), 0.0)
        for key, _ in self._selector.select(left_s):
            if isinstance(key.fileobj, WorkerLine):
                key.fileobj.read()
            else:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(RECEIVE_BYTES)
        while not self._inbox.empty():
            match self._inbox.get():
                case _Connected(place=place, stream=stream):
                    self._joined(place, stream)
                case _Unreachable(place=place, error=error):
                    if not isinstance(error, CannotConnect):
                        raise error
                    self._try_again(place, error)
                case Done() as done:
                    self._finish(done)
                case _Worse(error=worse):
                    raise worse

    def _wake(self) -> None:
        with self._worker._waker_lock:
            if self._worker._waker is not None:
                _wake(self._worker._waker)


def _wake(waker: socket.socket) -> None:
    # Full: then there is enough in it to wake whoever waits.
    with contextlib.suppress(BlockingIOError):
        waker.send(b"\0")
