"""Files that the SQLite store does not open, and the sentences with which it says so."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gearpy.engine.records import Batch
from gearpy.errors import CannotOpenStore
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_put
from tests.stores.mounts import make_read_only, small_disk

GEARMAND = """
CREATE TABLE gearman_queue (
    unique_key TEXT, function_name TEXT, priority INTEGER, data BLOB, when_to_run INTEGER,
    PRIMARY KEY (unique_key, function_name)
);
INSERT INTO gearman_queue VALUES ('u', 'f', 1, x'00', 0);
"""


def refusal(path: Path) -> str:
    """The sentence with which a path is refused."""
    with pytest.raises(CannotOpenStore) as caught:
        SqliteStore(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(".")
    return sentence


def write(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def test_a_folder(tmp_path: Path) -> None:
    assert "it is a folder" in refusal(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    sentence = refusal(tmp_path / "missing" / "jobs.db")
    assert f"there is no folder {tmp_path / 'missing'}" in sentence


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "jobs.db can't be opened" in refusal(tmp_path / "file" / "jobs.db")


def test_a_file_with_two_names(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "jobs.db").close()
    os.link(tmp_path / "jobs.db", tmp_path / "other.db")
    assert "2 names (hard links)" in refusal(tmp_path / "other.db")


def test_a_file_that_is_in_use_under_another_name(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    # As when only this file is mounted elsewhere: no lock file is beside it.
    (tmp_path / "jobs.db.lock").unlink()
    assert "in use by another process" in refusal(tmp_path / "jobs.db")
    store.close()


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.db").symlink_to(tmp_path / "a.db")
    assert "links lead in a circle" in refusal(tmp_path / "a.db")


@pytest.mark.parametrize("content", [b"x", b"SQLite format 2\0", b"\0" * 4096, b"{}\n" * 9999])
def test_not_an_sqlite_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(content)
    assert "not an SQLite file" in refusal(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 4080])
def test_only_the_beginning_of_an_sqlite_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(content)
    assert "not an SQLite file" in refusal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE jobs (number INTEGER PRIMARY KEY, handle TEXT)",
        "CREATE TABLE notes (text); PRAGMA user_version = 2",
        "PRAGMA application_id = 252006673",
        "PRAGMA user_version = 7",
    ],
)
def test_the_file_of_another_program(sql: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    write(path, sql)
    before = path.read_bytes()
    assert "an SQLite file of another program" in refusal(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["gearman_queue", "my queue"])
def test_a_queue_of_gearmand(name: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    write(path, GEARMAND.replace("gearman_queue", f"[{name}]"))
    before = path.read_bytes()
    sentence = refusal(path)
    assert f"a queue of gearmand (its table {name})" in sentence
    assert "work off its jobs first, or name another file" in sentence
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b""])
def test_a_new_or_empty_file_is_taken(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    if content is not None:
        path.write_bytes(content)
    store = SqliteStore(path)
    store.commit(Batch(puts=[example_put(1)]))
    store.close()
    store = SqliteStore(path)
    assert list(store.load()) == [example_put(1)]
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refusal(tmp_path / "jobs.db")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        store = SqliteStore(disk / "jobs.db")
        store.commit(Batch(puts=[example_put(1)]))
        store.close()
        make_read_only(disk)
        assert "Read-only file system" in refusal(disk / "jobs.db")
        assert "Read-only file system" in refusal(disk / "new.db")


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        (disk / "filler").write_bytes(b"x" * (60 << 10))
        assert "the disk is full" in refusal(disk / "jobs.db").lower()
        (disk / "filler").unlink()
