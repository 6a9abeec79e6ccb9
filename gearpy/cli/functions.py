"""``gearpy pause``, ``resume`` and ``drain``: whether a function's jobs are given out and taken."""

import click

from gearpy.address import Address
from gearpy.cli.operating import listed
from gearpy.cli.options import json_option, server_option
from gearpy.cli.tables import printable, show_json
from gearpy.client.sync import Client
from gearpy.errors import GearpyError


def _steer(verb: str, done: str, function: str, as_json: bool, server: Address) -> None:
    with Client(str(server)) as client:
        names = listed(client, verb, "functions", None, {"function": function}).rows
    if not names:
        raise GearpyError(f"no function that the server knows matches {printable(function)}")
    if as_json:
        show_json({"functions": names})
    else:
        click.echo(f"{done}: {', '.join(printable(name) for name in names)}")


@click.command()
@click.argument("function")
@json_option
@server_option
def pause(function: str, as_json: bool, server: Address) -> None:
    """Give out no more jobs of FUNCTION.

    What runs goes on, and new jobs are taken. FUNCTION may be a pattern like image.*, which means
    the functions that there are by now.
    """
    _steer("pause", "Paused", function, as_json, server)


@click.command()
@click.argument("function")
@json_option
@server_option
def resume(function: str, as_json: bool, server: Address) -> None:
    """Give out and take jobs of FUNCTION again.

    FUNCTION may be a pattern like image.*
    """
    _steer("resume", "Resumed", function, as_json, server)


@click.command()
@click.argument("function")
@json_option
@server_option
def drain(function: str, as_json: bool, server: Address) -> None:
    """Take no more jobs of FUNCTION.

    Those that are there are still done. FUNCTION may be a pattern like image.*, which means the
    functions that there are by now.
    """
    _steer("drain", "Draining", function, as_json, server)
