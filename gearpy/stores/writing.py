"""A batch as SQL: few statements of many rows each, one if possible.

A statement gives the GIL away, and then has to get it back from a busy event loop, which takes
longer than to write many rows.  So what comes most often, a batch of jobs and nothing else, is one
statement: a transaction by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from gearpy.engine.records import Batch, Change, FunctionChange, Mark, PolicyChange, Put

Value = bytes | bytearray | str | int | float | None
Statement = tuple[str, Sequence[Value]]

# Any number of rows up to this has a statement of its own.  Beyond it there are a few sizes, filled
# up with rows of this number, which are not written.  All fit into SQLite's cache of statements.
_NO_NUMBER: Final = -1
_ROWS_EACH: Final = 32
_ROWS_BIG: Final = (48, 64, 96, 128, 192, 256, 384, 512)

_PUT: Final = 'INSERT INTO jobs (number, handle, function, "unique", payload, priority, created_s'
_PLAIN_PUT: Final = (_PUT + ") ", 7)
_FULL_PUT: Final = (_PUT + ", due_s, expire_s, reducer, options) ", 11)

_CHANGE: Final = "REPLACE INTO lives (number, state, place, attempts, since_s"
_PLAIN_CHANGE: Final = (_CHANGE + ") ", 5)
_FULL_CHANGE: Final = (_CHANGE + ", losses, crashes, due_s, reason, error, log, result) ", 12)

_LARGE_BYTES: Final = 8_000

_NUMBERS: Final = "(SELECT value FROM json_each(?))"


def statements(batch: Batch) -> Iterator[Statement]:
    """What makes a batch durable, inside a transaction if there is more than one."""
    yield from _puts(batch.puts)
    yield from _changes(batch.changes)
    if batch.dones:
        numbers = "[" + ",".join(map(str, batch.dones)) + "]"
        yield f"DELETE FROM jobs WHERE number IN {_NUMBERS}", (numbers,)
        yield f"DELETE FROM lives WHERE number IN {_NUMBERS}", (numbers,)
    for note in batch.notes:
        yield _note(note)


def name_value(value: bytes) -> str | bytes:
    """A name as text, where that is the same bytes for everybody who reads it; else as a blob."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    return value if "\0" in text else text


def _blob(value: bytes) -> bytes | bytearray:
    """The same bytes as Python's sqlite3 likes them: of bytes, and of None, it asks each time with
    an exception inside whether they can be adapted, which takes longer than to copy a few."""
    return value if len(value) > _LARGE_BYTES else bytearray(value)


def _puts(puts: Iterable[Put]) -> Iterator[Statement]:
    plain: list[Sequence[Value]] = []
    full: list[Sequence[Value]] = []
    functions = _Names()
    for put in puts:
        number, handle, function, unique, payload, priority, created_s = put[:7]
        values = (
            number,
            name_value(handle),
            functions[function],
            name_value(unique) if unique else "",
            _blob(payload),
            int(priority),
            created_s,
        )
        due_s, expire_s, reducer, options = put[7:]
        if due_s or expire_s or reducer or options:
            full.append((*values, due_s, expire_s, name_value(reducer), name_value(options)))
        else:
            plain.append(values)
    yield from _in_rows(*_PLAIN_PUT, plain)
    yield from _in_rows(*_FULL_PUT, full)


def _changes(changes: Iterable[Change]) -> Iterator[Statement]:
    last = {change.number: change for change in changes}  # only the last one of a job counts
    plain: list[Sequence[Value]] = []
    full: list[Sequence[Value]] = []
    for change in last.values():
        number, state, place, attempts, losses, crashes, due_s, since_s = change[:8]
        reason, error, log, result = change[8:]
        values = (number, state, place, attempts, since_s)
        if losses or crashes or due_s or reason or error or log or result:
            names = (name_value(reason), name_value(error), name_value(log))
            full.append((*values, losses, crashes, due_s, *names, result))
        else:
            plain.append(values)
    yield from _in_rows(*_PLAIN_CHANGE, plain)
    yield from _in_rows(*_FULL_CHANGE, full)


def _note(note: FunctionChange | PolicyChange | Mark) -> Statement:
    if isinstance(note, Mark):
        return "REPLACE INTO meta VALUES ('mark', ?)", (note.number,)
    if isinstance(note, PolicyChange):
        pattern = name_value(note.pattern)
        if not note.policy:
            return "DELETE FROM policies WHERE pattern = ?", (pattern,)
        return "REPLACE INTO policies VALUES (?, ?)", (pattern, name_value(note.policy))
    function = name_value(note.function)
    if not (note.paused or note.draining):
        return "DELETE FROM functions WHERE function = ?", (function,)
    values = (function, int(note.paused), int(note.draining))
    return "REPLACE INTO functions VALUES (?, ?, ?)", values


def _in_rows(beginning: str, columns: int, rows: list[Sequence[Value]]) -> Iterator[Statement]:
    row = "(" + ",".join("?" * columns) + ")"
    for start in range(0, len(rows), _ROWS_BIG[-1]):
        some = rows[start : start + _ROWS_BIG[-1]]
        count = len(some)
        values: list[Value] = list(chain.from_iterable(some))
        if count <= _ROWS_EACH:
            yield beginning + "VALUES " + ",".join([row] * count), values
            continue
        size = next(size for size in _ROWS_BIG if size >= count)
        values += [_NO_NUMBER] * (columns * (size - count))
        every = ",".join([row] * size)
        yield f"{beginning}SELECT * FROM (VALUES {every}) WHERE column1 <> {_NO_NUMBER}", values


class _Names(dict[bytes, str | bytes]):
    """The values of names that come again and again."""

    def __missing__(self, name: bytes) -> str | bytes:
        value = self[name] = name_value(name)
        return value
