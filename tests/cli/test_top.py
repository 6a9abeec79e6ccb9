"""``gearpy top``: what is computed plainly, and the command on a real terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from rich.console import Console

from bench.servers import GEARMAND, GEARMAND_IN_MEMORY, GEARMAND_PACKAGE
from gearpy.address import read_address
from gearpy.cli import top
from gearpy.cli.top import (
    ORDERS,
    Function,
    Look,
    fitting,
    function_of,
    in_order,
    plain_function_of,
    rated,
    speed,
    success,
    title,
)
from gearpy.client import Client
from gearpy.protocol import packets as p
from gearpy.protocol.admin import StatusRow
from gearpy.protocol.parser import PacketParser
from gearpy.testing.process import ServerProcess
from gearpy.version import VERSION
from tests.cli.command import GEARPY, LIMIT_S, gearpy, printed, rows
from tests.client.other_servers import LIKE_GEARMAND
from tests.docstrings import run_examples
from tests.server.peer import RawPeer
from tests.waiting import eventually
from tests.workers import Held, upper, working

needs_gearmand = pytest.mark.skipif(
    GEARMAND is None, reason=f"needs gearmand: install the Debian package {GEARMAND_PACKAGE}"
)

# A process that takes its standard input for its terminal, so that Ctrl-C there reaches it, and
# does not inherit that interrupts or hang-ups are ignored.
_OF_ITS_OWN: Final = (
    "import os, signal, sys; os.login_tty(0);"
    " signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    " os.execvp(sys.argv[1], sys.argv[1:])"
)
_HOME: Final = "\x1b[H"  # begins what is shown next on the whole screen
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
WHOLE_SCREEN: Final = "\x1b[?1049h"
USUAL_SCREEN: Final = "\x1b[?1049l"
CURSOR: Final = "\x1b[?25h"


class Terminal:
    """A command whose terminal is this one, until the end of the block."""

    def __init__(self, *words: str, width: int = 100, height: int = 24) -> None:
        self._near, self._far = pty.openpty()
        self.resize(width, height)
        self.modes = termios.tcgetattr(self._far)
        unset = ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "GEARPY_SERVER")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OF_ITS_OWN, *words],
            stdin=self._far,
            stdout=self._far,
            stderr=self._far,
            env=environment | {"TERM": "xterm"},
        )
        self.shown = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)
        os.close(self._near)
        os.close(self._far)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._far, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    def are_modes_restored(self) -> bool:
        return termios.tcgetattr(self._far) == self.modes

    def read_until(self, seen: Callable[[], object]) -> None:
        """Reads what is shown until it is what is waited for."""
        deadline_s = time.monotonic() + LIMIT_S  # as it may show one wrong screen after the other
        while not seen():
            if not self._read(LIMIT_S) or time.monotonic() > deadline_s:
                pytest.fail(f"that never came, but {self.shown[-3000:]!r}")

    def end(self) -> int:
        """The exit code, once the command has ended; all that it showed has been read then."""
        # It can't end before what it shows is taken from it.
        eventually(lambda: (self._read(0), self.process.poll() is None)[1], False)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._near], [], [], timeout_s)[0]:
            return False
        self.shown += os.read(self._near, 65536).decode("utf-8", "replace")
        return True

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


def topped(server: str, *options: str, **size: int) -> Terminal:
    return Terminal(*GEARPY, "top", "--server", server, "--every", "0.05", *options, **size)


# ---- what is computed


def function(name: str, **facts: Any) -> Function:
    return Function(**{"name": name, "queued": 0, "running": 0, "workers": 0, **facts})


def test_examples_in_docstrings() -> None:
    assert run_examples(top).failed == 0


def test_what_is_read_of_both_kinds_of_servers() -> None:
    counts = {"completed": 1, "failed": 2, "dead": 4, "cancelled": 8, "expired": 16}
    row: dict[str, Any] = {
        "function": "f",
        "queued": 1,
        "running": 2,
        "workers": 3,
        "delayed": 4,
        "retrying": 5,
        "dead": 6,
        "oldest_queued_s": 7.5,
        "paused": True,
        "draining": True,
        "counts": {**counts, "submitted": 100, "started": 100, "retried": 100},
    }
    assert function_of(row) == Function("f", 1, 2, 3, 9, 6, 7.5, 31, 1, 8, state="paused, draining")
    assert function_of({**row, "paused": False, "draining": False}).state == ""
    assert plain_function_of(StatusRow(b"g\xff", 5, 2, 3)) == Function("g\udcff", 3, 2, 3)
    # gearmand may count a job as running that it does not count in all.
    assert plain_function_of(StatusRow(b"g", 0, 1, 1)).queued == 0


def test_each_order_has_the_largest_first_and_the_unknown_last() -> None:
    functions = [
        function("b", queued=1, running=3, dead=2, workers=2, oldest_s=9.0, rate=0.5),
        function("c", queued=2, running=1, dead=3, workers=2, oldest_s=None, rate=None),
        function("a", queued=3, running=2, dead=0, workers=2, oldest_s=10.0, rate=0.0),
    ]
    orders = {"q": "acb", "r": "bac", "d": "cba", "w": "abc", "o": "abc", "s": "bac", "n": "abc"}
    for key, names in orders.items():
        assert "".join(each.name for each in in_order(functions, ORDERS[key])) == names, key
    assert orders.keys() == ORDERS.keys()


def test_rates_are_what_two_looks_differ_by() -> None:
    before = Look([function("f", ended=10), function("g", ended=5)], 100.0, "1", pid=7)
    after = Look(
        [function("f", ended=25), function("g", ended=4), function("new", ended=4)],
        102.0,
        "1",
        pid=7,
    )
    assert [each.rate for each in rated(after, before).functions] == [7.5, None, 2.0]
    assert rated(after, None) == after
    assert rated(after._replace(pid=8), before).functions == after.functions  # it began anew
    assert rated(after._replace(at_s=100.0), before).functions == after.functions
    plain = Look([function("f")], 103.0, pid=7)
    assert rated(plain, after).functions == plain.functions


@pytest.mark.parametrize(
    ("ended", "completed", "cancelled", "words"),
    [
        (None, 0, 0, ""),
        (0, 0, 0, ""),
        (5, 0, 5, ""),
        (5, 0, 0, "0.0 %"),
        (3, 2, 0, "66.6 %"),
        (3, 2, 1, "100 %"),
    ],
)
def test_success(ended: int | None, completed: int, cancelled: int, words: str) -> None:
    assert success(function("f", ended=ended, completed=completed, cancelled=cancelled)) == words


def test_speeds_are_short() -> None:
    assert [speed(rate) for rate in (None, 0.0, 0.04, 99.9, 100.4)] == [
        "",
        "0",
        "0.0",
        "99.9",
        "100",
    ]


def test_no_more_rows_than_there_are_lines() -> None:
    functions = [function(name) for name in "abc"]
    assert fitting(functions, 3) == (functions, 0)
    assert fitting(functions, 2) == (functions[:1], 2)
    assert fitting(functions, 1) == ([], 3)
    assert fitting(functions, -5) == ([], 3)
    assert fitting([], 0) == ([], 0)


def test_the_title_says_which_server_it_is() -> None:
    server = read_address("box:1")
    functions = [
        function("f", queued=1_000, running=2, dead=3, rate=1.5),
        function("g", queued=1, rate=None),
    ]
    assert title(Look(functions, 0.0, "9\x1b[2J"), server) == (
        "gearpy-server 9\\x1b[2J at box:1: 2 functions, 1,001 queued, 2 running, 3 dead, 1.5 jobs/s"
    )
    assert title(Look(functions[1:], 0.0), server) == (
        "box:1, which is not a gearpy-server, so there is less to see on it:"
        " 1 function, 1 queued, 0 running"
    )


def drawn(look: Look, trouble: str = "", width: int = 80, height: int = 10) -> list[str]:
    console = Console(width=width, height=height, highlight=False)
    with console.capture() as capture:
        shown = top.screen(console, look, read_address("box:1"), ORDERS["q"], trouble)
        console.print(shown)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_each_function_has_one_line_and_words_give_way() -> None:
    facts = {"delayed": 1, "dead": 123_456, "oldest_s": 100.0, "ended": 3, "completed": 2}
    long = "\x1b[2J[red]" + "x" * 200
    functions = [function(long, **facts, rate=1.5, state="paused, draining"), function("f")]
    lines = drawn(Look(functions, 0.0, "1"))
    assert len(lines) == 5
    name, *numbers = lines[2].split()
    assert name.startswith("\\x1b[2J[re")
    assert name.endswith("…")
    assert " ".join(numbers) == "0 0 1 123,456 0 100 s 1.5 66.6 % pause…"
    assert lines[3].split() == ["f", "0", "0", "0"]
    wide = drawn(Look(functions, 0.0, "1"), width=400)
    assert wide[2].startswith("\\x1b[2J[red]" + "x" * 200 + "   ")


def test_more_functions_than_lines() -> None:
    look = Look([function(f"f{number}") for number in range(20)], 0.0, "1")
    lines = drawn(look, height=10)
    assert len(lines) == 10
    assert [line.split()[0] for line in lines[2:-2]] == ["f0", "f1", "f10", "f11", "f12", "f13"]
    assert lines[-2] == "and 14 more functions"
    in_trouble = drawn(look, "It is gone", height=10)
    assert (len(in_trouble), in_trouble[1], in_trouble[-2]) == (
        10,
        "It is gone",
        "and 15 more functions",
    )
    assert len(drawn(look, height=2)) <= 4  # there is no terminal so small that it fails
    assert drawn(look._replace(journal_full=True))[1].startswith("The journal's disk")
    assert drawn(Look([], 0.0, "1"))[1].startswith("No functions: ")


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
    with Terminal("/bin/sh", "-m", "-c", f"{words}; stty -a; echo stopped; fg") as terminal:
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
