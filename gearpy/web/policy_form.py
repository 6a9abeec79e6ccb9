"""A policy as a form, in which an empty field is what the policy does not say."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic import BaseModel

from gearpy.engine.policy import CAUSES, Policy, policy_table, read_assignments, read_policy
from gearpy.errors import InvalidArgument
from gearpy.web.models import Exponential, PolicyTable

DELAYS: Final = "delays"  # a list of them, as a kind of backoff
GROWS: Final = "exponential"
AT_ONCE: Final = "none"
THESE: Final = "these"  # only some causes are tried again

_BETWEEN: Final = re.compile(r"[\s,;]+")


class Number(NamedTuple):
    """A field that takes a number, or nothing."""

    name: str  # in a policy
    label: str
    hint: str
    low: int = 0
    high: int | None = None
    whole: bool = True


def _number(
    model: type[BaseModel],
    name: str,
    label: str,
    *,
    low: int = 0,
    high: int | None = None,
    whole: bool = True,
) -> Number:
    hint = model.model_fields[name].description
    assert hint is not None, "each has one"
    return Number(name, label, hint, low, high, whole)


def _seconds(name: str, label: str) -> Number:
    return _number(PolicyTable, name, f"{label}, seconds", whole=False)


ATTEMPTS: Final = (
    _number(PolicyTable, "attempts", "attempts", low=1),
    _number(PolicyTable, "poison", "poison, workers"),
)
# How a backoff grows.
GROWTH: Final = (
    _number(Exponential, "base_s", "base, seconds", whole=False),
    _number(Exponential, "factor", "factor", low=1, whole=False),
    _number(Exponential, "cap_s", "cap, seconds", whole=False),
    _number(Exponential, "jitter", "jitter, from 0 to 1", high=1, whole=False),
)
TIMES: Final = (
    _seconds("timeout_s", "timeout"),
    _seconds("expires_s", "expires after"),
    _seconds("delay_s", "delay"),
)
LIMITS: Final = (
    _number(PolicyTable, "max_running", "max running, jobs"),
    _number(PolicyTable, "max_running_per_key", "max running per key, jobs"),
    _number(PolicyTable, "rate_per_minute", "rate, jobs per minute"),
    _number(PolicyTable, "max_queue", "max queue, jobs"),
)
KEPT: Final = (
    _seconds("keep_s", "keep"),
    _number(PolicyTable, "keep_bytes", "keep, bytes"),
)
GROUPS: Final = (("Times", TIMES), ("Limits", LIMITS), ("Finished jobs", KEPT))

_NUMBERS: Final = (*ATTEMPTS, *TIMES, *LIMITS, *KEPT)


class Filled(NamedTuple):
    """What stands in the form.

    ``values`` are the texts of the fields by name; ``backoff`` is AT_ONCE, DELAYS, GROWS or empty;
    ``causes`` are those that are marked, None where nothing is said of them; ``others`` are the
    texts of what is not said here, but by a policy for more functions.
    """

    values: dict[str, str]
    backoff: str
    causes: list[str] | None
    others: dict[str, str]


def filled(said: Policy | None, counts: Policy | None = None) -> Filled:
    """The form of what a policy says; ``counts`` is what counts in the end, other policies
    included."""
    table = policy_table(said or Policy())
    values = {each.name: str(table[each.name]) for each in _NUMBERS if each.name in table}
    kind, causes = "", table.get("retry_on")
    match table.get("backoff"):
        case str(word):
            kind = word
        case list(delays_s):
            kind = DELAYS
            values[DELAYS] = ", ".join(map(str, delays_s))
        case dict(growth):
            kind = GROWS
            values |= {name: str(value) for name, value in growth.items()}
    return Filled(
        values,
        kind,
        list(map(str, causes)) if isinstance(causes, list) else None,
        {
            name: _words(value)
            for name, value in policy_table(counts or Policy()).items()
            if name not in table
        },
    )


def typed(fields: Sequence[tuple[str, str]]) -> Filled:
    """The form as it was sent, be it a policy or not."""
    form = dict(fields)
    causes = [value for name, value in fields if name == "retry_on"]
    return Filled(form, form.get("backoff", ""), causes if form.get("retry") == THESE else None, {})


def _words(value: object) -> str:
    match value:
        case list(parts):
            return ", ".join(map(str, parts)) or "none"
        case dict(table):
            return ", ".join(f"{name} {part}" for name, part in table.items())
    return str(value)


def read(fields: Sequence[tuple[str, str]]) -> dict[str, object] | None:
    """The policy of a form that was sent, as a table; None: it says nothing.

    Raises InvalidArgument whose sentence names the field, its value and what it must be.

    >>> read([("attempts", "3"), ("timeout_s", ""), ("backoff", "delays"), ("delays", "1, 5")])
    {'attempts': 3, 'backoff': [1, 5]}
    >>> read([("attempts", " "), ("backoff", ""), ("base_s", "2")]) is None
    True
    """
    form = {name: value.strip() for name, value in fields}
    words = [f"{each.name}={form[each.name]}" for each in _NUMBERS if form.get(each.name)]
    if form.get("backoff"):
        words.append(f"backoff={_backoff(form)}")
    if form.get("retry") == THESE:
        causes = [value for name, value in fields if name == "retry_on"]
        words.append(f"retry_on={','.join(causes) or 'none'}")
    table = read_assignments(words)
    read_policy(table)
    return table or None


def _backoff(form: dict[str, str]) -> str:
    """As a command line has it."""
    kind = form["backoff"]
    if kind == GROWS:
        said = (f",{each.name}={form[each.name]}" for each in GROWTH if form.get(each.name))
        return kind + "".join(said)
    if kind != DELAYS:
        return kind
    delays = ",".join(filter(None, _BETWEEN.split(form.get(DELAYS, ""))))
    if not delays:
        raise InvalidArgument("the list of delays is empty; write it like 1, 5, 30")
    return delays


# Which fields there are, for the template.
FIELDS: Final = {
    "attempts": ATTEMPTS,
    "growth": GROWTH,
    "groups": GROUPS,
    "causes": CAUSES,
}
