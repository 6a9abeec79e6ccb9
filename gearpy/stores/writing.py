"""A batch as SQL: few statements of many rows each, one if possible.

A statement gives the GIL away, and then has to get it back from a busy event loop, which takes
longer than to write many rows.  So what comes most often, a batch of jobs and nothing else, is one
statement: a transaction by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, TypeVar

from gearpy.engine.records import Batch, Change, CronChange, Mark, Note, PolicyChange, Put

Value = bytes | bytearray | str | int | float | None
Statement = tuple[str, Sequence[Value]]
_T = TypeVar("_T")

# Any number of rows up to this has a statement of its own.  Beyond it there are a few sizes, filled
# up with rows of this number, which are not written.  All fit into SQLite's cache of statements.
_NO_NUMBER: Final = -1
_ROWS_EACH: Final = 32
_ROWS_BIG: Final = (48, 64, 96, 128, 192, 256, 384, 512)

_PUT: Final = 'INSERT INTO jobs (number, handle, function, "unique", payload, priority, created_s'
_PLAIN_PUT: Final = _PUT + ") "
_PLAIN_FIELDS: Final = 7  # of a Put: most have nothing in the others
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


def _puts(puts: Sequence[Put]) -> Iterator[Statement]:
    seldom = [put for put in puts if any(put[_PLAIN_FIELDS:])]
    if seldom:
        puts = [put for put in puts if not any(put[_PLAIN_FIELDS:])]
    for start in range(0, len(puts), _ROWS_BIG[-1]):
        yield _plain_puts(puts[start : start + _ROWS_BIG[-1]])
    yield from _in_rows(*_FULL_PUT, [_full_put(put) for put in seldom])


def _plain_puts(puts: Sequence[Put]) -> Statement:
    """Jobs as most are, column by column: to bind a value takes as long as to write it.  So what
    is the same in all rows is bound once, and a handle is made of its number."""
    numbers, handles, functions, uniques, payloads, priorities, created_s = tuple(
        zip(*puts, strict=True)
    )[:_PLAIN_FIELDS]
    columns = _Columns(numbers)
    prefix = handles[0].removesuffix(b"%d" % numbers[0])
    text = name_value(prefix)
    usual = [b"%b%d" % (prefix, number) for number in numbers]
    if isinstance(text, str) and list(handles) == usual:
        columns.add_once(text, "? || column1")
    else:
        columns.add(handles, name_value)
    columns.add_short(functions, _Names().__getitem__)
    columns.add_short(uniques, name_value)
    columns.add(payloads, _blob)
    columns.add_short(priorities, int)
    columns.add_short(created_s, float)
    return columns.statement(_PLAIN_PUT)


def _full_put(put: Put) -> Sequence[Value]:
    number, handle, function, unique, payload, priority, created_s = put[:_PLAIN_FIELDS]
    due_s, expire_s, reducer, options = put[_PLAIN_FIELDS:]
    return (
        number,
        name_value(handle),
        name_value(function),
        name_value(unique),
        _blob(payload),
        int(priority),
        created_s,
        due_s,
        expire_s,
        name_value(reducer),
        name_value(options),
    )


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


def _note(note: Note) -> Statement:
    if isinstance(note, Mark):
        return "REPLACE INTO meta VALUES ('mark', ?)", (note.number,)
    if isinstance(note, PolicyChange):
        pattern = name_value(note.pattern)
        if not note.policy:
            return "DELETE FROM policies WHERE pattern = ?", (pattern,)
        return "REPLACE INTO policies VALUES (?, ?)", (pattern, name_value(note.policy))
    if isinstance(note, CronChange):
        if not (note.schedule or note.state):
            return "DELETE FROM schedules WHERE name = ?", (note.name,)
        values = (note.name, name_value(note.schedule), name_value(note.state))
        return "REPLACE INTO schedules VALUES (?, ?, ?)", values
    function = name_value(note.function)
    if not (note.paused or note.draining):
        return "DELETE FROM functions WHERE function = ?", (function,)
    flags = (function, int(note.paused), int(note.draining))
    return "REPLACE INTO functions VALUES (?, ?, ?)", flags


def _in_rows(beginning: str, columns: int, rows: list[Sequence[Value]]) -> Iterator[Statement]:
    for start in range(0, len(rows), _ROWS_BIG[-1]):
        some = rows[start : start + _ROWS_BIG[-1]]
        table, padding = _table(columns, len(some))
        yield f"{beginning}SELECT * FROM {table}", [*chain.from_iterable(some), *padding]


def _table(columns: int, rows: int) -> tuple[str, list[Value]]:
    """A table of so many rows for a statement, and the values to add to theirs."""
    row = "(" + ",".join("?" * columns) + ")"
    if rows <= _ROWS_EACH:
        return "(VALUES " + ",".join([row] * rows) + ")", []
    size = next(size for size in _ROWS_BIG if size >= rows)
    every = ",".join([row] * size)
    padding: list[Value] = [_NO_NUMBER] * (columns * (size - rows))
    return f"(VALUES {every}) WHERE column1 <> {_NO_NUMBER}", padding


class _Columns:
    """A statement for rows that have much in common; the first column is their numbers."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._rows = len(numbers)
        self._expressions = ["column1"]
        self._once: list[Value] = []
        self._columns: list[Iterable[Value]] = [numbers]

    def add_once(self, value: Value, expression: str = "?") -> None:
        """A column that is the same in all rows, or made of that."""
        self._once.append(value)
        self._expressions.append(expression)

    def add(self, values: Sequence[_T], bound: Callable[[_T], Value]) -> None:
        """A column; ``bound`` makes of a value what SQLite is given."""
        self._columns.append(map(bound, values))
        self._expressions.append(f"column{len(self._columns)}")

    def add_short(self, values: Sequence[_T], bound: Callable[[_T], Value]) -> None:
        """A column of short values that may all be the same."""
        if values.count(values[0]) == len(values):
            self.add_once(bound(values[0]))
        else:
            self.add(values, bound)

    def statement(self, beginning: str) -> Statement:
        """What writes them."""
        table, padding = _table(len(self._columns), self._rows)
        rows = chain.from_iterable(zip(*self._columns, strict=True))
        return (
            f"{beginning}SELECT {','.join(self._expressions)} FROM {table}",
            [*self._once, *rows, *padding],
        )


class _Names(dict[bytes, str | bytes]):
    """The values of names that come again and again."""

    def __missing__(self, name: bytes) -> str | bytes:
        value = self[name] = name_value(name)
        return value
