"""``gearpy schedule``: jobs that are submitted again and again."""

import base64
from typing import Any, Final

import click

from gearpy.address import Address
from gearpy.cli.options import json_option, server_option
from gearpy.cli.tables import cell, facts, moment, printable, show, show_json, table
from gearpy.client.sync import Client
from gearpy.errors import GearpyError
from gearpy.priority import Priority

_SLICE: Final = 100


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
    as_json: bool,
    server: Address,
) -> None:
    """Submit a job of FUNCTION whenever CRON says, in place of what the schedule did before.

    CRON has five fields: minute, hour, day of the month, month and day of the week, as in
    "0 8 * * 1-5".
    """
    name = name or function
    options = {"priority": priority, "attempts": attempts}
    made: dict[str, Any] = {
        "cron": cron,
        "timezone": timezone,
        "function": function,
        "missed": missed,
        "overlap": not no_overlap,
        "options": {field: value for field, value in options.items() if value is not None},
        "unique": unique,
        **_payload(data),
    }
    with Client(str(server)) as client:
        client.operate("set-schedule", name=name, schedule=made)
        row = client.operate("schedule", name=name)["schedule"]
    if as_json:
        show_json(row)
    else:
        click.echo(f"{printable(name)} fires next at {moment(row['next_s'][0])}.")


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


def _next(row: dict[str, Any]) -> str:
    if row["paused"]:
        return "paused"
    return moment(row["next_s"][0]) if row["next_s"] else "never"


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
    made = row["schedule"]
    told = [(field.replace("_", " "), str(value)) for field, value in made.items()]
    told += [
        ("origin", row["origin"]),
        ("paused", "yes" if row["paused"] else "no"),
        ("last tick", moment(row["last_s"]) if row["handle"] else "-"),
        ("last job", row["handle"] or "-"),
        ("error", row["error"] or "-"),
        *(("next" if not at else "", moment(tick_s)) for at, tick_s in enumerate(row["next_s"])),
    ]
    show(facts(told), "")


@schedule.command("remove")
@click.argument("name")
@server_option
def remove_schedule(name: str, server: Address) -> None:
    """Take back a schedule that was set; what the settings file says of it counts again."""
    with Client(str(server)) as client:
        if not client.operate("set-schedule", name=name, schedule=None)["changed"]:
            raise GearpyError(f"no schedule {printable(name)} was set: nothing to take back")
    click.echo(f"Took back the schedule {printable(name)}.")


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
    """Have a schedule fire no more."""
    with Client(str(server)) as client:
        client.operate("pause-schedule", name=name)
    click.echo(f"{printable(name)} is paused.")


@schedule.command("resume")
@click.argument("name")
@server_option
def resume_schedule(name: str, server: Address) -> None:
    """Have a schedule fire again, from its next tick on."""
    with Client(str(server)) as client:
        client.operate("resume-schedule", name=name)
        row = client.operate("schedule", name=name)["schedule"]
    click.echo(f"{printable(name)} fires next at {_next(row)}.")
