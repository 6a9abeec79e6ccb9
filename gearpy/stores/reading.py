"""Rows as records, and what becomes of rows that make none.

The file may have been edited, or damaged: one bad row must not keep the server from starting.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from math import isfinite
from typing import Any, Final, NamedTuple

from gearpy.engine.records import (
    STATES,
    Change,
    CronChange,
    FunctionChange,
    Mark,
    PolicyChange,
    Put,
    Record,
)
from gearpy.priority import Priority

_PRIORITIES: Final = tuple(Priority)
_STATES: Final = {state.encode(): state for state in STATES}
_UNFINISHED: Final = {state.encode() for state in ("queued", "delayed", "running", "retrying")}

_PUT_COLUMNS: Final = (
    'number, handle, function, "unique", payload, priority, created_s, due_s, expire_s, reducer,'
    " options"
)
_PUT_TYPES: Final = (int, bytes, bytes, bytes, bytes, int, float, float, float, bytes, bytes)

_CHANGE_COLUMNS: Final = (
    "number, state, place, attempts, losses, crashes, due_s, since_s, reason, error, log, result"
)
_CHANGE_TYPES: Final = (
    *(int, bytes, int, int, int, int, float, float),
    *(bytes, bytes, bytes, bytes),
)

_COLUMNS: Final = {
    "jobs": _PUT_COLUMNS,
    "lives": _CHANGE_COLUMNS,
    "functions": "function, paused, draining",
    "policies": "pattern, policy",
    "schedules": "name, schedule, state",
    "meta": "name, value",
}
_NOW_S: Final = "(julianday('now') - 2440587.5) * 86400.0"


class BadRow(NamedTuple):
    """A row that can't be read, and why."""

    table: str
    row: int  # its rowid, which is the number of a job
    reason: str


def records(connection: sqlite3.Connection, bad: list[BadRow]) -> Iterator[Record]:
    """Everything that the tables hold, as ``Store.load`` gives it, a row at a time.  What can't be
    read is put into ``bad``."""
    yield from _notes(connection, bad)
    with (
        closing(connection.execute(f"SELECT {_PUT_COLUMNS} FROM jobs ORDER BY number")) as puts,
        closing(connection.execute(f"SELECT {_CHANGE_COLUMNS} FROM lives ORDER BY number")) as rows,
    ):
        yield from _jobs(puts, rows, bad)


def set_aside(connection: sqlite3.Connection, bad: list[BadRow]) -> None:
    """Moves the bad rows out of the way, into the table ``unreadable``."""
    connection.execute("BEGIN IMMEDIATE")
    for table, row, reason in bad:
        columns = _COLUMNS[table]
        values = " || ', ' || ".join(f"quote({column})" for column in columns.split(", "))
        beginning = f"INSERT INTO {table} ({columns}) VALUES ("
        connection.execute(
            "INSERT INTO unreadable (source, reason, set_aside_s, row)"
            f" SELECT ?, ?, {_NOW_S}, ? || {values} || ');' FROM {table} WHERE rowid = ?",
            (table, reason, beginning, row),
        )
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
    connection.execute("COMMIT")


def _notes(connection: sqlite3.Connection, bad: list[BadRow]) -> Iterator[Record]:
    for row, name, value in connection.execute("SELECT rowid, name, value FROM meta"):
        if name != b"mark":
            bad.append(BadRow("meta", row, "its name is not known"))
        elif type(value) is not int:
            bad.append(BadRow("meta", row, "the mark is not a whole number"))
        else:
            yield Mark(value)
    for row, *flags in connection.execute(
        "SELECT rowid, function, paused, draining FROM functions ORDER BY rowid"
    ):
        function, paused, draining = flags
        if type(function) is not bytes or paused not in (0, 1) or draining not in (0, 1):
            bad.append(BadRow("functions", row, "a value is not what its column takes"))
        else:
            yield FunctionChange(function, bool(paused), bool(draining))
    for row, pattern, policy in connection.execute(
        "SELECT rowid, pattern, policy FROM policies ORDER BY rowid"
    ):
        if type(pattern) is not bytes or type(policy) is not bytes:
            bad.append(BadRow("policies", row, "a value is not what its column takes"))
        else:
            yield PolicyChange(pattern, policy)
    for row, *texts in connection.execute(
        "SELECT rowid, name, schedule, state FROM schedules ORDER BY rowid"
    ):
        if any(type(text) is not bytes for text in texts) or not _is_utf8(texts[0]):
            bad.append(BadRow("schedules", row, "a value is not what its column takes"))
        else:
            name, schedule, state = texts
            yield CronChange(name.decode(), schedule, state)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _jobs(puts: sqlite3.Cursor, rows: sqlite3.Cursor, bad: list[BadRow]) -> Iterator[Record]:
    """Both tables in one pass; this loop decides how long a start with millions of jobs takes."""
    new = tuple.__new__
    kinds = _PUT_TYPES
    priorities = _PRIORITIES
    life = next(rows, None)
    for values in puts:
        number, handle, function, unique, payload, urgency, created_s, due_s, expire_s, *_ = values
        while life is not None and life[0] < number:
            bad.append(BadRow("lives", life[0], "there is no job with this number"))
            life = next(rows, None)
        if (
            tuple(map(type, values)) == kinds
            and 0 <= urgency <= 3
            and handle.endswith(b":%d" % number)
            and isfinite(created_s + due_s + expire_s)
        ):
            put = new(
                Put,
                (
                    *(number, handle, function, unique, payload, priorities[urgency]),
                    *values[6:],
                ),
            )
            if life is None or life[0] != number:
                yield put
            else:
                yield from _with_change(put, life, bad)
                life = next(rows, None)
        else:
            bad.append(BadRow("jobs", number, _wrong_with_put(values)))
            if life is not None and life[0] == number:
                bad.append(BadRow("lives", number, "its job can't be read"))
                life = next(rows, None)
    while life is not None:
        bad.append(BadRow("lives", life[0], "there is no job with this number"))
        life = next(rows, None)


def _with_change(put: Put, values: tuple[Any, ...], bad: list[BadRow]) -> Iterator[Record]:
    """A job and what became of it.  Where that can't be read the job is as it was submitted, unless
    it may have ended: that one must not run again."""
    number, state, *more = values
    wrong = _wrong_with_change(values)
    if wrong is None:
        yield put
        yield Change(number, _STATES[state], *more)
        return
    bad.append(BadRow("lives", number, wrong))
    if state in _UNFINISHED:
        yield put
    else:
        bad.append(BadRow("jobs", number, "whether it ended can't be read"))


def _wrong_with_change(values: tuple[Any, ...]) -> str | None:
    state = values[1]
    if tuple(map(type, values)) != _CHANGE_TYPES:
        return _wrong_type(_CHANGE_COLUMNS, values, _CHANGE_TYPES)
    if state not in _STATES:
        return f"there is no state {state.decode(errors='replace')!r}"
    if not isfinite(values[6] + values[7]):
        return "a time is infinite"
    return None


def _wrong_with_put(values: tuple[Any, ...]) -> str:
    number, handle, _, _, _, urgency, *_ = values
    if tuple(map(type, values)) != _PUT_TYPES:
        return _wrong_type(_PUT_COLUMNS, values, _PUT_TYPES)
    if not 0 <= urgency <= 3:
        return f"there is no priority {urgency}"
    if not handle.endswith(b":%d" % number):
        return f"its handle {handle.decode(errors='replace')!r} does not end with its number"
    return "a time is infinite"


def _wrong_type(columns: str, values: tuple[Any, ...], kinds: tuple[type, ...]) -> str:
    column = next(
        column
        for column, value, kind in zip(columns.split(", "), values, kinds, strict=True)
        if type(value) is not kind
    )
    return f"the value of {column} is not what its column takes"
