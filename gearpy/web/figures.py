"""Figures out of what is counted: means, percentiles, and how much went well."""

from typing import Protocol

from gearpy.engine.statistics import BOUNDS_S, HistogramStatistics


class Ends(Protocol):
    """How many jobs ended by themselves, one way or another."""

    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def dead(self) -> int: ...


def success_ratio(ends: Ends) -> float | None:
    """Of the jobs that ended by themselves, the part that was done; None: there are none."""
    ended = ends.completed + ends.failed + ends.dead
    return ends.completed / ended if ended else None


def mean_s(found: HistogramStatistics) -> float | None:
    """The mean; None where there is nothing."""
    number = sum(found.counts)
    return found.sum_s / number if number else None


def percentile_s(found: HistogramStatistics, share: float) -> float | None:
    """The time that this share of all took at most, as near as the buckets tell; None: there are
    none.

    >>> from gearpy.engine.statistics import Histogram
    >>> histogram = Histogram()
    >>> percentile_s(histogram.snapshot(), 0.95) is None
    True
    >>> for _ in range(100):
    ...     histogram.add(0.02)
    >>> percentile_s(histogram.snapshot(), 0.5)
    0.0175
    """
    wanted = share * sum(found.counts)
    if not wanted:
        return None
    below, low_s = 0, 0.0
    for bound_s, inside in zip(BOUNDS_S, found.counts, strict=False):
        if below + inside >= wanted:
            return low_s + (bound_s - low_s) * (wanted - below) / inside
        below, low_s = below + inside, bound_s
    return low_s  # longer than the last bound: nobody knows how much
