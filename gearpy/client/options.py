"""What can be decided for one job when it is submitted: when, how often, for how long.

read_options(delay_s=5, attempts=3)      what a user said, as SUBMIT_JOB_OPTIONS has it
standard_submit(priority, ...)           the standard packet that says the same, if there is one
"""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, TypedDict

from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import decoded, encoded, packed
from gearpy.protocol.content import content

Cause = Literal["lost", "timeout", "fail", "exception"]


class Exponential(TypedDict, total=False):
    """Waits that grow: ``base_s`` before the second attempt, each next one ``factor`` times as
    long, at most ``cap_s``; then up to ``jitter`` of it (0.1: a tenth) more or less, by chance."""

    base_s: float
    factor: float
    cap_s: float
    jitter: float


Backoff = Literal["none", "exponential"] | Sequence[float] | Exponential


class Callback(TypedDict, total=False):
    """A job that is submitted when another one has ended: its ``function``, and its ``data``."""

    function: str
    data: bytes | str


class SubmitOptions(TypedDict, total=False):
    """What can be decided for one job, as keywords of ``submit`` and ``submit_background``.

    Whatever is left out, or None, is as the server's policy for the function has it.

    When: ``delay_s`` is how many seconds the job waits before its first attempt; ``due`` is the
    moment of that instead, as a datetime with a time zone or in seconds since the epoch.  If no
    attempt has begun ``expires_s`` seconds after the submit, none will: the job has failed.

    How often: ``attempts`` is how many there are at most, the first one included.  ``retry_on``
    says after which ends of an attempt there is another: any of "lost" (the worker went away),
    "timeout", "fail" and "exception".  ``backoff`` is the wait before the next one: "none",
    "exponential", a list of seconds (the last one counts for all further ones) or a mapping as
    ``Exponential``.  ``poison`` is how many workers in a row may be lost with the job before it is
    given up; 0: any number.

    For how long: after ``attempt_timeout_s`` seconds an attempt counts as failed; 0: never.

    ``key`` names what the job works on, where the policy limits how many jobs of one key run at a
    time.  ``labels`` are names and values that are shown in reports.

    ``callback`` is what follows when the job has ended, well or badly: a URL, which is told how
    (see ``verify_callback``), or ``{"function": ..., "data": ...}``, which is submitted then.

    A policy and the wire have the same names, but for ``attempt_timeout_s``, which is ``timeout_s``
    there, and ``due``, which is ``due_s``.
    """

    delay_s: float | None
    due: datetime | float | None
    attempts: int | None
    retry_on: Collection[Cause] | None
    backoff: Backoff | None
    poison: int | None
    attempt_timeout_s: float | None
    expires_s: float | None
    key: bytes | str | None
    labels: Mapping[str, str] | None
    callback: str | Callback | None


_SUBMITS: Final = {
    (Priority.HIGH, False): p.SUBMIT_JOB_HIGH,
    (Priority.NORMAL, False): p.SUBMIT_JOB,
    (Priority.LOW, False): p.SUBMIT_JOB_LOW,
    (Priority.HIGH, True): p.SUBMIT_JOB_HIGH_BG,
    (Priority.NORMAL, True): p.SUBMIT_JOB_BG,
    (Priority.LOW, True): p.SUBMIT_JOB_LOW_BG,
}

Options = Mapping[str, object]
NO_OPTIONS: Final[Options] = MappingProxyType({})

# A packet's number, and its fields between the unique and the payload.
Submit = tuple[int, tuple[bytes, ...]]


def read_options(options: SubmitOptions) -> dict[str, object]:
    """What a user said, under the names and in the units of SUBMIT_JOB_OPTIONS.

    Whether the numbers make sense is for the server to say; what can't be told to it is refused
    here.  Raises TypeError for a keyword that there is not, or a value of a wrong type, and
    InvalidArgument for a time that is none, or two times of which only one can be meant.
    """
    said = {name: value for name, value in options.items() if value is not None}
    if said.get("labels") == {}:
        del said["labels"]
    for name in said:
        if name not in SubmitOptions.__annotations__:
            known = ", ".join(SubmitOptions.__annotations__)
            raise TypeError(f"{name!r} is no keyword of a submit; beside the usual ones: {known}")
    if "delay_s" in said and "due" in said:
        raise InvalidArgument("delay_s and due are two ways to say when: give one of them")
    read = dict(_READERS[name](name, value) for name, value in said.items())
    _check_json(read)
    return read


def standard_submit(priority: Priority, background: bool, options: Options) -> Submit | None:
    """The standard's way to submit such a job; None if it takes gearpy's own packet."""
    if not options:
        number = _SUBMITS.get((priority, background))
        return None if number is None else (number, ())
    if background and priority is Priority.NORMAL and options.keys() == {"due_s"}:
        due_s = options["due_s"]
        if isinstance(due_s, int) or (isinstance(due_s, float) and due_s.is_integer()):
            return p.SUBMIT_JOB_EPOCH, (b"%d" % due_s,)
    return None


def extended_submit(priority: Priority, background: bool, options: Options) -> Submit:
    """gearpy's own way to submit a job; what goes without saying is left out."""
    said = dict(options)
    if priority is not Priority.NORMAL:
        said["priority"] = priority.name.lower()
    if background:
        said["background"] = True
    return p.SUBMIT_JOB_OPTIONS, (packed(said),)


def rounded(options: Options, now_s: float) -> Options:
    """A delay, or a due time with a fraction, as a due time in whole seconds: never earlier."""
    due_s = now_s
    match options:
        case {"delay_s": float() | int() as delay_s}:
            due_s += delay_s
        case {"due_s": float() | int() as due_s}:
            pass
        case _:
            return options
    rest = {name: value for name, value in options.items() if name not in ("delay_s", "due_s")}
    return {"due_s": math.ceil(due_s), **rest}


def described(priority: Priority, background: bool, options: Options) -> str:
    """A job with its options, for a sentence: "a background job of priority HIGH with key".

    Of the priority NORMAL nothing is said: it is that of whoever says none.
    """
    where = "background" if background else "foreground"
    names = [_USER_NAMES.get(name, name) for name in options]
    ending = f" with {' and '.join(names)}" if names else ""
    urgency = "" if priority is Priority.NORMAL else f" of priority {priority.name}"
    return f"a {where} job{urgency}{ending}"


# ---- one keyword each


def _seconds(name: str, value: object) -> tuple[str, object]:
    return _PACKET_NAMES.get(name, name), _duration(name, value)


def _duration(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 <= value < math.inf:
        raise InvalidArgument(f"{name} is a number of seconds from 0 on, not {value!r}")
    return value


def _due(name: str, value: object) -> tuple[str, object]:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidArgument(
                f"due is {value.isoformat()} without a time zone; say which one, for example with"
                " datetime.now(timezone.utc) or .astimezone()"
            )
        value = value.timestamp()
    return "due_s", _duration(name, value)


def _causes(name: str, value: object) -> tuple[str, object]:
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        raise TypeError(f'{name} must be a list like ["lost", "timeout"], not {value!r}')
    return name, sorted(value) if isinstance(value, frozenset | set) else list(value)


def _backoff(name: str, value: object) -> tuple[str, object]:
    if isinstance(value, str):
        return name, value
    if isinstance(value, Mapping):
        return name, dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return name, list(value)
    raise TypeError(
        f'{name} must be "none", "exponential", a list of seconds or a mapping with base_s, factor,'
        f" cap_s or jitter, not {value!r}"
    )


def _count(name: str, value: object) -> tuple[str, object]:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return name, value


def _key(name: str, value: object) -> tuple[str, object]:
    if not isinstance(value, bytes | str):
        raise TypeError(f"{name} must be bytes or str, not {type(value).__name__}")
    return name, decoded(encoded(name, value))


def _labels(name: str, value: object) -> tuple[str, object]:
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise TypeError(f"{name} must be a mapping of str to str, not {value!r}")
    return name, dict(value)


def _callback(name: str, value: object) -> tuple[str, object]:
    if isinstance(value, str):
        return name, value
    if not isinstance(value, Mapping) or not isinstance(value.get("function"), str):
        raise TypeError(
            f'{name} must be a URL, or a mapping like {{"function": "index", "data": "4711"}}, not'
            f" {value!r}"
        )
    table = dict(value)
    if "data" in table:
        data = encoded("the data of a callback", table.pop("data"))
        table |= content("data", data, len(data))
    return name, table


_READERS: Final = {
    "delay_s": _seconds,
    "due": _due,
    "attempts": _count,
    "retry_on": _causes,
    "backoff": _backoff,
    "poison": _count,
    "attempt_timeout_s": _seconds,
    "expires_s": _seconds,
    "key": _key,
    "labels": _labels,
    "callback": _callback,
}
_PACKET_NAMES: Final = {"attempt_timeout_s": "timeout_s"}
_USER_NAMES: Final = {"timeout_s": "attempt_timeout_s", "due_s": "due"}


def _check_json(options: Options) -> None:
    try:
        packed(options)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"these options can't be told to a server: {error}") from error
