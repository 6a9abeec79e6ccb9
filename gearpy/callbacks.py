"""Callbacks: how the server signs what it tells a URL, and how the receiver finds out who said it.

The signature is that of Standard Webhooks 1.0 (https://www.standardwebhooks.com), so that its
libraries for other languages check it, too: HMAC with SHA-256 over the delivery's id, the time in
whole seconds since the epoch and the body, with dots between them.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from gearpy.errors import ForgedCallback, InvalidArgument

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

SECRET_BYTES_MIN: Final = 16

_VERSION: Final = "v1"
_IN_BASE64: Final = "whsec_"
_DAY_S: Final = 86_400.0


class Headers(Protocol):
    """Those of a request, as any framework has them: a mapping, or what is like one."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def secret_key(secret: str) -> bytes:
    """The key of the HMAC: what stands behind ``whsec_`` in base64, or the text itself.

    Raises InvalidArgument for one that could be guessed, or is no base64.
    """
    key = secret.encode("utf-8", "surrogateescape")
    if secret.startswith(_IN_BASE64):
        try:
            key = base64.b64decode(secret.removeprefix(_IN_BASE64), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidArgument(f"what stands behind {_IN_BASE64} is base64") from None
    if len(key) < SECRET_BYTES_MIN:
        raise InvalidArgument(
            f"a secret of {len(key)} bytes can be guessed; it has at least {SECRET_BYTES_MIN}"
        )
    return key


def signed(key: bytes, delivery: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers that say who sends this body, and when.

    >>> headers = signed(b"k" * 16, "H:a:5", 1700000000, b"{}")
    >>> headers["webhook-signature"]
    'v1,ZQQ2rhxNuSchbDnaM/ZjXZYokYnIYEkKL6VnEBrOFBo='
    """
    mac = base64.b64encode(_mac(key, delivery, str(timestamp_s), body)).decode()
    return {ID: delivery, TIMESTAMP: str(timestamp_s), SIGNATURE: f"{_VERSION},{mac}"}


def signed_anew(
    key: bytes, headers: Mapping[str, str], body: bytes, now_s: float
) -> dict[str, str]:
    """The headers of a callback, signed at this moment in place of when the server made it.  Where
    its signature is not right, or there is none, they stay as they are."""
    if not {ID, TIMESTAMP, SIGNATURE} <= headers.keys():
        return dict(headers)
    expected = base64.b64encode(_mac(key, headers[ID], headers[TIMESTAMP], body))
    if not _is_same(headers[SIGNATURE], expected):
        return dict(headers)
    return {**headers, **signed(key, headers[ID], int(now_s), body)}


def verify_callback(
    secret: str,
    headers: Headers,
    body: bytes,
    *,
    max_age_s: float = _DAY_S,
    now_s: float | None = None,
) -> dict[str, Any]:
    """What a gearpy-server tells of a job that has ended, for the program whose URL is called.

    ``secret`` is the server's ``--callback-secret``; ``headers`` are those of the request, whose
    names may be written in any way; ``body`` is its body as it came.  A callback that could not be
    delivered is tried again for hours, so it may be old; what is older than ``max_age_s`` seconds,
    or comes from as far in the future, is refused.  One may come twice, with the same
    ``webhook-id``: whoever minds that must remember those of the last ``max_age_s``.

    Returns the JSON object of the body; its fields are described in protocol.md.  Raises
    ForgedCallback, whose sentence says what is wrong, and InvalidArgument for a secret that is
    none.
    """
    key = secret_key(secret)
    found = {name.lower(): value for name, value in headers.items()}
    for name in (ID, TIMESTAMP, SIGNATURE):
        if name not in found:
            raise ForgedCallback(f"the callback has no header {name}: it is not signed")
    timestamp = found[TIMESTAMP]
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 13):
        raise ForgedCallback(f"{TIMESTAMP} is {timestamp[:40]!r}, and no number of seconds")
    try:
        expected = base64.b64encode(_mac(key, found[ID], timestamp, body))
    except UnicodeEncodeError:
        raise ForgedCallback(f"{ID} is {found[ID][:40]!r}, which no header can be") from None
    if not any(_is_same(each, expected) for each in found[SIGNATURE].split()):
        raise ForgedCallback(
            "the signature of the callback is wrong: it was made with another secret, or the"
            " callback was changed on its way"
        )
    age_s = (time.time() if now_s is None else now_s) - int(timestamp)
    if age_s > max_age_s:
        raise ForgedCallback(
            f"the callback was signed {age_s:,.0f} s ago, and at most {max_age_s:,.0f} are allowed:"
            " it may be an old one, sent once more"
        )
    if age_s < -max_age_s:
        raise ForgedCallback(
            f"the callback was signed {-age_s:,.0f} s from now, and at most {max_age_s:,.0f} are"
            " allowed: one of the two clocks is wrong"
        )
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ForgedCallback(f"the body of the callback is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise ForgedCallback("the body of the callback is no JSON object")
    return told


def _mac(key: bytes, delivery: str, timestamp: str, body: bytes) -> bytes:
    signs = f"{delivery}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    return hmac.new(key, signs, hashlib.sha256).digest()


def _is_same(signature: str, expected: bytes) -> bool:
    version, _, mac = signature.partition(",")
    return version == _VERSION and hmac.compare_digest(mac.encode("utf-8", "replace"), expected)
