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
from typing import Any, Final, TypeVar, Unpack, final

from gearpy.address import RECEIVE_BYTES, Address, connect, connect_timeout_s, read_addresses
from gearpy.client.calls import Call, Calls, Open, Pause, Step, Take, Wait
from gearpy.client.core import Event, JobStatus
from gearpy.client.desk import Bell, Callbacks, Desk, JobNews, JobProgress, OnBytes, OnProgress
from gearpy.client.jobs import FollowedJob, JobCall, MapCall
from gearpy.client.line import SocketLine
from gearpy.client.options import SubmitOptions
from gearpy.client.servers import Servers
from gearpy.client.wishes import Bytes, Unique, read_wish, read_wishes
from gearpy.errors import ConnectionLost, WaitTimeout
from gearpy.priority import Priority
from gearpy.protocol.codec import encoded
from gearpy.stream import Stream

TIMEOUT_S: Final = 30.0  # for the server's answers, which come at once where all is well
IN_FLIGHT: Final = 1000

_Returned = TypeVar("_Returned")


@final
class ClientJob(FollowedJob):
    """A job that was submitted in the foreground: its ``handle``, ``function`` and ``unique``.

    Made by ``Client.submit``.  Any thread may wait for it.
    """

    def __init__(self, client: "Client", job: JobCall) -> None:
        super().__init__(job)
        self._client = client

    def result(self, timeout: float | None = None) -> bytes:
        """Waits for the end of the job and returns what its worker gave with WORK_COMPLETE.

        What the worker sent in parts before that is no part of it; see ``data``.
        ``timeout`` is in seconds; None, the default, waits as long as the job takes.  May be called
        again and again, and gives the same each time.

        Raises JobFailed if the worker said so, or if the job was cancelled, expired or is dead;
        then without a reason, because WORK_FAIL has none.  ``gearpy job HANDLE`` tells it where
        the job is kept.  Raises WaitTimeout (the job goes on, and may be waited for
        again), and ConnectionLost if the server went away before the job's end was known.  A job
        with ``resubmit`` is submitted again then, for as long as ``timeout`` allows.
        """
        return self._client._run(self._client._calls.result(self._job, timeout))

    def data(self, timeout: float | None = None) -> Iterator[bytes]:
        """The parts of the result that the worker sends on the way (WORK_DATA), as they come.

        Each is given once, to whoever iterates; not those that ``on_data`` was called with.
        Ends when the job does.  ``timeout`` is in seconds, for each part.  Raises as ``result``.
        After a ``resubmit`` the job begins anew, and so do its parts.
        """
        while True:
            part = self._client._run(self._client._calls.next_part(self._job, timeout))
            if part is None:
                return
            yield part

    def progress(self, timeout: float | None = None) -> Iterator[JobProgress]:
        """How far the job is, each time that its worker tells it.

        Whoever looks seldom gets the newest and misses what was before.  Words come from a
        gearpy-server only, from the first call of this, or from the submit on if there was an
        ``on_progress``.  Ends when the job does.  ``timeout`` is in seconds, for each piece of
        news.  Raises as ``result``.
        """
        seen = 0
        while True:
            step = self._client._calls.next_progress(self._job, seen, timeout)
            news = self._client._run(step)
            if news is None:
                return
            seen, progress = news
            yield progress

    def status(self) -> JobStatus:
        """What the job's server knows of it.  Raises as ``Client.status``."""
        return self._client._run(self._client._calls.status(self.handle, self._job.address))

    def cancel(self) -> bool:
        """Ends the job.  See ``Client.cancel``."""
        return self._client._run(self._client._calls.cancel(self.handle, self._job.address))


@final
class Client:
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
        self._calls = Calls(
            Servers(addresses, random.random), self._desk, timeout, time.monotonic, time.time
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

    def submit(
        self,
        function: Bytes,
        data: Bytes = b"",
        *,
        unique: Bytes = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        on_progress: OnProgress | None = None,
        on_data: OnBytes | None = None,
        on_warning: OnBytes | None = None,
        **options: Unpack[SubmitOptions],
    ) -> ClientJob:
        """Submits a job and returns as soon as a server has it; ``result()`` waits for its end.

        Submissions of one function with one ``unique`` share one job as long as it is unfinished;
        without one each gets its own.  (As unique, "-" stands for the payload itself.)

        With ``resubmit``, which takes a unique key, a job whose server goes away is submitted
        again, here and in ``ClientJob.result``: so it is done at least once, instead of at most
        once.

        The callbacks are called while something is waited for: ``on_progress(numerator,
        denominator, text)``, ``on_data(part)`` and ``on_warning(message)``, in the order in which
        the worker sent these, never two of one job at a time.  What a callback raises comes out of
        whatever is waiting.

        ``options`` are the keywords of ``SubmitOptions``: delay_s, due, attempts, retry_on,
        backoff, poison, attempt_timeout_s, expires_s, key and labels.  They and the priority
        CRITICAL take a gearpy-server; only a background job of priority NORMAL with nothing but a
        delay_s or a due time can be submitted to any server, which then reads it in whole seconds,
        rounded up, on its own clock.

        Raises ServerError if the server refuses the job (``code`` INVALID_ARGUMENT: the value of an
        option is out of its range), NotSupported if it takes a gearpy-server
        and this is none, WaitTimeout, ConnectionLost, CannotConnect, InvalidArgument if a name
        holds a NUL byte or an option can't be told to a server, and TypeError for an option
        that there is not, or a value of a wrong type.
        """
        wish = read_wish(function, data, unique, priority, False, resubmit, options)
        job = JobCall(wish, Callbacks(on_progress, on_data, on_warning))
        return ClientJob(self, self._run(self._calls.submit(job)))

    def submit_background(
        self,
        function: Bytes,
        data: Bytes = b"",
        *,
        unique: Bytes = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> str:
        """Submits a job that nobody waits for, and returns its handle, once a server has it.

        Takes the same ``options`` as ``submit``, and raises as that does.
        """
        wish = read_wish(function, data, unique, priority, True, resubmit, options)
        return self._run(self._calls.submit_background(wish))

    def submit_many(
        self,
        function: Bytes,
        datas: Iterable[Bytes],
        *,
        unique: Unique = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> list[ClientJob]:
        """Submits a job for each of ``datas``, a thousand at a time without waiting for each
        answer, and returns the jobs in that order.

        ``unique`` may be a function that makes the key of a job from its data.  The rest is as with
        ``submit``.  Raises NotAllSubmitted, which has the jobs that were submitted.
        """
        wishes = read_wishes(function, datas, unique, priority, False, resubmit, options)
        return self._run(self._calls.submit_many(wishes, lambda job: ClientJob(self, job)))

    def submit_many_background(
        self,
        function: Bytes,
        datas: Iterable[Bytes],
        *,
        unique: Unique = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> list[str]:
        """Submits a background job for each of ``datas``, and returns their handles in that order.

        As ``submit_many``; NotAllSubmitted has the handles.
        """
        wishes = read_wishes(function, datas, unique, priority, True, resubmit, options)
        return self._run(self._calls.submit_many_background(wishes))

    def map(
        self,
        function: Bytes,
        datas: Iterable[Bytes],
        *,
        in_flight: int = IN_FLIGHT,
        timeout: float | None = None,
        unique: Unique = b"",
        priority: Priority = Priority.NORMAL,
        resubmit: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> Iterator[bytes]:
        """The results of a job for each of ``datas``, in that order, as they are asked for.

        At most ``in_flight`` jobs are under way at a time; ``datas`` is read no further than that.
        ``timeout`` is in seconds, for each result.  Raises at a job's turn what ``submit`` and
        ``ClientJob.result`` raise; that ends it.
        """
        wishes = read_wishes(function, datas, unique, priority, False, resubmit, options)
        return self._results(MapCall(wishes, in_flight), timeout)

    def _results(self, mapping: MapCall, timeout_s: float | None) -> Iterator[bytes]:
        while (result := self._run(self._calls.next_result(mapping, timeout_s))) is not None:
            yield result

    def gather(self, jobs: Iterable[ClientJob], timeout: float | None = None) -> list[bytes]:
        """Waits for the results of several jobs, and returns them in that order.

        ``timeout`` is in seconds, for all together.  Raises what the first of them raises that did
        not end well; the others go on.
        """
        until_s = None if timeout is None else time.monotonic() + timeout
        return [
            job.result(None if until_s is None else max(until_s - time.monotonic(), 0.0))
            for job in jobs
        ]

    def status(self, handle: str) -> JobStatus:
        """What the servers know of a job.  Of several servers each is asked until one knows it; one
        that can't be reached counts as one that does not.

        Raises ServerError, WaitTimeout, ConnectionLost, CannotConnect.
        """
        return self._run(self._calls.status(handle))

    def job(self, handle: str) -> dict[str, Any]:
        """The whole life of a job: its state, attempts, errors, progress and result, as protocol.md
        lists them under OPERATE.

        Raises ServerError if no server knows it (``code`` JOB_NOT_FOUND; what has finished is known
        as long as the function's policy says), NotSupported if a server is not a gearpy-server,
        WaitTimeout, ConnectionLost, CannotConnect.
        """
        return self._run(self._calls.job(handle))

    def cancel(self, handle: str) -> bool:
        """Ends a job, whether it waits or runs; returns False if there is no such job (any more).

        Whoever waits for it is told that it failed.  A running one is not interrupted: its worker
        is told, if it is one of gearpy's (``Job.cancelled``), and its result changes nothing.

        Raises NotSupported if a server is not a gearpy-server, ServerError, WaitTimeout,
        ConnectionLost, CannotConnect.
        """
        return self._run(self._calls.cancel(handle))

    def operate(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        """Has a server do what an operator wants, and returns what it answers.

        The verbs, their arguments and answers are in protocol.md, under OPERATE: for example
        ``operate("jobs", function="resize*", states=["dead"], limit=10)``.  Names that are not
        UTF-8 come and go with surrogates in place of the other bytes.  Of several servers any one
        is asked: give a client one server for that.

        Raises ServerError if the server refuses it (``code`` JOB_NOT_FOUND: there is no such job),
        NotSupported if the server is not a gearpy-server, WaitTimeout, ConnectionLost,
        CannotConnect, and TypeError or ValueError for an argument that JSON has no word for.
        """
        return self._run(self._calls.operate({"do": verb, **arguments}))

    def echo(self, data: Bytes = b"") -> bytes:
        """Has a server send ``data`` back: it is there, and it answers.

        Raises ServerError, WaitTimeout, ConnectionLost, CannotConnect.
        """
        return self._run(self._calls.echo(encoded("data", data)))

    # ---- running a call

    def _run(self, call: Call[_Returned]) -> _Returned:
        """Does what the call wants done, step by step, and returns what it returns."""
        if self._pid != os.getpid():
            self._leave_to_parent()
        with self._mutex:
            if not self._moving:
                self._look()
            try:
                step = next(call)
                while True:
                    try:
                        answer = self._do(step)
                    except Exception as error:
                        step = call.throw(error)
                    else:
                        step = call.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the call returns
            finally:
                call.close()

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
