"""Does requests over HTTP, as far as they are allowed."""

import asyncio
import ssl
from types import TracebackType
from typing import Final, Self, final
from urllib.parse import urlencode

import httpx

from gearpy.errands.hosts import Hosts
from gearpy.errands.orders import IN_QUERY, NotWell, Request, Response
from gearpy.errors import BadErrand, FailJob
from gearpy.version import VERSION

REDIRECTS_MAX: Final = 5

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEPT_HEADERS: Final = ("content-type", "date", "etag", "last-modified", "location", "retry-after")
_FORM: Final = "application/x-www-form-urlencoded"
# What describes the connection, which is ours, or would say that it goes somewhere else.
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})


@final
class Requester:
    """Does requests to these hosts, and keeps at most so many bytes of an answer."""

    def __init__(self, hosts: Hosts, bytes_max: int) -> None:
        self._hosts = hosts
        self._bytes_max = bytes_max
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(),
            # Connections are known by their address, behind which there may be several hosts.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,  # a proxy would look names up once more
            follow_redirects=False,
            timeout=None,  # each request has one of its own, over all of it
            headers={"user-agent": f"gearpy/{VERSION}"},
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
        await self._client.aclose()

    async def perform(self, request: Request) -> Response:
        """The answer, if it is a good one; redirects are followed where they are allowed, too.

        Raises NotWell for an answer with a status from 400 on, and BadErrand or FailJob where there
        is none; their sentences are for people.
        """
        what = f"{request.method} {request.url}"
        try:
            async with asyncio.timeout(request.timeout_s):
                response = await self._follow(request)
        except TimeoutError:
            raise FailJob(f"{what} was not answered within {request.timeout_s:g} s") from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise BadErrand(f"{request.url[:200]!r} is no URL: {error}") from None
        except (httpx.HTTPError, OSError) as error:
            raise FailJob(f"{what} failed: {str(error) or type(error).__name__}") from None
        if response.status >= 400:
            told = response.body[:200].decode("utf-8", "replace").strip()
            raise NotWell(
                f"{what} was answered with {response.status}{f': {told}' if told else ''}", response
            )
        return response

    async def _follow(self, request: Request) -> Response:
        outgoing = self._outgoing(request)
        for _ in range(REDIRECTS_MAX + 1):
            response = await self._ask(outgoing)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None:
                return response
            outgoing = self._redirected(outgoing, response.status, location)
        raise FailJob(f"{request.url} was redirected more than {REDIRECTS_MAX} times")

    def _outgoing(self, request: Request) -> httpx.Request:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _OURS
        }
        pairs = urlencode(request.params, doseq=True)
        if not pairs:
            return self._client.build_request(
                request.method, request.url, headers=headers, content=request.body
            )
        if request.method in IN_QUERY:
            url = httpx.URL(request.url)
            query = "&".join(filter(None, (url.query.decode("ascii"), pairs)))
            return self._client.build_request(
                request.method, url.copy_with(query=query.encode()), headers=headers
            )
        return self._client.build_request(
            request.method, request.url, headers={"content-type": _FORM, **headers}, content=pairs
        )

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
            for name, value in before.headers.items()
            if name not in _OURS and (same or name in ("accept", "content-type", "user-agent"))
        }
        if not body:
            headers.pop("content-type", None)
        return self._client.build_request(method, url, headers=headers, content=body or None)

    async def _ask(self, request: httpx.Request) -> Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.host:
            raise BadErrand(f"{str(url)[:200]!r} is no URL like https://example.org/")
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._hosts.addresses(url.host, port)
        for number, address in enumerate(addresses, 1):
            there = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers={**request.headers, "host": url.netloc.decode("ascii")},
                content=request.content,
                extensions={"sni_hostname": url.host, "timeout": {}},
            )
            try:
                answer = await self._client.send(there, stream=True)
            except httpx.ConnectError:
                if number == len(addresses):
                    raise
                continue
            try:
                return await self._read(answer, str(url))
            finally:
                await answer.aclose()
        raise AssertionError("a name that was looked up has an address")

    async def _read(self, answer: httpx.Response, url: str) -> Response:
        body = bytearray()
        async for part in answer.aiter_bytes():  # decompressed: that counts, too
            body += part
            if len(body) > self._bytes_max:
                raise FailJob(f"the answer of {url} has more than {self._bytes_max:,} bytes")
        headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
        return Response(status=answer.status_code, url=url, headers=headers, body=bytes(body))
