"""``gearpy submit`` with options for one job, as a process against real and scripted servers."""

import subprocess
import sys
import time
from datetime import datetime

import pytest

from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import response, split, unpacked
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job
from tests.client.other_servers import LIKE_GEARMAND, LIMIT_S, SILENT, Answers, says, scripted
from tests.workers import working

EXTENDED: Answers = {
    **SILENT,
    p.OPTION_REQ: lambda body: response(p.OPTION_RES, body),
    p.SUBMIT_JOB_OPTIONS: says(response(p.JOB_CREATED, b"H:7")),
}


def submit(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "gearpy.cli.main",
            "submit",
            "f",
            "payload",
            "--server",
            address,
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def asked(*arguments: str) -> dict[str, object]:
    """The options that a server is sent for such a background submit."""
    with scripted(EXTENDED) as server:
        done = submit(server.address, "--background", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "H:7\n", "")
    [body] = server.bodies(p.SUBMIT_JOB_OPTIONS)
    function, unique, options, payload = split(p.SUBMIT_JOB_OPTIONS, body)
    assert (function, unique, payload) == (b"f", b"", b"payload")
    read = unpacked("options", options)
    assert read.pop("background") is True
    return read


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("--delay 1.5", {"delay_s": 1.5}),
        ("--due 1767225600.5", {"due_s": 1_767_225_600.5}),
        ("--due 2026-01-01T00:00:00.5+00:00", {"due_s": 1_767_225_600.5}),
        ("--attempts 5 --retry-on lost,timeout", {"attempts": 5, "retry_on": ["lost", "timeout"]}),
        ("--retry-on none --poison 0", {"retry_on": [], "poison": 0}),
        ("--backoff exponential", {"backoff": "exponential"}),
        ("--backoff 1,5,30", {"backoff": [1, 5, 30]}),
        (
            "--backoff exponential,base-s=2,cap-s=60",
            {"backoff": {"base_s": 2, "cap_s": 60}},
        ),
        ("--attempt-timeout 30 --expires 60", {"timeout_s": 30.0, "expires_s": 60.0}),
        ("--key k --label a=1 --label b=x=y", {"key": "k", "labels": {"a": "1", "b": "x=y"}}),
        ("--callback http://a/", {"callback": "http://a/"}),
        ("--priority critical", {"priority": "critical"}),
        ("--priority low --delay 0", {"priority": "low", "delay_s": 0.0}),
    ],
)
def test_what_is_asked_for(line: str, options: dict[str, object]) -> None:
    assert asked(*line.split()) == options


def test_a_due_time_without_a_zone_is_local() -> None:
    local_s = datetime(2027, 7, 1, 12, 30, 0, 500_000).astimezone().timestamp()
    assert asked("--due", "2027-07-01 12:30:00.5") == {"due_s": local_s}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--delay", "1", "--due", "2"], "--delay and --due are two ways to say when"),
        (["--delay", "-1"], "-1.0 is not in the range x>=0"),
        (["--due", "tomorrow"], "'tomorrow' is no time; write it as"),
        (["--attempts", "0"], "0 is not in the range x>=1"),
        (["--retry-on", "sunshine"], "retry_on holds 'sunshine'; it must be a list of some of"),
        (["--backoff", "slowly"], "backoff is 'slowly'; it must be"),
        (["--label", "user"], "'user' is no label; write it like"),
        (["--label", "=ann"], "'=ann' is no label"),
        (["--label", "a=1", "--label", "a=2"], "the label 'a' is given twice"),
    ],
)
def test_mistakes_are_told_without_a_server(arguments: list[str], why: str) -> None:
    done = submit("127.0.0.1:1", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in " ".join(done.stderr.replace("│", " ").split())


def test_what_another_server_cannot_do_is_a_sentence_and_exit_1() -> None:
    with scripted(LIKE_GEARMAND) as server:
        done = submit(server.address, "--attempts", "3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"gearpy: the server at {server.address} is not a gearpy-server (or an old one): it can't"
        " take a foreground job with attempts; use a gearpy-server for that\n"
    )


def test_another_server_takes_a_delay_in_the_background() -> None:
    with scripted(LIKE_GEARMAND) as server:
        before_s = time.time()
        done = submit(server.address, "--background", "--delay", "100")
        after_s = time.time()
        assert (done.returncode, done.stdout) == (0, "H:3\n")
    [body] = server.bodies(p.SUBMIT_JOB_EPOCH)
    assert before_s + 100 <= int(body.split(b"\0")[2]) <= after_s + 101


def test_a_job_with_everything_there_and_back(server: ServerProcess) -> None:
    told: list[Job] = []

    def second_time(job: Job) -> bytes:
        told.append(job)
        if job.attempt == 1:
            raise ValueError("not yet")
        return job.data.upper()

    line = (
        "--delay 0.01 --attempts 2 --retry-on exception --backoff none --poison 3"
        " --attempt-timeout 1000 --expires 1000 --key k --label user=ann"
        " --priority critical --timeout 25"
    )
    with working(server.address, f=second_time):
        done = submit(server.address, *line.split())
    assert (done.returncode, done.stdout, done.stderr) == (0, "PAYLOAD", "")
    assert [(job.attempt, job.attempts) for job in told] == [(1, 2), (2, 2)]
    assert (told[0].priority, told[0].key) == (Priority.CRITICAL, "k")
    assert told[0].labels == {"user": "ann"}
    assert told[0].deadline_s is not None
