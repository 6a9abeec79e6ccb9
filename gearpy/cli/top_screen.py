"""The functions on a terminal: as many as fit, each on one line, and the keys to press."""

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gearpy.address import Address
from gearpy.cli.long_table import LONG
from gearpy.cli.tables import cell, counted
from gearpy.cli.top_looks import Function, Look
from gearpy.cli.top_table import (
    JOURNAL_FULL,
    NO_FUNCTIONS,
    ORDERS,
    Order,
    columns,
    in_order,
    title,
)

EXIT_KEY: Final = "x"
_WIDE_COLUMNS: Final = 110  # from here on there is room between the columns of the table


def screen(
    console: Console, look: Look, server: Address, order: Order, trouble: str
) -> RenderableType:
    """All that fits on the terminal, each line one line."""
    above = [_line(title(look, server), "bold")]
    if trouble:
        above.append(_line(trouble, "bold red"))
    elif look.journal_full:
        above.append(_line(JOURNAL_FULL, "bold red"))
    keys = _keys(order)
    lines = console.size.height - len(above) - 2  # the headings, the keys
    shown, more = fitting(in_order(look.functions, order), lines)
    below = [_line(f"and {counted(more, 'more function')}")] if more else []
    body = fitted_table(console, look, order, shown) if look.functions else _line(NO_FUNCTIONS)
    return Group(*above, body, *below, keys)


def fitted_table(console: Console, look: Look, order: Order, shown: list[Function]) -> Table:
    """The functions; where there is little room, words give way to numbers."""
    gap = 3 if console.size.width >= _WIDE_COLUMNS else 1
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    made.add_column(_heading("Function", order), no_wrap=True, overflow="ellipsis", ratio=2)
    told = columns(look)
    for column in told:
        heading = _heading(column.heading, order)
        if column.number:
            made.add_column(heading, justify="right", no_wrap=True)
        else:
            made.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
    for each in shown:
        made.add_row(cell(each.name), *(column.words(each) for column in told))
    # Only a table that is stretched to the terminal's width shrinks those that have a ratio.
    made.expand = len(shown) <= LONG and console.measure(made).maximum >= console.size.width
    return made


def fitting(functions: list[Function], lines: int) -> tuple[list[Function], int]:
    """As many of the first as there are lines for, and how many more there are.

    To say so takes a line, too.
    """
    if len(functions) <= lines:
        return functions, 0
    shown = max(lines - 1, 0)
    return functions[:shown], len(functions) - shown


def _line(words: str, style: str = "") -> Text:
    return Text(words, style, no_wrap=True, overflow="ellipsis")


def _keys(order: Order) -> Text:
    """The keys to sort by: "q queued", and how to leave; the one that is in use stands out."""
    words = _line("sort by ", "dim")
    for each in ORDERS.values():
        style = "bold reverse" if each is order else ""
        words.append(f"{each.key} {each.word}", style).append("  ")
    return words.append(f"{EXIT_KEY} exit")


def _heading(words: str, order: Order) -> Text:
    return Text(words, "bold reverse" if words == order.heading else "bold")
