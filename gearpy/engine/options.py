"""What a client asks for one job beside its function, unique and payload: JSON in, values out."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gearpy.engine.callbacks import (
    CALLBACK_FIELDS,
    Callback,
    callback_table,
    read_callback,
)
from gearpy.engine.policy import (
    SECONDS_MAX,
    Policy,
    Reader,
    number,
    policy_table,
    read_policy,
    refusal,
    shown,
    yes_or_no,
)
from gearpy.engine.rules import check_printable
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority

OPTIONS_BYTES_MAX: Final = 8 << 10
LABELS_MAX: Final = 32
LABEL_NAME_MAX: Final = 64  # characters
LABEL_VALUE_MAX: Final = 256  # characters
KEY_BYTES_MAX: Final = 255
FOLLOWS: Final = "callback-of"  # the label of a job that follows another one
DUE_S_MAX: Final = 253_402_300_799  # the last second of the year 9999, as far as calendars go

# What a policy says that may also be said for one job.
POLICY_FIELDS: Final = ("attempts", "retry_on", "backoff", "poison", "timeout_s", "expires_s")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one job is to be treated.

    ``due_s`` is in seconds since the epoch, ``delay_s`` in seconds from the submit; None: not
    said.  ``labels`` are sorted by name.  ``text`` is what of it is kept with the job, as JSON
    that is the same for the same options; empty: nothing.  What a job has fields of its own for
    (``background``, ``priority``, ``due_s``, ``delay_s``) does not stand in it.
    """

    background: bool = False
    priority: Priority = Priority.NORMAL
    due_s: float | None = None
    delay_s: float | None = None
    policy: Policy | None = None
    key: bytes = b""
    labels: Labels = ()
    callback: Callback | None = None
    text: bytes = b""


def read_options(text: bytes) -> Options:
    """The options that came with a submit; no text is no options.

    Raises InvalidArgument whose sentence names the option, its value and what it must be.

    >>> options = read_options(b'{"priority": "high", "attempts": 3, "labels": {"user": "ann"}}')
    >>> options.priority.name, options.policy == Policy(attempts=3), options.labels
    ('HIGH', True, (('user', 'ann'),))
    >>> options.text
    b'{"attempts":3,"labels":{"user":"ann"}}'
    """
    if len(text) > OPTIONS_BYTES_MAX:
        raise InvalidArgument(
            f"the options of a job have at most {OPTIONS_BYTES_MAX:,} bytes; these have"
            f" {len(text):,}"
        )
    table = _table(text)
    unknown = [name for name in table if name not in _NAMES]
    if unknown:
        raise InvalidArgument(
            f"a job has no option {shown(unknown[0])}; its options are {', '.join(_NAMES)}"
        )
    options = _options(table)
    if options.due_s is not None and options.delay_s is not None:
        raise InvalidArgument("due_s and delay_s both say when a job is due; give one of them")
    return replace(options, text=_kept_text(options))


def following_options(handle: bytes, labels: Labels, policy: Policy | None = None) -> Options:
    """Those of a job that follows the one with this handle: it has its labels, and says whom it
    follows."""
    own = (FOLLOWS, handle.decode("utf-8", "replace"))
    others = [label for label in labels if label[0] != FOLLOWS][: LABELS_MAX - 1]
    options = Options(policy=policy, labels=tuple(sorted([own, *others])))
    return replace(options, text=_kept_text(options))


def kept_options(text: bytes) -> Options:
    """The options of a job from the text that was kept with it.

    Options that this version does not know are passed over: the text may come from a newer one.
    Raises InvalidArgument for what can't be read.
    """
    table = _table(text)
    callback = table.get("callback")
    if isinstance(callback, dict):
        table["callback"] = {name: callback[name] for name in CALLBACK_FIELDS if name in callback}
    return replace(_options({name: table[name] for name in _KEPT if name in table}), text=text)


def _options(table: Mapping[str, object]) -> Options:
    said = {name: value for name, value in table.items() if value is not None}
    own = {name: read(name, said[name]) for name, read in _READERS.items() if name in said}
    policy = read_policy({name: said[name] for name in POLICY_FIELDS if name in said})
    return Options(policy=None if policy.says_nothing else policy, **own)


def _kept_text(options: Options) -> bytes:
    table: dict[str, object] = policy_table(options.policy) if options.policy else {}
    if options.key:
        table["key"] = options.key.decode("utf-8", "surrogateescape")
    if options.labels:
        table["labels"] = dict(options.labels)
    if options.callback:
        table["callback"] = callback_table(options.callback)
    # In ASCII: a key may hold bytes that are no UTF-8, and what is kept is for people to read.
    return json.dumps(table, sort_keys=True, separators=(",", ":")).encode() if table else b""


def _table(text: bytes) -> dict[str, object]:
    if not text:
        return {}
    try:
        table = json.loads(
            text.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_constant
        )
    except RecursionError:
        raise InvalidArgument("the options of a job are nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, thousands of digits
        raise InvalidArgument(f"the options of a job must be JSON in UTF-8: {error}") from None
    if not isinstance(table, dict):
        raise InvalidArgument("the options of a job must be one JSON object, like {}")
    return table


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for name, value in pairs:
        if name in table:
            raise InvalidArgument(f"the options of a job have {shown(name)} twice in one object")
        table[name] = value
    return table


def _no_constant(word: str) -> None:
    raise InvalidArgument(f"the options of a job hold {word}, which is no number of JSON")


_PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}


def _read_priority(field: str, value: object) -> Priority:
    if not isinstance(value, str) or value not in _PRIORITIES:
        raise refusal(field, value, f"one of {', '.join(_PRIORITIES)}")
    return _PRIORITIES[value]


def _read_key(field: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise refusal(field, value, "text")
    try:
        key = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise refusal(field, value, "text that can be written as UTF-8") from None
    if len(key) > KEY_BYTES_MAX:
        raise InvalidArgument(f"a key has at most {KEY_BYTES_MAX} bytes; this one has {len(key):,}")
    check_printable("a key", key)
    return key


# Control characters, line ends of Unicode, and halves of characters that no file can hold.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _read_labels(field: str, value: object) -> Labels:
    if not isinstance(value, dict):
        raise refusal(field, value, "an object of names and texts")
    if len(value) > LABELS_MAX:
        raise InvalidArgument(f"a job has at most {LABELS_MAX} labels; this one has {len(value):,}")
    for name, text in value.items():
        _check_label(name, text)
    return tuple(sorted(value.items()))


def _check_label(name: str, text: object) -> None:
    if not 0 < len(name) <= LABEL_NAME_MAX:
        raise InvalidArgument(
            f"the name of a label has 1 to {LABEL_NAME_MAX} characters; {shown(name)} has"
            f" {len(name):,}"
        )
    if not isinstance(text, str):
        raise refusal(f"label {shown(name)}", text, "text")
    if len(text) > LABEL_VALUE_MAX:
        raise InvalidArgument(
            f"the value of a label has at most {LABEL_VALUE_MAX} characters; that of"
            f" {shown(name)} has {len(text):,}"
        )
    if _UNPRINTABLE.search(name) or _UNPRINTABLE.search(text):
        raise InvalidArgument(f"label {shown(name)} may not hold control characters")


_READERS: Final[dict[str, Reader]] = {
    "background": yes_or_no,
    "priority": _read_priority,
    "due_s": number(0, DUE_S_MAX, "seconds since the epoch,"),
    "delay_s": number(0, SECONDS_MAX, "a number of seconds"),
    "key": _read_key,
    "labels": _read_labels,
    "callback": read_callback,
}
_NAMES: Final = (*_READERS, *POLICY_FIELDS)
_KEPT: Final = ("key", "labels", "callback", *POLICY_FIELDS)
