"""What is said of an aim."""

import io

import pytest
from rich.console import Console

from bench import aims
from bench.aims import Finding


@pytest.mark.parametrize(
    ("values", "least", "most", "met"),
    [
        ([59.0, 61.0, 90.0], 60.0, None, True),
        ([59.0, 59.0, 90.0], 60.0, None, False),
        ([60.0], 60.0, None, True),
        ([9.0, 9.9, 50.0], None, 10.0, True),
        ([9.0, 10.1, 11.0], None, 10.0, False),
        ([1.0], None, None, None),
    ],
)
def test_the_median_meets_the_aim_or_does_not(
    values: list[float], least: float | None, most: float | None, met: bool | None
) -> None:
    assert Finding("speed", "x", values, least, most).met is met


def test_the_table_says_so_plainly() -> None:
    heard = io.StringIO()
    Console(file=heard, width=160).print(
        aims.table(
            [
                Finding("fast", aims.TIMES, [70.0, 130.0], at_least=60.0),
                Finding("late", aims.MILLISECONDS, [12.0], at_most=10.0),
                Finding("large", aims.MEGABYTES, [1234.5]),
            ]
        )
    )
    rows = [
        [cell.strip() for cell in row.strip(" |\n").split("|")]
        for row in heard.getvalue().splitlines()
        if row.startswith("|")
    ]
    assert rows[2:] == [
        ["fast", "at least 60.00 x", "100 x", "70.00 to 130", "met"],
        ["late", "at most 10.00 ms", "12.00 ms", "12.00 to 12.00", "NOT MET"],
        ["large", "-", "1,234 MB", "1,234 to 1,234", "-"],
    ]
