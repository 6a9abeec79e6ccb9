"""``gearpy status``, ``workers`` and ``version``: what a server tells of itself, as tables.

They use the text protocol, which every Gearman server speaks.
"""

from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gearpy.address import RECEIVE_BYTES, Address, connect
from gearpy.cli.options import server_option
from gearpy.errors import ConnectionLost, ServerError, WaitTimeout
from gearpy.protocol import admin
from gearpy.protocol.packets import RES, TEXT
from gearpy.protocol.parser import PacketParser

TIMEOUT_S: Final = 30.0
_LINE_BYTES_MAX: Final = 16 << 20  # a worker may know very many functions
_WIDE: Final = 100_000  # columns; what is not read on a terminal is not to be broken or cut
_END: Final = admin.END.rstrip()


@click.command()
@server_option
def status(server: Address) -> None:
    """Show each function with its jobs and workers."""
    try:
        rows = admin.read_status(ask_report(server, b"status"))
    except ValueError as error:
        raise _no_report(server, "status") from error
    table = _table("Function", "Waiting", "Running", "Workers")
    for row in sorted(rows):
        waiting = max(row.jobs - row.running, 0)
        table.add_row(_cell(row.function), str(waiting), str(row.running), str(row.workers))
    _show(table, "No functions: no job waits and no worker has registered.")


@click.command()
@server_option
def workers(server: Address) -> None:
    """Show each worker with its functions."""
    try:
        rows = admin.read_workers(ask_report(server, b"workers"))
    except ValueError as error:
        raise _no_report(server, "workers") from error
    table = _table("Connection", "Address", "Client id", "Functions", right=1)
    for row in rows:
        if row.functions:  # the others are clients; this command is one of them
            names = [_cell(name) for name in sorted(row.functions)]
            cells = Text(", ").join(names)
            table.add_row(str(row.fd), _cell(row.address), _cell(row.client_id), cells)
    _show(table, "No workers are connected.")


@click.command()
@server_option
def version(server: Address) -> None:
    """Show the server's version."""
    line = _ask(server, b"version", report=False)[0]
    table = _table("Server", "Version", right=0)
    table.add_row(str(server), _cell(line.removeprefix(b"OK ")))
    _show(table, "")


def ask_report(server: Address, command: bytes) -> list[bytes]:
    """The lines of a report, without the dot that ends it.

    Raises CannotConnect, ConnectionLost, ServerError, and WaitTimeout if the server is silent.
    """
    return _ask(server, command, report=True)


def _ask(server: Address, command: bytes, report: bool) -> list[bytes]:
    parser = PacketParser(RES, line_bytes_max=_LINE_BYTES_MAX)
    lines: list[bytes] = []
    with connect(server, TIMEOUT_S) as connection:
        try:
            connection.sendall(command + b"\n")
            while data := connection.recv(RECEIVE_BYTES):
                for number, line in parser.feed(data):
                    if number != TEXT:
                        raise ConnectionLost(f"{server} answered with a packet, not with text")
                    if line == _END and report:
                        return lines
                    if line.startswith(b"ERR ") and b"\t" not in line:
                        raise _refusal(line)
                    lines.append(line)
                    if not report:
                        return lines
                if parser.broken is not None:
                    raise ConnectionLost(f"{server} does not speak Gearman: {parser.broken}")
        except TimeoutError as error:
            raise WaitTimeout(
                f"the server at {server} did not answer within {TIMEOUT_S:g} s"
            ) from error
        except OSError as error:
            raise ConnectionLost(f"the connection to {server} broke: {error.strerror}") from error
    raise ConnectionLost(f"the server at {server} closed the connection")


def _refusal(line: bytes) -> ServerError:
    code, _, text = (
        admin.printable(line).decode("utf-8", "replace").partition(" ")[2].partition(" ")
    )
    return ServerError(code, text.replace("+", " "))


def _no_report(server: Address, command: str) -> ConnectionLost:
    return ConnectionLost(f"what {server} answered to {command!r} is not a Gearman server's report")


def _table(*headings: str, right: int | None = None) -> Table:
    """A table whose first columns are text and the others numbers; or the first ``right`` columns
    numbers and the others text."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for index, heading in enumerate(headings):
        numeric = index > 0 if right is None else index < right
        table.add_column(
            heading, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    return table


def _cell(name: bytes) -> Text:
    # Names are strangers' words: no control characters, and no markup is read in a Text.
    return Text(admin.printable(name).decode("utf-8", "replace"))


def _show(table: Table, nothing: str) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    if table.row_count:
        console.print(table)
    else:
        console.print(nothing)
