"""The blocking worker: a ``WorkerCore`` on one socket, one job at a time."""

import contextlib
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final, NoReturn, final

from gearpy.address import RECEIVE_BYTES, Address, connect, read_address
from gearpy.errors import ConnectionLost, InvalidArgument
from gearpy.worker.core import Assignment, State, WorkerCore
from gearpy.worker.functions import (
    Job,
    JobFunction,
    Registration,
    Returned,
    perform,
    registration,
)

TIMEOUT_S: Final = 30.0
_FAREWELL_S: Final = 5.0  # how long a server may take to hang up


@final
class Worker:
    """Does the jobs of one Gearman server, one after the other.

    ``server`` is "host:port", "[::1]:4730", "host" or "unix:///path".  ``timeout`` is how many
    seconds connecting, and each write to the server, may take: 30 by default, None for any time.

    Register functions, then call ``run``.  Raises SettingError if the address makes no sense.
    """

    def __init__(
        self, server: str = "localhost:4730", *, timeout: float | None = TIMEOUT_S
    ) -> None:
        self._address = read_address(server)
        self._timeout_s = timeout
        self._functions: dict[bytes, Registration] = {}
        self._stopping = False
        self._waker: socket.socket | None = None
        self._waker_lock = threading.Lock()

    def register(
        self, name: str | bytes, function: JobFunction, timeout: float | None = None
    ) -> None:
        """From the next ``run`` on, jobs of ``name`` are done by ``function``.

        It is called with a ``Job`` and returns the result: bytes, str (sent as UTF-8) or None (an
        empty result).  If it raises an exception, the client is told its type and message
        (WORK_EXCEPTION), the traceback is logged, and the worker goes on.

        ``timeout`` is in seconds: the server gives the job to another worker after that time, but
        after less than one second in no case.  (It is sent in milliseconds, as gearmand has it: a
        server that was started with ``--timeout-unit s`` would take these for seconds.)
        Raises InvalidArgument for a bad name or timeout.
        """
        made = registration(name, function, timeout)
        self._functions[made.name] = made

    def run(self) -> None:
        """Connects and does jobs, until ``stop`` is called or SIGTERM or SIGINT arrives.

        The job that runs then is finished, and its result sent, before this returns.  A second
        SIGINT does not wait: it raises KeyboardInterrupt, and the server gives the job to another
        worker.  Signals are only heard in the main thread; a signal that is ignored stays ignored;
        handlers of before are put back at the end.

        Raises CannotConnect; ConnectionLost if the server goes away (a running job is finished
        first, but the server gives it to another worker); ServerError if the server refuses
        something, for example a function's name; InvalidArgument if nothing is registered.
        """
        if not self._functions:
            raise InvalidArgument("this worker can do nothing: register a function before run()")
        with self._woken_by_signals() as waker:
            try:
                if not self._stopping:
                    connection = connect(self._address, self._timeout_s)
                    with _Line(connection, waker, self._address, self._timeout_s) as line:
                        self._converse(line)
            finally:
                self._stopping = False

    def stop(self) -> None:
        """Makes ``run`` return once the running job is done; without waiting for that.

        May be called from another thread or from a job's function.  Before ``run``, it makes the
        next ``run`` return at once.
        """
        self._stopping = True
        with self._waker_lock:
            if self._waker is not None:
                _wake(self._waker)

    def _converse(self, line: "_Line") -> None:
        functions = dict(self._functions)  # what is registered from now on is for the next run
        for function in functions.values():
            line.core.can_do(function.name, function.timeout_ms)
        line.core.start()
        line.flush()
        while True:
            if self._stopping:
                line.core.stop()
            if line.core.stopped:
                line.finish()
                return
            for assignment in line.wait():
                self._perform(line, functions.get(assignment.function), assignment)

    def _perform(
        self, line: "_Line", function: Registration | None, assignment: Assignment
    ) -> None:
        if function is None:
            raise ConnectionLost(
                f"the server at {self._address} gave this worker a job of"
                f" {assignment.function!r}, which it never said it can do"
            )
        handle = assignment.handle
        with line.holding(handle):
            outcome = perform(function, Job(line, assignment))
        if self._stopping:
            line.core.stop()  # so that no further job is asked for
        if isinstance(outcome, Returned):
            line.complete(handle, outcome.result)
        else:
            line.exception(handle, outcome.exception)

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

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Takes no lock: what it interrupts may hold it.
        if self._stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stopping = True

    def _forget_waker(self) -> None:
        with self._waker_lock:
            self._waker = None


@final
class _Line:
    """A core on its socket.  What a job reports may come from any thread of its function.

    So may the question whether it is cancelled, for which what has arrived is read: by one thread
    at a time, and by none of the function's once that has returned, as then the next job comes.
    """

    def __init__(
        self,
        connection: socket.socket,
        waker: socket.socket,
        address: Address,
        timeout_s: float | None,
    ) -> None:
        self.core = WorkerCore()
        self._socket = connection
        self._waker = waker
        self._address = address
        self._timeout_s = timeout_s
        self._sending = threading.Lock()
        self._hearing = threading.Lock()
        self._held = b""  # the handle of the job whose function runs
        self._lost: str | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(waker, selectors.EVENT_READ)

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        self._socket.close()

    # ---- what a job reports, sent at once

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None:
        self._say(lambda: self.core.progress(handle, numerator, denominator, text))

    def data(self, handle: bytes, data: bytes) -> None:
        self._say(lambda: self.core.data(handle, data))

    def warning(self, handle: bytes, warning: bytes) -> None:
        self._say(lambda: self.core.warning(handle, warning))

    def complete(self, handle: bytes, result: bytes) -> None:
        self._say(lambda: self.core.complete(handle, result))

    def exception(self, handle: bytes, exception: bytes) -> None:
        self._say(lambda: self.core.exception(handle, exception))

    def _say(self, put: Callable[[], None]) -> None:
        with self._sending:
            put()
            self._write()

    def flush(self) -> None:
        """Writes what the core has to say."""
        with self._sending:
            self._write()

    def _write(self) -> None:
        self._check_open()
        unsent = memoryview(self.core.take())
        try:
            while unsent:
                unsent = unsent[self._socket.send(unsent) :]
        except TimeoutError as error:
            # A packet is cut off, so nothing that makes sense can follow.
            self._lost = f"the server at {self._address} takes nothing, for {self._timeout_s} s now"
            raise ConnectionLost(self._lost) from error
        except OSError as error:
            self._break(error)

    def _check_open(self) -> None:
        if self._lost is not None:
            raise self.core.refusal or ConnectionLost(self._lost)

    def _break(self, error: OSError) -> NoReturn:
        """The connection is gone; but the server may have said why, just before."""
        self._lost = f"the connection to {self._address} broke: {error.strerror}"
        with self._hearing, contextlib.suppress(OSError):
            self._socket.setblocking(False)
            self.core.receive(self._socket.recv(RECEIVE_BYTES))
        raise self.core.refusal or ConnectionLost(self._lost) from error

    # ---- what the server says

    @contextlib.contextmanager
    def holding(self, handle: bytes) -> Iterator[None]:
        """While the function of a job runs."""
        self._held = handle
        try:
            yield
        finally:
            with self._hearing:
                self._held = b""

    def cancelled(self, handle: bytes) -> bool:
        with self._hearing:
            if handle != self._held:
                return False
            self._read_arrived()
            return self.core.cancelled

    def _read_arrived(self) -> None:
        """Reads what has arrived, without waiting.  What is wrong with it is raised later, by
        ``wait``, or by what is sent next if the connection is gone."""
        core = self.core
        while not (core.cancelled or core.broken or core.refusal or self._lost):
            if not any(key.fileobj is self._socket for key, _ in self._selector.select(0)):
                return
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except OSError as error:
                self._lost = f"the connection to {self._address} broke: {error.strerror}"
                return
            if not data:
                self._lost = f"the server at {self._address} closed the connection"
            core.receive(data)  # brings no job: none was asked for while this one runs

    def wait(self) -> list[Assignment]:
        """Waits for a packet, or to be woken; returns the jobs that came.

        Raises ConnectionLost and ServerError.
        """
        self._check_open()
        self._check_sane()
        # Whether a job was just given to this worker is worth a short wait, but not a long one:
        # a server that is stuck must not keep a worker from stopping.
        asked_last = self.core.state is State.GRABBING and self.core.stopping
        ready = self._selector.select(self._timeout_s if asked_last else None)
        if not ready:
            raise ConnectionLost(f"the server at {self._address} does not answer")
        assignments: list[Assignment] = []
        for key, _ in ready:
            if key.fileobj is self._waker:
                _empty(self._waker)
            else:
                assignments = self._read()
        return assignments

    def _read(self) -> list[Assignment]:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            self._break(error)
        if not data:
            raise ConnectionLost(f"the server at {self._address} closed the connection")
        assignments = self.core.receive(data)
        self._check_sane()
        self.flush()
        return assignments

    def _check_sane(self) -> None:
        if self.core.refusal is not None:
            raise self.core.refusal
        if self.core.broken is not None:
            raise ConnectionLost(f"{self._address} does not speak Gearman: {self.core.broken}")

    def finish(self) -> None:
        """Ends the connection so that the last result surely arrives.

        Closing a socket with something unread in it resets the connection, and then what the
        server did not yet take is thrown away.  So: say that this was all, and read to the end.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(_FAREWELL_S)
            while self._socket.recv(RECEIVE_BYTES):
                pass


def _wake(waker: socket.socket) -> None:
    # Full: then there is enough in it to wake whoever waits.
    with contextlib.suppress(BlockingIOError):
        waker.send(b"\0")


def _empty(woken: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while woken.recv(4096):
            pass
