"""One heap of everything that must happen at a time: due times, deadlines, patience."""

import heapq
import math
from collections.abc import Callable
from typing import Any, Final, final

_AT_ONCE: Final = 2000  # timers that ring in one go: some 10 ms
_FEW: Final = 64  # below this many, cancelled timers are not worth a clean-up


@final
class Timer:
    """A promise to call ``ring(subject)`` once the time is ``due_s``."""

    __slots__ = ("due_s", "ring", "subject")

    def __init__(self, due_s: float, ring: Callable[[Any], None], subject: object) -> None:
        self.due_s = due_s
        self.ring: Callable[[Any], None] | None = ring  # None once it rang or was cancelled
        self.subject: object = subject


@final
class Timers:
    """A heap with cancelling.

    A cancelled timer stays in the heap until its time or until half of the heap is cancelled:
    then the heap is rebuilt.  So a long deadline on many short jobs costs no memory, and each
    operation stays logarithmic on average.
    """

    __slots__ = ("_cancelled", "_count", "_heap", "now_s")

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s  # the time as it was last told
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0  # orders timers of one instant as they were set
        self._cancelled = 0

    def __len__(self) -> int:
        """How many timers are set and not cancelled."""
        return len(self._heap) - self._cancelled

    def set(self, due_s: float, ring: Callable[[Any], None], subject: object) -> Timer:
        """Asks for ``ring(subject)`` once ``due_s`` has come."""
        timer = Timer(due_s, ring, subject)
        self._count += 1
        heapq.heappush(self._heap, (due_s, self._count, timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Takes it back.  Nothing happens if it rang already."""
        if timer.ring is None:
            return
        timer.ring = timer.subject = None
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].ring is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due_s(self) -> float:
        """When something will happen next; infinity when there is nothing to wait for."""
        heap = self._heap
        while heap and heap[0][2].ring is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else math.inf

    def ring_due(self, now_s: float) -> float:
        """Time has passed: rings everything whose time has come, in order; returns when the next
        is due.

        Where very much is due at one moment, such as midnight, it rings a part of it and returns
        that moment: others must not wait for all of it.
        """
        self.now_s = now_s
        for _ in range(_AT_ONCE):
            due_s = self.next_due_s()
            if due_s > now_s:
                return due_s
            timer = heapq.heappop(self._heap)[2]
            ring, subject = timer.ring, timer.subject
            assert ring is not None, "next_due_s removes cancelled timers from the top"
            timer.ring = timer.subject = None
            ring(subject)
        return self.next_due_s()
