"""Does requests over HTTP, as far as they are allowed."""

import asyncio
import base64
import ssl
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, final
from urllib.parse import urlencode

import httpx

from gearpy.errands.hosts import Hosts
from gearpy.errands.orders import (
    IN_QUERY,
    NotWell,
    Params,
    Request,
    Response,
    Scalar,
    each_of,
    excerpt,
    shown_url,
)
from gearpy.errors import BadErrand, FailJob
from gearpy.version import VERSION

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEPT_HEADERS: Final = ("content-type", "date", "etag", "last-modified", "location", "retry-after")
_FORM: Final = "application/x-www-form-urlencoded"
# What describes the connection and what can be read, both ours, or would say that it goes somewhere
# else.
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "accept-encoding"}
)
_CONNECT_S: Final = 10.0  # where there is another address to try
_GZIP: Final = ("gzip", "x-gzip")
_DEFAULTS: Final = {
    "accept": "*/*",
    "accept-encoding": _GZIP[0],
    "connection": "close",
    "user-agent": f"gearpy/{VERSION}",
}


@final
class Requester:
    """Does requests to these hosts, and keeps at most so many bytes of an answer."""

    def __init__(self, hosts: Hosts, bytes_max: int) -> None:
        self._hosts = hosts
        self._bytes_max = bytes_max
        # A client would ask proxies, which look names up once more, keep one job's cookies for the
        # next one, and stumble over where redirects lead.
        self._transport = httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            # Connections are known by their address, behind which there may be several hosts.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives back its connections."""
        await self._transport.aclose()

    async def perform(self, request: Request) -> Response:
        """The answer, if it is a good one; redirects are followed where they are allowed, too.

        Raises NotWell for an answer with a status from 400 on, or from 300 on where there may be no
        redirects, and BadErrand or FailJob where there is none; their sentences are for people.
        """
        what = f"{request.method} {shown_url(request.url)}"
        try:
            async with asyncio.timeout(request.timeout_s):
                response = await self._follow(request)
        except TimeoutError:
            raise FailJob(f"{what} was not answered within {request.timeout_s:g} s") from None
        except (httpx.HTTPError, OSError) as error:
            raise FailJob(f"{what} failed: {str(error) or type(error).__name__}") from None
        if response.status >= (400 if request.redirects else 300):
            how = f"{what} was answered with {response.status}"
            told = excerpt(response.body)
            raise NotWell(f"{how}{f': {told}' if told else ''}", response, how)
        return response

    async def _follow(self, request: Request) -> Response:
        try:
            outgoing = self._outgoing(request)
        except (httpx.InvalidURL, ValueError) as error:
            raise BadErrand(f"{shown_url(request.url)!r} is no URL: {error}") from None
        for _ in range(request.redirects + 1):
            response = await self._ask(outgoing)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None or not request.redirects:
                return response
            try:
                outgoing = self._redirected(outgoing, response.status, location)
            except (httpx.InvalidURL, ValueError) as error:
                raise FailJob(
                    f"{shown_url(request.url)} was redirected to {shown_url(location)!r}, which is"
                    f" no URL: {error}"
                ) from None
        raise FailJob(
            f"{shown_url(request.url)} was redirected more than {request.redirects} times"
        )

    def _outgoing(self, request: Request) -> httpx.Request:
        """The request to the first host."""
        url = httpx.URL(request.url)
        headers, body = _own(request.headers), request.body
        if url.userinfo:
            user = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
            headers.setdefault("authorization", f"Basic {user}")
            url = url.copy_with(userinfo=b"")
        pairs = _encoded(request.params)
        if pairs and request.method in IN_QUERY:
            query = "&".join(filter(None, (url.query.decode("ascii"), pairs)))
            url = url.copy_with(query=query.encode())
        elif pairs:
            headers.setdefault("content-type", _FORM)
            body = pairs.encode()
        return _request(request.method, url, headers, body)

    def _redirected(self, before: httpx.Request, status: int, location: str) -> httpx.Request:
        """As browsers have it: where the method may change, it becomes GET."""
        url = before.url.join(location)
        method, body = before.method, before.content
        if status == 303 or (status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), b""
        # What was said to one host, a password perhaps, is not for another.
        same = (url.scheme, url.host, url.port) == (
            before.url.scheme,
            before.url.host,
            before.url.port,
        )
        headers = {
            name: value
            for name, value in _own(before.headers).items()
            if same or name in ("accept", "content-type", "user-agent")
        }
        if not body:
            headers.pop("content-type", None)
        return _request(method, url.copy_with(userinfo=b""), headers, body)

    async def _ask(self, request: httpx.Request) -> Response:
        url = request.url
        host = url.raw_host.decode("ascii")  # as it is looked up: ß is another name for some
        if url.scheme not in ("http", "https") or not host:
            raise BadErrand(f"{shown_url(str(url))!r} is no URL like https://example.org/")
        port = url.port or (443 if url.scheme == "https" else 80)
        if port > 65535:
            raise BadErrand(f"{shown_url(str(url))!r} is no URL: it has no port from 1 to 65535")
        addresses = await self._hosts.addresses(host, port)
        for number, address in enumerate(addresses, 1):
            is_last = number == len(addresses)
            there = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers={**request.headers, "host": url.netloc.decode("ascii")},
                content=request.content,
                extensions={
                    "sni_hostname": host,
                    "timeout": {} if is_last else {"connect": _CONNECT_S},
                },
            )
            try:
                answer = await self._transport.handle_async_request(there)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if is_last:
                    raise
                continue
            try:
                return await self._read(answer, str(url))
            finally:
                await answer.aclose()
        raise AssertionError("a name that was looked up has an address")

    async def _read(self, answer: httpx.Response, url: str) -> Response:
        where = shown_url(url)
        reader = _Reader(answer.headers.get("content-encoding", ""))
        body = bytearray()
        async for part in answer.aiter_raw():
            try:
                body += reader.read(part, self._bytes_max + 1 - len(body))
            except ValueError as error:
                raise FailJob(f"the answer of {where} can't be read: {error}") from None
            if len(body) > self._bytes_max:
                raise FailJob(f"the answer of {where} has more than {self._bytes_max:,} bytes")
        headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
        return Response(status=answer.status_code, url=url, headers=headers, body=bytes(body))


@final
class _Reader:
    """Reads a body that is compressed, perhaps: a little of it may be very much."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(self, part: bytes, bytes_max: int) -> bytes:
        """What is in a part, so far as it fits.  Raises ValueError if that can't be found out."""
        if self._encoding in ("", "identity"):
            return part
        if self._encoding not in _GZIP:
            raise ValueError(f"it is encoded as {self._encoding[:40]!r}")
        try:
            read = self._inflater.decompress(part, bytes_max)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if self._inflater.unused_data:  # which would be kept, however much it is
            raise ValueError("there is something behind its end")
        return read


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that are not ours, by their names in lower case."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _OURS}


def _request(
    method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes | None
) -> httpx.Request:
    return httpx.Request(method, url, headers={**_DEFAULTS, **headers}, content=body or None)


def _encoded(params: Params) -> str:
    pairs = [(name, _word(each)) for name, value in params.items() for each in each_of(value)]
    return urlencode(pairs)


def _word(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)  # true, as in JSON
