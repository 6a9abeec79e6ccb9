"""A connection that never waits: bytes that are there, bytes that can go."""

import contextlib
import socket
import ssl
from typing import final

from gearpy.address import RECEIVE_BYTES


@final
class Stream:
    """A connected socket, with TLS or without, made non-blocking."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection

    def fileno(self) -> int:
        """For selectors; -1 once it is closed."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """What has arrived; None if that is nothing, b"" if the peer will send nothing more.

        Raises OSError if the connection broke.
        """
        try:
            data = self._socket.recv(RECEIVE_BYTES)
            # What TLS has decrypted already, no selector would tell of.
            while data and isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                data += self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        return data

    def send(self, data: memoryview) -> int:
        """Sends what can be sent now, and returns how many bytes that was.

        Raises OSError if the connection broke.
        """
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def end(self) -> None:
        """Says that nothing more is sent.  What still arrives can only be thrown away: with TLS it
        makes no sense any more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Ends both directions, and lets whoever selects on it know: it stays open until ``close``,
        so its number means nothing else meanwhile."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes it, for both directions."""
        self._socket.close()
