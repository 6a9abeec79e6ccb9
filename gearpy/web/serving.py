"""HTTP beside the Gearman port, in the same event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn

from gearpy.errors import SettingError
from gearpy.server.listeners import Listener, read_http_address
from gearpy.server.server import Server
from gearpy.web.app import application
from gearpy.web.desk import Desk
from gearpy.web.history import History
from gearpy.web.lag import LoopLag
from gearpy.web.meter import Meter

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_BASE64: Final = 3 / 2  # of a payload in JSON, escapes and the rest of it included
_REST_BYTES: Final = 64 << 10
_CONNECTIONS_MAX: Final = 1000  # at a time; more are answered with 503
_STOP_S: Final = 2  # in which requests may end when the server stops


class _Uvicorn(uvicorn.Server):
    """uvicorn as a guest: signals are its host's, which also has the event loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def serve_http(around: Server, listening: Sequence[Listener]) -> AsyncIterator[None]:
    """Serves on these sockets until the end of the block.  Raises SettingError if the certificate
    or its key is no good."""
    settings = around.settings
    lag = LoopLag(around.clock)
    history = History(around.broker.engine)
    desk = Desk(around.broker, around.turns, history)
    host, _ = read_http_address(settings.http)
    app = application(
        desk,
        Meter(around, lag),
        token=settings.http_token,
        hosts=(*_LOCAL_HOSTS, f"[{host}]" if ":" in host else host.lower()),
        body_bytes_max=int(settings.max_payload * _BASE64) + _REST_BYTES,
    )
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_graceful_shutdown=_STOP_S,
        ws="none",
        ssl_certfile=settings.http_cert or None,
        ssl_keyfile=settings.http_key or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingError(f"--http-cert and --http-key: {error}") from None
    server = _Uvicorn(config)
    serving = asyncio.create_task(server.serve([each.sock for each in listening]))
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait((serving, listens), return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        listens.cancel()
        desk.closing.set()
        server.should_exit = True
        await serving
        lag.stop()
        await history.stop()
