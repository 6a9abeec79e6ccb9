"""The table of functions: what it is sorted by, its columns and their words, its title."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from rich.table import Table

from gearpy.address import Address
from gearpy.cli.tables import age, cell, counted, printable, table
from gearpy.cli.top_looks import Function, Look

JOURNAL_FULL: Final = "The journal's disk is nearly full: background jobs are refused."
NO_FUNCTIONS: Final = "No functions: no job waits and no worker has registered."

# ---- its order


class Order(NamedTuple):
    """What functions can be sorted by: the key to press, its word, the column's heading."""

    key: str
    word: str
    heading: str
    value: Callable[[Function], float | None]


ORDERS: Final = {
    order.key: order
    for order in (
        Order("q", "queued", "Queued", lambda each: each.queued),
        Order("r", "running", "Running", lambda each: each.running),
        Order("d", "dead", "Dead", lambda each: each.dead),
        Order("w", "workers", "Workers", lambda each: each.workers),
        Order("o", "oldest", "Oldest", lambda each: each.oldest_s),
        Order("s", "speed", "Jobs/s", lambda each: each.rate),
        Order("n", "name", "Function", lambda _: 0),
    )
}


def in_order(functions: Iterable[Function], order: Order) -> list[Function]:
    """The largest first, what is not known last; those that are alike by their names."""

    def rank(function: Function) -> tuple[float, str]:
        value = order.value(function)
        return (1.0 if value is None else -value), function.name

    return sorted(functions, key=rank)


# ---- its columns, and their words


class Column(NamedTuple):
    """A column of numbers, or of words, which is left out where nobody has any.

    ``everywhere``: other servers tell it, too.
    """

    heading: str
    words: Callable[[Function], str]
    everywhere: bool = False
    number: bool = True


def success(function: Function) -> str:
    """How many of the jobs that ended were completed, since the server's start.

    Those that were cancelled are nobody's fault.  It is 100 % only if nothing went wrong.

    >>> success(Function("f", 0, 0, 0, ended=10_001, completed=9_999, cancelled=1))
    '99.9 %'
    """
    if not function.ended or not (ended := function.ended - function.cancelled):
        return ""
    permille = 1_000 * function.completed // ended
    return f"{permille // 10}.{permille % 10} %" if permille < 1_000 else "100 %"


def speed(rate: float | None) -> str:
    """A number of jobs in a second.

    >>> speed(None), speed(0), speed(2.26), speed(1234.5)
    ('', '0', '2.3', '1,234')
    """
    if not rate:
        return "" if rate is None else "0"
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _oldest(function: Function) -> str:
    return "" if function.oldest_s is None else age(function.oldest_s)


_COLUMNS: Final = (
    Column("Queued", lambda each: _number(each.queued), everywhere=True),
    Column("Running", lambda each: _number(each.running), everywhere=True),
    Column("Delayed", lambda each: _number(each.delayed)),
    Column("Dead", lambda each: _number(each.dead)),
    Column("Workers", lambda each: _number(each.workers), everywhere=True),
    Column("Oldest", _oldest),
    Column("Jobs/s", lambda each: speed(each.rate)),
    Column("Success", success),
    Column("State", lambda each: each.state, number=False),
)


def columns(look: Look) -> list[Column]:
    """Those that this server fills."""
    told = _COLUMNS if look.version is not None else [each for each in _COLUMNS if each.everywhere]
    return [each for each in told if each.number or any(map(each.words, look.functions))]


# ---- all of it


def title(look: Look, server: Address) -> str:
    """Which server it is, and all functions together."""
    if look.version is None:
        name = f"{server}, which is not a gearpy-server, so there is less to see on it"
    else:
        name = f"gearpy-server {printable(look.version)} at {server}"
    parts = [
        counted(len(look.functions), "function"),
        f"{sum(each.queued for each in look.functions):,} queued",
        f"{sum(each.running for each in look.functions):,} running",
    ]
    if look.version is not None:
        parts.append(f"{sum(each.dead or 0 for each in look.functions):,} dead")
        rates = [each.rate for each in look.functions if each.rate is not None]
        parts += [f"{speed(sum(rates))} jobs/s"] if rates else []
    return f"{name}: {', '.join(parts)}"


def whole_table(look: Look, functions: list[Function]) -> Table:
    """The functions as the other reports have it, for who reads on: nothing gives way."""
    told = columns(look)
    numbers = tuple(column.heading for column in told if column.number)
    report = table("Function", *(column.heading for column in told), right=numbers)
    for each in functions:
        report.add_row(cell(each.name), *(column.words(each) for column in told))
    return report
