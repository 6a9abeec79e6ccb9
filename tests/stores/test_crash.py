"""Whatever a crash leaves of the files, what loads is what some commit left, and no half of one."""

import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from gearpy.engine.records import Batch, FunctionChange, Mark, PolicyChange, Record
from gearpy.stores.memory import MemoryStore
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_change, example_put

_HEADER_BYTES: Final = 32  # of the log
_PAGE_BYTES: Final = 4096
_FRAME_BYTES: Final = 24 + _PAGE_BYTES
_CHECKPOINT_EVERY: Final = 9  # commits


class Files(NamedTuple):
    """What is on the disk of a journal."""

    main: bytes
    log: bytes


class Step(NamedTuple):
    """A commit or a checkpoint: the files and what is kept, before and after."""

    before: Files
    after: Files
    kept_before: list[Record]
    kept_after: list[Record]


def batches(rng: random.Random, count: int) -> Iterator[Batch]:
    """Batches of all kinds: of one record and of many, of small records and of big ones."""
    number = 0
    alive: list[int] = []
    for _ in range(count):
        batch = Batch()
        for _ in range(rng.choice((0, 1, 1, 3, 40))):
            number += 1
            size_bytes = rng.choice((0, 10, 100, 100, 5_000))
            batch.puts.append(example_put(number, payload=rng.randbytes(size_bytes)))
            alive.append(number)
        rng.shuffle(alive)
        for _ in range(min(len(alive), rng.choice((0, 0, 1, 30)))):
            batch.dones.append(alive.pop())
        forgotten = {*batch.dones}
        batch.puts = [put for put in batch.puts if put.number not in forgotten]
        for number_ in alive[: rng.choice((0, 1, 10))]:
            batch.changes.append(
                example_change(number_, attempts=rng.randrange(9), error=rng.randbytes(9))
            )
        batch.notes += rng.sample(
            [
                Mark(number + rng.randrange(1, 1_000)),
                FunctionChange(b"f", rng.random() < 0.5, rng.random() < 0.5),
                PolicyChange(b"*", rng.choice((b"", b"{}"))),
            ],
            rng.choice((0, 0, 1, 3)),
        )
        yield batch


def history(folder: Path, seed: int) -> Iterator[Step]:
    """What a real store does to its files, commit by commit."""
    path = folder / "jobs.db"
    store = SqliteStore(path, synced=False)
    model = MemoryStore()
    files, kept = snapshot(path), list(model.load())
    for turn, batch in enumerate(batches(random.Random(seed), 36), 1):
        store.commit(batch)
        model.commit(batch)
        files_before, kept_before = files, kept
        files, kept = snapshot(path), list(model.load())
        yield Step(files_before, files, kept_before, kept)
        if turn % _CHECKPOINT_EVERY == 0:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            files_before, files = files, snapshot(path)
            yield Step(files_before, files, kept, kept)
    store.close()


def snapshot(path: Path) -> Files:
    return Files(path.read_bytes(), Path(f"{path}-wal").read_bytes())


def loaded(folder: Path, files: Files) -> list[Record]:
    """What a store finds in these files."""
    path = folder / "crashed.db"
    path.write_bytes(files.main)
    log = Path(f"{path}-wal")
    log.write_bytes(files.log)
    store = SqliteStore(path, synced=False)
    records = list(store.load())
    store.close()
    assert store.set_aside == 0
    path.unlink()
    log.unlink(missing_ok=True)
    return records


def cuts(before: bytes, after: bytes) -> Iterator[int]:
    """Where the writes that made ``after`` of ``before`` may have ended: before each page that was
    written, and inside it."""
    starts = [0, *range(_HEADER_BYTES, len(after) + 1, _FRAME_BYTES)]
    for start, end in pairwise(starts):
        if before[start:end] != after[start:end]:
            yield from (start, start + 7, start + 24, end - 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_at_any_write_of_a_commit(seed: int, tmp_path: Path) -> None:
    tried = 0
    for before, after, kept_before, kept_after in history(tmp_path, seed):
        assert loaded(tmp_path, after) == kept_after
        if before.main != after.main or before.log == after.log:
            continue  # a checkpoint, or nothing was written
        places = list(cuts(before.log, after.log))
        found = [loaded(tmp_path, torn) for torn in _torn(before, after, places)]
        tried += len(found)
        assert all(kept in (kept_before, kept_after) for kept in found)
        # The first byte of a commit is not yet the commit.
        assert kept_before == kept_after or found[0] == kept_before
    assert tried > 300


def _torn(before: Files, after: Files, places: list[int]) -> Iterator[Files]:
    for place in places:
        yield Files(after.main, after.log[:place] + before.log[place:])
    last = len(after.log) - 1
    for place in places[:2]:  # a write was lost, those after it were not
        lost = after.log[:place] + b"\0" * 512 + after.log[place + 512 :]
        yield Files(after.main, lost[: len(after.log)])
    for place in (last, last - _PAGE_BYTES):  # a bit fell over
        flipped = bytes([after.log[place] ^ 0x10])
        yield Files(after.main, after.log[:place] + flipped + after.log[place + 1 :])


def test_a_crash_at_any_write_of_a_checkpoint(tmp_path: Path) -> None:
    rng = random.Random(1)
    checkpoints = 0
    for before, after, kept, _ in history(tmp_path, 1):
        if before.main == after.main:
            continue
        checkpoints += 1
        old = before.main.ljust(len(after.main), b"\0")
        pages = [
            start
            for start in range(0, len(after.main), _PAGE_BYTES)
            if old[start : start + _PAGE_BYTES] != after.main[start : start + _PAGE_BYTES]
        ]
        for _ in range(20):
            written = rng.sample(pages, rng.randrange(len(pages) + 1))
            torn = bytearray(before.main)
            for start in written:
                end = start + rng.choice((512, 1000, _PAGE_BYTES, _PAGE_BYTES, _PAGE_BYTES))
                torn.extend(b"\0" * (start - len(torn)))
                torn[start:end] = after.main[start:end]
            assert loaded(tmp_path, Files(bytes(torn), before.log)) == kept
    assert checkpoints >= 3


CHILD = """
import sys
from gearpy.engine.records import Batch, Mark
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_change, example_put

store = SqliteStore(sys.argv[1])
number = max([record.number for record in store.load()], default=0)
while True:
    numbers = range(number + 1, number + 8)
    number += 7
    batch = Batch(
        puts=[example_put(n, payload=b"x" * 900) for n in numbers],
        changes=[example_change(number)],
        dones=[n - 7 for n in numbers if n % 7],
        notes=[Mark(number)],
    )
    store.commit(batch)
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    rng = random.Random(3)
    for _ in range(6):
        command = [sys.executable, "-c", CHILD, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(rng.randrange(1, 1_500)):
                line = child.stdout.readline()
                assert line, "the child ended by itself"
            child.send_signal(signal.SIGKILL)
            lines = [line, *child.stdout.read().splitlines(keepends=True)]
            returned = int([line for line in lines if line.endswith("\n")][-1])
        store = SqliteStore(path)
        records = list(store.load())
        store.close()
        mark = records[0]
        assert isinstance(mark, Mark)
        assert mark in (Mark(returned), Mark(returned + 7))
        assert records == _expected_of_child(mark.number)


def _expected_of_child(last: int) -> list[Record]:
    records: list[Record] = [Mark(last)]
    for number in range(1, last + 1):
        if number % 7 == 0 or number > last - 7:
            records.append(example_put(number, payload=b"x" * 900))
        if number % 7 == 0:
            records.append(example_change(number))
    return records
