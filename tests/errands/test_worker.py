"""``gearpy worker --http --exec``: the real program, a real server, and somebody who is called."""

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gearpy.callbacks import verify_callback
from gearpy.client import Client
from gearpy.errands.orders import Command, Request
from gearpy.errors import GearpyError
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.cli.command import gearpy, start
from tests.errands.receiver import Answer, Asked, Receiver, nobody, receiving, redirect
from tests.errands.test_commands import Note
from tests.waiting import eventually

LIMIT_S = 30.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVERY_STATE = (
    *("queued", "delayed", "running", "retrying"),
    *("completed", "failed", "dead", "cancelled", "expired"),
)
HTTP = ("--http", "--allow-host", "127.0.0.0/8")
EXEC = (
    "--exec",
    "--allow-command",
    "sh=/bin/sh -c",
    "--allow-command",
    f"python={shlex.quote(sys.executable)} -c",
)


@pytest.fixture
def calling() -> Iterator[ServerProcess]:
    """A server that calls URLs back."""
    with ServerProcess("--callback-secret", SECRET) as server:
        yield server


@pytest.fixture
def client(calling: ServerProcess) -> Iterator[Client]:
    with Client(calling.address) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@contextmanager
def worker(server: ServerProcess, folder: Path, *arguments: str) -> Iterator[Path]:
    """A worker for errands until the end of the block, after which it must end well.  Gives its
    log."""
    path = folder / "worker.log"
    fixed = ("worker", "--processes", "1", "--servers", server.address)
    with path.open("ab") as log:
        process = start(*fixed, *arguments, stderr=log.fileno(), folder=folder)
    try:
        yield path
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0, path.read_text()
    finally:
        process.kill()
        process.communicate()


def look(client: Client, handle: str) -> dict[str, Any]:
    job: dict[str, Any] = client.operate("job", handle=handle)["job"]
    return job


def ended(client: Client, handle: str, state: str, log: Path) -> dict[str, Any]:
    """A job, once it is in this state."""
    eventually(lambda: look(client, handle)["state"], state, lambda: log.read_text())
    return look(client, handle)


def jobs(client: Client, function: str = "gearpy.http") -> list[dict[str, Any]]:
    """All jobs of a function, whatever became of them."""
    found: list[dict[str, Any]] = client.operate(
        "jobs", function=function, states=list(EVERY_STATE), limit=1000
    )["jobs"]
    return found


def request(url: str, **more: Any) -> bytes:
    return Request(url=url, timeout_s=LIMIT_S, **more).payload()


def shell(text: str, **more: Any) -> bytes:
    return Command(name="sh", arguments=(text,), **{"timeout_s": LIMIT_S, **more}).payload()


def do(server: ServerProcess, function: str, act: Any) -> None:
    """The jobs of another function, as far as there are any, in this process."""
    made = Worker(server.address)
    made.register(function, act)
    made.run(burst=True)


def told(asked: Asked) -> dict[str, Any]:
    """What a callback says, if it is signed well."""
    return verify_callback(SECRET, asked.headers, asked.body)


# ---- errands


def test_results_are_kept_with_their_jobs(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers(Answer(body=b"caf\xc3\xa9", headers={"etag": "7"}))
    asked = client.submit_background(
        "gearpy.http", request(f"{receiver.url}/a", method="POST", params={"id": 7})
    )
    ran = client.submit_background("gearpy.exec", shell("cat; printf '\\377' >&2", stdin=b"hello"))
    with worker(calling, tmp_path, *HTTP, *EXEC) as log:
        job = ended(client, asked, "completed", log)
        response = json.loads(job["result"])
        assert (response["status"], response["body"]) == (200, "café")
        assert response["url"] == f"{receiver.url}/a"
        assert response["headers"]["etag"] == "7"
        job = ended(client, ran, "completed", log)
        assert json.loads(job["result"]) == {
            "exit_code": 0,
            "stdout": "hello",
            "stderr_base64": "/w==",
        }
    [request_] = receiver.asked
    assert (request_.method, request_.body) == ("POST", b"id=7")


def test_so_are_those_of_errands_that_did_not_go_well(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers(Answer(503, b"later"))
    asked = client.submit_background("gearpy.http", request(receiver.url))
    ran = client.submit_background("gearpy.exec", shell("echo out; echo no photo >&2; exit 3"))
    with worker(calling, tmp_path, *HTTP, *EXEC) as log:
        job = ended(client, asked, "failed", log)
        assert job["error"] == f"GET {receiver.url} was answered with 503: later"
        assert json.loads(job["result"])["status"] == 503
        job = ended(client, ran, "failed", log)
        assert job["error"] == "sh ended with exit code 3: no photo"
        assert json.loads(job["result"]) == {
            "exit_code": 3,
            "stdout": "out\n",
            "stderr": "no photo\n",
        }
    assert "Traceback" not in log.read_text()
    assert f"job {ran}: gearpy.exec failed: sh ended with exit code 3" in log.read_text()


def test_each_attempt_has_a_result_of_its_own(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers(Answer(500, b"first"), Answer(500, b"second"), Answer(body=b"third"))
    handle = client.submit_background("gearpy.http", request(receiver.url), attempts=2, backoff=[0])
    with worker(calling, tmp_path, *HTTP) as log:
        job = ended(client, handle, "dead", log)
        assert json.loads(job["result"])["body"] == "second"
        assert ["first" in job["log"][0]["error"], len(job["log"])] == [True, 2]
        client.operate("retry", handle=handle)
        job = ended(client, handle, "completed", log)
        assert json.loads(job["result"])["body"] == "third"


@pytest.mark.parametrize(
    ("function", "payload", "says"),
    [
        ("gearpy.http", b"", "the payload is no JSON"),
        ("gearpy.http", b'{"url": "http://10.0.0.1/"}', "requests to 10.0.0.1:80 are not allowed"),
        ("gearpy.http", b'{"url": "http://a/", "timeout_s": ' + b"9" * 400 + b"}", "it is above 0"),
        ("gearpy.http", b'{"url": "http://127.0.0.1:99999999999999999999/"}', "is no URL"),
        ("gearpy.exec", b'{"command": "rm"}', "the command 'rm' is not allowed here"),
        ("gearpy.exec", b'{"command": "lost"}', "/lost can't be started"),
        ("gearpy.exec", b'{"command": "sh", "arguments": ["\\u0000"]}', "holds a NUL"),
        (
            "gearpy.exec",
            b'{"command": "sh", "arguments": ["exit 1"], "timeout_s": "x"}',
            "timeout_s",
        ),
        ("gearpy.exec", b'{"command": "\\ud800"}', "half a character"),
    ],
)
def test_what_can_not_be_done_is_a_sentence(
    function: str, payload: bytes, says: str, shared: ServerProcess, client_of_shared: Client
) -> None:
    handle = client_of_shared.submit_background(function, payload)
    job = ended(client_of_shared, handle, "failed", Path("/dev/null"))
    assert says in job["error"]
    assert "Error" not in job["error"]
    assert "result" not in job


def test_a_command_that_takes_too_long_leaves_what_it_wrote(client_of_shared: Client) -> None:
    payload = shell("echo begun; exec sleep 99", timeout_s=1.0)
    handle = client_of_shared.submit_background("gearpy.exec", payload)
    job = ended(client_of_shared, handle, "failed", Path("/dev/null"))
    assert "took longer than 1 s" in job["error"]
    report = json.loads(job["result"])
    assert (report["exit_code"], report["stdout"]) == (-signal.SIGTERM, "begun\n")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a worker, for tests that leave nothing behind."""
    folder = tmp_path_factory.mktemp("shared")
    lost = folder / "lost"
    lost.write_text("#!/nowhere/interpreter\n")
    lost.chmod(0o755)
    allowed = (*HTTP, *EXEC, "--allow-command", f"lost={lost}")
    with ServerProcess() as server:
        with worker(server, folder, *allowed) as log:
            yield server
        assert "Traceback" not in log.read_text()


@pytest.fixture
def client_of_shared(shared: ServerProcess) -> Iterator[Client]:
    with Client(shared.address) as made:
        yield made


def test_much_output_is_cut_and_a_large_answer_is_refused(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers(Answer(body=b"x" * 1001))
    asked = client.submit_background("gearpy.http", request(receiver.url))
    ran = client.submit_background("gearpy.exec", shell("printf %02000d 7"))
    with worker(calling, tmp_path, *HTTP, *EXEC, "--max-output", "1000") as log:
        job = ended(client, asked, "failed", log)
        assert job["error"] == f"the answer of {receiver.url} has more than 1,000 bytes"
        job = ended(client, ran, "completed", log)
        result = json.loads(job["result"])
        assert (len(result["stdout"]), result["stdout_cut"]) == (1000, True)


def groups(client: Client) -> set[str]:
    """What workers call themselves who have said so."""
    workers = client.operate("workers")["workers"]
    return {each["state"]["group"] for each in workers if each["state"]}


def test_a_worker_does_what_it_was_made_for_and_no_other_errands(
    client: Client, calling: ServerProcess, tmp_path: Path
) -> None:
    """And says so with the name of its group."""
    with worker(calling, tmp_path, *EXEC) as log:
        ran = client.submit_background("gearpy.exec", shell("exit 0"))
        asked = client.submit_background("gearpy.http", request("http://127.0.0.1/"))
        ended(client, ran, "completed", log)
        eventually(lambda: groups(client), {"exec"}, log.read_text)
        workers = client.operate("workers")["workers"]
        assert [each["functions"] for each in workers if each["functions"]] == [["gearpy.exec"]]
        assert look(client, asked)["state"] == "queued"
    with worker(calling, tmp_path, *HTTP, *EXEC, "--group", "both"):
        eventually(lambda: look(client, asked)["state"], "failed", lambda: log.read_text())
        eventually(lambda: groups(client), {"both"}, log.read_text)


def test_a_cancelled_job_takes_its_command_along(
    client: Client, calling: ServerProcess, tmp_path: Path
) -> None:
    note = Note(tmp_path / "pids")
    text = f"echo $$ >>{note}; sleep 1000 & echo $! >>{note}; wait"
    handle = client.submit_background("gearpy.exec", shell(text, timeout_s=1000))
    with worker(calling, tmp_path, *EXEC) as log:
        eventually(lambda: len(note.pids()), 2, lambda: log.read_text())
        client.operate("cancel", handle=handle)
        note.wait_until_gone()
        other = client.submit_background("gearpy.exec", shell("exit 0"))
        ended(client, other, "completed", log)


def test_a_command_is_killed_with_its_worker(
    client: Client, calling: ServerProcess, tmp_path: Path
) -> None:
    note = Note(tmp_path / "pids")
    text = f"echo $$ >>{note}; echo $PPID >>{note}; exec sleep 1000"
    handle = client.submit_background("gearpy.exec", shell(text, timeout_s=1000))
    with worker(calling, tmp_path, *EXEC) as log:
        eventually(lambda: len(note.pids()), 2, lambda: log.read_text())
        client.operate("pause", function="gearpy.exec")  # nobody is given it once more
        os.kill(note.pids()[1], signal.SIGKILL)
        note.wait_until_gone()
        eventually(lambda: look(client, handle)["state"], "queued", lambda: log.read_text())


def test_commands_end_with_their_worker(
    client: Client, calling: ServerProcess, tmp_path: Path
) -> None:
    """Where they have no time to finish: also one that does not want to."""
    note = Note(tmp_path / "pids")
    text = f"trap '' TERM; echo $$ >>{note}; sleep 1000 & echo $! >>{note}; wait; sleep 1000"
    handle = client.submit_background("gearpy.exec", shell(text, timeout_s=1000))
    with worker(calling, tmp_path, *EXEC, "--stop-timeout", "0.1s") as log:
        eventually(lambda: len(note.pids()), 2, lambda: log.read_text())
    note.wait_until_gone()
    assert look(client, handle)["state"] == "queued"


# ---- callbacks


def test_a_url_is_told_how_a_job_completed(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    url = f"{receiver.url}/done?order=7"
    handle = client.submit_background(
        "index", b"4711", callback=url, labels={"user": "ann"}, unique="u1"
    )
    do(calling, "index", lambda job: b"\xff result")
    with worker(calling, tmp_path, *HTTP) as log:
        [asked] = receiver.wait_for(1)
        assert (asked.method, asked.target) == ("POST", "/done?order=7")
        assert asked.headers["content-type"] == "application/json"
        body = told(asked)
        assert body.pop("created_s") <= body.pop("ended_s")
        assert body == {
            "handle": handle,
            "function": "index",
            "unique": "u1",
            "labels": {"user": "ann"},
            "state": "completed",
            "reason": "",
            "attempts": 1,
            "error": "",
            "result_base64": "/yByZXN1bHQ=",
        }
        [call] = jobs(client)
        ended(client, call["handle"], "completed", log)
    assert len(receiver.asked) == 1


def fail(job: Job) -> bytes:
    raise ValueError("no such photo")


def test_a_url_is_told_of_every_other_end_too(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    def submit(name: str, **options: Any) -> str:
        return client.submit_background("end", name, callback=f"{receiver.url}/{name}", **options)

    cancelled = submit("cancelled")
    client.operate("cancel", handle=cancelled)
    expired = submit("expired", expires_s=0.05)
    eventually(lambda: len(jobs(client)), 2)
    failed = submit("failed")
    dead = submit("dead", attempts=2, backoff=[0])
    do(calling, "end", fail)
    with worker(calling, tmp_path, *HTTP):
        bodies = {asked.target: told(asked) for asked in receiver.wait_for(4)}
        assert {body["handle"]: body["state"] for body in bodies.values()} == {
            cancelled: "cancelled",
            expired: "expired",
            failed: "failed",
            dead: "dead",
        }
        assert bodies["/failed"]["error"] == bodies["/dead"]["error"] == "ValueError: no such photo"
        assert (bodies["/failed"]["attempts"], bodies["/dead"]["attempts"]) == (1, 2)
        client.operate("retry", handle=dead)
        do(calling, "end", lambda job: "well")
        [*_, last] = receiver.wait_for(5)
        assert (told(last)["state"], told(last)["handle"]) == ("completed", dead)
    ids = [asked.headers["webhook-id"] for asked in receiver.asked]
    assert len(set(ids)) == len(ids) == 5


def test_an_errand_is_called_back_as_any_job_is(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    text = shell("echo out; exit 3")
    client.submit_background("gearpy.exec", text, callback=receiver.url)
    with worker(calling, tmp_path, *HTTP, *EXEC):
        [asked] = receiver.wait_for(1)
    body = told(asked)
    assert (body["state"], body["error"]) == ("failed", "sh ended with exit code 3")
    assert json.loads(body["result"]) == {"exit_code": 3, "stdout": "out\n", "stderr": ""}


def test_another_job_may_follow_in_place_of_a_call(
    client: Client, calling: ServerProcess, tmp_path: Path
) -> None:
    client.submit_background(
        "index", callback={"function": "gearpy.exec", "data": shell("echo followed")}
    )
    do(calling, "index", lambda job: b"")
    with worker(calling, tmp_path, *EXEC) as log:
        [call] = jobs(client, "gearpy.exec")
        job = ended(client, call["handle"], "completed", log)
    assert json.loads(job["result"])["stdout"] == "followed\n"


def test_one_that_is_not_well_is_called_again(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    """With the same id and the same words: it can tell that it has heard them before."""
    receiver.answers(Answer(500, b"down"), Answer(500, b"down"), Answer())
    client.submit_background("index", callback=receiver.url)
    do(calling, "index", lambda job: b"done")
    [call] = jobs(client)
    with worker(calling, tmp_path, *HTTP) as log:
        for times in (1, 2):
            receiver.wait_for(times)
            job = ended(client, call["handle"], "retrying", log)
            assert (job["attempts"], job["attempts_max"]) == (times, 10)
            assert "was answered with 500: down" in job["error"]
            assert job["due_s"] - job["since_s"] > 4
            client.operate("retry", handle=call["handle"])
        first, second, third = receiver.wait_for(3)
        ended(client, call["handle"], "completed", log)
    assert first == second == third
    assert told(third)["result"] == "done"


def test_a_redirect_is_no_delivery(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers(redirect("/login"))
    client.submit_background("index", callback=receiver.url)
    do(calling, "index", lambda job: b"done")
    [call] = jobs(client)
    with worker(calling, tmp_path, *HTTP) as log:
        job = ended(client, call["handle"], "retrying", log)
    assert job["error"].endswith("was answered with 302")
    assert len(receiver.asked) == 1


def test_a_worker_with_the_secret_signs_each_attempt(
    client: Client, calling: ServerProcess, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers(Answer(500), Answer())
    client.submit_background("index", callback=receiver.url)
    do(calling, "index", lambda job: b"done")
    [call] = jobs(client)
    with worker(calling, tmp_path, *HTTP, "--callback-secret", SECRET) as log:
        ended(client, call["handle"], "retrying", log)
        signed_s = int(receiver.asked[0].headers["webhook-timestamp"])
        eventually(lambda: time.time() >= signed_s + 1, True, log.read_text)  # whole seconds
        client.operate("retry", handle=call["handle"])
        ended(client, call["handle"], "completed", log)
        forged = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,eA=="}
        client.submit_background(
            "gearpy.http", request(receiver.url, method="POST", headers=forged, body=b"{}")
        )
        receiver.wait_for(3)
    ours = [asked for asked in receiver.asked if asked.headers["webhook-id"] != "x"]
    first, second = (int(asked.headers["webhook-timestamp"]) for asked in ours)
    assert first < second
    assert ours[0].headers["webhook-id"] == ours[1].headers["webhook-id"] == call["handle"]
    assert told(ours[0]) == told(ours[1])
    [other] = [asked for asked in receiver.asked if asked.headers["webhook-id"] == "x"]
    assert other.headers["webhook-signature"] == "v1,eA==", "what it did not make it does not sign"


def test_one_that_is_not_there_is_not_forgotten(
    client: Client, calling: ServerProcess, tmp_path: Path
) -> None:
    client.submit_background("index", callback=f"{nobody()}/done")
    do(calling, "index", lambda job: b"done")
    [call] = jobs(client)
    with worker(calling, tmp_path, *HTTP) as log:
        job = ended(client, call["handle"], "retrying", log)
        assert "/done failed: " in job["error"]
        for _ in range(9):
            client.operate("retry", handle=call["handle"])
            eventually(lambda: look(client, call["handle"])["state"] in ("retrying", "dead"), True)
        job = ended(client, call["handle"], "dead", log)
    assert job["attempts"] == 10
    assert json.loads(job["payload"])["url"].endswith("/done")


def test_nobody_is_called_by_a_server_without_a_secret(
    server: ServerProcess, receiver: Receiver
) -> None:
    done = gearpy("submit", "f", "--background", "--callback", receiver.url, server=server.address)
    assert done.returncode == 1
    assert b"it has no --callback-secret" in done.stderr


# ---- when the server is killed


@pytest.mark.parametrize("is_written", [True, False])
def test_a_callback_is_there_exactly_once_after_a_kill(
    is_written: bool, receiver: Receiver, tmp_path: Path
) -> None:
    """That the job ended and that its callback is there become durable together, or not at all:
    then the job is done once more."""
    flags = ("--callback-secret", SECRET, "--journal", str(tmp_path / "jobs.db"))
    with ServerProcess(*flags) as server:
        with Client(server.address) as client:
            handle = client.submit_background("index", callback=receiver.url)
            do(server, "index", lambda job: b"done")
            if is_written:
                client.submit_background("other")  # and so all of this is on the disk
        server.kill()
        server.start()
        with Client(server.address) as client:
            found = [job["handle"] for job in jobs(client, "index")]
            calls = jobs(client)
            assert len(found) + len(calls) == 1
            assert not (is_written and found)
        server.kill()
        server.start()
        do(server, "index", lambda job: b"done")
        with worker(server, tmp_path, *HTTP) as log, Client(server.address) as client:
            receiver.wait_for(1)
            [call] = jobs(client)
            ended(client, call["handle"], "completed", log)
            assert jobs(client, "index") == []
    [asked] = receiver.asked
    assert (told(asked)["handle"], told(asked)["result"]) == (handle, "done")


def test_many_callbacks_are_there_exactly_once_after_a_kill(tmp_path: Path) -> None:
    """Killed in the midst of their jobs' ends."""
    flags = ("--callback-secret", SECRET, "--journal", str(tmp_path / "jobs.db"))
    with ServerProcess(*flags) as server:
        with Client(server.address) as client:
            handles = [
                client.submit_background("index", callback="http://127.0.0.1:1/")
                for _ in range(200)
            ]
        seen = 0

        def end(job: Job) -> bytes:
            nonlocal seen
            seen += 1
            if seen == 150:
                server.kill()
            return b"done"

        made = Worker(server.address, reconnect=False)
        made.register("index", end)
        with pytest.raises(GearpyError, match="connection"):
            made.run(burst=True)
        server.start()
        with Client(server.address) as client:
            left = [job["handle"] for job in jobs(client, "index")]
            called = [json.loads(look(client, job["handle"])["payload"]) for job in jobs(client)]
            told = [json.loads(request["body"])["handle"] for request in called]
            assert sorted(left + told) == sorted(handles)


# ---- usage


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--processes", "1"], "say which worker: MODULE:NAME, or --http or --exec"),
        (["--http"], "--http does nothing until --allow-host says what is allowed"),
        (["--exec"], "--exec does nothing until --allow-command says what is allowed"),
        (["--http", "--exec", "--allow-host", "a"], "--exec does nothing until --allow-command"),
        (
            ["--exec", "--allow-command", "a=b", "--allow-host", "a"],
            "--allow-host is given without",
        ),
        (
            ["--http", "--allow-host", "a", "--allow-command", "a=b"],
            "--allow-command is given witho",
        ),
        (["shop:worker", "--allow-host", "a"], "--allow-host is given without --http"),
        (["shop:worker", "--allow-command", "a=b"], "--allow-command is given without --exec"),
        (["shop:worker", "--http", "--allow-host", "a"], "a worker of their own, beside shop:work"),
        (
            ["shop:worker", "--exec", "--allow-command", "a=b"],
            "a worker of their own, beside shop:w",
        ),
        (["--http", "--allow-host", "http://a/"], "'http://a/' is no host"),
        (["--http", "--allow-host", ""], "'' is no host"),
        (["--http", "--allow-host", "a:99999"], "has no port from 1 to 65535"),
        (["--exec", "--allow-command", "a"], "'a' is no command: write NAME=/path/to/program"),
        (["--exec", "--allow-command", "a="], "'a=' names no program"),
        (["--exec", "--allow-command", "a='b"], "can't be split into words"),
        (["--exec", *["--allow-command", "a=b"] * 2], "the command 'a' is allowed twice"),
        (["--http", "--allow-host", "a", "--max-output", "0"], "0 is not in the range x>=1"),
    ],
)
def test_bad_usage_is_exit_2_and_a_sentence(arguments: list[str], why: str) -> None:
    done = gearpy("worker", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    told = " ".join(done.stderr.decode().split())
    assert told.startswith("Usage: gearpy worker")
    assert why in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("/nowhere/program", "/nowhere/program is not there"),
        ("./program", "./program is not there"),
        ("/etc", "/etc is a folder"),
        ("/dev/null", "/dev/null may not be executed"),
        ("no-such-program", "no program 'no-such-program' is in the PATH"),
    ],
)
def test_a_command_that_can_not_be_run_here_is_said_at_once(program: str, why: str) -> None:
    """A worker that started would take its jobs, and fail them all."""
    allowed = ("--allow-command", "sh=sh -c", "--allow-command", f"x={program} --width 200")
    for command in (("worker", "--exec", "--processes", "1"), ("run", "H:1")):
        done = gearpy(*command, *allowed)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode() == f"gearpy: the command 'x' can't be run: {why}\n"


def test_bytes_that_are_no_text_are_allowed_like_any(tmp_path: Path, server: ServerProcess) -> None:
    program = tmp_path / "größe\udcff"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    with Client(server.address) as client:
        handle = client.submit_background("gearpy.exec", Command(name="\udcff").payload())
        with worker(server, tmp_path, "--exec", "--allow-command", f"\udcff={program}") as log:
            job = ended(client, handle, "completed", log)
    assert json.loads(job["result"])["stdout"] == "hello\n"
