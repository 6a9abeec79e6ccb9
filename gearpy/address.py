"""Where servers are, and the way there: for clients, workers and commands."""

import os
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from gearpy.errors import CannotConnect, SettingError

PORT: Final = 4730  # the one that IANA gave to Gearman
RECEIVE_BYTES: Final = 64 << 10  # from twice that on, each recv would map new memory
CONNECT_S: Final = 5.0  # for one of several servers: then the next one is tried
SERVERS_VARIABLE: Final = "GEARPY_SERVERS"

_UNIX: Final = "unix://"
_TLS: Final = "tls://"
_FORMS: Final = 'write it as "host:port", "[::1]:4730", "host", "tls://host:port" or "unix:///path"'
_TLS_FILES: Final = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server proves who it is, and this end too: files in PEM form; empty: as usual.

    ``ca`` holds the authorities that may vouch for the server, those of the system if it is empty.
    ``cert`` and ``key`` are for servers that want to know their clients.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, or, where ``path`` is not empty, a Unix socket."""

    host: str = "localhost"
    port: int = PORT
    path: str = ""
    tls: Tls | None = None

    def __str__(self) -> str:
        if self.path:
            return _UNIX + self.path
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        if self.tls is None:
            return place
        files = [f"{name}={getattr(self.tls, name)}" for name in _TLS_FILES]
        said = "&".join(text for text in files if not text.endswith("="))
        return _TLS + place + (f"?{said}" if said else "")


def read_addresses(servers: str | Iterable[str] | None) -> tuple[Address, ...]:
    """The servers that a user means: one, several behind commas, or a list of such.

    None stands for what the environment says in GEARPY_SERVERS, or else for the server on this
    machine.  Each counts once.  Raises SettingError if one makes no sense, or if there is none.
    """
    if servers is None:
        servers = os.environ.get(SERVERS_VARIABLE) or "localhost"
    texts = [servers] if isinstance(servers, str) else list(servers)
    names = [name.strip() for text in texts for name in text.split(",")]
    if not names:
        raise SettingError(f"there is no server in the list; {_FORMS}")
    return tuple(dict.fromkeys(read_address(name) for name in names))


def read_address(text: str) -> Address:
    """An address as people write it: "host:port", "[::1]:4730", "host" or "unix:///path".

    Without a port it is 4730.  "tls://host:port" is spoken to through TLS;
    "tls://host:port?ca=ca.pem&cert=me.pem&key=me.key" names the files for it (see ``Tls``).
    Raises SettingError if the text is none of these.
    """
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith("/") or "\0" in path:
            raise SettingError(f"{text!r} has no absolute path behind {_UNIX}; {_FORMS}")
        return Address(path=path)
    place, tls = text, None
    if text.startswith(_TLS):
        place, _, files = text.removeprefix(_TLS).partition("?")
        tls = _read_tls(files, text)
    bracketed = re.fullmatch(r"\[([^\[\]\s]+)\](?::(.*))?", place, re.DOTALL)
    plain = re.fullmatch(r"([^:\[\]\s/]+)(?::(.*))?", place, re.DOTALL)
    found = bracketed or plain
    if found is None:
        raise SettingError(f"{text!r} is no server address; {_FORMS}")
    host, port = found.groups()
    return Address(host, PORT if port is None else _read_port(port, text), tls=tls)


def _read_port(port: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 0xFFFF:
        raise SettingError(f"{text!r} has no port from 1 to 65535 behind the host; {_FORMS}")
    return int(port)


def _read_tls(files: str, text: str) -> Tls:
    try:
        named = dict(parse_qsl(files, keep_blank_values=True, strict_parsing=True)) if files else {}
    except ValueError:
        named = {files: ""}
    for name, path in named.items():
        if name not in _TLS_FILES or not path:
            raise SettingError(
                f"{text!r}: behind the ? stand files, like ca=ca.pem&cert=me.pem&key=me.key"
            )
    tls = Tls(**named)
    if tls.key and not tls.cert:
        raise SettingError(f"{text!r} has a key without a certificate: add cert=FILE")
    return tls


def connect(address: Address, timeout_s: float | None) -> socket.socket:
    """A connection to a server.  Its timeout stays ``timeout_s``; None is any time.

    Small packets are sent at once (TCP_NODELAY), and a server whose machine vanished is noticed in
    the end (SO_KEEPALIVE).  Raises CannotConnect, and SettingError for a timeout of nothing, or for
    files of TLS that can't be read.
    """
    if timeout_s is not None and timeout_s <= 0:
        raise SettingError(f"a timeout is a number of seconds above 0, not {timeout_s}")
    context = None if address.tls is None else tls_context(address.tls)
    try:
        if address.path:
            return _connect_unix(address.path, timeout_s)
        connection = socket.create_connection((address.host, address.port), timeout_s)
        tune(connection)
        if context is not None:
            return _wrapped(connection, context, address.host)
    except (OSError, UnicodeError) as error:
        raise unreachable(address, error, timeout_s) from error
    return connection


def connect_timeout_s(addresses: Sequence[Address], timeout_s: float | None) -> float | None:
    """How long connecting to one of these servers may take, where calls may take ``timeout_s``."""
    if len(addresses) == 1:
        return timeout_s
    return CONNECT_S if timeout_s is None else min(timeout_s, CONNECT_S)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What the standard library needs for TLS.  Raises SettingError for files that are no good."""
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except OSError as error:  # which an SSLError is, too
        names = ", ".join(name for name in (tls.ca, tls.cert, tls.key) if name)
        raise SettingError(
            f"TLS can't use {names}: {reason_of(error)}; these are to be files in PEM form"
        ) from error
    return context


def tune(connection: socket.socket) -> None:
    """Makes a TCP connection send small packets at once, and notice that the peer vanished."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def unreachable(address: Address, error: Exception, timeout_s: float | None) -> CannotConnect:
    """The sentence for whoever asked for a connection that there can't be."""
    if isinstance(error, TimeoutError) and timeout_s is not None:
        return CannotConnect(f"no Gearman server answers at {address} within {timeout_s} s")
    if isinstance(error, ssl.SSLError):
        return CannotConnect(f"no TLS with {address}: {reason_of(error)}")
    return CannotConnect(
        f"no Gearman server answers at {address}: {reason_of(error)}; is it running, and is this"
        " its address?"
    )


def reason_of(error: Exception) -> str:
    """What went wrong, in the words of the system, or of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio has other words, with the address in them
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _connect_unix(path: str, timeout_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _wrapped(connection: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
