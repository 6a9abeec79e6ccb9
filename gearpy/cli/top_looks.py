"""Looks: what a server said of its functions at one moment.  A rate is what two of them differ by.

Nothing is asked in here; ``top_observer`` does that.
"""

from typing import Any, NamedTuple

from gearpy.protocol import admin
from gearpy.protocol.codec import decoded


class Function(NamedTuple):
    """A function as it was at a look.  None: not known; other servers tell less."""

    name: str
    queued: int
    running: int
    workers: int
    delayed: int | None = None  # those that are tried again included
    dead: int | None = None
    oldest_s: float | None = None  # how long the first of the queue waits
    ended: int | None = None  # since the server's start, in whatever way
    completed: int = 0
    cancelled: int = 0
    state: str = ""
    rate: float | None = None  # jobs that end in a second


class Look(NamedTuple):
    """What a server said at one moment.  Without a ``version`` it is not a gearpy-server."""

    functions: list[Function]
    at_s: float  # on a clock that only goes forward
    version: str | None = None
    pid: int = 0
    journal_full: bool = False


def function_of(row: dict[str, Any]) -> Function:
    """A row of the answer to the request ``functions``."""
    counts = row["counts"]
    ended = sum(counts[how] for how in ("completed", "failed", "dead", "cancelled", "expired"))
    return Function(
        row["function"],
        row["queued"],
        row["running"],
        row["workers"],
        row["delayed"] + row["retrying"],
        row["dead"],
        row["oldest_queued_s"],
        ended,
        counts["completed"],
        counts["cancelled"],
        ", ".join(mark for mark in ("paused", "draining") if row[mark]),
    )


def plain_function_of(row: admin.StatusRow) -> Function:
    """A row of the text protocol's ``status``."""
    queued = max(row.jobs - row.running, 0)
    return Function(decoded(row.function), queued, row.running, row.workers)


def rated(look: Look, before: Look | None) -> Look:
    """The look, with the rates since the one before.

    A server that was started anew counts from 0 again, so there are no rates then.
    """
    if before is None or before.pid != look.pid or before.at_s >= look.at_s:
        return look
    ended = {each.name: each.ended or 0 for each in before.functions}
    span_s = look.at_s - before.at_s

    def rate(function: Function) -> float | None:
        if function.ended is None:
            return None
        jobs = function.ended - ended.get(function.name, 0)
        return jobs / span_s if jobs >= 0 else None  # it was dropped, and is there again

    return look._replace(functions=[each._replace(rate=rate(each)) for each in look.functions])
