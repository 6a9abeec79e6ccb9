"""``gearpy``: the command that brings the others together."""

import os
import sys
from typing import Final

import click

from gearpy.cli.dead import dead
from gearpy.cli.dissect import dissect
from gearpy.cli.functions import drain, pause, resume
from gearpy.cli.jobs import cancel, cleanup, clear, job, jobs, peek, retry
from gearpy.cli.policies import policy
from gearpy.cli.reports import status, version, workers
from gearpy.cli.run import run
from gearpy.cli.schedules import schedule
from gearpy.cli.submit import submit
from gearpy.cli.top import top
from gearpy.cli.watch import watch
from gearpy.cli.worker import worker
from gearpy.errors import GearpyError
from gearpy.version import VERSION

EXIT_FAILURE: Final = 1
EXIT_INTERRUPTED: Final = 130  # 128 and SIGINT, as shells have it


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "-V", "--version", message="gearpy %(version)s")
def gearpy() -> None:
    """Talk to Gearman servers.

    status, workers, version, submit, top, watch, worker and dissect work with any of them, the
    others with a gearpy-server.
    """


COMMANDS: Final = (
    *(status, workers, version, submit, dissect, top, watch),
    *(jobs, job, peek, cancel, retry, dead, clear, cleanup),
    *(pause, resume, drain, policy, schedule),
    *(worker, run),
)
for command in COMMANDS:
    gearpy.add_command(command)


def main() -> None:
    """Runs the command line and exits: 0 if all went well, 1 with a sentence if something failed,
    2 if the usage was wrong, 130 after Ctrl-C."""
    _open_what_is_closed()
    try:
        code = gearpy.main(prog_name="gearpy", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except GearpyError as error:
        click.echo(f"gearpy: {error}", err=True)
        code = EXIT_FAILURE
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except OSError as error:
        code = _output_failed(error)
    sys.exit(code if isinstance(code, int) else 0)


def _open_what_is_closed() -> None:
    """What is closed (``>&-``) would be None here, and its number that of the next socket."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as it runs


def _output_failed(error: OSError) -> int:
    """Says why nothing more can be written, unless its reader has just gone away."""
    if not isinstance(error, BrokenPipeError):
        click.echo(f"gearpy: the output can't be written: {error.strerror}", err=True)
    # What is still buffered would fail once more, with a traceback, when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILURE


if __name__ == "__main__":
    main()
