"""Jobs in processes: each does one at a time, and is killed when that takes too long.

The worker stays the only one who speaks with servers: what a job reports comes through a pipe, and
what is wrong with a process is known here.  A process is a new Python (spawn) that imports what it
needs, so it shares nothing with the worker's threads.
"""

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, final

from gearpy.errors import CannotStart, ConnectionLost, InvalidArgument
from gearpy.worker.costs import Cost, measured
from gearpy.worker.exits import how_it_ended
from gearpy.worker.functions import (
    Job,
    Middleware,
    Raised,
    Registration,
    Reporter,
    Returned,
    close_loop,
    overran,
    perform,
)
from gearpy.worker.roster import Done, Work

log: Final = logging.getLogger("gearpy.worker")

_spawn: Final = multiprocessing.get_context("spawn")

_COROUTINE_GRACE_S: Final = 1.0  # a coroutine is cancelled in its process; that is only killed if
# it does not come back
_FAREWELL_S: Final = 5.0  # how long a process may take to end that has nothing to do


@dataclass(frozen=True, slots=True)
class Kit:
    """What a process needs; it travels as names to import."""

    functions: Mapping[bytes, Registration]
    middlewares: Sequence[Middleware]
    start_hooks: Sequence[Callable[[], object]]
    stop_hooks: Sequence[Callable[[], object]]
    log_level: int

    def check(self) -> None:
        """Raises InvalidArgument for what another process could not import."""
        parts: list[object] = [*self.functions.values(), *self.middlewares]
        for part in [*parts, *self.start_hooks, *self.stop_hooks]:
            try:
                pickle.dumps(part)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                what = part.function if isinstance(part, Registration) else part
                raise InvalidArgument(
                    f"{what!r} can't be imported by another process ({error}): where jobs are done"
                    " in processes, functions stand at the top level of a module"
                ) from None


# ---- what goes through the pipe, from the process to the worker


@dataclass(frozen=True, slots=True)
class _Ready:
    """The process may be given a job."""


@dataclass(frozen=True, slots=True)
class _Report:
    """Something that a job says: a method of ``Reporter``, and what it is called with."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _IsCancelled:
    """A question; the answer is a bool."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The function has returned."""

    outcome: Returned | Raised
    cost: Cost


# ---- in the worker


class _Gone(Exception):
    """The process has ended."""


@final
class _Child:
    """One process, from the worker's side."""

    def __init__(self, kit: Kit) -> None:
        self.connection, theirs = _spawn.Pipe()
        self.process: SpawnProcess = _spawn.Process(target=_serve, args=(theirs, kit))
        self.busy = False
        try:
            self.process.start()
        except OSError as error:
            self.connection.close()
            raise CannotStart(f"a process for jobs could not be started: {error}") from error
        finally:
            theirs.close()

    def hear(self, limit_s: float | None) -> Any:
        """The next thing that it says; None if nothing comes in time.  Raises _Gone."""
        try:
            ready = wait([self.connection, self.process.sentinel], limit_s)
            if not ready:
                return None
            # Its last words come first, even if it has ended meanwhile.
            if self.connection in ready or self.connection.poll():
                return self.connection.recv()
        except (EOFError, OSError):
            pass
        raise _Gone

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def how_it_ended(self) -> str:
        self.process.join()
        return how_it_ended(self.process.exitcode)


@final
class Pool:
    """Processes for a worker's threads, one for each thread that comes with a job."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._own = threading.local()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def warm(self) -> None:
        """Has a process for this thread.  Raises CannotStart."""
        self._child()

    def perform(self, work: Work, reporter: Reporter) -> Done:
        """Has a job done in this thread's process.  Raises CannotStart."""
        registration, started_s = work.registration, time.perf_counter()
        child = self._child()
        child.busy = True
        try:
            with contextlib.suppress(OSError):  # it ended while it was idle: that is heard next
                child.connection.send(work.assignment)
            ended = _follow(child, work, reporter)
        except _Gone:
            self._forget(child)
            how = child.how_it_ended()
            if not self._closed:
                log.error("job %s: the process that did it %s", work.handle, how)
            ended = _Ended(Raised(f"the process that did the job {how}".encode(), "lost"), Cost())
        if ended is None:
            child.kill()
            self._forget(child)
            error = overran(registration)
            log.error("job %s: %s", work.handle, error)
            ended = _Ended(Raised(f"TimeoutError: {error}".encode(), "timeout"), Cost())
        child.busy = False
        ended.cost.elapsed_s = time.perf_counter() - started_s
        return Done(work, ended.outcome, ended.cost)

    def close(self) -> None:
        """Ends all processes: at once those that are in a job, which nobody waits for any more."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            if child.busy:
                child.process.kill()
            else:
                child.connection.close()
        by_s = time.monotonic() + _FAREWELL_S
        for child in children:
            # Not whether it is alive: the thread whose job it did may be asking the same, and of
            # two that ask at a time one is told that it is.
            left_s = max(by_s - time.monotonic(), 0.0)
            if wait([child.process.sentinel], left_s):
                child.process.join()
            else:
                log.warning("a process for jobs does not end, and is killed")
                child.kill()

    def _child(self) -> _Child:
        child: _Child | None = getattr(self._own, "child", None)
        if child is not None and not child.process.is_alive():
            log.warning("a process for jobs %s, while it had none", child.how_it_ended())
            self._forget(child)
            child = None
        if child is None:
            child = self._own.child = self._begun()
        return child

    def _begun(self) -> _Child:
        with self._lock:
            if self._closed:
                raise CannotStart("this worker has stopped")
            child = _Child(self._kit)
            self._children.add(child)
        try:
            while not isinstance(said := child.hear(None), _Ready):
                _log(said)
        except _Gone:
            self._forget(child)
            raise CannotStart(
                f"a process for jobs {child.how_it_ended()} before it was ready; what it printed"
                " says why. A program that runs a worker with processes calls run() below"
                " if __name__ == '__main__', as each process imports it"
            ) from None
        return child

    def _forget(self, child: _Child) -> None:
        self._own.child = None
        with self._lock:
            self._children.discard(child)
        child.connection.close()


def _follow(child: _Child, work: Work, reporter: Reporter) -> _Ended | None:
    """Passes on what a job says until it ends; None if that takes too long."""
    registration, by_s = work.registration, None
    if registration.timeout_ms:
        grace_s = _COROUTINE_GRACE_S if registration.is_coroutine else 0.0
        by_s = time.monotonic() + registration.timeout_ms / 1000 + grace_s
    while True:
        said = child.hear(None if by_s is None else max(by_s - time.monotonic(), 0.0))
        match said:
            case None | _Ended():
                return said
            case _Report(method=method, arguments=arguments):
                # Lost: then the job is somebody else's, and what becomes of it here is for nobody.
                with contextlib.suppress(ConnectionLost):
                    getattr(reporter, method)(*arguments)
            case _IsCancelled():
                with contextlib.suppress(OSError):
                    child.connection.send(reporter.cancelled(work.assignment.handle))
            case _:
                _log(said)


def _log(said: object) -> None:
    if isinstance(said, logging.LogRecord):
        logger = logging.getLogger(said.name)
        if logger.isEnabledFor(said.levelno):
            logger.handle(said)


# ---- in the process


def _serve(connection: Connection, kit: Kit) -> None:
    """What a process does."""
    # Who stops it is the worker: by closing the pipe, or at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe = _Pipe(connection)
    if not logging.root.handlers:
        logging.root.addHandler(_ToWorker(pipe))
        logging.root.setLevel(kit.log_level)
    with contextlib.ExitStack() as hooks:
        hooks.callback(close_loop)
        for hook in kit.start_hooks:
            hook()
        for hook in kit.stop_hooks:
            hooks.callback(hook)
        pipe.tell(_Ready())
        with contextlib.suppress(EOFError, OSError):  # the worker has closed the pipe
            while True:
                assignment = connection.recv()
                reporter = _PipeReporter(pipe)
                job = Job(reporter, assignment)
                with measured() as cost:
                    outcome = perform(kit.functions[assignment.function], job, kit.middlewares)
                reporter.end(_Ended(outcome, cost))


def _end_with_parent() -> None:
    """The worker was killed: its servers give its jobs to others, so they end here."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was spawned"
    parent.join()
    os._exit(1)


@final
class _Pipe:
    """A process's end of its pipe, for any of its threads."""

    def __init__(self, connection: Connection) -> None:
        self.lock = threading.Lock()  # for what is said, and for a question with its answer
        self._connection = connection

    def tell(self, said: object) -> None:
        with self.lock:
            self._connection.send(said)

    def ask(self, question: object) -> Any:
        """With the lock held."""
        self._connection.send(question)
        return self._connection.recv()


@final
class _PipeReporter:
    """Where the news of one job go.  Once it is over, threads that it has left behind are not
    heard: their questions would take what is sent for the next one."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self._over = False

    def end(self, ended: _Ended) -> None:
        """Says how the job ended; that was the last thing."""
        with self._pipe.lock:
            self._over = True
        self._pipe.tell(ended)

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None:
        self._tell(_Report("progress", (handle, numerator, denominator, text)))

    def data(self, handle: bytes, data: bytes) -> None:
        self._tell(_Report("data", (handle, data)))

    def warning(self, handle: bytes, warning: bytes) -> None:
        self._tell(_Report("warning", (handle, warning)))

    def cancelled(self, handle: bytes) -> bool:
        with self._pipe.lock:
            return not self._over and bool(self._pipe.ask(_IsCancelled()))

    async def drained(self) -> None:
        """The pipe was what waited."""

    def _tell(self, report: _Report) -> None:
        if not self._over:
            self._pipe.tell(report)


@final
class _ToWorker(logging.handlers.QueueHandler):
    """What is logged in a process is logged by its worker.  The queue is only what the base class
    wants to see: it makes records fit to travel."""

    def __init__(self, pipe: _Pipe) -> None:
        super().__init__(queue.SimpleQueue())
        self._pipe = pipe

    def enqueue(self, record: logging.LogRecord) -> None:
        self._pipe.tell(record)
