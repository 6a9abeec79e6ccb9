"""Group commit: one commit in flight, in a thread; the next batch grows meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import final

from gearpy.broker.gate import CommitGate
from gearpy.stores.base import Store


@final
class Committer:
    """Takes batches from the gate to the store, and opens the gate when they are durable.

    ``opened`` is called after each commit, in the event loop: it schedules the turn that sends what
    waited.  ``failed`` is called with the exception of a commit that failed; nothing is committed
    after it, so no receipt leaves that is not true.
    """

    def __init__(
        self,
        store: Store,
        gate: CommitGate,
        opened: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._gate = gate
        self._opened = opened
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "committer")
        self._busy = False

    def wake(self) -> None:
        """Starts a commit if there is something to commit and none is under way."""
        if self._busy:
            return
        batch = self._gate.take_batch()
        if batch is None:
            return
        self._busy = True
        commit = self._loop.run_in_executor(self._thread, self._store.commit, batch.records)
        commit.add_done_callback(lambda done: self._committed(done, batch.ticket))

    def _committed(self, done: asyncio.Future[None], ticket: int) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._failed(error)
            return
        self._busy = False
        self._gate.open(ticket)
        self._opened()

    def close(self) -> None:
        """Waits for the commit under way, if any."""
        self._thread.shutdown()
