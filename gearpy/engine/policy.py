"""What an operator decides about the jobs of a function, as plain values and pure functions."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from gearpy.engine.rules import may_retry
from gearpy.errors import InvalidArgument

Cause = Literal["lost", "timeout", "fail", "exception"]

CAUSES: Final[tuple[Cause, ...]] = ("lost", "timeout", "fail", "exception")

# Causes that the server sees by itself, unless the worker is there to tell them (WORK_FAILURE).
SEEN: Final[tuple[Cause, ...]] = ("lost", "timeout")

Verdict = Literal["final", "used up", "poison"]


@dataclass(frozen=True, slots=True)
class Exponential:
    """Backoff that grows: ``base_s`` before the second attempt, each next one ``factor`` times as
    long, never more than ``cap_s``; then up to ``jitter`` of it more or less, by chance."""

    base_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 600.0
    jitter: float = 0.1


@dataclass(frozen=True, slots=True)
class Delays:
    """Backoff by a list: seconds before the second attempt, the third, and so on; the last one
    counts for all further ones.  An empty list: at once."""

    delays_s: tuple[float, ...] = ()


Backoff = Exponential | Delays


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is decided for a function, or for one job.  None: nothing is said about it."""

    attempts: int | None = None  # in all; none said: as the server's --job-retries
    retry_on: frozenset[Cause] | None = None
    backoff: Backoff | None = None
    poison: int | None = None  # workers lost with a job in a row before it is dead; 0: any number
    timeout_s: float | None = None  # of an attempt; 0: for ever
    expires_s: float | None = None  # from submit to the start of an attempt, at most; 0: for ever
    delay_s: float | None = None  # from submit to the first attempt, at least
    max_running: int | None = None  # jobs of the function at a time; 0: any number
    max_running_per_key: int | None = None  # jobs with one key at a time; 0: any number
    rate_per_minute: int | None = None  # starts within any minute; 0: any number
    max_queue: int | None = None  # unfinished jobs that a submit may find; 0: any number
    keep_s: float | None = None  # how long finished jobs are kept; 0: not at all
    keep_bytes: int | None = None  # of memory for a function's finished jobs, in all

    def over(self, weaker: "Policy | None") -> "Policy":
        """This policy, completed: what it does not say, ``weaker`` says.

        >>> Policy(attempts=3).over(Policy(attempts=9, poison=2)) == Policy(attempts=3, poison=2)
        True
        """
        if weaker is None or weaker is self:
            return self
        said = {name: getattr(weaker, name) for name in FIELDS}
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None:
                said[name] = value
        return Policy(**said)

    @property
    def says_nothing(self) -> bool:
        """Whether no field is said."""
        return self == _NOTHING

    @property
    def retries(self) -> bool:
        """Whether it says how attempts are repeated; else they are as without a policy."""
        return self.attempts is not None or self.retry_on is not None or self.backoff is not None


FIELDS: Final = tuple(item.name for item in dataclasses.fields(Policy))
_NOTHING: Final = Policy()

DEFAULT_ATTEMPTS: Final = 5  # of a policy that says on what or when to retry, but not how often
DEFAULT_POISON: Final = 5  # of any policy
DEFAULT_BACKOFF: Final[Backoff] = Exponential()  # of a policy that says how often or on what
DEFAULT_KEEP_BYTES: Final = 16 << 20


_EXPONENT_MAX: Final = 2**31  # beyond it no attempt will ever come, and floats are not at ease


def backoff_s(backoff: Backoff, attempt: int, draw: float) -> float:
    """Seconds to wait before attempt number ``attempt``; 2 is the first retry.

    ``draw`` is a random number from 0 to 1, which places the delay inside its jitter.

    >>> [backoff_s(Delays((1.0, 5.0)), attempt, 0.5) for attempt in (2, 3, 4)]
    [1.0, 5.0, 5.0]
    >>> [backoff_s(Exponential(), attempt, 0.5) for attempt in (2, 3, 4, 5000)]
    [1.0, 2.0, 4.0, 600.0]
    >>> [backoff_s(Exponential(base_s=10.0, jitter=0.5), 2, draw) for draw in (0.0, 0.75)]
    [5.0, 12.5]
    >>> backoff_s(Delays(()), 2, 0.5)
    0.0
    """
    retry = max(attempt - 2, 0)
    if isinstance(backoff, Delays):
        delays_s = backoff.delays_s
        return delays_s[min(retry, len(delays_s) - 1)] if delays_s else 0.0
    delay_s = min(_grown(backoff, retry), backoff.cap_s)
    return delay_s * (1 + backoff.jitter * (2 * draw - 1))


def _grown(backoff: Exponential, retry: int) -> float:
    if not backoff.base_s:
        return 0.0
    try:
        return backoff.base_s * backoff.factor ** min(retry, _EXPONENT_MAX)
    except OverflowError:
        return backoff.cap_s


def decide(
    policy: Policy,
    cause: Cause,
    attempts: int,
    losses: int,
    crashes: int,
    job_retries: int,
    draw: float,
    *,
    told: bool = False,
) -> float | Verdict:
    """What follows when an attempt ended badly: seconds until the next one, or why there is none.

    ``attempts`` is how often the job was given to a worker, ``losses`` how often one went away or
    ran out of time with it, ``crashes`` how many went away with it in a row; all of them count the
    attempt that has just ended.  ``job_retries`` is the server's, ``draw`` as in ``backoff_s``.
    ``told``: the worker is there, and says itself that it was lost or late: then it is not tried
    again but by a policy.

    0.0 is: at once.  "final": such an end is not retried.  "used up": it had all its attempts.
    "poison": it took too many workers with it.

    >>> decide(Policy(timeout_s=9.0), "lost", 1, 1, 1, job_retries=-1, draw=0.5)
    0.0
    >>> decide(Policy(timeout_s=9.0), "fail", 1, 0, 0, job_retries=-1, draw=0.5)
    'final'
    >>> decide(Policy(attempts=2), "fail", 1, 0, 0, job_retries=-1, draw=0.5)
    1.0
    >>> decide(Policy(attempts=2), "fail", 2, 0, 0, job_retries=-1, draw=0.5)
    'used up'
    >>> decide(Policy(attempts=9, poison=2), "lost", 2, 2, 2, job_retries=-1, draw=0.5)
    'poison'
    >>> decide(Policy(timeout_s=9.0), "lost", 1, 0, 1, job_retries=-1, draw=0.5, told=True)
    'final'
    """
    if cause == "lost" and _is_poison(policy, crashes):
        return "poison"
    if not policy.retries:
        if cause in SEEN and not told and may_retry(losses, job_retries):
            return 0.0
        return "final"
    if policy.retry_on is not None and cause not in policy.retry_on:
        return "final"
    if attempts >= (policy.attempts or DEFAULT_ATTEMPTS):
        return "used up"
    backoff = DEFAULT_BACKOFF if policy.backoff is None else policy.backoff
    return backoff_s(backoff, attempts + 1, draw)


def _is_poison(policy: Policy, crashes: int) -> bool:
    poison = DEFAULT_POISON if policy.poison is None else policy.poison
    return 0 < poison <= crashes


def attempts_max(policy: Policy, job_retries: int) -> int | None:
    """How many attempts a job has at most; None: any number.

    >>> attempts_max(Policy(attempts=3), -1), attempts_max(Policy(backoff=Delays()), -1)
    (3, 5)
    >>> attempts_max(Policy(), -1), attempts_max(Policy(), 2)
    (None, 3)
    """
    if policy.retries:
        if policy.retry_on == frozenset():
            return 1
        return policy.attempts or DEFAULT_ATTEMPTS
    return None if job_retries < 0 else job_retries + 1


# Policies as tables of JSON and TOML, and as words of a command line.

ATTEMPTS_MAX: Final = 1_000_000
COUNT_MAX: Final = 1_000_000_000
SECONDS_MAX: Final = 1_000_000_000
FACTOR_MAX: Final = 1_000
DELAYS_MAX: Final = 100
KEEP_BYTES_MAX: Final = 1 << 40

Reader = Callable[[str, object], Any]  # a field's name and value in, what it means out


def read_policy(table: object) -> Policy:
    """The policy of a table as in TOML or JSON; names with dashes or with underscores.

    A value of None is the same as no value.  Raises InvalidArgument whose sentence names the
    field, its value and what it must be.

    >>> read_policy({"attempts": 3, "timeout-s": 30, "backoff": [1, 5]}) == Policy(
    ...     attempts=3, timeout_s=30.0, backoff=Delays((1.0, 5.0))
    ... )
    True
    """
    if not isinstance(table, Mapping):
        raise InvalidArgument(f"a policy must be a table of its fields, not {shown(table)}")
    return Policy(**_read_fields(table, _READERS, "a policy"))


def policy_table(policy: Policy) -> dict[str, object]:
    """A policy as a table for JSON, from which ``read_policy`` makes the same one.

    >>> policy_table(Policy(retry_on=frozenset({"timeout", "lost"}), timeout_s=2.0))
    {'retry_on': ['lost', 'timeout'], 'timeout_s': 2}
    """
    said = ((name, getattr(policy, name)) for name in FIELDS)
    return {name: _plain(value) for name, value in said if value is not None}


def read_assignments(texts: Iterable[str]) -> dict[str, object]:
    """The table for ``read_policy`` from words like ``attempts=5``, as a command line has them.

    A field with nothing behind the sign is None in it: to be removed.  Raises InvalidArgument for
    what is no assignment, and for a field that is assigned twice.

    >>> read_assignments(["attempts=5", "backoff=1,5,30", "retry-on=lost,timeout"])
    {'attempts': 5, 'backoff': [1, 5, 30], 'retry_on': ['lost', 'timeout']}
    >>> read_assignments(["backoff=exponential", "timeout-s=0.5", "expires-s="])
    {'backoff': 'exponential', 'timeout_s': 0.5, 'expires_s': None}
    >>> read_assignments(["backoff=exponential,base-s=2,cap-s=60", "retry-on=none"])
    {'backoff': {'base_s': 2, 'cap_s': 60}, 'retry_on': []}
    """
    table: dict[str, object] = {}
    for text in texts:
        field, sign, value = text.partition("=")
        name = _field_name(field.strip())
        if not sign or not name:
            raise InvalidArgument(f"{shown(text)} is no assignment; write it like attempts=5")
        if name in table:
            raise InvalidArgument(f"{shown(field.strip())} is assigned twice; say it once")
        table[name] = _assigned(name, value.strip())
    return table


def _field_name(name: str) -> str:
    return name.replace("-", "_")


def _assigned(name: str, text: str) -> object:
    if not text:
        return None
    if name not in ("backoff", "retry_on"):
        return _number_or_text(text)
    if text in ("none", "exponential"):
        return [] if name == "retry_on" and text == "none" else text
    words = [word.strip() for word in text.split(",")]
    if name == "retry_on":
        return words
    if words[0] == "exponential":
        return read_assignments(words[1:])
    values = [_number_or_text(word) for word in words]
    return text if all(isinstance(value, str) for value in values) else values


def _number_or_text(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plain(value: object) -> object:
    if isinstance(value, Exponential):
        if value == Exponential():
            return "exponential"
        return {name: _plain(getattr(value, name)) for name in _EXPONENTIAL_READERS}
    if isinstance(value, Delays):
        return [_plain(delay_s) for delay_s in value.delays_s] or "none"
    if isinstance(value, frozenset):
        return [cause for cause in CAUSES if cause in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _read_fields(
    table: Mapping[str, object], readers: Mapping[str, Reader], what: str
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field, value in table.items():
        name = _field_name(field)
        if name not in readers:
            raise InvalidArgument(
                f"{what} has no field {shown(field)}; its fields are {', '.join(readers)}"
            )
        if name in values:
            raise InvalidArgument(f"{what} has {field} twice, with a dash and with an underscore")
        values[name] = None if value is None else readers[name](field, value)
    return {name: value for name, value in values.items() if value is not None}


_SHOWN_MAX: Final = 60


def shown(value: object) -> str:
    """A value as the sentence about it shows it: never long, and without strange characters.

    >>> shown(True), shown("no"), shown("x" * 1000)[-6:]
    ('true', "'no'", 'xxx...')
    """
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        return f"a very long {type(value).__name__}"
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def refusal(field: str, value: object, must_be: str) -> InvalidArgument:
    """The sentence about a bad value."""
    return InvalidArgument(f"{field} is {shown(value)}; it must be {must_be}")


def yes_or_no(field: str, value: object) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise refusal(field, value, "true or false")
    return value


def whole(low: int, high: int, what: str = "a whole number") -> Reader:
    """Whole numbers from ``low`` to ``high``."""

    def read(field: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise refusal(field, value, f"{what} from {low} to {high:,}")
        return value

    return read


def number(low: int, high: int, what: str = "a number") -> Reader:
    """Numbers from ``low`` to ``high``."""

    def read(field: str, value: object) -> float:
        # What is not a number at all lies between no two numbers, and is refused with the rest.
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise refusal(field, value, f"{what} from {low} to {high:,}")
        return float(value)

    return read


_seconds: Final = number(0, SECONDS_MAX, "a number of seconds")


def _read_causes(field: str, value: object) -> frozenset[Cause]:
    must_be = f"a list of some of {', '.join(CAUSES)}"
    if not isinstance(value, list | tuple):
        raise refusal(field, value, must_be)
    for cause in value:
        if cause not in CAUSES:
            raise InvalidArgument(f"{field} holds {shown(cause)}; it must be {must_be}")
    return frozenset(value)


_EXPONENTIAL_READERS: Final[dict[str, Reader]] = {
    "base_s": _seconds,
    "factor": number(1, FACTOR_MAX),
    "cap_s": _seconds,
    "jitter": number(0, 1),
}


def _read_backoff(field: str, value: object) -> Backoff:
    if isinstance(value, Mapping):
        return _read_exponential(field, value)
    if isinstance(value, list | tuple):
        if len(value) > DELAYS_MAX:
            raise InvalidArgument(
                f"{field} has {len(value)} delays; it must have {DELAYS_MAX} at most, and the"
                " last one counts for all further attempts"
            )
        return Delays(tuple(_seconds(f"a delay of {field}", delay_s) for delay_s in value))
    if value == "none":
        return Delays()
    if value == "exponential":
        return Exponential()
    raise refusal(
        field,
        value,
        '"none", "exponential", a list of seconds,'
        f" or a table with {', '.join(_EXPONENTIAL_READERS)}",
    )


def _read_exponential(field: str, table: Mapping[str, object]) -> Exponential:
    backoff = Exponential(**_read_fields(table, _EXPONENTIAL_READERS, field))
    if backoff.base_s > backoff.cap_s:
        raise InvalidArgument(
            f"base_s of {field} is {backoff.base_s:g}; it must be at most cap_s, which is"
            f" {backoff.cap_s:g}"
        )
    return backoff


_count: Final = whole(0, COUNT_MAX)

_READERS: Final[dict[str, Reader]] = {
    "attempts": whole(1, ATTEMPTS_MAX),
    "retry_on": _read_causes,
    "backoff": _read_backoff,
    "poison": _count,
    "timeout_s": _seconds,
    "expires_s": _seconds,
    "delay_s": _seconds,
    "max_running": _count,
    "max_running_per_key": _count,
    "rate_per_minute": _count,
    "max_queue": _count,
    "keep_s": _seconds,
    "keep_bytes": whole(0, KEEP_BYTES_MAX, "a whole number of bytes"),
}
