"""``gearpy top``: the functions of a server, live in a terminal or once."""

import contextlib
import sys
import time

import click
from rich.console import Console
from rich.live import Live

from gearpy.address import Address
from gearpy.cli.options import every_option, server_option
from gearpy.cli.tables import age, printable, show
from gearpy.cli.terminal import SUSPEND_KEY, Keyboard, suspend
from gearpy.cli.top_observer import Observer
from gearpy.cli.top_screen import EXIT_KEY, fitted_table, screen
from gearpy.cli.top_table import (
    JOURNAL_FULL,
    NO_FUNCTIONS,
    ORDERS,
    Order,
    in_order,
    title,
    whole_table,
)
from gearpy.errors import GearpyError


class _Suspended(Exception):
    """Somebody pressed Ctrl-Z."""


class _Top:
    """What is shown while it runs, and what changes it."""

    def __init__(
        self, console: Console, observer: Observer, server: Address, order: Order, every_s: float
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
                    Keyboard() as keyboard,
                    Live(console=self._console, screen=True, auto_refresh=False) as live,
                ):
                    self._show(keyboard, live)
                return
            except _Suspended:
                suspend()

    def _show(self, keyboard: Keyboard, live: Live) -> None:
        while True:
            words = self._trouble and f"{self._trouble}. This is {self._age()} old; trying again"
            live.update(
                screen(self._console, self._look, self._server, self._order, words), refresh=True
            )
            keys = keyboard.read(self._looked_s + self._every_s - time.monotonic())
            if keys is None:
                return
            for key in keys:
                if key == EXIT_KEY:
                    return
                if key == SUSPEND_KEY:
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
    with Observer(server) as observer:
        if once or not sys.stdout.isatty() or console.is_dumb_terminal:
            _show_once(observer, server, order, every_s)
            return
        with contextlib.suppress(KeyboardInterrupt):
            _Top(console, observer, server, order, every_s).run()


def _show_once(observer: Observer, server: Address, order: Order, every_s: float) -> None:
    look = observer.look()
    if look.version is not None:
        time.sleep(every_s)  # speed is what lies between two looks
        look = observer.look()
    click.echo(title(look, server))
    if look.journal_full:
        click.echo(JOURNAL_FULL)
    functions = in_order(look.functions, order)
    if sys.stdout.isatty():
        show(fitted_table(Console(), look, order, functions), NO_FUNCTIONS)
    else:
        show(whole_table(look, functions), NO_FUNCTIONS)
