"""The table of functions: its order, its words, its title."""

import pytest

from gearpy.address import read_address
from gearpy.cli import top_table
from gearpy.cli.top_looks import Look
from gearpy.cli.top_table import ORDERS, in_order, speed, success, title
from tests.cli.functions import function
from tests.docstrings import run_examples


def test_examples_in_docstrings() -> None:
    assert run_examples(top_table).failed == 0


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
