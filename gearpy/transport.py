"""Connections of an event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gearpy.address import Address, tls_context, tune, unreachable

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


async def connect_transport(
    address: Address, timeout_s: float | None, make: Callable[[], _Protocol]
) -> _Protocol:
    """A new connection to a server: the protocol that ``make`` gave for it.

    Small packets are sent at once (TCP_NODELAY), and a server whose machine vanished is noticed in
    the end (SO_KEEPALIVE).  Raises CannotConnect, and SettingError for files of TLS that can't be
    read.
    """
    loop = asyncio.get_running_loop()
    context = None if address.tls is None else tls_context(address.tls)
    try:
        async with asyncio.timeout(timeout_s):
            if address.path:
                _, protocol = await loop.create_unix_connection(make, address.path)
                return protocol
            transport, protocol = await loop.create_connection(
                make, address.host, address.port, ssl=context
            )
    except (OSError, UnicodeError) as error:
        raise unreachable(address, error, timeout_s) from error
    tune(transport.get_extra_info("socket"))
    return protocol
