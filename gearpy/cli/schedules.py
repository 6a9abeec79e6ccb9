"""``gearpy schedule``: jobs that are submitted again and again."""

import base64
import shlex
import zoneinfo
from collections.abc import Iterator
from datetime import tzinfo
from typing import Any, Final

import click

from gearpy.address import Address
from gearpy.cli.operating import confirm
from gearpy.cli.options import json_option, server_option, yes_option
from gearpy.cli.tables import (
    cell,
    facts,
    moment,
    printable,
    show,
    show_json,
    table,
    yes_or_no,
)
from gearpy.client.sync import Client
from gearpy.errors import GearpyError, ScheduleNotFound, ServerError
from gearpy.priority import Priority

_SLICE: Final = 100
_NOT_FOUND: Final = ScheduleNotFound.code.decode()

Row = dict[str, Any]  # a schedule as the server describes it


@click.group()
def schedule() -> None:
    """Show, set and run schedules: jobs that are submitted by a cron expression."""


@schedule.command("add")
@click.argument("cron")
@click.argument("function")
@click.option("--name", help="What the schedule is called; FUNCTION if it is not said.")
@click.option("--data", default="", help="The payload of its jobs.")
@click.option("--timezone", default="UTC", show_default=True, help="Like Europe/Berlin.")
@click.option("--unique", default="", help="Its jobs share an unfinished job of this unique.")
@click.option(
    "--priority",
    type=click.Choice([priority.name.lower() for priority in Priority]),
    help="Of its jobs.",
)
@click.option("--attempts", type=int, help="Of each job, in all.")
@click.option(
    "--missed",
    type=click.Choice(["once", "skip"]),
    default="once",
    show_default=True,
    help="What becomes of the ticks that come while the server is down: it fires once for all of"
    " them, or they are skipped.",
)
@click.option(
    "--no-overlap", is_flag=True, help="Pass a tick over while the last job is not finished."
)
@yes_option
@json_option
@server_option
def add_schedule(
    cron: str,
    function: str,
    name: str | None,
    data: str,
    timezone: str,
    unique: str,
    priority: str | None,
    attempts: int | None,
    missed: str,
    no_overlap: bool,
    yes: bool,
    as_json: bool,
    server: Address,
) -> None:
    """Submit a job of FUNCTION whenever CRON says.

    CRON has five fields: minute, hour, day of the month, month and day of the week, as in
    "0 8 * * 1-5".

    A function may have several schedules, each with a --name of its own. Where there is another
    schedule with this name, you are asked first whether this one is to take its place; scripts,
    where nobody can be asked, fail unless they say --yes. To say the same once more is no failure.
    If the old one is paused, so is the new one.
    """
    name = name or function
    options = {"priority": priority, "attempts": attempts}
    options = {field: value for field, value in options.items() if value is not None}
    made: dict[str, Any] = {
        "cron": cron,
        "timezone": timezone,
        "function": function,
        "missed": missed,
        "overlap": not no_overlap,
        **({"options": options} if options else {}),
        **({"unique": unique} if unique else {}),
        **_payload(data),
    }
    with Client(str(server)) as client:
        old = _found(client, name)
        if old is not None and old["origin"] == "set" and old["schedule"] == made:
            old = None  # it is said once more: nothing is replaced
        if old is not None and not yes:
            confirm(
                f"There is a schedule {printable(name)} already ({_told(old)}); this replaces it."
                " To have both, give this one another --name."
            )
        client.operate("set-schedule", name=name, schedule=made)
        row = client.operate("schedule", name=name)["schedule"]
    if as_json:
        show_json(row | {"replaced": old})
        return
    instead = "" if old is None else f", in place of the one that was there ({_told(old)})"
    click.echo(f"{printable(name)} {_set_and(row)}{instead}.")


def _found(client: Client, name: str) -> Row | None:
    """The schedule with this name, if there is one."""
    try:
        row: Row = client.operate("schedule", name=name)["schedule"]
    except ServerError as error:
        if error.code != _NOT_FOUND:
            raise
        return None
    return row


def _told(row: Row) -> str:
    """What a schedule does and where it comes from."""
    origin = "from the settings file" if row["origin"] == "file" else "set by an operator"
    return f"{_does(row)}; {origin}"


def _does(row: Row) -> str:
    made = row["schedule"]
    return printable(f"{made['cron']} {made['timezone']}, function {made['function']}")


def _resume(name: str) -> str:
    """What to type, so that a schedule is not paused any more."""
    return f"gearpy schedule resume {shlex.quote(printable(name))}"


def _set_and(row: Row) -> str:
    """How it goes on with a schedule, behind its name."""
    if row["paused"]:
        return f"is set, and is paused ({_resume(row['name'])})"
    if not row["next_s"]:
        return "is set, and never fires"
    return f"fires next at {_next(row)} ({printable(row['schedule']['timezone'])})"


def _payload(data: str) -> dict[str, str]:
    """The payload as JSON can hold it: a command line may have any bytes."""
    try:
        data.encode()
    except UnicodeEncodeError:
        payload = data.encode("utf-8", "surrogateescape")
        return {"data_base64": base64.b64encode(payload).decode()}
    return {"data": data} if data else {}


@schedule.command("list")
@json_option
@server_option
def list_schedules(as_json: bool, server: Address) -> None:
    """Show all schedules, and when each of them fires next."""
    rows: list[dict[str, Any]] = []
    offset: int | None = 0
    with Client(str(server)) as client:
        while offset is not None:
            answer = client.operate("schedules", limit=_SLICE, offset=offset)
            rows += answer["schedules"]
            offset = answer["next"]
    if as_json:
        show_json({"schedules": rows})
        return
    report = table("Schedule", "Cron", "Time zone", "Function", "Next", "Last job", "")
    for row in rows:
        made = row["schedule"]
        report.add_row(
            cell(row["name"]),
            cell(made["cron"]),
            cell(made["timezone"]),
            cell(made["function"]),
            _next(row),
            cell(row["handle"]),
            cell(row["error"]),
        )
    show(report, "No schedules.")


def _next(row: Row) -> str:
    if row["paused"]:
        return "paused"
    return moment(row["next_s"][0], _zone(row)) if row["next_s"] else "never"


def _zone(row: Row) -> tzinfo | None:
    """That of a schedule; None, which is this machine's, if nobody here knows it."""
    try:
        return zoneinfo.ZoneInfo(row["schedule"]["timezone"])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


@schedule.command("show")
@click.argument("name")
@json_option
@server_option
def show_schedule(name: str, as_json: bool, server: Address) -> None:
    """Show a schedule: what it does, how far it has come, and its next five ticks."""
    with Client(str(server)) as client:
        row = client.operate("schedule", name=name)["schedule"]
    if as_json:
        show_json(row)
        return
    show(facts(_facts(row)), "")


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    for field, value in row["schedule"].items():
        yield field.replace("_", " "), _value(value)
    zone = _zone(row)
    yield "origin", row["origin"]
    yield "paused", yes_or_no(row["paused"])
    yield "last tick", moment(row["last_s"], zone) if row["handle"] else "-"
    yield "last job", row["handle"] or "-"
    yield "error", row["error"] or "-"
    for place, tick_s in enumerate(row["next_s"]):
        yield "" if place else "next", moment(tick_s, zone)


def _value(value: object) -> str:
    """One field's: "yes" or "no", "priority=low, attempts=3" or what it is."""
    if isinstance(value, bool):
        return yes_or_no(value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={_value(each)}" for name, each in value.items())
    return str(value)


@schedule.command("remove")
@click.argument("name")
@server_option
def remove_schedule(name: str, server: Address) -> None:
    """Take back a schedule that was set.

    If the settings file has one with this name, that counts again.
    """
    with Client(str(server)) as client:
        old = _found(client, name)
        if not client.operate("set-schedule", name=name, schedule=None)["changed"]:
            raise GearpyError(_not_set(name, old))
        row = _found(client, name)
    if row is None:
        now = "there is none with this name any more"
    else:
        goes_on = f"is paused ({_resume(name)})" if row["paused"] else f"fires next at {_next(row)}"
        now = f"that of the settings file counts again ({_does(row)}), and {goes_on}"
    click.echo(f"Took back the schedule {printable(name)}; {now}.")


def _not_set(name: str, row: Row | None) -> str:
    if row is None:
        return f"no schedule {printable(name)} was set: nothing to take back"
    return (
        f"no schedule {printable(name)} was set: the one that there is comes from the settings"
        f" file, so take it out there, or say: gearpy schedule pause {shlex.quote(printable(name))}"
    )


@schedule.command("run")
@click.argument("name")
@server_option
def run_schedule(name: str, server: Address) -> None:
    """Submit a schedule's job now, beside its ticks, and print its handle."""
    with Client(str(server)) as client:
        click.echo(client.operate("run-schedule", name=name)["handle"])


@schedule.command("pause")
@click.argument("name")
@server_option
def pause_schedule(name: str, server: Address) -> None:
    """Have a schedule fire no more, until it is resumed.

    `gearpy schedule run` still submits its job.
    """
    with Client(str(server)) as client:
        client.operate("pause-schedule", name=name)
    click.echo(f"{printable(name)} is paused ({_resume(name)}).")


@schedule.command("resume")
@click.argument("name")
@server_option
def resume_schedule(name: str, server: Address) -> None:
    """Have a schedule fire again, from its next tick on."""
    with Client(str(server)) as client:
        client.operate("resume-schedule", name=name)
        row = client.operate("schedule", name=name)["schedule"]
    click.echo(f"{printable(name)} {_set_and(row)}.")
