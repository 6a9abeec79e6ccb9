"""``gearpy submit``: one job from the command line."""

import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from gearpy.address import Address
from gearpy.cli.options import server_option
from gearpy.cli.tables import printable
from gearpy.client.options import SubmitOptions
from gearpy.client.sync import Client
from gearpy.engine.policy import read_assignments, read_policy
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority

_CLEAR: Final = "\r\033[K"  # to the start of the line, and empty it
_SECONDS: Final = click.FloatRange(min=0)
_DUE_FORMS: Final = 'write it as "2026-11-21 10:30", with a time zone "2026-11-21T10:30+01:00"'

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _read_due(_context: click.Context, _option: click.Parameter, text: str | None) -> object:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()  # without a zone it is local time
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is no time; {_DUE_FORMS}, or in seconds since the epoch"
        ) from error


def _read_policy_value(_context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """A value as ``gearpy policy set`` takes it."""
    if text is None:
        return None
    assert option.name is not None
    try:
        table = read_assignments([f"{option.name}={text}"])
        read_policy(table)
    except InvalidArgument as error:
        raise click.BadParameter(str(error)) from error
    return table[option.name]


def _read_labels(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{text!r} is no label; write it like customer=4711")
        if name in labels:
            raise click.BadParameter(f"the label {name!r} is given twice")
        labels[name] = value
    return labels or None


# Each is given to the client as the keyword of the same name.
_JOB_OPTIONS: Final = (
    click.option(
        "--delay",
        "delay_s",
        type=_SECONDS,
        metavar="SECONDS",
        help="Wait so long before the first attempt.",
    ),
    click.option(
        "--due",
        callback=_read_due,
        metavar="TIME",
        help='Not before this time: "2026-11-21 10:30", or in seconds since the epoch.',
    ),
    click.option(
        "--attempts",
        type=click.IntRange(min=1),
        metavar="N",
        help="How often it is tried, at most.",
    ),
    click.option(
        "--retry-on",
        callback=_read_policy_value,
        metavar="CAUSES",
        help="After what it is tried again: some of lost,timeout,fail,exception.",
    ),
    click.option(
        "--backoff",
        callback=_read_policy_value,
        metavar="DELAYS",
        help="Seconds between attempts: none, a list like 1,5,30, exponential, or"
        " exponential,base-s=2,cap-s=60.",
    ),
    click.option(
        "--poison",
        type=click.IntRange(min=0),
        metavar="N",
        help="Give up after so many workers were lost with it in a row; 0 for never.",
    ),
    click.option(
        "--attempt-timeout",
        "attempt_timeout_s",
        type=_SECONDS,
        metavar="SECONDS",
        help="After this time an attempt counts as failed; 0 for never.",
    ),
    click.option(
        "--expires",
        "expires_s",
        type=_SECONDS,
        metavar="SECONDS",
        help="Do not start it later than this after the submit; 0 for no limit.",
    ),
    click.option(
        "--callback",
        metavar="URL",
        help="A URL that is told how the job ended, once it has.",
    ),
    click.option("--key", help="What it works on, where jobs of one key are limited."),
    click.option(
        "--label",
        "labels",
        multiple=True,
        callback=_read_labels,
        metavar="NAME=VALUE",
        help="Something to be shown in reports; may be repeated.",
    ),
)


def _job_options(command: _Command) -> _Command:
    for option in reversed(_JOB_OPTIONS):
        command = option(command)
    return command


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
@click.option("--unique", default="", help="Share an unfinished job of this function and unique.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Fail if the result has not come after this time.  [default: wait for ever]",
)
@_job_options
def submit(
    function: str,
    data: str | None,
    server: Address,
    background: bool,
    priority: str,
    unique: str,
    timeout: float | None,
    **options: Any,
) -> None:
    """Submit a job of FUNCTION and write what it gives to standard output, part by part.

    DATA is the payload; "-" reads it from standard input, and so does leaving it out where that is
    not a terminal. The worker's warnings and, on a terminal, its progress go to standard error.

    The options from --delay on, and the priority critical, take a gearpy-server; what they leave
    open is as its policy for the function has it.
    """
    if options["delay_s"] is not None and options["due"] is not None:
        raise click.UsageError("--delay and --due are two ways to say when: give one of them")
    wishes = SubmitOptions(**options)  # type: ignore[typeddict-item]  # named as the keywords
    payload = _payload(data)
    urgency = Priority[priority.upper()]
    with Client(str(server)) as client:
        if background:
            handle = client.submit_background(
                function, payload, unique=unique, priority=urgency, **wishes
            )
            click.echo(handle)
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
            **wishes,
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

    def progress(self, numerator: int, denominator: int, text: str) -> None:
        percent = f" ({100 * numerator // denominator} %)" if denominator else ""
        words = f" {printable(text)}" if text else ""
        self._write(f"{_CLEAR}{numerator}/{denominator}{percent}{words}".encode())
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
