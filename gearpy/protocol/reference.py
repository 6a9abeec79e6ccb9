"""The protocol once more, declared with ``construct``: the oracle of the tests, and the heart of
``gearpy dissect``.

It is made from the table of packets, shares no code with ``parser`` and ``codec``, and is written
to be plain rather than fast: it takes tens of microseconds for what the parser does in one.

    read_stream(data)           a captured stream, piece by piece, with what is wrong and where
    build(magic, number, ...)   one packet
    build_line(text)            one line of the text protocol

``construct`` has no type hints; nothing of it leaves this module.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from construct import (
    Bytes,
    ConstructError,
    GreedyBytes,
    Int32ub,
    NullTerminated,
    OneOf,
    Prefixed,
    Struct,
    Switch,
    this,
)

from gearpy.errors import (
    BadMagic,
    LineTooLong,
    MalformedPacket,
    PayloadTooLarge,
    PeerError,
    RemoteProtocolError,
    UnexpectedPacket,
    UnknownPacket,
)
from gearpy.protocol.packets import (
    HEADER_BYTES,
    PACKETS,
    REQ,
    RES,
    PacketType,
    Sender,
)

SIZE_BYTES_MAX: Final = (1 << 32) - 1  # what the header can announce

# ---- the declaration


def _fields(packet: PacketType) -> Any:
    """A packet's body: each field ends with NUL, the last one where the packet ends.

    An optional last field may be absent; then the NUL before it is, too.
    """
    if not packet.fields:
        return Struct("ignored" / GreedyBytes)
    *leading, last = packet.fields
    return Struct(
        *(
            name / NullTerminated(GreedyBytes, require=not packet.optional or name != leading[-1])
            for name in leading
        ),
        last / GreedyBytes,
    )


_MAGIC: Final[Any] = OneOf(Bytes(4), (REQ, RES))

_HEADER: Final[Any] = Struct("magic" / _MAGIC, "number" / Int32ub, "size_bytes" / Int32ub)

_BODIES: Final[dict[int, Any]] = {number: _fields(packet) for number, packet in PACKETS.items()}

_PACKET: Final[Any] = Struct(
    "magic" / _MAGIC,
    "number" / Int32ub,
    "body" / Prefixed(Int32ub, Switch(this.number, _BODIES, Struct("ignored" / GreedyBytes))),
)

_LINE: Final[Any] = NullTerminated(GreedyBytes, term=b"\n")


# ---- what comes out of a stream


@dataclass(frozen=True, slots=True)
class ReadPacket:
    """A packet.

    ``fields`` are in the order of the table; they are empty if ``malformed`` says that the body
    does not hold them all.  ``ignored`` is the body of a packet that has no fields, or of a type
    that nobody knows.
    """

    offset: int
    magic: bytes
    number: int
    body: bytes
    fields: dict[str, bytes] = field(default_factory=dict)
    ignored: bytes = b""
    malformed: MalformedPacket | None = None

    @property
    def size_bytes(self) -> int:
        """Header and body."""
        return HEADER_BYTES + len(self.body)

    @property
    def flaws(self) -> tuple[PeerError, ...]:
        """What is wrong with this packet, though the stream goes on behind it."""
        packet = PACKETS.get(self.number)
        if packet is None:
            return (UnknownPacket(f"nobody knows packet type {self.number}"),)
        flaws: list[PeerError] = []
        if self.magic == RES and not packet.senders & Sender.SERVER:
            flaws.append(
                UnexpectedPacket(f"a server does not send {packet.name}; its magic is RES")
            )
        if self.magic == REQ and packet.senders is Sender.SERVER:
            flaws.append(UnexpectedPacket(f"only a server sends {packet.name}; its magic is REQ"))
        if self.malformed is not None:
            flaws.append(self.malformed)
        return tuple(flaws)


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of the text protocol, without its line end; ``size_bytes`` counts the line end."""

    offset: int
    text: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CutOff:
    """The stream ends inside a packet or line.

    ``size_bytes`` of it are here, at least ``missing_bytes`` are not.  ``announced`` is its type
    and size if the header is complete; ``line`` says that it is a text line.
    """

    offset: int
    size_bytes: int
    missing_bytes: int
    announced: tuple[int, int] | None = None
    line: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """From here on the stream makes no sense."""

    offset: int
    error: RemoteProtocolError


Piece = ReadPacket | ReadLine | CutOff | Broken


def read_stream(
    data: bytes,
    payload_bytes_max: int = SIZE_BYTES_MAX,
    line_bytes_max: int | None = None,
) -> Iterator[Piece]:
    """The packets and text lines of a stream in order, both directions allowed.

    ``CutOff`` and ``Broken`` come last.  ``line_bytes_max`` counts the line end; None is for no
    limit.
    """
    offset = 0
    while offset < len(data):
        if data[offset]:
            piece = _read_line(data, offset, line_bytes_max)
        else:
            piece = _read_packet(data, offset, payload_bytes_max)
        yield piece
        if isinstance(piece, CutOff | Broken):
            return
        offset += piece.size_bytes


def _read_line(data: bytes, offset: int, line_bytes_max: int | None) -> Piece:
    newline = data.find(b"\n", offset)
    stop = len(data) if newline < 0 else newline + 1
    size_bytes = stop - offset
    if line_bytes_max is not None and (
        size_bytes > line_bytes_max or (newline < 0 and size_bytes == line_bytes_max)
    ):
        return Broken(offset, LineTooLong(f"no line end within {line_bytes_max:,} bytes"))
    if newline < 0:
        return CutOff(offset, size_bytes, missing_bytes=1, line=True)
    text: bytes = _LINE.parse(data[offset:stop])
    return ReadLine(offset, text.removesuffix(b"\r"), size_bytes)


def _read_packet(data: bytes, offset: int, payload_bytes_max: int) -> Piece:
    here = len(data) - offset
    if here < HEADER_BYTES:
        return CutOff(offset, here, missing_bytes=HEADER_BYTES - here)
    try:
        header = _HEADER.parse(data[offset : offset + HEADER_BYTES])
    except ConstructError:
        return Broken(
            offset,
            BadMagic(
                f"the magic is {data[offset : offset + 4].hex(' ')}; a packet starts with"
                f" {REQ.hex(' ')} (NUL REQ) or {RES.hex(' ')} (NUL RES), a text line with"
                " anything but NUL"
            ),
        )
    number: int = header.number
    if header.size_bytes > payload_bytes_max:
        return Broken(
            offset,
            PayloadTooLarge(
                f"the packet announces {header.size_bytes:,} bytes, and the limit is"
                f" {payload_bytes_max:,}"
            ),
        )
    size_bytes: int = HEADER_BYTES + header.size_bytes
    if here < size_bytes:
        return CutOff(offset, here, size_bytes - here, announced=(number, header.size_bytes))
    whole = data[offset : offset + size_bytes]
    body = whole[HEADER_BYTES:]
    try:
        parsed = _PACKET.parse(whole).body
    except ConstructError:
        # Only a NUL can be missing: the magic was good, and all bytes are here.
        return ReadPacket(offset, header.magic, number, body, malformed=_missing(number, body))
    packet = PACKETS.get(number)
    if packet is None or not packet.fields:
        return ReadPacket(offset, header.magic, number, body, ignored=parsed.ignored)
    fields: dict[str, bytes] = {name: parsed[name] for name in packet.fields}
    return ReadPacket(offset, header.magic, number, body, fields)


def _missing(number: int, body: bytes) -> MalformedPacket:
    packet = PACKETS[number]
    found = body.count(b"\0") + 1
    absent = ", ".join(packet.fields[found:])
    return MalformedPacket(
        f"{packet.name} has {len(packet.fields)} fields separated by NUL"
        f" ({', '.join(packet.fields)}); this one ends without {absent}"
    )


# ---- the other way round


def build(magic: bytes, number: int, fields: Sequence[bytes] = ()) -> bytes:
    """A packet of a type of the table.

    Raises ValueError if its fields are too many or too few, or if one that is not the last holds a
    NUL, since no reader could find its end.
    """
    packet = PACKETS[number]
    if len(fields) != len(packet.fields):
        raise ValueError(f"{packet.name} has {len(packet.fields)} fields, not {len(fields)}")
    if any(b"\0" in value for value in fields[:-1]):
        raise ValueError(f"only the last field of {packet.name} may hold a NUL")
    body = dict(zip(packet.fields, fields, strict=True)) or {"ignored": b""}
    packed: bytes = _PACKET.build({"magic": magic, "number": number, "body": body})
    return packed


def build_line(text: bytes) -> bytes:
    """A line of the text protocol.

    Raises ValueError if its reader would see something else: text that starts with NUL, ends with
    CR, or holds a line end.
    """
    if text.startswith(b"\0") or text.endswith(b"\r") or b"\n" in text:
        raise ValueError("a text line does not start with NUL, end with CR or hold a line end")
    line: bytes = _LINE.build(text)
    return line
