"""The blocking worker on a gearpy-server, which tells and hears more, and on other servers."""

import threading
import time
from collections.abc import Callable

import pytest

from gearpy.client import Client
from gearpy.errors import ConnectionLost, JobFailed, ServerError
from gearpy.protocol import packets as p
from gearpy.protocol.codec import response
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.client.other_servers import (
    LIKE_GEARMAND,
    LIMIT_S,
    SILENT,
    UNKNOWN_OPTION,
    Answers,
    says,
    scripted,
)
from tests.worker.test_worker_sync import run_in_thread

CANCEL = response(p.CANCEL_JOB, b"H:1")
ASSIGN = response(p.JOB_ASSIGN_UNIQ, b"H:1", b"f", b"", b"x")


def poll(condition: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit_s, "it did not happen"


def run_once(address: str, function: Callable[[Job], str | None]) -> BaseException | None:
    """Runs a worker that stops with its first job; returns what it raised."""
    worker = Worker(address, reconnect=False)

    def last(job: Job) -> str | None:
        worker.stop()
        return function(job)

    worker.register("f", last)
    return run_in_thread(worker)()


# ---- a gearpy-server


def test_a_function_learns_that_its_job_was_cancelled(server: ServerProcess) -> None:
    entered, gone_on = threading.Event(), threading.Event()

    def endless(job: Job) -> str:
        if job.data == b"short":
            return "short"
        assert not job.cancelled
        entered.set()
        poll(lambda: job.cancelled)
        gone_on.set()
        job.send_data("for nobody")
        return "for nobody"

    worker = Worker(server.address, reconnect=False)
    worker.register("endless", endless)
    join = run_in_thread(worker)
    parts: list[bytes] = []
    with Client(server.address) as client:
        job = client.submit("endless", on_data=parts.append)
        assert entered.wait(LIMIT_S)
        assert client.cancel(job.handle)
        with pytest.raises(JobFailed):
            job.result(LIMIT_S)
        assert gone_on.wait(LIMIT_S)
        assert client.submit("endless", "short").result(LIMIT_S) == b"short"
    worker.stop()
    assert join() is None
    assert parts == []


def test_threads_that_ask_on_after_the_job_take_nothing_from_the_next(
    server: ServerProcess,
) -> None:
    over = threading.Event()
    threads: list[threading.Thread] = []

    def f(job: Job) -> bytes:
        def ask() -> None:
            while not over.is_set():
                assert not job.cancelled

        if len(threads) < 3:
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        return job.data

    worker = Worker(server.address, reconnect=False)
    worker.register("f", f)
    join = run_in_thread(worker)
    try:
        with Client(server.address) as client:
            for number in range(100):
                assert client.submit("f", f"{number}").result(LIMIT_S) == b"%d" % number
        worker.stop()
        assert join() is None
    finally:
        over.set()
        for thread in threads:
            thread.join(LIMIT_S)


def test_a_server_that_dies_did_not_cancel(server: ServerProcess) -> None:
    seen: list[bool] = []

    def f(job: Job) -> None:
        server.kill()
        seen.extend(job.cancelled for _ in range(1000))

    with Client(server.address) as client:
        client.submit_background("f")
        error = run_once(server.address, f)
    assert isinstance(error, ConnectionLost)
    assert not any(seen)


# ---- a scripted one


def extended(**answers: bytes) -> Answers:
    """A server that speaks gearpy's packets: it has one job, answers what is said of that, and says
    nothing when it is asked for another."""
    options = b'{"attempt":2,"attempts":3,"priority":"high","labels":{"user":"ann"}}'
    jobs = iter([response(p.JOB_ASSIGN_OPTIONS, b"H:1", b"f", b"", options, b"x")])
    return {
        **SILENT,
        p.OPTION_REQ: lambda body: response(p.OPTION_RES, body),
        p.GRAB_JOB_UNIQ: lambda _: next(jobs, b""),
        p.WORK_COMPLETE: says(b""),
        p.WORK_EXCEPTION: says(b""),
        p.WORK_USAGE: says(b""),
        p.WORKER_STATE: says(b""),
        **{p.NUMBERS[name]: says(said) for name, said in answers.items()},
    }


def test_progress_in_words_and_a_cancelled_job_on_the_wire() -> None:
    def f(job: Job) -> str:
        assert (job.attempt, job.attempts, job.labels) == (2, 3, {"user": "ann"})
        job.progress(1, 2)
        job.progress(1, 2, "größe")
        poll(lambda: job.cancelled)
        job.progress(2, 2, "late")
        job.warn("late")
        return "late"

    answers = extended(WORK_STATUS=b"", WORK_PROGRESS=CANCEL)
    with scripted(answers) as server:
        assert run_once(server.address, f) is None
    assert server.heard == [
        (p.OPTION_REQ, b"gearpy"),
        (p.CAN_DO, b"f"),
        (p.GRAB_JOB_UNIQ, b""),
        (p.WORK_STATUS, b"H:1\x001\x002"),
        (p.WORK_PROGRESS, b"H:1\x001\x002\0" + "größe".encode()),
    ]


def test_threads_that_ask_while_another_reports_and_the_server_talks() -> None:
    reports = 500

    def f(job: Job) -> None:
        asked: list[bool] = []

        def ask() -> None:
            while reporter.is_alive():
                asked.append(job.cancelled)

        def report() -> None:
            for number in range(reports):
                job.progress(number, reports)

        reporter = threading.Thread(target=report)
        askers = [threading.Thread(target=ask) for _ in range(3)]
        for thread in (reporter, *askers):
            thread.start()
        for thread in (reporter, *askers):
            thread.join(LIMIT_S)
            assert not thread.is_alive()
        assert not any(asked)

    with scripted(extended(WORK_STATUS=response(p.NOOP) * 3)) as server:
        assert run_once(server.address, f) is None
    told = [int(body.split(b"\0")[1]) for body in server.bodies(p.WORK_STATUS)]
    assert told == list(range(reports))
    assert server.bodies(p.WORK_COMPLETE) == [b"H:1\0"]


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        (response(p.ERROR, b"ODD", b"hm"), ServerError, "ODD: hm"),
        (b"HTTP/1.1 400 Bad Request\r\n", ConnectionLost, "does not speak Gearman: it sent text"),
        (ASSIGN, ConnectionLost, "a job that nobody asked for"),
    ],
    ids=["error", "text", "a second job"],
)
def test_what_is_wrong_is_told_after_the_job(said: bytes, kind: type[Exception], why: str) -> None:
    done: list[str] = []

    def f(job: Job) -> None:
        job.warn("now")
        poll(lambda: job.cancelled)  # so what came behind that has been read, too
        done.append(job.handle)

    answers = extended(WORK_WARNING=CANCEL + said)
    with scripted(answers) as server:
        worker = Worker(server.address, reconnect=False)
        worker.register("f", f)
        error = run_in_thread(worker)()
    assert isinstance(error, kind)
    assert why in str(error)
    assert done == ["H:1"]


# ---- any other server


@pytest.mark.parametrize("base", [LIKE_GEARMAND, SILENT], ids=["gearmand", "silent"])
def test_other_servers_hear_what_they_always_heard(base: Answers) -> None:
    def f(job: Job) -> str:
        assert (job.attempt, job.attempts, job.remaining_s, job.priority) == (0, None, None, None)
        job.progress(1, 2, "halfway")
        assert not job.cancelled
        return "done"

    answers: Answers = {
        **base,
        p.GRAB_JOB_UNIQ: says(ASSIGN),
        p.WORK_STATUS: says(b""),
        p.WORK_COMPLETE: says(b""),
    }
    with scripted(answers) as server:
        assert run_once(server.address, f) is None
    assert server.heard == [
        (p.OPTION_REQ, b"gearpy"),
        (p.CAN_DO, b"f"),
        (p.GRAB_JOB_UNIQ, b""),
        (p.WORK_STATUS, b"H:1\x001\x002"),
        (p.WORK_COMPLETE, b"H:1\0done"),
    ]


@pytest.mark.parametrize("answer", [b"", UNKNOWN_OPTION], ids=["silent", "gearmand"])
def test_a_function_that_another_server_refuses_ends_the_worker(answer: bytes) -> None:
    answers: Answers = {
        **SILENT,
        p.OPTION_REQ: says(answer),
        p.CAN_DO: says(response(p.ERROR, b"INVALID_ARGUMENT", b"not this one")),
    }
    with scripted(answers) as server:
        error = run_once(server.address, lambda job: None)
    assert isinstance(error, ServerError)
    assert error.code == "INVALID_ARGUMENT"
