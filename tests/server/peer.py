"""A connection to a real server that says and hears raw packets."""

import socket
from types import TracebackType
from typing import Final

from gearpy.protocol import codec
from gearpy.protocol.packets import ECHO_REQ, ECHO_RES, PACKETS, RES, TEXT
from gearpy.protocol.parser import Packet, PacketParser

WAIT_S: Final = 30.0


class RawPeer:
    """Blocking, with a generous limit on every wait."""

    def __init__(self, address: tuple[str, int] | str, receive_buffer_bytes: int = 0) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.sock = socket.socket(family)
        if receive_buffer_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(address)
        self._parser = PacketParser(RES, payload_bytes_max=2**32 - 1, line_bytes_max=1 << 20)
        self._packets: list[Packet] = []

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def send(self, number: int, *fields: bytes) -> None:
        self.sock.sendall(codec.request(number, *fields))

    def send_text(self, line: bytes) -> None:
        self.sock.sendall(line)

    def receive(self) -> tuple[int, list[bytes]]:
        """The next packet; raises EOFError at the end of the stream."""
        while not self._packets:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            self._packets += self._parser.feed(data)
        number, body = self._packets.pop(0)
        return (TEXT, [body]) if number == TEXT else (number, codec.split(number, body))

    def expect(self, number: int) -> list[bytes]:
        """The fields of the next packet, which is of this type."""
        found, fields = self.receive()
        name = PACKETS[found].name if found in PACKETS else "TEXT"
        assert found == number, (name, fields)
        return fields

    def line(self) -> bytes:
        """The next text line."""
        return self.expect(TEXT)[0]

    def report(self) -> list[bytes]:
        """The lines of a text report, without its dot."""
        lines = []
        while (line := self.line()) != b".":
            lines.append(line)
        return lines

    def closed(self) -> bool:
        """Whether the server closes the connection, having sent nothing more."""
        try:
            packet = self.receive()
        except (EOFError, ConnectionResetError):
            return True
        raise AssertionError(f"the server sent {packet}")

    def round_trip(self) -> None:
        """Everything sent before has been handled by the server."""
        self.send(ECHO_REQ, b"round trip")
        assert self.expect(ECHO_RES) == [b"round trip"]
