"""A worker that works when a test says so."""

from collections.abc import Callable
from typing import Any, final

from gearpy.worker.functions import Job
from gearpy.worker.sync import Worker


@final
class HandWorker:
    """Does all jobs that wait when ``drain`` is called, in the thread of the test.

    ``worker`` is the Worker, to ``register`` functions with, or for ``Tasks.register``.
    """

    def __init__(self, servers: str) -> None:
        self.worker = Worker(servers)
        self.register = self.worker.register
        self._done = 0
        self.worker.use(self._count)

    def drain(self) -> int:
        """Does jobs until no more wait, those that they submit included; returns how many.

        A job that fails does so for its client, as ever; jobs that are due later stay.
        """
        before = self._done
        self.worker.run(burst=True)
        return self._done - before

    def _count(self, _job: Job, call_next: Callable[[], Any]) -> Any:
        self._done += 1
        return call_next()
