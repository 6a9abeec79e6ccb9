"""HTTP beside the Gearman port, in the same event loop."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from gearpy.errors import SettingError
from gearpy.server.listeners import Listener, read_http_address
from gearpy.server.server import Server
from gearpy.server.settings import HTTP_CONNECTIONS_MAX as CONNECTIONS_MAX
from gearpy.server.settings import is_loopback
from gearpy.web.app import application
from gearpy.web.desk import Desk
from gearpy.web.history import History
from gearpy.web.lag import LoopLag
from gearpy.web.meter import Meter

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_BASE64: Final = 3 / 2  # of a payload in JSON, escapes and the rest of it included
_REST_BYTES: Final = 64 << 10
_STOP_S: Final = 2  # in which requests may end when the server stops


class _Protocol(H11Protocol):
    """uvicorn's, that lets nobody hold a connection for nothing.

    Each connection costs a file descriptor, which the Gearman port needs, too.  h11, unlike the
    other parser that uvicorn knows, limits the size of headers, and reads the body of a request
    that would rather speak HTTP/2.
    """

    patience_s = 20.0
    _look: asyncio.TimerHandle | None = None
    _was_idle = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.close()
        else:
            self._look = self.loop.call_later(self.patience_s, self._look_whether_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _look_whether_idle(self) -> None:
        """Closes what had no request under way at two looks; one may be between two of them."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        idle = cycle is None or cycle.response_complete
        if idle and self._was_idle:
            self.transport.close()
            return
        self._was_idle = idle
        self._look = self.loop.call_later(self.patience_s, self._look_whether_idle)


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
    _log_errors()
    lag = LoopLag(around.clock)
    history = History(around.broker.engine)
    desk = Desk(around.broker, around.turns, history)
    host, _ = read_http_address(settings.http)
    app = application(
        desk,
        Meter(around, lag),
        token=settings.http_token,
        hosts=(*_LOCAL_HOSTS, host) if is_loopback(host) else (),
        body_bytes_max=int(settings.max_payload * _BASE64) + _REST_BYTES,
    )
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=_Protocol,
        backlog=settings.backlog,
        timeout_graceful_shutdown=_STOP_S,
        ws="none",
        ssl_certfile=settings.http_cert or None,
        ssl_keyfile=settings.http_key or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        await history.stop()
        lag.stop()
        raise SettingError(f"--http-cert and --http-key: {error}") from None
    server = _Uvicorn(config)
    serving = asyncio.create_task(server.serve([each.sock for each in listening]))
    listens = asyncio.create_task(server.listens.wait())
    try:
        await asyncio.wait((serving, listens), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield
    finally:
        listens.cancel()
        desk.closing.set()
        server.should_exit = True
        try:
            await serving
        finally:
            lag.stop()
            await history.stop()


def _log_errors() -> None:
    """What uvicorn has to say of errors, such as a traceback, goes where our own log goes; what it
    says of strangers' mistakes nowhere."""
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = logging.getLogger("gearpy").handlers
    logger.setLevel(logging.ERROR)
    logger.propagate = False
