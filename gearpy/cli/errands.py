"""What ``gearpy worker --http --exec`` and ``gearpy run`` share: what is allowed to errands."""

import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gearpy.cli.tables import printable
from gearpy.errands.commands import missing_programs, read_allowed
from gearpy.errands.worker import BYTES_MAX, Allowance
from gearpy.errors import GearpyError, InvalidArgument

_Command = TypeVar("_Command", bound=Callable[..., Any])


def allowance_options(command: _Command) -> _Command:
    """Adds --allow-host, --allow-command, --max-output and --callback-secret: see ``allowance``."""
    for option in (
        click.option(
            "--callback-secret",
            "secret",
            default="",
            envvar="GEARPY_CALLBACK_SECRET",
            show_envvar=True,
            metavar="SECRET",
            help="That of the server: each attempt to deliver a callback is signed anew then.",
        ),
        click.option(
            "--max-output",
            type=click.IntRange(min=1),
            default=BYTES_MAX,
            show_default=True,
            metavar="BYTES",
            help="How much is kept of what a command writes, or taken of an answer.",
        ),
        click.option(
            "--allow-command",
            "commands",
            multiple=True,
            metavar="NAME=ARGV...",
            help="A command that jobs may run under this name, with arguments of their own behind:"
            ' thumbnail="/srv/shop/thumbnail --width 200". Its program must be there. May be'
            " repeated.",
        ),
        click.option(
            "--allow-host",
            "hosts",
            multiple=True,
            metavar="PATTERN",
            help="Where requests may go: api.example.org, *.example.org, 10.1.0.0/16,"
            " localhost:8080. Inner addresses only where they are named. May be repeated.",
        ),
    ):
        command = option(command)
    return command


def allowance(
    hosts: tuple[str, ...], commands: tuple[str, ...], max_output: int, secret: str
) -> Allowance:
    """What these options allow.  Raises click.UsageError for what can't be allowed, and GearpyError
    where requests are and what they need is not installed."""
    made = Allowance(hosts, commands, max_output, secret)
    try:
        made.check()
    except InvalidArgument as error:
        raise click.UsageError(str(error)) from None
    if hosts and importlib.util.find_spec("httpx") is None:
        raise GearpyError("requests need the package httpx: pip install 'gearpy[http]'")
    return made


def check_programs(allowed: Allowance) -> None:
    """Raises GearpyError if a command can't be run here: a worker that has all its jobs fail is
    worse than none, for others might do them."""
    if missing := list(missing_programs(read_allowed(allowed.commands))):
        raise GearpyError("; ".join(map(printable, missing)))
