"""The conformance suite for stores: whoever writes one calls ``check_store`` in a test.

    def test_my_store():
        check_store(lambda directory: MyStore(directory / "jobs"))

It says with an AssertionError which promise of ``gearpy.stores.base.Store`` was broken.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final, overload

from gearpy.engine.records import Done, Put, Record
from gearpy.priority import Priority
from gearpy.stores.base import Store

OpenStore = Callable[[Path], Store]


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
    """A new store has no jobs; an empty batch does not change that."""
    store = open_store(directory)
    _expect(store, [], "a new store has no jobs")
    store.commit([])
    _expect(store, [], "an empty batch adds no jobs")
    store.close()


def check_order(open_store: OpenStore, directory: Path) -> None:
    """Jobs come back in the order of their commits, and inside a batch in its order."""
    store = open_store(directory)
    # Neither handles nor functions, priorities or times grow with the order of arrival.
    jobs = [
        _job(
            (n * 7) % 20,
            function=b"f%d" % (n % 3),
            priority=Priority(n % 3),
            due_s=1e9 - n,
        )
        for n in range(20)
    ]
    for start in range(0, 20, 4):
        store.commit(jobs[start : start + 4])
    _expect(store, jobs, "jobs come back in the order in which they were committed")
    _expect(store, jobs, "loading changes nothing")
    store.close()


def check_done(open_store: OpenStore, directory: Path) -> None:
    """A Done removes its job and no other, in the same batch or later."""
    store = open_store(directory)
    jobs = [_job(n) for n in range(6)]
    store.commit([jobs[0], jobs[1], Done(jobs[0].handle), jobs[2]])
    _expect(store, jobs[1:3], "a Done removes the Put before it in the same batch")
    store.commit([Done(jobs[1].handle), *jobs[3:]])
    _expect(store, jobs[2:], "a Done removes the Put of an earlier batch")
    store.commit([Done(jobs[4].handle)])
    _expect(store, [jobs[2], jobs[3], jobs[5]], "a Done leaves the order of the others alone")
    store.commit([Done(jobs[4].handle), Done(b"H:nobody:1")])
    _expect(store, [jobs[2], jobs[3], jobs[5]], "a Done without a job changes nothing")
    store.commit([Done(jobs[n].handle) for n in (5, 2, 3)])
    _expect(store, [], "when all jobs are done there are none")
    store.close()


def check_twins(open_store: OpenStore, directory: Path) -> None:
    """Jobs that differ in nothing but the handle are different jobs."""
    store = open_store(directory)
    for unique in (b"", b"-", b"same"):
        jobs = [_job(n, unique=unique) for n in range(3)]
        store.commit(jobs)
        _expect(store, jobs, f"three jobs with the unique {unique!r} are three jobs")
        store.commit([Done(jobs[1].handle)])
        _expect(store, [jobs[0], jobs[2]], f"one Done ends one job with the unique {unique!r}")
        store.commit([Done(jobs[0].handle), Done(jobs[2].handle)])
    store.close()


def check_values(open_store: OpenStore, directory: Path) -> None:
    """Every value that a job can have comes back as it was."""
    store = open_store(directory)
    every_byte = bytes(range(256))
    jobs = [
        _job(0),
        _job(1, function=b"", unique=b"", payload=b"", reducer=b""),
        _job(2, function=b"n\xffm\xe9", unique=every_byte[:64], payload=every_byte * 3),
        _job(3, payload=b"\0"),
        _job(4, payload=b"\0\0tail\0", unique=b"\0", reducer=b"r\xc3\xa9duce"),
        _job(5, payload="späße 😀".encode(), unique="ü".encode()),
        _job(6, payload=b"'; DROP TABLE jobs; --\n\t\\", function=b"'\"`%s?"),
        _job(7, function=b"f" * 255, unique=b"u" * 64, reducer=b"r" * 255),
        _job(8, payload=every_byte * 4096),
        *(_job(10 + priority, priority=priority) for priority in Priority),
        *(
            _job(20 + n, due_s=due_s)
            for n, due_s in enumerate((0.0, 0.1, 1_700_000_000.123456, 253_402_300_799.0))
        ),
    ]
    handles = [b"H:" + b"x" * 61, b"H:h\xf6st:1", b"H:h\xf6st:10", b"h:H\xf6ST:1"]
    jobs += [_job(30 + n, handle=handle) for n, handle in enumerate(handles)]
    for job in jobs:
        store.commit([job])
    _expect(store, jobs, "every value comes back as it was committed")
    store.commit([Done(handles[1])])
    jobs = [job for job in jobs if job.handle != handles[1]]
    _expect(store, jobs, "handles are compared byte for byte")
    store.close()


def check_big_batch(open_store: OpenStore, directory: Path) -> None:
    """A batch may be big: after a slow commit the next one is."""
    store = open_store(directory)
    jobs = [_job(n) for n in range(20_000)]
    store.commit(jobs)
    _expect(store, jobs, "a batch of 20,000 jobs is kept")
    more = [_job(n) for n in range(20_000, 25_000)]
    ended = [Done(job.handle) for job in jobs if int(job.payload) % 2]
    store.commit([*ended, *more])
    _expect(store, [*jobs[::2], *more], "a batch of 10,000 ends and 5,000 new jobs is kept")
    store.close()


def check_all_or_nothing(open_store: OpenStore, directory: Path) -> None:
    """A batch that breaks in the middle leaves nothing of itself."""
    store = open_store(directory)
    jobs = [_job(n) for n in range(3)]
    store.commit(jobs)
    try:
        store.commit(_Breaks([_job(3), Done(jobs[0].handle), _job(4)]))
    except _Broken:
        pass
    else:
        raise AssertionError("a batch that can't be read must raise out of commit")
    _expect(store, jobs, "a batch that breaks in the middle leaves nothing of itself")
    store.close()


def check_threads(open_store: OpenStore, directory: Path) -> None:
    """Commits come from another thread than the one that opened the store."""
    store = open_store(directory)
    jobs = [_job(n) for n in range(4)]
    failures: list[Exception] = []

    def commit(job: Put) -> None:
        try:
            store.commit([job])
        except Exception as error:  # it belongs to the thread that asked
            failures.append(error)

    for job in jobs:
        thread = Thread(target=commit, args=(job,))
        thread.start()
        thread.join()
    if failures:
        raise AssertionError("a commit must work in any thread") from failures[0]
    _expect(store, jobs, "what other threads committed is there")
    store.close()


def check_closing_again(open_store: OpenStore, directory: Path) -> None:
    """Closing twice is closing once."""
    store = open_store(directory)
    store.commit([_job(0)])
    store.close()
    store.close()


# ---- what a store must do that outlives its process


def check_reopening(open_store: OpenStore, directory: Path) -> None:
    """What was committed is there after the store was closed and opened, and so is its order."""
    store = open_store(directory)
    jobs = [_job(n, payload=bytes([n, 0, 255])) for n in range(8)]
    store.commit(jobs[:3])
    store.commit([Done(jobs[1].handle)])
    store.close()

    store = open_store(directory)
    _expect(store, [jobs[0], jobs[2]], "a store has its jobs when it is opened again")
    store.commit([*jobs[3:6], Done(jobs[2].handle)])
    store.close()

    store = open_store(directory)
    store.commit([Done(jobs[5].handle), *jobs[6:]])
    kept = [jobs[0], jobs[3], jobs[4], jobs[6], jobs[7]]
    _expect(store, kept, "jobs of several lives of a store keep their order")
    store.close()


def check_emptied(open_store: OpenStore, directory: Path) -> None:
    """Done jobs do not come back, and a store that was emptied stays empty."""
    store = open_store(directory)
    jobs = [_job(n) for n in range(5)]
    store.commit(jobs)
    store.commit([Done(job.handle) for job in jobs])
    store.close()
    store = open_store(directory)
    _expect(store, [], "done jobs do not come back when a store is opened again")
    store.close()


Check = Callable[[OpenStore, Path], None]

CHECKS: Final[tuple[Check, ...]] = (
    check_starts_empty,
    check_order,
    check_done,
    check_twins,
    check_values,
    check_big_batch,
    check_all_or_nothing,
    check_threads,
    check_closing_again,
)
PERSISTENT_CHECKS: Final[tuple[Check, ...]] = (check_reopening, check_emptied)


def _job(
    number: int,
    *,
    handle: bytes | None = None,
    function: bytes = b"resize",
    unique: bytes = b"",
    payload: bytes | None = None,
    priority: Priority = Priority.NORMAL,
    due_s: float = 0.0,
    reducer: bytes = b"",
) -> Put:
    return Put(
        b"H:check:%d" % number if handle is None else handle,
        function,
        unique,
        b"%d" % number if payload is None else payload,
        priority,
        due_s,
        reducer,
    )


def _expect(store: Store, expected: Sequence[Put], promise: str) -> None:
    """Compares what the store has with what it should have, types included."""
    found = list(store.load())
    if len(found) != len(expected):
        raise AssertionError(f"{promise}: it has {len(found):,} instead of {len(expected):,}")
    for place, (got, wanted) in enumerate(zip(found, expected, strict=True)):
        if _exact(got) != _exact(wanted):
            raise AssertionError(
                f"{promise}: at place {place} is {_short(got)} instead of {_short(wanted)}"
            )


def _exact(job: Put) -> list[tuple[type, object]]:
    # 1 == 1.0 == Priority.NORMAL and b"x" == bytearray(b"x"); the engine wants the real thing.
    values = (
        job.handle,
        job.function,
        job.unique,
        job.payload,
        job.priority,
        job.due_s,
        job.reducer,
    )
    return [(type(value), value) for value in values]


def _short(job: Put) -> str:
    text = repr(job)
    return text if len(text) <= 300 else text[:300] + "..."


class _Broken(Exception):
    """The batch can't be read further."""


class _Breaks(Sequence[Record]):
    """A batch that can be read but for its last record."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        yield from self._records[:-1]
        raise _Broken

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        raise _Broken
