"""Takes snapshots of a server for its metrics."""

import asyncio
from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final, final

from gearpy.engine.statistics import QueueStatistics
from gearpy.server.server import Server
from gearpy.web.lag import LoopLag
from gearpy.web.metrics import Snapshot, text

FUNCTIONS_MAX: Final = 1000  # that have numbers of their own: each has some sixty lines

# What makes a function one of those: the first of each order, in equal parts.  Counters begin anew
# with the server, and who looks for trouble must find it in functions that nobody submits to, too.
_ORDERS: Final[Sequence[Callable[[QueueStatistics], int]]] = (
    lambda function: function.dead,
    lambda function: function.total,
    lambda function: function.counters.submitted,
)
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

        Of more than a thousand functions those are in it that have the most dead letters,
        unfinished jobs, or submits.
        """
        server = self._server
        functions = await self._functions()
        now_s = server.clock.now_s()  # the engine's is that of the last packet
        snapshot = Snapshot(
            server.broker.statistics(),
            functions,
            now_s,
            server.commits(),
            self._lag.statistics(),
            server.broker.engine.journal_full,
            server.broker.unhealthy(now_s),
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
        return told(found)


def told(
    functions: Sequence[QueueStatistics], number: int = FUNCTIONS_MAX
) -> list[QueueStatistics]:
    """Those that have numbers of their own."""
    if len(functions) <= number:
        return list(functions)
    chosen: dict[bytes, QueueStatistics] = {}
    for place, order in enumerate(_ORDERS, 1):
        for function in nlargest(number, functions, key=order):
            if len(chosen) >= number * place // len(_ORDERS):
                break
            if order(function) or place == len(_ORDERS):  # the last order fills up
                chosen[function.function] = function
    return list(chosen.values())
