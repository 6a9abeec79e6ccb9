"""Who may come in, and how much they may bring."""

import asyncio
import base64
import binascii
import re
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, final
from urllib.parse import unquote

from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gearpy.web.asker import asker
from gearpy.web.problems import problem

_OPEN: Final = frozenset({"/healthz", "/readyz"})  # for those who only ask whether it is well
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_USER_CHARACTERS: Final = 40
_ALWAYS: Final = [(b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY")]
_REALM: Final = 'Basic realm="gearpy", charset="UTF-8"'


@final
class Guard:
    """Lets in who has the token, from this place, with a body of at most ``body_bytes_max`` that
    comes within ``body_s`` seconds.

    On paths like ``raw`` it may have ``raw_bytes_max``: what is not decoded holds nobody up.

    The token comes as ``Authorization: Bearer``, or as the password of any user: that is what a
    browser asks for.  An empty one lets everybody in.

    A page of somebody else, open in the browser of one who is let in, must not act here: requests
    that change something are refused if their ``Origin`` is another host.  Where there are
    ``hosts`` and no token, the host that the request names must be one of them, so that no name of
    a stranger's that points to this machine is taken for ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str = "",
        hosts: Iterable[str] = (),
        body_bytes_max: int,
        raw: re.Pattern[str] | None = None,
        raw_bytes_max: int = 0,
        body_s: float = 30.0,
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(hosts)
        self._body_bytes_max = body_bytes_max
        self._raw = raw
        self._raw_bytes_max = raw_bytes_max
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asker.set(_asker(scope))
        # Names may hold any bytes, and so may paths.
        scope["path"] = unquote(scope["raw_path"].decode("ascii"), errors="surrogateescape")
        limit_bytes = self._limit_bytes(scope["path"])
        body = _Body(scope, receive, send, limit_bytes, self._body_s)
        refusal = self._refusal(scope, limit_bytes)
        await (refusal or self._app)(scope, body.receive, body.send)

    def _limit_bytes(self, path: str) -> int:
        is_raw = self._raw is not None and self._raw.fullmatch(path)
        return self._raw_bytes_max if is_raw else self._body_bytes_max

    def _refusal(self, scope: Scope, limit_bytes: int) -> Response | None:
        headers = Headers(scope=scope)
        if scope["path"] in _OPEN:
            return None
        if not self._is_ours(headers.get("host", "")):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this server does not answer to that name; set --http-token to use any",
            )
        if not self._is_known(headers.get("authorization", "")):
            answer = problem(
                HTTPStatus.UNAUTHORIZED, "the token is missing or wrong; send it as a bearer token"
            )
            answer.headers["WWW-Authenticate"] = _REALM
            return answer
        if scope["method"] not in _READING and not _is_own(headers):
            return problem(HTTPStatus.FORBIDDEN, "a page of another host may change nothing here")
        if _announced_bytes(headers) > limit_bytes:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(limit_bytes))
        return None

    def _is_ours(self, host: str) -> bool:
        return bool(self._token) or not self._hosts or _without_port(host) in self._hosts

    def _is_known(self, authorization: str) -> bool:
        return not self._token or secrets.compare_digest(_token(authorization), self._token)


@final
class _Body:
    """The body of a request: not too large, and not too slow.

    Who is answered before it is there, and sends it all the same, is hung up on: else the rest
    would be read and thrown away for as long as it comes.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, bytes_max: int, within_s: float
    ) -> None:
        headers = Headers(scope=scope)
        self._receive = receive
        self._send = send
        self._bytes_max = bytes_max
        self._within_s = within_s
        self._size_bytes = 0
        self._whole = not (_announced_bytes(headers) or "transfer-encoding" in headers)
        self._deadline_s = asyncio.get_running_loop().time() + within_s

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            closes = [] if self._whole else [(b"connection", b"close")]
            message["headers"] = [*message["headers"], *_ALWAYS, *closes]
        await self._send(message)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()  # that the client hangs up, for which there is no hurry
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {self._within_s:g} s"
            ) from None
        self._size_bytes += len(message.get("body", b""))
        if self._size_bytes > self._bytes_max:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(self._bytes_max))
        self._whole = not message.get("more_body", False)
        return message


def _too_large(bytes_max: int) -> str:
    return f"the body is too large; this server takes {bytes_max:,} bytes here"


def _announced_bytes(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _without_port(host: str) -> str:
    """The name in a Host header.

    >>> _without_port("localhost:4780"), _without_port("[::1]:4780"), _without_port("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return (name if colon and not port.endswith("]") else host).lower()


def _token(authorization: str) -> bytes:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")  # as headers are read: these are the bytes sent
    return _decoded(value).partition(b":")[2] if scheme.lower() == "basic" else b""


def _decoded(credentials: str) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _asker(scope: Scope) -> str:
    """Whoever the request says makes it, for people: a user's name is believed, like any name."""
    host = (scope.get("client") or ("a Unix socket", 0))[0]
    scheme, _, value = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return host
    user = _decoded(value).partition(b":")[0].decode("utf-8", "replace")
    return f"{user[:_USER_CHARACTERS]!r} at {host}" if user else host


def _is_own(headers: Headers) -> bool:
    """Whether no browser says that the request comes from a page of another host."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") == "cross-site":
        return False
    if origin is None:
        return True
    return origin.partition("://")[2] == headers.get("host", "")
