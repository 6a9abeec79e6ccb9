"""``gearpy dead``: the dead letters, jobs that used up their attempts."""

from typing import Any

import click

from gearpy.address import Address
from gearpy.cli.job_report import attempts, show_job
from gearpy.cli.operating import PURGE, RETRY, check_state, do_with, listed_jobs
from gearpy.cli.options import (
    Selection,
    all_option,
    json_option,
    limit_option,
    newest_option,
    selection_options,
    server_option,
    yes_option,
)
from gearpy.cli.tables import age, cell, excerpt, note, show, show_json, table
from gearpy.client.sync import Client
from gearpy.engine.job import DEAD

_ERROR_CHARACTERS = 80


@click.group()
def dead() -> None:
    """Look after dead letters.

    A dead letter is a job that failed, and has no attempts left.
    """


@dead.command("list")
@selection_options()
@newest_option
@limit_option(100, "Show so many at most.")
@json_option
@server_option
def list_dead(
    selection: Selection, newest: bool, limit: int, as_json: bool, server: Address
) -> None:
    """List dead letters, the oldest first unless --newest-first says otherwise.

    Their age counts from their death.
    """
    with Client(str(server)) as client:
        selection = {"states": [DEAD]} | selection
        rows, more, now_s = listed_jobs(client, limit, newest, selection)
    if as_json:
        show_json({"jobs": rows, "more": more})
        return
    report = table("Handle", "Function", "Died", "Attempts", "Reason", "Error")
    for row in rows:
        report.add_row(
            cell(row["handle"]),
            cell(row["function"]),
            f"{age(now_s - row['since_s'])} ago",
            attempts(row),
            cell(row.get("reason", "")),
            cell(excerpt(row.get("error", ""), _ERROR_CHARACTERS)),
        )
    show(report, "No dead letters.")
    if more:
        note(f"There are more than {limit:,}: see more with --limit, or fewer with a filter.")


@dead.command("show")
@click.argument("handle")
@json_option
@server_option
def show_dead(handle: str, as_json: bool, server: Address) -> None:
    """Show the whole life of one dead letter."""
    with Client(str(server)) as client:
        answer = check_state(client, handle, DEAD)
    if as_json:
        show_json(answer["job"])
    else:
        show_job(answer["job"], answer["now_s"])


@dead.command("retry")
@click.argument("handles", metavar="[HANDLE]...", nargs=-1)
@selection_options()
@all_option
@limit_option(None, "Retry so many at most.")
@yes_option
@json_option
@server_option
def retry_dead(handles: tuple[str, ...], **options: Any) -> None:
    """Run dead letters again, with all their attempts anew.

    Those named by their handles are retried without asking.
    """
    do_with(RETRY, handles, states=(DEAD,), only=DEAD, **options)


@dead.command("purge")
@click.argument("handles", metavar="[HANDLE]...", nargs=-1)
@selection_options()
@all_option
@limit_option(None, "Purge so many at most.")
@yes_option
@json_option
@server_option
def purge_dead(handles: tuple[str, ...], **options: Any) -> None:
    """Forget dead letters for good.

    Those named by their handles are purged without asking.
    """
    do_with(PURGE, handles, states=(DEAD,), only=DEAD, **options)
