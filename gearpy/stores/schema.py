"""The tables of a journal in an SQLite file, and how older ones become the newest.

They are for people, too: ``sqlite3 jobs.db 'SELECT * FROM overview'``.  What was submitted stands
in ``jobs`` and never changes; what became of it in ``lives``, where anything did.  Names are text
where they are UTF-8 without NUL, and blobs where not; times are seconds since the epoch, in UTC.
"""

from typing import Final

# How `file` and we ourselves know that an SQLite file is a journal.
APPLICATION_ID: Final = int.from_bytes(b"gepy", "big")

_JOBS: Final = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    handle TEXT NOT NULL,
    function TEXT NOT NULL,
    "unique" TEXT NOT NULL,
    payload BLOB NOT NULL,
    priority INTEGER NOT NULL,          -- 0 critical, 1 high, 2 normal, 3 low
    created_s REAL NOT NULL,
    due_s REAL NOT NULL DEFAULT 0,      -- 0: at once
    expire_s REAL NOT NULL DEFAULT 0,   -- 0: never
    reducer TEXT NOT NULL DEFAULT '',
    options TEXT NOT NULL DEFAULT ''    -- JSON
);
"""

_LIVES: Final = """
CREATE TABLE lives (
    number INTEGER PRIMARY KEY,         -- of its job; a job without a row waits as it was submitted
    state TEXT NOT NULL,
    place INTEGER NOT NULL,             -- jobs with lower places come first
    attempts INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    due_s REAL NOT NULL DEFAULT 0,
    since_s REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    log TEXT NOT NULL DEFAULT '',       -- JSON
    result BLOB NOT NULL DEFAULT x''
);
CREATE TABLE functions (
    function TEXT PRIMARY KEY NOT NULL,
    paused INTEGER NOT NULL,
    draining INTEGER NOT NULL
);
CREATE TABLE policies (
    pattern TEXT PRIMARY KEY NOT NULL,
    policy TEXT NOT NULL                -- JSON
);
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,     -- 'mark': no job has a number this high or higher
    value
);
CREATE TABLE unreadable (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,               -- the table where the row was
    reason TEXT NOT NULL,               -- why it could not be read
    set_aside_s REAL NOT NULL,
    row TEXT NOT NULL                   -- the statement that brings it back, once it is mended
);
CREATE VIEW overview AS
SELECT
    jobs.number, jobs.handle, jobs.function, jobs."unique",
    coalesce(lives.state, iif(jobs.due_s > 0, 'delayed', 'queued')) AS state,
    CASE jobs.priority
        WHEN 0 THEN 'critical' WHEN 1 THEN 'high' WHEN 2 THEN 'normal' WHEN 3 THEN 'low'
    END AS priority,
    coalesce(lives.attempts, 0) AS attempts,
    datetime(jobs.created_s, 'unixepoch', 'localtime') AS created,
    datetime(nullif(coalesce(lives.due_s, jobs.due_s), 0), 'unixepoch', 'localtime') AS due,
    datetime(nullif(jobs.expire_s, 0), 'unixepoch', 'localtime') AS expires,
    datetime(coalesce(lives.since_s, jobs.created_s), 'unixepoch', 'localtime') AS since,
    coalesce(lives.reason, '') AS reason,
    coalesce(lives.error, '') AS error,
    length(CAST(jobs.payload AS BLOB)) AS payload_bytes
FROM jobs LEFT JOIN lives ON lives.number = jobs.number
ORDER BY jobs.number;
"""

_SCHEDULES: Final = """
CREATE TABLE schedules (
    name TEXT PRIMARY KEY NOT NULL,
    schedule TEXT NOT NULL,             -- JSON; empty: as the server's settings say
    state TEXT NOT NULL                 -- JSON: its last tick, its last job, whether it is paused
);
"""

# The n-th script makes version n of version n - 1.  What was released is never edited: a file that
# it made must stay the same as one that it makes.
MIGRATIONS: Final = (_JOBS, _LIVES, _SCHEDULES)

VERSION: Final = len(MIGRATIONS)


def migration(version: int) -> str:
    """The script that makes ``version`` of the version before, all of it or nothing."""
    return (
        "BEGIN IMMEDIATE;"
        f"{MIGRATIONS[version - 1]}"
        f"PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {version};"
        "COMMIT;"
    )
