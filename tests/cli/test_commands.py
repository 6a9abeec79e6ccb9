"""The ``gearpy`` command as a process, against a real server."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from gearpy.client import Client
from gearpy.protocol import packets as p
from gearpy.testing.process import ServerProcess
from gearpy.version import VERSION
from gearpy.worker import Job, Worker
from tests.cli.command import GEARPY, LIMIT_S, gearpy, rows, start
from tests.server.peer import RawPeer
from tests.workers import working

# ---- submit


def test_the_result_goes_to_standard_output_unchanged(server: ServerProcess) -> None:
    everything = bytes(range(256))
    with working(server.address, same=lambda job: job.data):
        done = gearpy("submit", "same", "größe\n", "--server", server.address)
        assert (done.returncode, done.stdout, done.stderr) == (0, "größe\n".encode(), b"")
        done = gearpy("submit", "same", b"\xff\xfe", server=server.address)
        assert (done.returncode, done.stdout) == (0, b"\xff\xfe")
        done = gearpy("submit", "same", "-", server=server.address, stdin=everything)
        assert (done.returncode, done.stdout) == (0, everything)
        done = gearpy("submit", "same", server=server.address, stdin=everything)
        assert (done.returncode, done.stdout) == (0, everything)


def test_background_priority_and_unique(server: ServerProcess) -> None:
    seen: list[tuple[bytes, str]] = []
    finished = threading.Semaphore(0)

    def keep(job: Job) -> None:
        seen.append((job.data, job.unique))
        finished.release()

    def submit(*arguments: str) -> str:
        done = gearpy("submit", "keep", *arguments, "--background", server=server.address)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    low = submit("low", "--priority", "low", "--unique", "u1")
    assert submit("again", "--unique", "u1") == low
    submit("normal")
    submit("high", "--priority", "high")
    with Client(server.address) as client:
        assert client.status(low.removesuffix("\n")).known
    with working(server.address, keep=keep):
        for _ in range(3):
            assert finished.acquire(timeout=LIMIT_S)
    assert seen == [(b"high", ""), (b"normal", ""), (b"low", "u1")]


def test_a_failed_job_is_a_sentence_and_exit_1(server: ServerProcess) -> None:
    def fails(job: Job) -> None:
        raise ValueError("no such photo")

    with working(server.address, fails=fails):
        done = gearpy("submit", "fails", server=server.address)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.endswith(b" failed: ValueError: no such photo\n")
    assert done.stderr.count(b"\n") == 1


def test_warnings_go_to_standard_error(server: ServerProcess) -> None:
    def careful(job: Job) -> bytes:
        job.progress(1, 2)  # of which nothing is seen where standard error is no terminal
        job.warn("one")
        job.warn("two\n")
        return b"done"

    with working(server.address, careful=careful):
        done = gearpy("submit", "careful", server=server.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"done", b"one\ntwo\n")


def test_progress_is_shown_on_a_terminal(server: ServerProcess) -> None:
    def steps(job: Job) -> bytes:
        job.progress(1, 4)
        job.progress(3, 0)
        return b"done"

    reader, terminal = pty.openpty()
    with working(server.address, steps=steps), open(reader, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [*GEARPY, "submit", "steps", "x", "--server", server.address],
            stdout=subprocess.PIPE,
            stderr=terminal,
        )
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux says that the terminal was closed
            while piece := screen.read(4096):
                shown += piece
        assert process.communicate(timeout=LIMIT_S)[0] == b"done"
    assert shown == b"\r\x1b[K1/4 (25 %)\r\x1b[K3/0\r\x1b[K"


def test_a_result_that_does_not_come_in_time(server: ServerProcess) -> None:
    done = gearpy("submit", "nobody", "--timeout", "0.01", server=server.address)
    assert done.returncode == 1
    assert b"did not come within 0.01 s" in done.stderr


def test_a_refused_job(server: ServerProcess) -> None:
    done = gearpy("submit", "f", "--unique", "u" * 65, server=server.address)
    assert done.returncode == 1
    assert b"gearpy: the server answered ARGUMENT_TOO_LARGE" in done.stderr


def test_the_server_goes_away(server: ServerProcess) -> None:
    def kill(job: Job) -> None:
        server.kill()

    worker = Worker(server.address, reconnect=False)
    worker.register("kill", kill)
    thread = threading.Thread(target=_run_to_any_end, args=(worker,))
    thread.start()
    done = gearpy("submit", "kill", server=server.address)
    thread.join(LIMIT_S)
    assert (done.returncode, done.stdout) == (1, b"")
    assert server.address.encode() in done.stderr
    assert b"Traceback" not in done.stderr


def _run_to_any_end(worker: Worker) -> None:
    with contextlib.suppress(Exception):
        worker.run()


def test_an_interrupt_is_exit_130_without_a_traceback(server: ServerProcess) -> None:
    entered, going = threading.Event(), threading.Event()

    def held(job: Job) -> None:
        entered.set()
        assert going.wait(LIMIT_S)

    process = start("submit", "held", "x", "--server", server.address)
    with working(server.address, held=held):
        assert entered.wait(LIMIT_S)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=LIMIT_S)
        going.set()
    assert process.returncode == 130
    assert [stream.strip() for stream in output] == [b"", b""]


# ---- reports


def test_status(server: ServerProcess) -> None:
    entered, going = threading.Event(), threading.Event()

    def held(job: Job) -> None:
        entered.set()
        assert going.wait(LIMIT_S)

    empty = gearpy("status", server=server.address)
    assert (empty.returncode, empty.stderr) == (0, b"")
    assert empty.stdout.decode().splitlines() == [
        f"gearpy-server {VERSION}; no journal: jobs are kept in memory only",
        "No functions: no job waits and no worker has registered.",
    ]
    with Client(server.address) as client:
        for _ in range(3):
            client.submit_background("held")
        client.submit_background("[red]not markup")
        client.submit_background("x" * 200)
        with working(server.address, held=held):
            assert entered.wait(LIMIT_S)
            shown = gearpy("status", server=server.address)
            going.set()
    assert (shown.returncode, shown.stderr) == (0, b"")
    headings, *functions = rows(shown.stdout)[1:]
    assert headings[1:] == ["Queued", "Delayed", "Retrying", "Running", "Dead", "Workers", "Note"]
    assert [row[:-2] for row in functions] == [
        ["[red]not", "markup", "1", "0", "0", "0", "0", "0", "oldest", "waits", "for"],
        ["held", "2", "0", "0", "1", "0", "1", "oldest", "waits", "for"],
        ["x" * 200, "1", "0", "0", "0", "0", "0", "oldest", "waits", "for"],
    ]


def test_workers(server: ServerProcess) -> None:
    empty = gearpy("workers", server=server.address)
    assert (empty.returncode, empty.stdout) == (0, b"No workers are connected.\n")

    with RawPeer((server.host, server.port)) as silent:  # says nothing of itself
        silent.send(p.CAN_DO, b"upper")
        silent.send(p.CAN_DO, b"lower")
        silent.send(p.ECHO_REQ, b"")
        silent.expect(p.ECHO_RES)
        shown = gearpy("workers", server=server.address)
        as_json = gearpy("workers", "--json", server=server.address)
    summary, heading, row = rows(shown.stdout)
    assert summary == ["1", "worker"]
    assert heading == ["Worker", "Functions", "Runs"]
    assert row[1:] == ["lower,", "upper"]
    (worker,) = json.loads(as_json.stdout)["workers"]
    assert worker.pop("connection") > 0
    assert worker.pop("peer") == row[0]
    assert worker == {
        "address": "127.0.0.1",
        "client_id": "-",
        "worker": row[0],
        "functions": ["lower", "upper"],
        "running": [],
        "state": None,
        "state_age_s": None,
        "missed": False,
    }


def test_workers_that_say_how_they_are(server: ServerProcess) -> None:
    state = {
        "group": "thumbs[red]",
        "memory_bytes": 80_000_000,
        "jobs_done": 1_234,
        "interval_s": 0.001,
        "stopping": True,
    }
    with RawPeer((server.host, server.port)) as worker, Client(server.address) as client:
        worker.send(p.SET_CLIENT_ID, b"box\xff")
        worker.send(p.CAN_DO, b"f")
        worker.send(p.WORKER_STATE, json.dumps(state).encode())
        handle = client.submit_background("f")
        worker.send(p.GRAB_JOB)
        worker.expect(p.JOB_ASSIGN)
        while not client.operate("workers")["workers"][0]["missed"]:
            pass
        shown = gearpy("workers", server=server.address)
        as_json = gearpy("workers", "--json", server=server.address)
    assert (shown.returncode, shown.stderr) == (0, b"")
    summary, heading, row = rows(shown.stdout)
    assert " ".join(summary) == "1 worker; 1 of them runs 1 job; 1 missed its heartbeat"
    assert " ".join(heading) == "Worker Group Functions Runs Memory Done Heartbeat Note"
    assert row[0] == "box\\xff"
    words = re.sub(r"\b\d+ s\b", "N s", " ".join(row[2:]))
    assert words == (
        f"thumbs[red] f {handle} f for N s 80.0 MB 1,234 N s ago stopping, missed its heartbeat"
    )
    (found,) = json.loads(as_json.stdout)["workers"]
    assert (found["state"], found["client_id"]) == (state, "box\udcff")


def test_workers_of_another_server(server: ServerProcess) -> None:
    report = b"31 127.0.0.1 - : \n32 127.0.0.1 box : f g\n.\n"
    with peer(report, connections=4) as address:
        shown = gearpy("workers", server=address)
        as_json = gearpy("workers", "--json", server=address)
    heading, row = rows(shown.stdout)
    assert heading == ["Connection", "Address", "Client", "id", "Functions"]
    assert row == ["32", "127.0.0.1", "box", "f,", "g"]
    assert json.loads(as_json.stdout) == {
        "workers": [
            {
                "connection": 32,
                "address": "127.0.0.1",
                "client_id": "box",
                "functions": ["f", "g"],
            }
        ]
    }


def test_version(server: ServerProcess) -> None:
    shown = gearpy("version", server=server.address)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert rows(shown.stdout) == [["Server", "Version"], [server.address, VERSION]]
    as_json = gearpy("version", "--json", server=server.address)
    assert json.loads(as_json.stdout) == {"server": server.address, "version": VERSION}


@contextlib.contextmanager
def peer(answer: bytes, connections: int = 1) -> Iterator[str]:
    """Something that answers whatever it is sent with ``answer``, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(connections):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(LIMIT_S)


@pytest.mark.parametrize(
    ("command", "answer", "sentence"),
    [
        ("status", b"HTTP/1.1 400 Bad Request\n.\n", b"is not a Gearman server's report"),
        ("workers", b"HTTP/1.1 400 Bad Request\n.\n", b"is not a Gearman server's report"),
        (
            "status",
            b"ERR UNKNOWN_COMMAND Unknown+server+command\n",
            b"UNKNOWN_COMMAND: Unknown ser",
        ),
        ("status", b"f\t1\t0\t1\n", b"closed the connection"),
        ("status", b"\0RES" + bytes(8), b"with a packet, not with text"),
        ("version", b"\0BAD" + bytes(8), b"does not speak Gearman"),
        ("version", b"", b"closed the connection"),
    ],
)
def test_an_answer_that_is_none(command: str, answer: bytes, sentence: bytes) -> None:
    with peer(answer) as address:
        done = gearpy(command, server=address)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"gearpy: ")
    assert sentence in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_reports_of_other_servers_are_shown_safely() -> None:
    with peer(b"clear\x1b[2J\xc2\x9b\xff\t2\t1\t0\n.\n", connections=4) as address:
        done = gearpy("status", server=address)
        as_json = gearpy("status", "--json", server=address)
    assert rows(done.stdout) == [
        ["Function", "Waiting", "Running", "Workers"],
        ["clear\\x1b[2J\\x9b\\xff", "1", "1", "0"],
    ]
    assert json.loads(as_json.stdout) == {
        "server": None,
        "functions": [
            {"function": "clear\x1b[2J\x9b\udcff", "waiting": 1, "running": 1, "workers": 0}
        ],
    }
    with peer(b"0.7\n") as address:
        assert rows(gearpy("version", server=address).stdout)[1] == [address, "0.7"]


# ---- the command itself


@pytest.mark.parametrize(
    "command", [["status"], ["workers"], ["version"], ["submit", "f", "x"], ["jobs", "--json"]]
)
def test_nobody_listens(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = gearpy(*command, "--server", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"gearpy: no Gearman server answers at 127.0.0.1:%d" % port)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["nonsense"],
        ["submit"],
        ["submit", "f", "x", "y"],
        ["submit", "f", "x", "--priority", "urgent"],
        ["submit", "f", "x", "--timeout", "0"],
        ["status", "--server", "1:2:3"],
        ["status", "extra"],
    ],
)
def test_bad_usage_is_exit_2(command: list[str]) -> None:
    done = gearpy(*command)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Usage: gearpy" in done.stderr


def test_an_output_that_cannot_be_written(server: ServerProcess) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*GEARPY, "version", "--server", server.address], stdout=full, stderr=subprocess.PIPE
        )
    sentence = b"gearpy: the output can't be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_a_reader_that_goes_away(server: ServerProcess) -> None:
    """As with ``gearpy status | head -1``: nothing is wrong, so nothing is said."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        done = subprocess.run(
            [*GEARPY, "version", "--server", server.address], stdout=closed, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_help_and_version_of_the_command() -> None:
    assert gearpy("--version").stdout == f"gearpy {VERSION}\n".encode()
    done = gearpy("--help")
    assert done.returncode == 0
    for name in (b"status", b"workers", b"version", b"submit", b"dissect"):
        assert name in done.stdout
    assert gearpy("submit", "--help").returncode == 0
