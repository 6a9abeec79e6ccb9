"""``gearpy submit``: one job from the command line."""

import os
import sys
from typing import Final

import click

from gearpy.address import Address
from gearpy.cli.options import server_option
from gearpy.client.sync import Client
from gearpy.priority import Priority

_CLEAR: Final = "\r\033[K"  # to the start of the line, and empty it


@click.command()
@click.argument("function")
@click.argument("data", required=False)
@server_option
@click.option("--background", is_flag=True, help="Do not wait; print the job's handle.")
@click.option(
    "--priority",
    type=click.Choice([priority.name.lower() for priority in Priority]),
    default=Priority.NORMAL.name.lower(),
    show_default=True,
    help="How urgent the job is.",
)
@click.option("--unique", default="", help="Share an unfinished job of the same function and key.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Fail if the result has not come after this time.  [default: wait for ever]",
)
def submit(
    function: str,
    data: str | None,
    server: Address,
    background: bool,
    priority: str,
    unique: str,
    timeout: float | None,
) -> None:
    """Submit a job of FUNCTION and write what it gives to standard output, part by part.

    DATA is the payload; "-" reads it from standard input, and so does leaving it out where that is
    not a terminal. The worker's warnings and, on a terminal, its progress go to standard error.
    """
    payload = _payload(data)
    urgency = Priority[priority.upper()]
    with Client(str(server)) as client:
        if background:
            click.echo(client.submit_background(function, payload, unique=unique, priority=urgency))
            return
        reporter = _Reporter()
        job = client.submit(
            function,
            payload,
            unique=unique,
            priority=urgency,
            on_data=_write_out,
            on_progress=reporter.progress if sys.stderr.isatty() else None,
            on_warning=reporter.warning,
        )
        try:
            result = job.result(timeout)
        finally:
            reporter.clear()
    _write_out(result)


def _write_out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _payload(data: str | None) -> bytes:
    if data is not None and data != "-":
        return os.fsencode(data)
    if data is None and (sys.stdin is None or sys.stdin.isatty()):
        return b""
    return sys.stdin.buffer.read()


class _Reporter:
    """What the worker tells on the way, on standard error."""

    def __init__(self) -> None:
        self._shown = False

    def progress(self, numerator: int, denominator: int) -> None:
        percent = f" ({100 * numerator // denominator} %)" if denominator else ""
        self._write(f"{_CLEAR}{numerator}/{denominator}{percent}".encode())
        self._shown = True

    def warning(self, message: bytes) -> None:
        self.clear()
        self._write(message if message.endswith(b"\n") else message + b"\n")

    def clear(self) -> None:
        if self._shown:
            self._write(_CLEAR.encode())
            self._shown = False

    def _write(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
