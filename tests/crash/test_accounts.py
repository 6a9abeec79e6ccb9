"""The accounts see what is wrong: without that, a run that finds nothing says nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gearpy.engine.records import Batch
from gearpy.stores.sqlite import SqliteStore
from gearpy.testing.stores import example_put
from tests.crash.accounts import Accounts, Broken, Row, read_journal
from tests.crash.jobs import AFTER, BY_OPTION, LIMITED, PLAIN
from tests.crash.papers import Assignment, Ending, Paper, Papers, Receipt, Record, digest

PLAIN_NAME, LIMITED_NAME, BY_OPTION_NAME = PLAIN.decode(), LIMITED.decode(), BY_OPTION.decode()
DIGEST = "3:12345678"


def receipt(number: int, function: str = PLAIN_NAME, **said: Any) -> Receipt:
    """The receipt with this place on its connection."""
    plain = Receipt(
        *("client/1", number, f"H:vm:{number}", function, "", 2, number, DIGEST, True, 0.0)
    )
    return plain._replace(**said)


def assignment(number: int, function: str = PLAIN_NAME, **said: Any) -> Assignment:
    """A worker was given the job of the receipt with this number."""
    plain = Assignment(
        *("worker/1", number, f"H:vm:{number}", function, "", DIGEST, 1, 1_000_000.0)
    )
    return plain._replace(**said)


def row(function: str = PLAIN_NAME, **said: Any) -> Row:
    return Row(function, "", 2, DIGEST, "queued", 0)._replace(**said)


def accounts(*records: Record) -> Accounts:
    made = Accounts()
    made.take(records)
    return made


def check_assignments(*records: Record) -> None:
    made = accounts(*records)
    made.check_assignments()
    made.check_assignments()


# ---- the journal


def test_what_is_there_or_completed_is_not_lost() -> None:
    made = accounts(receipt(1), receipt(2), Ending("worker/1", "H:vm:2", True))
    made.check_journal({"H:vm:1": row(), "H:vm:3": row()})


def test_a_lost_job() -> None:
    made = accounts(receipt(1), receipt(2), Ending("worker/1", "H:vm:2", False))
    with pytest.raises(Broken, match="the job H:vm:2 is lost"):
        made.check_journal({"H:vm:1": row()})


def test_a_job_in_the_foreground_may_be_gone() -> None:
    accounts(receipt(1, background=False)).check_journal({})


def test_one_that_the_background_joined_may_not() -> None:
    made = accounts(
        receipt(1, background=False, unique="shared-1"),
        receipt(2, handle="H:vm:1", unique="shared-1"),
    )
    with pytest.raises(Broken, match="lost"):
        made.check_journal({})


@pytest.mark.parametrize(
    "wrong", [{"priority": 1}, {"digest": "0:00000000"}, {"unique": "u"}, {"function": "other"}]
)
def test_a_job_that_changed(wrong: dict[str, Any]) -> None:
    with pytest.raises(Broken, match="not what was submitted"):
        accounts(receipt(1)).check_journal({"H:vm:1": row()._replace(**wrong)})


def test_an_attempt_that_the_journal_does_not_know_of() -> None:
    made = accounts(receipt(1, LIMITED_NAME), assignment(1, LIMITED_NAME))
    made.check_journal({"H:vm:1": row(LIMITED_NAME, attempts=1)})
    with pytest.raises(Broken, match="the journal knows of 0"):
        made.check_journal({"H:vm:1": row(LIMITED_NAME)})


def test_too_many_attempts_in_the_journal() -> None:
    with pytest.raises(Broken, match="more than 2 attempts"):
        accounts().check_journal({"H:vm:1": row(BY_OPTION_NAME, attempts=3)})


def test_dead_too_soon() -> None:
    made = accounts()
    made.check_journal({"H:vm:1": row(LIMITED_NAME, state="dead", attempts=3)})
    with pytest.raises(Broken, match="dead before its 3 attempts"):
        made.check_journal({"H:vm:1": row(LIMITED_NAME, state="dead", attempts=2)})


def test_two_jobs_with_one_unique() -> None:
    rows = {"H:vm:1": row(unique="u"), "H:vm:2": row(unique="u", state="dead")}
    accounts().check_journal(rows)
    with pytest.raises(Broken, match="are the same"):
        accounts().check_journal({**rows, "H:vm:3": row(unique="u", state="running")})


def test_what_follows_a_job_is_there_once_and_not_before_its_end() -> None:
    made = accounts(receipt(1, follows="c-1"), Ending("worker/1", "H:vm:1", True))
    after = row(AFTER, digest=digest(b"c-1"))
    made.check_journal({"H:vm:1": row()})
    made.check_journal({"H:vm:2": after})
    for rows in (
        {},
        {"H:vm:1": row(), "H:vm:2": after},
        {"H:vm:2": after, "H:vm:3": after},
        {"H:vm:2": row(AFTER, digest=digest(b"c-2"))},
    ):
        with pytest.raises(Broken, match="jobs follow it"):
            made.check_journal(rows)


def test_the_end() -> None:
    made = accounts(receipt(1), receipt(2, LIMITED_NAME), Ending("worker/1", "H:vm:1", True))
    dead = row(LIMITED_NAME, state="dead", attempts=3)
    made.check_end({"H:vm:2": dead})
    with pytest.raises(Broken, match="was not worked off"):
        made.check_end({"H:vm:2": dead, "H:vm:3": row(state="retrying")})


# ---- handles


def test_a_handle_that_comes_twice() -> None:
    with pytest.raises(Broken, match="stands for two jobs"):
        accounts(receipt(1), receipt(2, handle="H:vm:1"))


def test_submits_with_one_unique_may_share_a_handle() -> None:
    shared = receipt(1, unique="shared-1")
    accounts(shared, shared._replace(order=2, digest="0:00000000"))
    by_payload = receipt(1, unique="-")
    accounts(by_payload, by_payload._replace(order=2))
    with pytest.raises(Broken, match="stands for two jobs"):
        accounts(by_payload, by_payload._replace(digest="4:12345678"))
    with pytest.raises(Broken, match="stands for two jobs"):
        accounts(shared, shared._replace(function="other"))


# ---- what workers were given


def test_order() -> None:
    check_assignments(receipt(1), receipt(2), assignment(1), assignment(2))
    with pytest.raises(Broken, match="the job H:vm:1 was overtaken"):
        check_assignments(receipt(1), receipt(2), assignment(2), assignment(1))


def test_what_has_no_order() -> None:
    first, second = assignment(2), assignment(1)
    check_assignments(receipt(1), receipt(2, priority=1), first, second)
    check_assignments(receipt(1, due_s=1.0), receipt(2), first, second)
    check_assignments(receipt(1), receipt(2, connection="client/2"), first, second)
    check_assignments(receipt(1), receipt(2), first, second._replace(connection="worker/2"))
    check_assignments(receipt(1), receipt(2), first, second._replace(attempt=2))


def test_a_receipt_may_be_written_down_late() -> None:
    made = accounts(assignment(2), assignment(1))
    made.check_assignments()
    made.take([receipt(1), receipt(2)])
    with pytest.raises(Broken, match="overtaken"):
        made.check_assignments()


def test_too_early() -> None:
    check_assignments(receipt(1, due_s=1_000_000.0), assignment(1))
    with pytest.raises(Broken, match="too early"):
        check_assignments(receipt(1, due_s=1_000_001.0), assignment(1))


def test_another_payload() -> None:
    with pytest.raises(Broken, match="was given another job"):
        check_assignments(receipt(1), assignment(1, digest="0:00000000"))


def test_too_many_attempts() -> None:
    three = [assignment(1, LIMITED_NAME, attempt=attempt) for attempt in (1, 2, 3)]
    check_assignments(receipt(1, LIMITED_NAME), *three)
    with pytest.raises(Broken, match="given out 4 times; it has 3 attempts"):
        check_assignments(receipt(1, LIMITED_NAME), *three, three[0])


# ---- papers, and the journal's file


def test_papers_are_read_as_they_grow(tmp_path: Path) -> None:
    written: list[Record] = [receipt(1), assignment(1), Ending("worker/1", "H:vm:1", True)]
    paper, papers = Paper(tmp_path / "some.paper"), Papers(tmp_path)
    assert list(papers.news()) == []
    paper.write(written[0])
    assert list(papers.news()) == written[:1]
    with (tmp_path / "some.paper").open("ab") as file:
        file.write(b'["receipt", "cut o')
    assert list(papers.news()) == []
    (tmp_path / "other.paper").touch()
    other = Paper(tmp_path / "other.paper")
    for record in written[1:]:
        other.write(record)
    assert list(papers.news()) == written[1:]


def test_the_journal_is_read(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db")
    put = example_put(7, payload=b"")
    store.commit(Batch(puts=[put]))
    store.close()
    rows = read_journal(tmp_path / "jobs.db")
    assert list(rows) == [put.handle.decode()]
    assert rows[put.handle.decode()].digest == "0:00000000"


def test_a_row_that_was_set_aside(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "jobs.db").close()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection, connection:
        connection.execute("INSERT INTO unreadable VALUES (1, 'jobs', 'a reason', 0, 'a row')")
    with pytest.raises(Broken, match="a reason"):
        read_journal(tmp_path / "jobs.db")


def test_a_damaged_journal(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path)
    store.commit(Batch(puts=[example_put(n, payload=bytes(3000)) for n in range(1, 200)]))
    store.close()
    with path.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises((Broken, sqlite3.DatabaseError)):
        read_journal(path)
