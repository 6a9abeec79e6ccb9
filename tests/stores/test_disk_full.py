"""A disk that is really full."""

from pathlib import Path

import pytest

from gearpy.engine.records import Batch, Record
from gearpy.errors import StoreFailed
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_change, example_put
from tests.stores.mounts import small_disk

_DISK_BYTES = 4 << 20


def _fill(store: SqliteStore, payload_bytes: int) -> tuple[list[Record], StoreFailed]:
    """Commits until the disk is full; what was committed, and the error of the last one."""
    kept: list[Record] = []
    for number in range(1, 100_000):
        job = example_put(number, payload=b"x" * payload_bytes)
        try:
            store.commit(Batch(puts=[job]))
        except StoreFailed as error:
            return kept, error
        kept.append(job)
    raise AssertionError("the disk is never full")


@pytest.mark.parametrize("payload_bytes", [100, 3_000, 100_000])
@pytest.mark.parametrize("synced", [True, False])
def test_a_commit_that_does_not_fit_fails_and_harms_nothing(
    payload_bytes: int, synced: bool, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", _DISK_BYTES) as disk:
        spare = disk / "spare"
        spare.write_bytes(b"x" * (_DISK_BYTES // 4))
        store = SqliteStore(disk / "jobs.db", synced=synced)
        kept, error = _fill(store, payload_bytes)
        assert str(disk / "jobs.db") in str(error)
        assert "disk is full" in str(error)
        store.close()
        spare.unlink()
        store = SqliteStore(disk / "jobs.db", synced=synced)
        assert list(store.load()) == kept
        more = example_put(200_000)
        store.commit(Batch(puts=[more]))
        assert list(store.load()) == [*kept, more]
        store.close()


def test_the_room_that_is_left_goes_down_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", _DISK_BYTES) as disk:
        store = SqliteStore(disk / "jobs.db")
        room_bytes = [store.free_bytes() or 0]
        number = 0
        while room_bytes[-1] > _DISK_BYTES // 4:
            number += 1
            store.commit(Batch(puts=[example_put(number, payload=b"x" * 20_000)]))
            room_bytes.append(store.free_bytes() or 0)
        assert _DISK_BYTES > room_bytes[0] > room_bytes[-1]
        assert room_bytes == sorted(room_bytes, reverse=True)
        # Finishing jobs takes room, too, if little of it: there is some.
        store.commit(Batch(dones=list(range(1, number + 1))))
        assert list(store.load()) == []
        store.close()


def test_jobs_that_end_one_by_one_fit_where_little_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * _DISK_BYTES) as disk:
        store = SqliteStore(disk / "jobs.db")
        number = 0
        while (store.free_bytes() or 0) > _DISK_BYTES:
            number += 1
            store.commit(Batch(puts=[example_put(number, payload=b"x" * 20_000)]))
        for done in range(1, number + 1):
            store.commit(Batch(changes=[example_change(done)]))
            store.commit(Batch(dones=[done]))
            store.free_bytes()
        assert list(store.load()) == []
        store.close()


def test_what_is_free_inside_the_file_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * _DISK_BYTES) as disk:
        store = SqliteStore(disk / "jobs.db")
        numbers = range(1, 201)
        store.commit(Batch(puts=[example_put(n, payload=b"x" * 20_000) for n in numbers]))
        store.close()  # which moves the log into the file
        store = SqliteStore(disk / "jobs.db")
        full_bytes = store.free_bytes() or 0
        store.commit(Batch(dones=list(numbers)))
        assert (store.free_bytes() or 0) > full_bytes + 200 * 20_000 // 2
        store.close()
