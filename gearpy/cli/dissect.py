"""``gearpy dissect``: explains a captured stream, packet by packet."""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import click

from gearpy.protocol.packets import (
    CLIENT,
    HEADER_BYTES,
    PACKETS,
    REQ,
    SERVER,
    WORKER,
    Sender,
)
from gearpy.protocol.parser import PAYLOAD_BYTES_MAX
from gearpy.protocol.reference import (
    Broken,
    CutOff,
    Piece,
    ReadLine,
    ReadPacket,
    read_stream,
)

_VALUE_BYTES_MAX: Final = 64  # of a field; more of it helps nobody to understand the stream

_LF_CR_TAB: Final = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x22: '\\"', 0x5C: "\\\\"}
_SENDERS: Final = ((CLIENT, "client"), (WORKER, "worker"), (SERVER, "server"))


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--hex", "as_hex", is_flag=True, help="The input is hex, whatever it looks like.")
@click.option("--raw", "as_raw", is_flag=True, help="The input is the bytes themselves.")
@click.pass_context
def dissect(context: click.Context, file: BinaryIO, as_hex: bool, as_raw: bool) -> None:
    """Explain a captured Gearman stream, packet by packet.

    FILE (or standard input, when it is "-" or absent) holds what went over a connection, in one
    direction or both: the bytes themselves, or hex as xxd, hexdump -C and people write it. Which
    of the two it is, is found out, unless --hex or --raw says so.

    Each packet is shown with its offset, magic, type, sender and fields; text lines too. The last
    line says whether the stream is sound.

    \b
    Exit status: 0 the stream is sound
                 1 something in it is broken, or its end is cut off
                 2 the input can't be read
    """
    if as_hex and as_raw:
        raise click.UsageError("--hex and --raw exclude each other: give one of them, or none")
    data = file.read()
    if as_hex:
        try:
            data = read_hex(data)
        except ValueError as error:
            raise click.UsageError(f"the input is not hex: {error}") from error
    elif not as_raw:
        data = _guess(data)
    flaws = 0
    counts = {ReadPacket: 0, ReadLine: 0}
    for piece in read_stream(data):
        if isinstance(piece, ReadPacket | ReadLine):
            counts[type(piece)] += 1
        wrong = list(_wrong(piece))
        flaws += len(wrong)
        for line in (*_shown(piece), *(f"    broken: {sentence}" for sentence in wrong)):
            click.echo(line)
    verdict = f"broken in {_count(flaws, 'place')}" if flaws else "sound"
    click.echo(
        f"{verdict}: {_count(counts[ReadPacket], 'packet')},"
        f" {_count(counts[ReadLine], 'text line')}, {_count(len(data), 'byte')}"
    )
    context.exit(1 if flaws else 0)


# ---- what is printed


def _shown(piece: Piece) -> Iterator[str]:
    """A line for the piece itself, and one for each field."""
    match piece:
        case ReadPacket(offset, magic, number, body, fields, ignored):
            yield (
                f"@{offset} {_magic(magic)} {_type(number)} from {_senders(magic, number)},"
                f" {HEADER_BYTES}+{len(body)} bytes"
            )
            for name, value in fields.items():
                yield f"    {name} = {_value(value)}"
            if ignored:
                yield f"    ignored = {_value(ignored)}"
        case ReadLine(offset, text, size_bytes):
            yield f"@{offset} TEXT, {size_bytes} bytes"
            yield f"    line = {_value(text)}"
        case CutOff(offset, size_bytes):
            yield f"@{offset} CUT OFF, {size_bytes} bytes"
        case Broken(offset):
            yield f"@{offset} NOT GEARMAN"


def _wrong(piece: Piece) -> Iterator[str]:
    """What is wrong with the piece, in sentences."""
    match piece:
        case ReadPacket():
            for flaw in piece.flaws:
                yield str(flaw)
        case CutOff(line=True):
            yield "the stream ends inside a text line: at least 1 byte is missing, its line end"
        case CutOff(announced=(number, body_bytes)):
            large = "" if body_bytes <= PAYLOAD_BYTES_MAX else _TOO_LARGE
            yield (
                f"the stream ends inside {_type(number)}, which announces"
                f" {_count(body_bytes, 'byte')}{large}:"
                f" {_count(piece.missing_bytes, 'byte')} missing"
            )
        case CutOff():
            yield (
                f"the stream ends inside a header, which has {HEADER_BYTES} bytes:"
                f" {_count(piece.missing_bytes, 'byte')} missing"
            )
        case Broken():
            yield f"{piece.error}; where the next packet begins can't be told"


_TOO_LARGE: Final = (
    f", more than the {PAYLOAD_BYTES_MAX:,} that gearpy-server takes unless told otherwise"
)


def _magic(magic: bytes) -> str:
    return "REQ" if magic == REQ else "RES"


def _type(number: int) -> str:
    packet = PACKETS.get(number)
    return f"{packet.name if packet else 'UNKNOWN'}({number})"


def _senders(magic: bytes, number: int) -> str:
    """Who sends it: what the table says, as far as the magic allows it."""
    packet = PACKETS.get(number)
    likely = CLIENT | WORKER if magic == REQ else SERVER
    if packet is not None and packet.senders & likely:
        likely &= packet.senders
    return _in_words(likely)


def _in_words(senders: Sender) -> str:
    """The senders in words: "client or worker"."""
    return " or ".join(word for sender, word in _SENDERS if senders & sender)


def _value(value: bytes) -> str:
    """A field's value in quotes and ASCII; a long one is cut, and its size told."""
    shown = "".join(
        _LF_CR_TAB.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
        for byte in value[:_VALUE_BYTES_MAX]
    )
    if len(value) <= _VALUE_BYTES_MAX:
        return f'"{shown}"'
    return f'"{shown}"... ({len(value):,} bytes)'


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ---- what is read

_DUMPS: Final = (
    # What prints a line like this, and what ends its hex; what follows is text for people.
    (re.compile(rb"([0-9a-fA-F]{8,16}): (.*)"), b"  "),  # xxd
    (re.compile(rb"([0-9a-fA-F]{8,16})  (.*\|.*)"), b"|"),  # hexdump -C
)
_OFFSET_ALONE: Final = re.compile(rb"[0-9a-fA-F]{8,16}")
_REPEATED: Final = b"*"  # stands for lines that are equal to the one before
_REPEATED_BYTES_MAX: Final = 1 << 30  # more is a typing error, and would not fit into memory
_NOISE: Final = re.compile(rb"0[xX]|\\[xX]|[,;]")


def _guess(data: bytes) -> bytes:
    """The bytes that the input stands for: itself, unless all of it reads as hex."""
    try:
        return read_hex(data)
    except ValueError:
        return data


def read_hex(text: bytes) -> bytes:
    """The bytes that hex stands for: digits with spaces, line ends, commas, 0x; or a dump.

    Raises ValueError with a sentence that says what is no hex, and in which line.
    """
    numbered = enumerate(map(bytes.strip, text.splitlines()), 1)
    lines = [(number, line) for number, line in numbered if line]
    if lines and _dump_line(lines[0][1]) is not None:
        return _read_dump(lines)
    return b"".join(
        _digits(word, number) for number, line in lines for word in _NOISE.sub(b" ", line).split()
    )


def _dump_line(line: bytes) -> tuple[int, bytes] | None:
    """Offset and hex of a line that xxd or hexdump -C printed; None if it is none."""
    for dump, end in _DUMPS:
        found = dump.fullmatch(line)
        if found:
            return int(found[1], 16), found[2].partition(end)[0]
    return None


def _read_dump(lines: list[tuple[int, bytes]]) -> bytes:
    data = bytearray()
    row, first, repeated = b"", 0, False
    for number, line in lines:
        if line == _REPEATED and row:
            repeated = True
            continue
        dumped = _dump_line(line)
        if dumped is None:
            if not _OFFSET_ALONE.fullmatch(line):
                raise ValueError(f"line {number} is none of a dump as xxd or hexdump -C print it")
            dumped = (int(line, 16), b"")
        offset, digits = dumped
        if not row:
            first = offset
        if repeated:
            absent_bytes = offset - first - len(data)
            if absent_bytes > _REPEATED_BYTES_MAX:
                raise ValueError(f"line {number} has the offset {offset:#x}: that is too far away")
            data += row * (absent_bytes // len(row))
            repeated = False
        if offset != first + len(data):
            raise ValueError(
                f"line {number} has the offset {offset:#x}, but {first + len(data):#x} comes next"
            )
        row = b"".join(_digits(word, number) for word in digits.split())
        data += row
    return bytes(data)


def _digits(word: bytes, number: int) -> bytes:
    try:
        return bytes.fromhex(word.decode("ascii"))
    except ValueError:
        shown = _value(word)
        raise ValueError(f"line {number} holds {shown}, which is not pairs of digits") from None
