"""``gearpy top``: the command, printed once and on a real terminal."""

import contextlib
import re
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from bench.servers import GEARMAND_IN_MEMORY
from gearpy.client import Client
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser
from gearpy.testing.process import ServerProcess
from gearpy.version import VERSION
from tests.cli.command import GEARPY, LIMIT_S, Terminal, gearpy, printed, rows
from tests.client.other_servers import LIKE_GEARMAND
from tests.gearmand import needs_gearmand
from tests.server.peer import RawPeer
from tests.waiting import eventually
from tests.workers import Held, upper, working

_HOME: Final = "\x1b[H"  # begins what is shown next on the whole screen
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
WHOLE_SCREEN: Final = "\x1b[?1049h"
USUAL_SCREEN: Final = "\x1b[?1049l"
CURSOR: Final = "\x1b[?25h"


class Top(Terminal):
    """A terminal on which the functions are shown."""

    def lines(self) -> list[str]:
        """The last screen that was shown whole, without colours."""
        whole = [each for each in self.shown.split(_HOME)[1:] if "x exit" in each]
        return [_STYLE.sub("", line).rstrip() for line in whole[-1].splitlines()] if whole else []

    def functions(self) -> list[str]:
        """The first words of the table's rows, as they are shown now."""
        words = [line.split()[0] for line in self.lines() if line.split()]
        if "Function" not in words or "sort" not in words:
            return []
        return words[words.index("Function") + 1 : words.index("sort")]


def topped(server: str, *options: str, **size: int) -> Top:
    return Top(*GEARPY, "top", "--server", server, "--every", "0.05", *options, **size)


# ---- one table


def test_once(server: ServerProcess) -> None:
    def fail(_job: object) -> None:
        raise ValueError

    with Client(server.address) as client:
        for _ in range(3):
            client.submit_background("photo")
        client.submit_background("photo", delay_s=1_000)
        client.submit_background("[red]")
        client.operate("pause", function="mail")
        client.operate("drain", function="mail")
        client.operate("set-policy", function="frail", policy={"attempts": 1})
        client.submit_background("frail")
        with working(server.address, frail=fail, upper=upper):
            assert client.submit("upper", "a").result(LIMIT_S) == b"A"
            dead = {"states": ["dead"]}
            eventually(lambda: len(client.operate("jobs", **dead)["jobs"]), 1)
        with RawPeer((server.host, server.port)) as worker:
            worker.send(p.CAN_DO, b"photo")
            worker.send(p.GRAB_JOB)
            worker.expect(p.JOB_ASSIGN)
            out, err = printed("top", "--once", "--every", "0.01", server=server.address)
    assert err == ""
    first, headings, *functions = rows(out)
    assert " ".join(first) == (
        f"gearpy-server {VERSION} at {server.address}: 5 functions, 3 queued, 1 running, 1 dead,"
        " 0 jobs/s"
    )
    assert " ".join(headings) == (
        "Function Queued Running Delayed Dead Workers Oldest Jobs/s Success State"
    )
    ages = re.compile(r"\d+ s ")
    assert [ages.sub("AGE ", " ".join(row)) for row in functions] == [
        "photo 2 1 1 0 1 AGE 0",
        "[red] 1 0 0 0 0 AGE 0",
        "frail 0 0 0 1 0 0 0.0 %",
        "mail 0 0 0 0 0 0 paused, draining",
        "upper 0 0 0 0 0 0 100 %",
    ]


def test_without_a_terminal_it_is_once_and_sorted(server: ServerProcess) -> None:
    assert printed("top", "--every", "0.01", server=server.address)[0].splitlines()[1:] == [
        "No functions: no job waits and no worker has registered."
    ]
    with Client(server.address) as client:
        for name in ("b", "a", "b", "c"):
            client.submit_background(name)
    for options, order in {(): "bac", ("--sort", "n"): "abc", ("--sort", "name"): "abc"}.items():
        out = printed("top", "--every", "0.01", *options, server=server.address)[0]
        assert "".join(row[0] for row in rows(out)[2:]) == order


def test_all_functions_of_a_server_with_very_many(server: ServerProcess) -> None:
    with RawPeer((server.host, server.port)) as worker:
        for number in range(1_100):
            worker.send(p.CAN_DO, b"f%d" % number)
        worker.round_trip()
        out = printed("top", "--every", "0.01", server=server.address)[0]
    assert len(rows(out)) == 1_102


@needs_gearmand
def test_once_with_gearmand() -> None:
    with GEARMAND_IN_MEMORY.start() as gearmand:
        address = f"127.0.0.1:{gearmand.port}"
        with Client(address) as client, RawPeer(("127.0.0.1", gearmand.port)) as worker:
            for _ in range(3):
                client.submit_background("f")
            client.submit_background("g")
            worker.send(p.CAN_DO, b"f")
            worker.send(p.GRAB_JOB)
            worker.expect(p.JOB_ASSIGN)
            out = printed("top", "--sort", "n", server=address)[0]
    first, *table = rows(out)
    assert " ".join(first) == (
        f"{address}, which is not a gearpy-server, so there is less to see on it: 2 functions,"
        " 3 queued, 1 running"
    )
    assert table == [
        ["Function", "Queued", "Running", "Workers"],
        ["f", "2", "1", "1"],
        ["g", "1", "0", "0"],
    ]


def test_a_report_that_is_none() -> None:
    with _plain_server(b"HTTP/1.1 400 Bad Request\n.\n") as address:
        done = gearpy("top", "--once", server=address)
    assert (done.returncode, done.stdout) == (1, b"")
    sentence = f"gearpy: what {address} answered to 'status' is not a Gearman server's report\n"
    assert done.stderr.decode() == sentence


def test_another_server_is_shown_safely() -> None:
    with _plain_server(b"clear\x1b[2J\xff\t2\t1\t0\n.\n") as address:
        out, _ = printed("top", server=address)
    assert rows(out)[1:] == [
        ["Function", "Queued", "Running", "Workers"],
        ["clear\\x1b[2J\\xff", "1", "1", "0"],
    ]


@pytest.mark.parametrize("options", [["--once"], []])
def test_nobody_listens(options: list[str]) -> None:
    with ServerProcess("--verbose", "ERROR") as server:
        address = server.address
    done = gearpy("top", *options, server=address)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(f"gearpy: no Gearman server answers at {address}".encode())
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "options",
    [["--sort", "z"], ["--sort", ""], ["--every", "0"], ["--every", "nan"], ["--every", "1e9"]],
)
def test_bad_usage_is_exit_2(options: list[str]) -> None:
    done = gearpy("top", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Usage: gearpy top" in done.stderr


# ---- live


@pytest.fixture
def address(server: ServerProcess) -> str:
    """A server with b that has most jobs queued, and c with most that are delayed."""
    with Client(server.address) as client:
        for name in ("b", "b", "a", "c"):
            client.submit_background(name)
        client.operate("pause", function="a")
    return server.address


def test_keys_sort_and_ctrl_c_restores_the_terminal(address: str) -> None:
    with topped(address) as terminal:
        terminal.read_until(lambda: terminal.functions() == ["b", "a", "c"])
        assert not terminal.are_modes_restored()
        assert terminal.shown.count(WHOLE_SCREEN) == 1
        terminal.press("n")
        terminal.read_until(lambda: terminal.functions() == ["a", "b", "c"])
        terminal.press("?\x1b[Dé")  # nobody's keys: an arrow, for one, though it ends with a D
        terminal.press("q")
        terminal.read_until(lambda: terminal.functions() == ["b", "a", "c"])
        terminal.press("\x03")
        assert terminal.end() == 0
        assert terminal.are_modes_restored()
        after = terminal.shown.rpartition(_HOME)[2]
        assert USUAL_SCREEN in after
        assert CURSOR in after
        assert "Traceback" not in terminal.shown


def test_x_ends_it(address: str) -> None:
    with topped(address, "--sort", "n") as terminal:
        terminal.read_until(lambda: terminal.functions() == ["a", "b", "c"])
        terminal.press("x")
        assert terminal.end() == 0
        assert terminal.are_modes_restored()
        assert USUAL_SCREEN in terminal.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal_too(address: str, number: signal.Signals) -> None:
    with topped(address) as terminal:
        terminal.read_until(terminal.functions)
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert terminal.are_modes_restored()
        assert USUAL_SCREEN in terminal.shown
        assert "Traceback" not in terminal.shown


def test_ctrl_z_restores_the_terminal_and_fg_shows_it_again(address: str) -> None:
    words = " ".join([*GEARPY, "top", "--every", "0.05", "--server", address])
    with Top("/bin/sh", "-m", "-c", f"{words}; stty -a; echo stopped; fg") as terminal:
        terminal.read_until(terminal.functions)
        terminal.press("\x1a")
        terminal.read_until(lambda: "stopped" in terminal.shown)
        stopped = terminal.shown.rpartition(USUAL_SCREEN)[2]
        assert " icanon" in stopped
        assert " echo " in stopped
        terminal.read_until(lambda: WHOLE_SCREEN in terminal.shown.partition("stopped")[2])
        terminal.press("x")
        assert terminal.end() == 0


def test_what_changes_is_seen_and_speed_too(address: str) -> None:
    held = Held()
    with Client(address) as client, topped(address) as terminal:
        terminal.read_until(terminal.functions)
        with working(address, held=held, upper=upper):
            job = client.submit("held")
            held.wait_entered()
            terminal.read_until(lambda: "1 running" in terminal.lines()[0])
            held.going.release()
            job.result(LIMIT_S)
            terminal.press("s")
            ended = threading.Event()
            with _busy(address, ended):
                terminal.read_until(lambda: terminal.functions()[:1] == ["upper"])
        terminal.read_until(lambda: " 0 jobs/s" in terminal.lines()[0])
        assert "0 running" in terminal.lines()[0]


@contextlib.contextmanager
def _busy(address: str, ended: threading.Event) -> Iterator[None]:
    """Jobs of "upper", one after the other, until the end of the block."""

    def submit() -> None:
        with Client(address) as client:
            while not ended.is_set():
                client.submit("upper", "a").result(LIMIT_S)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LIMIT_S)


def test_a_terminal_that_is_too_low_and_then_high_enough(server: ServerProcess) -> None:
    with Client(server.address) as client:
        for number in range(20):
            client.submit_background(f"f{number:02}")
    with topped(server.address, height=10) as terminal:
        terminal.read_until(terminal.functions)
        assert terminal.functions() == ["f00", "f01", "f02", "f03", "f04", "f05", "and"]
        assert "and 14 more functions" in terminal.lines()
        assert len(terminal.lines()) == 10
        terminal.resize(100, 24)
        terminal.read_until(lambda: len(terminal.functions()) == 20)


def test_a_server_that_goes_away_and_comes_back() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess("--verbose", "ERROR"))
        with Client(server.address) as client:
            client.submit_background("before")
        terminal = stack.enter_context(topped(server.address, width=200))
        terminal.read_until(lambda: terminal.functions() == ["before"])
        server.kill()
        terminal.read_until(lambda: "trying again" in terminal.lines()[1])
        assert terminal.functions() == ["before"]  # as it was
        terminal.read_until(lambda: "no Gearman server answers" in terminal.lines()[1])
        terminal.press("n")  # the keys are heard all the same
        again = stack.enter_context(ServerProcess("--verbose", "ERROR", "--port", str(server.port)))
        assert again.address == server.address
        with Client(again.address) as client:
            client.submit_background("after")
        terminal.read_until(lambda: terminal.functions() == ["after"])
        assert "trying again" not in "".join(terminal.lines())
        terminal.press("\x03")
        assert terminal.end() == 0


def test_another_server_comes_back_in_its_place() -> None:
    """What is asked of it must not be what was asked of the one before."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess("--verbose", "ERROR"))
        terminal = stack.enter_context(topped(server.address, width=200))
        terminal.read_until(lambda: any("No functions" in line for line in terminal.lines()))
        server.kill()
        terminal.read_until(lambda: "trying again" in terminal.lines()[1])
        stack.enter_context(_plain_server(b"plain\t2\t1\t1\n.\n", server.port))
        terminal.read_until(lambda: "is not a gearpy-server" in terminal.lines()[0])
        terminal.read_until(lambda: terminal.functions() == ["plain"])
        terminal.press("x")
        assert terminal.end() == 0


@contextlib.contextmanager
def _plain_server(report: bytes, port: int = 0) -> Iterator[str]:
    """The address of a server that answers all text with this, and knows no options."""

    def answer(connection: socket.socket) -> None:
        parser = PacketParser()
        with connection, contextlib.suppress(ConnectionError):
            while data := connection.recv(1 << 16):
                for number, body in parser.feed(data):
                    known = number in LIKE_GEARMAND
                    connection.sendall(LIKE_GEARMAND[number](body) if known else report)

    with socket.create_server(("127.0.0.1", port)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener was shut down
                while True:
                    answer(listener.accept()[0])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(LIMIT_S)


@needs_gearmand
def test_live_with_gearmand() -> None:
    with GEARMAND_IN_MEMORY.start() as gearmand:
        address = f"127.0.0.1:{gearmand.port}"
        with Client(address) as client, topped(address) as terminal:
            terminal.read_until(lambda: "less to see" in "".join(terminal.lines()))
            client.submit_background("f")
            terminal.read_until(lambda: terminal.functions() == ["f"])
            terminal.press("d")  # nothing is known of that here, and nothing fails for it
            client.submit_background("a")
            terminal.read_until(lambda: terminal.functions() == ["a", "f"])
            terminal.press("x")
            assert terminal.end() == 0
            assert terminal.are_modes_restored()


def test_a_terminal_that_can_show_nothing_gets_one_table(address: str) -> None:
    words = ["env", "TERM=dumb", *GEARPY, "top", "--every", "0.01", "--server", address]
    with Terminal(*words) as terminal:
        assert terminal.end() == 0
        assert WHOLE_SCREEN not in terminal.shown
        assert "Function" in terminal.shown
