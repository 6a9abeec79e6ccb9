"""Moving what was committed from the write-ahead log into the file itself, beside the commits.

SQLite would do it inside every commit that finds the log long enough, and that commit would wait
for a thousand pages and two fsyncs.  Here a thread does it, and holds commits up only for the few
pages that were added while it worked: after those the log is empty and starts again.
"""

import os
import sqlite3
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, final

from gearpy.stores.opening import connect

_TAIL_PAGES: Final = 256  # so few that commits may wait for them
_SHORT_PAGES: Final = 64  # a log that is as short as it may be
_SHARE: Final = 16  # of what is free on the disk, one part of so many is for the log
_WAIT_S: Final = 10.0  # and no longer: a person who reads the file may be in the way
_LOG_MAX: Final = 4  # times the pages at which it should be emptied; then commits wait longer

# The log goes on until there is room in the file again, or none for the log either.
_PASSING: Final = {"SQLITE_FULL", "SQLITE_BUSY"}


@final
class Checkpointer:
    """Empties the log of a file each time that about ``pages`` were added to it.

    ``descriptor`` is of the file itself, to sync it, and None if nothing is to be synced.
    ``commits`` is held by whoever commits.  ``failed`` is the error that ended it, if any: then the
    log only grows, and somebody should say so.
    """

    def __init__(self, path: Path, descriptor: int | None, commits: Lock, pages: int) -> None:
        self.failed: sqlite3.Error | OSError | None = None
        self._connection = connect(path, synced=descriptor is not None)
        self._descriptor = descriptor
        self._commits = commits
        self._pages = pages
        self._limit = pages
        self._added = 0.0
        self._behind = 0.0  # pages since the log was last emptied
        self._wanted = Event()
        self._emptied = Event()
        self._closing = False
        self._thread = Thread(target=self._run, name="checkpointer", daemon=True)
        self._thread.start()

    def added(self, pages: float) -> None:
        """A commit added about so many pages to the log.

        Waits where the log has become far longer than it should: the thread had no time.
        """
        self._added += pages
        self._behind += pages
        if self._added >= self._limit:
            self._added = 0.0
            self._emptied.clear()
            self._wanted.set()
        if self._behind >= _LOG_MAX * self._limit:
            self._emptied.wait(_WAIT_S)
            self._behind = 0.0

    def expect(self, room_pages: int) -> None:
        """The disk has room for so many pages: where that is little the log must stay short, though
        it is slower to empty it often."""
        self._limit = max(_SHORT_PAGES, min(self._pages, room_pages // _SHARE))

    def close(self) -> None:
        """Ends the thread.  What is in the log stays there."""
        self._closing = True
        self._wanted.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._wanted.wait() and not self._closing:
            self._wanted.clear()
            try:
                self._empty()
                self._behind = self._added
            except (sqlite3.Error, OSError) as error:
                if getattr(error, "sqlite_errorname", "") not in _PASSING:
                    self.failed = error
                    return
            finally:
                self._emptied.set()

    def _empty(self) -> None:
        """Until there is little left to move; then the rest, while nobody commits."""
        moved, in_all = 0, self._move_and_sync()
        while in_all - moved > _TAIL_PAGES and in_all <= _LOG_MAX * self._pages:
            if self._closing:
                return
            moved, in_all = in_all, self._move_and_sync()
        with self._commits:
            self._move()

    def _move_and_sync(self) -> int:
        # SQLite syncs the file only once the whole log is moved: that would be left for the time in
        # which commits wait.
        moved = self._move()
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)
        return moved

    def _move(self) -> int:
        """Moves what no reader is in the way of; how many pages of the log are moved by now."""
        row = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(row[2])
