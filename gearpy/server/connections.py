"""All connections of a server: how many there may be, and how they end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import final

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.server.connection import Connection
from gearpy.server.turns import Turns

log = logging.getLogger("gearpy.connection")


@final
class Connections:
    """Makes a Connection for each peer, up to a limit.

    ``output_bytes_max`` and ``stall_s`` are the limits at which a peer that does not read is
    closed.
    """

    def __init__(
        self,
        broker: Broker,
        turns: Turns,
        *,
        connections_max: int,
        output_bytes_max: int,
        stall_s: float,
    ) -> None:
        self.broker = broker
        self.turns = turns
        self.output_bytes_max = output_bytes_max
        self.stall_s = stall_s
        self._connections_max = connections_max
        self._open: dict[Connection, None] = {}
        self._full = False  # said so already
        self._empty: asyncio.Event | None = None

    def accept(self) -> Connection:
        """The protocol factory of the event loop."""
        return Connection(self)

    def admit(self, connection: Connection, peer: Peer) -> bool:
        """Takes a new connection, or not: there are too many."""
        if len(self._open) >= self._connections_max:
            if not self._full:
                log.warning(
                    "%s: connection refused: there are %s already, which is the limit"
                    " (max-connections); further refusals are not logged until there is room",
                    peer.name,
                    f"{len(self._open):,}",
                )
                self._full = True
            return False
        self._full = False
        self._open[connection] = None
        return True

    def gone(self, connection: Connection) -> None:
        """A connection is closed."""
        del self._open[connection]
        if self._empty is not None and not self._open:
            self._empty.set()

    async def close(self, within_s: float, hurry: Callable[[], Awaitable[None]]) -> None:
        """Closes all.  Those that don't take their last bytes in time, or before ``hurry`` returns,
        are cut off."""
        if not self._open:
            return
        self._empty = asyncio.Event()
        for connection in list(self._open):
            connection.close()
        waits = [asyncio.ensure_future(self._empty.wait()), asyncio.ensure_future(hurry())]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        for connection in list(self._open):
            connection.abort()
        if self._open:
            await self._empty.wait()
