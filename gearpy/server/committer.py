"""Group commit: one commit in flight, in a thread; the next batch grows meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Final, NamedTuple, final

from gearpy.broker.broker import Broker
from gearpy.broker.gate import Work
from gearpy.engine.statistics import Histogram, HistogramStatistics
from gearpy.server.clock import Clock
from gearpy.stores.base import Store

logger = logging.getLogger("gearpy.server")

_COMPANY_S: Final = 0.02  # what nobody waits for is written with what comes within this time
_FETCH_BYTES_MAX: Final = 8 << 20  # of payloads that are read back at a time
_SCARCE: Final = 17 / 16  # times the reserve: what is above it is hardly worth the trouble
_AMPLE: Final = 5 / 4  # times the reserve: then there is room again
_LOOK_S: Final = 1.0  # between looks at a disk that is nearly full, where no commit has one
_GLANCE_S: Final = 0.05  # between looks at a disk that has room, however many commits there are


class Done(NamedTuple):
    """What the thread found out; ``error`` says why it did not get that far."""

    payloads: dict[int, bytes]
    free_bytes: int | None  # None: it did not look, or nobody knows
    commit_s: float | None = None  # how long that took; None: there was nothing to commit
    error: BaseException | None = None


_Order = Callable[[], Done]
_Then = Callable[[Done], None]


@final
class Committer:
    """Has the store do the gate's work, and opens the gate when it is done.

    ``opened`` is called after that, in the event loop: it schedules the turn that sends what
    waited.  ``failed`` is called with the exception of work that failed; nothing is committed
    after it, so no receipt leaves that is not true.

    A commit that nobody waits for (jobs were given out, or ended) takes its time, and what comes
    meanwhile along: most jobs end before it is on the disk that they had begun.  With
    ``interval_s`` nobody ever waits, and it takes that time.

    When less than ``reserve_bytes`` of the disk are free, the engine takes no new jobs that would
    have to be journalled, until there are a quarter more: what is left is for jobs that finish.
    The gate is told how much there is beside the reserve, so that no burst that comes during one
    commit is too much for the next.  While that is little, it looks again and again, as there may
    be nothing to commit after which it would.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        opened: Callable[[], None],
        failed: Callable[[BaseException], None],
        clock: Clock,
        interval_s: float = 0.0,
        reserve_bytes: int = 0,
    ) -> None:
        self._store = store
        self._broker = broker
        self._gate = broker.gate
        self._opened = opened
        self._failed = failed
        self._patience_s = interval_s or _COMPANY_S
        self._reserve_bytes = reserve_bytes
        self._now_s = clock.now_s
        self._commits = Histogram()
        self._loop = asyncio.get_running_loop()
        # The thread's only queue; an executor's futures would cost a third of a small commit.
        self._orders: SimpleQueue[tuple[_Order, _Then] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()
        self._busy = False  # the thread has work of the gate
        self._done = asyncio.Event()  # it has done it
        self._over = False  # something failed, or there is nothing more to come
        self._pause: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._glanced: asyncio.TimerHandle | None = None  # room was seen, and counts until it rings

    def statistics(self) -> HistogramStatistics:
        """How long commits took, what they wait for the disk included."""
        return self._commits.snapshot()

    def wake(self) -> None:
        """Starts if there is something to do and nothing under way."""
        if self._busy or self._over or not self._gate.pending:
            return
        if self._gate.urgent:
            self._start()
        elif self._pause is None:
            self._pause = self._loop.call_later(self._patience_s, self._start)

    def _start(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        work = None if self._busy or self._over else self._gate.take_work()
        if work is not None:
            self._busy = True
            self._done.clear()
            looks = self._glanced is None
            self._orders.put((partial(self._do, work, looks), partial(self._finished, work)))

    def check_room(self) -> None:
        """Looks whether the disk is full before the first job comes."""
        self._note_room(self._store.free_bytes())

    # ---- in the thread

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            do, then = order
            try:
                done = do()
            except BaseException as error:
                done = Done({}, None, error=error)
            self._loop.call_soon_threadsafe(then, done)

    def _do(self, work: Work, looks: bool) -> Done:
        commit_s = None
        if work.batch is not None:
            began_s = self._now_s()
            self._store.commit(work.batch)
            commit_s = self._now_s() - began_s
        payloads = self._store.payloads(work.wanted, _FETCH_BYTES_MAX) if work.wanted else {}
        return Done(payloads, self._store.free_bytes() if looks else None, commit_s)

    def _see_room(self) -> Done:
        return Done({}, self._store.free_bytes())

    # ---- in the event loop again

    def _finished(self, work: Work, done: Done) -> None:
        self._busy = False
        self._done.set()
        if not self._succeeded(done):
            return
        if done.commit_s is not None:
            self._commits.add(done.commit_s)
        self._opened()  # first, as it tells the engine the time
        self._gate.open(work.ticket)
        if work.wanted:
            self._broker.engine.restock(work.wanted, done.payloads)
        self._note_room(done.free_bytes)

    def _succeeded(self, done: Done) -> bool:
        """Whether the thread did what it had to; says so if it failed."""
        if done.error is not None:
            self._over = True
            self._failed(done.error)
        return done.error is None

    def _look_again(self) -> None:
        self._look = None
        if not self._busy and not self._over:  # else it is looked at behind the commit
            self._orders.put((self._see_room, self._looked))

    def _looked(self, done: Done) -> None:
        if self._succeeded(done):
            self._note_room(done.free_bytes)

    def _glance_again(self) -> None:
        self._glanced = None

    def _note_room(self, free_bytes: int | None) -> None:
        engine = self._broker.engine
        if free_bytes is not None:
            self._gate.set_room(max(0, free_bytes - self._reserve_bytes))
            self._compare_room(free_bytes)
        tight = self._gate.room_bytes < 2 * self._broker.limits.payload_bytes_max
        if self._over:
            return
        if engine.journal_full or tight:
            if self._look is None:
                self._look = self._loop.call_later(_LOOK_S, self._look_again)
        elif self._glanced is None:
            self._glanced = self._loop.call_later(_GLANCE_S, self._glance_again)

    def _compare_room(self, free_bytes: int) -> None:
        engine = self._broker.engine
        if not engine.journal_full and free_bytes < self._reserve_bytes * _SCARCE:
            engine.journal_full = True
            logger.error(
                "the disk of the journal has %s bytes left: background jobs are refused until it"
                " has %s; what runs may finish",
                f"{free_bytes:,}",
                f"{self._reserve_bytes * _AMPLE:,.0f}",
            )
        elif engine.journal_full and free_bytes >= self._reserve_bytes * _AMPLE:
            engine.journal_full = False
            logger.warning("the disk of the journal has room again: background jobs are taken")

    async def settle(self) -> None:
        """Returns once there is nothing left to do, or something failed."""
        while not self._over:
            self._start()
            if not self._busy:
                break
            await self._done.wait()

    async def close(self) -> None:
        """Does what is left, unless something failed.  What comes later is not written."""
        await self.settle()
        self._over = True
        for timer in (self._pause, self._look, self._glanced):
            if timer is not None:
                timer.cancel()

    def end(self) -> None:
        """Waits for the end of the thread; nothing uses the store any more."""
        self._over = True
        self._orders.put(None)
        self._thread.join()
