"""One connection: bytes between a transport and a session, backpressure, and why it closed."""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from gearpy.broker.ports import Peer
from gearpy.broker.session import Session
from gearpy.errors import TooManyConnections
from gearpy.protocol import codec

if TYPE_CHECKING:
    from gearpy.server.connections import Connections

log = logging.getLogger("gearpy.connection")

_GOODBYE_S: Final = 10.0  # how long a closed connection may take its last bytes


class Transport(Protocol):
    """What we need of an event loop's transport; uvloop's are no ``asyncio.Transport``."""

    def get_extra_info(self, name: str) -> Any: ...
    def set_write_buffer_limits(self, high: int) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


@final
class Connection:
    """The event loop's end of a session: what asyncio calls a protocol, though it inherits none,
    so that it can be compiled.

    A peer that takes too little of what it is sent is not read from until it has taken more.  One
    that takes nothing at all for ``stall_s``, or that has more than ``output_bytes_max`` waiting,
    is closed with a line in the log.
    """

    __slots__ = (
        "_all",
        "_goodbye",
        "_heard_all",
        "_reading",
        "_session",
        "_stall",
        "_transport",
        "_writable",
    )

    def __init__(self, connections: "Connections") -> None:
        self._all = connections
        self._transport: Transport
        self._session: Session | None = None
        self._reading = True
        self._writable = True
        self._heard_all = False  # nothing more will be read, or nobody wants to
        self._stall: asyncio.TimerHandle | None = None
        self._goodbye: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        peer = _peer(transport)
        if not self._all.admit(self, peer):
            refusal = TooManyConnections()
            self._transport.write(codec.error(refusal.code, str(refusal)))
            self._transport.close()
            return
        self._transport.set_write_buffer_limits(high=self._all.broker.limits.outbox_bytes)
        self._session = self._all.broker.connect(peer, self)

    def data_received(self, data: bytes) -> None:
        session = self._session
        if session is None:
            return
        turns = self._all.turns
        turns.hear()
        session.receive(data)
        if session.closing is not None or session.choked:
            self._look()
        turns.heard(self)

    def eof_received(self) -> bool:
        # The peer may have closed its sending half only: it still gets its answers.
        if self._session is not None:
            self._all.turns.begin()
            self._session.closing = self._session.closing or "the peer is done"
            self._heard_all = True
            self._look()
        return self._session is not None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._stall, self._goodbye):
            if timer is not None:
                timer.cancel()
        session, self._session = self._session, None
        if session is None:
            return
        reason = session.closing or (str(exc) if exc else "the peer closed it")
        log.debug("%s: connection closed: %s", session.peer.name, reason)
        self._all.turns.begin()
        try:
            session.lost()
        finally:
            self._all.gone(self)

    def pause_writing(self) -> None:
        self._writable = False
        self._watch_stall()
        self._look()

    def resume_writing(self) -> None:
        self._writable = True
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self.flush()

    def flush(self) -> None:
        """Writes what the outbox has to say, unless the peer has enough to take already."""
        try:
            self._flush()
        except Exception:
            # Out of memory, most likely.  That ends this connection, and no other's turn.
            log.exception("sending to a peer failed; its connection is closed")
            self.abort()

    def _flush(self) -> None:
        session = self._session
        if session is None:
            return
        outbox = session.outbox
        if outbox.size_bytes > self._all.output_bytes_max:
            self._abort(f"more than {self._all.output_bytes_max:,} bytes wait for it")
            return
        if self._writable:
            data = outbox.take()
            if data:
                self._transport.write(data)
        else:
            outbox.leave()
        choked = session.choked
        if choked and self._writable:
            self._all.turns.begin()
            session.resume()
        if choked or session.closing is not None or not self._reading:
            self._look()

    def close(self) -> None:
        """Sends what there is to send, and closes."""
        if self._session is not None:
            self._session.closing = self._session.closing or "the server stops"
            self._heard_all = True
            self._look()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def _look(self) -> None:
        """Reads from the peer, stops reading, or closes, as the session stands now."""
        session = self._session
        if session is None:
            return
        if session.closing is not None and not session.choked:
            if session.outbox.empty:
                self._say_goodbye()
            return
        self._read(self._writable and not session.choked)

    def _say_goodbye(self) -> None:
        """Closes.

        What the peer still sends is read and dropped until it has heard our end: a close with
        unread input would reset the connection, and the peer might lose our last words.
        """
        if self._goodbye is None:
            self._goodbye = asyncio.get_running_loop().call_later(
                _GOODBYE_S, self._abort, "it neither took its last bytes nor hung up"
            )
            if not self._heard_all:
                self._read(True)
                try:
                    self._transport.write_eof()
                except OSError:  # it is gone already
                    self.abort()
        if self._heard_all:
            self._transport.close()

    def _read(self, wanted: bool) -> None:
        if wanted is self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _watch_stall(self) -> None:
        left_bytes = self._transport.get_write_buffer_size()
        self._stall = asyncio.get_running_loop().call_later(
            self._all.stall_s, self._check_stall, left_bytes
        )

    def _check_stall(self, left_bytes: int) -> None:
        if self._transport.get_write_buffer_size() < left_bytes:
            self._watch_stall()
        else:
            self._abort(f"it took nothing of what it was sent for {self._all.stall_s:g} s")

    def _abort(self, reason: str) -> None:
        session = self._session
        if session is not None:
            log.warning("%s: connection closed: %s", session.peer.name, reason)
            session.closing = reason
            session.outbox.close()
            self._transport.abort()


def _peer(transport: Transport) -> Peer:
    sock: Any = transport.get_extra_info("socket")
    fd = sock.fileno()
    address = transport.get_extra_info("peername")
    if sock.family == socket.AF_UNIX:
        return Peer(fd, "unix", f"unix#{fd}")
    if not address:  # it hung up before we looked
        return Peer(fd, "unknown", f"unknown#{fd}")
    host, port = address[:2]
    return Peer(fd, host, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
