"""The lock beside a file: at most one holds it, whoever comes and goes."""

import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest

from gearpy.errors import CannotOpenStore
from gearpy.stores.lock import LockFile


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    lock = LockFile(path)
    with pytest.raises(CannotOpenStore, match=r"jobs\.db is in use by process \d+"):
        LockFile(path)
    lock.release()
    lock.release()
    LockFile(path).release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"1\n", b"\xff" * 100])
def test_a_file_that_a_dead_process_left_is_no_lock(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "jobs.db.lock").write_bytes(content)
    LockFile(tmp_path / "jobs.db").release()


def test_many_that_come_and_go_never_hold_it_together(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    holders: list[object] = []
    together: list[int] = []
    begin = Barrier(4)

    def come_and_go() -> None:
        begin.wait()
        for _ in range(700):
            try:
                lock = LockFile(path)
            except CannotOpenStore:
                continue
            holders.append(lock)
            together.append(len(holders))
            holders.remove(lock)
            lock.release()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # any of them may be interrupted anywhere
    try:
        threads = [Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert together
    assert max(together) == 1
