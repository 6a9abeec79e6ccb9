"""Takes snapshots of a server for its metrics."""

import asyncio
from heapq import nlargest
from operator import attrgetter
from typing import Final, final

from gearpy.engine.statistics import QueueStatistics
from gearpy.server.server import Server
from gearpy.web.lag import LoopLag
from gearpy.web.metrics import Snapshot, text

FUNCTIONS_MAX: Final = 1000  # that have numbers of their own: each has some sixty lines

_SLICE: Final = 100  # functions, before others get their turn


@final
class Meter:
    """Reads a server, a few functions at a time; the text, which takes longer, is made in a
    thread."""

    def __init__(self, server: Server, lag: LoopLag) -> None:
        self._server = server
        self._lag = lag

    async def text(self) -> bytes:
        """The server's metrics as they are now, in Prometheus's text format.

        Of more than a thousand functions those are in it that had the most jobs.
        """
        server = self._server
        functions = await self._functions()
        snapshot = Snapshot(
            server.broker.statistics(),
            functions,
            server.clock.now_s(),
            server.commits(),
            self._lag.statistics(),
        )
        return await asyncio.to_thread(text, snapshot)

    async def _functions(self) -> list[QueueStatistics]:
        engine = self._server.broker.engine
        found: list[QueueStatistics] = []
        for number, name in enumerate(list(engine.functions.names()), 1):
            function = engine.functions.get(name)
            if function is not None:
                found.append(function)
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return nlargest(FUNCTIONS_MAX, found, key=attrgetter("counters.submitted"))
