"""Processes that do jobs: started, watched, replaced, and told to an operator.

``crew`` decides; here are the processes (``process``), the signals, the clock, and a connection to
each of their servers, on which the supervisor says how they are and is told what to do.
"""

import asyncio
import contextlib
import json
import logging
import math
import os
import random
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

from gearpy.address import Address, read_addresses
from gearpy.errors import CannotConnect, CannotStart, GearpyError, InvalidArgument
from gearpy.transport import connect_transport
from gearpy.worker.core import WorkerCore
from gearpy.worker.crew import Ask, Crew, Kill, Phase, Start
from gearpy.worker.exits import how_it_ended
from gearpy.worker.heartbeat import Heartbeat, family_bytes
from gearpy.worker.places import Place
from gearpy.worker.process import EXIT_TARGET, Orders

log: Final = logging.getLogger("gearpy.worker")

_LOOK_S: Final = 1.0  # at the processes' memory
_CONNECT_S: Final = 30.0
_ITS_OWN: Final = ("pid", "host", "since_s", "memory_bytes", "stopping", "interval_s")
_STEP: Final = re.compile(r"[+-][0-9]{1,6}")
_HELLO_BYTES_MAX: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What a supervisor does.  ``orders`` are those of each process, but for its pipe; ``group`` is
    the name by which operators know all of them."""

    orders: Orders
    group: str
    processes: int
    grace_s: float  # beside what a process gives its own jobs
    life_s: float
    memory_bytes_max: int | None = None
    reload: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)  # beside what there is


@final
class Supervisor:
    """Runs the processes of a plan, until it is stopped.

    Signals: TERM and INT stop it when the processes have finished their jobs; a second INT kills
    them.  HUP replaces all processes, one after the other as they finish.  TTIN is one more, TTOU
    one less.

    To gearpy servers it says how the processes are.  What it may be told there (see
    ``gearpy worker scale``): ``{"scale": 4}``, ``{"scale": "+1"}``, ``{"restart": true}``.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # One at first: what is wrong with the program is to be said once.
        self._crew = Crew(min(plan.processes, 1), plan.grace_s, random.random, plan.life_s)
        self._news = asyncio.Event()
        self._heartbeat = Heartbeat(0)
        self._follows: dict[int, asyncio.Task[None]] = {}
        self._links: dict[Address, asyncio.Task[None]] = {}
        self._connected: set[_Link] = set()
        self._ran = False  # whether any process has come so far that it could run
        self._failure: GearpyError | None = None
        self._stopped = False
        self._scaled = False  # somebody wants another number than the plan has
        self._now_s = time.monotonic

    async def run(self) -> None:
        """Returns once it was stopped and all processes have ended.

        Raises CannotStart if the target is not there, before any process could run it.
        """
        watches = [self._beat()]
        if self._plan.memory_bytes_max is not None:
            watches.append(self._watch_memory(self._plan.memory_bytes_max))
        if self._plan.reload:
            watches.append(self._watch_files())
        watchers = [asyncio.create_task(watch) for watch in watches]
        for watcher in watchers:
            watcher.add_done_callback(_complain)
        if not self._plan.processes:  # nobody would say which servers
            for address in read_addresses(self._plan.orders.servers):
                self._link(address)
        try:
            with self._hearing_signals():
                while not self._crew.gone:
                    await self._advance()
                    await self._wait()
        finally:
            for task in [*watchers, *self._links.values()]:
                task.cancel()
            await asyncio.wait([*watchers, *self._links.values()])
            for process in self._crew.processes.values():
                _signal(os.killpg, process.pid, signal.SIGKILL)
        if self._failure is not None:
            raise self._failure

    # ---- the crew

    async def _advance(self) -> None:
        for action in self._crew.advance(self._now_s()):
            match action:
                case Start():
                    await self._begin()
                case Ask(pid=pid):
                    _signal(os.kill, pid, signal.SIGTERM)
                case Kill(pid=pid):
                    log.warning("process %d does not end, and is killed", pid)
                    _signal(os.killpg, pid, signal.SIGKILL)
        self._tell()

    async def _wait(self) -> None:
        """Until something happens, or is due."""
        left_s = self._crew.next_due_s() - self._now_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if left_s == math.inf else max(left_s, 0.0)):
                await self._news.wait()
        self._news.clear()

    async def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        orders = replace(self._plan.orders, pipe=theirs.fileno())
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *orders.command(),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # what a terminal sends is for the supervisor
                    env={**os.environ, **self._plan.environment, "GEARPY_GROUP": self._plan.group},
                )
            except OSError as error:
                ours.close()
                log.error("a process could not be started: %s", error)
                self._crew.not_started()
                return
        self._crew.started(process.pid)
        self._follows[process.pid] = asyncio.create_task(self._follow(process, ours))

    async def _follow(self, process: asyncio.subprocess.Process, pipe: socket.socket) -> None:
        """One process, from its first word to its end."""
        with pipe:
            hello = await self._hello(pipe)
            if hello:
                told = json.loads(hello)
                stop_s = math.inf if told["stop_s"] is None else told["stop_s"]
                self._crew.stop_s = stop_s + self._plan.grace_s
                self._can_run()
                for address in read_addresses(told["servers"]):
                    self._link(address)
            code = await process.wait()
        crashed = code != 0 or not hello
        phase = self._crew.processes[process.pid].phase
        self._crew.ended(process.pid, crashed)
        del self._follows[process.pid]
        if code == EXIT_TARGET and not self._ran:
            self._failure = CannotStart(f"no process can run {self._plan.orders.target!r}")
            self._crew.stop()
        elif crashed and phase is Phase.RUNNING:
            log.error("process %d %s", process.pid, how_it_ended(code))
        self._news.set()

    def _can_run(self) -> None:
        """A process has come so far: now for all of them."""
        if not self._ran and not self._scaled:
            self._crew.scale(self._plan.processes)
            self._news.set()
        self._ran = True

    async def _hello(self, pipe: socket.socket) -> bytes:
        hello = b""
        loop = asyncio.get_running_loop()
        while not hello.endswith(b"\n") and len(hello) < _HELLO_BYTES_MAX:
            try:
                said = await loop.sock_recv(pipe, _HELLO_BYTES_MAX)
            except OSError:
                return b""  # it has ended, as is heard next
            if not said:
                return b""
            hello += said
        return hello

    # ---- what it is told

    @contextlib.contextmanager
    def _hearing_signals(self) -> Any:
        loop = asyncio.get_running_loop()
        calls: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._interrupt,
            signal.SIGHUP: self._restart,
            signal.SIGTTIN: lambda: self._scale(self._crew.wanted + 1),
            signal.SIGTTOU: lambda: self._scale(self._crew.wanted - 1),
        }
        try:
            for number, call in calls.items():
                loop.add_signal_handler(number, call)
            yield
        finally:
            for number in calls:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        log.info("stopping: the processes finish their jobs")
        self._stopped = True
        self._crew.stop()
        self._news.set()

    def _interrupt(self) -> None:
        if self._stopped:
            log.warning("stopping at once: servers give what runs to other workers")
            self._crew.kill()
            self._news.set()
        else:
            self._stop()

    def _restart(self) -> None:
        log.info("all processes are replaced, each when it has finished its jobs")
        self._crew.renew()
        self._news.set()

    def _scale(self, number: int) -> None:
        try:
            before = self._crew.wanted
            self._crew.scale(number)
        except InvalidArgument as error:
            log.warning("%s; it stays at %d", error, before)
            return
        self._scaled = True
        log.info("%d processes are wanted, %d before", number, before)
        self._news.set()

    def obey(self, command: dict[str, Any]) -> None:
        """Does what an operator wants."""
        match command:
            case {"scale": int(number)} if not isinstance(number, bool):
                self._scale(number)
            case {"scale": str(step)} if _STEP.fullmatch(step):
                self._scale(self._crew.wanted + int(step))
            case {"restart": True}:
                self._restart()
            case _:
                log.warning("an operator wants something that is not understood: %r", command)

    # ---- what it says

    def _state(self) -> dict[str, Any]:
        phases = Counter(process.phase for process in self._crew.processes.values())
        told = self._heartbeat.values(self._stopped)
        return {
            **{name: told[name] for name in _ITS_OWN},
            "group": self._plan.group,
            "supervisor": True,
            "group_state": {
                "target": self._plan.orders.target,
                "wanted": self._crew.wanted,
                "running": phases[Phase.RUNNING],
                "stopping": phases[Phase.STOPPING] + phases[Phase.KILLED],
                "crashes": self._crew.crashes,
            },
        }

    def _tell(self) -> None:
        values = self._state()
        for link in self._connected:
            link.tell(values)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat.next_s - self._now_s())
            if self._heartbeat.due(self._now_s()):
                self._tell()

    def _link(self, address: Address) -> None:
        if address not in self._links:
            self._links[address] = asyncio.create_task(self._stay(Place(address)))

    async def _stay(self, place: Place) -> None:
        """A connection to a server, and another one whenever it ends; only one of gearpy's servers
        has an ear for it."""
        while True:
            was_there = False
            with contextlib.suppress(CannotConnect):
                link = await connect_transport(place.address, _CONNECT_S, lambda: _Link(self))
                self._connected.add(link)
                try:
                    was_there = await link.closed
                finally:
                    self._connected.discard(link)
                    link.close()
                if link.core.knows_server and not link.core.extended and not link.core.refusal:
                    return
            place.failed(self._now_s(), was_there=was_there)
            await asyncio.sleep(place.due_s - self._now_s())

    def joined(self, link: "_Link") -> None:
        """A gearpy server is there."""
        link.tell(self._state())

    # ---- watching

    async def _watch_memory(self, most_bytes: int) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            for process in list(self._crew.processes.values()):
                if process.phase is not Phase.RUNNING:
                    continue
                used_bytes = family_bytes(process.pid)
                if used_bytes > most_bytes:
                    log.info(
                        "process %d is replaced: it has %s bytes of memory, more than %s",
                        process.pid,
                        f"{used_bytes:,}",
                        f"{most_bytes:,}",
                    )
                    self._crew.retire(process.pid)
                    self._news.set()

    async def _watch_files(self) -> None:
        import watchfiles  # an extra

        async for changes in watchfiles.awatch(os.getcwd(), watch_filter=watchfiles.PythonFilter()):
            log.info("%s has changed", sorted(path for _, path in changes)[0])
            self._restart()


def _complain(watcher: asyncio.Task[None]) -> None:
    if not watcher.cancelled() and (error := watcher.exception()) is not None:
        log.error("something is not watched any more: %s", error)


def _signal(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended, and is heard of next
        send(pid, number)


@final
class _Link(asyncio.Protocol):
    """A supervisor's connection.  ``closed`` ends with it, and says whether the server spoke."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.core = WorkerCore()
        self.closed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._supervisor = supervisor
        self._heard = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self.core.take())

    def data_received(self, data: bytes) -> None:
        knew = self.core.knows_server
        self.core.receive(data)
        self._heard = True
        if self.core.broken is not None or (self.core.knows_server and not self.core.extended):
            self.close()
            return
        if self.core.extended and not knew:
            self._supervisor.joined(self)
        while self.core.commands:
            self._supervisor.obey(self.core.commands.popleft())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(self._heard)

    def tell(self, values: dict[str, Any]) -> None:
        """Says how the processes are, if the server has an ear for it."""
        self.core.tell_state(values)
        if data := self.core.take():
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()
