"""``gearpy run``: one errand by hand, in the console."""

import asyncio
import sys
from typing import Any, Final

import click

from gearpy.address import Address
from gearpy.cli.errands import allowance, allowance_options
from gearpy.cli.options import server_option
from gearpy.cli.tables import printable
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
    with Client(str(server)) as client:
        job = client.operate("job", handle=handle)["job"]
    payload = _payload(job)
    try:
        report = asyncio.run(_perform(allowed, job["function"], payload, handle))
    except NotWell as error:
        code = _show(error.report)
        click.echo(f"gearpy run: {printable(str(error))}", err=True)
        return code
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


def _show(report: Response | Output) -> int:
    """What it gave, on the streams that it is meant for; the exit code that says how it went."""
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
