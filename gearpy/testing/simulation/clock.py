"""Time in the simulated world: a heap of what is to happen, and jumps from event to event."""

import heapq
import math
from collections.abc import Callable
from typing import Final, final

START_S: Final = 1_800_000_000.0  # seconds since the epoch; real times have as few digits to spare


@final
class Event:
    """Something that is to happen, unless it is cancelled."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        """It is not to happen any more."""
        self.act = None


@final
class Clock:
    """Seconds since the epoch.  Nothing here waits: time is where the next event is."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.events = 0  # that have happened
        self._heap: list[tuple[float, int, Event]] = []
        self._count = 0
        self._ambush: tuple[int, Callable[[], None]] | None = None

    def at(self, due_s: float, act: Callable[[], None]) -> Event:
        """Has something happen at a time; events of one instant happen as they were asked for."""
        event = Event(act)
        self._count += 1
        heapq.heappush(self._heap, (max(due_s, self.now_s), self._count, event))
        return event

    def after(self, delay_s: float, act: Callable[[], None]) -> Event:
        """Has something happen in a while."""
        return self.at(self.now_s + delay_s, act)

    def after_events(self, count: int, act: Callable[[], None]) -> None:
        """Has something happen in between two events, so many from now.  The last call counts."""
        self._ambush = self.events + count, act

    def run(self, until_s: float = math.inf, done: Callable[[], bool] = lambda: False) -> None:
        """Lets events happen until the time has come, or it is ``done``, or nothing is left."""
        heap = self._heap
        while heap and heap[0][0] <= until_s and not done():
            due_s, _, event = heapq.heappop(heap)
            act, event.act = event.act, None
            if act is not None:
                self.now_s = due_s
                self.events += 1
                act()
                if self._ambush is not None and self._ambush[0] <= self.events:
                    ambush, self._ambush = self._ambush[1], None
                    ambush()
        if until_s < math.inf and not done():
            self.now_s = max(self.now_s, until_s)
