"""The blocking client: ``Calls`` on sockets, shared by as many threads as like.

Whoever waits moves the bytes of all, unless another thread does so already: there is one *mover* at
a time, and the others sleep until what they wait for has come, or the mover leaves and one of them
takes its place.  So there is no thread of the library's own, and nothing happens between calls.
"""

import contextlib
import math
import os
import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import TypeVar, final

from gearpy.address import RECEIVE_BYTES, Address, connect, connect_timeout_s, read_addresses
from gearpy.client.blocking import TIMEOUT_S, BlockingClient
from gearpy.client.calls import Calls
from gearpy.client.core import Event
from gearpy.client.desk import Bell, Desk, JobNews
from gearpy.client.line import SocketLine
from gearpy.client.servers import Servers
from gearpy.client.steps import Call, Open, Pause, Step, Take, Wait, carried_out
from gearpy.errors import ConnectionLost, WaitTimeout
from gearpy.stream import Stream

_Returned = TypeVar("_Returned")


@final
class Client(BlockingClient):
    """Submits jobs to Gearman servers.  Threads may share it.

    ``servers`` is one, several behind commas, or a list: "host:port", "[::1]:4730", "host",
    "unix:///path", or "tls://host:port" with files as ``?ca=ca.pem&cert=me.pem&key=me.key``.
    Without it the environment says which (GEARPY_SERVERS), or else it is localhost.

    Of several servers a job goes to the one that its unique key hashes to, and without a key to one
    after the other.  One that can't be reached is left alone, for half a second at first and up to
    half a minute; while another one is there, no call fails for that.

    ``timeout`` is how many seconds connecting and each answer of a server may take: 30 by default,
    None for any time; connecting to one of several takes 5 at most.  How long jobs may take is
    another matter: see ``ClientJob.result``.

    Connects at once.  Raises SettingError if an address makes no sense, and CannotConnect if no
    server answers.  When a server goes away, calls that wait for it raise ConnectionLost, and the
    next call connects again.  In a process that was forked a client makes connections of its own;
    the jobs that it waited for stay with the parent.

    Names, payloads and results are bytes; str is encoded as UTF-8.
    """

    def __init__(
        self, servers: str | Iterable[str] | None = None, *, timeout: float | None = TIMEOUT_S
    ) -> None:
        addresses = read_addresses(servers)
        self._connect_s = connect_timeout_s(addresses, timeout)
        self._desk = Desk()
        super().__init__(
            Calls(Servers(addresses, random.random), self._desk, timeout, time.monotonic, time.time)
        )
        self._closed = False
        self._begin()
        try:
            self._run(self._calls.open())
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        """No connections yet: in the beginning, and in a process that was forked."""
        self._pid = os.getpid()
        # For all that is here; not held while anything is waited for.
        self._mutex = threading.Lock()
        self._lines: dict[Address, SocketLine] = {}
        self._interests: dict[SocketLine, int] = {}  # what the selector looks for
        self._opening: dict[Address, Bell] = {}
        self._to_tell: deque[JobNews] = deque()
        self._moving = False  # whether a thread waits for bytes to move
        self._sleepers: dict[threading.Event, None] = {}  # those of the other threads who wait
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def _leave_to_parent(self) -> None:
        """In a process that was forked: the connections are the parent's, and so is what it waits
        for on them."""
        lines, selector = self._lines, self._selector
        self._woken.close()
        self._waker.close()
        selector.close()  # unregisters nothing: what it looks for, the parent's does too
        self._begin()
        for line in lines.values():
            reason = f"the connection to {line.address} belongs to the process that forked this one"
            self._desk.hear(line.lose(reason))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections.  The servers forget that this client waits for its jobs; those in
        the background go on.  May be called again; what other threads wait for is lost."""
        if self._pid != os.getpid():
            self._leave_to_parent()
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            for line in list(self._lines.values()):
                reason = f"the connection to {line.address} was closed by this client"
                self._heard(line, line.lose(reason))
            if self._moving:
                self._wake_mover()  # which then releases the rest
            else:
                self._release()
            for sleeper in self._sleepers:
                sleeper.set()

    # ---- running a call

    def _run(self, call: Call[_Returned]) -> _Returned:
        if self._pid != os.getpid():
            self._leave_to_parent()
        with self._mutex:
            if not self._moving:
                self._look()
            return carried_out(call, self._do)

    def _do(self, step: Step) -> object:
        match step:
            case Open(address=address):
                return self._open(address)
            case Wait(bell=bell, over=over, timeout_s=timeout_s, late=late):
                if not self._wait(bell, over, timeout_s):
                    raise WaitTimeout(late)
            case Pause(seconds=seconds):
                self._wait(Bell(), lambda: False, seconds)
            case Take(items=items, count=count):
                with self._released():  # they come from the user, who may call this client
                    return list(islice(items, count))
        return None

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection was closed by this client; make a new one")

    @contextlib.contextmanager
    def _released(self) -> Iterator[None]:
        """Lets other threads in while something is waited for, or the user is called."""
        self._mutex.release()
        try:
            yield
        finally:
            self._mutex.acquire()

    def _open(self, address: Address) -> SocketLine:
        while address not in self._lines and (opened := self._opening.get(address)):
            self._wait(opened, lambda: address not in self._opening, None)
        if address in self._lines:
            return self._lines[address]
        self._check_open()
        opened = self._opening[address] = Bell()
        try:
            with self._released():
                stream = Stream(connect(address, self._connect_s))
        finally:
            del self._opening[address]
            opened.ring()
        if self._closed:
            stream.close()
            self._check_open()
        line = self._lines[address] = SocketLine(address, stream)
        self._interests[line] = selectors.EVENT_READ
        self._selector.register(line, selectors.EVENT_READ)
        self._wake_mover()
        return line

    # ---- waiting

    def _wait(self, bell: Bell, over: Callable[[], bool], timeout_s: float | None) -> bool:
        """Waits until ``over``, and moves bytes if nobody else does; False if it took too long."""
        until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        expired = False
        try:
            while True:
                self._tell()
                if over():
                    return True
                if expired:
                    return False
                self._check_open()
                left_s = None if timeout_s is None else max(until_s - time.monotonic(), 0.0)
                self._flush()
                if self._moving:
                    self._sleep(bell, left_s)
                else:
                    self._move(bell, left_s)
                expired = time.monotonic() >= until_s
        finally:
            self._hand_over()

    def _sleep(self, bell: Bell, left_s: float | None) -> None:
        """Waits until the bell rings, or until it is this thread's turn to move bytes."""
        event = threading.Event()
        self._sleepers[event] = None
        with _listening(bell, event.set):
            try:
                with self._released():
                    event.wait(left_s)
            finally:
                del self._sleepers[event]

    def _move(self, bell: Bell, left_s: float | None) -> None:
        """Waits until bytes can be moved, and moves them; or until the bell rings."""
        with _listening(bell, self._wake_mover):
            self._moving = True
            try:
                with self._released():
                    ready = self._selector.select(left_s)
            finally:
                self._moving = False
        if self._closed:
            self._release()
            return
        for key, _ in ready:
            if key.fileobj is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(RECEIVE_BYTES)
            elif isinstance(key.fileobj, SocketLine):
                # Reads while it writes: a server that has much to say may stop listening until it
                # is heard.
                self._heard(key.fileobj, key.fileobj.read())
                self._flush_line(key.fileobj)

    def _look(self) -> None:
        """Hears what has come since the last call: above all, that a connection is gone."""
        for line in list(self._lines.values()):
            self._heard(line, line.read())

    def _heard(self, line: SocketLine, events: list[Event]) -> None:
        if events:
            self._to_tell.extend(self._desk.hear(events))
        if line.gone and line in self._interests:
            del self._lines[line.address]
            del self._interests[line]
            self._selector.unregister(line)
            self._calls.gone(line, events)

    def _flush(self) -> None:
        for line in list(self._lines.values()):
            self._flush_line(line)

    def _flush_line(self, line: SocketLine) -> None:
        line.write()
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.has_unsent else 0)
        if interest != self._interests.get(line, interest):
            self._interests[line] = interest
            self._selector.modify(line, interest)
            self._wake_mover()

    def _tell(self) -> None:
        """Calls the callbacks of jobs with what has come."""
        while self._to_tell:
            news = self._to_tell.popleft()
            while (callback := news.next_callback()) is not None:
                self._hand_over()  # a callback may take its time
                try:
                    with self._released():
                        callback()
                except BaseException:
                    self._to_tell.appendleft(news)  # the rest is for the next one who waits
                    raise
                finally:
                    news.called_back()

    def _hand_over(self) -> None:
        """Has one of the others move the bytes, if nobody does."""
        if not self._moving and self._sleepers:
            next(iter(self._sleepers)).set()

    def _wake_mover(self) -> None:
        if self._moving:
            with contextlib.suppress(BlockingIOError):  # full: then it wakes anyway
                self._waker.send(b"\0")

    def _release(self) -> None:
        self._selector.close()
        self._woken.close()
        self._waker.close()


@contextlib.contextmanager
def _listening(bell: Bell, wake: Callable[[], object]) -> Iterator[None]:
    bell.waiting.append(wake)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # it rang
            bell.waiting.remove(wake)
