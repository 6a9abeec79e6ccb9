"""Where requests may go: hosts by name, and no addresses that only this network can reach.

A name that a stranger owns may point to any address, an inner one included, and to another one a
moment later.  So names are looked up once, each address is checked, and the connection is made to
one that was.
"""

import asyncio
import fnmatch
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, final

from gearpy.errors import BadErrand, InvalidArgument

Find = Callable[[str, int], Awaitable[list[str]]]  # the addresses of a host and a port
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# All that was ever given to somebody; what else there is has special uses, some of them forgotten.
_GIVEN: Final = ipaddress.IPv6Network("2000::/3")
# Behind these prefixes stand addresses of the other kind of Internet, inner ones perhaps.
_TRANSLATED: Final = (
    ipaddress.IPv6Network("64:ff9b::/96"),  # RFC 6052
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # RFC 8215
    ipaddress.IPv6Network("2002::/16"),  # RFC 3056
    ipaddress.IPv6Network("2001::/32"),  # RFC 4380
)
# Here clouds tell their machines' secrets, under addresses that look like everybody's.
_CLOUDS: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # Oracle's; for some versions of Python it is global
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's
)
_PATTERN: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:]+)(?::(?P<port>[0-9]{1,9}))?")
_NAME: Final = re.compile(r"[\w.*?-]+")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What one --allow-host says: a name with * perhaps, or a network; and a port, or any."""

    name: str
    network: Network | None
    port: int | None

    def names(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is None:
            return fnmatch.fnmatchcase(host, self.name)
        address = _address(host)
        return address is not None and address in self.network

    def opens(self, host: str, port: int, address: Address) -> bool:
        """Whether an address that is not everybody's may be meant by this name of it."""
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address in self.network
        return "*" not in self.name and "?" not in self.name and self.name == host


@final
class Hosts:
    """The hosts that were allowed.

    A pattern is a name like ``api.example.org`` or ``*.example.org``, an address or a network like
    ``10.1.0.0/16``; ``:8080`` behind it allows this port only.  Addresses of inner networks, of
    this machine and of neighbours are met only where a network names them, or a name without
    ``*`` leads to them.
    """

    def __init__(self, patterns: Iterable[str], find: Find | None = None) -> None:
        """``find`` looks names up, in place of the system.  Raises InvalidArgument for what is no
        pattern."""
        self._patterns = tuple(map(_read_pattern, patterns))
        self._find = find or _find

    async def addresses(self, host: str, port: int) -> list[str]:
        """Where a host is that may be asked, in the order in which to try.

        Raises BadErrand if it may not be asked, or if nobody knows where it is.
        """
        host = host.lower().rstrip(".")
        named = [each for each in self._patterns if each.names(host, port)]
        if not named:
            raise BadErrand(
                f"requests to {host}:{port} are not allowed here; no --allow-host names it"
            )
        try:
            addresses = await self._find(host, port)
        except (OSError, UnicodeError) as error:
            raise BadErrand(f"nobody knows where {host} is: {error}") from None
        for text in addresses:
            address = ipaddress.ip_address(text)
            if not _is_public(address) and not any(
                each.opens(host, port, address) for each in self._patterns
            ):
                raise BadErrand(
                    f"{host} is at {text}, which is not an address of the public Internet; where"
                    f" that is meant, say --allow-host {host} or the network"
                )
        return addresses


async def _find(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


def _read_pattern(text: str) -> _Pattern:
    if not text.isascii():
        raise InvalidArgument(f"{text!r} is no host: write the name as DNS has it, xn--...")
    network = _network(text)
    if network is not None:
        return _Pattern(text, network, None)
    found = _PATTERN.fullmatch(text)
    if found is None or not found["host"].strip("."):
        raise InvalidArgument(
            f"{text!r} is no host: write example.org, *.example.org, 10.1.0.0/16 or localhost:8080"
        )
    host, port = found["host"], found["port"]
    if port is not None and not 0 < int(port) < 65536:
        raise InvalidArgument(f"{text!r} has no port from 1 to 65535")
    network = _network(host)
    if network is None and not _NAME.fullmatch(host):
        raise InvalidArgument(f"{text!r} is no host, and no network of addresses")
    return _Pattern(host.lower().rstrip("."), network, None if port is None else int(port))


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(_bare(text), strict=False) if "%" not in text else None
    except ValueError:
        return None


def _bare(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    """Whether it means the same machine wherever it is asked for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address not in _GIVEN:
            return False
    if any(address in each for each in (*_TRANSLATED, *_CLOUDS)):
        return False
    return address.is_global and not address.is_multicast
