"""Values as the page shows them."""

import base64
import glob
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from gearpy.priority import Priority

_SPARK_WIDTH: Final = 120
_SPARK_HEIGHT: Final = 24
_HEX_BYTES: Final = 4096
_TEXT_CHARACTERS: Final = 64 << 10
_DEPTH: Final = 20
_BRACKET: Final = re.compile(r"[][{}]")
_HEX_ROW: Final = 16
_UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float | None) -> str:
    """A time span in two digits or so.

    >>> [duration(seconds) for seconds in (None, 0.0, 0.0123, 1.5, 59.0, 61.0, 7200.0, 9e5)]
    ['', '0 ms', '12 ms', '1.5 s', '59 s', '1.0 min', '2.0 h', '10.4 d']
    """
    if seconds is None:
        return ""
    for size_s, unit in _UNITS:
        if seconds >= size_s:
            return f"{seconds / size_s:.1f} {unit}"
    if seconds >= 10:
        return f"{seconds:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def percent(share: float | None) -> str:
    """A part of all; only all of it is 100 %.

    >>> percent(0.75), percent(0.9999), percent(1.0), percent(None)
    ('75.0 %', '99.9 %', '100.0 %', '')
    """
    if share is None:
        return ""
    return f"{100 * share if share == 1.0 else min(100 * share, 99.9):.1f} %"


def instant(time_s: float) -> str:
    """A time of the engine, for people.

    >>> instant(0.0)
    '1970-01-01 00:00:00Z'
    """
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def count(number: int | float) -> str:
    """A number with its thousands apart.

    >>> count(1234567), count(0.25), count(12.0)
    ('1,234,567', '0.2', '12')
    """
    if isinstance(number, int) or number >= 10:
        return f"{number:,.0f}"
    return f"{number:.1f}"


def path_of(*parts: str) -> str:
    """The path of a page: its last parts are names that may hold anything.

    >>> path_of("functions", "image/resize now")
    '/functions/image%2Fresize%20now'
    """
    return "".join("/" + quote(part, safe=":", errors="surrogateescape") for part in parts)


def in_query(name: str) -> str:
    """A name, which may hold anything, as a value in a query.

    >>> in_query("a&b")
    'a%26b'
    """
    return quote(name, safe="", errors="surrogateescape")


def exactly(name: str) -> str:
    """A pattern that stands for this name alone.

    >>> exactly("image.resize"), exactly("a*")
    ('image.resize', 'a[*]')
    """
    return glob.escape(name)


def priorities(numbers: Sequence[int]) -> str:
    """How many of what priority, critical first; empty where all are normal.

    >>> priorities((0, 2, 1, 0)), priorities((0, 0, 3, 0))
    ('2 high, 1 normal', '')
    """
    parts = [(number, each) for each, number in zip(Priority, numbers, strict=True) if number]
    if all(each is Priority.NORMAL for _, each in parts):
        return ""
    return ", ".join(f"{number:,} {each.name.lower()}" for number, each in parts)


def worker_note(state: Mapping[str, Any]) -> str:
    """What there is to say of a worker process, out of what it said of itself.

    >>> worker_note({"supervisor": True, "group_state": {"running": 1, "wanted": 2, "crashes": 1}})
    'supervisor, 1 of 2 up, 1 crashed'
    """
    notes = [mark for mark in ("supervisor", "stopping") if state.get(mark)]
    crew = state.get("group_state", {})
    running, wanted, crashes = (crew.get(name) for name in ("running", "wanted", "crashes"))
    if isinstance(running, int) and isinstance(wanted, int):
        notes.append(f"{running:,} of {wanted:,} up")
        if isinstance(crashes, int) and crashes:
            notes.append(f"{crashes:,} crashed")
    return ", ".join(notes)


def spark(values: Sequence[int]) -> str:
    """The points of a small chart, for an SVG polyline; the highest value is at its top.

    >>> spark([0, 1, 2])
    '0,23 60,12 120,1'
    """
    top = max(values) or 1
    step = _SPARK_WIDTH / max(1, len(values) - 1)
    room = _SPARK_HEIGHT - 2
    return " ".join(
        f"{number * step:.0f},{_SPARK_HEIGHT - 1 - value * room / top:.0f}"
        for number, value in enumerate(values)
    )


class Shown(NamedTuple):
    """Bytes for people: ``kind`` is JSON, text or hex."""

    kind: str
    text: str


def shown(table: Mapping[str, object], name: str) -> Shown | None:
    """A payload or a result out of a job's table; None where it is not there."""
    text, encoded = table.get(name), table.get(f"{name}_base64")
    if isinstance(text, str):
        if len(text) > _TEXT_CHARACTERS:
            return Shown("text", text[:_TEXT_CHARACTERS] + "\n... (cut)")
        if not _is_deep(text):
            with suppress(ValueError, RecursionError):
                return Shown("JSON", json.dumps(json.loads(text), indent=2, ensure_ascii=False))
        return Shown("text", text)
    if isinstance(encoded, str):
        return Shown("hex", hexadecimal(base64.b64decode(encoded)))
    return None


def _is_deep(text: str) -> bool:
    """Whether it would grow much if it were indented, were it JSON."""
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEPTH:
            return True
    return False


def hexadecimal(data: bytes) -> str:
    """The first bytes as offset, hex and text.

    >>> print(hexadecimal(bytes(range(60, 70))))
    00000000  3c 3d 3e 3f 40 41 42 43 44 45                    <=>?@ABCDE
    """
    lines = []
    for start in range(0, min(len(data), _HEX_BYTES), _HEX_ROW):
        row = data[start : start + _HEX_ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * _HEX_ROW}} {text}")
    if len(data) > _HEX_BYTES:
        lines.append(f"... and {len(data) - _HEX_BYTES:,} more bytes")
    return "\n".join(lines)
