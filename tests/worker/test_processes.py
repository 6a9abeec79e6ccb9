"""Jobs in processes of their own."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gearpy.client import Client
from gearpy.errors import CannotStart, InvalidArgument, JobFailed
from gearpy.testing.process import ServerProcess
from gearpy.worker import Worker
from tests.worker import process_jobs as jobs
from tests.worker.program import WorkerProcess
from tests.workers import Held, running

LIMIT_S = 30.0


def worker_with(server: ServerProcess, concurrency: int = 1, **functions: Any) -> Worker:
    worker = Worker(server.address, concurrency=concurrency, processes=True)
    for name, function in functions.items():
        worker.register(name, function)
    return worker


def test_jobs_are_done_in_other_processes_that_stay(server: ServerProcess) -> None:
    worker = worker_with(server, 2, pid=jobs.pid, upper=jobs.upper)
    worker.register("twice", jobs.twice, codec="json")
    with running(worker), Client(server.address) as client:
        pids = {int(each) for each in client.map("pid", [b""] * 100, timeout=LIMIT_S)}
        assert len(pids) <= 2
        assert os.getpid() not in pids
        assert json.loads(client.submit("twice", "[1]").result(LIMIT_S)) == [1, 1, "twice"]
        large = b"x" * 5_000_000
        assert client.submit("upper", large).result(LIMIT_S) == large.upper()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_a_job_says_comes_through(server: ServerProcess) -> None:
    worker = worker_with(server, says=jobs.says)
    with running(worker), Client(server.address) as client:
        job = client.submit("says")
        assert b"".join(job.data(LIMIT_S)) == b"part" + b"x" * 20
        assert job.result(LIMIT_S) == b"done"
        assert job.warnings == [b"careful"]
        assert job.last_progress is not None
        assert (job.last_progress.numerator, job.last_progress.denominator) == (1, 2)


@pytest.mark.parametrize("function", ["endless", "busy"])
def test_a_function_that_takes_too_long_is_killed_and_replaced(
    server: ServerProcess, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = worker_with(server, upper=jobs.upper)
    worker.register(function, getattr(jobs, function), timeout=0.2)
    with running(worker), Client(server.address) as client:
        client.operate("set-policy", function=function, policy={"keep_s": 60})
        job = client.submit(function)
        with pytest.raises(
            JobFailed, match=rf"TimeoutError: {function} took longer than its 0\.2 s"
        ):
            job.result(LIMIT_S)
        assert client.job(job.handle)["job"]["reason"] == "timeout"
        assert client.submit("upper", "x").result(LIMIT_S) == b"X"
        if function == "endless":
            with pytest.raises(ProcessLookupError):
                os.kill(int(next(job.data())), 0)
    assert "took longer than its 0.2 s, and was stopped" in caplog.text


def test_a_coroutine_is_cancelled_in_its_process(server: ServerProcess) -> None:
    worker = worker_with(server, pid=jobs.pid)
    worker.register("later", jobs.later, timeout=0.1)
    with running(worker), Client(server.address) as client:
        before = client.submit("pid").result(LIMIT_S)
        assert client.submit("later", "x").result(LIMIT_S) == b"x"
        with pytest.raises(JobFailed, match="TimeoutError: later took longer"):
            client.submit("later", "endless").result(LIMIT_S)
        assert client.submit("pid").result(LIMIT_S) == before


@pytest.mark.parametrize(
    ("data", "how"), [(b"", "was ended by SIGSEGV"), (b"exit", "ended with exit code 7")]
)
def test_a_process_that_crashes_fails_its_job_and_no_other(
    server: ServerProcess, data: bytes, how: str
) -> None:
    worker = worker_with(server, crash=jobs.crash, upper=jobs.upper)
    with running(worker), Client(server.address) as client:
        policy = {"attempts": 9, "backoff": [0], "poison": 2}
        client.operate("set-policy", function="crash", policy=policy)
        job = client.submit("crash", data)
        with pytest.raises(JobFailed, match=f"the process that did the job {how}"):
            job.result(LIMIT_S)
        told = client.job(job.handle)["job"]
        assert told["state"] == "dead"
        assert [attempt["outcome"] for attempt in told["log"]] == ["lost", "lost"]
        assert client.submit("upper", "x").result(LIMIT_S) == b"X"


def test_a_process_that_ends_between_jobs_costs_none(server: ServerProcess) -> None:
    worker = worker_with(server, pid=jobs.pid)
    with running(worker), Client(server.address) as client:
        pid = int(client.submit("pid").result(LIMIT_S))
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert int(client.submit("pid").result(LIMIT_S)) != pid


def test_what_is_raised_and_logged_there_is_told_here(
    server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    worker = worker_with(server, raises=jobs.raises)
    with running(worker), Client(server.address) as client:
        job = client.submit("raises", "no")
        with pytest.raises(JobFailed, match="KeyError: b'no'"):
            job.result(LIMIT_S)
    assert ("shop", logging.WARNING, "about to raise") in caplog.record_tuples
    assert f"job {job.handle}: the function 'raises' raised an exception" in caplog.text
    assert "raise KeyError(job.data)" in caplog.text


def test_a_function_hears_that_its_job_was_cancelled(server: ServerProcess, tmp_path: Path) -> None:
    note = tmp_path / "note"
    worker = worker_with(server, until_cancelled=jobs.until_cancelled, upper=jobs.upper)
    with running(worker), Client(server.address) as client:
        job = client.submit("until_cancelled", os.fsencode(note))
        assert next(job.data(LIMIT_S)) == b"begun"
        assert job.cancel()
        assert client.submit("upper", "x").result(LIMIT_S) == b"X"
    assert note.read_text() == "cancelled"


def test_a_thread_that_goes_on_after_its_job_takes_nothing_from_the_next(
    server: ServerProcess,
) -> None:
    worker = worker_with(server, leaves_a_thread=jobs.leaves_a_thread, upper=jobs.upper)
    with running(worker), Client(server.address) as client:
        client.submit("leaves_a_thread").result(LIMIT_S)
        texts = [f"job {number}" for number in range(300)]
        results = list(client.map("upper", texts, timeout=LIMIT_S))
        assert results == [text.upper().encode() for text in texts]


def test_middleware_and_hooks_are_called_in_each_process(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKS", str(tmp_path))
    worker = worker_with(server, books=jobs.books, upper=jobs.upper)
    worker.register("books", jobs.books)
    worker.on_start(jobs.open_books)
    worker.on_stop(jobs.close_books)
    with running(worker), Client(server.address) as client:
        pid, opened = client.submit("books").result(LIMIT_S).decode().split(" ", 1)
        assert opened == "['open']"
    assert [path.name for path in tmp_path.iterdir()] == [pid]
    worker.use(jobs.around)
    with running(worker), Client(server.address) as client:
        assert client.submit("upper", "x").result(LIMIT_S) == b"<X>"


def test_what_another_process_cannot_import_is_refused(server: ServerProcess) -> None:
    worker = worker_with(server, inner=lambda job: None)
    with pytest.raises(InvalidArgument, match="can't be imported by another process"):
        worker.run()
    worker = worker_with(server, held=Held())
    with pytest.raises(InvalidArgument, match="functions stand at the top level of a module"):
        worker.run()


def test_a_process_that_can_not_start_ends_the_worker(
    server: ServerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = worker_with(server, upper=jobs.upper)
    worker.on_start(jobs.cannot_open)
    with pytest.raises(CannotStart, match="ended with exit code 1 before it was ready"):
        worker.run()
    assert "FileNotFoundError: no books" in capfd.readouterr().err


def test_a_job_that_is_handed_back_ends_at_once(
    server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(server.address, processes=True, stop_timeout=0.05)
    worker.register("endless", jobs.endless)
    with Client(server.address) as client:
        job = client.submit("endless")
        with running(worker):
            pid = int(next(job.data(LIMIT_S)))
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "jobs handed back, as their time to finish was up: 1" in caplog.text
    assert "does not end" not in caplog.text
    assert "was ended by SIGKILL" not in caplog.text  # nobody needs to look into that


PROGRAM = """
import sys
from gearpy.worker import Worker
from tests.worker import process_jobs as jobs

if __name__ == "__main__":
    worker = Worker(sys.argv[1], processes=True, stop_timeout=0.1)
    worker.register("endless", jobs.endless)
    worker.run()
    print("returned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_worker(
    server: ServerProcess, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    process = WorkerProcess(PROGRAM, tmp_path, server)
    try:
        with Client(server.address) as client:
            job = client.submit("endless")
            next(job.data(LIMIT_S))
            process.process.send_signal(number)
            if number != signal.SIGKILL:
                assert process.said() == "returned"
            process.process.wait(LIMIT_S)
            with running(worker_with(server, endless=jobs.upper)):
                assert job.result(LIMIT_S) == b""
        # It holds the worker's standard output open as long as it lives.
        assert process.output.read() == ""
    finally:
        process.end()


def test_a_program_without_a_guard_is_told_what_to_do(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    program = tmp_path / "unguarded.py"
    program.write_text(PROGRAM.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run(
        [sys.executable, program, server.address], capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 1
    assert b"calls run() below if __name__ == '__main__'" in done.stderr
