"""A network that is not always there: a TCP proxy that delays, cuts and resets."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

LIMIT_S: Final = 30.0
_RESET: Final = struct.pack("ii", 1, 0)  # no lingering: closing sends RST
_PIECE_BYTES: Final = 1 << 16


class Proxy:
    """Stands in front of a server at ``address``.

    ``cut`` and ``reset`` end all connections that there are; ``refuse`` hangs up on new ones until
    ``accept``; ``hold`` keeps bytes in both directions back until ``go_on``; with ``piece_bytes``
    each connection's bytes come in pieces of that size.
    """

    def __init__(self, host: str, port: int, piece_bytes: int = _PIECE_BYTES) -> None:
        self._server = (host, port)
        self._piece_bytes = piece_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._going = threading.Event()
        self._going.set()
        self._refusing = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self._start(self._accept)

    def _start(self, target: Callable[..., object], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                outer.close()
                continue
            try:
                inner = socket.create_connection(self._server, LIMIT_S)
            except OSError:
                outer.close()
                continue
            inner.settimeout(None)
            with self._lock:
                self.connections += 1
                self._sockets += [outer, inner]
            self._start(self._copy, outer, inner)
            self._start(self._copy, inner, outer)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self._piece_bytes):
                self._going.wait(LIMIT_S)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Ends all connections, as if either side had closed them."""
        with self._lock:
            for end in self._sockets:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def reset(self) -> None:
        """Ends all connections with RST, and what is under way is gone."""
        with self._lock:
            for end in self._sockets:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RD)
                    end.close()
            self._sockets.clear()

    def refuse(self) -> None:
        self._refusing = True

    def accept(self) -> None:
        self._refusing = False

    def hold(self) -> None:
        self._going.clear()

    def go_on(self) -> None:
        self._going.set()

    def close(self) -> None:
        self.go_on()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(LIMIT_S)


@contextlib.contextmanager
def proxy(host: str, port: int, piece_bytes: int = _PIECE_BYTES) -> Iterator[Proxy]:
    """A proxy until the end of the block."""
    made = Proxy(host, port, piece_bytes)
    try:
        yield made
    finally:
        made.close()
