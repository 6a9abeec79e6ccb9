"""The blocking client: a ``ClientCore`` on one socket."""

import math
import selectors
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar, Unpack, final

from gearpy.address import RECEIVE_BYTES, connect, read_address
from gearpy.client.core import (
    Answer,
    Cancelled,
    ClientCore,
    Completed,
    Created,
    Data,
    Echoed,
    Ending,
    Event,
    Extended,
    Failed,
    JobStatus,
    Lost,
    Operated,
    Progress,
    Refused,
    Request,
    StatusKnown,
    Submission,
    Warned,
)
from gearpy.client.options import (
    Options,
    SubmitOptions,
    described,
    read_options,
    rounded,
    standard_submit,
)
from gearpy.errors import ConnectionLost, InvalidArgument, JobFailed, NotSupported, WaitTimeout
from gearpy.priority import Priority
from gearpy.protocol.codec import decoded, encoded

TIMEOUT_S: Final = 30.0  # for the server's answers, which come at once where all is well

Bytes = bytes | str
OnProgress = Callable[[int, int], object]
OnBytes = Callable[[bytes], object]
_Answered = TypeVar("_Answered", Created, StatusKnown, Echoed, Extended, Cancelled, Operated)


@final
class ClientJob:
    """A job that was submitted in the foreground: its ``handle``, ``function`` and ``unique``."""

    def __init__(
        self,
        client: "Client",
        submission: Submission,
        on_progress: OnProgress | None,
        on_data: OnBytes | None,
        on_warning: OnBytes | None,
    ) -> None:
        self.function = decoded(submission.function)
        self.unique = decoded(submission.unique)
        self._client = client
        self._submission = submission
        self._on_progress = on_progress
        self._on_data = on_data
        self._on_warning = on_warning
        self._ending: Ending | None = None
        self._news: deque[Event] = deque()
        self._telling = False

    @property
    def handle(self) -> str:
        """The server's name for the job."""
        return decoded(self._submission.handle)

    @property
    def done(self) -> bool:
        """Whether the end of the job has been read; only waiting for something reads."""
        return self._ending is not None

    def result(self, timeout: float | None = None) -> bytes:
        """Waits for the end of the job and returns what its worker gave with WORK_COMPLETE.

        What the worker sent in parts before that is no part of it; that went to ``on_data``.
        ``timeout`` is in seconds; None, the default, waits as long as the job takes.  May be called
        again and again, and gives the same each time.

        Raises JobFailed if the worker said so, or if the job was cancelled, expired or is dead;
        then without a reason, because WORK_FAIL has none.  ``gearpy job HANDLE`` tells it where
        the job is kept.  Raises WaitTimeout (the job goes on, and may be waited for
        again), and ConnectionLost if the server went away before the job's end was known.
        """
        self._client._wait(
            lambda: self.done, timeout, f"the result of job {self.handle} did not come"
        )
        match self._ending:
            case Failed(exception=exception):
                raise JobFailed(self.handle, exception)
            case Lost(reason=reason):
                raise ConnectionLost(f"{reason}; how job {self.handle} ended is not known")
        assert isinstance(self._ending, Completed), "that is what was waited for"
        return self._ending.result

    def _hear(self, event: Event) -> None:
        if isinstance(event, Completed | Failed | Lost):
            self._ending = event
            return
        # A callback that waits for something lets further news in.  They are told after it has
        # returned, so that the callbacks of a job never run inside each other.
        self._news.append(event)
        if self._telling:
            return
        self._telling = True
        try:
            while self._news:
                self._tell(self._news.popleft())
        finally:
            self._telling = False

    def _tell(self, event: Event) -> None:
        match event:
            case Progress(numerator=numerator, denominator=denominator) if self._on_progress:
                self._on_progress(numerator, denominator)
            case Data(data=data) if self._on_data:
                self._on_data(data)
            case Warned(warning=warning) if self._on_warning:
                self._on_warning(warning)


def _priority(priority: int) -> Priority:
    try:
        return Priority(priority)
    except ValueError:
        raise InvalidArgument(
            f"priority is {priority!r}; it must be one of gearpy.Priority, like Priority.HIGH"
        ) from None


@final
class Client:
    """Submits jobs to one Gearman server, over one connection.

    ``server`` is "host:port", "[::1]:4730", "host" or "unix:///path".  ``timeout`` is how many
    seconds connecting and each answer of the server may take: 30 by default, None for any time.
    How long jobs may take is another matter: see ``ClientJob.result``.

    Connects at once.  Raises SettingError if the address makes no sense, and CannotConnect if no
    server answers there.  Any call raises ConnectionLost once the server went away; then make a new
    client.  One client serves one thread at a time.

    Names, payloads and results are bytes; str is encoded as UTF-8.
    """

    def __init__(
        self, server: str = "localhost:4730", *, timeout: float | None = TIMEOUT_S
    ) -> None:
        self._address = read_address(server)
        self._timeout_s = timeout
        self._core = ClientCore()
        self._events: deque[Event] = deque()
        self._jobs: dict[Submission, ClientJob] = {}
        self._answers: dict[Request, Answer | None] = {}  # of those that are waited for
        self._unsent = memoryview(b"")
        self._socket = connect(self._address, timeout)
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._interest = selectors.EVENT_READ

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
        """Ends the connection.  The server forgets that this client waits for its jobs; those in
        the background go on."""
        self._lose(f"the connection to {self._address} was closed by this client")

    def submit(
        self,
        function: Bytes,
        data: Bytes = b"",
        *,
        unique: Bytes = b"",
        priority: Priority = Priority.NORMAL,
        on_progress: OnProgress | None = None,
        on_data: OnBytes | None = None,
        on_warning: OnBytes | None = None,
        **options: Unpack[SubmitOptions],
    ) -> ClientJob:
        """Submits a job and returns as soon as the server has it; ``result()`` waits for its end.

        Submissions of one function with one ``unique`` share one job as long as it is unfinished;
        without one each gets its own.  (As unique, "-" stands for the payload itself.)

        The callbacks are called while something is waited for: ``on_progress(numerator,
        denominator)``, ``on_data(part)`` and ``on_warning(message)``, in the order in which the
        worker sent these.  What a callback raises comes out of whatever is waiting.

        ``options`` are the keywords of ``SubmitOptions``: delay_s, due, attempts, retry_on,
        backoff, poison, attempt_timeout_s, expires_s, key and labels.  They and the priority
        CRITICAL take a gearpy-server; only a background job of priority NORMAL with nothing but a
        delay_s or a due time can be submitted to any server, which then reads it in whole seconds,
        rounded up, on its own clock.

        Raises ServerError if the server refuses the job (``code`` INVALID_ARGUMENT: the value of an
        option is out of its range), NotSupported if it takes a gearpy-server
        and this is none, WaitTimeout, ConnectionLost, InvalidArgument if a name holds a NUL byte or
        an option can't be told to a server, and TypeError for an option
        that there is not, or a value of a wrong type.
        """
        submission = self._submit(function, data, unique, priority, False, options)
        job = ClientJob(self, submission, on_progress, on_data, on_warning)
        self._jobs[submission] = job
        try:
            self._ask(submission, Created)
        except BaseException:
            self._jobs.pop(submission, None)
            raise
        return job

    def submit_background(
        self,
        function: Bytes,
        data: Bytes = b"",
        *,
        unique: Bytes = b"",
        priority: Priority = Priority.NORMAL,
        **options: Unpack[SubmitOptions],
    ) -> str:
        """Submits a job that nobody waits for, and returns its handle, once the server has it.

        Takes the same ``options`` as ``submit``, and raises as that does.
        """
        submission = self._submit(function, data, unique, priority, True, options)
        self._ask(submission, Created)
        return decoded(submission.handle)

    def status(self, handle: str) -> JobStatus:
        """What the server knows of a job.  Raises ServerError, WaitTimeout, ConnectionLost."""
        self._check_open()
        return self._ask(self._core.status(encoded("handle", handle)), StatusKnown).status

    def echo(self, data: Bytes = b"") -> bytes:
        """Has the server send ``data`` back: it is there, and it answers.

        Raises ServerError, WaitTimeout, ConnectionLost.
        """
        self._check_open()
        return self._ask(self._core.echo(encoded("data", data)), Echoed).payload

    def cancel(self, handle: str) -> bool:
        """Ends a job, whether it waits or runs; returns False if there is no such job (any more).

        Whoever waits for it is told that it failed.  A running one is not interrupted: its worker
        is told, if it is one of gearpy's (``Job.cancelled``), and its result changes nothing.

        Raises NotSupported if the server is not a gearpy-server, ServerError, WaitTimeout,
        ConnectionLost.
        """
        self._check_extended("cancel a job for a client")
        return self._ask(self._core.cancel(encoded("handle", handle)), Cancelled).cancelled

    def operate(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        """Has the server do what an operator wants, and returns what it answers.

        The verbs, their arguments and answers are in protocol.md, under OPERATE: for example
        ``operate("jobs", function="resize*", states=["dead"], limit=10)``.  Names that are not
        UTF-8 come and go with surrogates in place of the other bytes.

        Raises ServerError if the server refuses it (``code`` JOB_NOT_FOUND: there is no such job),
        NotSupported if the server is not a gearpy-server, WaitTimeout, ConnectionLost, and
        TypeError or ValueError for an argument that JSON has no word for.
        """
        self._check_extended("take an operator's requests")
        return self._ask(self._core.operate({"do": verb, **arguments}), Operated).answer

    # ---- asking and waiting

    def _submit(
        self,
        function: Bytes,
        data: Bytes,
        unique: Bytes,
        priority: Priority,
        background: bool,
        options: SubmitOptions,
    ) -> Submission:
        self._check_open()
        function, data = encoded("function", function), encoded("data", data)
        unique, priority = encoded("unique", unique), _priority(priority)
        return self._core.submit(
            function,
            data,
            unique=unique,
            priority=priority,
            background=background,
            options=self._understood(priority, background, read_options(options)),
        )

    def _understood(self, priority: Priority, background: bool, options: Options) -> Options:
        """The options as this server can be told them.  Raises NotSupported if it can't."""
        if standard_submit(priority, background, options) or self._extended():
            return options
        nearly = rounded(options, time.time())
        if standard_submit(priority, background, nearly):
            return nearly
        raise self._not_supported(f"take {described(priority, background, options)}")

    def _check_extended(self, wish: str) -> None:
        self._check_open()
        if not self._extended():
            raise self._not_supported(wish)

    def _extended(self) -> bool:
        """Whether the server speaks gearpy's own packets.  Asks it, the first time."""
        if self._core.extended is not None:
            return self._core.extended
        return self._ask(self._core.extend(), Extended).granted

    def _not_supported(self, wish: str) -> NotSupported:
        return NotSupported(
            f"the server at {self._address} is not a gearpy-server (or an old one): it can't"
            f" {wish}; use a gearpy-server for that"
        )

    def _check_open(self) -> None:
        if self._core.gone is not None:
            raise ConnectionLost(self._core.gone)

    def _ask(self, request: Request, expected: type[_Answered]) -> _Answered:
        """Waits for the answer to a request."""
        self._answers[request] = None
        try:
            self._wait(
                lambda: self._answers[request] is not None,
                self._timeout_s,
                f"the server at {self._address} did not answer",
            )
        finally:
            answer = self._answers.pop(request)
        match answer:
            case Refused(error=refusal):
                raise refusal
            case Lost(reason=reason):
                if isinstance(request, Submission):
                    reason += "; whether the server took the job is not known"
                raise ConnectionLost(reason)
        assert isinstance(answer, expected), "the core matches answers with requests"
        return answer

    def _wait(self, over: Callable[[], bool], timeout_s: float | None, what: str) -> None:
        """Moves bytes until ``over`` says so.  Raises WaitTimeout, with ``what`` was waited for."""
        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        expired = False
        while True:
            while self._events:
                self._dispatch(self._events.popleft())
            if over():
                return
            if expired:
                raise WaitTimeout(f"{what} within {timeout_s:g} s")
            left_s = None if timeout_s is None else max(deadline_s - time.monotonic(), 0.0)
            self._move(left_s)
            expired = time.monotonic() >= deadline_s

    def _dispatch(self, event: Event) -> None:
        request = event.request
        if isinstance(event, Answer) and request in self._answers:
            self._answers[request] = event
        elif isinstance(request, Submission) and (job := self._jobs.get(request)) is not None:
            if isinstance(event, Completed | Failed | Lost):
                del self._jobs[request]
            job._hear(event)

    # ---- moving bytes

    def _move(self, timeout_s: float | None) -> None:
        """Waits until bytes can be moved, and moves them.

        Reads while it writes: a server that has much to say may stop listening until it is heard.
        """
        self._check_open()
        if not self._unsent:
            self._unsent = memoryview(self._core.take())
        self._want_to_write(bool(self._unsent))
        for _, moves in self._selector.select(timeout_s):
            if moves & selectors.EVENT_WRITE:
                self._write()
            if moves & selectors.EVENT_READ:
                self._read()

    def _want_to_write(self, wanted: bool) -> None:
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        if interest != self._interest:
            self._selector.modify(self._socket, interest)
            self._interest = interest

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            # The server reads no more.  It may have said why: go on reading until the end.
            self._unsent = memoryview(b"")

    def _read(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"the connection to {self._address} broke: {error.strerror}")
            return
        if not data:
            self._lose(f"the server at {self._address} closed the connection")
            return
        self._events.extend(self._core.receive(data))
        if self._core.broken is not None:
            self._lose(f"{self._address} does not speak Gearman: {self._core.broken}")

    def _lose(self, reason: str) -> None:
        if self._core.gone is not None:
            return
        self._events.extend(self._core.lost(reason))
        self._selector.close()
        self._socket.close()
