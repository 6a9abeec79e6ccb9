"""The store in an SQLite file keeps the promises of a store."""

import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.records import Batch, Mark
from gearpy.errors import StoreFailed
from gearpy.priority import Priority
from gearpy.stores.base import Store
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import (
    CHECKS,
    PERSISTENT_CHECKS,
    Check,
    check_store,
    example_change,
    example_put,
)


def open_sqlite(directory: Path) -> Store:
    return SqliteStore(directory / "jobs.db", synced=False)


@pytest.mark.parametrize("check", CHECKS + PERSISTENT_CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_every_promise_of_a_store(check: Check, tmp_path: Path) -> None:
    check(open_sqlite, tmp_path)


def test_it_passes_the_suite_with_every_commit_on_the_disk() -> None:
    check_store(lambda directory: SqliteStore(str(directory / "jobs.db")))


@pytest.mark.parametrize(("synced", "level"), [(True, 2), (False, 0)])
def test_commits_are_synced_unless_told_otherwise(synced: bool, level: int, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", synced=synced)
    connection = store._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == (b"wal",)
    store.close()


def test_a_number_that_comes_twice_fails_the_batch(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    store.commit(Batch(puts=[example_put(1)], notes=[Mark(10)]))
    with pytest.raises(StoreFailed, match=r"jobs\.db can't be written: UNIQUE") as caught:
        store.commit(Batch(puts=[example_put(2), example_put(1)], notes=[Mark(20)]))
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert not store._connection.in_transaction
    store.close()
    store = SqliteStore(tmp_path / "jobs.db")
    assert list(store.load()) == [Mark(10), example_put(1)]
    store.close()


@pytest.mark.parametrize("count", [1, 32, 33, 48, 49, 200, 384, 511, 512, 513, 1_000, 1_025])
def test_a_batch_of_any_length_is_written_whole(count: int, tmp_path: Path) -> None:
    puts = [example_put(n) for n in range(1, count + 1)]
    changes = [example_change(n) for n in range(1, count + 1)]
    store = SqliteStore(tmp_path / "jobs.db", synced=False)
    store.commit(Batch(puts=puts))
    assert list(store.load()) == puts
    store.commit(Batch(changes=changes))
    assert list(store.load()) == [
        record for pair in zip(puts, changes, strict=True) for record in pair
    ]
    store.close()


@given(
    st.lists(
        st.builds(
            dict,
            handle=st.sampled_from([None, None, None, b"another:%d", b"\xff:%d", b"\0:%d"]),
            function=st.sampled_from([b"resize", b"resize", b"mail", b"\xff", b"a\0b"]),
            unique=st.sampled_from([b"", b"", b"one", b"\xfe"]),
            payload=st.sampled_from([b"", b"alike", b"\0\xff"]),
            priority=st.sampled_from([Priority.NORMAL, Priority.NORMAL, Priority.CRITICAL]),
            created_s=st.sampled_from([1e9, 1e9, 1.1, 0.0]),
            due_s=st.sampled_from([0.0, 0.0, 0.0, 2e9]),
            options=st.sampled_from([b"", b"", b"", b"{}"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_what_jobs_of_a_batch_have_in_common_is_theirs_all_the_same(
    wanted: list[dict[str, Any]],
) -> None:
    puts = []
    for number, values in enumerate(wanted, 9):  # one digit, then two
        handle = values["handle"] or b"H:%d"
        values["handle"] = handle % number
        puts.append(example_put(number, **values))
    with TemporaryDirectory() as directory:
        store = open_sqlite(Path(directory))
        store.commit(Batch(puts=puts))
        assert list(store.load()) == puts
        store.close()


@pytest.mark.parametrize("field", ["puts", "changes", "dones"])
def test_a_batch_of_one_kind_fails_as_a_whole(field: str, tmp_path: Path) -> None:
    """One statement is a transaction by itself; several need one around them."""
    store = SqliteStore(tmp_path / "jobs.db")
    kept = [example_put(1), example_put(2), example_change(2)]
    store.commit(Batch(puts=[example_put(1), example_put(2)], changes=[example_change(2)]))
    bad: dict[str, list[Any]] = {
        "puts": [*(example_put(n) for n in range(3, 900)), example_put(900, function=None)],
        "changes": [*(example_change(n) for n in range(2, 900)), example_change(1, place=None)],
        "dones": [1, 2, "x"],
    }
    with pytest.raises((StoreFailed, AttributeError)):
        store.commit(Batch(**{field: bad[field]}))
    store.close()
    store = SqliteStore(tmp_path / "jobs.db")
    assert list(store.load()) == kept
    store.close()


def test_the_log_is_emptied_while_commits_go_on(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, synced=False)
    first = _times_begun(path)
    number = 0
    while _times_begun(path) < first + 3:
        number += 1
        assert number < 1_000, "the log only grows"
        store.commit(
            Batch(puts=[example_put(number, payload=b"x" * 1_000_000)], dones=[number - 1])
        )
    assert list(store.load()) == [example_put(number, payload=b"x" * 1_000_000)]
    store.close()


def test_the_log_is_emptied_of_small_commits_all_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, synced=False)
    count = 30_000
    jobs = [example_put(n, payload=b"x" * 1_000) for n in range(count)]
    store.commit(Batch(puts=jobs))
    store.close()
    store = SqliteStore(path, synced=False)
    first = _times_begun(path)
    # Each of these is on a page of its own: few bytes, but a hundred megabytes of log.
    for start in range(0, 28_000, 40):
        store.commit(Batch(dones=[n * 7_919 % count for n in range(start, start + 40)]))
    number = count
    while _times_begun(path) == first:
        number += 1
        assert number < count + 1_000, "the log only grows"
        store.commit(Batch(puts=[example_put(number)]))
    store.close()


def test_a_file_that_cant_be_synced_fails_the_commits_after_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    with open("/dev/null") as nothing:
        os.dup2(nothing.fileno(), store._descriptor)  # there is nothing to sync in it
    kept = []
    with pytest.raises(StoreFailed, match=r"jobs\.db can't be written: .*Invalid argument"):
        for number in range(5_000):
            kept.append(example_put(number, payload=b"x" * 100_000))
            store.commit(Batch(puts=kept[-1:]))
    store.close()
    store = SqliteStore(tmp_path / "jobs.db")
    assert list(store.load()) == kept[:-1]
    store.close()


def _times_begun(path: Path) -> int:
    """How often the log was begun anew: a number in its header."""
    with open(f"{path}-wal", "rb") as log:
        return int.from_bytes(log.read(16)[12:], "big")


def test_payloads_can_be_read_while_nothing_is_committed_and_after_a_done(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    store.commit(Batch(puts=[example_put(n) for n in range(1, 200)]))
    numbers = list(range(1, 200))
    assert store.payloads(numbers, 1 << 20) == {n: b"%d" % n for n in numbers}
    store.commit(Batch(dones=numbers[:198]))
    assert store.payloads(numbers, 1 << 20) == {199: b"199"}
    store.close()


def test_an_abandoned_load_is_in_nobodys_way(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    store.commit(Batch(puts=[example_put(n) for n in range(100)]))
    records = iter(store.load())
    assert next(records) == example_put(0)
    del records
    store.commit(Batch(dones=list(range(99))))
    assert list(store.load()) == [example_put(99)]
    store.close()


def test_it_says_how_much_room_there_is(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    free_bytes = store.free_bytes()
    assert free_bytes is not None
    assert free_bytes > 0
    store.close()


def test_a_handle_that_is_no_text_is_kept_as_a_blob(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", synced=False)
    store.commit(Batch(puts=[example_put(number, handle=b"\0:%d" % number) for number in (1, 2)]))
    kinds = store._connection.execute("SELECT DISTINCT typeof(handle) FROM jobs").fetchall()
    assert kinds == [(b"blob",)]
    store.close()
