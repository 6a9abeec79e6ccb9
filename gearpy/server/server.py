"""A server from start to stop: start in order, drain, stop in reverse."""

import asyncio
import logging
import os
import pwd
import random
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final, final

from gearpy.broker.broker import Broker, Facts, Limits
from gearpy.broker.callbacks import SignedCaller
from gearpy.engine.policy import Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.ports import Observer
from gearpy.engine.rules import Rules
from gearpy.engine.statistics import HistogramStatistics
from gearpy.errands.orders import EXEC_FUNCTION, HTTP_FUNCTION
from gearpy.errors import SettingError
from gearpy.server import listeners, log
from gearpy.server.audit import Audit
from gearpy.server.clock import Clock, LocalCalendar, SystemClock, first_handle_number
from gearpy.server.committer import Committer
from gearpy.server.connections import Connections
from gearpy.server.host import LoggingHost
from gearpy.server.listeners import Listener
from gearpy.server.settings import (
    COMMIT,
    HTTP_CONNECTIONS_MAX,
    PREFIX_BYTES_MAX,
    Settings,
    why_ignored,
)
from gearpy.server.ticks import CronTicks
from gearpy.server.turns import Turns
from gearpy.stores.base import Store
from gearpy.version import VERSION, version_and_form

logger = logging.getLogger("gearpy.server")

EXIT_STOPPED: Final = 0
EXIT_COMMIT_FAILED: Final = 3

# So that the output of errands can be looked at for a while.
ERRANDS: Final = {name.encode(): Policy(keep_s=3600.0) for name in (HTTP_FUNCTION, EXEC_FUNCTION)}

_CLOSE_S: Final = 5.0  # how long connections get to take their last bytes
_SPARE_DESCRIPTORS: Final = 32  # for listeners, the log, the event loop


# Serves beside the Gearman port, in the same event loop, on these sockets.
ServeBeside = Callable[["Server", Sequence[Listener]], AbstractAsyncContextManager[None]]


@final
class Wishes:
    """What signals, operators and failures want of the server.  They only wish; ``run`` acts."""

    def __init__(self) -> None:
        self.exit_code = EXIT_STOPPED
        self._drain = asyncio.Event()
        self._now = asyncio.Event()

    def stop(self, graceful: bool = True) -> None:
        """Stops after a drain; asked again, or not gracefully, at once."""
        if self._drain.is_set() or not graceful:
            self._now.set()
        self._drain.set()

    def fail(self, error: BaseException) -> None:
        """A commit failed: stops at once, no promise being broken yet."""
        logger.critical("the journal can't be written, so the server stops: %s", error)
        self.exit_code = EXIT_COMMIT_FAILED
        self.stop(graceful=False)

    @property
    def now(self) -> bool:
        """Whether to stop at once."""
        return self._now.is_set()

    async def wait_stop(self) -> None:
        await self._drain.wait()

    async def wait_now(self) -> None:
        await self._now.wait()


@final
class Server:
    """A broker with everything around it.

    ``store`` is given the record of each background job before its submit is answered; without one
    jobs are kept in memory only.  Make it inside the event loop and use it once:
    ``await Server(settings).run()``.

    ``serve_http`` serves on the address of the setting ``http``, if there is one.  ``observer``
    hears of jobs that have labels when they end.

    ``embedded`` is for a process that does other things, too: its signals and limits are left as
    they are.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store | None = None,
        clock: Clock | None = None,
        *,
        serve_http: ServeBeside | None = None,
        observer: Observer | None = None,
        embedded: bool = False,
    ) -> None:
        self.settings = settings
        self.addresses: list[str] = []
        self.http_addresses: list[str] = []
        self.wishes = Wishes()
        self._store = store
        self._connections_max = settings.max_connections
        self._serve_http = serve_http
        self._embedded = embedded
        self.clock = clock = clock or SystemClock()
        now_s = clock.now_s()
        self.audit = Audit(clock)
        self.broker = Broker(
            limits=Limits(
                payload_bytes_max=settings.max_payload,
                timeout_unit=settings.timeout_unit,
                strict=settings.strict,
                exceptions=settings.exceptions,
                allow_shutdown=settings.allow_shutdown,
            ),
            rules=Rules(
                handle_prefix=handle_prefix(settings),
                job_retries=settings.job_retries,
                wakes_per_job=max(1, settings.worker_wakeup),
            ),
            facts=Facts(
                version=VERSION,
                pid=os.getpid(),
                verbose=settings.verbose,
                durability=None if store is None else settings.durability,
                journal=settings.journal_file or None,
            ),
            host=LoggingHost(self.wishes.stop, self.audit),
            calendar=LocalCalendar(),
            durable=store is not None,
            holds=settings.durability == COMMIT,
            now_s=now_s,
            first_number=first_handle_number(now_s),
            policies=PolicyBook(settings.policies, ERRANDS),
            draw=random.random,
            budget_bytes=settings.memory_budget,
            ticks=CronTicks(),
            schedules=settings.schedules,
            caller=SignedCaller(settings.callback_secret),
            observer=observer,
        )
        self._committer = (
            None
            if store is None
            else Committer(
                store,
                self.broker,
                self._begin_turn,
                self.wishes.fail,
                clock,
                settings.commit_interval_s,
                settings.disk_reserve,
            )
        )
        self.turns = Turns(self.broker, clock, self._committer.wake if self._committer else None)

    async def run(self, started: Callable[[str], None] = lambda line: None) -> int:
        """Serves until it is asked to stop; returns the exit code.

        ``started`` is called with one line about the server once it listens.
        Raises CannotListen or SettingError before that.
        """
        settings = self.settings
        for name in settings.ignored:
            logger.warning("%s is accepted and does nothing: %s", *why_ignored(name))
        async with AsyncExitStack() as stack:
            if not self._embedded:
                self._catch_signals(stack)  # first in, last out: each signal finds its handler
            if self._store is not None:
                stack.callback(self._store.close)
                assert self._committer is not None, "there is a store"
                stack.callback(self._committer.end)
                await self._restore(self._store)
                if self.wishes.now:
                    return self.wishes.exit_code  # it can't be written
            if not self._embedded:
                self._connections_max = raise_descriptor_limit(settings)
            listening = listeners.bind(settings)
            for listener in listening:
                stack.callback(listener.close)
            http = [] if self._serve_http is None else listeners.bind_http(settings)
            for listener in http:
                stack.callback(listener.close)
            if settings.pid_file:
                write_pid_file(settings.pid_file)
                stack.callback(listeners.remove, settings.pid_file)
            if settings.user:
                files = [settings.log_file, settings.unix]
                if settings.journal_file:
                    files += [settings.journal_file + end for end in ("", "-wal", "-shm", ".lock")]
                switch_user(settings.user, *files)
            stack.callback(self.turns.stop)
            connections = Connections(
                self.broker,
                self.turns,
                connections_max=self._connections_max,
                output_bytes_max=settings.max_output,
                stall_s=settings.stall_timeout,
            )
            stack.push_async_callback(connections.close, _CLOSE_S, self.wishes.wait_now)
            if self._committer is not None:
                # Before the connections: then what workers hold stays theirs in the journal, and
                # goes to the front of its queue when the server is back.
                stack.push_async_callback(self._committer.close)
            if self._serve_http is not None:
                serving = self._serve_http(self, http)
                await stack.enter_async_context(serving)
            servers = [
                await listener.serve(connections.accept, settings.backlog) for listener in listening
            ]
            self.addresses = [listener.address for listener in listening]
            scheme = "https" if settings.http_cert else "http"
            self.http_addresses = [f"{scheme}://{listener.address}" for listener in http]
            line = self.describe()
            if settings.syslog or settings.log_file != "stderr":
                logger.info("%s", line)  # whoever reads stderr has it from stdout
            started(line)
            await self.wishes.wait_stop()
            for server in servers:
                server.close()
            await self._drain()
        logger.info("stopped")
        return self.wishes.exit_code

    def commits(self) -> HistogramStatistics | None:
        """How long the journal's commits took; None: there is no journal."""
        return None if self._committer is None else self._committer.statistics()

    def describe(self) -> str:
        """One line: version, addresses, journal or none, limits."""
        settings = self.settings
        journal = "no journal: jobs are kept in memory only"
        if self._store is not None:
            where = settings.journal_file or type(self._store).__name__
            journal = f"journal {where}, durability {settings.durability}"
        addresses = ", ".join(self.addresses)
        if self.http_addresses:
            addresses += f"; {', '.join(self.http_addresses)}"
        return (
            f"gearpy-server {version_and_form()} on {addresses}; {journal}; limits:"
            f" payload {settings.max_payload:,} bytes, {self._connections_max:,} connections,"
            f" {settings.max_output:,} bytes waiting for a peer"
        )

    async def _restore(self, store: Store) -> None:
        """Takes over what the journal has.  Raises CannotOpenStore."""
        engine = self.broker.engine
        # In this thread: nobody is connected yet who would have to wait.
        for sentence in engine.restore(store.load()):
            logger.warning("journal: %s", sentence)
        found = engine.statistics()
        if found.jobs or found.dead or found.kept:
            logger.info(
                "from the journal: %d jobs (%d queued, %d delayed), %d dead letters, %d finished",
                found.jobs,
                found.queued,
                found.delayed,
                found.dead,
                found.kept,
            )
        if found.gave_up or found.buried:
            logger.warning(
                "%d jobs ran when the server went down and have no attempt left: %d are dead"
                " letters, %d failed for good",
                found.gave_up + found.buried,
                found.buried,
                found.gave_up,
            )
        assert self._committer is not None, "there is a store"
        self._committer.check_room()
        # Which numbers may be in use has to be on the disk before the first handle is given out.
        await self._committer.settle()

    def _begin_turn(self) -> None:
        self.turns.begin()

    def _catch_signals(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        for number, act in (
            (signal.SIGTERM, self.wishes.stop),
            (signal.SIGINT, self.wishes.stop),
            (signal.SIGUSR1, self.wishes.stop),  # gearmand's word for a graceful stop
            (signal.SIGHUP, log.reopen),
        ):
            loop.add_signal_handler(number, act)
            stack.callback(loop.remove_signal_handler, number)

    async def _drain(self) -> None:
        """Lets running jobs finish, for a while; then says what is lost."""
        self.broker.drain()
        running = self.broker.statistics().engine.running
        if running and not self.wishes.now:
            logger.info(
                "stopping: %d running jobs may finish within %g s; asked again, it stops at once",
                running,
                self.settings.drain_timeout,
            )
            await self._wait_drained()
        left = self.broker.statistics().engine
        if left.jobs and self._store is None:
            logger.warning(
                "%d unfinished jobs (%d queued, %d delayed, %d running) were in memory only and are"
                " lost",
                left.jobs,
                left.queued,
                left.delayed,
                left.running,
            )

    async def _wait_drained(self) -> None:
        waits = [
            asyncio.ensure_future(self.turns.drained()),
            asyncio.ensure_future(self.wishes.wait_now()),
        ]
        await asyncio.wait(
            waits, timeout=self.settings.drain_timeout, return_when=asyncio.FIRST_COMPLETED
        )
        for wait in waits:
            wait.cancel()


def handle_prefix(settings: Settings) -> bytes:
    """What handles begin with: as set, or H:<host name>, cut so that a number still fits."""
    prefix = settings.job_handle_prefix or f"H:{socket.gethostname()}"
    return prefix.encode()[:PREFIX_BYTES_MAX]


def raise_descriptor_limit(settings: Settings) -> int:
    """Allows as many file descriptors as set, or as the system lets us have.

    Returns how many connections these are enough for.  Raises SettingError.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.file_descriptors or hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError) as error:
        raise SettingError(
            f"--file-descriptors is {wanted}; this user may have {hard} at most ({error})"
        ) from None
    spare = _SPARE_DESCRIPTORS + (HTTP_CONNECTIONS_MAX if settings.http else 0)
    room = max(1, wanted - spare)
    if room < settings.max_connections:
        logger.info(
            "%d file descriptors are enough for %d connections; max-connections is %d",
            wanted,
            room,
            settings.max_connections,
        )
    return min(settings.max_connections, room)


def write_pid_file(path: str) -> None:
    """Raises SettingError if that can't be done."""
    try:
        Path(path).write_text(f"{os.getpid()}\n", encoding="ascii")
    except OSError as error:
        raise SettingError(f"--pid-file: can't write to {path}: {error.strerror}") from None


def switch_user(name: str, *files: str) -> None:
    """Gives up root for a user, who becomes the owner of those of the files that exist: a log must
    be reopened, a socket removed.  Raises SettingError if that can't be done."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SettingError(f"--user: there is no user {name}") from None
    if os.geteuid() == entry.pw_uid:
        return
    try:
        for path in filter(os.path.exists, files):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        os.initgroups(name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise SettingError(f"--user: can't become {name}: {error.strerror}") from None
