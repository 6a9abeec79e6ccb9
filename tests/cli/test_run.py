"""``gearpy run``: errands of real jobs, done by hand."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gearpy.client import Client
from gearpy.errands.orders import Command, Request
from gearpy.testing.process import ServerProcess
from tests.cli.command import GEARPY, Terminal, gearpy, start
from tests.errands.receiver import Answer, Receiver, nobody, receiving, silent
from tests.errands.test_commands import Note
from tests.waiting import eventually

LIMIT_S = 30.0
SHELL = ("--allow-command", "sh=/bin/sh -c")
INSIDE = ("--allow-host", "127.0.0.1")


class Done(NamedTuple):
    """What the command gave."""

    code: int
    stdout: bytes
    stderr: str


class Console:
    """Where errands are submitted, and run by hand."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        self.address = address

    def command(self, text: str, **more: Any) -> str:
        """The handle of a job that is a command of the shell."""
        order = Command(name="sh", arguments=(text,), **more)
        return self.client.submit_background("gearpy.exec", order.payload())

    def request(self, url: str, **more: Any) -> str:
        """The handle of one that is a request."""
        return self.client.submit_background("gearpy.http", Request(url=url, **more).payload())

    def look(self, handle: str) -> dict[str, Any]:
        """A job as it is now."""
        job: dict[str, Any] = self.client.operate("job", handle=handle)["job"]
        return job

    def run(self, handle: str, *arguments: str) -> Done:
        """Runs the errand of a job, which must stay as it is."""
        before = self.look(handle)
        done = gearpy("run", handle, *arguments, server=self.address)
        assert self.look(handle) == before
        assert b"Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "surrogateescape"))


@pytest.fixture(scope="module")
def shared() -> Iterator[ServerProcess]:
    """A server for tests that leave nothing behind that others mind."""
    with ServerProcess() as server:
        yield server


@pytest.fixture
def console(shared: ServerProcess) -> Iterator[Console]:
    with Client(shared.address) as client:
        yield Console(client, shared.address)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


# ---- commands


def test_a_command_writes_where_it_would_write(console: Console) -> None:
    handle = console.command("cat; printf '\\377 err' >&2; echo $GEARPY_HANDLE", stdin=b"\0in ")
    done = console.run(handle, *SHELL)
    assert done == (0, b"\0in " + handle.encode() + b"\n", "\udcff err")


@pytest.mark.parametrize(
    ("text", "code", "how"),
    [
        ("echo out; echo no photo >&2; exit 3", 3, "sh ended with exit code 3"),
        ("echo out; printf 'no photo' >&2; exit 255", 255, "sh ended with exit code 255"),
        ("echo out; echo no photo >&2; kill -9 $$", 137, "sh was ended by SIGKILL"),
        ("echo out; echo no photo >&2; kill -TERM $$", 143, "sh was ended by SIGTERM"),
    ],
)
def test_its_exit_code_is_the_commands(text: str, code: int, how: str, console: Console) -> None:
    """How it ended is said on a line of its own, without what it has just written."""
    done = console.run(console.command(text), *SHELL)
    assert done == (code, b"out\n", f"no photo\ngearpy run: {how}\n")


def test_what_it_says_of_a_stranger_commands_no_terminal(console: Console) -> None:
    payload = Command(name="a\x1b[2J", arguments=("exit 1",)).payload()
    handle = console.client.submit_background("gearpy.exec", payload)
    done = console.run(handle, "--allow-command", "a\x1b[2J=/bin/sh -c")
    assert done == (1, b"", "gearpy run: a\\x1b[2J ended with exit code 1\n")


def test_what_was_not_ended_with_a_line_is_on_a_terminal(console: Console) -> None:
    handle = console.command("printf out; exit 3")
    with Terminal(*GEARPY, "run", handle, *SHELL, "--server", console.address) as terminal:
        assert terminal.end() == 3
        assert terminal.shown == "out\r\ngearpy run: sh ended with exit code 3\r\n"


def test_its_output_may_be_cut(console: Console) -> None:
    cut = "gearpy run: its standard {} was cut; --max-output lets more of it through\n"
    done = console.run(console.command("printf 12345; printf abc >&2"), *SHELL, "--max-output", "3")
    assert done == (0, b"123", "abc\n" + cut.format("output"))
    done = console.run(console.command("printf 123; printf abcd >&2"), *SHELL, "--max-output", "3")
    assert done == (0, b"123", "abc\n" + cut.format("error"))


def test_one_that_takes_too_long_is_a_sentence(console: Console) -> None:
    """Its exit code is that of a shell for what a signal has ended, and what it wrote is there."""
    done = console.run(console.command("echo begun; exec sleep 1000", timeout_s=1.0), *SHELL)
    why = "gearpy run: sh took longer than 1 s, and was stopped\n"
    assert done == (128 + signal.SIGTERM, b"begun\n", why)


def test_an_interrupt_stops_it_with_all_that_it_started(console: Console, tmp_path: Path) -> None:
    note = Note(tmp_path / "pids")
    text = f"echo $$ >>{note}; sleep 1000 & echo $! >>{note}; wait"
    handle = console.command(text, timeout_s=1000)
    process = start("run", handle, *SHELL, "--server", console.address)
    eventually(lambda: len(note.pids()), 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, stderr.strip()) == (130, b"")
    note.wait_until_gone()


# ---- requests


def test_an_answer_goes_to_standard_output(console: Console, receiver: Receiver) -> None:
    receiver.answers(Answer(201, b"\xff\0 made"))
    handle = console.request(receiver.url, method="POST", params={"a": 1})
    done = console.run(handle, *INSIDE)
    assert done == (0, b"\xff\0 made", f"201 {receiver.url}\n")
    assert (receiver.asked[0].method, receiver.asked[0].body) == ("POST", b"a=1")


def test_a_bad_answer_is_exit_1(console: Console, receiver: Receiver) -> None:
    receiver.answers(Answer(404, b"no such\nphoto\x1b[2J"))
    done = console.run(console.request(f"{receiver.url}/photo?key=s3cret"), *INSIDE)
    assert (done.code, done.stdout) == (1, b"no such\nphoto\x1b[2J")
    assert done.stderr == (
        f"404 {receiver.url}/photo?key=s3cret\n"
        f"gearpy run: GET {receiver.url}/photo was answered with 404\n"
    )


def test_no_answer_is_exit_1(console: Console) -> None:
    done = console.run(console.request(nobody()), *INSIDE)
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr.startswith("gearpy: GET http://127.0.0.1:")
    with silent() as url:
        done = console.run(console.request(url, timeout_s=0.2), *INSIDE)
    assert done == (1, b"", f"gearpy: GET {url} was not answered within 0.2 s\n")


# ---- what may not be done


def test_nothing_is_allowed_until_it_is_said(console: Console, receiver: Receiver) -> None:
    done = console.run(console.command("echo hello"))
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == (
        "gearpy: the command 'sh' is not allowed here; no --allow-command has this name\n"
    )
    done = console.run(console.command("echo hello"), "--allow-command", "bash=/bin/sh -c")
    assert "the command 'sh' is not allowed here" in done.stderr
    for arguments in ((), SHELL, ("--allow-host", "localhost"), ("--allow-host", "127.0.0.1:1")):
        done = console.run(console.request(receiver.url), *arguments)
        assert (done.code, done.stdout) == (1, b"")
        assert f"gearpy: requests to 127.0.0.1:{receiver.port} are not allowed" in done.stderr
    done = console.run(console.request(receiver.url), "--allow-host", "*")
    assert "which is not an address of the public Internet" in done.stderr
    assert receiver.asked == []


def test_requests_need_a_package_that_may_be_missing(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "httpx.py").write_text("raise ModuleNotFoundError('no', name='httpx')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    sentence = "gearpy: requests need the package httpx: pip install 'gearpy[http]'\n"
    for arguments in ((), INSIDE):
        assert console.run(console.request("http://a/"), *arguments) == (1, b"", sentence)
    assert console.run(console.command("echo hello"), *SHELL) == (0, b"hello\n", "")


def test_a_job_that_is_no_errand_is_a_sentence(console: Console) -> None:
    handle = console.client.submit_background("resize", b"photo")
    done = console.run(handle, *SHELL, *INSIDE)
    assert done == (
        1,
        b"",
        "gearpy: a job of resize is no errand: those are jobs of gearpy.http and gearpy.exec\n",
    )
    strange = console.client.submit_background(b"\xff\xc2\x9b")
    done = console.run(strange, *SHELL)
    assert done.code == 1
    assert done.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("function", "payload", "says"),
    [
        ("gearpy.exec", b"\xff\0", "the payload is no JSON"),
        ("gearpy.exec", b"", "the payload is no JSON"),
        ("gearpy.http", b'{"url": "\\u009b2J"}', "and not like https://example.org/import"),
    ],
)
def test_an_errand_that_can_not_be_read_is_a_sentence(
    function: str, payload: bytes, says: str, console: Console
) -> None:
    done = console.run(console.client.submit_background(function, payload), *SHELL, *INSIDE)
    assert done.code == 1
    assert says in done.stderr
    assert done.stderr.rstrip("\n").isprintable()


# ---- which job


def test_a_job_may_have_ended_long_ago(console: Console, receiver: Receiver) -> None:
    """It is kept for that."""
    handle = console.request(receiver.url)
    console.client.operate("cancel", handle=handle)
    assert console.look(handle)["state"] == "cancelled"
    assert console.run(handle, *INSIDE).code == 0


def test_an_unknown_handle_is_a_sentence(shared: ServerProcess) -> None:
    done = gearpy("run", "H:nobody:1", *SHELL, server=shared.address)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"H:nobody:1" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    address = nobody().removeprefix("http://")
    done = gearpy("run", "H:nobody:1", *SHELL, server=address)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(f"gearpy: no Gearman server answers at {address}".encode())
    assert done.stderr.count(b"\n") == 1


def test_a_payload_that_is_in_the_journal_only_can_not_be_had(tmp_path: Path) -> None:
    flags = ("--journal", str(tmp_path / "jobs.db"), "--memory-budget", "0")
    with ServerProcess(*flags) as server, Client(server.address) as client:
        console = Console(client, server.address)
        payload = Command(name="sh", arguments=("exit 0",)).payload()
        handles = client.submit_many_background("gearpy.exec", [payload] * 600)
        done = console.run(handles[-1], *SHELL)
        assert (done.code, done.stdout) == (1, b"")
        assert "the payload of this job is in the journal only for now" in done.stderr


def test_a_payload_that_is_very_large_can_not_be_had(console: Console) -> None:
    handle = console.command("exit 0", stdin=b"x" * (2 << 20))
    done = console.run(handle, *SHELL)
    assert done == (1, b"", "gearpy: the payload of this job is too large to be fetched whole\n")


# ---- usage


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "Missing argument 'HANDLE'"),
        (["H:a:1", "H:a:2"], "unexpected extra argument"),
        (["H:a:1", "--allow-host", "http://a/"], "'http://a/' is no host"),
        (["H:a:1", "--allow-command", "a"], "'a' is no command"),
        (["H:a:1", "--allow-command", "a=b", "--allow-command", "a=c"], "is allowed twice"),
        (["H:a:1", "--max-output", "none"], "'none' is not a valid integer"),
    ],
)
def test_bad_usage_is_exit_2(arguments: list[str], why: str) -> None:
    done = gearpy("run", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert why in done.stderr.decode()
