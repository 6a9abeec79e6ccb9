"""``gearpy run``: one errand by hand, in the console."""

import asyncio
import sys
from typing import Any, Final

import click

from gearpy.address import Address
from gearpy.cli.errands import allowance, allowance_options, check_programs
from gearpy.cli.options import server_option
from gearpy.cli.tables import note, printable
from gearpy.client.sync import Client
from gearpy.errands.orders import NotWell, Output, Response
from gearpy.errands.worker import Allowance, Errands
from gearpy.errors import FailJob, GearpyError
from gearpy.protocol.content import read_content

_EXIT_SIGNALLED: Final = 128  # and the number of the signal, as shells have it


@click.command()
@click.argument("handle")
@server_option
@allowance_options
def run(
    handle: str,
    server: Address,
    hosts: tuple[str, ...],
    commands: tuple[str, ...],
    max_output: int,
    secret: str,
) -> int:
    """Run the request or the command of job HANDLE here, and show what it gives.

    It is for jobs of gearpy.http and gearpy.exec, whatever became of them, to find out why one
    fails. The job itself stays as it is. What it may do is said as for `gearpy worker`.

    The exit code is the command's, or 1 if the request was not answered well.
    """
    allowed = allowance(hosts, commands, max_output, secret)
    check_programs(allowed)
    with Client(str(server)) as client:
        job = client.operate("job", handle=handle)["job"]
    payload = _payload(job)
    try:
        report = asyncio.run(_perform(allowed, job["function"], payload, handle))
    except NotWell as error:
        return _show(error.report, error.brief)
    except FailJob as error:
        raise GearpyError(printable(str(error))) from None
    return _show(report)


async def _perform(
    allowed: Allowance, function: str, payload: bytes, handle: str
) -> Response | Output:
    async with Errands(allowed) as errands:
        return await errands.perform(function, payload, handle)


def _payload(job: dict[str, Any]) -> bytes:
    if job.get("payload_on_disk"):
        raise GearpyError(
            "the payload of this job is in the journal only for now: it is read when the job is"
            " about to be given out"
        )
    if job.get("payload_cut"):
        raise GearpyError("the payload of this job is too large to be fetched whole")
    return read_content("payload", job) or b""


def _show(report: Response | Output, trouble: str = "") -> int:
    """What it gave, on the streams that it is meant for, and behind that what is to be said of it;
    the exit code that says how it went."""
    code = _write(report)
    said = [trouble] if trouble else []
    if isinstance(report, Output):
        for stream, is_cut in (("output", report.stdout_cut), ("error", report.stderr_cut)):
            if is_cut:
                said.append(f"its standard {stream} was cut; --max-output lets more of it through")
    if said and not _ends_a_line(report):
        note("")
    for words in said:
        note(f"gearpy run: {printable(words)}")
    return code


def _ends_a_line(report: Response | Output) -> bool:
    """Whether what is said next begins a line where people look."""
    if isinstance(report, Output) and report.stderr:
        return report.stderr.endswith(b"\n")
    last = report.body if isinstance(report, Response) else report.stdout
    return not last or last.endswith(b"\n") or not sys.stdout.isatty()


def _write(report: Response | Output) -> int:
    if isinstance(report, Response):
        click.echo(f"{report.status} {printable(report.url)}", err=True)
        sys.stdout.buffer.write(report.body)
        sys.stdout.flush()
        return int(report.status >= 400)
    sys.stdout.buffer.write(report.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(report.stderr)
    sys.stderr.flush()
    return _EXIT_SIGNALLED - report.exit_code if report.exit_code < 0 else report.exit_code
