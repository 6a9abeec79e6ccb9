"""Group commit: one commit in flight, in a thread; the next batch grows meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, final

from gearpy.broker.broker import Broker
from gearpy.broker.gate import Work
from gearpy.stores.base import Store

logger = logging.getLogger("gearpy.server")

_COMPANY_S: Final = 0.005  # what nobody waits for is written with what comes within this time
_FETCH_BYTES_MAX: Final = 8 << 20  # of payloads that are read back at a time
_SCARCE: Final = 17 / 16  # times the reserve: what is above it is hardly worth the trouble
_AMPLE: Final = 5 / 4  # times the reserve: then there is room again
_LOOK_S: Final = 1.0  # between looks at a disk that is nearly full, where no commit has one


class Done(NamedTuple):
    """What the thread found out."""

    payloads: dict[int, bytes]
    free_bytes: int | None


@final
class Committer:
    """Has the store do the gate's work, and opens the gate when it is done.

    ``opened`` is called after that, in the event loop: it schedules the turn that sends what
    waited.  ``failed`` is called with the exception of work that failed; nothing is committed
    after it, so no receipt leaves that is not true.

    A commit that nobody waits for (jobs were given out, or ended) takes its time, and what comes
    meanwhile along: most jobs end before it is known on the disk that they had begun.  With
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
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "committer")
        self._doing: asyncio.Future[Done] | None = None
        self._over = False  # something failed, or there is nothing more to come
        self._pause: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Starts if there is something to do and nothing under way."""
        if self._doing is not None or self._over or not self._gate.pending:
            return
        if self._gate.urgent:
            self._start()
        elif self._pause is None:
            self._pause = self._loop.call_later(self._patience_s, self._start)

    def _start(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        work = self._gate.take_work() if self._doing is None else None
        if work is not None:
            self._doing = self._loop.run_in_executor(self._thread, self._do, work)
            self._doing.add_done_callback(lambda doing: self._finished(doing, work))

    def check_room(self) -> None:
        """Looks whether the disk is full before the first job comes."""
        self._note_room(self._store.free_bytes())

    def _do(self, work: Work) -> Done:
        if work.batch is not None:
            self._store.commit(work.batch)
        payloads = self._store.payloads(work.wanted, _FETCH_BYTES_MAX) if work.wanted else {}
        return Done(payloads, self._store.free_bytes())

    def _finished(self, doing: "asyncio.Future[Done]", work: Work) -> None:
        if not self._succeeded(doing):
            return
        self._doing = None
        done = doing.result()
        self._opened()  # first, as it tells the engine the time
        self._gate.open(work.ticket)
        if work.wanted:
            self._broker.engine.restock(work.wanted, done.payloads)
        self._note_room(done.free_bytes)

    def _succeeded(self, doing: "asyncio.Future[Any]") -> bool:
        """Whether the thread did what it had to; says so if it failed."""
        if doing.cancelled():
            return False
        error = doing.exception()
        if error is not None:
            self._over = True
            self._failed(error)
        return error is None

    def _look_again(self) -> None:
        self._look = None
        if self._doing is None and not self._over:  # else it is looked at behind the commit
            looking = self._loop.run_in_executor(self._thread, self._store.free_bytes)
            looking.add_done_callback(self._looked)

    def _looked(self, looking: "asyncio.Future[int | None]") -> None:
        if self._succeeded(looking):
            self._note_room(looking.result())

    def _note_room(self, free_bytes: int | None) -> None:
        engine = self._broker.engine
        if free_bytes is not None:
            self._gate.set_room(max(0, free_bytes - self._reserve_bytes))
            self._compare_room(free_bytes)
        tight = self._gate.room_bytes < 2 * self._broker.limits.payload_bytes_max
        if (engine.journal_full or tight) and self._look is None and not self._over:
            self._look = self._loop.call_later(_LOOK_S, self._look_again)

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
            if self._doing is None:
                break
            await asyncio.wait([self._doing])
            await asyncio.sleep(0)  # its callback comes first

    async def close(self) -> None:
        """Does what is left, unless something failed.  What comes later is not written."""
        await self.settle()
        self._over = True
        for timer in (self._pause, self._look):
            if timer is not None:
                timer.cancel()
        self._thread.shutdown()
