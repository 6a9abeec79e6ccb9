"""What a function did in the last five minutes, out of what it counts since the server's start.

Its counters only grow.  So what they were a while ago, taken from what they are now, is what
happened since.
"""

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple, final

from gearpy.engine.statistics import BOUNDS_S, CounterStatistics, HistogramStatistics

PIECES: Final = 5  # whole ones that are kept; the one that goes on comes on top

_BUCKETS: Final = len(BOUNDS_S) + 1
_SIZE: Final = 5 + 2 * _BUCKETS  # numbers of a function
# Of them come first: sums of seconds.  Alone they may shrink: where the clock was put back before
# the server started again, restored jobs have waited for less than nothing.
_SUMS: Final = 2


class Recent(NamedTuple):
    """What happened in the last minutes: jobs that ended by themselves, and how long attempts
    waited and ran."""

    completed: int
    failed: int
    dead: int
    waiting: HistogramStatistics
    running: HistogramStatistics


@final
class Recently:
    """The last minutes of one function, in pieces that ``cut`` ends.

    ``base`` is what it had counted when the piece that goes on began; ``NOTHING``, if it is new.
    """

    __slots__ = ("_next", "_pieces", "base")

    def __init__(self, base: "array[float]") -> None:
        self.base = base
        # Four bytes for a number: jobs up to 16 million a minute are counted to the last one.
        self._pieces = array("f", bytes(4 * _SIZE * PIECES))
        self._next = 0

    def cut(self, now: CounterStatistics) -> None:
        """Ends a piece, and forgets the oldest one."""
        numbers = _numbers(now)
        at = self._next * _SIZE
        self._pieces[at : at + _SIZE] = array("f", _grown(self.base, numbers))
        self._next = (self._next + 1) % PIECES
        self.base = numbers

    def until(self, now: CounterStatistics) -> Recent:
        """What happened in all pieces, and since the last one ended."""
        pieces = (self._pieces[at : at + _SIZE] for at in range(0, _SIZE * PIECES, _SIZE))
        return _recent([*map(sum, zip(_grown(self.base, _numbers(now)), *pieces, strict=True))])


def since(base: "array[float]", now: CounterStatistics) -> Recent:
    """What happened since a function had counted ``base``."""
    return _recent(_grown(base, _numbers(now)))


NOTHING: Final = array("d", bytes(8 * _SIZE))


def _numbers(counters: CounterStatistics) -> "array[float]":
    waiting, running = counters.waiting, counters.running
    ended = (counters.completed, counters.failed, counters.dead)
    return array("d", (waiting.sum_s, running.sum_s, *ended, *waiting.counts, *running.counts))


def _grown(before: Sequence[float], now: Sequence[float]) -> Sequence[float]:
    """The growth of each number.  A function that was dropped and came back counts from 0 on."""
    grown = [after - number for number, after in zip(before, now, strict=True)]
    return now if min(grown[_SUMS:]) < 0 else grown


def _recent(numbers: Sequence[float]) -> Recent:
    waiting_s, running_s = numbers[:_SUMS]
    completed, failed, dead, *counts = map(round, numbers[_SUMS:])
    return Recent(
        completed,
        failed,
        dead,
        HistogramStatistics(tuple(counts[:_BUCKETS]), waiting_s),
        HistogramStatistics(tuple(counts[_BUCKETS:]), running_s),
    )
