"""The server's end of one connection."""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, final

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.protocol.packets import HEADER_BYTES
from gearpy.protocol.parser import Packet
from gearpy.testing.simulation.network import Connection

if TYPE_CHECKING:
    from gearpy.testing.simulation.machine import Machine

Piece = tuple[bytes, Packet | None]


@final
class Link:
    """Bytes between a connection and a session.

    What arrives is given to the session as it came, but cut behind each packet, so that the
    witness can say what every single one of them changed.
    """

    def __init__(self, machine: "Machine", broker: Broker, connection: Connection) -> None:
        self._machine = machine
        self._connection = connection
        self._session = broker.connect(Peer(0, "sim", connection.name), self)
        self._seat = machine.witness.seat(
            connection.name, self._session, lambda: connection.down.full
        )
        self._framing = Framing()
        self._unread: deque[Piece] = deque()  # what came while the peer took too little
        self._waits: Packet | None = None  # in the session, for the same reason
        self._open = True

    def received(self, data: bytes) -> None:
        """Bytes arrived from the peer."""
        if not self._open:
            return
        self._machine.begin()
        self._unread.extend(self._framing.cut(data))
        self._read()

    def _read(self) -> None:
        session = self._session
        while self._unread and not session.choked and session.closing is None:
            piece, packet = self._unread.popleft()
            self._hear(piece, packet)
        if session.choked and session.closing is None:
            self._press_on()
        if session.closing is not None:
            self._close_if_done()

    def _hear(self, piece: bytes, packet: Packet | None) -> None:
        if packet is None:
            self._session.receive(piece)
        else:
            act = partial(self._session.receive, piece)
            self._machine.witness.hear(self._seat, *packet, act)

    def _press_on(self) -> None:
        """The session takes nothing more for now: one packet waits in it, the others in here."""
        while self._unread and self._waits is None:
            piece, self._waits = self._unread.popleft()
            self._session.receive(piece)

    def flush(self) -> None:
        """There is something in the outbox: it is written, unless the peer has enough to take."""
        if not self._open:
            return
        if self._connection.down.full:
            self._session.outbox.leave()
            return
        data = self._session.outbox.take()
        if data:
            self._machine.witness.says(self._seat, data)
            self._connection.down.write(data)
        if self._waits is not None or self._unread:
            self._machine.begin()
            self._resume()
            self._read()
        if self._session.closing is not None:
            self._close_if_done()

    def _resume(self) -> None:
        packet, self._waits = self._waits, None
        if packet is not None:
            self._machine.witness.hear(self._seat, *packet, self._session.resume)

    def writable(self) -> None:
        """The peer has taken what it was sent."""
        if self._open:
            self._machine.begin()
            self.flush()

    def lost(self) -> None:
        """The connection is gone."""
        if not self._open:
            return
        self._open = False
        self._machine.begin()
        self._machine.witness.loses(self._seat, self._session.lost)
        self._machine.forget(self)

    def die(self) -> None:
        """The server is gone, and hears nothing any more."""
        self._open = False

    def _close_if_done(self) -> None:
        if self._session.outbox.empty:
            self._machine.network.refuse(self._connection)
            self.lost()


@final
class Framing:
    """Where packets end in a stream of bytes."""

    def __init__(self) -> None:
        self._packet = bytearray()  # as much of it as there is
        self._size = HEADER_BYTES  # of it, as far as that is known

    def cut(self, data: bytes) -> list[Piece]:
        """The same bytes in pieces that end where packets do, with the packets that they end."""
        pieces: list[Piece] = []
        while data:
            piece = data[: self._size - len(self._packet)]
            data = data[len(piece) :]
            self._packet += piece
            if len(self._packet) == HEADER_BYTES:
                self._size = HEADER_BYTES + int.from_bytes(self._packet[8:], "big")
            if len(self._packet) < self._size:
                pieces.append((piece, None))
                continue
            packet = bytes(self._packet)
            number = int.from_bytes(packet[4:8], "big")
            pieces.append((piece, (number, packet[HEADER_BYTES:])))
            self._packet.clear()
            self._size = HEADER_BYTES
        return pieces
