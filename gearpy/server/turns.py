"""The turn: from bytes that arrived to bytes that leave.

What comes first in a turn advances the engine's time; handlers only fill outboxes.  At its end the
open batch goes to the committer, and every outbox that has something to say is written, one write
for each connection.

A connection that spoke only for itself, such as a worker that delivers one job and is given the
next, is a turn of its own, and is answered at once.  As soon as one spoke to others, or waits for
the disk, the turn lasts until the end of the event loop's round, and takes in every connection
that comes meanwhile: a client that is told of results by four workers hears of all in one write.
The first kind alone spared a drained job a tenth of its time.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, final

from gearpy.broker.broker import Broker
from gearpy.broker.outbox import Link
from gearpy.server.clock import Clock

_LONGEST_WAIT_S: Final = 3600.0  # event loops refuse to wait for years


@final
class Turns:
    """Schedules turns, and wakes the engine when time alone makes something happen.

    ``commit`` is called in each turn; it starts a commit if there is something to commit.
    """

    def __init__(
        self, broker: Broker, clock: Clock, commit: Callable[[], None] | None = None
    ) -> None:
        self._broker = broker
        self._now_s = clock.now_s
        self._commit = commit
        self._loop = asyncio.get_running_loop()
        # Bound once: a turn is short.
        self._call_soon: Callable[[Callable[[], None]], object] = self._loop.call_soon
        self._end_soon = self._end
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = math.inf
        self._drained: asyncio.Event | None = None

    def begin(self) -> None:
        """Something is about to happen: sets the engine's time and schedules the turn's end."""
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._end_soon)
            self._broker.advance(self._now_s())

    def hear(self) -> None:
        """Bytes of one connection are about to be handled; ``heard`` must follow."""
        if not self._scheduled:
            self._broker.advance(self._now_s())

    def heard(self, link: Link) -> None:
        """Bytes of one connection were handled: it is answered, now or at the turn's end."""
        if self._scheduled:
            return
        if self._broker.concerns_only(link):
            self._end()
        else:
            self._scheduled = True
            self._call_soon(self._end_soon)

    def _end(self) -> None:
        self._scheduled = False
        if self._commit is not None:
            self._commit()
        for link in self._broker.take_dirty():
            link.flush()
        due_s = self._broker.next_due_s()
        if due_s < self._timer_due_s:
            self._arm(due_s)
        if self._drained is not None and not self._broker.engine.running:
            self._drained.set()

    def _arm(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = min(max(0.0, due_s - self._now_s()), _LONGEST_WAIT_S)
        self._timer = self._loop.call_later(wait_s, self._ring)
        self._timer_due_s = due_s

    def _ring(self) -> None:
        self._timer = None
        self._timer_due_s = math.inf
        self.begin()

    async def drained(self) -> None:
        """Returns once no job is running.  The broker must have been told to drain."""
        self._drained = asyncio.Event()
        self.begin()
        await self._drained.wait()

    def stop(self) -> None:
        """No more wake-ups."""
        if self._timer is not None:
            self._timer.cancel()
