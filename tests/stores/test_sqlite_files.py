"""The file of the SQLite store: for people to read, to be migrated, mended, and shared with
nobody."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gearpy.engine.records import Batch, FunctionChange, Mark, PolicyChange, Put, Record
from gearpy.errors import CannotOpenStore, StoreFailed
from gearpy.priority import Priority
from gearpy.stores.schema import VERSION
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_change, example_put

# What version 1 was: jobs as they were submitted, and nothing else.
VERSION_1 = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, handle TEXT NOT NULL, function TEXT NOT NULL,
    "unique" TEXT NOT NULL, payload BLOB NOT NULL, priority INTEGER NOT NULL,
    created_s REAL NOT NULL, due_s REAL NOT NULL DEFAULT 0, expire_s REAL NOT NULL DEFAULT 0,
    reducer TEXT NOT NULL DEFAULT '', options TEXT NOT NULL DEFAULT ''
);
INSERT INTO jobs VALUES
    (7, 'H:check:7', 'resize', '', x'37', 2, 1700000000.5, 0, 0, '', ''),
    (9, 'H:check:9', x'66ff', 'u-1', x'00', 0, 1700000000.5, 1800000000.25, 0, '', '{"key": "k"}');
PRAGMA application_id = 1734701177;
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def write(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def kept(path: Path) -> list[Record]:
    store = SqliteStore(path)
    records = list(store.load())
    store.close()
    return records


def fill(path: Path, *records: Record) -> None:
    batch = Batch()
    for record in records:
        fields: dict[str, list[Any]] = {"Put": batch.puts, "Change": batch.changes}
        fields.get(type(record).__name__, batch.notes).append(record)
    store = SqliteStore(path)
    store.commit(batch)
    store.close()


# ---- for people


def test_a_person_reads_it_while_the_server_runs(path: Path) -> None:
    store = SqliteStore(path)
    waiting = example_put(1, unique=b"u-1", priority=Priority.HIGH, payload=b"12345")
    later = example_put(2, due_s=1_800_000_000.0, expire_s=1_900_000_000.0)
    dead = example_put(3, function=b"b\xff")
    change = example_change(3, state="dead", attempts=5, reason=b"used up", error=b"no disk")
    store.commit(Batch(puts=[waiting, later, dead], changes=[change]))
    rows = read(
        path, "SELECT number, state, priority, attempts, reason, error, payload_bytes FROM overview"
    )
    assert rows == [
        (1, "queued", "high", 0, "", "", 5),
        (2, "delayed", "normal", 0, "", "", 1),
        (3, "dead", "normal", 5, "used up", "no disk", 1),
    ]
    times = read(path, "SELECT created, due, expires, since FROM overview WHERE number = 2")
    assert all(len(time) == len("2027-01-15 08:00:00") for time in times[0])
    assert read(path, "SELECT due, expires FROM overview WHERE number = 1") == [(None, None)]
    store.close()


@pytest.mark.parametrize("copying", ["VACUUM INTO '{}'", "PRAGMA journal_mode = DELETE"])
def test_a_copy_is_a_journal(copying: str, path: Path, tmp_path: Path) -> None:
    fill(path, example_put(1))
    copy = tmp_path / "copy.db" if "INTO" in copying else path
    write(path, copying.format(copy))
    assert [record for record in kept(copy) if isinstance(record, Put)] == [example_put(1)]


def test_names_are_text_where_they_can_be(path: Path) -> None:
    fill(
        path,
        example_put(1, function="größer".encode(), unique=b"a-b", payload=b"text"),
        example_put(2, function=b"\xff", unique=b"a\0b", options=b"{}"),
        example_change(2, error=b"why", log=b"[]", result=b"text"),
        FunctionChange(b"f", True, False),
        PolicyChange(b"f*", b"{}"),
    )
    kinds = 'typeof(handle), typeof(function), typeof("unique"), typeof(payload), typeof(options)'
    assert read(path, f"SELECT {kinds} FROM jobs") == [
        ("text", "text", "text", "blob", "text"),
        ("text", "blob", "blob", "blob", "text"),
    ]
    assert read(path, "SELECT function FROM jobs WHERE number = 1") == [("größer",)]
    assert read(path, "SELECT state, error, log, result FROM lives") == [
        ("running", "why", "[]", b"text")
    ]
    assert read(path, "SELECT * FROM functions") == [("f", 1, 0)]
    assert read(path, "SELECT * FROM policies") == [("f*", "{}")]


def test_a_job_that_a_person_added_is_a_job(path: Path) -> None:
    fill(path, example_put(1))
    write(path, "INSERT INTO jobs VALUES (5, 'H:me:5', 'f', '', 'text', 2, 3, 0, 0, '', '')")
    added = example_put(5, handle=b"H:me:5", function=b"f", payload=b"text", created_s=3)
    assert kept(path) == [example_put(1), added]


# ---- versions


def test_an_older_version_is_migrated(path: Path) -> None:
    write(path, VERSION_1)
    store = SqliteStore(path)
    odd = {"function": b"f\xff", "unique": b"u-1", "payload": b"\0", "options": b'{"key": "k"}'}
    jobs = [
        example_put(7),
        example_put(9, priority=Priority.CRITICAL, due_s=1_800_000_000.25, **odd),
    ]
    assert list(store.load()) == jobs
    store.commit(Batch(changes=[example_change(7)], notes=[Mark(10)]))
    store.close()
    assert kept(path) == [Mark(10), jobs[0], example_change(7), jobs[1]]
    assert read(path, "PRAGMA user_version") == [(VERSION,)]


def test_a_migrated_file_is_like_a_new_one(path: Path, tmp_path: Path) -> None:
    write(path, VERSION_1)
    kept(path)
    kept(tmp_path / "new.db")

    def tables(file: Path) -> list[Any]:
        return [
            (table, read(file, f"SELECT name, type, [notnull], dflt_value, pk FROM {info}"))
            for (table,) in read(file, "SELECT name FROM sqlite_master ORDER BY name")
            for info in [f"pragma_table_info('{table}')"]
        ]

    assert tables(path) == tables(tmp_path / "new.db")
    assert read(path, "PRAGMA application_id") == read(tmp_path / "new.db", "PRAGMA application_id")


def test_a_migration_that_fails_leaves_the_older_version(path: Path) -> None:
    write(path, VERSION_1 + "CREATE TABLE meta (mine);")
    before = path.read_bytes()[96:]
    with pytest.raises(CannotOpenStore, match="table meta already exists"):
        SqliteStore(path)
    assert read(path, "SELECT name FROM sqlite_master") == [("jobs",), ("meta",)]
    assert read(path, "PRAGMA user_version") == [(1,)]
    assert path.read_bytes()[96:] == before


def test_a_newer_version_is_refused(path: Path) -> None:
    fill(path, example_put(1))
    write(path, "PRAGMA user_version = 99")
    with pytest.raises(CannotOpenStore) as caught:
        SqliteStore(path)
    for words in (str(path), "version 99", f"version {VERSION}", "newer gearpy"):
        assert words in str(caught.value)
    write(path, f"PRAGMA user_version = {VERSION}")
    assert kept(path) == [example_put(1)]


# ---- rows that can't be read


@pytest.mark.parametrize(
    ("harm", "reason", "lost"),
    [
        ("UPDATE jobs SET priority = 4 WHERE number = 2", "there is no priority 4", [2, 3]),
        ("UPDATE jobs SET priority = 'x' WHERE number = 2", "priority is not what", [2, 3]),
        ("UPDATE jobs SET handle = 'H:check:3' WHERE number = 2", "does not end with", [2, 3]),
        ("UPDATE jobs SET handle = 12 WHERE number = 2", "does not end with", [2, 3]),
        ("UPDATE jobs SET payload = 12 WHERE number = 2", "payload is not what", [2, 3]),
        ("UPDATE jobs SET created_s = 'now' WHERE number = 2", "created_s is not what", [2, 3]),
        ("UPDATE jobs SET due_s = 9e999 WHERE number = 2", "infinite", [2, 3]),
        ("UPDATE lives SET state = 'asleep'", "there is no state 'asleep'", [2, 3]),
        ("UPDATE lives SET state = x'ff'", "there is no state", [2, 3]),
        ("UPDATE lives SET place = 1.5", "place is not what", [3]),
        ("UPDATE lives SET state = 'dead', place = 1.5", "whether it ended", [2, 3]),
        ("UPDATE lives SET attempts = 'x'", "attempts is not what", [3]),
        ("UPDATE lives SET since_s = -9e999", "infinite", [3]),
        ("UPDATE lives SET result = 1", "result is not what", [3]),
        ("DELETE FROM jobs WHERE number = 2", "there is no job", [2, 3]),
        ("UPDATE lives SET number = 0", "there is no job", [3]),
        ("UPDATE lives SET number = 99", "there is no job", [3]),
        ("UPDATE meta SET value = 'x'", "the mark is not", [0]),
        ("UPDATE meta SET name = 'x'", "its name is not known", [0]),
        ("UPDATE functions SET paused = 'x'", "a value is not", [4]),
        ("UPDATE functions SET function = 7.5, draining = 2", "a value is not", [4]),
        ("PRAGMA writable_schema = 1; UPDATE policies SET policy = x'ff'", "", []),
    ],
)
def test_a_row_that_cant_be_read_is_set_aside(
    harm: str, reason: str, lost: list[int], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[Record] = [
        *(Mark(10), example_put(1), example_put(2), example_change(2)),
        *(FunctionChange(b"f", True, False), PolicyChange(b"p", b"\xff"), example_put(3)),
    ]
    fill(path, *records)
    write(path, harm)
    left = [record for place, record in enumerate(records) if place not in lost]
    store = SqliteStore(path)
    found = list(store.load())
    assert sorted(found, key=repr) == sorted(left, key=repr)
    assert store.set_aside == len(read(path, "SELECT * FROM unreadable"))
    assert bool(store.set_aside) == bool(lost)
    if lost:
        assert reason in caplog.text
        assert str(path) in caplog.text
        assert any(reason in row[0] for row in read(path, "SELECT reason FROM unreadable"))
    assert list(store.load()) == found, "and the rest stays as it is"
    store.close()


def test_what_stands_behind_bad_rows_is_read(path: Path) -> None:
    jobs = [example_put(n) for n in (1, 2, 3, 4)]
    fill(path, *jobs, *(example_change(n) for n in (1, 2, 3, 4)))
    write(path, "DELETE FROM jobs WHERE number = 1; UPDATE jobs SET priority = 9 WHERE number = 3")
    assert kept(path) == [jobs[1], example_change(2), jobs[3], example_change(4)]
    reasons = [row for (row,) in read(path, "SELECT reason FROM unreadable ORDER BY id")]
    assert reasons == [
        "there is no job with this number",
        "there is no priority 9",
        "its job can't be read",
    ]


def test_a_row_that_was_set_aside_can_be_mended_and_brought_back(path: Path) -> None:
    job = example_put(2, payload=b"\0'; --", unique="größer".encode(), function=b"\xff")
    fill(path, example_put(1), job, example_change(2))
    write(path, "UPDATE jobs SET priority = 70 WHERE number = 2")
    assert kept(path) == [example_put(1)]
    rows = read(path, "SELECT source, row, set_aside_s > 1.7e9 FROM unreadable")
    assert [(source, recent) for source, _, recent in rows] == [("jobs", 1), ("lives", 1)]
    for _, row, _ in rows:
        write(path, row.replace(", 70,", ", 2,"))
    assert kept(path) == [example_put(1), job, example_change(2)]


def test_many_bad_rows_do_not_flood_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(path, *(example_put(n) for n in range(1, 1001)))
    write(path, "UPDATE jobs SET priority = -1 WHERE number % 2")
    store = SqliteStore(path)
    assert [record.number for record in store.load()] == list(range(2, 1001, 2))  # type: ignore[union-attr]  # only jobs
    store.close()
    assert store.set_aside == 500
    assert "500 rows could not be read" in caplog.text
    assert len(caplog.records) < 20


def test_a_damaged_file_is_refused_with_what_to_do(path: Path) -> None:
    fill(path, *(example_put(n, payload=b"x" * 500) for n in range(1, 1000)))
    content = bytearray(path.read_bytes())
    content[40 * 4096 : 60 * 4096] = b"\xa5" * (20 * 4096)
    path.write_bytes(content)
    store = SqliteStore(path)
    with pytest.raises(CannotOpenStore, match=r"malformed") as caught:
        list(store.load())
    assert f"sqlite3 {path} .recover" in str(caught.value)
    store.close()


# ---- one server


HOLD = """
import sys
from gearpy.engine.records import Batch
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_put

store = SqliteStore(sys.argv[1])
store.commit(Batch(puts=[example_put(1)]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_refused_until_the_first_is_gone(path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"open\n"
        with pytest.raises(CannotOpenStore, match=rf"in use by process {first.pid}\b"):
            SqliteStore(path)
        assert read(path, "SELECT number FROM jobs") == [(1,)], "others may read"
        first.kill()
    assert path.with_name("jobs.db.lock").exists(), "it had no chance to remove it"
    assert kept(path) == [example_put(1)]


def test_one_file_under_two_names_is_one_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(path)
    store = SqliteStore(link)
    with pytest.raises(CannotOpenStore, match="in use"):
        SqliteStore(path)
    store.commit(Batch(puts=[example_put(1)]))
    store.close()
    assert kept(path) == kept(link) == [example_put(1)]


def test_a_refused_store_holds_no_lock(path: Path) -> None:
    path.write_bytes(b"not a database")
    for _ in range(2):
        with pytest.raises(CannotOpenStore, match="not an SQLite file"):
            SqliteStore(path)
    path.unlink()
    assert kept(path) == []


def test_close_leaves_one_file(path: Path, tmp_path: Path) -> None:
    fill(path, example_put(1))
    assert list(tmp_path.iterdir()) == [path]


# ---- files that are removed while the server runs


@pytest.mark.parametrize("name", ["jobs.db", "jobs.db-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_removed_file_fails_the_next_commit(name: str, replaced: bool, path: Path) -> None:
    store = SqliteStore(path)
    store.commit(Batch(puts=[example_put(1)]))
    file = path.with_name(name)
    file.rename(path.with_name("away"))
    if replaced:
        file.write_bytes(path.with_name("away").read_bytes())
    with pytest.raises(StoreFailed, match=r"jobs\.db was removed or replaced"):
        store.commit(Batch(puts=[example_put(2)]))
    store.close()
    if name == "jobs.db":
        assert file.exists() == replaced, "what is there now is not ours to remove"


def test_a_removed_folder_fails_the_next_commit(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    store = SqliteStore(folder / "jobs.db")
    store.commit(Batch(puts=[example_put(1)]))
    folder.rename(tmp_path / "away")
    with pytest.raises(StoreFailed, match="was removed or replaced"):
        store.commit(Batch(puts=[example_put(2)]))
    assert store.free_bytes() is None
    store.close()
