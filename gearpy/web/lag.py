"""How late the event loop comes to what is due."""

import asyncio
from typing import Final, final

from gearpy.engine.statistics import Histogram, HistogramStatistics
from gearpy.server.clock import Clock

_EVERY_S: Final = 0.1


@final
class LoopLag:
    """Rings every tenth of a second, and counts how much later than that it was."""

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.now_s
        self._histogram = Histogram()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle
        self._due_s = 0.0
        self._set()

    def statistics(self) -> HistogramStatistics:
        """What was counted since it began."""
        return self._histogram.snapshot()

    def stop(self) -> None:
        """Counts no more."""
        self._timer.cancel()

    def _set(self) -> None:
        self._due_s = self._now_s() + _EVERY_S
        self._timer = self._loop.call_later(_EVERY_S, self._ring)

    def _ring(self) -> None:
        self._histogram.add(max(0.0, self._now_s() - self._due_s))
        self._set()
