"""The conformance suite for stores: whoever writes one calls ``check_store`` in a test.

    def test_my_store():
        check_store(lambda directory: MyStore(directory / "jobs"))

It says with an AssertionError which promise of ``gearpy.stores.base.Store`` was broken.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Final, TypeVar

from gearpy.engine.records import (
    STATES,
    Batch,
    Change,
    CronChange,
    FunctionChange,
    Mark,
    Note,
    PolicyChange,
    Put,
    Record,
)
from gearpy.priority import Priority
from gearpy.stores.base import Store

OpenStore = Callable[[Path], Store]
T = TypeVar("T")

_EVERY_BYTE: Final = bytes(range(256))


def check_store(open_store: OpenStore, *, persistent: bool = True) -> None:
    """Checks that a store keeps every promise of ``Store``.

    ``open_store`` is given a directory of the store's own.  Called again with the same directory
    after ``close``, it must give the same store, unless ``persistent`` is false: then nothing is
    expected to outlive ``close``.

    Raises AssertionError with a sentence about the first promise that is broken, or what the
    store raised.
    """
    for check in CHECKS + (PERSISTENT_CHECKS if persistent else ()):
        with TemporaryDirectory(prefix="gearpy-check-store-") as directory:
            check(open_store, Path(directory))


# ---- what every store must do


def check_starts_empty(open_store: OpenStore, directory: Path) -> None:
    """A new store has nothing; an empty batch does not change that."""
    store = open_store(directory)
    _expect(store, [], "a new store has no jobs")
    store.commit(Batch())
    _expect(store, [], "an empty batch adds no jobs")
    store.close()


def check_order(open_store: OpenStore, directory: Path) -> None:
    """Jobs come back in the order of their numbers, whenever they were committed."""
    store = open_store(directory)
    # Neither places in a batch nor functions, priorities or times grow with the number.
    jobs = [
        example_put(
            n * 7,
            function=b"f%d" % (n % 3),
            priority=Priority(n % 4),
            created_s=1e9 - n,
            due_s=n % 2,
        )
        for n in range(1, 21)
    ]
    for start in (8, 0, 16, 4, 12):
        store.commit(Batch(puts=jobs[start : start + 4][::-1]))
    _expect(store, jobs, "jobs come back in the order of their numbers")
    _expect(store, jobs, "loading changes nothing")
    store.commit(Batch(changes=[example_change(7, place=900), example_change(140, place=-900)]))
    found = [record.number for record in store.load() if isinstance(record, Put)]
    if found != [job.number for job in jobs]:
        raise AssertionError("the place of a job in its queue does not move it in the store")
    store.close()


def check_dones(open_store: OpenStore, directory: Path) -> None:
    """A done forgets its job and no other."""
    store = open_store(directory)
    jobs = [example_put(n) for n in range(1, 13)]
    store.commit(Batch(puts=jobs[:3]))
    store.commit(Batch(puts=jobs[3:], dones=[2]))
    jobs = _without(jobs, 2)
    _expect(store, jobs, "a done forgets the job of an earlier batch")
    store.commit(Batch(dones=[5]))
    jobs = _without(jobs, 5)
    _expect(store, jobs, "a done leaves the order of the others alone")
    store.commit(Batch(dones=[5, 1_000_000]))
    _expect(store, jobs, "a done without a job changes nothing")
    store.commit(Batch(dones=[11, 1, 10]))
    jobs = _without(jobs, 11, 1, 10)
    _expect(store, jobs, "a done forgets the job with its number, whatever its digits")
    store.commit(Batch(dones=[job.number for job in jobs]))
    _expect(store, [], "when all jobs are done there are none")
    store.close()


def check_changes(open_store: OpenStore, directory: Path) -> None:
    """A job has its last Change and no other, right behind it, until it is done."""
    store = open_store(directory)
    one, two, three = (example_put(n) for n in (1, 2, 3))
    first = example_change(1, state="running", attempts=1)
    store.commit(Batch(puts=[one, two], changes=[first]))
    _expect(store, [one, first, two], "a Change may stand in the batch of its Put")
    full = Change(1, "retrying", 5, 2, 1, 1, 2e9, 1e9, b"lost", b"gone", b"[1]", b"part")
    store.commit(Batch(puts=[three], changes=[example_change(3), full]))
    expected: list[Record] = [one, full, two, three, example_change(3)]
    _expect(store, expected, "a Change replaces the one before")
    bare = Change(1, "queued", 1, 3, 0, 0, 0.0, 0.0, b"", b"", b"", b"")
    store.commit(Batch(changes=[full, bare]))
    expected[1] = bare
    _expect(store, expected, "the last Change of a batch counts, and leaves nothing of the others")
    store.commit(Batch(dones=[1]))
    _expect(store, expected[2:], "a done forgets the Change of its job and no other")
    store.commit(Batch(dones=[2, 3]))
    _expect(store, [], "when all jobs are done there are no Changes")
    store.close()


def check_notes(open_store: OpenStore, directory: Path) -> None:
    """Notes replace those about the same thing; a note that says nothing forgets it."""
    store = open_store(directory)
    job = example_put(1)
    paused = FunctionChange(b"f", True, False)
    odd: list[Note] = [
        FunctionChange(b"a-b\xff\0'\"", False, True),
        FunctionChange(b"", True, True),
        PolicyChange(b"f*", b'{"attempts": 3}'),
        PolicyChange(b"\xe9[!x]?", b"{}"),
        CronChange("n\xe4chtlich", b'{"cron":"* * * * *"}', b"{}"),
        CronChange("of the settings", b"", b'{"last_s":1.5}'),
    ]
    store.commit(Batch(puts=[job], notes=[Mark(10), paused, *odd]))
    _expect(store, [Mark(10), paused, *odd, job], "notes come back as they were")
    paused = FunctionChange(b"f", True, True)
    store.commit(Batch(notes=[Mark(20), Mark(30), odd[3], paused]))
    _expect(store, [Mark(30), paused, *odd, job], "a note replaces the one about the same thing")
    gone: list[Note] = [
        FunctionChange(b"f", False, False),
        PolicyChange(b"f*", b""),
        CronChange("n\xe4chtlich", b"", b""),
    ]
    store.commit(Batch(notes=gone))
    del odd[4], odd[2]
    _expect(store, [Mark(30), *odd, job], "a note that says nothing forgets what was there")
    store.commit(Batch(notes=[*gone, FunctionChange(b"F", False, False), PolicyChange(b"F", b"")]))
    _expect(store, [Mark(30), *odd, job], "forgetting what is not there changes nothing")
    last = PolicyChange(b"p", b"{}")
    batch = Batch(notes=[PolicyChange(b"p", b""), PolicyChange(b"p", b"1"), last, Mark(2**62)])
    store.commit(batch)
    _expect(store, [Mark(2**62), *odd, last, job], "notes count in the order of the batch")
    store.close()


def check_twins(open_store: OpenStore, directory: Path) -> None:
    """Jobs that differ in nothing but number and handle are different jobs."""
    store = open_store(directory)
    number = 1
    for unique in (b"", b"-", b"same"):
        numbers = [number, number + 1, number + 2]
        jobs = [example_put(n, unique=unique, payload=b"alike") for n in numbers]
        store.commit(Batch(puts=jobs))
        _expect(store, jobs, f"three jobs with the unique {unique!r} are three jobs")
        store.commit(Batch(dones=[number + 1]))
        _expect(store, [jobs[0], jobs[2]], f"one done ends one job with the unique {unique!r}")
        store.commit(Batch(dones=[number, number + 2]))
        number += 3
    store.close()


def check_values(open_store: OpenStore, directory: Path) -> None:
    """Every value that a job can have comes back as it was."""
    store = open_store(directory)
    jobs = [
        example_put(1),
        example_put(2, function=b"", unique=b"", payload=b"", reducer=b"", options=b""),
        example_put(3, function=b"n\xffm\xe9", unique=_EVERY_BYTE[:64], payload=_EVERY_BYTE * 3),
        example_put(4, payload=b"\0"),
        example_put(5, payload=b"\0\0tail\0", unique=b"\0", reducer=b"r\xc3\xa9duce"),
        example_put(6, payload="späße 😀".encode(), unique="ü".encode()),
        example_put(7, payload=b"'; DROP TABLE jobs; --\n\t\\", function=b"'\"`%s?"),
        example_put(8, function=b"f" * 255, unique=b"u" * 64, reducer=b"r" * 255),
        example_put(9, payload=_EVERY_BYTE * 4096, function=b"with-hyphens-in-it", unique=b"1-2"),
        example_put(10, function=b"123", unique=b"1.0", payload=b"45", options=b"1e3"),
        example_put(11, options='{"labels": {"ä": "\\u0000"}}'.encode()),
        example_put(12, options=b"\xff\0", reducer=b"\xed\xa0\x80"),
        *(example_put(20 + priority, priority=priority) for priority in Priority),
        *(
            example_put(30 + n, due_s=value, expire_s=value / 3, created_s=value / 7)
            for n, value in enumerate((0.1, 1.0, 1_700_000_000.123456, 253_402_300_799.0))
        ),
        *(
            example_put(40 + n, handle=start + b":%d" % (40 + n))
            for n, start in enumerate((b"H:" + b"x" * 58, b"H:h\xf6st", b"h:H\xf6ST", b"H::", b""))
        ),
        example_put(2**53 + 1),
        example_put(2**62),
    ]
    for job in jobs:
        store.commit(Batch(puts=[job]))
    _expect(store, jobs, "every value of a Put comes back as it was committed")
    store.commit(Batch(dones=[job.number for job in jobs]))
    store.commit(Batch(puts=jobs))
    _expect(store, jobs, "every value comes back as it was committed, also in one batch")
    changes = _changes([job.number for job in jobs])
    for change in changes:
        store.commit(Batch(changes=[change]))
    pairs = _paired(jobs, changes)
    _expect(store, pairs, "every value of a Change comes back as it was committed")
    store.commit(Batch(changes=changes))
    _expect(store, pairs, "every value of a Change comes back, also in one batch")
    store.close()


def check_payloads(open_store: OpenStore, directory: Path) -> None:
    """Payloads are read in the order that is asked for, as many as there is room for."""
    store = open_store(directory)
    jobs = [example_put(n, payload=b"%05d\0\xff" % n) for n in range(1, 301)]
    jobs += [example_put(301, payload=b""), example_put(302, payload=b"x" * 100_000)]
    store.commit(Batch(puts=jobs, changes=[example_change(4)]))
    store.commit(Batch(dones=[5, 6]))
    kept = {job.number: job.payload for job in _without(jobs, 5, 6)}
    cases: list[tuple[list[int], int, list[int]]] = [
        ([], 100, []),
        ([1], 7, [1]),
        ([1], 6, [1]),
        ([5, 1_000], 100, []),
        ([5, 1_000, 2, 3], 0, [2]),
        ([9, 8, 7, 4], 7 * 3, [9, 8, 7]),
        ([9, 8, 7, 4], 7 * 4 - 1, [9, 8, 7]),
        ([302, 1, 301], 1_000, [302]),
        ([1, 302, 2], 1_000, [1]),
        ([1, 302, 2], 200_000, [1, 302, 2]),
        ([301], 0, [301]),
        ([301, 1], 7, [301, 1]),
        ([*range(7, 71), 302, 71], 7 * 65, list(range(7, 71))),
        (list(range(1, 303)), 10**9, [*range(1, 5), *range(7, 303)]),
        (list(range(300, 0, -1)), 7 * 250, list(range(300, 50, -1))),
        (list(range(1, 303)), 7 * 100, [*range(1, 5), *range(7, 103)]),
    ]
    for numbers, bytes_max, expected in cases:
        found = store.payloads(numbers, bytes_max)
        wanted = {number: kept[number] for number in expected}
        if {n: (type(p), p) for n, p in found.items()} != {
            n: (bytes, p) for n, p in wanted.items()
        }:
            raise AssertionError(
                f"payloads are those of the first jobs that fit: of {_short(numbers)}, at most "
                f"{bytes_max:,} bytes, it has {_short(list(found))} instead of {_short(expected)}"
            )
    store.close()


def check_big_batch(open_store: OpenStore, directory: Path) -> None:
    """A batch may be big: after a slow commit the next one is.  Any size is taken whole."""
    store = open_store(directory)
    jobs = [example_put(n, due_s=float(n % 3)) for n in range(1, 20_001)]
    store.commit(Batch(puts=jobs))
    _expect(store, jobs, "a batch of 20,000 jobs is kept")
    more = [example_put(n) for n in range(20_001, 25_001)]
    changes = [example_change(n, losses=n % 2) for n in range(2, 20_001, 2)]
    dones = list(range(1, 20_001, 2))
    store.commit(Batch(puts=more, changes=changes, dones=dones))
    kept = [*_paired(jobs[1::2], changes), *more]
    _expect(store, kept, "a batch of 5,000 jobs, 10,000 changes and 10,000 dones is kept")
    store.close()


def check_sizes(open_store: OpenStore, directory: Path) -> None:
    """No number of records in a batch is special."""
    store = open_store(directory)
    jobs: list[Put] = []
    changes: list[Change] = []
    for size in (*range(1, 71), 127, 128, 129, 191, 511, 513, 1_000):
        first = len(jobs) + 1
        jobs += [example_put(n) for n in range(first, first + size)]
        changes += [example_change(n) for n in range(first, first + size)]
        store.commit(Batch(puts=jobs[first - 1 :], changes=changes[first - 1 :]))
    _expect(store, _paired(jobs, changes), "a batch of any size is kept whole")
    first = 1
    for size in range(1, 71):
        store.commit(Batch(dones=list(range(first, first + size))))
        first += size
    left = _paired(jobs[first - 1 :], changes[first - 1 :])
    _expect(store, left, "a batch with any number of dones forgets them all")
    store.close()


def check_all_or_nothing(open_store: OpenStore, directory: Path) -> None:
    """A batch that breaks in the middle leaves nothing of itself."""
    # Nothing may follow a commit that raised, so each of them is the end of a store.
    for field in ("puts", "changes", "dones", "notes"):
        place = directory / field
        place.mkdir()
        store = open_store(place)
        kept = [Mark(10), *_paired([example_put(n) for n in (1, 2, 3)], [example_change(2)])]
        batch = Batch()
        batch.notes.append(Mark(10))
        batch.puts += [example_put(n) for n in (1, 2, 3)]
        batch.changes.append(example_change(2))
        store.commit(batch)
        broken = Batch(
            puts=[example_put(4), example_put(5)],
            changes=[example_change(4), example_change(2, attempts=9)],
            dones=[1, 3],
            notes=[Mark(20), FunctionChange(b"f", True, True)],
        )
        setattr(broken, field, _Breaks(getattr(broken, field)))
        try:
            store.commit(broken)
        except _Broken:
            pass
        else:
            raise AssertionError("a batch that can't be read must raise out of commit")
        _expect(store, kept, f"a batch that breaks in its {field} leaves nothing of itself")
        store.close()


def check_threads(open_store: OpenStore, directory: Path) -> None:
    """Calls come from other threads than the one that opened the store."""
    store = open_store(directory)
    jobs = [example_put(n) for n in range(1, 5)]
    for job in jobs:
        _in_thread(partial(store.commit, Batch(puts=[job])))
    _expect(store, jobs, "what other threads committed is there")
    found = _in_thread(lambda: list(store.load()))
    if found != jobs:
        raise AssertionError("another thread loads the same")
    if _in_thread(lambda: store.payloads([4], 100)) != {4: jobs[3].payload}:
        raise AssertionError("another thread reads the same payloads")
    _in_thread(store.free_bytes)
    _in_thread(store.close)


def check_free_bytes(open_store: OpenStore, directory: Path) -> None:
    """The room that is left is a number of bytes, or None."""
    store = open_store(directory)
    free_bytes = store.free_bytes()
    if free_bytes is not None and (type(free_bytes) is not int or free_bytes < 0):
        raise AssertionError(f"free_bytes is a number of bytes or None, not {free_bytes!r}")
    store.close()


def check_closing_again(open_store: OpenStore, directory: Path) -> None:
    """Closing twice is closing once."""
    store = open_store(directory)
    store.commit(Batch(puts=[example_put(1)]))
    store.close()
    store.close()


# ---- what a store must do that outlives its process


def check_reopening(open_store: OpenStore, directory: Path) -> None:
    """What was committed is there after the store was closed and opened, and so is its order."""
    store = open_store(directory)
    jobs = [example_put(n, payload=bytes([n, 0, 255])) for n in range(1, 9)]
    change = example_change(3, state="dead", reason=b"used up")
    notes: list[Note] = [
        Mark(100),
        FunctionChange(b"f", True, False),
        PolicyChange(b"*", b"{}"),
        CronChange("nightly", b"{}", b'{"last_s":2.0}'),
    ]
    store.commit(Batch(puts=jobs[:3], notes=[*notes]))
    store.commit(Batch(dones=[2], changes=[change]))
    store.close()

    store = open_store(directory)
    kept: list[Record] = [*notes, jobs[0], jobs[2], change]
    _expect(store, kept, "a store has what it had when it is opened again")
    store.commit(Batch(puts=jobs[3:6], dones=[3], notes=[Mark(200)]))
    store.close()

    store = open_store(directory)
    store.commit(Batch(puts=jobs[6:], dones=[6]))
    kept = [Mark(200), *notes[1:], jobs[0], jobs[3], jobs[4], jobs[6], jobs[7]]
    _expect(store, kept, "jobs of several lives of a store keep their order")
    if store.payloads([8, 1], 100) != {8: jobs[7].payload, 1: jobs[0].payload}:
        raise AssertionError("payloads of several lives of a store are there")
    store.close()


def check_emptied(open_store: OpenStore, directory: Path) -> None:
    """Done jobs do not come back, and a store that was emptied stays empty."""
    store = open_store(directory)
    jobs = [example_put(n) for n in range(1, 6)]
    function = FunctionChange(b"f", True, True)
    store.commit(Batch(puts=jobs, changes=[example_change(1)], notes=[function]))
    store.commit(Batch(dones=[1, 2, 3, 4, 5], notes=[FunctionChange(b"f", False, False)]))
    store.close()
    store = open_store(directory)
    _expect(store, [], "done jobs do not come back when a store is opened again")
    store.close()


Check = Callable[[OpenStore, Path], None]

CHECKS: Final[tuple[Check, ...]] = (
    check_starts_empty,
    check_order,
    check_dones,
    check_changes,
    check_notes,
    check_twins,
    check_values,
    check_payloads,
    check_big_batch,
    check_sizes,
    check_all_or_nothing,
    check_threads,
    check_free_bytes,
    check_closing_again,
)
PERSISTENT_CHECKS: Final[tuple[Check, ...]] = (check_reopening, check_emptied)


# ---- records to try with


def example_put(number: int, **values: Any) -> Put:
    """A job as it might be submitted, with whatever fields of ``Put`` matter to a test."""
    usual: dict[str, Any] = {
        "handle": b"H:check:%d" % number,
        "function": b"resize",
        "unique": b"",
        "payload": b"%d" % number,
        "priority": Priority.NORMAL,
        "created_s": 1_700_000_000.5,
        "due_s": 0.0,
        "expire_s": 0.0,
        "reducer": b"",
        "options": b"",
    }
    values = usual | values
    return Put(number, **values | {key: float(values[key]) for key in values if key.endswith("_s")})


def example_change(number: int, **values: Any) -> Change:
    """What might become of a job, with whatever fields of ``Change`` matter to a test."""
    usual: dict[str, Any] = {
        "state": "running",
        "place": number,
        "attempts": 1,
        "losses": 0,
        "crashes": 0,
        "due_s": 0.0,
        "since_s": 1_700_000_001.25,
        "reason": b"",
        "error": b"",
        "log": b"",
        "result": b"",
    }
    return Change(number, **usual | values)


def _changes(numbers: Sequence[int]) -> list[Change]:
    odd: list[dict[str, Any]] = [
        {"place": -(2**62), "attempts": 0, "since_s": 0.0},
        {"place": 2**62, "attempts": 2**40, "losses": 2**40 - 1, "crashes": 7},
        {"due_s": 0.1, "since_s": 1_700_000_000.123456},
        {"reason": b"\xff\0", "error": _EVERY_BYTE, "log": b"[]", "result": _EVERY_BYTE},
        {"reason": "größer".encode(), "error": b"\0", "log": b"\xe9", "result": b"12"},
        {"result": b"\0" * 70_000},
        {"losses": 1},
        {"crashes": 1},
        {"error": b"1.0"},
    ]
    odd += [{"state": state} for state in STATES]
    return [example_change(n, **values) for n, values in zip(numbers, odd, strict=False)]


def _paired(puts: Sequence[Put], changes: Sequence[Change]) -> list[Record]:
    """Each Put, and its Change behind it."""
    by_number = {change.number: change for change in changes}
    records: list[Record] = []
    for put in puts:
        records.append(put)
        if put.number in by_number:
            records.append(by_number[put.number])
    return records


def _without(jobs: Sequence[Put], *numbers: int) -> list[Put]:
    return [job for job in jobs if job.number not in numbers]


# ---- comparing


def _expect(store: Store, expected: Sequence[Record], promise: str) -> None:
    """Compares what the store has with what it should have, types included."""
    found = list(store.load())
    if len(found) != len(expected):
        raise AssertionError(
            f"{promise}: it has {len(found):,} records instead of {len(expected):,}"
        )
    expected = _as_loaded(found, expected)
    for place, (got, wanted) in enumerate(zip(found, expected, strict=True)):
        if _exact(got) != _exact(wanted):
            raise AssertionError(
                f"{promise}: at place {place} is {_short(got)} instead of {_short(wanted)}"
            )


def _as_loaded(found: Sequence[Record], expected: Sequence[Record]) -> list[Record]:
    """Of the notes about functions, policies and schedules, any order is as good."""
    notes = {
        note for note in expected if isinstance(note, FunctionChange | PolicyChange | CronChange)
    }
    in_order = [record for record in found if record in notes]
    if len(in_order) != len(notes):
        return list(expected)
    rest = [record for record in expected if record not in notes]
    start = 1 if rest and isinstance(rest[0], Mark) else 0
    return [*rest[:start], *in_order, *rest[start:]]


def _exact(record: Record) -> list[object]:
    # 1 == 1.0 == Priority.NORMAL and b"x" == bytearray(b"x"); the engine wants the real thing.
    return [type(record), *((type(value), value) for value in record)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "..."


def _in_thread(call: Callable[[], T]) -> T:
    """What a call gives in a thread of its own."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # it belongs to the thread that asked
            failures.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise AssertionError("every call must work in any thread") from failures[0]
    return results[0]


class _Broken(Exception):
    """The batch can't be read further."""


class _Breaks(list[T]):
    """A list that can be read but for its last item."""

    def __iter__(self) -> Iterator[T]:
        yield from self[:-1]
        raise _Broken
