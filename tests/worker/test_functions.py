"""What a registered function is given, and how its answer is sent."""

import logging
import time

import pytest

from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.worker import functions
from gearpy.worker.core import Assignment, Terms
from gearpy.worker.functions import (
    Job,
    JobFunction,
    Raised,
    Returned,
    perform,
    registration,
)


class Recorder:
    """Keeps what a job reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[object, ...]] = []
        self.cancels = False

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None:
        self.reports.append(("progress", handle, numerator, denominator, text))

    def data(self, handle: bytes, data: bytes) -> None:
        self.reports.append(("data", handle, data))

    def warning(self, handle: bytes, warning: bytes) -> None:
        self.reports.append(("warning", handle, warning))

    def cancelled(self, handle: bytes) -> bool:
        self.reports.append(("cancelled?", handle))
        return self.cancels

    async def drained(self) -> None:
        self.reports.append(("drained?",))


def job_of(reporter: Recorder, assignment: Assignment | None = None) -> Job:
    return Job(reporter, assignment or Assignment(b"H:1", b"resize", b"photo-7", b"\xff\xd8"))


def outcome(function: JobFunction, recorder: Recorder | None = None) -> Returned | Raised:
    return perform(registration("resize", function, None), job_of(recorder or Recorder()))


def test_a_job_tells_what_is_to_be_done() -> None:
    assignment = Assignment(b"H:1", "größe".encode(), b"bytes \xff", b"\xff\xd8")
    job = job_of(Recorder(), assignment)
    assert (job.handle, job.function, job.data) == ("H:1", "größe", b"\xff\xd8")
    assert job.unique.encode("utf-8", "surrogateescape") == b"bytes \xff"


def test_a_job_reports() -> None:
    recorder = Recorder()

    def resize(job: Job) -> None:
        job.progress(0, 4_294_967_295)
        job.progress(1, 2, "größe")
        job.progress(2, 2, b"\xff")
        job.send_data(b"part")
        job.send_data("größe")
        job.warn("small")

    assert outcome(resize, recorder) == Returned(b"")
    assert recorder.reports == [
        ("progress", b"H:1", 0, 4_294_967_295, b""),
        ("progress", b"H:1", 1, 2, "größe".encode()),
        ("progress", b"H:1", 2, 2, b"\xff"),
        ("data", b"H:1", b"part"),
        ("data", b"H:1", "größe".encode()),
        ("warning", b"H:1", b"small"),
    ]


def test_of_a_server_that_tells_no_more_nothing_is_claimed() -> None:
    job = job_of(Recorder())
    assert (job.attempt, job.attempts, job.priority, job.key, job.labels) == (0, None, None, "", {})
    assert (job.created_s, job.deadline_s, job.remaining_s) == (None, None, None)


def test_what_a_server_tells_of_a_job() -> None:
    now_s = time.time()
    terms = Terms(2, 5, now_s + 1000, now_s - 3, Priority.LOW, "customer 4711", {"user": "ann"})
    job = job_of(Recorder(), Assignment(b"H:1", b"f", b"", b"", terms))
    assert (job.attempt, job.attempts, job.priority) == (2, 5, Priority.LOW)
    assert (job.key, job.labels) == ("customer 4711", {"user": "ann"})
    assert (job.created_s, job.deadline_s) == (now_s - 3, now_s + 1000)
    assert job.remaining_s is not None
    assert 0 < job.remaining_s <= 1000


def test_nothing_remains_once_the_time_is_up() -> None:
    terms = Terms(deadline_s=time.time() - 1)
    assert job_of(Recorder(), Assignment(b"H:1", b"f", b"", b"", terms)).remaining_s == 0


def test_what_is_cancelled_stays_cancelled() -> None:
    recorder = Recorder()
    job = job_of(recorder)
    assert not job.cancelled
    recorder.cancels = True
    assert job.cancelled
    recorder.cancels = False
    assert job.cancelled
    assert recorder.reports == [("cancelled?", b"H:1")] * 2


@pytest.mark.parametrize(
    ("answer", "result"), [(b"a\0b", b"a\0b"), ("größe", "größe".encode()), (None, b""), ("", b"")]
)
def test_an_answer_is_sent_as_bytes(answer: bytes | str | None, result: bytes) -> None:
    assert outcome(lambda job: answer) == Returned(result)


@pytest.mark.parametrize(
    ("answer", "kind"), [(3, "int"), ({"a": 1}, "dict"), (bytearray(b"x"), "bytearray")]
)
def test_any_other_answer_is_an_exception_that_says_so(answer: object, kind: str) -> None:
    def function(job: Job) -> None:
        return answer  # type: ignore[return-value]  # the mistake under test

    assert outcome(function) == Raised(
        b"TypeError: a job's function returns bytes, str or None; this one returned %b"
        % kind.encode()
    )


class Custom(Exception):
    pass


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_a_message_that_is_no_utf_8_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(job: Job) -> None:
        raise ValueError("half a pair \ud800")

    monkeypatch.setattr(functions.log, "disabled", True)  # pytest's report could not be written
    assert outcome(function) == Raised(b"ValueError: half a pair \\ud800")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no such photo"), "ValueError: no such photo"),
        (ValueError(), "ValueError"),
        (KeyError("width"), "KeyError: 'width'"),
        (ValueError("two\nlines"), "ValueError: two\nlines"),
        (Custom("own"), f"{__name__}.Custom: own"),
        (Untold(), f"{__name__}.Untold: <its message can't be told>"),
        (OSError(2, "No such file or directory"), "FileNotFoundError: [Errno 2] No such file"),
    ],
)
def test_an_exception_is_told_by_type_and_message(
    error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    def function(job: Job) -> None:
        raise error

    with caplog.at_level(logging.ERROR, "gearpy.worker"):
        raised = outcome(function)
    assert isinstance(raised, Raised)
    assert raised.exception.decode().startswith(told)
    assert caplog.messages == ["job H:1: the function 'resize' raised an exception"]
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_meant_to_end_the_program_ends_it(error: type[BaseException]) -> None:
    def function(job: Job) -> None:
        raise error

    with pytest.raises(error):
        outcome(function)


@pytest.mark.parametrize("count", [-1, 1.5, "1", 4_294_967_296, None])
def test_progress_is_told_in_whole_numbers(count: object) -> None:
    recorder = Recorder()
    job = job_of(recorder)
    with pytest.raises(InvalidArgument, match="whole numbers from 0 to 4294967295"):
        job.progress(count, 2)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(InvalidArgument, match="whole numbers"):
        job.progress(1, count)  # type: ignore[arg-type]  # the mistake under test
    assert recorder.reports == []


def test_parts_and_warnings_are_bytes_or_text() -> None:
    job = job_of(Recorder())
    with pytest.raises(TypeError, match="a part must be bytes or str, not int"):
        job.send_data(1)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TypeError, match="a warning must be bytes or str, not list"):
        job.warn([])  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TypeError, match="a text must be bytes or str, not int"):
        job.progress(1, 2, 50)  # type: ignore[arg-type]  # the mistake under test


def test_a_timeout_is_rounded_up_to_milliseconds() -> None:
    assert registration("f", lambda job: None, 1.5).timeout_ms == 1500
    assert registration("f", lambda job: None, 0.0001).timeout_ms == 1
    assert registration("f", lambda job: None, None).timeout_ms == 0


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_bad_timeout_is_refused(timeout_s: float) -> None:
    with pytest.raises(InvalidArgument, match="seconds above 0"):
        registration("f", lambda job: None, timeout_s)


@pytest.mark.parametrize("name", ["", b"", "a\0b"])
def test_a_bad_name_is_refused(name: str | bytes) -> None:
    with pytest.raises(InvalidArgument, match="not empty and holds no NUL"):
        registration(name, lambda job: None, None)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="can't be called"):
        registration("f", "resize", None)  # type: ignore[arg-type]  # the mistake under test
