"""A payload as a field of JSON: as text where it is text, else in base64."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from gearpy.engine.policy import refusal
from gearpy.errors import InvalidArgument


def read_payload(said: Mapping[str, Any]) -> bytes:
    """What ``data`` or ``data_base64`` of a table stand for; neither of them: nothing.

    Raises InvalidArgument if both are there, or if it can't be read.
    """
    data, encoded = said.get("data"), said.get("data_base64")
    if data is not None and encoded is not None:
        raise InvalidArgument("data and data_base64 both say what the payload is; give one of them")
    if encoded is None:
        return read_name("data", "" if data is None else data)
    if not isinstance(encoded, str):
        raise refusal("data_base64", encoded, "text in base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise refusal("data_base64", encoded, "text in base64") from None


def payload_fields(payload: bytes) -> dict[str, object]:
    """The field that stands for a payload; none for an empty one."""
    if not payload:
        return {}
    try:
        return {"data": payload.decode()}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(payload).decode()}


def read_name(field: str, value: object) -> bytes:
    """Text whose surrogates stand for bytes that are no UTF-8.  Raises InvalidArgument."""
    if not isinstance(value, str):
        raise refusal(field, value, "text")
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise refusal(field, value, "text that can be written as UTF-8") from None
