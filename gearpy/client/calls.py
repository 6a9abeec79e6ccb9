"""What a client does for each call, step by step, for every skin.  Does no I/O.

A call is a generator.  It yields what is to be done or waited for, gets the answer where it left
off, and returns what the user asked for:

    Open(address)    a connection to a server: the one that there is, or a new one; answered with
                     its ``Line``, or CannotConnect is raised
    Wait(bell, ...)  writes what the lines have to say, and reads, until something is so;
                     WaitTimeout is raised if that takes too long
    Pause(seconds)   lets time pass
    Take(items, n)   the next n of what the user gives, one after the other; answered with a list

So which server is asked, what is tried again and what is an error is written once, and a skin only
moves bytes and waits, each in its own way.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, final

from gearpy.address import Address
from gearpy.client.core import (
    Cancelled,
    Completed,
    Created,
    Echoed,
    Event,
    Extended,
    Failed,
    JobStatus,
    Lost,
    Operated,
    Refused,
    Request,
    StatusKnown,
    Submission,
)
from gearpy.client.desk import Answers, Callbacks, Desk, JobProgress
from gearpy.client.jobs import JobCall, MapCall
from gearpy.client.options import Options, described, rounded, standard_submit
from gearpy.client.servers import Servers
from gearpy.client.steps import Call, Line, Open, Pause, Take, Wait
from gearpy.client.wishes import Wish
from gearpy.errors import (
    CannotConnect,
    ConnectionLost,
    GearpyError,
    JobFailed,
    NotAllSubmitted,
    NotSupported,
    ServerError,
    WaitTimeout,
)
from gearpy.protocol.codec import decoded, encoded

# A server that says this has not taken the job, and another one may.
_ELSEWHERE: Final = "SHUTTING_DOWN"
# A server that says this as it hangs up has not even taken the connection.
_FULL: Final = "TOO_MANY_CONNECTIONS"
_UNKNOWN_JOB: Final = "JOB_NOT_FOUND"

_BURST: Final = 1000  # submissions under way at a time

_Answered = TypeVar("_Answered", Created, StatusKnown, Echoed, Extended, Cancelled, Operated)
_Returned = TypeVar("_Returned")
_Made = TypeVar("_Made")


@final
class Calls:
    """The calls of one client.

    ``timeout_s`` is for each answer of a server.  ``now_s`` is a clock that only goes forward,
    ``wall_s`` one that knows the time of day.
    """

    def __init__(
        self,
        servers: Servers,
        desk: Desk,
        timeout_s: float | None,
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        self._servers = servers
        self._desk = desk
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._wall_s = wall_s
        self._unsaid: dict[Address, str] = {}

    def gone(self, line: Line, events: Sequence[Event]) -> None:
        """A connection is gone, and these are told of it.  If it does not speak Gearman and that
        was found out while nobody waited, the next call that wants this server is told: another
        connection would not be better."""
        if line.core.broken is not None and line.core.gone is not None and not events:
            self._unsaid[line.address] = line.core.gone

    # ---- submitting

    def open(self) -> Call[Line]:
        """A connection to any server.  Raises CannotConnect if there is none."""
        return (yield from self._line(b"", {}))

    def submit(self, job: JobCall) -> Call[JobCall]:
        """Submits a foreground job.  Raises as ``Client.submit`` says."""
        yield from self._submitted(job.wish, job)
        return job

    def submit_background(self, wish: Wish) -> Call[str]:
        """Submits a background job, and returns its handle."""
        return decoded((yield from self._submitted(wish, None)).handle)

    def submit_many(
        self, wishes: Iterator[Wish], made: Callable[[JobCall], _Made]
    ) -> Call[list[_Made]]:
        """Submits foreground jobs, many at a time, and returns what is ``made`` of each.  Raises
        NotAllSubmitted."""
        return (
            yield from self._submitted_many(
                wishes, lambda wish: JobCall(wish, Callbacks()), lambda job, _: made(_sure(job))
            )
        )

    def submit_many_background(self, wishes: Iterator[Wish]) -> Call[list[str]]:
        """Submits background jobs, many at a time; returns their handles.  Raises
        NotAllSubmitted."""
        return (
            yield from self._submitted_many(
                wishes, lambda _: None, lambda _, submission: decoded(submission.handle)
            )
        )

    def next_result(self, mapping: MapCall, timeout_s: float | None) -> Call[bytes | None]:
        """The result of the next job of a map; None after the last one."""
        under_way, in_flight = mapping.under_way, mapping.in_flight
        if mapping.error is None and len(under_way) <= in_flight // 2:
            burst: list[Wish] = yield Take(mapping.wishes, in_flight - len(under_way))
            try:
                under_way.extend((yield from self.submit_many(iter(burst), lambda job: job)))
            except NotAllSubmitted as error:
                mapping.error = error.error
                for job in error.submitted:
                    if job is None:
                        break
                    assert isinstance(job, JobCall)
                    under_way.append(job)
        if under_way:
            return (yield from self.result(under_way.popleft(), timeout_s))
        if mapping.error is not None:
            raise mapping.error
        return None

    def _submitted(self, wish: Wish, job: JobCall | None) -> Call[Submission]:
        """Submits to one server after the other, until one has it."""
        tried: dict[Address, GearpyError] = {}
        lost: set[Address] = set()
        while True:
            line = yield from self._line(wish.key, tried)
            try:
                submission = yield from self._put(line, wish, job)
                yield from self._answer(line, submission, Created)
            except (CannotConnect, ConnectionLost, ServerError) as error:
                if not _is_for_another(error, wish):
                    raise
                if isinstance(error, ConnectionLost) and line.address not in lost:
                    lost.add(line.address)  # it may be there again already
                else:
                    self._failed(line.address, error, tried)
            else:
                return submission

    def _line(self, key: bytes, tried: dict[Address, GearpyError]) -> Call[Line]:
        """A connection to the best server that is not among those ``tried``, where why it did not
        work is kept.  Raises the error of the only server, or CannotConnect for all of them."""
        for address in self._servers.order(key, self._now_s()):
            if address in tried:
                continue
            try:
                line = yield from self._open(address)
            except (CannotConnect, ConnectionLost) as error:
                self._failed(address, error, tried)
            else:
                return line
        raise _all_failed(list(tried.values()))

    def _open(self, address: Address) -> Call[Line]:
        if (reason := self._unsaid.pop(address, None)) is not None:
            raise ConnectionLost(reason)
        line: Line = yield Open(address)
        return line

    def _failed(
        self, address: Address, error: GearpyError, tried: dict[Address, GearpyError]
    ) -> None:
        self._servers.failed(address, self._now_s())
        tried[address] = error

    def _put(self, line: Line, wish: Wish, job: JobCall | None) -> Call[Submission]:
        """Asks one server for it, without waiting for the answer."""
        options = yield from self._understood(line, wish)
        if job is not None and job.news.wants_words:
            line.core.want_words()
        submission = line.core.submit(
            wish.function,
            wish.payload,
            unique=wish.unique,
            priority=wish.priority,
            background=wish.background,
            options=options,
        )
        if job is not None:
            job.address = line.address
            self._desk.follow(submission, job.news)
        return submission

    def _submitted_many(
        self,
        wishes: Iterator[Wish],
        begun: Callable[[Wish], JobCall | None],
        made: Callable[[JobCall | None, Submission], _Made],
    ) -> Call[list[_Made]]:
        """Submits in bursts: each server gets all of a burst at once, and answers it in order."""
        done: list[_Made] = []
        while True:
            try:
                burst: list[Wish] = yield Take(wishes, _BURST)
            except Exception as error:  # the user's, or about what the user gave
                raise (NotAllSubmitted(done, error) if done else error) from error
            if not burst:
                return done
            results, failure = yield from self._burst([(wish, begun(wish)) for wish in burst], made)
            if failure is not None:
                raise NotAllSubmitted([*done, *results], failure) from failure
            done += [result for result in results if result is not None]

    def _burst(
        self,
        burst: list[tuple[Wish, JobCall | None]],
        made: Callable[[JobCall | None, Submission], _Made],
    ) -> Call[tuple[list[_Made | None], GearpyError | None]]:
        """Returns what was made of each, None where it was not taken, and the first error."""
        asked: list[tuple[Line, Submission]] = []
        results: list[_Made | None] = []
        failure: GearpyError | None = None
        try:
            for wish, job in burst:
                try:
                    line = yield from self._line(wish.key, {})
                    asked.append((line, (yield from self._put(line, wish, job))))
                except GearpyError as error:
                    failure = error
                    break
            answers = yield from self._answers(asked)
        except BaseException as error:
            for _, submission in asked:
                self._desk.unfollow(submission)
            if isinstance(error, WaitTimeout):
                return [None] * len(burst), error
            raise
        for (wish, job), (line, submission) in zip(burst, asked, strict=False):
            try:
                created = yield from self._created(line, submission, answers, wish, job)
                results.append(made(job, created))
            except GearpyError as error:
                failure = failure or error
                results.append(None)
        return results, failure

    def _created(
        self,
        line: Line,
        submission: Submission,
        answers: Answers,
        wish: Wish,
        job: JobCall | None,
    ) -> Call[Submission]:
        """The submission, if its server has taken it; or another one, where another server may."""
        try:
            self._read(line, submission, answers, Created)
        except (CannotConnect, ConnectionLost, ServerError) as error:
            if not _is_for_another(error, wish):
                raise
            return (yield from self._submitted(wish, job))
        return submission

    def _understood(self, line: Line, wish: Wish) -> Call[Options]:
        """The options as this server can be told them.  Raises NotSupported if it can't."""
        priority, background, options = wish.priority, wish.background, wish.options
        if standard_submit(priority, background, options) or (yield from self._extended(line)):
            return options
        nearly = rounded(options, self._wall_s())
        if standard_submit(priority, background, nearly):
            return nearly
        raise _not_supported(line, f"take {described(priority, background, options)}")

    # ---- waiting for a job

    def result(self, job: JobCall, timeout_s: float | None) -> Call[bytes]:
        """Waits for the end of a job."""
        late = f"the result of job {job.handle} did not come"
        yield from self._heard(job, lambda: False, timeout_s, late)
        return _outcome(job)

    def next_part(self, job: JobCall, timeout_s: float | None) -> Call[bytes | None]:
        """Waits for the next part of a job's data; None once it has ended well."""
        parts = job.news.parts
        late = f"no data of job {job.handle} came"
        yield from self._heard(job, lambda: bool(parts), timeout_s, late)
        if parts:
            return parts.popleft()
        _outcome(job)
        return None

    def next_progress(
        self, job: JobCall, seen: int, timeout_s: float | None
    ) -> Call[tuple[int, JobProgress] | None]:
        """Waits for progress beyond the ``seen`` first; None once the job has ended well."""
        news = job.news
        if not news.wants_words:
            news.wants_words = True
            if job.address is not None and news.ending is None:
                line = yield from self._open(job.address)
                line.core.want_words()
        late = f"no progress of job {job.handle} came"
        yield from self._heard(job, lambda: news.progress_count > seen, timeout_s, late)
        if news.progress_count > seen and news.progress is not None:
            return news.progress_count, news.progress
        _outcome(job)
        return None

    def _heard(
        self, job: JobCall, over: Callable[[], bool], timeout_s: float | None, late: str
    ) -> Call[None]:
        """Waits until ``over``, or the job has ended; submits it again if that was wished and the
        server went away."""
        news = job.news
        until_s = math.inf if timeout_s is None else self._now_s() + timeout_s
        if timeout_s is not None:
            late += f" within {timeout_s:g} s"
        while True:
            left_s = None if timeout_s is None else max(until_s - self._now_s(), 0.0)
            yield Wait(news, lambda: over() or news.ending is not None, left_s, late)
            if over() or not (job.wish.resubmit and isinstance(news.ending, Lost)):
                return
            yield from self._submitted_again(job, until_s, late)

    def _submitted_again(self, job: JobCall, until_s: float, late: str) -> Call[None]:
        """Brings a job whose server went away to one that is there, as long as there is time.

        Meanwhile the job has no ending, so others who wait for it go on waiting.
        """
        lost, job.news.ending = job.news.ending, None
        submitted = False
        try:
            while not submitted:
                try:
                    yield from self._submitted(job.wish, job)
                    submitted = True
                except (CannotConnect, ConnectionLost, ServerError) as error:
                    if isinstance(error, ServerError) and error.code != _ELSEWHERE:
                        raise
                    now_s = self._now_s()
                    if now_s >= until_s:
                        raise WaitTimeout(f"{late}: {error}") from error
                    yield Pause(min(self._servers.wait_s(now_s), until_s - now_s))
        finally:
            if not submitted:
                job.news.ending = lost
                job.news.ring()

    # ---- asking about jobs, and more

    def status(self, handle: str, address: Address | None = None) -> Call[JobStatus]:
        """What the servers know of a job: the first that knows something tells."""
        name = encoded("handle", handle)

        def ask(line: Line) -> Call[JobStatus]:
            return (yield from self._answer(line, line.core.status(name), StatusKnown)).status

        return (yield from self._search(ask, lambda status: status.known, address))

    def cancel(self, handle: str, address: Address | None = None) -> Call[bool]:
        """Ends a job, wherever it is; returns whether there was one to end."""
        name = encoded("handle", handle)

        def ask(line: Line) -> Call[bool]:
            yield from self._check_extended(line, "cancel a job for a client")
            return (yield from self._answer(line, line.core.cancel(name), Cancelled)).cancelled

        return (yield from self._search(ask, lambda cancelled: cancelled, address))

    def job(self, handle: str) -> Call[dict[str, Any]]:
        """The whole life of a job, from the server that knows it."""
        refusal: ServerError | None = None

        def ask(line: Line) -> Call[dict[str, Any] | None]:
            nonlocal refusal
            try:
                return (yield from self._operated(line, {"do": "job", "handle": handle}))
            except ServerError as error:
                if error.code != _UNKNOWN_JOB:
                    raise
                refusal = error
                return None

        answer = yield from self._search(ask, lambda found: found is not None, None)
        if answer is None:
            assert refusal is not None, "that is why there is no answer"
            raise refusal
        return answer

    def operate(self, wish: Mapping[str, object]) -> Call[dict[str, Any]]:
        """Has one server do what an operator wants."""
        return (yield from self._operated((yield from self._line(b"", {})), wish))

    def echo(self, payload: bytes) -> Call[bytes]:
        """Has one server send something back."""
        line = yield from self._line(b"", {})
        return (yield from self._answer(line, line.core.echo(payload), Echoed)).payload

    def _operated(self, line: Line, wish: Mapping[str, object]) -> Call[dict[str, Any]]:
        yield from self._check_extended(line, "take an operator's requests")
        return (yield from self._answer(line, line.core.operate(wish), Operated)).answer

    def _search(
        self,
        ask: Callable[[Line], Call[_Returned]],
        found: Callable[[_Returned], bool],
        address: Address | None,
    ) -> Call[_Returned]:
        """Asks one server after the other, or the one at ``address``, until one has it; returns the
        last answer.  Raises the first error if no server answered."""
        errors: list[GearpyError] = []
        answers: list[_Returned] = []
        addresses = self._servers.order(b"", self._now_s()) if address is None else [address]
        for one in addresses:
            try:
                answer = yield from ask((yield from self._open(one)))
            except (CannotConnect, ConnectionLost, WaitTimeout) as error:
                self._servers.failed(one, self._now_s())
                errors.append(error)
                continue
            if found(answer):
                return answer
            answers.append(answer)
        if not answers:
            raise _all_failed(errors)
        return answers[-1]

    # ---- asking one server

    def _check_extended(self, line: Line, wish: str) -> Call[None]:
        if not (yield from self._extended(line)):
            raise _not_supported(line, wish)

    def _extended(self, line: Line) -> Call[bool]:
        """Whether the server speaks gearpy's own packets.  Asks it, the first time."""
        if line.core.extended is not None:
            return line.core.extended
        return (yield from self._answer(line, line.core.extend(), Extended)).granted

    def _answer(self, line: Line, request: Request, expected: type[_Answered]) -> Call[_Answered]:
        """Waits for the answer to a request, and gives it, or raises what it says."""
        try:
            answers = yield from self._answers([(line, request)])
        except BaseException:
            if isinstance(request, Submission):
                self._desk.unfollow(request)
            raise
        return self._read(line, request, answers, expected)

    def _answers(self, asked: Iterable[tuple[Line, Request]]) -> Call[Answers]:
        """Waits for the answers to all of these requests."""
        asked = list(asked)
        answers = Answers(request for _, request in asked)
        names = " and ".join(dict.fromkeys(str(line.address) for line, _ in asked))
        late = f"the server at {names} did not answer within {self._timeout_s} s"
        self._desk.expect(answers)
        try:
            yield Wait(answers, lambda: answers.complete, self._timeout_s, late)
        finally:
            self._desk.give_up(answers)
        return answers

    def _read(
        self, line: Line, request: Request, answers: Answers, expected: type[_Answered]
    ) -> _Answered:
        answer = answers[request]
        if isinstance(answer, expected):
            self._servers.worked(line.address)
            return answer
        if isinstance(request, Submission):
            self._desk.unfollow(request)
        if isinstance(answer, Refused):
            raise answer.error
        assert isinstance(answer, Lost), "the core matches answers with requests"
        reason = answer.reason
        if answer.last_words is not None and answer.last_words.code == _FULL:
            raise CannotConnect(reason)
        if isinstance(request, Submission):
            reason += "; whether the server took the job is not known"
        raise ConnectionLost(reason)


def _sure(job: JobCall | None) -> JobCall:
    assert job is not None, "foreground jobs are followed"
    return job


def _outcome(job: JobCall) -> bytes:
    """The result of a job that has ended, or the error that says how it ended."""
    match job.news.ending:
        case Failed(exception=exception):
            raise JobFailed(job.handle, exception)
        case Lost(reason=reason):
            raise ConnectionLost(f"{reason}; how job {job.handle} ended is not known")
        case Completed(result=result):
            return result
    raise AssertionError("the end is what was waited for")


def _is_for_another(error: GearpyError, wish: Wish) -> bool:
    """Whether the job may be submitted to another server without being done twice."""
    if isinstance(error, ServerError):
        return error.code == _ELSEWHERE
    return isinstance(error, CannotConnect) or wish.resubmit


def _all_failed(errors: list[GearpyError]) -> GearpyError:
    if len(errors) == 1 or all(isinstance(error, ConnectionLost) for error in errors):
        return errors[0]  # all alike if the client was closed
    return CannotConnect("no server of the list can be used: " + "; ".join(map(str, errors)))


def _not_supported(line: Line, wish: str) -> NotSupported:
    return NotSupported(
        f"the server at {line.address} is not a gearpy-server (or an old one): it can't {wish}; use"
        " a gearpy-server for that"
    )
