"""What the race found, as a table for people and as JSON for programs."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from bench.race import BUSY, Measurement, Summary, ratios
from bench.servers import GEARMAND, Contestant
from bench.workloads import Workload
from gearpy.version import version_and_form

_LIMITED = "*"


def facts() -> dict[str, str]:
    """Where the figures come from."""
    return {
        "gearpy": version_and_form(),
        "python": platform.python_version(),
        "gearmand": _gearmand_version(),
        "machine": f"{os.cpu_count()} x {_processor()}",
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def _gearmand_version() -> str:
    if GEARMAND is None:
        return "not installed"
    said = subprocess.run([GEARMAND, "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def table(
    measurements: Sequence[Measurement],
    workloads: Sequence[Workload],
    ours: Contestant,
    rivals: Sequence[Contestant],
) -> Table:
    """One row for each workload and rival, in Markdown's own shape."""
    result = Table(box=box.MARKDOWN)
    result.add_column("workload")
    result.add_column("beside")
    for title in (
        "gearpy jobs/s",
        "its jobs/s",
        "ratio",
        "lowest to highest",
        "gearpy us/job",
        "its us/job",
        "generator",
    ):
        result.add_column(title, justify="right")
    for row in _rows(measurements, workloads, ours, rivals):
        result.add_row(*row)
    return result


def _rows(
    measurements: Sequence[Measurement],
    workloads: Sequence[Workload],
    ours: Contestant,
    rivals: Sequence[Contestant],
) -> Iterator[Sequence[str]]:
    for workload in workloads:
        mine = _of(measurements, workload, ours)
        own = Summary.of(mine)
        if not rivals:
            alone = ("-", _rate(own), "-", "-", "-", _cost(own), "-", _generator(own))
            yield (workload.name, *alone)
        for rival in rivals:
            theirs = _of(measurements, workload, rival)
            if not theirs:
                continue  # it can't do this one
            its, pairs = Summary.of(theirs), ratios(mine, theirs)
            yield (
                workload.name,
                rival.name,
                _rate(own),
                _rate(its),
                f"{median(pairs):.2f}",
                f"{min(pairs):.2f} to {max(pairs):.2f}",
                _cost(own),
                _cost(its),
                f"{_generator(own)} / {_generator(its)}",
            )


def _of(
    measurements: Sequence[Measurement], workload: Workload, contestant: Contestant
) -> list[Measurement]:
    return [m for m in measurements if (m.workload, m.server) == (workload.name, contestant.name)]


def _rate(summary: Summary) -> str:
    return f"{summary.jobs_per_s:,.0f}{_LIMITED if summary.generator_was_limit else ''}"


def _cost(summary: Summary) -> str:
    return f"{summary.server_cpu_us_per_job:.1f}"


def _generator(summary: Summary) -> str:
    return f"{summary.generator_share:.0%}"


def latency_table(measurements: Sequence[Measurement]) -> Table:
    """One row for each workload and server whose answers were timed: medians of the rounds."""
    result = Table(box=box.MARKDOWN)
    result.add_column("workload")
    result.add_column("server")
    for title in ("answers a round", "p50 ms", "p99 ms", "p99.9 ms", "longest ms"):
        result.add_column(title, justify="right")
    for title in ("MB resident", "syncs/s", "submits/s beside", "generator"):
        result.add_column(title, justify="right")
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for measurement in measurements:
        if measurement.latency is not None:
            key = measurement.workload, measurement.server
            groups.setdefault(key, []).append(measurement)
    for (workload, server), rounds in groups.items():
        taken = [m.latency for m in rounds if m.latency is not None]
        syncs = [m.disk_syncs / m.elapsed_s for m in rounds if m.disk_syncs is not None]
        beside = median(m.beside_jobs / m.elapsed_s for m in rounds)
        result.add_row(
            workload,
            server,
            f"{rounds[0].jobs:,}",
            *(
                f"{median(values) * 1000:.2f}"
                for values in (
                    [each.p50_s for each in taken],
                    [each.p99_s for each in taken],
                    [each.p999_s for each in taken],
                    [each.max_s for each in taken],
                )
            ),
            f"{median(m.resident_bytes for m in rounds) / 1e6:,.0f}",
            f"{median(syncs):,.0f}" if syncs else "-",
            f"{beside:,.0f}" if beside else "-",
            f"{median(m.generator_share for m in rounds):.0%}",
        )
    return result


def footnotes(workloads: Sequence[Workload], measurements: Sequence[Measurement]) -> Iterator[str]:
    """What a reader must know beside the table."""
    for workload in workloads:
        yield f"{workload.name}: {workload.title}"
    if any(m.generator_was_limit for m in measurements):
        yield (
            f"{_LIMITED} the generator was the limit: it took more than {BUSY:.0%} of a core while"
            " the server took less, so the server is faster than this"
        )


def write_json(path: Path, where: dict[str, str], measurements: Sequence[Any]) -> None:
    """Every single measurement, and the facts of when it was taken."""
    document = {"facts": where, "measurements": [asdict(m) for m in measurements]}
    path.write_text(json.dumps(document, indent=2) + "\n")
