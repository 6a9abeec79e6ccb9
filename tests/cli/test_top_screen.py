"""The screen of ``gearpy top``: what fits on it, and what gives way."""

from rich.console import Console

from gearpy.address import read_address
from gearpy.cli.top_looks import Look
from gearpy.cli.top_screen import fitting, screen
from gearpy.cli.top_table import ORDERS
from tests.cli.functions import function


def test_no_more_rows_than_there_are_lines() -> None:
    functions = [function(name) for name in "abc"]
    assert fitting(functions, 3) == (functions, 0)
    assert fitting(functions, 2) == (functions[:1], 2)
    assert fitting(functions, 1) == ([], 3)
    assert fitting(functions, -5) == ([], 3)
    assert fitting([], 0) == ([], 0)


def drawn(look: Look, trouble: str = "", width: int = 80, height: int = 10) -> list[str]:
    console = Console(width=width, height=height, highlight=False)
    with console.capture() as capture:
        shown = screen(console, look, read_address("box:1"), ORDERS["q"], trouble)
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
