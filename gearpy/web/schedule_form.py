"""A schedule as a form."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from gearpy.engine.cron import Missed
from gearpy.engine.policy import read_assignments
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.web.desk import Table

MISSED: Final[dict[Missed, str]] = {
    "once": "fire once, together",
    "skip": "are skipped",
}
PRIORITIES: Final = tuple(priority.name.lower() for priority in Priority)
NUMBERS: Final = {
    "attempts": "attempts",
    "timeout_s": "timeout, seconds",
    "expires_s": "expires after, seconds",
}

_TEXTS: Final = ("cron", "timezone", "function", "unique")


class Filled(NamedTuple):
    """What stands in the form: the texts of its fields by name, and what is marked."""

    values: dict[str, str]
    encoded: bool = False  # the payload is there in base64
    missed: str = "once"
    overlap: bool = True


def filled(said: Mapping[str, object] | None = None) -> Filled:
    """The form of a schedule as ``schedule_table`` makes it; of none, an empty one."""
    if said is None:
        return Filled({"cron": "", "timezone": "UTC"})
    options = dict(cast(Mapping[str, object], said.get("options", {})))
    values = {name: str(said.get(name, "")) for name in _TEXTS}
    for name in ("priority", *NUMBERS):
        values[name] = str(options.pop(name, ""))
    values["options"] = json.dumps(options) if options else ""
    encoded, text = said.get("data_base64"), str(said.get("data", ""))
    if encoded is None and not all(sign.isprintable() or sign in "\n\t" for sign in text):
        encoded = base64.b64encode(text.encode()).decode()  # a form would change some of them
    values["data"] = text if encoded is None else str(encoded)
    return Filled(values, encoded is not None, str(said["missed"]), bool(said["overlap"]))


def typed(fields: Sequence[tuple[str, str]]) -> Filled:
    """The form as it was sent, be it a schedule or not."""
    form = dict(fields)
    marks = [form.get(name) == "yes" for name in ("encoded", "overlap")]
    return Filled(form, marks[0], form.get("missed", "once"), marks[1])


def read(fields: Sequence[tuple[str, str]]) -> Table | None:
    """The schedule of a form that was sent, as a table; None: what was set is to be taken back.

    Raises InvalidArgument for a number or JSON that is none; what the rest means, says the engine.

    >>> read([("name", "daily"), ("cron", "0 8 * * *"), ("function", "mail"), ("attempts", "3")])
    {'cron': '0 8 * * *', 'function': 'mail', 'overlap': False, 'options': {'attempts': 3}}
    >>> read([("name", "daily")]) is None
    True
    """
    form = dict(fields)
    if "cron" not in form:
        return None
    table: Table = {name: form[name] for name in _TEXTS if form.get(name, "").strip()}
    if form.get("missed"):
        table["missed"] = form["missed"]
    table["overlap"] = form.get("overlap") == "yes"
    if form.get("data") and form.get("encoded") == "yes":
        table["data_base64"] = "".join(form["data"].split())
    elif form.get("data"):
        table["data"] = form["data"].replace("\r\n", "\n")  # which is how forms send a line end
    if options := _options(form):
        table["options"] = options
    return table


def _options(form: Mapping[str, str]) -> Table:
    said = {name: form.get(name, "").strip() for name in ("priority", *NUMBERS)}
    options: Table = read_assignments(f"{name}={said[name]}" for name in NUMBERS if said[name])
    if said["priority"]:
        options["priority"] = said["priority"]
    text = form.get("options", "").strip()
    if not text:
        return options
    try:
        more = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"what stands under further options is no JSON: {error}") from None
    if not isinstance(more, dict):
        raise InvalidArgument('further options are an object of JSON, like {"key": "ann"}')
    twice = [name for name in more if name in options]
    if twice:
        raise InvalidArgument(
            f"{twice[0]} has a field of its own, and is under further options, too"
        )
    return {**options, **more}


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


# What can be chosen, for the template.
FIELDS: Final = {"missed": MISSED, "priorities": PRIORITIES, "numbers": NUMBERS}
