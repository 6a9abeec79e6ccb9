"""What an operation costs as something grows: it should cost the same at both ends.

Each curve has points; each point is measured on the same server, after those before it, and in each
round all servers are started afresh.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import Final

from rich import box
from rich.table import Table

from bench import aims
from bench.aims import Finding
from bench.books import Books
from bench.race import Measurement, line, measure
from bench.scene import Scene, do_some, drain, fill, known, run_aside, unfinished, uuid
from bench.servers import CROWDED, CROWDED_RIVALS, present
from bench.workloads import foreground, many_functions
from gearpy.protocol import packets as p

_JOBS: Final = 20_000  # for a point
_SUBMITTED: Final = (b"bench-curve-submit",)
_GRABBED: Final = (b"bench-curve-grab",)
_COALESCED: Final = (b"bench-coalesced",)
_SAME_UNIQUE: Final = b"the one that is queued".ljust(len(uuid()))

# gearmand as Debian starts it takes minutes to fill its 991 buckets.
CONTESTANTS: Final = (CROWDED, CROWDED_RIVALS[1])


@dataclass(frozen=True, slots=True)
class Curve:
    """One operation, and what grows meanwhile."""

    name: str
    title: str
    grows: str  # what the points count
    points: Sequence[int]
    set_scene: Callable[[int, int, int], Scene]  # server's port, point, jobs
    laps: bool = False  # a short queue must stay short: no more jobs at a time than it is long
    in_percent: bool = False  # the points don't shrink with a smaller scale

    def at(self, point: int) -> str:
        """As the measurements call it."""
        return f"{self.name} {point:,}"


def _submit_behind(port: int, queued: int, jobs: int) -> Scene:
    _bring_to(port, _SUBMITTED, queued)
    return fill(port, jobs, _SUBMITTED)


def _grab_before(port: int, queued: int, jobs: int) -> Scene:
    _bring_to(port, _GRABBED, queued + jobs)
    return do_some(port, jobs, _GRABBED)


def _bring_to(port: int, functions: Sequence[bytes], queued: int) -> None:
    """So many jobs are queued, with the clock stopped."""
    there = unfinished(port, functions)
    if there < queued:
        run_aside(fill(port, queued - there, functions))
    elif there > queued:
        run_aside(do_some(port, there - queued, functions))


def _submit_to_many(port: int, functions: int, jobs: int) -> Scene:
    """All functions are known: what a new one costs is another question."""
    names = many_functions(functions)
    if known(port, names) < functions:
        run_aside(fill(port, functions, names))
    return fill(port, jobs, names)


def _drain_many(port: int, functions: int, jobs: int) -> Scene:
    return drain(port, jobs, many_functions(functions, b"bench-grabbed"))


def _beside(port: int, connections: int, jobs: int) -> Scene:
    return foreground(port, jobs, idle=connections)


def _coalesce(port: int, hits: int, jobs: int) -> Scene:
    """``hits`` of 100 submits find the job that is queued already."""
    before = unfinished(port, _COALESCED)
    if not before:
        run_aside(fill(port, 1, _COALESCED, lambda: _SAME_UNIQUE))
        before = 1
    is_hit = cycle([number % 100 < hits for number in range(0, 100 * 37, 37)])
    uniques = [_SAME_UNIQUE if next(is_hit) else uuid() for _ in range(jobs)]
    misses = sum(unique != _SAME_UNIQUE for unique in uniques)
    scene = Scene(port, jobs, _COALESCED, left_over=before + misses)
    scene.add_clients(p.SUBMIT_JOB_BG, p.JOB_CREATED, 100, iter(uniques).__next__)
    return scene


_QUEUED: Final = (1_000, 10_000, 100_000, 1_000_000)
_FUNCTIONS: Final = (1, 100, 1_000, 20_000)

CURVES: Final[Sequence[Curve]] = (
    Curve("queue-submit", "a background submit", "jobs queued", _QUEUED, _submit_behind, laps=True),
    Curve("queue-grab", "a job grabbed and done", "jobs queued", _QUEUED, _grab_before, laps=True),
    Curve(
        "functions-submit",
        "a background submit to one of many functions",
        "functions",
        _FUNCTIONS,
        _submit_to_many,
    ),
    Curve(
        "functions-grab",
        "a job grabbed and done by a worker that can do all of them",
        "functions",
        _FUNCTIONS,
        _drain_many,
    ),
    Curve(
        "connections",
        "a foreground job, beside connections that do nothing",
        "connections",
        (1, 100, 1_000, 10_000),
        _beside,
    ),
    Curve(
        "coalescing",
        "a background submit with a unique key",
        "of 100 find a queued job",
        (0, 50, 90, 100),
        _coalesce,
        in_percent=True,
    ),
)


def steps(curves: Sequence[Curve]) -> int:
    """How many measurements a round has."""
    return len(present(CONTESTANTS)) * sum(len(curve.points) for curve in curves)


def run(
    curves: Sequence[Curve], rounds: int, scale: float, tell: Callable[[str], None]
) -> list[Measurement]:
    """Measures all points in every round; ``tell`` hears a line about each of them.

    ``scale`` shortens the curves, too: a tenth of the functions, of the queue.
    Raises BenchError when a server can't be started or doesn't do the work.
    """
    measurements = []
    for number in range(1, rounds + 1):
        for measurement in _round(number, curves, scale):
            measurements.append(measurement)
            tell(f"round {number} of {rounds}: {line(measurement)}")
    return measurements


def _round(number: int, curves: Sequence[Curve], scale: float) -> Iterator[Measurement]:
    contestants = present(CONTESTANTS)[:: 1 if number % 2 else -1]
    with ExitStack() as stack:
        servers = [(each.name, stack.enter_context(each.start())) for each in contestants]
        for curve in curves:
            for point in curve.points:
                size = point if curve.in_percent else max(1, round(point * scale))
                jobs = max(1, round(_JOBS * scale))
                lap = min(jobs, size) if curve.laps else jobs
                for name, server in servers:
                    laps = [
                        measure(
                            number,
                            curve.at(point),
                            name,
                            server,
                            curve.set_scene(server.port, size, lap),
                        )
                        for _ in range(-(-jobs // lap))
                    ]
                    yield _together(laps)


def _together(laps: Sequence[Measurement]) -> Measurement:
    """Several laps as one measurement."""
    first, last = laps[0], laps[-1]
    return Measurement(
        first.round_number,
        first.workload,
        first.server,
        sum(lap.jobs for lap in laps),
        sum(lap.elapsed_s for lap in laps),
        sum(lap.server_cpu_s for lap in laps),
        sum(lap.generator_cpu_s for lap in laps),
        resident_before_bytes=first.resident_before_bytes,
        resident_bytes=last.resident_bytes,
    )


def costs_us(books: Books, curve: Curve, server: str) -> list[list[float]]:
    """For each point how long a job took, round by round."""
    return [
        [1e6 / m.jobs_per_s for m in books.of(curve.at(point), server)] for point in curve.points
    ]


def findings(curves: Sequence[Curve], measurements: Sequence[Measurement]) -> Iterator[Finding]:
    """The far end of each curve over its beginning."""
    books = Books(measurements)
    for curve in curves:
        for contestant in present(CONTESTANTS):
            first, *_, last = costs_us(books, curve, contestant.name)
            yield Finding(
                f"{curve.name}: the far end over the near one, {contestant.name}",
                aims.TIMES,
                [far / near for near, far in zip(first, last, strict=True)],
                at_most=aims.CURVE_MAX if contestant is CROWDED else None,
            )


def table(curves: Sequence[Curve], measurements: Sequence[Measurement]) -> Table:
    """One row for each curve, point and server: the medians of the rounds."""
    books = Books(measurements)
    result = Table(box=box.MARKDOWN)
    result.add_column("curve")
    result.add_column("at")
    for contestant in present(CONTESTANTS):
        result.add_column(f"{contestant.name}: us", justify="right")
        result.add_column("CPU us", justify="right")
    for curve in curves:
        for point in curve.points:
            row = []
            for contestant in present(CONTESTANTS):
                taken = books.of(curve.at(point), contestant.name)
                row.append(f"{median(1e6 / m.jobs_per_s for m in taken):.2f}")
                row.append(f"{median(m.server_cpu_us_per_job for m in taken):.2f}")
            result.add_row(curve.name, f"{point:,} {curve.grows}", *row)
    return result
