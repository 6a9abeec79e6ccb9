"""HTTP beside the Gearman port, in the same event loop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from gearpy.server.listeners import Listener, read_http_address
from gearpy.server.server import Server
from gearpy.server.settings import HTTP_CONNECTIONS_MAX as CONNECTIONS_MAX
from gearpy.server.settings import Settings, is_loopback
from gearpy.web.app import application
from gearpy.web.desk import Desk
from gearpy.web.history import History
from gearpy.web.lag import LoopLag
from gearpy.web.meter import Meter

log = logging.getLogger("gearpy.web")

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_STOP_S: Final = 2  # in which requests may end when the server stops


class _Protocol(H11Protocol):
    """uvicorn's, that lets nobody hold a connection for nothing.

    Each connection costs a file descriptor, which the Gearman port needs, too.  h11, unlike the
    other parser that uvicorn knows, limits the size of headers, and reads the body of a request
    that would rather speak HTTP/2.
    """

    patience_s = 20.0
    _timer: asyncio.TimerHandle | None = None
    _was_idle = False
    _left_bytes: int | None = None  # to be taken, at the last look; None: more may have come since

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.close()
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._left_bytes = None
        super().resume_writing()

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self.patience_s, self._look)

    def _look(self) -> None:
        """Hangs up on who took nothing between two looks, or had no request under way at both."""
        if self._takes_nothing():
            self.transport.abort()
            return
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        idle = cycle is None or cycle.response_complete
        if idle and self._was_idle:
            self.transport.close()  # once the rest is taken, which is looked at, too
        self._was_idle = idle
        self._look_later()

    def _takes_nothing(self) -> bool:
        """Whether what there was to be taken at the last look is all there, and nothing came."""
        before_bytes, left_bytes = self._left_bytes, self.transport.get_write_buffer_size()
        comes_nothing = self.flow.write_paused or self.transport.is_closing()
        self._left_bytes = left_bytes if comes_nothing else None
        return before_bytes is not None and 0 < before_bytes <= left_bytes


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
    """Serves on these sockets until the end of the block."""
    settings = around.settings
    _log_errors()
    lag = LoopLag(around.clock)
    history = History(around.broker.engine)
    desk = Desk(around.broker, around.turns, history, around.audit)
    host, _ = read_http_address(settings.http)
    _warn(settings, host)
    app = application(
        desk,
        Meter(around, lag),
        token=settings.http_token,
        hosts=(*_LOCAL_HOSTS, host) if is_loopback(host) else (),
        payload_bytes_max=settings.max_payload,
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
    )
    config.load()
    config.ssl = next((each.tls for each in listening), None)  # read while we might be root
    server = _Uvicorn(config)
    serving = asyncio.create_task(_serve(server, [each.sock for each in listening], desk))
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


async def _serve(server: _Uvicorn, sockets: list[Any], desk: Desk) -> None:
    """Serves until it is told to stop.  What ends it before, once it listens, is logged: that is no
    reason for a job server to stop.  Raises what keeps it from listening."""
    try:
        await server.serve(sockets)
    except Exception as error:
        if not server.started:
            raise
        log.exception(
            "HTTP is served no more until a restart: %s (%s); Gearman's clients and workers are"
            " served as before",
            error,
            type(error).__name__,
        )
        desk.closing.set()
        await server.shutdown(sockets)


def _warn(settings: Settings, host: str) -> None:
    """Of what was asked for and is less than it may seem."""
    if is_loopback(host):
        return
    if not settings.http_cert:
        log.warning(
            "HTTP: the token and all data travel as they are; give --http-cert FILE, or let a proxy"
            " in front of this server encrypt them"
        )
    elif not settings.http_token:
        log.warning(
            "HTTP: a certificate keeps nobody out: whoever reaches %s can read and cancel all jobs;"
            " give --http-token TOKEN, too",
            settings.http,
        )


def _log_errors() -> None:
    """What uvicorn has to say of errors, such as a traceback, goes where our own log goes; what it
    says of strangers' mistakes nowhere."""
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = logging.getLogger("gearpy").handlers
    logger.setLevel(logging.ERROR)
    logger.propagate = False
