"""Long tables are laid out in here as rich lays out all others."""

import io
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table

from gearpy.cli.long_table import LONG, print_long
from gearpy.cli.tables import cell, show, table
from gearpy.cli.top_looks import Function, Look
from gearpy.cli.top_screen import fitted_table
from gearpy.cli.top_table import ORDERS
from gearpy.protocol import packets as p
from gearpy.testing.process import ServerProcess
from tests.cli.command import LIMIT_S, printed
from tests.server.peer import RawPeer

STYLES = re.compile(r"\x1b\[[0-9;]*m")


def words() -> Table:
    """Words that can be broken and words that can't, narrow and wide ones."""
    made = table("Handle", "Function", "Age", "Note", "More", right=("Age",))
    note = "some words that are long, 日本日本日本 and averyveryverylongwordwithoutspaces"
    made.add_row(cell("H:box:1"), cell("größe.日本"), "12 s", cell(note), cell("x" * 20))
    made.add_row("H:box:1000", "f", "1,234 s", "", "")
    made.add_row(
        "H:box:2", "[red]f", "", "a b c d e f g h i j k l m", cell("hello hello   hello " * 3)
    )
    return made


def laid_out(draw: Callable[[Console], None], width: int, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, highlight=False, markup=False, force_terminal=terminal
    )
    draw(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_look_as_those_of_rich_where_there_is_room() -> None:
    made = words()
    expected = laid_out(lambda console: console.print(made), 1000)
    assert laid_out(lambda console: print_long(console, made), 1000) == expected


def test_what_is_too_wide_for_a_terminal_is_never_lost() -> None:
    made = words()
    wide = laid_out(lambda console: print_long(console, made), 1000)
    assert laid_out(lambda console: print_long(console, made), 30) == wide


def test_the_column_that_they_are_sorted_by_stands_out() -> None:
    functions = [Function(f"f{n}", n, n * 1000, 2, 3, 4, 5.0, 6, 5, 0, "", 1.5) for n in range(400)]
    look = Look(functions, 1.0, "1.0")
    found = laid_out(
        lambda console: print_long(console, fitted_table(console, look, ORDERS["q"], functions)),
        120,
        terminal=True,
    )
    assert "\x1b[1;7mQueued\x1b[0m" in found
    assert STYLES.sub("", found).count("\n") == 401


def test_a_long_table_goes_on_where_a_short_one_ends(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(rows: int) -> list[str]:
        made = table("Function", "Queued", right=("Queued",))
        for number in range(rows):
            made.add_row(cell("f\x1b[2J"), f"{number:,}")
        show(made, "")
        return capsys.readouterr().out.splitlines()

    short, long = shown(LONG), shown(LONG * 4)
    assert len(long) == LONG * 4 + 1
    assert [line.split() for line in long[: LONG + 1]] == [line.split() for line in short]
    assert {len(line) for line in long} == {len("f\\x1b[2J   Queued")}


def test_many_functions_of_a_server(server: ServerProcess) -> None:
    names = [b"function-%04d" % number for number in range(1500)]
    with RawPeer((server.host, server.port)) as peer:
        for name in names:
            peer.send(p.CAN_DO, name)
        peer.round_trip()
        for command in (("status",), ("top", "--once", "--every", "0.01")):
            report, said = printed(*command, server=server.address)
            _, headings, *lines = report.splitlines()
            assert [line.split()[0].encode() for line in lines] == names
            assert {len(line) for line in lines} == {len(headings)}
            assert said == ""


def test_its_reader_may_have_seen_enough(server: ServerProcess) -> None:
    with RawPeer((server.host, server.port)) as peer:
        for number in range(3000):
            peer.send(p.CAN_DO, b"function-%04d" % number)
        peer.round_trip()
        pipe = (
            f"{sys.executable} -m gearpy.cli.main status --server {server.address} | head -n 2;"
            ' exit "${PIPESTATUS[0]}"'
        )
        done = subprocess.run(["bash", "-c", pipe], capture_output=True, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.splitlines()[1].split()[0] == b"Function"
