"""How long answers took, and what to say of many of them."""

from dataclasses import dataclass
from typing import Final, final

MEDIAN: Final = 0.50
TAIL: Final = 0.99


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What half of the answers needed at most, and what 99 of 100 needed."""

    p50_s: float
    p99_s: float


@final
class Latencies:
    """Every single answer of a measurement; those that one read brought share an entry."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int]] = []

    def add(self, elapsed_s: float, count: int = 1) -> None:
        """``count`` answers took this long."""
        self._entries.append((elapsed_s, count))

    @property
    def count(self) -> int:
        """How many answers there were."""
        return sum(count for _, count in self._entries)

    def percentile_s(self, share: float) -> float:
        """The shortest time within which this share of the answers had come, 0 < share <= 1.

        Raises ValueError when there was no answer.
        """
        rank = share * self.count
        seen = 0
        for elapsed_s, count in sorted(self._entries):
            seen += count
            if seen >= rank:
                return elapsed_s
        raise ValueError("nothing was measured")

    def total_s(self) -> float:
        """All answers together, as if each had come after the one before."""
        return sum(elapsed_s * count for elapsed_s, count in self._entries)

    def percentiles(self) -> Percentiles:
        """Raises ValueError when there was no answer."""
        return Percentiles(self.percentile_s(MEDIAN), self.percentile_s(TAIL))
