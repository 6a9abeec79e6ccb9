"""A gearpy-server in a thread of this process, whose time a test moves by hand."""

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar, final

from gearpy.broker.broker import BrokerStatistics
from gearpy.engine.policy import read_policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.errors import WaitTimeout
from gearpy.server.clock import SystemClock
from gearpy.server.server import Server
from gearpy.server.settings import load
from gearpy.stores.sqlite import SqliteStore

_WAIT_S: Final = 30.0
_HOST: Final = "127.0.0.1"

_Returned = TypeVar("_Returned")


@final
class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._stands_s = SystemClock().now_s()

    def now_s(self) -> float:
        return self._stands_s

    def move_to(self, time_s: float) -> None:
        """Forward, to seconds since the epoch; what lies behind already changes nothing."""
        self._stands_s = max(self._stands_s, time_s)


@final
class LocalServer:
    """A server on a free port of 127.0.0.1, from ``with`` to the end of the block.

    It speaks to any client and worker, through sockets, as a real one does.  Its time stands still:
    delays, backoff, expiry and timeouts of jobs happen when ``advance`` says so, and then at once.

    ``policies`` are as in a configuration file: ``{"mail": {"attempts": 3, "backoff": [60]}}``.
    ``settings`` are those of gearpy-server by their long names with ``_`` for ``-``:
    ``journal="jobs.db"``, ``job_retries=0``.
    """

    host = _HOST

    def __init__(
        self, *, policies: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
    ) -> None:
        read = load({"listen": [_HOST], "port": 0, **settings}, {}, None)
        book = {name.encode(): read_policy(table) for name, table in (policies or {}).items()}
        PolicyBook(book)
        self._settings = dataclasses.replace(read, policies=book)
        self._clock = HandClock()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gearpy-server", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._server: Server
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Host and port, as clients take them."""
        return self._server.addresses[0]

    @property
    def port(self) -> int:
        """The port."""
        return int(self.address.rpartition(":")[2])

    @property
    def now_s(self) -> float:
        """The server's time, in seconds since the epoch."""
        return self._clock.now_s()

    def start(self) -> None:
        """Starts it and waits until it listens.  Raises what it ends with instead."""
        self._thread.start()
        self._started.wait(_WAIT_S)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stops it at once, and waits for its end.  May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.wishes.stop, False)
            self._thread.join(_WAIT_S)

    def advance(self, seconds: float) -> None:
        """Moves time forward; returns once all has happened that was due by then, each at its
        moment.  Raises ValueError for a way back."""
        if seconds < 0:
            raise ValueError(f"time goes forward only, not by {seconds} s")
        until_s = self._clock.now_s() + seconds

        def move() -> None:
            self._server.turns.begin()
            broker = self._server.broker
            while (due_s := broker.next_due_s()) < until_s:
                self._clock.move_to(due_s)
                broker.advance(due_s)
            self._clock.move_to(until_s)
            broker.advance(until_s)

        self._call(move)

    def statistics(self) -> BrokerStatistics:
        """Counters and sizes, of the server and of each function."""
        return self._call(lambda: self._server.broker.statistics())

    def _call(self, act: Callable[[], _Returned]) -> _Returned:
        """Does something between two rounds of the server's event loop."""

        async def run() -> _Returned:
            return act()

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result(_WAIT_S)
        except TimeoutError:
            raise WaitTimeout("the server in this process hangs") from None

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        journal = self._settings.journal_file
        store = SqliteStore(journal) if journal else None
        self._server = Server(self._settings, store, self._clock, embedded=True)
        await self._server.run(lambda _: self._started.set())
