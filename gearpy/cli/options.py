"""Options that several commands share."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from gearpy.address import Address, read_address
from gearpy.durations import read_duration
from gearpy.errors import SettingError

SERVER_VARIABLE: Final = "GEARPY_SERVER"

Selection = dict[str, Any]  # as the server's requests take it

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_EVERY_S_MIN: Final = 0.01  # more often would be work for nothing but the server


def _read_server(_context: click.Context, _option: click.Parameter, text: str) -> Address:
    try:
        return read_address(text)
    except SettingError as error:
        raise click.BadParameter(str(error)) from error


def server_option(command: _Command) -> _Command:
    """Adds ``--server``, given to the command as ``server: Address``."""
    return click.option(
        "--server",
        callback=_read_server,
        default="localhost:4730",
        envvar=SERVER_VARIABLE,
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT",
        help="The Gearman server to talk to; unix:///path for a Unix socket.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Adds ``--json``, given to the command as ``as_json: bool``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
    )(command)


def yes_option(command: _Command) -> _Command:
    """Adds ``--yes``, given to the command as ``yes: bool``."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def all_option(command: _Command) -> _Command:
    """Adds ``--all``, given to the command as ``everything: bool``."""
    return click.option("--all", "everything", is_flag=True, help="Every one of them.")(command)


def newest_option(command: _Command) -> _Command:
    """Adds ``--newest-first``, given to the command as ``newest: bool``."""
    return click.option(
        "--newest-first", "newest", is_flag=True, help="The newest first, not the oldest."
    )(command)


def limit_option(
    default: int | None, says: str, most: int | None = None
) -> Callable[[_Command], _Command]:
    """Adds ``--limit``, given to the command as ``limit: int``, or None if there is none.

    More than ``most`` is refused.
    """
    return click.option(
        "--limit",
        type=click.IntRange(min=1, max=most),
        default=default,
        show_default=default is not None,
        metavar="N",
        help=says,
    )


def duration_option(flag: str, says: str, required: bool = False) -> _Decorator:
    """Adds an option for a number of seconds, which is written like 90, 30s, 5m, 2h or 7d."""
    return click.option(flag, callback=_read_duration, required=required, metavar="AGE", help=says)


def _read_duration(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> float | None:
    try:
        return None if text is None else read_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


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


def selection_options(states: Sequence[str] | None = None) -> _Decorator:
    """Adds the filters, given to the command as ``selection``, which has those that were used.

    Without ``states`` there is no filter by state.
    """
    options: list[_Decorator] = [
        click.option(
            "--function", metavar="PATTERN", help="Only of this function, or like image.*"
        ),
        click.option("--unique", metavar="UNIQUE", help="Only with this unique."),
        duration_option("--older-than", "Only those older than 90 (seconds), 30s, 5m, 2h, 7d."),
        duration_option("--younger-than", "Only those younger than that."),
    ]
    if states is not None:
        options.append(
            click.option(
                "--state",
                type=click.Choice(states),
                multiple=True,
                help="Only those in this state; may be repeated.",
            )
        )

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def gathered(
            function: str | None,
            unique: str | None,
            older_than: float | None,
            younger_than: float | None,
            state: tuple[str, ...] = (),
            **others: Any,
        ) -> None:
            given = {
                "function": function,
                "unique": unique,
                "states": list(state) or None,
                "older_than_s": older_than,
                "younger_than_s": younger_than,
            }
            selection = {name: value for name, value in given.items() if value is not None}
            command(selection=selection, **others)

        decorated: Callable[..., None] = gathered
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return add
