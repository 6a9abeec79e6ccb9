"""Many workers in words: who they are, what they run, and how they are."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click

from gearpy.cli.tables import age, cell, counted, show, show_json, size, table

NO_WORKERS: Final = "No workers are connected."
_FUNCTIONS: Final = 3  # of a worker, by name
_RUNNING: Final = 2  # jobs of a worker, one by one

Worker = dict[str, Any]  # as the server describes it


def show_workers(workers: list[Worker], now_s: float, as_json: bool) -> None:
    """Prints all workers: one line for each, sorted by what they belong to."""
    for each in workers:
        each["functions"].sort()
    if as_json:
        show_json({"now_s": now_s, "workers": workers})
        return
    workers.sort(key=lambda each: (_said(each, "group", ""), each["client_id"], each["connection"]))
    if workers:
        click.echo(summary(workers))
    columns = [
        column
        for column in _COLUMNS
        if column.always or any(column.words(each, now_s) for each in workers)
    ]
    numbers = tuple(column.heading for column in columns if column.number)
    report = table(*(column.heading for column in columns), right=numbers)
    for each in workers:
        report.add_row(*(cell(column.words(each, now_s)) for column in columns))
    show(report, NO_WORKERS)


def summary(workers: list[Worker]) -> str:
    """All of them in a sentence: "3 workers; 2 of them run 4 jobs; 1 missed its heartbeat"."""
    busy = [len(each["running"]) for each in workers if each["running"]]
    parts = [counted(len(workers), "worker")]
    if busy:
        runs = "runs" if len(busy) == 1 else "run"
        parts.append(f"{len(busy):,} of them {runs} {counted(sum(busy), 'job')}")
    missed = sum(each["missed"] for each in workers)
    if missed:
        parts.append(f"{missed:,} missed {'its heartbeat' if missed == 1 else 'their heartbeats'}")
    return "; ".join(parts)


def _said(worker: Worker, name: str, otherwise: Any) -> Any:
    """What the worker said of itself."""
    return (worker["state"] or {}).get(name, otherwise)


def _functions(worker: Worker, _now_s: float) -> str:
    return _some(worker["functions"], _FUNCTIONS)


def _running(worker: Worker, now_s: float) -> str:
    oldest = sorted(worker["running"], key=lambda job: job["since_s"])
    return _some([_running_job(job, now_s) for job in oldest], _RUNNING)


def _running_job(job: dict[str, Any], now_s: float) -> str:
    return f"{job['handle']} {job['function']} for {age(now_s - job['since_s'])}"


def _some(words: list[str], most: int) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most:,} more" if len(words) > most else shown


def _group(worker: Worker, _now_s: float) -> str:
    return str(_said(worker, "group", ""))


def _memory(worker: Worker, _now_s: float) -> str:
    memory_bytes = _said(worker, "memory_bytes", None)
    return "" if memory_bytes is None else size(memory_bytes)


def _done(worker: Worker, _now_s: float) -> str:
    done = _said(worker, "jobs_done", None)
    return "" if done is None else f"{done:,}"


def _failed(worker: Worker, _now_s: float) -> str:
    failed = _said(worker, "jobs_failed", 0)
    return f"{failed:,}" if failed else ""


def _heartbeat(worker: Worker, _now_s: float) -> str:
    return "" if worker["state"] is None else f"{age(worker['state_age_s'])} ago"


def _note(worker: Worker, _now_s: float) -> str:
    notes = [mark for mark in ("supervisor", "stopping") if _said(worker, mark, False)]
    crew = _said(worker, "group_state", {})
    if isinstance(crew.get("running"), int) and isinstance(crew.get("wanted"), int):
        notes.append(f"{crew['running']:,} of {crew['wanted']:,} up")
        if isinstance(crew.get("crashes"), int) and crew["crashes"]:
            notes.append(f"{crew['crashes']:,} crashed")
    return ", ".join(notes + ["missed its heartbeat"] * worker["missed"])


class _Column(NamedTuple):
    """A column.  Where nobody has anything in it, it is left out, unless it is ``always`` there."""

    heading: str
    words: Callable[[Worker, float], str]
    always: bool = False
    number: bool = False


_COLUMNS: Final = (
    _Column("Worker", lambda worker, _: str(worker["worker"]), always=True),
    _Column("Group", _group),
    _Column("Functions", _functions, always=True),
    _Column("Runs", _running, always=True),
    _Column("Memory", _memory, number=True),
    _Column("Done", _done, number=True),
    _Column("Failed", _failed, number=True),
    _Column("Heartbeat", _heartbeat),
    _Column("Note", _note),
)
