"""What every blocking client can do; how it waits is another matter (``sync``)."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar, Unpack, final

from gearpy.client.calls import Calls
from gearpy.client.core import JobStatus
from gearpy.client.desk import Callbacks, JobProgress, OnBytes, OnProgress
from gearpy.client.jobs import FollowedJob, JobCall, MapCall
from gearpy.client.options import SubmitOptions
from gearpy.client.steps import Call
from gearpy.client.wishes import Bytes, Unique, read_wish, read_wishes
from gearpy.priority import Priority
from gearpy.protocol.codec import encoded

TIMEOUT_S: Final = 30.0  # for the server's answers, which come at once where all is well
IN_FLIGHT: Final = 1000

_Returned = TypeVar("_Returned")


@final
class ClientJob(FollowedJob):
    """A job that was submitted in the foreground: its ``handle``, ``function`` and ``unique``.

    Made by ``Client.submit``.  Any thread may wait for it.
    """

    def __init__(self, client: "BlockingClient", job: JobCall) -> None:
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


class BlockingClient(ABC):
    """Submits jobs: see ``Client``.  Names, payloads and results are bytes; str is encoded as
    UTF-8."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @abstractmethod
    def _run(self, call: Call[_Returned]) -> _Returned:
        """Does what the call wants done, step by step, and returns what it returns."""

    @abstractmethod
    def close(self) -> None:
        """Ends the connections.  May be called again."""

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
