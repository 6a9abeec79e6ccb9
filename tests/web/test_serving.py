"""How uvicorn is a guest: who is hung up on, and what becomes of the server if it dies."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from gearpy.broker.broker import Broker
from gearpy.client import Client
from gearpy.server.audit import Audit
from gearpy.server.clock import SystemClock
from gearpy.server.turns import Turns
from gearpy.testing.process import ServerProcess
from gearpy.web.desk import Desk
from gearpy.web.events import _STREAMS_MAX, Seen, Streams
from gearpy.web.history import History
from gearpy.web.serving import _Protocol
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SMALL_BYTES = 8192  # of a buffer of the system's


@asynccontextmanager
async def served(app: ASGIApp, protocol: type[_Protocol]) -> AsyncIterator[tuple[str, int]]:
    """An application that is served; where."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, http=protocol)
    config.load()
    state = ServerState()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BYTES)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), sock=sock)
    try:
        yield sock.getsockname()
    finally:
        server.close()


async def asking(address: tuple[str, int]) -> socket.socket:
    """A connection that has asked, and has taken nothing yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, address)
    await loop.sock_sendall(sock, GET)
    return sock


async def taken(sock: socket.socket, size_bytes: int) -> bytes:
    """The next bytes, so many or a few more; less at the end."""
    loop = asyncio.get_running_loop()
    said = b""
    async with asyncio.timeout(LIMIT_S):
        while len(said) < size_bytes and (part := await loop.sock_recv(sock, 65536)):
            said += part
    return said


async def test_readers_that_take_nothing_give_up_their_places() -> None:
    class Hasty(_Protocol):
        patience_s = 0.05

    broker, clock = Broker(), SystemClock()
    history = History(broker.engine)
    streams = Streams(Desk(broker, Turns(broker, clock, None), history, Audit(clock)))
    numbers = count()
    ended = asyncio.Semaphore(0)

    async def look() -> Seen:
        return Seen(f"{next(numbers)} {'x' * 500_000}")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await streams.stream("big", look)(scope, receive, send)
        finally:
            ended.release()

    async with served(app, Hasty) as address:
        readers = [await asking(address) for _ in range(_STREAMS_MAX)]
        async with asyncio.timeout(LIMIT_S):
            for _ in readers:
                await ended.acquire()
        late = await asking(address)
        assert (await taken(late, 100)).startswith(b"HTTP/1.1 200 ")
        for sock in (*readers, late):
            sock.close()
        async with asyncio.timeout(LIMIT_S):
            await ended.acquire()
    await history.stop()


async def test_who_takes_a_little_now_and_then_is_given_all_of_it() -> None:
    looked = asyncio.Event()

    class Hasty(_Protocol):
        patience_s = 0.05

        def _look(self) -> None:
            super()._look()
            looked.set()

    size_bytes = 1_000_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % size_bytes), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size_bytes})

    async with served(app, Hasty) as address:
        reader = await asking(address)
        said = b""
        while part := await taken(reader, 100_000):
            said += part
            if said.count(b"x") < size_bytes:
                looked.clear()
                async with asyncio.timeout(LIMIT_S):
                    await looked.wait()
        assert said.endswith(b"\r\n\r\n" + b"x" * size_bytes)
        reader.close()


async def test_who_never_takes_the_rest_of_an_answer_is_hung_up_on() -> None:
    class Hasty(_Protocol):
        patience_s = 0.05

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    lost = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"60000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 60_000})

    async with served(app, Hasty) as address:
        reader = await asking(address)
        async with asyncio.timeout(LIMIT_S):
            await lost.wait()
        reader.close()


MORTAL = """
import os
import uvicorn
tick = uvicorn.Server.on_tick
async def on_tick(self, counter):
    if os.path.exists(os.environ["DEATH"]):
        raise OSError("the clock stopped")
    return await tick(self, counter)
uvicorn.Server.on_tick = on_tick
from gearpy.cli.serve import main
main()
"""


def test_the_death_of_http_is_logged_and_gearman_goes_on(tmp_path: Path) -> None:
    death, log = tmp_path / "death", tmp_path / "log"
    mortal = ServerProcess(
        *("--http", "127.0.0.1:0", "--log-file", str(log)),
        environment={**os.environ, "DEATH": str(death)},
        program=(sys.executable, "-c", MORTAL),
    )
    with mortal as server, httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
        with http.stream("GET", "/", headers={"accept": "text/event-stream"}) as events:
            lines = events.iter_lines()
            assert next(lines) == ": here"
            death.touch()
            eventually(lambda: can_connect(server.http_url), False)
            assert list(lines)[-1] == "", "it ended, and was not broken off"
        with Client(server.address) as client:
            assert client.submit_background("f", b"")
        assert server.stop() == 0
    errors = [line for line in log.read_text().splitlines() if " ERROR " in line]
    assert len(errors) == 1, errors
    assert "HTTP is served no more until a restart: the clock stopped (OSError)" in errors[0]


def can_connect(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz", timeout=LIMIT_S)
    except httpx.TransportError:
        return False
    return True
