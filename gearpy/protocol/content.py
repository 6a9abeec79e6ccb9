"""Bytes that may be anything, in JSON: as text where they are text, else in base64."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from gearpy.errors import MalformedPacket

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def content(name: str, data: bytes, bytes_max: int) -> dict[str, object]:
    """The fields that stand for ``data``, or for its beginning.

    >>> content("result", b"done", 100), content("result", b"done", 2)
    ({'result': 'done'}, {'result_cut': True, 'result': 'do'})
    >>> content("result", bytes([255, 0]), 100)
    {'result_base64': '/wA='}
    """
    table: dict[str, object] = {}
    shown = data
    if len(data) > bytes_max:
        shown = data[:bytes_max]
        table[f"{name}_cut"] = True
    text = _text(shown, cut=shown is not data)
    if text is None:
        table[f"{name}_base64"] = base64.b64encode(shown).decode()
    else:
        table[name] = text
    return table


def read_content(name: str, table: Mapping[str, object]) -> bytes | None:
    """The bytes that such fields stand for; None if there are none.

    Raises MalformedPacket if they are no text.
    """
    text, encoded = table.get(name), table.get(f"{name}_base64")
    if text is not None and encoded is not None:
        raise MalformedPacket(f"{name} and {name}_base64 say the same thing twice; give one")
    try:
        if isinstance(text, str):
            return text.encode()
        if isinstance(encoded, str):
            return base64.b64decode(encoded, validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise MalformedPacket(f"{name} can't be read: {error}") from None
    if text is None and encoded is None:
        return None
    raise MalformedPacket(f"{name} is text, or {name}_base64 is base64")


def _text(data: bytes, cut: bool) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if not cut or error.reason != "unexpected end of data":
            return None
        text = data[: error.start].decode()  # the cut went through a character
    return None if _CONTROL.search(text) else text
