"""Threads that do what they are given, one thing at a time each."""

import queue
import threading
from collections.abc import Callable
from typing import final


@final
class Threads:
    """At most ``limit`` threads, started as they are needed.  Each calls ``end`` when it ends."""

    def __init__(self, limit: int, end: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._end = end
        self._given: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def give(self, call: Callable[[], None], at_a_time: int) -> None:
        """Has something called that raises nothing, while so many go on, with this one."""
        if len(self._threads) < min(self._limit, at_a_time):
            # Daemons: one that hangs must not keep a worker that was stopped from ending.
            thread = threading.Thread(target=self._run, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._given.put(call)

    def close(self) -> None:
        """The threads end when they have done what they do."""
        for _ in self._threads:
            self._given.put(None)

    def _run(self) -> None:
        while (call := self._given.get()) is not None:
            call()
        self._end()
