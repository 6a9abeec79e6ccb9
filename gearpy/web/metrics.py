"""What the engine counts, for Prometheus.

A snapshot in, text out; ``meter`` takes the snapshots.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gearpy.broker.broker import BrokerStatistics
from gearpy.engine.statistics import BOUNDS_S, HistogramStatistics, QueueStatistics
from gearpy.version import VERSION, is_compiled
from gearpy.web.figures import success_ratio

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Snapshot(NamedTuple):
    """What is told in one answer.  ``functions`` are those that have numbers of their own,
    ``unhealthy`` the workers that missed their heartbeat."""

    broker: BrokerStatistics
    functions: list[QueueStatistics]
    now_s: float
    commits: HistogramStatistics | None
    lag: HistogramStatistics
    journal_full: bool = False
    unhealthy: int = 0


def text(snapshot: Snapshot) -> bytes:
    """The snapshot in Prometheus's text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Telling(snapshot))
    return generate_latest(registry)


@final
class _Telling(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        yield from _server(self._snapshot)
        yield from _functions(self._snapshot)


def _server(snapshot: Snapshot) -> Iterator[Metric]:
    broker, engine = snapshot.broker, snapshot.broker.engine
    build = InfoMetricFamily("gearpy_build", "The program.")
    build.add_metric([], {"version": VERSION, "form": "compiled" if is_compiled() else "python"})
    yield build
    for name, says, value in (
        ("connections", "Open connections of Gearman's clients and workers.", broker.sessions),
        ("functions", "Functions that are known.", engine.functions),
        (
            "functions_left_out",
            "Functions that are known and have no numbers of their own in here.",
            max(0, engine.functions - len(snapshot.functions)),
        ),
        ("payload_bytes", "Payloads of journalled jobs in memory.", engine.payload_bytes),
        (
            "journal_full",
            "1 while no background job is taken, as the journal's disk is nearly full.",
            snapshot.journal_full,
        ),
        ("workers_unhealthy", "Workers that missed their heartbeat.", snapshot.unhealthy),
    ):
        yield GaugeMetricFamily(f"gearpy_{name}", says, value=value)
    jobs = GaugeMetricFamily(
        "gearpy_all_jobs",
        "Jobs of all functions, by state; delayed are those that are tried again, too.",
        labels=["state"],
    )
    for state in ("queued", "delayed", "running", "dead", "kept"):
        jobs.add_metric([state], getattr(engine, state))
    yield jobs
    for name, says, value in (
        ("refused", "Requests that were answered with ERROR.", broker.refused),
        ("faults", "Packets that met a bug.", broker.faults),
        ("coalesced", "Submits that joined a job with the same unique.", engine.coalesced),
        ("lost", "Assignments whose worker went away or ran out of time.", engine.lost),
        ("stale", "Reports about jobs that their sender did not hold.", engine.stale),
        ("abandoned", "Foreground jobs that nobody waited for any more.", engine.abandoned),
        ("wakes", "Sleeping workers that were woken.", engine.wakes),
        ("passed_over", "Woken workers that did not come in time.", engine.passed_over),
    ):
        yield CounterMetricFamily(f"gearpy_{name}", says, value=value)
    yield _histogram("loop_lag_seconds", "How late the event loop comes to a timer.", snapshot.lag)
    if snapshot.commits is not None:
        yield _histogram(
            "commit_seconds", "Commits of the journal, their fsync included.", snapshot.commits
        )


_STATES: Final[dict[str, Callable[[QueueStatistics], int]]] = {
    "queued": lambda function: sum(function.queued),
    "delayed": lambda function: sum(function.delayed) - function.retrying,
    "retrying": lambda function: function.retrying,
    "running": lambda function: function.running,
    "dead": lambda function: function.dead,
    "kept": lambda function: function.kept,
}

_GAUGES: Final[dict[str, tuple[str, Callable[[QueueStatistics], float]]]] = {
    "function_workers": ("Workers that can do it.", lambda function: function.workers),
    "function_paused": ("1 while no jobs are given out.", lambda function: function.paused),
    "function_draining": ("1 while no jobs are taken.", lambda function: function.draining),
}

_COUNTERS: Final = {
    "submitted": "Jobs that were taken.",
    "started": "Attempts that began.",
    "completed": "Jobs that were done.",
    "failed": "Jobs that failed for good, and not to the dead letters.",
    "retried": "Attempts that ended badly and were not the last.",
    "timed_out": "Attempts that ran out of time.",
    "dead": "Jobs that went to the dead letters.",
    "cancelled": "Jobs that were cancelled.",
    "expired": "Jobs that were not started in time.",
}


def _functions(snapshot: Snapshot) -> Iterator[Metric]:
    functions = [(_label(each.function), each) for each in snapshot.functions]
    jobs = GaugeMetricFamily("gearpy_jobs", "Jobs, by state.", labels=["function", "state"])
    for name, function in functions:
        for state, count in _STATES.items():
            jobs.add_metric([name, state], count(function))
    yield jobs
    for metric, (says, read) in _GAUGES.items():
        gauge = GaugeMetricFamily(f"gearpy_{metric}", says, labels=["function"])
        for name, function in functions:
            gauge.add_metric([name], read(function))
        yield gauge
    oldest = GaugeMetricFamily(
        "gearpy_oldest_queued_seconds", "How long the oldest queued job waits.", labels=["function"]
    )
    success = GaugeMetricFamily(
        "gearpy_success_ratio",
        "Of the jobs that ended by themselves since the start, the part that was done.",
        labels=["function"],
    )
    for name, function in functions:
        since_s, ratio = function.oldest_queued_s, success_ratio(function.counters)
        oldest.add_metric([name], 0.0 if since_s is None else max(0.0, snapshot.now_s - since_s))
        if ratio is not None:
            success.add_metric([name], ratio)
    yield oldest
    yield success
    for counted, says in _COUNTERS.items():
        counter = CounterMetricFamily(f"gearpy_jobs_{counted}", says, labels=["function"])
        for name, function in functions:
            counter.add_metric([name], getattr(function.counters, counted))
        yield counter
    for part, says in (
        ("waiting", "From when a job could have been given out until it was."),
        ("running", "From then until the attempt ended, however it ended."),
    ):
        family = HistogramMetricFamily(f"gearpy_job_{part}_seconds", says, labels=["function"])
        for name, function in functions:
            found: HistogramStatistics = getattr(function.counters, part)
            family.add_metric([name], _buckets(found), found.sum_s)
        yield family


# What a byte that is no text is told as.
_ESCAPE: Final = re.compile(r"\\x[89a-f][0-9a-f]")


def _label(function: bytes) -> str:
    r"""A name, which may hold any bytes, in UTF-8.

    No two names have one label: Prometheus would refuse everything that it is told.  So where a
    name has such bytes, or text that looks like one, each of its own backslashes is told as two.

    >>> print(_label(rb"App\Mail"), _label(b"a\xff"), _label(rb"a\xff"), _label(b"a\\b\xff"))
    App\Mail a\xff a\\xff a\\b\xff
    """
    label = function.decode("utf-8", "backslashreplace")
    if _ESCAPE.search(label) is None:
        return label
    return function.replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")


def _histogram(name: str, says: str, found: HistogramStatistics) -> Metric:
    family = HistogramMetricFamily(f"gearpy_{name}", says)
    family.add_metric([], _buckets(found), found.sum_s)
    return family


_BOUNDS: Final = (*map(str, BOUNDS_S), "+Inf")


def _buckets(found: HistogramStatistics) -> list[tuple[str, float]]:
    """As Prometheus has them: each counts those below it, too."""
    below, buckets = 0, []
    for bound, count in zip(_BOUNDS, found.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets
