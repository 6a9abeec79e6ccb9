"""The store of a server whose jobs outlive it: a file of SQLite."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Final, final

from gearpy.engine.records import Batch, Record
from gearpy.errors import CannotOpenStore, StoreFailed
from gearpy.stores.checkpoint import Checkpointer
from gearpy.stores.lock import LockFile, lock_itself
from gearpy.stores.opening import advice, open_journal, refused, resolved
from gearpy.stores.reading import BadRow, records, set_aside
from gearpy.stores.writing import Statement, statements

_log = logging.getLogger(__name__)

_PAGE_BYTES: Final = 4096
_LOG_PAGES: Final = 4000  # after so many the log is emptied: 16 MB
_ROW_BYTES: Final = 120  # of a row without its payload, about
_NEIGHBOURS: Final = 16  # rows on a page, about
_READ_ROWS: Final = 64  # payloads in one statement
_WARNINGS_MAX: Final = 10  # about rows that can't be read, in one start


@final
class SqliteStore:
    """Keeps jobs in the SQLite file at ``path``, which is made if it is not there.

    With ``synced`` a commit is on the disk when it returns: it survives whatever happens to the
    process or the machine.  Without, it survives the process only.

    One store at a time has the file, others may read it.  ``set_aside`` counts the rows that
    ``load`` could not read and moved into the table ``unreadable``.

    Raises CannotOpenStore, with a sentence for the person who named the file.
    """

    def __init__(self, path: str | Path, *, synced: bool = True) -> None:
        self.path = resolved(Path(path))
        self.set_aside = 0
        self._commits = Lock()
        self._closed = False
        self._lock = LockFile(self.path)
        try:
            self._connection = open_journal(self.path, synced)
            try:
                self._files = _identities(self.path)
                # Closing any descriptor of the file takes SQLite's locks away: this one goes last.
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                lock_itself(self.path, self._descriptor)
                self._checkpointer = Checkpointer(
                    self.path, self._descriptor if synced else None, self._commits, _LOG_PAGES
                )
            except (OSError, sqlite3.Error) as error:
                self._connection.close()
                raise refused(self.path, error) from error
            except CannotOpenStore:
                self._connection.close()
                os.close(self._descriptor)
                raise
        except BaseException:
            self._lock.release()
            raise

    def load(self) -> Iterator[Record]:
        """Everything that is kept, as ``Store.load`` says, read while it is taken.

        Raises CannotOpenStore if the file is damaged: not when it is called, but on the way.
        """
        bad: list[BadRow] = []
        try:
            yield from records(self._connection, bad)
            if bad:
                set_aside(self._connection, bad)
        except sqlite3.Error as error:
            self._roll_back()
            raise refused(self.path, error) from error
        self._report(bad)

    def commit(self, batch: Batch) -> None:
        """Takes a batch: one transaction, on the disk when this returns.

        Raises StoreFailed, with a sentence, if it can't be written, or if the file is not there
        any more.
        """
        with self._commits:
            try:
                if self._checkpointer.failed is not None:
                    raise self._checkpointer.failed
                self._execute(list(statements(batch)))
                moved = self._is_moved()
            except (sqlite3.Error, OSError) as error:
                self._roll_back()
                raise _failed(self.path, "written", error) from error
            except BaseException:
                self._roll_back()
                raise
        if moved:
            raise StoreFailed(
                f"The journal {self.path} was removed or replaced while the server ran, or its "
                "-wal file was: what was accepted since may be lost.  Bring both back, or start "
                "the server with a new file."
            )
        self._checkpointer.added(_pages(batch))

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        """The payloads of the first of these jobs, as ``Store.payloads`` says."""
        found: dict[int, bytes] = {}
        left_bytes = bytes_max
        try:
            for start in range(0, len(numbers), _READ_ROWS):
                block = numbers[start : start + _READ_ROWS]
                sizes_bytes = self._read("length(payload)", block)
                kept = [pair for pair in zip(block, sizes_bytes, strict=True) if None not in pair]
                fitting = _fitting(kept, left_bytes, at_least=0 if found else 1)
                found.update(zip(fitting, self._read("payload", fitting), strict=True))
                if len(fitting) < len(kept):
                    break
                left_bytes -= sum(size_bytes for _, size_bytes in kept)
        except sqlite3.Error as error:
            raise _failed(self.path, "read", error) from error
        return found

    def free_bytes(self) -> int | None:
        """How many bytes there is room for: on the disk, and inside the file, where jobs were that
        are done.  None if the folder is gone.

        What is free in the file counts for no more than what is free on the disk, because all that
        is written goes through the log first.
        """
        try:
            disk = os.statvfs(self.path.parent)
            free_pages = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
        except (OSError, sqlite3.Error):
            return None
        on_disk_bytes = disk.f_bavail * disk.f_frsize
        self._checkpointer.expect(on_disk_bytes // _PAGE_BYTES)
        return on_disk_bytes + min(on_disk_bytes, int(free_pages) * _PAGE_BYTES)

    def close(self) -> None:
        """Empties the write-ahead log, closes the file and lets others have it."""
        if self._closed:
            return
        self._closed = True
        try:
            self._checkpointer.close()
            with suppress(sqlite3.Error):  # what could not be moved is still in the log
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
            os.close(self._descriptor)
        finally:
            self._lock.release()

    def _execute(self, work: Sequence[Statement]) -> None:
        execute = self._connection.execute
        if len(work) == 1:  # is a transaction by itself
            execute(*work[0])
        elif work:
            execute("BEGIN IMMEDIATE")
            for sql, values in work:
                execute(sql, values)
            execute("COMMIT")

    def _read(self, expression: str, numbers: Sequence[int]) -> tuple[Any, ...]:
        """What an expression gives for each of these jobs, None for those that are not kept; in one
        row, for the reason that ``writing`` gives."""
        if not numbers:
            return ()
        width = 1 if len(numbers) == 1 else _READ_ROWS
        one = f"(SELECT {expression} FROM jobs WHERE number = ?)"
        values = [*numbers, *[None] * (width - len(numbers))]
        row = self._connection.execute("SELECT " + ",".join([one] * width), values).fetchone()
        return tuple(row[: len(numbers)])

    def _is_moved(self) -> bool:
        try:
            return _identities(self.path) != self._files
        except FileNotFoundError:
            return True

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # the disk may be gone; then there is nothing to roll back
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _report(self, bad: Sequence[BadRow]) -> None:
        self.set_aside += len(bad)
        for table, row, reason in bad[:_WARNINGS_MAX]:
            _log.warning("journal %s: row %d of %s set aside: %s", self.path, row, table, reason)
        if bad:
            _log.warning(
                "journal %s: %d rows could not be read; they are in its table unreadable",
                self.path,
                len(bad),
            )


def _identities(path: Path) -> tuple[tuple[int, int], ...]:
    """Which files are at the path of a journal and of its log.  Raises OSError."""
    files = (os.stat(path), os.stat(f"{path}-wal"))
    return tuple((file.st_dev, file.st_ino) for file in files)


def _fitting(kept: Sequence[tuple[int, int]], left_bytes: int, at_least: int) -> list[int]:
    """The numbers of the first ones, of pairs with a size, that fit, but at least so many."""
    fitting: list[int] = []
    for number, size_bytes in kept:
        left_bytes -= size_bytes
        if left_bytes < 0 and len(fitting) >= at_least:
            break
        fitting.append(number)
    return fitting


def _failed(path: Path, what: str, error: sqlite3.Error | OSError) -> StoreFailed:
    return StoreFailed(f"The journal {path} can't be {what}: {error}.{advice(path, error)}")


def _pages(batch: Batch) -> float:
    """How many pages a batch added to the log, about."""
    rows = len(batch.puts) + len(batch.changes)
    payload_bytes = sum(len(put.payload) for put in batch.puts)
    result_bytes = sum(len(change.result) + len(change.log) for change in batch.changes)
    touched = _places(batch.dones) + _places([change.number for change in batch.changes])
    return 2 + touched + (_ROW_BYTES * rows + payload_bytes + result_bytes) / _PAGE_BYTES


def _places(numbers: Sequence[int]) -> int:
    """In how many places of a table these rows are, about: neighbours share a page."""
    return bool(numbers) + sum(abs(b - a) > _NEIGHBOURS for a, b in pairwise(numbers))
