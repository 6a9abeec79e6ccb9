"""``gearpy status``, ``workers`` and ``version``: what a server tells of itself, as tables.

They use the text protocol, which every Gearman server speaks.  Of a gearpy-server ``status`` and
``workers`` tell more.
"""

from typing import Any, Final

import click

from gearpy.address import RECEIVE_BYTES, Address, connect
from gearpy.cli.operating import listed
from gearpy.cli.options import json_option, server_option
from gearpy.cli.tables import age, cell, printable, show, show_json, table
from gearpy.cli.worker_report import NO_WORKERS, show_workers
from gearpy.client.sync import Client
from gearpy.errors import ConnectionLost, GearpyError, ServerError, WaitTimeout
from gearpy.protocol import admin
from gearpy.protocol.codec import decoded
from gearpy.protocol.packets import RES, TEXT
from gearpy.protocol.parser import PacketParser

TIMEOUT_S: Final = 30.0
_EXTENSION_TIMEOUT_S: Final = 5.0  # of a server that has just answered, and may speak no packets
_LINE_BYTES_MAX: Final = 16 << 20  # a worker may know very many functions
_END: Final = admin.END.rstrip()
_NOTHING: Final = "No functions: no job waits and no worker has registered."


@click.command()
@json_option
@server_option
def status(as_json: bool, server: Address) -> None:
    """Show each function with its jobs and workers.

    A gearpy-server also tells how durable its receipts are, and more of each function.
    """
    try:
        rows = admin.read_status(ask_report(server, b"status"))
    except ValueError as error:
        raise _no_report(server, "status") from error
    try:
        with Client(str(server), timeout=_EXTENSION_TIMEOUT_S) as client:
            facts = client.operate("server")
            functions = listed(client, "functions", "functions", None, {}).rows
    except GearpyError:  # it is another server
        _show_plain_status(rows, as_json)
    else:
        _show_status(facts, functions, as_json)


def _show_plain_status(rows: list[admin.StatusRow], as_json: bool) -> None:
    functions: list[dict[str, Any]] = [
        {
            "function": decoded(row.function),
            "waiting": max(row.jobs - row.running, 0),
            "running": row.running,
            "workers": row.workers,
        }
        for row in sorted(rows)
    ]
    if as_json:
        show_json({"server": None, "functions": functions})
        return
    report = table(*_PLAIN, right=_PLAIN[1:])
    for each in functions:
        report.add_row(cell(each["function"]), *(str(each[name.lower()]) for name in _PLAIN[1:]))
    show(report, _NOTHING)


_PLAIN: Final = ("Function", "Waiting", "Running", "Workers")
_COUNTED: Final = ("Queued", "Delayed", "Retrying", "Running", "Dead", "Workers")


def _show_status(facts: dict[str, Any], functions: list[dict[str, Any]], as_json: bool) -> None:
    functions.sort(key=lambda each: str(each["function"]))
    if as_json:
        for each in functions:
            each["waiting"] = each["queued"] + each["delayed"] + each["retrying"]
        show_json({"server": facts, "functions": functions})
        return
    click.echo(f"gearpy-server {printable(facts['version'])}; {_durability(facts)}")
    if facts["journal_full"]:
        click.echo("The journal's disk is nearly full: background jobs are refused.")
    report = table("Function", *_COUNTED, "Note", right=_COUNTED)
    for each in functions:
        counts = (f"{each[name.lower()]:,}" for name in _COUNTED)
        report.add_row(cell(each["function"]), *counts, ", ".join(_notes(each)))
    show(report, _NOTHING)


def _durability(facts: dict[str, Any]) -> str:
    if facts["durability"] is None:
        return "no journal: jobs are kept in memory only"
    return f"journal {printable(str(facts['journal']))}, durability {facts['durability']}"


def _notes(function: dict[str, Any]) -> list[str]:
    notes = [mark for mark in ("paused", "draining") if function[mark]]
    if function["oldest_queued_s"] is not None:
        notes.append(f"oldest waits for {age(function['oldest_queued_s'])}")
    if function["oldest_dead_s"] is not None:
        notes.append(f"oldest dead for {age(function['oldest_dead_s'])}")
    return notes


@click.command()
@json_option
@server_option
def workers(as_json: bool, server: Address) -> None:
    """Show each worker with its functions.

    A gearpy-server also tells what each of them runs, and what it says of itself.
    """
    try:
        rows = admin.read_workers(ask_report(server, b"workers"))
    except ValueError as error:
        raise _no_report(server, "workers") from error
    try:
        with Client(str(server), timeout=_EXTENSION_TIMEOUT_S) as client:
            listing = listed(client, "workers", "workers", None, {})
    except GearpyError:  # it is another server
        _show_plain_workers(rows, as_json)
    else:
        show_workers(listing.rows, listing.now_s, as_json)


def _show_plain_workers(rows: list[admin.WorkerRow], as_json: bool) -> None:
    found: list[dict[str, Any]] = [
        {
            "connection": row.fd,
            "address": decoded(row.address),
            "client_id": decoded(row.client_id),
            "functions": [decoded(name) for name in sorted(row.functions)],
        }
        for row in rows
        if row.functions  # the others are clients; this command is one of them
    ]
    if as_json:
        show_json({"workers": found})
        return
    report = table("Connection", "Address", "Client id", "Functions", right=("Connection",))
    for each in found:
        words = (each["address"], each["client_id"], ", ".join(each["functions"]))
        report.add_row(str(each["connection"]), *map(cell, words))
    show(report, NO_WORKERS)


@click.command()
@json_option
@server_option
def version(as_json: bool, server: Address) -> None:
    """Show the server's version."""
    line = decoded(_ask(server, b"version", report=False)[0].removeprefix(b"OK "))
    if as_json:
        show_json({"server": str(server), "version": line})
        return
    report = table("Server", "Version")
    report.add_row(str(server), cell(line))
    show(report, "")


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
