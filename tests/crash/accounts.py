"""Whether what is on paper is true of the journal."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from tests.crash.jobs import AFTER, ATTEMPTS
from tests.crash.papers import Assignment, Receipt, Record, digest

_EARLY_S: Final = 0.1  # by which the clocks of two processes may differ


class Broken(AssertionError):
    """A promise of the server is broken."""


class Row(NamedTuple):
    """A job as the journal has it."""

    function: str
    unique: str
    priority: int
    digest: str
    state: str
    attempts: int


class Accounts:
    """What the papers say, and whether it can be true.

    Give ``take`` everything that is written down, in any order that keeps each file's own.
    """

    def __init__(self) -> None:
        self.receipts: dict[str, Receipt] = {}  # the first one of each handle
        self.durable: set[str] = set()  # handles with a receipt for the background
        self.completed: set[str] = set()
        self.assigned: dict[str, int] = {}
        self.taken = 0  # records
        self._new: list[Assignment] = []  # not seen by ``check_assignments`` yet
        self._seen: list[Assignment] = []  # not checked by it yet
        self._first: dict[tuple[str, str, int, str], Assignment] = {}

    # ---- reading

    def take(self, records: Iterable[Record]) -> None:
        """Raises Broken if two jobs have one handle."""
        for record in records:
            self.taken += 1
            if isinstance(record, Receipt):
                self._take_receipt(record)
            elif isinstance(record, Assignment):
                self.assigned[record.handle] = self.assigned.get(record.handle, 0) + 1
                self._new.append(record)
            elif record.completed:
                self.completed.add(record.handle)

    def _take_receipt(self, receipt: Receipt) -> None:
        handle = receipt.handle
        if receipt.background:
            self.durable.add(handle)
        first = self.receipts.setdefault(handle, receipt)
        if first is receipt:
            return
        if not _coalesce(first, receipt):
            raise Broken(f"the handle {handle} stands for two jobs: {first} and {receipt}")

    # ---- what must be true at any moment

    def open(self) -> set[str]:
        """The jobs with a receipt that nobody completed."""
        return self.durable - self.completed

    def check_journal(self, rows: Mapping[str, Row]) -> None:
        """The server is dead: is every job there that must be, and as it was submitted?"""
        for handle in self.open():
            if handle not in rows:
                raise Broken(
                    f"the job {handle} is lost: {self.receipts[handle]} is on paper, nobody"
                    f" completed it (assignments: {self.assigned.get(handle, 0)}), and it is not"
                    " in the journal"
                )
        for handle, row in rows.items():
            self._check_row(handle, row)
        _check_coalescing(rows)
        self._check_callbacks(rows)

    def _check_row(self, handle: str, row: Row) -> None:
        receipt = self.receipts.get(handle)
        if receipt is not None:
            kept = (row.function, row.unique, row.priority, row.digest)
            said = (receipt.function, receipt.unique, receipt.priority, receipt.digest)
            # Of a job that may be shared, all but its names may be from another client's submit.
            if kept[:2] != said[:2] or (kept != said and receipt.alone):
                raise Broken(f"the job {handle} is not what was submitted: {row}, {receipt}")
        allowed = ATTEMPTS.get(row.function)
        if allowed is None:
            return
        assigned = self.assigned.get(handle, 0)
        if assigned > row.attempts and receipt is not None and receipt.alone:
            raise Broken(
                f"the job {handle} was given out {assigned} times, and the journal knows of"
                f" {row.attempts}: {row}"
            )
        if row.attempts > allowed:
            raise Broken(f"the job {handle} has more than {allowed} attempts: {row}")
        if row.state == "dead" and row.attempts != allowed:
            raise Broken(f"the job {handle} is dead before its {allowed} attempts: {row}")

    def _check_callbacks(self, rows: Mapping[str, Row]) -> None:
        """What follows a job is there as soon as it has ended, once, and not before."""
        following = Counter(row.digest for row in rows.values() if row.function == AFTER)
        for handle, receipt in self.receipts.items():
            if not receipt.follows:
                continue
            row = rows.get(handle)
            ended = row is None or row.state == "dead"
            found = following[digest(receipt.follows.encode())]
            if found != ended:
                state = "gone" if row is None else row.state
                raise Broken(f"the job {handle} is {state}, and {found} jobs follow it: {receipt}")

    def check_assignments(self) -> None:
        """Whether workers were given what was submitted, in its order, not too early and not too
        often.  Looks at what was there at the call before: by now receipts are on paper that were
        still on their way."""
        checked, self._seen, self._new = self._seen, self._new, []
        for assignment in checked:
            handle = assignment.handle
            allowed = ATTEMPTS.get(assignment.function)
            if allowed is not None and self.assigned[handle] > allowed:
                raise Broken(
                    f"the job {handle} was given out {self.assigned[handle]} times; it has"
                    f" {allowed} attempts: {assignment}"
                )
            receipt = self.receipts.get(handle)
            # Without a receipt its client lost the connection first.
            if receipt is not None and receipt.alone:
                self._check_assignment(assignment, receipt)

    def _check_assignment(self, assignment: Assignment, receipt: Receipt) -> None:
        given = (assignment.function, assignment.unique, assignment.digest)
        if given != (receipt.function, receipt.unique, receipt.digest):
            raise Broken(f"a worker was given another job: {assignment}, {receipt}")
        if assignment.now_s < receipt.due_s - _EARLY_S:
            raise Broken(f"a worker was given a job too early: {assignment}, {receipt}")
        if assignment.attempt != 1 or receipt.due_s:
            return
        # Of what one worker is given in one life of the server, first attempts come in the order of
        # the receipts on one connection.
        lane = (
            assignment.connection,
            receipt.function,
            receipt.priority,
            receipt.connection,
        )
        before = self._first.get(lane)
        if before is not None and self.receipts[before.handle].order > receipt.order:
            raise Broken(
                f"the job {receipt.handle} was overtaken: {before} came before {assignment}, but"
                f" the receipts are {receipt} and then {self.receipts[before.handle]}"
            )
        self._first[lane] = assignment

    # ---- what must be true in the end

    def check_end(self, rows: Mapping[str, Row]) -> None:
        """Nothing runs or waits any more, and the server has stopped: every job with a receipt was
        completed or is a dead letter, and nothing else is left."""
        self.check_journal(rows)
        for _ in range(2):
            self.check_assignments()
        for handle, row in rows.items():
            if row.state != "dead" and row.function != AFTER:
                raise Broken(f"the job {handle} was not worked off: {row}")


def read_journal(path: Path) -> dict[str, Row]:
    """The jobs of a journal that no server has open, by handle.

    Raises Broken if the file is damaged, or if a row of it was set aside.
    """
    with closing(sqlite3.connect(path)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall()
        if sound != [("ok",)]:
            raise Broken(f"the journal {path} is damaged: {sound}")
        unreadable = connection.execute("SELECT source, reason, row FROM unreadable").fetchall()
        if unreadable:
            raise Broken(f"rows of the journal {path} could not be read: {unreadable}")
        found = connection.execute(
            'SELECT handle, function, "unique", priority, payload,'
            " coalesce(lives.state, 'queued'), coalesce(attempts, 0)"
            " FROM jobs LEFT JOIN lives ON lives.number = jobs.number"
        )
        return {
            handle: Row(function, unique, priority, digest(payload), state, attempts)
            for handle, function, unique, priority, payload, state, attempts in found
        }


def _coalesce(one: Receipt, other: Receipt) -> bool:
    """Whether two submits may have one job."""
    if (one.function, one.unique) != (other.function, other.unique) or not one.unique:
        return False
    if one.unique == "-":
        return one.digest == other.digest and not one.digest.startswith("0:")
    return True


def _check_coalescing(rows: Mapping[str, Row]) -> None:
    """At most one unfinished job has the same function and unique."""
    found: dict[tuple[str, str, str], str] = {}
    for handle, row in rows.items():
        payload = row.digest if row.unique == "-" else ""
        if row.state == "dead" or not row.unique or payload.startswith("0:"):
            continue
        other = found.setdefault((row.function, row.unique, payload), handle)
        if other != handle:
            raise Broken(f"the jobs {handle} and {other} are the same: {row}")
