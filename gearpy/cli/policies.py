"""``gearpy policy``: what is decided for the jobs of functions."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from gearpy.address import Address
from gearpy.cli.options import json_option, server_option
from gearpy.cli.tables import cell, facts, note, printable, show, show_json, table
from gearpy.client.sync import Client
from gearpy.engine.policy import FIELDS, read_assignments, read_policy
from gearpy.errors import GearpyError, InvalidArgument

Row = dict[str, Any]  # a policy as the server lists it: function, origin, policy


@click.group()
def policy() -> None:
    """Show or set the policies of functions."""


@policy.command("show")
@click.argument("function", required=False)
@json_option
@server_option
def show_policy(function: str | None, as_json: bool, server: Address) -> None:
    """Show all policies and where they come from, or what counts for FUNCTION.

    What several patterns say of one function completes each other, the most exact one first.
    """
    with Client(str(server)) as client:
        if function is None:
            _show_all(client, as_json)
        else:
            _show_one(client, function, as_json)


def _show_all(client: Client, as_json: bool) -> None:
    rows = client.operate("policies")["policies"]
    if as_json:
        show_json({"policies": rows})
        return
    report = table("Function", "Origin", "Policy")
    for row in rows:
        report.add_row(cell(row["function"]), row["origin"], cell(" ".join(written(row["policy"]))))
    show(report, "No policies: every function is as with any Gearman server.")


def _show_one(client: Client, function: str, as_json: bool) -> None:
    table = client.operate("policy", function=function)["policy"]
    if as_json:
        show_json({"function": function, "policy": table})
        return
    rows = [tuple(each.split("=", 1)) for each in written(table or {})]
    nothing = f"No policy counts for {printable(function)}: it is as with any Gearman server."
    show(facts((name, value) for name, value in rows), nothing)


_DASHED: Final = ", ".join(name.replace("_", "-") for name in FIELDS)


@policy.command("set", epilog=f"FIELD is one of {_DASHED}.")
@click.argument("function", metavar="PATTERN")
@click.argument("assignments", metavar="[FIELD=VALUE]...", nargs=-1)
@click.option("--unset", is_flag=True, help="Take back all that was set for PATTERN.")
@json_option
@server_option
def set_policy(
    function: str, assignments: tuple[str, ...], unset: bool, as_json: bool, server: Address
) -> None:
    """Set fields of the policy for a function or a PATTERN like image.*

    For example: attempts=5 backoff=1,5,30 timeout-s=60; or a backoff that grows, like
    backoff=exponential,base-s=2,cap-s=60. Other fields stay as they are, those from the settings
    file, too; a field with nothing behind the sign is removed.

    What is set counts at once, and lasts as long as the server's journal. All that the settings
    file says for the same PATTERN, now or later, is hidden by it until --unset.
    """
    if unset == bool(assignments):
        raise click.UsageError("give fields like attempts=5, or --unset")
    try:
        assigned = read_assignments(assignments)
        read_policy(assigned)
    except InvalidArgument as error:
        raise click.UsageError(str(error)) from error
    with Client(str(server)) as client:
        before = _row(client, function)
        table = None if unset else _merged(before, function, assigned)
        answer = client.operate("set-policy", function=function, policy=table)
        if unset and not answer["changed"]:
            raise GearpyError(f"no policy was set for {printable(function)}: nothing to take back")
        after = _row(client, function) if unset else None
    if as_json:
        show_json({"function": function, "policy": table})
    elif table is None:
        click.echo(f"Took back what was set for {printable(function)}; {_left(after)}.")
    else:
        click.echo(f"{printable(function)}: {_line(table)}")
    if table is not None and before is not None and before["origin"] == "file":
        note(_hidden(function, before["policy"], table))


def _row(client: Client, pattern: str) -> Row | None:
    """What somebody decided for exactly this pattern.  (What the server decides for its own
    functions counts besides.)"""
    rows = client.operate("policies")["policies"]
    found = (row for row in rows if row["function"] == pattern and row["origin"] != "own")
    return next(found, None)


def _left(row: Row | None) -> str:
    """What counts after what was set was taken back."""
    if row is None:
        return "nothing else is said for exactly that"
    return f"the settings file's counts again: {_line(row['policy'])}"


def _hidden(pattern: str, file: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """What becomes of the fields that the settings file has for a pattern once others are set.

    >>> _hidden("f", {"attempts": 3, "keep_s": 60}, {"attempts": 3, "keep_s": 70})[-42:]
    'Taken over: attempts=3. Hidden: keep-s=60.'
    """
    taken = {name: value for name, value in file.items() if table.get(name) == value}
    hidden = {name: value for name, value in file.items() if name not in taken}
    words = f"The settings file counts no more for {printable(pattern)}, until --unset."
    words += f" Taken over: {_line(taken)}." if taken else ""
    return words + (f" Hidden: {_line(hidden)}." if hidden else "")


def _line(table: Mapping[str, Any]) -> str:
    return printable(" ".join(written(table)))


def _merged(row: Row | None, pattern: str, assigned: Mapping[str, Any]) -> dict[str, Any]:
    """What counts for exactly this pattern now, with the new fields."""
    fields = {**(row["policy"] if row is not None else {}), **assigned}
    table = {name: value for name, value in fields.items() if value is not None}
    if not table:
        raise GearpyError(
            f"that would leave nothing of the policy for {printable(pattern)}; to take back what"
            " was set for it, say --unset"
        )
    return table


def written(table: Mapping[str, Any]) -> Iterator[str]:
    """A policy's table as assignments, which ``policy set`` reads.

    >>> list(written({"timeout_s": 60, "attempts": 5, "backoff": [1, 5], "retry_on": []}))
    ['attempts=5', 'retry-on=none', 'backoff=1,5', 'timeout-s=60']
    >>> list(written({"backoff": {"base_s": 2, "cap_s": 60}}))
    ['backoff=exponential,base-s=2,cap-s=60']
    """
    order = {name: place for place, name in enumerate(FIELDS)}
    for name in sorted(table, key=lambda name: order.get(name, len(order))):
        yield f"{_dashed(name)}={_value(table[name])}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(["exponential", *(f"{_dashed(name)}={value[name]}" for name in value)])
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
