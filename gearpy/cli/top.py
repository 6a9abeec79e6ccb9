"""``gearpy top``: the functions of a server, live in a terminal.

What is shown is made from *looks*: a look is what the server said at one moment, and a rate is what
two of them differ by.
"""

import contextlib
import os
import re
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gearpy.address import Address
from gearpy.cli.operating import listed
from gearpy.cli.options import read_duration, server_option
from gearpy.cli.reports import ask_report
from gearpy.cli.tables import age, cell, counted, printable, show, table
from gearpy.client.sync import Client
from gearpy.errors import ConnectionLost, GearpyError, NotSupported, WaitTimeout
from gearpy.protocol import admin
from gearpy.protocol.codec import decoded

_TIMEOUT_S: Final = 5.0  # a server that takes longer to answer is as good as gone to who looks on
_EVERY_S_MIN: Final = 0.01  # more often would be work for nothing but the server
_NOTHING: Final = "No functions: no job waits and no worker has registered."

_WIDE_COLUMNS: Final = 110  # from here on there is room between the columns of the table
_EXIT_KEY: Final = "x"
_SUSPEND_KEY: Final = "\x1a"  # Ctrl-Z
_ESCAPED: Final = re.compile(r"\x1b(?:[\[O][0-?]*[ -/]*[@-~]|.?)", re.DOTALL)  # arrows, Alt-x

_Command = TypeVar("_Command", bound=Callable[..., Any])


# ---- options and questions that `gearpy watch` shares


def every_option(command: _Command) -> _Command:
    """Adds ``--every``, given to the command as ``every_s: float``."""
    return click.option(
        "--every",
        "every_s",
        callback=_read_every,
        default="1",
        show_default=True,
        metavar="SECONDS",
        help="How long it is from one look to the next.",
    )(command)


def _read_every(_context: click.Context, _option: click.Parameter, text: str) -> float:
    try:
        every_s = read_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if every_s < _EVERY_S_MIN:
        raise click.BadParameter(f"{text!r} is too short; it must be at least {_EVERY_S_MIN} s")
    return every_s


def is_gearpy_server(server: Address) -> bool:
    """Whether the server takes operators' requests.

    One that says nothing to the question is another one.  Raises CannotConnect, ConnectionLost and
    ServerError.
    """
    try:
        with Client(str(server), timeout=_TIMEOUT_S) as client:
            client.operate("server")
    except (NotSupported, WaitTimeout):
        return False
    return True


# ---- looks, and what follows from them


class Function(NamedTuple):
    """A function as it was at a look.  None: not known; other servers tell less."""

    name: str
    queued: int
    running: int
    workers: int
    delayed: int | None = None  # those that are tried again included
    dead: int | None = None
    oldest_s: float | None = None  # how long the first of the queue waits
    ended: int | None = None  # since the server's start, in whatever way
    completed: int = 0
    cancelled: int = 0
    state: str = ""
    rate: float | None = None  # jobs that end in a second


class Look(NamedTuple):
    """What a server said at one moment.  Without a ``version`` it is not a gearpy-server."""

    functions: list[Function]
    at_s: float  # on a clock that only goes forward
    version: str | None = None
    pid: int = 0
    journal_full: bool = False


def function_of(row: dict[str, Any]) -> Function:
    """A row of the answer to the request ``functions``."""
    counts = row["counts"]
    ended = sum(counts[how] for how in ("completed", "failed", "dead", "cancelled", "expired"))
    return Function(
        row["function"],
        row["queued"],
        row["running"],
        row["workers"],
        row["delayed"] + row["retrying"],
        row["dead"],
        row["oldest_queued_s"],
        ended,
        counts["completed"],
        counts["cancelled"],
        ", ".join(mark for mark in ("paused", "draining") if row[mark]),
    )


def plain_function_of(row: admin.StatusRow) -> Function:
    """A row of the text protocol's ``status``."""
    queued = max(row.jobs - row.running, 0)
    return Function(decoded(row.function), queued, row.running, row.workers)


def rated(look: Look, before: Look | None) -> Look:
    """The look, with the rates since the one before.

    A server that was started anew counts from 0 again, so there are no rates then.
    """
    if before is None or before.pid != look.pid or before.at_s >= look.at_s:
        return look
    ended = {each.name: each.ended or 0 for each in before.functions}
    span_s = look.at_s - before.at_s

    def rate(function: Function) -> float | None:
        if function.ended is None:
            return None
        jobs = function.ended - ended.get(function.name, 0)
        return jobs / span_s if jobs >= 0 else None  # it was dropped, and is there again

    return look._replace(functions=[each._replace(rate=rate(each)) for each in look.functions])


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


def fitting(functions: list[Function], lines: int) -> tuple[list[Function], int]:
    """As many of the first as there are lines for, and how many more there are.

    To say so takes a line, too.
    """
    if len(functions) <= lines:
        return functions, 0
    shown = max(lines - 1, 0)
    return functions[:shown], len(functions) - shown


# ---- words


class _Column(NamedTuple):
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
    _Column("Queued", lambda each: _number(each.queued), everywhere=True),
    _Column("Running", lambda each: _number(each.running), everywhere=True),
    _Column("Delayed", lambda each: _number(each.delayed)),
    _Column("Dead", lambda each: _number(each.dead)),
    _Column("Workers", lambda each: _number(each.workers), everywhere=True),
    _Column("Oldest", _oldest),
    _Column("Jobs/s", lambda each: speed(each.rate)),
    _Column("Success", success),
    _Column("State", lambda each: each.state, number=False),
)


def _columns(look: Look) -> list[_Column]:
    told = _COLUMNS if look.version is not None else [each for each in _COLUMNS if each.everywhere]
    return [each for each in told if each.number or any(map(each.words, look.functions))]


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


_JOURNAL_FULL: Final = "The journal's disk is nearly full: background jobs are refused."


# ---- looking


class _Observer:
    """Looks at a server.  After it went away it may be another one, so it is asked anew."""

    def __init__(self, server: Address) -> None:
        self._server = server
        self._extended: bool | None = None
        self._client: Client | None = None
        self._before: Look | None = None

    def __enter__(self) -> "_Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def look(self) -> Look:
        """The server as it is now.  Raises GearpyError if it does not say so."""
        try:
            if self._extended is None:
                self._extended = is_gearpy_server(self._server)
            look = self._look_closely() if self._extended else self._look_from_afar()
        except GearpyError:
            self._forget()
            raise
        look, self._before = rated(look, self._before), look
        return look

    def _look_closely(self) -> Look:
        if self._client is None:
            self._client = Client(str(self._server), timeout=_TIMEOUT_S)
        facts = self._client.operate("server")
        rows = listed(self._client, "functions", "functions", None, {}).rows
        return Look(
            list(map(function_of, rows)),
            time.monotonic(),
            facts["version"],
            facts["pid"],
            facts["journal_full"],
        )

    def _look_from_afar(self) -> Look:
        try:
            rows = admin.read_status(ask_report(self._server, b"status"))
        except ValueError as error:
            raise ConnectionLost(
                f"what {self._server} answered to 'status' is not a Gearman server's report"
            ) from error
        return Look(list(map(plain_function_of, rows)), time.monotonic())

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._extended = None


# ---- the terminal


class _Keyboard:
    """Keys as they are pressed, from ``with`` to the end of the block.

    However the block ends, the terminal is as it was before; so the signals that would end the
    process on the spot end the block, too.  Without a terminal no key is ever pressed.
    """

    def __init__(self) -> None:
        self._terminal: int | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "_Keyboard":
        if sys.stdin is not None and sys.stdin.isatty():
            with contextlib.ExitStack() as stack:
                self._terminal = sys.stdin.fileno()
                stack.enter_context(_ending_orderly())
                stack.enter_context(_key_by_key(self._terminal))
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, timeout_s: float) -> str:
        """The keys that are pressed next, at most so late.  The exit key if nobody can any more."""
        if self._terminal is None:
            time.sleep(max(timeout_s, 0.0))  # there are no keys to wait for
            return ""
        if not select.select([self._terminal], [], [], max(timeout_s, 0.0))[0]:
            return ""
        try:
            typed = os.read(self._terminal, 1024)
        except OSError:  # so Linux says that the terminal is gone
            typed = b""
        if not typed:
            return _EXIT_KEY
        return keys_of(typed)


def keys_of(typed: bytes) -> str:
    r"""The keys of what came from a terminal.

    An arrow is several characters, and none of them is a key that somebody pressed.

    >>> keys_of(b"q\x1b[D\x1b[1;5Dn\x1bOqr\x1bx")
    'qnr'
    """
    return _ESCAPED.sub("", typed.decode("utf-8", "replace"))


@contextlib.contextmanager
def _key_by_key(terminal: int) -> Iterator[None]:
    """A terminal that shows no keys, and gives each of them at once; then as it was before."""
    before = termios.tcgetattr(terminal)
    changed = termios.tcgetattr(terminal)
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    # Ctrl-Z comes as a key: before it stops, the terminal is to be put in order.
    changed[6][termios.VSUSP] = bytes([os.fpathconf(terminal, "PC_VDISABLE")])
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, changed)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(terminal, termios.TCSANOW, before)


@contextlib.contextmanager
def _ending_orderly() -> Iterator[None]:
    """Signals that would end the process without a word raise SystemExit instead."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)  # as shells have it

    ends = (signal.SIGTERM, signal.SIGHUP)
    changed = [each for each in ends if signal.getsignal(each) is signal.SIG_DFL]
    for each in changed:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in changed:
            signal.signal(each, signal.SIG_DFL)


def screen(
    console: Console, look: Look, server: Address, order: Order, trouble: str
) -> RenderableType:
    """All that fits on the terminal, each line one line."""
    above = [_line(title(look, server), "bold")]
    if trouble:
        above.append(_line(trouble, "bold red"))
    elif look.journal_full:
        above.append(_line(_JOURNAL_FULL, "bold red"))
    keys = _keys(order)
    lines = console.size.height - len(above) - 2  # the headings, the keys
    shown, more = fitting(in_order(look.functions, order), lines)
    below = [_line(f"and {counted(more, 'more function')}")] if more else []
    body = _fitted_table(console, look, order, shown) if look.functions else _line(_NOTHING)
    return Group(*above, body, *below, keys)


def _line(words: str, style: str = "") -> Text:
    return Text(words, style, no_wrap=True, overflow="ellipsis")


def _keys(order: Order) -> Text:
    """The keys to sort by: "q queued", and how to leave; the one that is in use stands out."""
    words = _line("sort by ", "dim")
    for each in ORDERS.values():
        style = "bold reverse" if each is order else ""
        words.append(f"{each.key} {each.word}", style).append("  ")
    return words.append(f"{_EXIT_KEY} exit")


def _fitted_table(console: Console, look: Look, order: Order, shown: list[Function]) -> Table:
    """The functions; where there is little room, words give way to numbers."""
    gap = 3 if console.size.width >= _WIDE_COLUMNS else 1
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    made.add_column(_heading("Function", order), no_wrap=True, overflow="ellipsis", ratio=2)
    columns = _columns(look)
    for column in columns:
        heading = _heading(column.heading, order)
        if column.number:
            made.add_column(heading, justify="right", no_wrap=True)
        else:
            made.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
    for each in shown:
        made.add_row(cell(each.name), *(column.words(each) for column in columns))
    # Only a table that is stretched to the terminal's width shrinks those that have a ratio.
    made.expand = console.measure(made).maximum >= console.size.width
    return made


def _heading(words: str, order: Order) -> Text:
    return Text(words, "bold reverse" if words == order.heading else "bold")


class _Suspended(Exception):
    """Somebody pressed Ctrl-Z."""


class _Top:
    """What is shown while it runs, and what changes it."""

    def __init__(
        self, console: Console, observer: _Observer, server: Address, order: Order, every_s: float
    ) -> None:
        self._console = console
        self._observer = observer
        self._server = server
        self._order = order
        self._every_s = every_s
        self._look = observer.look()
        self._looked_s = time.monotonic()
        self._trouble = ""

    def run(self) -> None:
        """Shows it until somebody has seen enough."""
        while True:
            try:
                with (
                    _Keyboard() as keyboard,
                    Live(console=self._console, screen=True, auto_refresh=False) as live,
                ):
                    self._show(keyboard, live)
                return
            except _Suspended:
                # As the terminal itself does it: with whatever stands with it in a pipeline.
                os.killpg(os.getpgrp(), signal.SIGTSTP)

    def _show(self, keyboard: _Keyboard, live: Live) -> None:
        while True:
            words = self._trouble and f"{self._trouble}. This is {self._age()} old; trying again"
            live.update(
                screen(self._console, self._look, self._server, self._order, words), refresh=True
            )
            for key in keyboard.read(self._looked_s + self._every_s - time.monotonic()):
                if key == _EXIT_KEY:
                    return
                if key == _SUSPEND_KEY:
                    raise _Suspended
                self._order = ORDERS.get(key, self._order)
            if time.monotonic() >= self._looked_s + self._every_s:
                self._look_again()

    def _look_again(self) -> None:
        try:
            self._look, self._trouble = self._observer.look(), ""
        except GearpyError as error:
            self._trouble = printable(str(error))
        self._looked_s = time.monotonic()

    def _age(self) -> str:
        return age(time.monotonic() - self._look.at_s)


# ---- the command


def _read_order(_context: click.Context, _option: click.Parameter, text: str) -> Order:
    for order in ORDERS.values():
        if text in (order.key, order.word):
            return order
    words = ", ".join(f"{order.key} or {order.word}" for order in ORDERS.values())
    raise click.BadParameter(f"{text!r} is nothing to sort by; write one of {words}")


@click.command()
@click.option(
    "--sort",
    "order",
    callback=_read_order,
    default="queued",
    show_default=True,
    metavar="KEY",
    help="What they are sorted by in the beginning: one of those keys, or its word.",
)
@every_option
@click.option("--once", is_flag=True, help="Print one table and end.")
@server_option
def top(order: Order, every_s: float, once: bool, server: Address) -> None:
    """Show the functions of a server live, until x or Ctrl-C is pressed.

    Other keys sort them: q queued, r running, d dead, w workers, o oldest, s speed, n name.

    Of a gearpy-server there are: jobs that are queued, running, delayed (those that are tried again
    included) and dead; workers; how long the oldest queued job waits; jobs that ended in a second,
    in whatever way, since the look before; how many of those that ended since the server's start
    were completed, the cancelled ones left out; and whether it is paused or draining. Other servers
    tell only what is queued and running, and the workers.

    A server that goes away is shown as it was, and asked again until it is back.

    With --once, and where the output is not a terminal, one table of all functions is printed.
    Speed takes two looks, so with a gearpy-server that takes as long as --every says.

    \b
    Exit status: 0 it was shown
                 1 no server answers in the beginning, or with --once
    """
    console = Console(highlight=False)
    with _Observer(server) as observer:
        if once or not sys.stdout.isatty() or console.is_dumb_terminal:
            _show_once(observer, server, order, every_s)
            return
        with contextlib.suppress(KeyboardInterrupt):
            _Top(console, observer, server, order, every_s).run()


def _show_once(observer: _Observer, server: Address, order: Order, every_s: float) -> None:
    look = observer.look()
    if look.version is not None:
        time.sleep(every_s)  # speed is what lies between two looks
        look = observer.look()
    click.echo(title(look, server))
    if look.journal_full:
        click.echo(_JOURNAL_FULL)
    functions = in_order(look.functions, order)
    if sys.stdout.isatty():
        show(_fitted_table(Console(), look, order, functions), _NOTHING)
    else:
        show(_whole_table(look, functions), _NOTHING)


def _whole_table(look: Look, functions: list[Function]) -> Table:
    """The functions as the other reports have it, for who reads on: nothing gives way."""
    columns = _columns(look)
    numbers = tuple(column.heading for column in columns if column.number)
    report = table("Function", *(column.heading for column in columns), right=numbers)
    for each in functions:
        report.add_row(cell(each.name), *(column.words(each) for column in columns))
    return report
