"""What workers tell of what their jobs cost: JSON in, values out.

Whoever tells it may be of another version: names that this one does not know are passed over.
"""

from collections.abc import Mapping
from typing import Any, Final

from gearpy.engine.policy import SECONDS_MAX, Reader, number, whole
from gearpy.engine.statistics import Usage
from gearpy.errors import ArgumentTooLarge, InvalidArgument, MalformedPacket
from gearpy.protocol.codec import unpacked

REPORT_BYTES_MAX: Final = 16 << 10
MEMORY_BYTES_MAX: Final = 10**15


def read_usage(text: bytes) -> Usage:
    """What an attempt cost.

    Raises InvalidArgument whose sentence names the value and what it must be, and ArgumentTooLarge.

    >>> read_usage(b'{"cpu_s": 1.5, "memory_bytes": 80000000, "disk_bytes": 1}')
    Usage(cpu_s=1.5, memory_bytes=80000000)
    """
    return Usage(**_read("what a job cost", text, USAGE))


def _read(what: str, text: bytes, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The values that are told; null is the same as no value."""
    if len(text) > REPORT_BYTES_MAX:
        raise ArgumentTooLarge(
            f"{what} is told in at most {REPORT_BYTES_MAX:,} bytes; these are {len(text):,}"
        )
    try:
        table = unpacked(what, text)
    except MalformedPacket as error:  # the packet is sound: the connection may go on
        raise InvalidArgument(str(error)) from None
    told = {name: table[name] for name in readers if table.get(name) is not None}
    return {name: readers[name](name, value) for name, value in told.items()}


USAGE: Final[dict[str, Reader]] = {
    "cpu_s": number(0, SECONDS_MAX, "a number of seconds"),
    "memory_bytes": whole(0, MEMORY_BYTES_MAX, "a whole number of bytes"),
}
