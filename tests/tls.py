"""TLS in front of a server: what a proxy like stunnel does, with certificates of one test."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

LIMIT_S: Final = 30.0
_PIECE_BYTES: Final = 4096


@dataclass(frozen=True)
class Front:
    """Where TLS is spoken: ``url`` trusts its certificate, ``distrusted`` does not; a server that
    wants to know its clients takes ``known``."""

    url: str
    known: str
    distrusted: str


@contextmanager
def tls_front(
    folder: Path, host: str, port: int, *, knows_clients: bool = False
) -> Iterator[Front]:
    """Takes TLS connections for the server at host and port, until the end of the block."""
    authority = trustme.CA()
    certificate, client = authority.issue_cert("localhost"), authority.issue_cert("client")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if knows_clients:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("localhost", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, context, host, port))
        thread.start()
        place = f"tls://localhost:{listener.getsockname()[1]}"
        trusting = f"{place}?ca={folder}/ca.pem"
        try:
            yield Front(trusting, f"{trusting}&cert={folder}/client.pem", place)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(LIMIT_S)
    assert not thread.is_alive()


def _accept(listener: socket.socket, context: ssl.SSLContext, host: str, port: int) -> None:
    pairs = []
    while True:
        try:
            outer, _ = listener.accept()
        except OSError:
            break
        pair = threading.Thread(target=_serve, args=(outer, context, host, port))
        pair.start()
        pairs.append(pair)
    for pair in pairs:
        pair.join(LIMIT_S)


def _serve(outer: socket.socket, context: ssl.SSLContext, host: str, port: int) -> None:
    with outer, socket.create_connection((host, port), LIMIT_S) as inner:
        try:
            outer.settimeout(LIMIT_S)
            with context.wrap_socket(outer, server_side=True) as secured:
                inner.settimeout(None)
                secured.settimeout(None)
                back = threading.Thread(target=_copy, args=(inner, secured))
                back.start()
                _copy(secured, inner)
                back.join(LIMIT_S)
        except OSError:
            pass  # whoever does not trust the certificate hangs up


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
    for end, how in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
        with suppress(OSError):
            socket.socket.shutdown(end, how)
