"""Where a server is, and the way there: for clients, workers and commands."""

import re
import socket
from dataclasses import dataclass
from typing import Final

from gearpy.errors import CannotConnect, SettingError

PORT: Final = 4730  # the one that IANA gave to Gearman
RECEIVE_BYTES: Final = 64 << 10  # from twice that on, each recv would map new memory
_UNIX: Final = "unix://"
_FORMS: Final = 'write it as "host:port", "[::1]:4730", "host" or "unix:///path"'


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, or, where ``path`` is not empty, a Unix socket."""

    host: str = "localhost"
    port: int = PORT
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return _UNIX + self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> Address:
    """An address as people write it: "host:port", "[::1]:4730", "host" or "unix:///path".

    Without a port it is 4730.  Raises SettingError if the text is none of these.
    """
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith("/") or "\0" in path:
            raise SettingError(f"{text!r} has no absolute path behind {_UNIX}; {_FORMS}")
        return Address(path=path)
    bracketed = re.fullmatch(r"\[([^\[\]\s]+)\](?::(.*))?", text, re.DOTALL)
    plain = re.fullmatch(r"([^:\[\]\s/]+)(?::(.*))?", text, re.DOTALL)
    found = bracketed or plain
    if found is None:
        raise SettingError(f"{text!r} is no server address; {_FORMS}")
    host, port = found.groups()
    return Address(host, PORT if port is None else _read_port(port, text))


def _read_port(port: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 0xFFFF:
        raise SettingError(f"{text!r} has no port from 1 to 65535 behind the host; {_FORMS}")
    return int(port)


def connect(address: Address, timeout_s: float | None) -> socket.socket:
    """A connection to a server.  Its timeout stays ``timeout_s``; None is any time.

    Small packets are sent at once (TCP_NODELAY), and a server whose machine vanished is noticed in
    the end (SO_KEEPALIVE).  Raises CannotConnect, and SettingError for a timeout of nothing.
    """
    if timeout_s is not None and timeout_s <= 0:
        raise SettingError(f"a timeout is a number of seconds above 0, not {timeout_s}")
    try:
        if address.path:
            return _connect_unix(address.path, timeout_s)
        connection = socket.create_connection((address.host, address.port), timeout_s)
    except TimeoutError as error:
        raise CannotConnect(
            f"no Gearman server answers at {address} within {timeout_s} s"
        ) from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotConnect(
            f"no Gearman server answers at {address}: {reason}; is it running, and is this its"
            " address?"
        ) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _connect_unix(path: str, timeout_s: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
