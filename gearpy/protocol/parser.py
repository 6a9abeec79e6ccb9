"""A byte stream cut into packets.

``PacketParser`` knows the header and the limits, and nobody else: it holds no connection and
calls no handler.  Bytes in, a list of ``(number, body)`` out.
"""

import struct
from collections.abc import Set
from typing import Final

from gearpy.errors import BadMagic, LineTooLong, PayloadTooLarge, RemoteProtocolError
from gearpy.protocol.packets import HEADER_BYTES, REQ, RES, SKIPPED, TEXT, WRONG_MAGIC

Packet = tuple[int, bytes]

PAYLOAD_BYTES_MAX: Final = 64 << 20  # gearmand takes 4 GiB on paper; its clients send kilobytes
LINE_BYTES_MAX: Final = 8 << 10  # as gearmand; real commands are far shorter
SKIPPED_BYTES: Final = 64  # that are told of the body of a packet which is skipped: its handle

_header: Final = struct.Struct(">III").unpack_from
_REQ: Final = int.from_bytes(REQ, "big")
_RES: Final = int.from_bytes(RES, "big")
_NEWLINE: Final = b"\n"
_UNKNOWN: Final = -100  # no type of packet, nor one of the parser's own


class PacketParser:
    """Cuts what arrives on one connection into packets and text lines.

    ``expects`` is the magic of the packets that should arrive: a server reads REQ, everybody else
    RES.  A packet of the other magic comes out as ``(WRONG_MAGIC, body)``; a line of the text
    protocol (anything that does not start with NUL) as ``(TEXT, line)`` without its line end.

    Once the stream makes no sense, ``broken`` says why; nothing comes out after that.  A body of
    more than ``payload_bytes_max`` is among that, but for the types in ``skips``: of those comes
    ``(SKIPPED, beginning)``, the header and up to ``SKIPPED_BYTES`` of the body, and the stream
    goes on behind it.

    A packet that is cut off waits in one growing buffer, so a payload costs time linear in its size
    however small the pieces are, and its announced size is checked before any of it is kept.  Once
    its header is there, no more than its own bytes are copied: what follows may be many times as
    much.
    """

    __slots__ = (
        "_expects",
        "_held",
        "_held_number",
        "_line_bytes_max",
        "_needed",
        "_payload_bytes_max",
        "_skip_bytes",
        "_skips",
        "broken",
    )

    def __init__(
        self,
        expects: bytes = REQ,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        line_bytes_max: int = LINE_BYTES_MAX,
        skips: Set[int] = frozenset(),
    ) -> None:
        self._expects = int.from_bytes(expects, "big")
        self._payload_bytes_max = payload_bytes_max
        self._line_bytes_max = line_bytes_max
        self._skips = skips
        self._skip_bytes = 0  # of what comes next
        self._held = bytearray()  # an incomplete packet
        self._held_number = _UNKNOWN  # its type, once its header is there
        self._needed = 0  # bytes to hold before another look is worth while
        self.broken: RemoteProtocolError | None = None

    @property
    def held_bytes(self) -> int:
        """How much of an incomplete packet is kept."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Packet]:
        """Takes the bytes that arrived, returns the packets that are complete by now."""
        if self.broken is not None:
            return []
        packets: list[Packet] = []
        start = 0
        if self._skip_bytes:
            start = min(self._skip_bytes, len(data))
            self._skip_bytes -= start
        elif self._held:
            missing = self._needed - len(self._held)
            if len(data) < missing:
                self._held += data
                return packets
            if self._held_number == _UNKNOWN:
                data = bytes(self._held) + data
            else:
                self._held += memoryview(data)[:missing]
                packets.append((self._held_number, bytes(memoryview(self._held)[HEADER_BYTES:])))
                start = missing
            self._held = bytearray()
            self._held_number = _UNKNOWN
        expects, limit = self._expects, self._payload_bytes_max
        size = len(data)
        while start < size:
            if data[start]:
                stop = self._line_end(data, start, size)
                if not stop:
                    break
                line = data[start : stop - 1]
                packets.append((TEXT, line[:-1] if line.endswith(b"\r") else line))
                start = stop
                continue
            body = start + HEADER_BYTES
            if body > size:
                self._keep(data, start, HEADER_BYTES)
                break
            header: tuple[int, int, int] = _header(data, start)
            magic, number, length = header
            if magic != expects:
                if magic != _REQ and magic != _RES:
                    found = data[start : start + 4].hex(" ")
                    self._break(BadMagic(f"a packet starts with NUL REQ or NUL RES, not {found}"))
                    break
                number = WRONG_MAGIC
            if length > limit:
                if number in self._skips:
                    stop = body + min(length, SKIPPED_BYTES)
                    if stop > size:
                        self._keep(data, start, stop - start)
                        break
                    packets.append((SKIPPED, data[start:stop]))
                    start = min(body + length, size)
                    self._skip_bytes = body + length - start
                    continue
                self._break(
                    PayloadTooLarge(
                        f"the packet announces {length:,} bytes; this server takes {limit:,}"
                    )
                )
                break
            stop = body + length
            if stop > size:
                self._keep(data, start, HEADER_BYTES + length)
                self._held_number = number
                break
            packets.append((number, data[body:stop]))
            start = stop
        return packets

    def _line_end(self, data: bytes, start: int, size: int) -> int:
        """Where the text line ends, or 0: there is not yet an end, or it is too far away."""
        stop = data.find(_NEWLINE, start, start + self._line_bytes_max) + 1
        if not stop:
            if size - start >= self._line_bytes_max:
                self._break(
                    LineTooLong(f"a text command ends within {self._line_bytes_max:,} bytes")
                )
            else:
                self._keep(data, start, size - start + 1)
        return stop

    def _keep(self, data: bytes, start: int, needed: int) -> None:
        self._held += memoryview(data)[start:]
        self._needed = needed

    def _break(self, error: RemoteProtocolError) -> None:
        self.broken = error
