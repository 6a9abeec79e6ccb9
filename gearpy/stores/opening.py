"""Opening the SQLite file of a journal: what is refused, and in which words."""

import os
import sqlite3
from pathlib import Path
from shlex import quote
from typing import Final

from gearpy.errors import CannotOpenStore
from gearpy.stores.schema import APPLICATION_ID, VERSION, migration

# How long a person with the sqlite3 tool may hold the file before a commit gives up.
_BUSY_S: Final = 60.0

_MAGIC: Final = b"SQLite format 3\0"
_STATEMENTS: Final = 512  # kept prepared: there are several for each table and number of rows
_LOG_BYTES_KEPT: Final = 64 << 20  # a reader may make it grow; then it is cut when it is empty
_CACHE_KIB: Final = 16 * 1024

_GEARMAND_COLUMNS: Final = {"unique_key", "function_name", "priority", "data"}


def resolved(path: Path) -> Path:
    """The file behind all links, so that one file has one lock.

    Raises CannotOpenStore if there can be no file: its folder is missing, or it is a folder.
    """
    try:
        file = path.resolve()
        if file.is_dir():
            raise CannotOpenStore(
                f"The journal {path} can't be opened: it is a folder.  Name a file in it, such as "
                f"{path / 'jobs.db'}."
            )
        if not file.parent.is_dir():
            raise CannotOpenStore(
                f"The journal {path} can't be opened: there is no folder {file.parent}.  Make it, "
                "or name a file elsewhere."
            )
    except RuntimeError:
        raise CannotOpenStore(
            f"The journal {path} can't be opened: its links lead in a circle."
        ) from None
    except OSError as error:
        raise refused(path, error) from None
    return file


def open_journal(path: Path, synced: bool) -> sqlite3.Connection:
    """Opens the file, which nobody else may have open for writing, makes it if it is not there, and
    brings its tables up to date.  Raises CannotOpenStore and leaves what is not ours as it was."""
    _make_or_recognise(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(path, synced)
        version = _version(path, connection)
        _use_wal(path, connection)
        for following in range(version + 1, VERSION + 1):
            connection.executescript(migration(following))
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise refused(path, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def connect(path: Path, synced: bool) -> sqlite3.Connection:
    """A connection that leaves transactions and checkpoints to its owner, gives all text as bytes,
    and may be used by one thread after another."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    connection.text_factory = bytes
    connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'OFF'}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_KEPT}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA secure_delete = OFF")  # some builds overwrite what they delete
    return connection


def refused(path: Path, error: OSError | sqlite3.Error) -> CannotOpenStore:
    """The sentence for an error while opening or loading."""
    if isinstance(error, OSError):
        return CannotOpenStore(
            f"The journal {path} can't be opened: {error.strerror}.  The server must be allowed to "
            "write the file and its folder."
        )
    return CannotOpenStore(f"The journal {path} can't be read: {error}.{advice(path, error)}")


def advice(path: Path, error: sqlite3.Error | OSError) -> str:
    """What to do about an error of SQLite: more sentences, or nothing."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_CORRUPT"):
        return (
            "  Keep a copy of it, then save what can be saved with "
            f"`sqlite3 {quote(str(path))} .recover | sqlite3 NEW-FILE`, and use the new file."
        )
    for beginning, sentence in _ADVICE.items():
        if name.startswith(beginning):
            return "  " + sentence
    return ""


_ADVICE: Final = {
    "SQLITE_FULL": "The disk is full: make room, then start the server again.",
    "SQLITE_IOERR": "The disk does not work, or is full: see the system's log (dmesg).",
    "SQLITE_READONLY": "The file or its folder may not be written.",
    "SQLITE_BUSY": "Another program holds it locked: end that one.",
    "SQLITE_CANTOPEN": "The file or its folder is missing or may not be written.",
    "SQLITE_PROTOCOL": "Another program holds it locked: end that one.",
    "SQLITE_NOTADB": "It is damaged, or encrypted, or not an SQLite file: name another file.",
}


def _make_or_recognise(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            beginning = os.pread(descriptor, len(_MAGIC), 0)
            names = os.fstat(descriptor).st_nlink
        finally:
            os.close(descriptor)
        if not beginning:
            _sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from None
    if names > 1:
        raise CannotOpenStore(
            f"The journal {path} can't be opened: the file has {names} names (hard links), and each"
            " would get a write-ahead log of its own.  Remove the others, or copy the file."
        )
    if beginning not in (b"", _MAGIC):
        raise CannotOpenStore(
            f"The journal {path} can't be opened: it is not an SQLite file.  Name another file; "
            "a new one is made if there is none."
        )


def _sync_folder(folder: Path) -> None:
    """The name of a new file must be as durable as what will be in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """The version of its tables; 0: it is empty."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    if application == 0 and version == 0 and not tables:
        return 0
    if application != APPLICATION_ID:
        raise _foreign(path, connection)
    if version > VERSION:
        raise CannotOpenStore(
            f"The journal {path} was written by a newer gearpy: its tables are version {version}, "
            f"and this gearpy knows up to version {VERSION}.  Start a newer gearpy with it, or "
            "name another file."
        )
    assert isinstance(version, int)
    return version


def _foreign(path: Path, connection: sqlite3.Connection) -> CannotOpenStore:
    columns: dict[bytes, set[str]] = {}
    for table, column in connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_master AS tables,"
        " pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
    ):
        columns.setdefault(table, set()).add(column.decode(errors="replace"))
    for table, names in columns.items():
        if names >= _GEARMAND_COLUMNS:
            return CannotOpenStore(
                f"The journal {path} is a queue of gearmand (its table "
                f"{table.decode(errors='replace')}), which gearpy does not read.  Let gearmand "
                "work off its jobs first, or name another file for gearpy."
            )
    return CannotOpenStore(
        f"The journal {path} can't be opened: it is an SQLite file of another program.  Name "
        "another file; a new one is made if there is none."
    )


def _use_wal(path: Path, connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != b"wal":
        raise CannotOpenStore(
            f"The journal {path} can't be opened: SQLite can't keep a write-ahead log on this file "
            "system.  Name a file on a local disk."
        )
    # The log of a file that was in another mode is made when it is first read.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
