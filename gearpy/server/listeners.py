"""The sockets that connections come in by: TCP over IPv4 and IPv6, and a Unix socket."""

import asyncio
import errno
import logging
import os
import re
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, cast

from gearpy.address import reason_of
from gearpy.errors import CannotListen, SettingError
from gearpy.server.connection import Connection
from gearpy.server.settings import Settings

log = logging.getLogger("gearpy.server")

_EVERYWHERE: Final = ("0.0.0.0", "::")
# asyncio takes its backlog for how often to try accept in a row, also when it has run out of file
# descriptors and logs each failure; the backlog proper is set behind its back.
_ACCEPTS_AT_ONCE: Final = 16
_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Listener(NamedTuple):
    """A bound socket, where it listens, the file to remove when it stops, and what TLS takes that
    is spoken on it."""

    sock: socket.socket
    address: str
    path: str | None = None
    tls: ssl.SSLContext | None = None

    async def serve(self, accept: Callable[[], Connection], backlog: int) -> asyncio.AbstractServer:
        """Hands each new socket to a new connection."""
        loop = asyncio.get_running_loop()
        create = loop.create_server if self.path is None else loop.create_unix_server
        server = await create(cast(Any, accept), sock=self.sock, backlog=_ACCEPTS_AT_ONCE)
        self.sock.listen(backlog)
        return server

    def close(self) -> None:
        """Stops listening."""
        self.sock.close()
        if self.path is not None:
            remove(self.path)


def remove(path: str) -> None:
    """Removes a file of ours.  Who gave up root may not be allowed to: that is worth a line."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        log.warning("can't remove %s: %s", path, error.strerror)


def bind(settings: Settings) -> list[Listener]:
    """Binds every address of the settings.

    Raises CannotListen, with nothing left bound, or SettingError for an address that is none.
    """
    bound: list[Listener] = []
    try:
        port = settings.port
        for address in settings.listen or _EVERYWHERE:
            host, given_port = read_listen_address(address)
            for listener in _bind_tcp(host, port if given_port is None else given_port, settings):
                bound.append(listener)
                if given_port is None:
                    port = listener.sock.getsockname()[1]  # port 0 is the same free one everywhere
        if settings.unix:
            bound.append(_bind_unix(settings.unix))
    except BaseException:
        for listener in bound:
            listener.close()
        raise
    return bound


def bind_http(settings: Settings) -> list[Listener]:
    """Binds the address of ``--http``, with the certificate for it, if there is one: who gives up
    root later on could not read its key any more.

    Raises CannotListen, with nothing left bound, or SettingError for a certificate or a key that
    is no good.
    """
    tls = _tls(settings.http_cert, settings.http_key) if settings.http_cert else None
    host, port = read_http_address(settings.http)
    return [listener._replace(tls=tls) for listener in _bind_tcp(host, port, settings)]


def _tls(cert: str, key: str) -> ssl.SSLContext:
    """A server's TLS with the certificate in the file ``cert``; without ``key`` its key is there,
    too.  Raises SettingError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def refuse() -> NoReturn:
        raise SettingError(
            f"--http-key: the key in {key or cert} has a passphrase, and a server has nobody to ask"
            " for it; give it a key without one, which only its user may read"
        )

    try:
        context.load_cert_chain(cert, key or None, password=refuse)
    except OSError as error:  # which an SSLError is, too
        raise SettingError(
            f"--http-cert and --http-key: {reason_of(error)}; there must be a certificate in {cert}"
            f" and its key in {key or cert}, in PEM form"
        ) from None
    return context


def read_http_address(address: str) -> tuple[str, int]:
    """Host and port of an address that the settings have checked.

    >>> read_http_address("[::1]:4780")
    ('::1', 4780)
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def read_listen_address(address: str) -> tuple[str, int | None]:
    """Host and port of ``host``, ``host:port``, ``::1`` or ``[::1]:port``.  Raises SettingError."""
    host, colon, port = address.rpartition(":")
    if address.startswith("[") or (colon and ":" not in host):
        if address.endswith("]"):
            return address[1:-1], None
        if re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535 and host:
            return host.strip("[]"), int(port)
        raise SettingError(
            f"--listen: {address!r} is not an address like 127.0.0.1, ::1 or [::1]:4730"
        )
    return address, None


def _bind_tcp(host: str, port: int, settings: Settings) -> list[Listener]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise CannotListen(f"can't listen on {host}: {error}") from None
    bound: list[Listener] = []
    for family, kind, protocol, _, (address, *_) in found:
        try:
            sock = socket.socket(family, kind, protocol)
            try:
                _set_options(sock, settings)
                sock.bind((address, port))
            except OSError:
                sock.close()
                raise
        except OSError as error:
            if host == "::" and error.errno in _NO_IPV6:
                continue  # a machine without IPv6 serves IPv4
            for listener in bound:
                listener.close()
            raise CannotListen(
                f"can't listen on {host} port {port}: {os.strerror(error.errno or 0)}"
            ) from None
        port = sock.getsockname()[1]
        shown = f"[{address}]:{port}" if family == socket.AF_INET6 else f"{address}:{port}"
        bound.append(Listener(sock, shown))
    return bound


def _set_options(sock: socket.socket, settings: Settings) -> None:
    """Options of a listening socket; those of TCP are inherited by the connections."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if not settings.keepalive:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", settings.keepalive_idle),
        ("TCP_KEEPINTVL", settings.keepalive_interval),
        ("TCP_KEEPCNT", settings.keepalive_count),
    ):
        if value > 0 and hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _bind_unix(path: str) -> Listener:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise CannotListen(f"can't listen on {path}: {error.strerror or error}") from None
    return Listener(sock, f"unix://{path}", path)


def _remove_stale(path: str) -> None:
    """Removes the socket file of a server that was killed; refuses that of one that lives."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CannotListen(f"can't listen on {path}: {error.strerror}") from None
    if not is_socket:
        raise CannotListen(f"can't listen on {path}: there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            remove(path)
            return
        except OSError as error:
            raise CannotListen(f"can't listen on {path}: {error.strerror}") from None
    raise CannotListen(f"can't listen on {path}: another server listens there")
