"""``gearpy watch``: one job, until it ends."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from gearpy.address import Address
from gearpy.cli.job_report import Job, attempts, progress
from gearpy.cli.operating import is_gearpy_server
from gearpy.cli.options import every_option, server_option
from gearpy.cli.tables import excerpt, moment, printable
from gearpy.client.sync import Client
from gearpy.engine.job import COMPLETED, DEAD, DELAYED, FINISHED, RETRYING, RUNNING
from gearpy.errors import GearpyError, ServerError

_EXIT_FAILURE: Final = 1
_UNKNOWN_JOB: Final = "JOB_NOT_FOUND"
_ENDED: Final = (*FINISHED, DEAD)
_WAITING: Final = "waiting"  # all that other servers say of a job that does not run
_ERROR_CHARACTERS: Final = 200
_VANISHED: Final = "it ended; it is not kept, so nobody knows how"

_Ask = Callable[[], Job | None]


# ---- words


def has_ended(job: Job) -> bool:
    """Whether nothing more comes of it, unless an operator has it run again."""
    return job["state"] in _ENDED


def standing(job: Job) -> str:
    """How it stands with a job: its state and what belongs to it, without its progress.

    >>> standing({"state": "running", "worker": "box", "attempts": 2, "attempts_max": 5})
    'running at box, attempt 2 of 5'
    >>> standing({"state": "dead", "reason": "attempts used up", "error": "no\\nroom"})
    'dead, attempts used up: no room'
    """
    words = str(job["state"])
    if job["state"] in _ENDED:
        words += f", {job['reason']}" if "reason" in job else ""
        error = excerpt(job.get("error", ""), _ERROR_CHARACTERS)
        return f"{words}: {error}" if error else words
    if job["state"] in (DELAYED, RETRYING) and "due_s" in job:
        words += f" until {moment(job['due_s'])}"
    if "worker" in job:
        words += f" at {job['worker']}"
    # The first attempt of a job that has just one is nothing to speak of.
    if job.get("attempts", 0) > 1 or (job.get("attempts") and job["attempts_max"] is not None):
        words += f", attempt {attempts(job)}"
    return words


def line(job: Job) -> str:
    """A job on one line that changes only when something changes."""
    name = f"{job['handle']} {job['function']}" if "function" in job else job["handle"]
    far = "" if has_ended(job) else progress(job)
    return printable(f"{name}: {standing(job)}{'; ' if far else ''}{far}")


def share(job: Job) -> float | None:
    """How much of it is done, from 0 to 1; None: it runs, and its worker does not say.

    >>> share({"state": "running", "numerator": 3, "denominator": 4}), share({"state": "queued"})
    (0.75, 0.0)
    """
    denominator: int = job.get("denominator", 0)
    if denominator > 0:
        # In whole numbers, as a worker may say some that are too large for a float.
        permille: int = 1_000 * job["numerator"] // denominator
        return min(max(permille, 0), 1_000) / 1_000
    return None if job["state"] == RUNNING else 0.0


def exit_code(job: Job) -> int:
    """What a command that waited for it ends with."""
    return 0 if job["state"] == COMPLETED else _EXIT_FAILURE


# ---- asking


def _ask_operator(client: Client, handle: str) -> Job | None:
    """All that a gearpy-server knows of it; None: nothing (any more)."""
    try:
        job: Job = client.operate("job", handle=handle, payloads=False)["job"]
    except ServerError as error:
        if error.code != _UNKNOWN_JOB:
            raise
        return None
    return job


def _ask_status(client: Client, handle: str) -> Job | None:
    """The same of any other server, in the same words."""
    status = client.status(handle)
    if not status.known:
        return None
    job: Job = {"handle": handle, "state": RUNNING if status.running else _WAITING}
    if status.numerator or status.denominator:
        job |= {"numerator": status.numerator, "denominator": status.denominator}
    return job


# ---- showing


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[Job], None]]:
    """What shows how a job stands: a bar on a terminal, elsewhere a line for each change."""
    console = Console(highlight=False)
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        yield _Lines()
        return
    with Progress(
        TextColumn("{task.description}", markup=False, table_column=_one_line()),
        BarColumn(),
        TextColumn("{task.fields[far]}", markup=False, table_column=_one_line()),
        console=console,
        transient=True,  # what stays is the line that says how it ended
    ) as bar:
        task = bar.add_task("", far="")

        def show(job: Job) -> None:
            done = share(job)
            # Not by update: it takes None for nothing said, and an unknown total for no total.
            bar.tasks[0].total = None if done is None else 1.0
            description = printable(f"{job.get('function', job['handle'])}: {standing(job)}")
            bar.update(
                task, description=description, completed=done or 0.0, far=printable(progress(job))
            )

        yield show


def _one_line() -> Column:
    return Column(no_wrap=True, overflow="ellipsis")


class _Lines:
    """Prints a job when there is something new to say."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, job: Job) -> None:
        words = line(job)
        if words != self._last:
            click.echo(words)
            self._last = words


def _watched(ask: _Ask, job: Job, every_s: float) -> Job | None:
    """The job at its end; None if it vanished."""
    with _shown() as show:
        seen: Job | None = job
        while seen is not None and not has_ended(seen):
            show(seen)
            time.sleep(every_s)  # between looks: a server can only be asked
            seen = ask()
    return seen


@click.command()
@click.argument("handle")
@every_option
@server_option
@click.pass_context
def watch(context: click.Context, handle: str, every_s: float, server: Address) -> None:
    """Watch one job until it ends.

    On a terminal there is a bar with its state, its progress and what its worker says of it;
    elsewhere a line whenever something of that changes. The last line says how it ended.

    How it ended is known of a gearpy-server's jobs that are kept: dead letters, and what the policy
    of their function keeps. A job that ends and is not kept just vanishes, and so do all jobs of
    other servers.

    \b
    Exit status: 0 it was completed; or it ended, and nobody knows how
                 1 it failed, is dead, was cancelled or expired;
                   or the server does not know it, or went away
    """
    asks = _ask_operator if is_gearpy_server(server) else _ask_status
    with Client(str(server)) as client:
        job = asks(client, handle)
        if job is None:
            raise GearpyError(
                f"the server at {server} knows no job {printable(handle)}: it ended and is not"
                " kept, or it never was"
            )
        job = _watched(lambda: asks(client, handle), job, every_s)
    if job is None:
        click.echo(f"{printable(handle)}: {_VANISHED}")
    else:
        click.echo(line(job))
        context.exit(exit_code(job))
