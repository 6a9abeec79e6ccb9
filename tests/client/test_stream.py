"""A stream over plain sockets and over TLS."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gearpy.address import connect, read_address
from gearpy.errors import CannotConnect, SettingError
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response
from gearpy.stream import Stream
from gearpy.testing.process import ServerProcess
from tests.tls import LIMIT_S, tls_front


@contextmanager
def _stream(address: str) -> Iterator[Stream]:
    stream = Stream(connect(read_address(address), LIMIT_S))
    try:
        yield stream
    finally:
        stream.close()


def _echoed(stream: Stream, payload: bytes) -> bytes:
    """Sends an echo and reads until all of its answer is here."""
    unsent, heard = memoryview(request(p.ECHO_REQ, payload)), b""
    expected = response(p.ECHO_RES, payload)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while len(heard) < len(expected):
            if not unsent:
                selector.modify(stream, selectors.EVENT_READ)
            assert selector.select(LIMIT_S)
            unsent = unsent[stream.send(unsent) :] if unsent else unsent
            heard += stream.receive() or b""
    assert heard == expected
    return payload


@pytest.mark.parametrize("size_bytes", [0, 20_000, 3_000_000])
def test_bytes_go_and_come_plain(server: ServerProcess, size_bytes: int) -> None:
    with _stream(server.address) as stream:
        assert stream.receive() is None
        _echoed(stream, b"x" * size_bytes)


@pytest.mark.parametrize("size_bytes", [0, 20_000, 3_000_000])
def test_bytes_go_and_come_through_tls(
    server: ServerProcess, tmp_path: Path, size_bytes: int
) -> None:
    with tls_front(tmp_path, server.host, server.port) as front, _stream(front.url) as stream:
        assert stream.receive() is None
        _echoed(stream, b"x" * size_bytes)


def test_a_server_may_want_to_know_its_clients(server: ServerProcess, tmp_path: Path) -> None:
    with tls_front(tmp_path, server.host, server.port, knows_clients=True) as front:
        with _stream(front.known) as stream:
            _echoed(stream, b"known")


def test_a_certificate_that_nobody_vouches_for(server: ServerProcess, tmp_path: Path) -> None:
    with tls_front(tmp_path, server.host, server.port) as front:
        with pytest.raises(CannotConnect, match=r"no TLS with .*certificate is not accepted"):
            connect(read_address(front.distrusted), LIMIT_S)


def test_a_server_that_speaks_no_tls(server: ServerProcess) -> None:
    with pytest.raises(CannotConnect, match="no TLS with tls://"):
        connect(read_address(f"tls://{server.address}"), LIMIT_S)


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(SettingError, match=r"ca\.pem.*PEM form"):
        connect(read_address(f"tls://localhost:1?ca={path}"), LIMIT_S)


def test_the_end_of_the_peer_is_no_silence() -> None:
    ours, theirs = socket.socketpair()
    stream = Stream(ours)
    with theirs:
        assert stream.receive() is None
        theirs.close()
        assert stream.receive() == b""
    stream.close()
    assert stream.fileno() == -1
