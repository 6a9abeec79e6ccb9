"""What gearpy is meant to reach, and whether it did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from rich import box
from rich.table import Table

TIMES: Final = "x"
MILLISECONDS: Final = "ms"
SECONDS: Final = "s"
MEGABYTES: Final = "MB"  # a million bytes
BYTES: Final = "bytes"
MICROSECONDS: Final = "us"

# Rates over gearmand's, as Debian starts it and at its best, and the server's CPU time for a job
# over that of the latter.
RACE: Final[Mapping[str, tuple[float, float, float]]] = {
    "submit": (4.0, 1.0, 1.0),
    "drain": (2.0, 1.0, 1.0),
    "foreground": (1.5, 1.0, 1.0),
    "foreground-50x50": (1.2, 1.0, 1.0),
    "foreground-1x1": (1.0, 0.9, 1.1),
    "submit-lock-step": (1.0, 0.9, 1.1),
    "sleepers": (12.0, 12.0, 1 / 12),
    "submit-16k": (1.2, 1.0, 1.0),
    "drain-16k": (1.2, 1.0, 1.0),
}
JOB_BYTES_MAX: Final = 500.0  # of memory, for a queued job with a payload of 100
LOOKED_AT: Final = 0.9  # of the rate of a server that nobody looks at over HTTP
PAUSE_MS_MAX: Final = 20.0  # the longest that a receipt takes while a million jobs are queued
HALF_LOAD_P99_MS_MAX: Final = 5.0  # of a background receipt
CURVE_MAX: Final = 1.5  # the cost at the far end of a curve over that at its beginning

# Durable work over gearmand's: with its SQLite queue, and in memory as Debian starts it.
SUBMIT_OVER_SQLITE_MIN: Final = 60.0
DRAIN_OVER_SQLITE_MIN: Final = 40.0
SUBMIT_OVER_MEMORY_MIN: Final = 1.0
DRAIN_OVER_MEMORY_MIN: Final = 1.0

DURABLE_OVER_BEST_MIN: Final = 0.4  # the same, over gearmand in memory at its best

RECEIPT_P99_MS_MAX: Final = 10.0  # with 64 in flight
RESTART_S_MAX: Final = 10.0  # with a million jobs in the journal
FOREGROUND_P99_MAX: Final = 1.5  # beside durable submits, over alone

MEMORY_MB_MAX: Final = 600.0  # a million queued jobs of 1 kB
SMALL_MEMORY_MB_MAX: Final = 6_000.0  # ten million of 100 bytes
DEEP_RATE_MIN: Final = 2 / 3  # of a submit or a grab, over a short queue


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure, once for each round, beside what it should be."""

    what: str
    unit: str
    values: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median is as it should be; None when nothing was aimed at."""
        if self.at_least is not None:
            return self.median >= self.at_least
        if self.at_most is not None:
            return self.median <= self.at_most
        return None


def table(findings: Iterable[Finding]) -> Table:
    """One row for each finding, in Markdown's own shape."""
    result = Table(box=box.MARKDOWN)
    result.add_column("what")
    for title in ("aim", "found", "lowest to highest"):
        result.add_column(title, justify="right")
    result.add_column("met?")
    for finding in findings:
        result.add_row(
            finding.what,
            _aim(finding),
            _figure(finding.median, finding.unit),
            f"{_figure(min(finding.values))} to {_figure(max(finding.values))}",
            {True: "met", False: "NOT MET", None: "-"}[finding.met],
        )
    return result


def _aim(finding: Finding) -> str:
    if finding.at_least is not None:
        return f"at least {_figure(finding.at_least, finding.unit)}"
    if finding.at_most is not None:
        return f"at most {_figure(finding.at_most, finding.unit)}"
    return "-"


def _figure(value: float, unit: str = "") -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"{number} {unit}".rstrip()
