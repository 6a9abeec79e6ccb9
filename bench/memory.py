"""A very long queue: how much memory it takes, and whether it slows anybody down."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import aims
from bench.aims import Finding
from bench.race import Measurement, line, measure
from bench.scene import do_some, fill, no_unique, uuid
from bench.servers import Running, gearpy_durable, resident_bytes

LONG: Final = "a long queue"  # both stand where the race has its servers' names
SHORT: Final = "a short queue"

_FUNCTIONS: Final = (b"bench-memory",)
_SUBMITS: Final = 50_000  # at a time
_GRABS: Final = 20_000
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Depth:
    """How long the queue is to be, and how much memory that may take."""

    name: str
    jobs: int
    payload_bytes: int
    limit_mb: float


DEPTHS: Final = (
    Depth("memory", 1_000_000, 1_000, aims.MEMORY_MB_MAX),
    Depth("memory-small", 10_000_000, 100, aims.SMALL_MEMORY_MB_MAX),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at one depth."""

    jobs: int
    resident_before_bytes: int
    resident_bytes: int
    resident_after_bytes: int  # the rounds, with as many jobs queued
    measurements: list[Measurement]


def run(
    depth: Depth,
    folder: Path,
    rounds: int,
    scale: float,
    keyed: bool,
    tell: Callable[[str], None],
) -> Found:
    """Fills a server to this depth; then one round after the other: the rate of submits and of
    grabs there, beside another server whose queue is short.

    With ``keyed`` each job has a unique key of its own.  ``tell`` hears how it goes.
    Raises BenchError when a server doesn't do the work.
    """
    jobs = max(1, round(depth.jobs * scale))
    submits, grabs = max(2, round(_SUBMITS * scale)), max(1, round(_GRABS * scale))
    pair = _Pair(b"x" * depth.payload_bytes, keyed)
    contestant = gearpy_durable(folder)
    measurements = []
    with ExitStack() as stack:
        long, short = (stack.enter_context(contestant.start()) for _ in range(2))
        before_bytes = resident_bytes(long.pid)
        pair.fill_to(long, jobs, tell)
        filled_bytes = resident_bytes(long.pid)
        tell(f"{jobs:,} jobs queued: {filled_bytes / _MB:,.0f} MB resident")
        for number in range(1, rounds + 1):
            order = ((LONG, long), (SHORT, short))
            for measurement in pair.round(
                number, order[:: 1 if number % 2 else -1], submits, grabs
            ):
                measurements.append(measurement)
                tell(f"round {number} of {rounds}: {line(measurement)}")
        after_bytes = resident_bytes(long.pid)
    return Found(jobs, before_bytes, filled_bytes, after_bytes, measurements)


class _Pair:
    """What is done to both servers."""

    def __init__(self, payload: bytes, keyed: bool) -> None:
        self._payload = payload
        self._new_unique = uuid if keyed else no_unique

    def fill_to(self, server: Running, jobs: int, tell: Callable[[str], None]) -> None:
        for start in range(0, jobs, _SUBMITS):
            measured = self._submit(0, LONG, server, min(_SUBMITS, jobs - start))
            if start % (20 * _SUBMITS) == 0:
                tell(f"filling, {start:,} jobs so far: {measured.jobs_per_s:,.0f} jobs/s")

    def round(
        self, number: int, order: tuple[tuple[str, Running], ...], submits: int, grabs: int
    ) -> Iterator[Measurement]:
        for name, server in order:
            yield self._submit(number, name, server, submits)
        for name, server in order:
            if name == SHORT and submits > grabs:
                self._work(number, name, server, submits - grabs)  # the rest is what is measured
            yield self._work(number, name, server, min(submits, grabs))
        # The long queue has its length again before the next round.
        for name, server in order:
            if name == LONG and submits > grabs:
                self._work(number, name, server, submits - grabs)

    def _submit(self, number: int, name: str, server: Running, jobs: int) -> Measurement:
        scene = fill(server.port, jobs, _FUNCTIONS, self._new_unique, self._payload)
        return measure(number, "submit", name, server, scene)

    def _work(self, number: int, name: str, server: Running, jobs: int) -> Measurement:
        return measure(number, "grab", name, server, do_some(server.port, jobs, _FUNCTIONS))


def findings(depth: Depth, found: Found) -> Iterator[Finding]:
    """The aims that have to do with a long queue."""
    yield Finding(
        f"resident, {found.jobs:,} jobs of {depth.payload_bytes:,} bytes queued",
        aims.MEGABYTES,
        [found.resident_bytes / _MB],
        at_most=depth.limit_mb,
    )
    yield Finding(
        "resident, as many after the rounds", aims.MEGABYTES, [found.resident_after_bytes / _MB]
    )
    yield Finding("resident, nothing queued", aims.MEGABYTES, [found.resident_before_bytes / _MB])
    for work, title in (("submit", "submits"), ("grab", "grab and complete")):
        rates = {
            name: [
                m.jobs_per_s for m in found.measurements if (m.workload, m.server) == (work, name)
            ]
            for name in (LONG, SHORT)
        }
        for name, each in rates.items():
            yield Finding(f"{title}, {name}", "jobs/s", each)
        yield Finding(
            f"{title}, {LONG} over {SHORT}",
            aims.TIMES,
            [deep / flat for deep, flat in zip(rates[LONG], rates[SHORT], strict=True)],
            at_least=aims.DEEP_RATE_MIN,
        )
