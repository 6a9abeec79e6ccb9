"""Measurements by workload and server, and what they say of the aims of the race."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final, final

from bench import aims
from bench.aims import Finding
from bench.race import Measurement, ratios
from bench.servers import GEARMAND_AT_ITS_BEST, GEARMAND_IN_MEMORY, GEARPY, LOOKED_AT
from bench.workloads import DRAIN, FOREGROUND, LONG_QUEUE, SUBMIT

_MILLION_SUBMIT: Final = LONG_QUEUE[0].name


@final
class Books:
    """The measurements by workload and server, in the order of the rounds."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._measurements = measurements

    def of(self, workload: str, server: str) -> list[Measurement]:
        """Those of one workload on one server."""
        return [m for m in self._measurements if (m.workload, m.server) == (workload, server)]

    def latencies_ms(self, workload: str, server: str) -> tuple[list[float], list[float]]:
        """p50 and p99, round by round."""
        taken = [m.latency for m in self.of(workload, server) if m.latency is not None]
        return [each.p50_s * 1000 for each in taken], [each.p99_s * 1000 for each in taken]

    def costs_over(self, workload: str, ours: str, theirs: str) -> list[float]:
        """The server's CPU time for a job over the other's, round by round."""
        by_round = {m.round_number: m.server_cpu_us_per_job for m in self.of(workload, theirs)}
        return [m.server_cpu_us_per_job / by_round[m.round_number] for m in self.of(workload, ours)]


def findings(measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """What the measurements say of the aims of the race, as far as they were taken."""
    books = Books(measurements)
    ours, default, best = GEARPY.name, GEARMAND_IN_MEMORY.name, GEARMAND_AT_ITS_BEST.name
    for workload, (over_default, over_best, cost_over_best) in aims.RACE.items():
        mine = books.of(workload, ours)
        for rival, least in ((default, over_default), (best, over_best)):
            theirs = books.of(workload, rival)
            if mine and theirs:
                title = f"{workload}: rate over {rival}"
                yield Finding(title, aims.TIMES, ratios(mine, theirs), at_least=least)
        if mine and books.of(workload, best):
            title = f"{workload}: CPU for a job over {best}"
            costs = books.costs_over(workload, ours, best)
            yield Finding(title, aims.TIMES, costs, at_most=cost_over_best)
    for workload in (SUBMIT.name, DRAIN.name, FOREGROUND.name):
        watched, alone = books.of(workload, LOOKED_AT.name), books.of(workload, ours)
        if watched and alone:
            title = f"{workload}: rate while it is looked at over HTTP"
            yield Finding(title, aims.TIMES, ratios(watched, alone), at_least=aims.LOOKED_AT)
    for server, limit in ((ours, aims.JOB_BYTES_MAX), (default, None), (best, None)):
        if filled := books.of(SUBMIT.name, server):
            grown = [(m.resident_bytes - m.resident_before_bytes) / m.jobs for m in filled]
            title = f"memory for a queued job of 100 bytes, {server}"
            yield Finding(title, aims.BYTES, grown, at_most=limit)
    for server, limit in ((ours, aims.PAUSE_MS_MAX), (best, None)):
        longest = [m.latency.max_s * 1000 for m in books.of(_MILLION_SUBMIT, server) if m.latency]
        if longest:
            title = f"{_MILLION_SUBMIT}: the slowest receipt, {server}"
            yield Finding(title, aims.MILLISECONDS, longest, at_most=limit)


def medians(measurements: Sequence[Measurement]) -> dict[tuple[str, str], float]:
    """The median rate for each workload and server."""
    rates: dict[tuple[str, str], list[float]] = {}
    for m in measurements:
        rates.setdefault((m.workload, m.server), []).append(m.jobs_per_s)
    return {key: median(values) for key, values in rates.items()}
