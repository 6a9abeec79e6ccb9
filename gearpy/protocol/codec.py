"""Fields into packets, and bodies into fields.

Everything that is sent goes through ``request`` or ``response``, or through one of the written-out
encoders below them, which exist because they are called for every job.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from gearpy.errors import MalformedPacket
from gearpy.protocol.packets import (
    ECHO_RES,
    ERROR,
    HEADER_BYTES,
    JOB_ASSIGN_UNIQ,
    JOB_CREATED,
    NO_JOB,
    NOOP,
    PACKETS,
    REQ,
    RES,
)

_REQUEST: Final = {number: REQ + struct.pack(">I", number) for number in PACKETS}
_RESPONSE: Final = {number: RES + struct.pack(">I", number) for number in PACKETS}


def request(number: int, *fields: bytes) -> bytes:
    """The packet as a client or worker sends it: magic NUL REQ, type, size, fields joined by
    NUL."""
    body = b"\0".join(fields)
    return b"".join((_REQUEST[number], len(body).to_bytes(4, "big"), body))


def response(number: int, *fields: bytes) -> bytes:
    """The packet as a server sends it: magic NUL RES, type, size, fields joined by NUL."""
    body = b"\0".join(fields)
    return b"".join((_RESPONSE[number], len(body).to_bytes(4, "big"), body))


# Replies that never change are made once.
NOOP_PACKET: Final = response(NOOP)
NO_JOB_PACKET: Final = response(NO_JOB)

# Compiled, ``%`` with nothing but ``%b`` is one allocation and a copy of each field.  It takes two
# thirds of the time of a ``join``; interpreted, a quarter more.
_SIZES: Final = [size_bytes.to_bytes(4, "big") for size_bytes in range(1024)]


def _size(size_bytes: int) -> bytes:
    """The size in a header; mostly made before."""
    return _SIZES[size_bytes] if size_bytes < len(_SIZES) else size_bytes.to_bytes(4, "big")


_JOB_ASSIGN_UNIQ: Final = _RESPONSE[JOB_ASSIGN_UNIQ]
_JOB_CREATED: Final = _RESPONSE[JOB_CREATED]
_ECHO_RES: Final = _RESPONSE[ECHO_RES]


def job_created(handle: bytes) -> bytes:
    """``response(JOB_CREATED, handle)``, written out: one for each submit."""
    return b"%b%b%b" % (_JOB_CREATED, _size(len(handle)), handle)


def job_assign_uniq(handle: bytes, function: bytes, unique: bytes, payload: bytes) -> bytes:
    """``response(JOB_ASSIGN_UNIQ, ...)``; copies ``payload`` once."""
    size_bytes = len(handle) + len(function) + len(unique) + len(payload) + 3
    return b"%b%b%b\0%b\0%b\0%b" % (
        _JOB_ASSIGN_UNIQ,
        _size(size_bytes),
        handle,
        function,
        unique,
        payload,
    )


def work(number: int, handle: bytes, data: bytes) -> bytes:
    """``response(number, handle, data)`` for the WORK_* packets; copies ``data`` once."""
    size_bytes = len(handle) + 1 + len(data)
    return b"%b%b%b\0%b" % (_RESPONSE[number], _size(size_bytes), handle, data)


def echo_res(payload: bytes) -> bytes:
    """``response(ECHO_RES, payload)``; copies ``payload`` once."""
    return b"%b%b%b" % (_ECHO_RES, _size(len(payload)), payload)


def error(code: bytes, text: str) -> bytes:
    """An ERROR packet: a stable code to act on, and a sentence for a person."""
    return response(ERROR, code, text.encode())


def header(packet: bytes) -> tuple[int, int]:
    """The type of a packet, and the bytes that its header announces."""
    return int.from_bytes(packet[4:8], "big"), int.from_bytes(packet[8:HEADER_BYTES], "big")


def split(number: int, body: bytes) -> list[bytes]:
    """The fields of a packet's body, by the table.

    Raises MalformedPacket if there are fewer than the type needs.  A packet without fields ignores
    what its body holds, as gearmand does.
    """
    packet = PACKETS[number]
    if not packet.fields:
        return []
    fields = body.split(b"\0", len(packet.fields) - 1)
    missing = len(packet.fields) - len(fields)
    if missing == 1 and packet.optional:
        fields.append(b"")
    elif missing:
        raise MalformedPacket(
            f"{packet.name} needs {len(packet.fields)} arguments separated by NUL"
            f" ({', '.join(packet.fields)}); this one has {len(fields)}"
        )
    return fields


def trimmed(name: bytes) -> bytes:
    """A name that was sent as last field, without the NUL that some clients put behind it."""
    return name[:-1] if name.endswith(b"\0") else name


def encoded(what: str, value: object) -> bytes:
    """What a user gives, as it travels: bytes as they are, str as UTF-8.

    Names that came as bytes from somebody else (see ``decoded``) go back as the same bytes.
    Raises TypeError that names ``what`` it is.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value
    raise TypeError(f"{what} must be bytes or str, not {type(value).__name__}")


def decoded(name: bytes) -> str:
    """A name as a user sees it.  Others may choose any bytes; the str still says which."""
    return name.decode("utf-8", "surrogateescape")


def packed(values: Mapping[str, object]) -> bytes:
    """A JSON object as the last field of gearpy's own packets has it: plain ASCII.

    Names in it are str as ``decoded`` gives them, so that any bytes travel.  Raises TypeError or
    ValueError for values that JSON has no word for, NaN and infinities among them.
    """
    return _encoder.encode(values).encode()


def unpacked(what: str, text: bytes) -> dict[str, Any]:
    """The JSON object in a field of gearpy's own packets; ``packed`` the other way round.

    Raises MalformedPacket that names ``what`` holds something else.
    """
    try:
        values = _decoder.decode(decoded(text))
    except (ValueError, RecursionError) as error:
        raise MalformedPacket(f"{what} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise MalformedPacket(f"{what} is no JSON object, but {text[:80]!r}")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


# Made once: a job has several such fields on its way.
_encoder: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_decoder: Final = json.JSONDecoder(parse_constant=_refuse_constant)


_DIGITS: Final = frozenset(b"0123456789")
_DIGITS_MAX: Final = 20  # what a 64-bit number needs


def leading_integer(text: bytes) -> int:
    """The number at the start of ``text``, and 0 where there is none.

    gearmand reads numbers with C's ``strtol``: "12abc" is 12, "abc" is 0, "-3" is -3.
    """
    text = text.lstrip()
    sign = -1 if text.startswith(b"-") else 1
    if text[:1] in (b"-", b"+"):
        text = text[1:]
    digits = 0
    while digits < min(len(text), _DIGITS_MAX) and text[digits] in _DIGITS:
        digits += 1
    return sign * int(text[:digits]) if digits else 0
