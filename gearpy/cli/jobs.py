"""``gearpy jobs``, ``job``, ``peek``, and what is done with jobs: ``cancel``, ``retry``, ``clear``
and ``cleanup``."""

from typing import Any, Final

import click

from gearpy.address import Address
from gearpy.cli.job_report import attempts, content, details, show_job
from gearpy.cli.operating import CANCEL, PURGE, RETRY, do_with, do_with_many, listed_jobs
from gearpy.cli.options import (
    Selection,
    all_option,
    duration_option,
    json_option,
    limit_option,
    newest_option,
    selection_options,
    server_option,
    yes_option,
)
from gearpy.cli.tables import age, cell, excerpt, note, show, show_json, size, table
from gearpy.client.sync import Client
from gearpy.engine.job import DEAD, FINISHED, RETRIABLE, UNFINISHED, WAITING

_ENDED: Final = (*FINISHED, DEAD)
_PAYLOAD_CHARACTERS: Final = 80


@click.command()
@selection_options((*UNFINISHED, *_ENDED))
@newest_option
@limit_option(100, "Show so many at most.")
@json_option
@server_option
def jobs(selection: Selection, newest: bool, limit: int, as_json: bool, server: Address) -> None:
    """List jobs.

    Unless --state says otherwise, these are the unfinished ones, oldest first. Then come those that
    ended, in the order of their ends, as far as the policy of their function has them kept; with
    --newest-first each of the two is the other way round. The age of a job counts from its submit,
    that of one that ended from its end.
    """
    with Client(str(server)) as client:
        rows, more, now_s = listed_jobs(client, limit, newest, selection)
    if as_json:
        show_json({"jobs": rows, "more": more})
        return
    report = table(
        "Handle", "Function", "State", "Priority", "Age", "Attempts", "Details", right=("Age",)
    )
    for row in rows:
        since_s = row["since_s"] if row["state"] in _ENDED else row["created_s"]
        report.add_row(
            cell(row["handle"]),
            cell(row["function"]),
            row["state"],
            row["priority"],
            age(now_s - since_s),
            attempts(row),
            cell(details(row, now_s)),
        )
    show(report, "No such jobs.")
    if more:
        note(f"There are more than {limit:,}: see more with --limit, or fewer with a filter.")


@click.command()
@click.argument("handle")
@json_option
@server_option
def job(handle: str, as_json: bool, server: Address) -> None:
    """Show the whole life of one job.

    That is its state, its times, attempts and errors, its payload and its result, as far as the
    policy of its function has them kept.
    """
    with Client(str(server)) as client:
        answer = client.operate("job", handle=handle)
    if as_json:
        show_json(answer["job"])
    else:
        show_job(answer["job"], answer["now_s"])


@click.command()
@click.argument("function")
@limit_option(1, "Show so many at most, up to 1000.", most=1_000)
@json_option
@server_option
def peek(function: str, limit: int, as_json: bool, server: Address) -> None:
    """Show the next jobs of FUNCTION.

    They are in the order in which workers would be given them.
    """
    with Client(str(server)) as client:
        answer = client.operate("peek", function=function, limit=limit)
    if as_json:
        show_json({"jobs": answer["jobs"]})
        return
    report = table(
        "Handle", "Priority", "Age", "Attempts", "Size", "Payload", right=("Age", "Size")
    )
    for row in answer["jobs"]:
        text = content(row, "payload")
        report.add_row(
            cell(row["handle"]),
            row["priority"],
            age(answer["now_s"] - row["created_s"]),
            attempts(row),
            size(row["payload_bytes"]) if "payload_bytes" in row else "",
            "on disk only" if text is None else cell(excerpt(text, _PAYLOAD_CHARACTERS)),
        )
    show(report, "No job of this function is queued.")


@click.command()
@click.argument("handles", metavar="[HANDLE]...", nargs=-1)
@selection_options(UNFINISHED)
@all_option
@limit_option(None, "Cancel so many at most.")
@yes_option
@json_option
@server_option
def cancel(handles: tuple[str, ...], **options: Any) -> None:
    """Cancel unfinished jobs.

    They are named by their handles, or selected by what they have in common.
    Those named by their handles are cancelled without asking.
    Whoever waits for them hears that they failed. A running job is not interrupted, but its result
    changes nothing any more.
    """
    do_with(CANCEL, handles, states=UNFINISHED, **options)


@click.command()
@click.argument("handles", metavar="[HANDLE]...", nargs=-1)
@selection_options(RETRIABLE)
@all_option
@limit_option(None, "Retry so many at most.")
@yes_option
@json_option
@server_option
def retry(handles: tuple[str, ...], **options: Any) -> None:
    """Run jobs again, or now.

    They are named by their handles, or selected by what they have in common.
    Those named by their handles are retried without asking.
    Dead letters and finished jobs that are kept get all their attempts anew; what is delayed or
    retrying becomes due now. Unless --state says otherwise, options select among dead letters.
    """
    do_with(RETRY, handles, states=(DEAD,), **options)


@click.command()
@click.argument("function")
@yes_option
@json_option
@server_option
def clear(function: str, yes: bool, as_json: bool, server: Address) -> None:
    """Cancel what waits of FUNCTION.

    What runs goes on. FUNCTION may be a pattern like image.*
    """
    selection = {"function": function, "states": list(WAITING)}
    with Client(str(server)) as client:
        do_with_many(client, CANCEL, selection, most=None, yes=yes, as_json=as_json)


@click.command()
@duration_option("--older-than", "Those that ended longer ago than 30s, 5m, 2h, 7d.", required=True)
@click.option("--function", metavar="PATTERN", help="Only of this function, or like image.*")
@click.option("--dead", is_flag=True, help="Dead letters, too.")
@yes_option
@json_option
@server_option
def cleanup(
    older_than: float, function: str | None, dead: bool, yes: bool, as_json: bool, server: Address
) -> None:
    """Forget what ended some time ago.

    That is finished jobs that are kept, and with --dead also dead letters.
    """
    selection: Selection = {
        "states": list(_ENDED if dead else FINISHED),
        "older_than_s": older_than,
    }
    if function is not None:
        selection["function"] = function
    with Client(str(server)) as client:
        do_with_many(client, PURGE, selection, most=None, yes=yes, as_json=as_json)
