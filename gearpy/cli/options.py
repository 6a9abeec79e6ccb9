"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from gearpy.address import Address, read_address
from gearpy.errors import SettingError

SERVER_VARIABLE: Final = "GEARPY_SERVER"

_Command = TypeVar("_Command", bound=Callable[..., Any])


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
