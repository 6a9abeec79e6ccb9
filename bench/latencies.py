"""How long answers took, and what to say of many of them."""

from dataclasses import dataclass
from typing import Final, final

MEDIAN: Final = 0.50
TAIL: Final = 0.99
FAR_TAIL: Final = 0.999


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What so many of the answers needed at most: half, 99 of 100, 999 of 1000, all."""

    p50_s: float
    p99_s: float
    p999_s: float
    max_s: float


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
        return self._shortest_s(share, sorted(self._entries))

    def total_s(self) -> float:
        """All answers together, as if each had come after the one before."""
        return sum(elapsed_s * count for elapsed_s, count in self._entries)

    def percentiles(self) -> Percentiles:
        """Raises ValueError when there was no answer."""
        entries = sorted(self._entries)
        shares = (MEDIAN, TAIL, FAR_TAIL, 1.0)
        return Percentiles(*(self._shortest_s(share, entries) for share in shares))

    def _shortest_s(self, share: float, entries: list[tuple[float, int]]) -> float:
        rank = share * self.count
        seen = 0
        for elapsed_s, count in entries:
            seen += count
            if seen >= rank:
                return elapsed_s
        raise ValueError("nothing was measured")
