"""``gearpy watch``: words plainly, and the command on jobs of real servers."""

import re
import signal
from collections.abc import Callable
from typing import Any, Final

import click
import pytest

from bench.servers import GEARMAND_IN_MEMORY
from gearpy.cli import watch
from gearpy.cli.tables import moment
from gearpy.cli.watch import exit_code, has_ended, line, share
from gearpy.client import Client
from gearpy.protocol import packets as p
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job
from tests.cli.command import GEARPY, LIMIT_S, Terminal, gearpy, printed, start
from tests.docstrings import run_examples
from tests.gearmand import needs_gearmand
from tests.server.peer import RawPeer
from tests.workers import Held, working

KEPT: Final = {"keep_s": 1000}
EVERY: Final = ("--every", "0.02")
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")

# ---- words


def test_examples_in_docstrings() -> None:
    assert run_examples(watch).failed == 0


JOB: Final[dict[str, Any]] = {
    "handle": "H:1",
    "function": "f",
    "state": "queued",
    "attempts": 0,
    "attempts_max": None,
}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "queued"),
        ({"attempts_max": 5}, "queued"),
        ({"state": "running", "worker": "box", "attempts": 1}, "running at box"),
        (
            {"state": "running", "worker": "box", "attempts": 1, "attempts_max": 5},
            "running at box, attempt 1 of 5",
        ),
        ({"state": "running", "worker": "box", "attempts": 2}, "running at box, attempt 2"),
        (
            {"state": "running", "worker": "b\x1b", "numerator": 1, "denominator": 2, "text": "a"},
            "running at b\\x1b; 1 of 2, a",
        ),
        ({"state": "delayed", "due_s": 1e9}, f"delayed until {moment(1e9)}"),
        (
            {"state": "retrying", "due_s": 1e9, "attempts": 1, "attempts_max": 2},
            f"retrying until {moment(1e9)}, attempt 1 of 2",
        ),
        ({"state": "completed", "numerator": 1, "denominator": 2}, "completed"),
        ({"state": "failed", "error": "x" * 300}, f"failed: {'x' * 200} ..."),
        ({"state": "expired", "reason": "too late"}, "expired, too late"),
    ],
)
def test_how_it_stands_with_a_job(facts: dict[str, Any], words: str) -> None:
    assert line(JOB | facts) == f"H:1 f: {words}"


def test_a_job_of_which_little_is_known() -> None:
    assert line({"handle": "H:1", "state": "waiting"}) == "H:1: waiting"


@pytest.mark.parametrize(
    ("numerator", "denominator", "done"),
    [
        (1, 2, 0.5),
        (3, 2, 1.0),
        (-1, 2, 0.0),
        (10**400, 10**400 * 2, 0.5),
        (1, 0, None),
        (1, -1, None),
    ],
)
def test_the_share_that_is_done(numerator: int, denominator: int, done: float | None) -> None:
    job = {"state": "running", "numerator": numerator, "denominator": denominator}
    assert share(job) == done


def test_how_each_state_ends() -> None:
    codes = {"completed": 0, "failed": 1, "dead": 1, "cancelled": 1, "expired": 1}
    for state in ("queued", "delayed", "running", "retrying", "waiting"):
        assert not has_ended({"state": state})
    for state, code in codes.items():
        assert has_ended({"state": state})
        assert exit_code({"state": state}) == code


# ---- without a terminal


@pytest.fixture
def client(server: ServerProcess) -> Any:
    with Client(server.address) as client:
        yield client


class Watching:
    """The command, whose lines are read while it runs, until the end of the block."""

    def __init__(self, handle: str, server: str) -> None:
        self.process = start("watch", handle, "--server", server, *EVERY)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT_S)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().removesuffix("\n")

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out.decode(), err.decode()


def test_a_line_for_each_change(client: Client, server: ServerProcess) -> None:
    client.operate("set-policy", function="f", policy=KEPT)
    handle = client.submit_background("f")
    with (
        Watching(handle, server.address) as watching,
        RawPeer((server.host, server.port)) as worker,
    ):
        assert watching.line() == f"{handle} f: queued"
        worker.send(p.SET_CLIENT_ID, b"box")
        worker.send(p.CAN_DO, b"f")
        worker.send(p.GRAB_JOB)
        worker.expect(p.JOB_ASSIGN)
        running = watching.line()
        assert re.fullmatch(rf"{handle} f: running at box \(127\.0\.0\.1:\d+\)", running)
        worker.send(p.WORK_STATUS, handle.encode(), b"1", b"4")
        assert watching.line() == f"{running}; 1 of 4"
        worker.send(p.WORK_PROGRESS, handle.encode(), b"2", b"4", b"reading")
        assert watching.line() == f"{running}; 2 of 4, reading"
        worker.send(p.WORK_COMPLETE, handle.encode(), b"")
        assert watching.end() == (0, f"{handle} f: completed\n", "")


def _raise(_job: Job) -> None:
    raise ValueError("no such\nphoto \x1b[2J")


def test_jobs_that_did_not_end_well(client: Client, server: ServerProcess) -> None:
    client.operate("set-policy", function="*", policy=KEPT | {"attempts": 1})
    dead = client.submit_background("frail")
    cancelled = client.submit_background("f")
    client.cancel(cancelled)
    with working(server.address, frail=_raise), Watching(dead, server.address) as watching:
        code, out, err = watching.end()
    error = "ValueError: no such photo \\x1b[2J"
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == f"{dead} frail: dead, attempts used up: {error}"
    ended = gearpy("watch", cancelled, server=server.address)
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert ended.stdout.decode() == f"{cancelled} f: cancelled, by request\n"


def test_a_job_that_was_completed_before(client: Client, server: ServerProcess) -> None:
    client.operate("set-policy", function="f", policy=KEPT)
    with working(server.address, f=lambda _: b""):
        job = client.submit("f")
        job.result(LIMIT_S)
    assert printed("watch", job.handle, server=server.address) == (
        f"{job.handle} f: completed\n",
        "",
    )


def _vanishes(handle: str, server: str, end: Callable[[], object]) -> tuple[str, str]:
    """What is said of a job before and after it ends, that nobody keeps."""
    with Watching(handle, server) as watching:
        first = watching.line()
        end()
        code, out, err = watching.end()
    assert (code, err) == (0, "")
    return first, out.splitlines()[-1]


def test_a_job_that_is_not_kept_just_vanishes(client: Client, server: ServerProcess) -> None:
    handle = client.submit_background("f")
    assert _vanishes(handle, server.address, lambda: client.cancel(handle)) == (
        f"{handle} f: queued",
        f"{handle}: it ended; it is not kept, so nobody knows how",
    )


def test_a_job_that_nobody_knows(server: ServerProcess) -> None:
    done = gearpy("watch", "H:no\x1b:1", server=server.address)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"gearpy: the server at {server.address} knows no job H:no\\x1b:1: it ended and is not"
        " kept, or it never was\n"
    )


def test_the_server_refuses_or_goes_away(client: Client, server: ServerProcess) -> None:
    refused = gearpy("watch", "x" * 1_000, server=server.address)
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.startswith(b"gearpy: the server answered INVALID_ARGUMENT: ")
    with Watching(client.submit_background("f"), server.address) as watching:
        watching.line()
        server.kill()
        code, out, err = watching.end()
    assert (code, out) == (1, "")
    assert err.startswith("gearpy: ")
    assert server.address in err
    assert err.count("\n") == 1
    gone = gearpy("watch", "H:1", server=server.address)
    assert (gone.returncode, gone.stdout) == (1, b"")
    assert gone.stderr.startswith(b"gearpy: no Gearman server answers at ")


def test_ctrl_c_is_exit_130(client: Client, server: ServerProcess) -> None:
    with Watching(client.submit_background("f"), server.address) as watching:
        watching.line()
        watching.process.send_signal(signal.SIGINT)
        code, out, err = watching.end()
    assert (code, out, err.strip()) == (130, "", "")


def test_bad_usage(server: ServerProcess) -> None:
    for words in (["watch"], ["watch", "H:1", "H:2"], ["watch", "H:1", "--every", "soon"]):
        with pytest.raises(click.UsageError):
            printed(*words, server=server.address)


@needs_gearmand
def test_a_job_of_gearmand() -> None:
    with GEARMAND_IN_MEMORY.start() as gearmand:
        address = f"127.0.0.1:{gearmand.port}"
        with Client(address) as client, RawPeer(("127.0.0.1", gearmand.port)) as worker:
            handle = client.submit_background("f")
            with Watching(handle, address) as watching:
                assert watching.line() == f"{handle}: waiting"
                worker.send(p.CAN_DO, b"f")
                worker.send(p.GRAB_JOB)
                worker.expect(p.JOB_ASSIGN)
                assert watching.line() == f"{handle}: running"
                worker.send(p.WORK_STATUS, handle.encode(), b"1", b"4")
                assert watching.line() == f"{handle}: running; 1 of 4"
                worker.send(p.WORK_FAIL, handle.encode())
                vanished = f"{handle}: it ended; it is not kept, so nobody knows how\n"
                assert watching.end() == (0, vanished, "")
        unknown = gearpy("watch", "H:1", server=address)
    assert (unknown.returncode, unknown.stdout) == (1, b"")
    assert b" knows no job H:1: " in unknown.stderr


# ---- on a terminal


def test_a_bar_until_it_ends(client: Client, server: ServerProcess) -> None:
    held = Held()

    def steps(job: Job) -> bytes:
        held(job)
        job.progress(1, 4, "one\x1b[2J [red]")
        return held(job)

    client.operate("set-policy", function="steps", policy=KEPT)
    handle = client.submit_background("steps")
    words = [*GEARPY, "watch", handle, "--server", server.address, *EVERY]
    with Terminal(*words, width=160) as terminal:

        def shows(text: str) -> Callable[[], bool]:
            return lambda: text in _CONTROL.sub("", terminal.shown)

        terminal.read_until(shows("steps: queued"))
        with working(server.address, steps=steps):
            terminal.read_until(shows("steps: running at "))
            held.going.release()
            terminal.read_until(shows("1 of 4, one\\x1b[2J [red]"))
            held.going.release()
            assert terminal.end() == 0
        assert terminal.are_modes_restored()
        assert "\x1b[?25h" in terminal.shown.rpartition("\x1b[?25l")[2]  # the cursor is back
        assert terminal.shown.endswith(f"{handle} steps: completed\r\n")


def test_ctrl_c_on_a_terminal(client: Client, server: ServerProcess) -> None:
    handle = client.submit_background("f")
    words = [*GEARPY, "watch", handle, "--server", server.address, *EVERY]
    with Terminal(*words) as terminal:
        terminal.read_until(lambda: "f: queued" in terminal.shown)
        terminal.press("\x03")
        assert terminal.end() == 130
        assert "\x1b[?25h" in terminal.shown.rpartition("\x1b[?25l")[2]
        assert "Traceback" not in terminal.shown
