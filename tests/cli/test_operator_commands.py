"""The operator's commands as processes, against a real server."""

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest

from gearpy.cli.main import gearpy as group
from gearpy.client import Client
from gearpy.durations import read_duration
from gearpy.errors import ServerError
from gearpy.protocol import packets as p
from gearpy.testing.process import ServerProcess
from gearpy.version import VERSION
from gearpy.worker import Job
from tests.cli.command import GEARPY, LIMIT_S, OnTerminal, gearpy, printed, rows
from tests.client.other_servers import LIKE_GEARMAND, scripted
from tests.server.peer import RawPeer
from tests.workers import working

KEPT: Final = {"attempts": 1, "keep_s": 1000}


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


@pytest.fixture
def address(server: ServerProcess) -> str:
    return server.address


def done(*arguments: str, server: str, note: str = "") -> str:
    """What the command prints, when all goes well."""
    report, said = printed(*arguments, server=server)
    assert said == note
    return report


def answer(*arguments: str, server: str) -> Any:
    """The JSON document that the command prints."""
    return json.loads(done(*arguments, "--json", server=server))


def failed(*arguments: str, server: str) -> str:
    """What the command complains of."""
    ran = gearpy(*arguments, server=server)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"gearpy: ")
    assert ran.stderr.count(b"\n") == 1
    return ran.stderr.decode().removeprefix("gearpy: ").removesuffix("\n")


def states(client: Client) -> list[str]:
    every = ["queued", "delayed", "running", "completed", "cancelled", "dead"]
    return [job["state"] for job in client.operate("jobs", states=every)["jobs"]]


def dead_letters(client: Client, server: ServerProcess, *payloads: str) -> list[str]:
    """Handles of jobs of "photo" that failed, once and for all, as all did before them."""
    client.operate("set-policy", function="photo", policy=KEPT)
    last = threading.Event()
    handles = [client.submit_background("photo", payload) for payload in payloads]

    def fail(job: Job) -> None:
        if job.handle == handles[-1]:
            last.set()
        raise ValueError("no such\nphoto \x1b[2J")

    with working(server.address, photo=fail):
        assert last.wait(LIMIT_S)
    return handles


def flood(server: ServerProcess, number: int) -> None:
    """Submits so many jobs of "f"."""
    with RawPeer((server.host, server.port)) as peer:
        for _ in range(number):
            peer.send(p.SUBMIT_JOB_BG, b"f", b"", b"")
        for _ in range(number):
            peer.expect(p.JOB_CREATED)


# ---- looking


def test_jobs(client: Client, address: str) -> None:
    first = client.submit_background("image.resize", labels={"user": "[red]"})
    second = client.submit_background("image.rotate", delay_s=7000)
    third = client.submit_background("mail")

    headings, *jobs = rows(done("jobs", server=address))
    assert headings[:3] == ["Handle", "Function", "State"]
    assert [row[:4] for row in jobs] == [
        [first, "image.resize", "queued", "normal"],
        [second, "image.rotate", "delayed", "normal"],
        [third, "mail", "queued", "normal"],
    ]
    assert jobs[0][-1] == "user=[red]"
    assert jobs[1][-4:] == ["due", "in", "116", "min"]

    def found(*options: str) -> list[str]:
        return [job["handle"] for job in answer("jobs", *options, server=address)["jobs"]]

    assert found("--function", "image.*", "--state", "queued", "--state", "running") == [first]
    assert found("--younger-than", "1h", "--state", "delayed") == [second]
    assert done("jobs", "--older-than", "2h", server=address) == "No such jobs.\n"
    assert found("--newest-first") == [third, second, first]
    assert answer("jobs", "--newest-first", "--limit", "1", server=address) == {
        "jobs": client.operate("jobs", function="mail")["jobs"],
        "more": True,
    }
    named = client.submit_background("mail", unique="größe")
    assert found("--unique", "größe") == [named]
    assert answer("cancel", "--unique", "größe", "--yes", server=address) == {"count": 1}
    limited = answer("jobs", "--limit", "2", server=address)
    assert ([job["handle"] for job in limited["jobs"]], limited["more"]) == ([first, second], True)
    assert answer("jobs", "--limit", "3", server=address)["more"] is False
    note = "There are more than 2: see more with --limit, or fewer with a filter.\n"
    assert done("jobs", "--limit", "2", server=address, note=note).count("\n") == 3


def test_more_jobs_than_fit_into_an_answer(server: ServerProcess) -> None:
    flood(server, 1100)
    assert len(answer("jobs", "--limit", "5000", server=server.address)["jobs"]) == 1100


def test_what_follows_a_job_is_shown(client: Client, address: str) -> None:
    handle = client.submit_background("f", callback={"function": "index", "data": "cat.jpg"})
    assert ["Followed", "by", "a", "job", "of", "index"] in rows(
        done("job", handle, server=address)
    )


def test_a_job_and_its_whole_life(client: Client, server: ServerProcess) -> None:
    [handle] = dead_letters(client, server, "one\ntwo")
    page = done("job", handle, server=server.address)
    life = answer("job", handle, server=server.address)
    assert done("dead", "show", handle, server=server.address).count("\n") == page.count("\n")
    lines = [line.rstrip() for line in page.splitlines()]
    assert lines[0] == f"Job          {handle}"
    assert any(line.startswith("State        dead, 20") for line in lines)
    assert "Reason       attempts used up" in lines
    assert "Attempts     1 of 1" in lines
    (attempt,) = (line for line in lines if "exception" in line)
    assert attempt.endswith("ValueError: no such photo \\x1b[2J")
    assert lines[-7:] == [
        "Error",
        "  ValueError: no such",
        "  photo \\x1b[2J",
        "",
        "Payload (7 bytes)",
        "  one",
        "  two",
    ]
    assert (life["payload"], life["log"][0]["outcome"]) == ("one\ntwo", "exception")


def test_payloads_that_are_long_or_no_text(client: Client, address: str) -> None:
    long = client.submit_background("f", "line\n" * 1000)
    wide = client.submit_background("f", "x" * 3000)
    high = client.submit_background("f", "line\n" * 41)
    binary = client.submit_background("g", b"\0\xff")
    page = done("job", long, server=address).splitlines()
    assert "Payload (5.0 kB)" in page
    for each in (long, high):
        page = done("job", each, server=address).splitlines()
        assert page[-41:] == ["  line"] * 40 + ["  ... (--json shows more)"]
    page = done("job", wide, server=address).splitlines()
    assert page[-2:] == ["  " + "x" * 2000, "  ... (--json shows more)"]
    page = done("job", binary, server=address).splitlines()
    assert page[-2:] == ["Payload (2 bytes, not text)", "  \\x00\\xff"]
    assert rows(done("peek", "g", server=address))[1][-1] == "\\x00\\xff"


def test_the_result_of_a_job_that_is_kept(client: Client, server: ServerProcess) -> None:
    client.operate("set-policy", function="upper", policy=KEPT)

    def upper(job: Job) -> bytes:
        job.progress(1, 2)
        return job.data.upper()

    with working(server.address, upper=upper):
        job = client.submit("upper", "abc")
        assert job.result(LIMIT_S) == b"ABC"
    page = [line.rstrip() for line in done("job", job.handle, server=server.address).splitlines()]
    assert "Progress     1 of 2" in page
    assert page[-5:] == ["Payload (3 bytes)", "  abc", "", "Result (3 bytes)", "  ABC"]


def test_what_each_attempt_of_a_job_cost(client: Client, server: ServerProcess) -> None:
    client.operate("set-policy", function="f", policy={"attempts": 3, "backoff": "none"})
    handle = client.submit_background("f").encode()
    told = (b'{"cpu_s": 0.25, "memory_bytes": 80000000}', b'{"cpu_s": 90}', b"{}")
    with RawPeer((server.host, server.port)) as worker:
        worker.send(p.CAN_DO, b"f")
        for usage in told:
            worker.send(p.GRAB_JOB)
            worker.expect(p.JOB_ASSIGN)
            worker.send(p.WORK_USAGE, handle, usage)
            worker.send(p.WORK_FAIL, handle)
        worker.round_trip()
    page = done("job", handle.decode(), server=server.address)
    log = page[page.index("Attempts\n") :].splitlines()
    assert log[1].split() == ["Attempt", "Started", "Took", "Used", "Worker", "Outcome", "Error"]
    assert ["cpu 0.250 s, memory 80.0 MB" in line for line in log[2:5]] == [True, False, False]
    assert ["cpu 90 s " in line for line in log[2:5]] == [False, True, False]
    document = answer("job", handle.decode(), server=server.address)
    costs = [(each["cpu_s"], each["memory_bytes"]) for each in document["log"]]
    assert costs == [(0.25, 80_000_000), (90, None), (None, None)]


def test_peek(client: Client, address: str) -> None:
    client.submit_background("f", "second")
    first = client.submit_background("f", "first one", attempts=3, expires_s=100)
    client.cancel(first)
    assert [row[-1] for row in rows(done("peek", "f", server=address))] == [
        "Payload",
        "second",
    ]
    assert done("peek", "nobody", server=address) == "No job of this function is queued.\n"
    (job,) = answer("peek", "f", "--limit", "10", server=address)["jobs"]
    assert job["payload"] == "second"


def test_status_of_a_server_with_a_journal(tmp_path: Path) -> None:
    journal = tmp_path / "jobs.db"
    with ServerProcess("--journal", str(journal)) as server, Client(server.address) as client:
        dead_letters(client, server, "1")
        client.submit_background("photo", delay_s=100)
        client.operate("pause", function="photo")
        client.operate("drain", function="photo")
        shown = done("status", server=server.address).splitlines()
        document = answer("status", server=server.address)
    assert shown[0] == f"gearpy-server {VERSION}; journal {journal}, durability commit"
    assert shown[2].split()[:7] == ["photo", "0", "1", "0", "0", "1", "0"]
    assert " paused, draining, oldest dead for " in shown[2]
    assert document["server"]["durability"] == "commit"
    (photo,) = document["functions"]
    assert (photo["waiting"], photo["dead"], photo["paused"]) == (1, 1, True)


# ---- doing


def test_cancel_by_handle(client: Client, address: str) -> None:
    first, second, third = (client.submit_background("f") for _ in range(3))
    assert done("cancel", first, server=address) == "Cancelled 1 job.\n"
    ran = gearpy("cancel", second, "H:nobody:1", third, "--json", server=address)
    assert (ran.returncode, json.loads(ran.stdout)) == (1, {"count": 2})
    assert ran.stderr == (
        b"gearpy: H:nobody:1 was not cancelled: there is no job 'H:nobody:1' to cancel: it ended,"
        b" or it never was\n"
    )
    assert states(client) == []


def test_what_destroys_asks(client: Client, server: ServerProcess) -> None:
    address = server.address
    for _ in range(3):
        client.submit_background("f")
    client.submit_background("g", delay_s=100)
    question = "This cancels 3 jobs. Go on? [y/N] "
    assert failed("cancel", "--function", "f", server=address) == (
        "This cancels 3 jobs. Nobody can be asked here whether to go on: say --yes"
    )
    for reply in ("n\n", "\n", "\x04"):
        with OnTerminal("cancel", "--function", "f", server=address) as terminal:
            terminal.read_until(question)
            terminal.write(reply)
            dialogue = terminal.end()
        assert (dialogue.code, dialogue.stdout) == (1, b"")
        assert dialogue.screen.endswith("\ngearpy: nothing was done\r\n")
    assert states(client) == ["queued"] * 3 + ["delayed"]

    arguments = ("cancel", "--function", "f", "--limit", "2", "--json")
    with OnTerminal(*arguments, server=address) as terminal:
        terminal.read_until("This cancels 2 jobs. Go on? [y/N] ")
        terminal.write("y\n")
        dialogue = terminal.end()
    assert (dialogue.code, json.loads(dialogue.stdout)) == (0, {"count": 2})
    assert dialogue.stdout.startswith(b"{")
    assert states(client) == ["queued", "delayed"]
    assert done("cancel", "--function", "nobody", server=address) == "Cancelled 0 jobs.\n"
    assert answer("cancel", "--all", "--yes", server=address) == {"count": 2}
    assert states(client) == []


def test_clear_cancels_what_waits(client: Client, server: ServerProcess) -> None:
    entered, going = threading.Event(), threading.Event()

    def held(job: Job) -> None:
        entered.set()
        assert going.wait(LIMIT_S)

    with working(server.address, held=held):
        client.submit_background("held")
        assert entered.wait(LIMIT_S)
        client.submit_background("held")
        client.submit_background("help", delay_s=100)
        client.submit_background("other")
        assert failed("clear", "hel*", server=server.address).startswith("This cancels 2 jobs. ")
        assert answer("clear", "hel*", "--yes", server=server.address) == {"count": 2}
        assert sorted(states(client)) == ["queued", "running"]
        going.set()


def test_many_jobs_and_how_far_it_is(client: Client, server: ServerProcess) -> None:
    flood(server, 10_500)
    with OnTerminal("cancel", "--all", server=server.address) as terminal:
        terminal.read_until("This cancels 10,500 jobs. Go on? [y/N] ")
        terminal.write("yes\n")
        dialogue = terminal.end()
    assert (dialogue.code, dialogue.stdout) == (0, b"Cancelled 10,500 jobs.\n")
    clear = "\r\x1b[K"
    assert f"{clear}1,000 cancelled{clear}2,000 cancelled{clear}3,000 canc" in dialogue.screen
    assert dialogue.screen.endswith(f"{clear}10,000 cancelled{clear}10,500 cancelled{clear}")
    assert states(client) == []


def test_dead_letters(client: Client, server: ServerProcess) -> None:
    address = server.address
    assert done("dead", "list", server=address) == "No dead letters.\n"
    first, second, third = dead_letters(client, server, "1", "2", "3")
    waiting = client.submit_background("photo", unique="u")

    headings, *letters = rows(done("dead", "list", "--limit", "3", server=address))
    assert headings == ["Handle", "Function", "Died", "Attempts", "Reason", "Error"]
    assert [row[:2] for row in letters] == [[each, "photo"] for each in (first, second, third)]
    assert answer("dead", "list", "--older-than", "1d", server=address)["jobs"] == []
    newest = answer("dead", "list", "--newest-first", "--limit", "2", server=address)["jobs"]
    assert [row["handle"] for row in newest] == [third, second]
    for command in ("show", "retry", "purge"):
        assert f"job {waiting} is queued, not dead" in (
            gearpy("dead", command, waiting, server=address).stderr.decode()
        )
    assert done("dead", "retry", first, server=address) == "Retried 1 job.\n"
    assert failed("dead", "retry", "--all", server=address).startswith("This runs 2 jobs again. ")
    assert answer(
        "dead", "retry", "--function", "ph*", "--limit", "1", "--yes", server=address
    ) == {
        "count": 1,
        "skipped": 0,
    }
    assert states(client) == ["queued", "queued", "queued", "dead"]
    assert failed("dead", "purge", "--all", server=address).startswith(
        "This purges 1 job; what is purged is forgotten for good. "
    )
    client.cancel(waiting)  # it is kept, and no dead letter
    assert done("dead", "purge", "--function", "ph*", "--yes", server=address) == "Purged 1 job.\n"
    assert states(client) == ["queued", "queued", "cancelled"]


def test_retry(client: Client, address: str) -> None:
    client.operate("set-policy", function="f", policy=KEPT)
    first = client.submit_background("f", unique="u")
    client.cancel(first)
    client.submit_background("f", unique="u")
    second = client.submit_background("f", delay_s=1000)
    assert failed("retry", "--all", "--state", "cancelled", "--state", "delayed", server=address)
    ran = gearpy("retry", "--state", "cancelled", "--state", "delayed", "--yes", server=address)
    assert (ran.returncode, ran.stdout) == (0, b"Retried 1 job.\n")
    assert ran.stderr == b"Left out 1 job: an unfinished job has the same unique.\n"
    assert client.operate("job", handle=second)["job"]["state"] == "queued"
    ran = gearpy("retry", second, server=address)
    assert (ran.returncode, ran.stdout) == (1, b"Retried 0 jobs.\n")
    assert b"the job is queued: there is nothing to retry" in ran.stderr


def test_cleanup(client: Client, server: ServerProcess) -> None:
    dead_letters(client, server, "1")
    client.cancel(client.submit_background("photo"))
    client.submit_background("photo")
    address = server.address
    assert failed("cleanup", "--older-than", "0", server=address).startswith("This purges 1 job; ")
    assert answer("cleanup", "--older-than", "1h", "--dead", server=address) == {"count": 0}
    assert done("cleanup", "--older-than", "0", "--yes", server=address) == "Purged 1 job.\n"
    assert states(client) == ["queued", "dead"]
    options = ("--function", "p[!h]*", "--dead", "--yes")
    assert answer("cleanup", "--older-than", "0s", *options, server=address) == {"count": 0}
    options = ("--function", "ph*", "--dead", "--yes")
    assert answer("cleanup", "--older-than", "0s", *options, server=address) == {"count": 1}
    assert states(client) == ["queued"]


def test_pause_resume_drain(client: Client, address: str) -> None:
    assert done("drain", "image.a", server=address) == "Draining: image.a\n"
    with pytest.raises(ServerError, match="QUEUE_ERROR"):
        client.submit_background("image.a")
    client.submit_background("image.\tb")
    assert done("pause", "image.*", server=address) == "Paused: image.a, image.\\x09b\n"
    functions = client.operate("functions", function="image.*")["functions"]
    assert [(each["paused"], each["draining"]) for each in functions] == [
        (True, True),
        (True, False),
    ]
    assert answer("resume", "*", server=address) == {"functions": ["image.a", "image.\tb"]}
    client.submit_background("image.a")
    assert failed("pause", "x*", server=address) == "no function that the server knows matches x*"


def test_policies(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[function."image.*"]\nattempts = 2\nbackoff = [1, 5]\n')
    with ServerProcess("--config-file", str(file)) as server:
        address = server.address

        def show(*arguments: str) -> list[list[str]]:
            return rows(done("policy", "show", *arguments, server=address))

        assert show()[1:] == [
            ["gearpy.exec", "own", "keep-s=3600"],
            ["gearpy.http", "own", "keep-s=3600"],
            ["image.*", "file", "attempts=2", "backoff=1,5"],
        ]
        options = ("attempts=3", "retry-on=timeout,lost", "timeout-s=60")
        note = (
            "The settings file counts no more for image.*, until --unset. Taken over: backoff=1,5."
            " Hidden: attempts=2.\n"
        )
        assert done("policy", "set", "image.*", *options, server=address, note=note) == (
            "image.*: attempts=3 retry-on=timeout,lost backoff=1,5 timeout-s=60\n"
        )
        assert answer("policy", "set", "image.a", "attempts=9", server=address) == {
            "function": "image.a",
            "policy": {"attempts": 9},
        }
        assert show("image.a") == [
            ["attempts", "9"],
            ["retry-on", "lost,timeout"],
            ["backoff", "1,5"],
            ["timeout-s", "60"],
        ]
        assert done("policy", "set", "image.*", "timeout-s=", "retry-on=", server=address) == (
            "image.*: attempts=3 backoff=1,5\n"
        )
        assert "say --unset" in failed("policy", "set", "image.a", "attempts=", server=address)
        assert answer("policy", "set", "image.a", "--unset", server=address)["policy"] is None
        assert "nothing to take back" in failed("policy", "set", "x", "--unset", server=address)
        document = answer("policy", "show", server=address)
        assert [row["origin"] for row in document["policies"]] == ["own", "own", "set"]
        assert done("policy", "set", "image.*", "--unset", server=address) == (
            "Took back what was set for image.*; the settings file's counts again: attempts=2"
            " backoff=1,5.\n"
        )
        done("policy", "set", "f", "attempts=2", server=address)
        assert done("policy", "set", "f", "--unset", server=address) == (
            "Took back what was set for f; nothing else is said for exactly that.\n"
        )
        assert answer("policy", "show", "mail", server=address)["policy"] is None
        assert done("policy", "show", "mail", server=address).startswith("No policy counts for ")


def test_what_the_server_decides_itself_is_not_set_with_the_rest(address: str) -> None:
    assert done("policy", "set", "gearpy.http", "attempts=3", server=address) == (
        "gearpy.http: attempts=3\n"
    )
    assert rows(done("policy", "show", "gearpy.http", server=address)) == [
        ["attempts", "3"],
        ["keep-s", "3600"],
    ]


def test_a_worker_is_dropped(client: Client, server: ServerProcess) -> None:
    address = server.address
    handle = client.submit_background("f")
    with RawPeer((server.host, server.port)) as worker:
        worker.send(p.SET_CLIENT_ID, b"box\xff")
        worker.send(p.CAN_DO, b"f")
        worker.send(p.GRAB_JOB)
        worker.expect(p.JOB_ASSIGN)
        (found,) = client.operate("workers")["workers"]
        question = (
            f"This drops the worker box\\xff ({found['peer']}), which runs 1 job; what it runs is"
            " given to others."
        )
        for name in (found["peer"], found["worker"].encode("utf-8", "surrogateescape")):
            ran = gearpy("worker", "drop", name, server=address)
            assert (ran.returncode, ran.stdout) == (1, b"")
            assert ran.stderr.decode() == (
                f"gearpy: {question} Nobody can be asked here whether to go on: say --yes\n"
            )
        with OnTerminal("worker", "drop", found["peer"], server=address) as terminal:
            terminal.read_until(f"{question} Go on? [y/N] ")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end().code == 130
        assert states(client) == ["running"]
        with OnTerminal("worker", "drop", found["peer"], server=address) as terminal:
            terminal.read_until("Go on? [y/N] ")
            terminal.write("y\n")
            dialogue = terminal.end()
        assert (dialogue.code, dialogue.stdout.decode()) == (
            0,
            f"Dropped the worker box\\xff ({found['peer']}), which ran 1 job.\n",
        )
        worker.expect(p.ERROR)
    assert client.operate("job", handle=handle)["job"]["state"] == "queued"
    sentence = "is connected to"
    for name in (found["peer"], "nobody\x1b"):
        assert sentence in failed("worker", "drop", name, "--yes", server=address)


def test_a_worker_is_dropped_by_a_script(client: Client, server: ServerProcess) -> None:
    with RawPeer((server.host, server.port)) as worker:
        worker.send(p.CAN_DO, b"f")
        worker.round_trip()
        (found,) = client.operate("workers")["workers"]
        dropped = answer("worker", "drop", found["peer"], "--yes", server=server.address)
    assert dropped == {"peer": found["peer"], "running": []}


# ---- what can go wrong


def test_streams_that_are_closed_are_nobodys(client: Client, address: str) -> None:
    client.submit_background("f")
    for command in ("status", "jobs --limit 1", "top --once --every 0.01"):
        for closed in (">&-", ">&- 2>&- <&-"):
            line = f"{shlex.join(GEARPY)} {command} --server {address} {closed}"
            ran = subprocess.run(["sh", "-c", line], capture_output=True, timeout=LIMIT_S)
            assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "--json"],
        ["cancel", "H:1"],
        ["dead", "purge", "--all", "--yes"],
        ["policy", "set", "f", "attempts=3"],
    ],
    ids=" ".join,
)
def test_another_server(command: list[str]) -> None:
    with scripted(LIKE_GEARMAND) as server:
        assert "is not a gearpy-server" in failed(*command, server=server.address)


def test_a_job_that_nobody_knows(address: str) -> None:
    for command in (["job", "H:1"], ["dead", "show", "H:1", "--json"]):
        assert "JOB_NOT_FOUND: there is no job 'H:1'" in failed(*command, server=address)


def test_ctrl_c_at_the_question_and_in_the_middle(client: Client, server: ServerProcess) -> None:
    client.submit_background("f")
    with OnTerminal("cancel", "--all", server=server.address) as terminal:
        terminal.read_until("[y/N] ")
        terminal.process.send_signal(signal.SIGINT)
        dialogue = terminal.end()
    assert (dialogue.code, dialogue.stdout) == (130, b"")
    assert "Traceback" not in dialogue.screen

    with OnTerminal("cancel", "--all", server=server.address) as terminal:
        terminal.read_until("[y/N] ")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            terminal.write("y\n")
            terminal.process.send_signal(signal.SIGINT)
            dialogue = terminal.end()
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert (dialogue.code, dialogue.stdout) == (130, b"")
    assert "Traceback" not in dialogue.screen


def test_the_connection_breaks_in_the_middle(client: Client, server: ServerProcess) -> None:
    flood(server, 1500)
    with relayed(server.address, b'{"count":1000', lambda: False) as relay:
        ran = gearpy("cancel", "--all", "--yes", server=relay)
    assert (ran.returncode, ran.stdout) == (1, b"")
    first, second = ran.stderr.decode().splitlines()
    assert first == "gearpy: cut short after 1,000 jobs cancelled"
    assert second.startswith(("gearpy: the ", "gearpy: no Gearman server answers"))
    assert relay in second
    assert client.operate("count", states=["queued"])["count"] == 500


def test_jobs_that_go_in_the_middle_hide_no_others(client: Client, address: str) -> None:
    for function in (*["others"] * 500, *["f"] * 1500):
        client.submit_background(function)

    def others_go() -> bool:
        with Client(address) as operator:
            operator.operate("cancel", function="others")
        return True

    with relayed(address, b'{"count":1000', others_go) as relay:
        assert answer("cancel", "--function", "f", "--yes", server=relay) == {"count": 1500}
    assert states(client) == []


def test_jobs_that_die_again_are_not_retried_for_ever(
    client: Client, server: ServerProcess
) -> None:
    client.submit_background("photo", unique="u")
    dead_letters(client, server, *["x"] * 1100)
    client.submit_background("photo", unique="u", delay_s=1000)

    def all_die() -> bool:
        return bool(dead_letters(client, server, "one more"))

    with relayed(server.address, b'{"count":999', all_die) as relay:
        ran = gearpy("dead", "retry", "--all", "--yes", "--json", server=relay)
    assert json.loads(ran.stdout) == {"count": 1100, "skipped": 1}
    assert client.operate("count", states=["dead"])["count"] == 1001


def test_what_is_left_out_is_counted_once(client: Client, server: ServerProcess) -> None:
    client.submit_background("photo", unique="u")
    letters = dead_letters(client, server, *["x"] * 1100)
    client.submit_background("photo", unique="u")

    def some_go() -> bool:
        return all(client.operate("purge", handle=handle) for handle in letters[-2:])

    with relayed(server.address, b'{"count":999', some_go) as relay:
        ran = gearpy("dead", "retry", "--all", "--yes", "--json", server=relay)
    assert json.loads(ran.stdout) == {"count": 1098, "skipped": 1}


@pytest.mark.parametrize("text", ["", "x", "-1", "5y", "1 2", "1e3", "9" * 400, "1s1"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write it like 90, 30s, 5m, 2h or 7d"):
        read_duration(text)


def test_durations() -> None:
    texts = ("90", "30s", "1.5m", "2h", "7 d", "1w")
    assert [read_duration(text) for text in texts] == [90, 30, 90, 7200, 604800, 604800]


@contextlib.contextmanager
def relayed(server: str, words: bytes, then: Callable[[], bool]) -> Iterator[str]:
    """A relay to a server.  Once the server has said these words something happens, which tells
    whether the relay goes on after that, or hangs up."""
    host, _, port = server.rpartition(":")

    def relay(listener: socket.socket) -> None:
        near, _ = listener.accept()
        listener.close()  # whoever comes again finds nobody
        with near, socket.create_connection((host, int(port))) as far:
            said = b""
            while True:
                for end in select.select([near, far], [], [], LIMIT_S)[0]:
                    piece = end.recv(65536)
                    said += piece if end is far else b""
                    goes_on = bool(piece) and (words not in said or then())
                    said = b"" if words in said else said
                    (far if end is near else near).sendall(piece)
                    if not goes_on:
                        return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=relay, args=(listener,))
        thread.start()
        yield address
        thread.join(LIMIT_S)


@pytest.mark.parametrize(
    "command",
    [
        ["jobs", "--state", "asleep"],
        ["jobs", "--older-than", "soon"],
        ["jobs", "--limit", "0"],
        ["peek", "f", "--limit", "1001"],
        ["cancel"],
        ["cancel", "--yes"],
        ["cancel", "H:1", "--function", "f"],
        ["retry", "H:1", "--all"],
        ["retry", "--state", "completed"],
        ["clear"],
        ["cleanup"],
        ["policy", "set", "f"],
        ["policy", "set", "f", "attempts=3", "--unset"],
        ["policy", "set", "f", "attempts"],
        ["policy", "set", "f", "attempts=x"],
        ["policy", "set", "f", "tries=3"],
    ],
    ids=" ".join,
)
def test_bad_usage(command: list[str]) -> None:
    with pytest.raises(click.UsageError) as refused:
        group.main(command, standalone_mode=False)
    assert refused.value.exit_code == 2
    assert refused.value.ctx is not None
