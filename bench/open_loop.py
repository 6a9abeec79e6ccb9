"""Latency at a steady rate: clients submit when it is time, whatever became of earlier jobs.

A client that waits for an answer before it submits again is slowed down by a slow server, and does
not see how long others would have had to wait.  Here each job has its time, and its latency counts
from then.  How much is asked of a server is a share of what it reached itself, just before, when
all it had to do was to be fast.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench import aims
from bench.aims import Finding
from bench.books import Books
from bench.race import Measurement, line, measure
from bench.scene import Stage
from bench.servers import (
    GEARMAND_AT_ITS_BEST,
    GEARMAND_IN_MEMORY,
    GEARPY,
    Contestant,
    present,
)
from bench.workloads import FOREGROUND, SUBMIT, Workload, foreground, receipts

SHARES: Final = (0.25, 0.50, 0.75)
_HALF: Final = 0.50
_LASTS_S: Final = 3.0  # each load


@dataclass(frozen=True, slots=True)
class Load:
    """What is submitted, and the workload that says how much of it a server can take."""

    name: str
    title: str
    peak: Workload
    set_scene: Callable[[int, int, float], Stage]  # port, jobs, rate per second

    def at(self, share: float) -> str:
        """As the tables call it."""
        return f"{self.name}-{share * 100:.0f}"


def _results(port: int, jobs: int, rate_per_s: float) -> Stage:
    return foreground(port, jobs, rate_per_s=rate_per_s)


RECEIPTS: Final = Load("receipts", "background submits, without workers", SUBMIT, receipts)
RESULTS: Final = Load("results", "foreground jobs, done by 4 workers", FOREGROUND, _results)
LOADS: Final = (RECEIPTS, RESULTS)
CONTESTANTS: Final = (GEARPY, GEARMAND_IN_MEMORY, GEARMAND_AT_ITS_BEST)


def titles() -> Iterator[str]:
    """What the loads are, for people."""
    for load in LOADS:
        yield (
            f"{load.at(SHARES[0])}: {load.title}, each at its time, at {SHARES[0]:.0%} of the rate"
            f" that the same server had just reached in {load.peak.name}"
        )


def steps() -> int:
    """How many measurements a round has."""
    return len(present(CONTESTANTS)) * len(LOADS) * (1 + len(SHARES))


def run(rounds: int, scale: float, tell: Callable[[str], None]) -> list[Measurement]:
    """All loads on all servers in every round; ``tell`` hears a line about each measurement.

    Raises BenchError when a server can't be started or doesn't do the work.
    """
    measurements = []
    for number in range(1, rounds + 1):
        for contestant in present(CONTESTANTS)[:: 1 if number % 2 else -1]:
            for measurement in _round(number, contestant, scale):
                measurements.append(measurement)
                tell(f"round {number} of {rounds}: {line(measurement)}")
    return measurements


def _round(number: int, contestant: Contestant, scale: float) -> Iterator[Measurement]:
    for load in LOADS:
        with contestant.start() as server:
            jobs = max(1, round(load.peak.jobs * scale))
            scene = load.peak.set_scene(server.port, jobs)
            fastest = measure(number, load.peak.name, contestant.name, server, scene)
            yield fastest
        for share in SHARES:
            rate_per_s = share * fastest.jobs_per_s
            jobs = max(1, round(rate_per_s * _LASTS_S * scale))
            with contestant.start() as server:  # a new one, whose queue is empty
                scene = load.set_scene(server.port, jobs, rate_per_s)
                yield measure(number, load.at(share), contestant.name, server, scene)


def findings(measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """What the measurements say of the aim at half load."""
    books = Books(measurements)
    half = RECEIPTS.at(_HALF)
    for contestant in CONTESTANTS:
        _, tails_ms = books.latencies_ms(half, contestant.name)
        if tails_ms:
            limit = aims.HALF_LOAD_P99_MS_MAX if contestant is GEARPY else None
            title = f"{half}: p99, {contestant.name}"
            yield Finding(title, aims.MILLISECONDS, tails_ms, at_most=limit)
