"""What the reports have in common: tables and words for ages, times and sizes.

Names, payloads and errors are strangers' words.  Nothing of them reaches the terminal unescaped.
"""

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gearpy.cli.long_table import LONG, print_long
from gearpy.protocol.codec import decoded

_WIDE: Final = 100_000  # columns; what is not read on a terminal is not to be broken or cut

_AGES: Final = (  # up to so many seconds, in units of so many seconds
    (120.0, 1.0, "s"),
    (7_200.0, 60.0, "min"),
    (172_800.0, 3_600.0, "h"),
    (math.inf, 86_400.0, "days"),
)
_SIZES: Final = ((1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (math.inf, 1e9, "GB"))  # the same


_COPIED: Final = ("Handle", "Function")  # never broken, so that they can be copied


def table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines; the columns named in ``right`` hold numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in headings:
        numeric = heading in right
        whole = numeric or heading in _COPIED
        made.add_column(
            heading, justify="right" if numeric else "left", overflow="fold", no_wrap=whole
        )
    return made


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """What is known of one thing: a table of names and values."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value if isinstance(value, Text) else cell(value))
    return made


def cell(words: str | bytes) -> Text:
    """Somebody's words as a table's cell: no markup is read in it."""
    return Text(printable(decoded(words) if isinstance(words, bytes) else words))


def show(report: Table, nothing: str) -> None:
    """Prints a table, or the sentence ``nothing`` if it has no rows."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    if not report.row_count:
        console.print(nothing, markup=False)
    elif report.row_count <= LONG:
        console.print(report)
    else:
        print_long(console, report)


def show_json(document: object) -> None:
    """Prints one JSON document, in ASCII: names may hold bytes that are no text."""
    click.echo(json.dumps(document, indent=2))


def printable(words: str) -> str:
    r"""Words on one line that can't command a terminal: ``\xNN`` for what can't be seen.

    >>> printable("a\tb\x1b[2J"), printable("größe \u202e"), printable("\udcff")
    ('a\\x09b\\x1b[2J', 'größe \\u202e', '\\xff')
    """
    if words.isprintable():
        return words
    return "".join(each if each.isprintable() else _escaped(each) for each in words)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text, as ``decoded`` gives it
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def excerpt(words: str, characters_max: int) -> str:
    """The words on one line, cut where they are too long.

    >>> excerpt("one\\ntwo", 20), excerpt("one two three", 8)
    ('one two', 'one two ...')
    """
    line = " ".join(words.split())
    if len(line) <= characters_max:
        return line
    return f"{line[:characters_max].rstrip()} ..."


def age(duration_s: float) -> str:
    """A duration in one unit.

    >>> age(0.4), age(90), age(200), age(86_400), age(1e6)
    ('0 s', '90 s', '3 min', '24 h', '11 days')
    """
    duration_s = max(duration_s, 0.0)
    _, unit_s, unit = next(row for row in _AGES if duration_s < row[0])
    return f"{int(duration_s // unit_s)} {unit}"


def seconds(duration_s: float) -> str:
    """How long an attempt took: short ones exactly.

    >>> seconds(0.0123), seconds(2.5), seconds(600)
    ('0.012 s', '2.500 s', '10 min')
    """
    return f"{duration_s:.3f} s" if duration_s < 60 else age(duration_s)


def moment(time_s: float, zone: tzinfo | None = None, brief: bool = False) -> str:
    """A time since the epoch on the calendar of a time zone, this machine's if none is said; with
    how far it is ahead of UTC, as who reads it may be somewhere else.  ``brief``: without that,
    where there is little room and other times on the same page have it.

    >>> from zoneinfo import ZoneInfo
    >>> moment(1e9, ZoneInfo("UTC")), moment(1e9, ZoneInfo("America/St_Johns"))
    ('2001-09-09 01:46:40+00:00', '2001-09-08 23:16:40-02:30')
    """
    try:
        time = datetime.fromtimestamp(time_s, UTC).astimezone(zone)
        return (time.replace(tzinfo=None) if brief else time).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return f"{time_s:.0f} s after 1970"


def yes_or_no(flag: bool) -> str:
    """The only words for what is or is not so."""
    return "yes" if flag else "no"


def size(size_bytes: int) -> str:
    """A number of bytes.

    >>> size(1), size(999), size(1500), size(20_000_000)
    ('1 byte', '999 bytes', '1.5 kB', '20.0 MB')
    """
    if size_bytes < 1000:
        return f"{size_bytes} byte{'' if size_bytes == 1 else 's'}"
    _, unit_bytes, unit = next(row for row in _SIZES if size_bytes < row[0])
    return f"{size_bytes / unit_bytes:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "job"), counted(12_000, "job")
    ('1 job', '12,000 jobs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def note(sentence: str) -> None:
    """Says something beside the report, on standard error."""
    click.echo(sentence, err=True)
