"""A run: one journal, one port, many lives of the server, and the load that outlives them."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from gearpy import Client
from gearpy.testing.process import ServerProcess
from tests.crash.accounts import Accounts, Broken, read_journal
from tests.crash.jobs import AFTER, SETTINGS
from tests.crash.load import Load, php_load, python_load
from tests.crash.papers import Papers

LIMIT_S: Final = 60.0  # for what takes a second or a few where all is well
_LOOK_S: Final = 0.05
_START_S: Final = 0.4  # about, of a server
_PORTS: Final = (20_000, 32_000)  # below those that the system gives to whoever connects


@dataclass(frozen=True)
class Plan:
    """What a run does.  ``life_s`` is how long a server lives under load, at most."""

    seed: int
    kills: int
    life_s: float = 0.8
    payload_bytes: int = 200
    workers: tuple[str, ...] = ("library", "extended", "plain")
    arguments: tuple[str, ...] = ()


def small_memory(plan: Plan) -> Plan:
    """The same with so little memory, and so few workers, that payloads are on disk only."""
    return replace(
        plan,
        payload_bytes=2000,
        workers=("library",),
        arguments=(*plan.arguments, "--memory-budget", "64K"),
    )


class CrashFailure(AssertionError):
    """A run showed a bug; the sentence says where everything is kept."""


def run(plan: Plan, tell: Callable[[str], object] = print) -> None:
    """Runs it in a folder of its own, which is removed if all was well.

    ``tell`` is called with a line for each kill.  Raises CrashFailure.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"gearpy-crash-{plan.seed}-"))
    tell(f"seed {plan.seed}, in {folder}")
    try:
        with ExitStack() as stack:
            _Run(plan, folder, stack, tell).run()
    except Exception as error:
        raise CrashFailure(f"seed {plan.seed}: {error}; everything is kept in {folder}") from error
    shutil.rmtree(folder)


class _Run:
    def __init__(
        self, plan: Plan, folder: Path, stack: ExitStack, tell: Callable[[str], object]
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._stack = stack
        self._tell = tell
        self._random = Random(plan.seed)
        self._port = _port()
        self._journal = folder / "jobs.db"
        self._settings = folder / "gearpy.toml"
        self._settings.write_text(SETTINGS)
        self._log = stack.enter_context((folder / "server.log").open("ab", buffering=0))
        self._server: ServerProcess
        self._accounts = Accounts()
        self._papers = Papers(folder)
        self._clients: list[Load] = []
        self._workers: list[Load] = []
        self._workers_made = 0

    def run(self) -> None:
        self._server = self._launched()
        self._server.wait_started()
        for kind in ("pipelined", "pipelined", "library"):
            self._client(kind)
        self._client("php")
        for place in range(len(self._plan.workers)):
            self._workers.append(self._worker(place))
        for kill in range(self._plan.kills):
            after_s = self._wait_and_kill()
            found = self._check()
            self._tell(f"kill {kill + 1} (seed {self._plan.seed}): after {after_s:.3f} s; {found}")
            self._start_again()
        self._end()

    # ---- lives and deaths

    def _launched(self) -> ServerProcess:
        server = ServerProcess(
            "--port",
            str(self._port),
            "--journal",
            str(self._journal),
            "--config-file",
            str(self._settings),
            *self._plan.arguments,
            log=self._log.fileno(),
        )
        server.launch()
        self._stack.callback(server.close)
        self._stack.callback(server.kill)
        return server

    def _wait_and_kill(self) -> float:
        """Some time after it went to work.  Now and then a worker dies, too."""
        self._wait_for_work()
        after_s = self._random.uniform(0.0, self._plan.life_s)
        worker_at_s = self._random.uniform(0.0, 2 * after_s)
        if worker_at_s < after_s:
            self._live_on(worker_at_s)
            self._replace_worker(self._random.randrange(len(self._workers)))
            self._live_on(after_s - worker_at_s)
        else:
            self._live_on(after_s)
        self._kill()
        return after_s

    def _kill(self) -> None:
        self._server.kill()
        self._server.close()

    def _start_again(self) -> None:
        """Sometimes it is killed while it starts, too."""
        while self._random.random() < 0.15:
            self._server = self._launched()
            try:
                self._server.process.wait(self._random.uniform(0.0, _START_S))
            except subprocess.TimeoutExpired:
                self._kill()
                self._tell(f"killed in its start; {self._check()}")
            else:
                raise Broken(f"the server ended in its start: {self._server.process.returncode}")
        self._server = self._launched()
        self._server.wait_started()

    def _live_on(self, span_s: float) -> None:
        """Lets the server live for this time: unless it ends by itself, which is a bug."""
        try:
            code = self._server.process.wait(span_s)
        except subprocess.TimeoutExpired:
            return
        raise Broken(f"the server ended by itself, with {code}")

    def _wait_for(self, what: str, over: Callable[[], bool]) -> None:
        """Reads what is written down until it is so."""
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            self._accounts.take(self._papers.news())
            if over():
                return
            if time.monotonic() > deadline_s:
                raise Broken(f"{what} takes longer than {LIMIT_S} s")
            self._live_on(_LOOK_S)
            for load in (*self._clients, *self._workers):
                load.check()

    def _wait_for_work(self) -> None:
        accounts = self._accounts
        accounts.take(self._papers.news())
        receipts, completed = len(accounts.receipts), len(accounts.completed)
        self._wait_for(
            "the first receipt and the first result of this life",
            lambda: len(accounts.receipts) > receipts and len(accounts.completed) > completed,
        )

    # ---- the load

    def _client(self, kind: str) -> None:
        name = f"{kind}-client-{len(self._clients)}"
        arguments = (str(self._port), str(self._folder / f"{name}.paper"), self._seed(name))
        if kind == "php":
            load = php_load(name, self._folder, *arguments)
        else:
            payload_bytes = str(self._plan.payload_bytes)
            load = python_load(name, self._folder, "client", kind, *arguments, payload_bytes)
        if load is not None:
            self._stack.callback(load.kill)
            self._clients.append(load)

    def _worker(self, place: int) -> Load:
        kind = self._plan.workers[place]
        self._workers_made += 1
        name = f"{kind}-worker-{self._workers_made}"
        arguments = (str(self._port), str(self._folder / f"{name}.paper"), self._seed(name))
        load = python_load(name, self._folder, "worker", kind, *arguments)
        self._stack.callback(load.kill)
        return load

    def _replace_worker(self, place: int) -> None:
        self._workers[place].kill()
        self._workers[place] = self._worker(place)

    def _seed(self, name: str) -> str:
        return f"{self._plan.seed} {name}"

    # ---- the books

    def _check(self) -> str:
        """The server is dead.  Looks at a copy: the next server is to mend the file by itself."""
        accounts = self._accounts
        accounts.take(self._papers.news())
        copy = self._folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for ending in ("", "-wal"):
            file = self._folder / f"{self._journal.name}{ending}"
            if file.exists():
                shutil.copy(file, copy)
        rows = read_journal(copy / self._journal.name)
        accounts.check_journal(rows)
        accounts.check_assignments()
        dead = sum(row.state == "dead" for row in rows.values())
        after = sum(row.function == AFTER for row in rows.values())
        return (
            f"{len(accounts.receipts):,} receipts, {len(accounts.completed):,} completed,"
            f" {len(rows):,} in the journal, {dead:,} of them dead, {after:,} following others"
        )

    def _end(self) -> None:
        """No more load: the workers drain everything, and all is accounted for."""
        for client in self._clients:
            client.finish()
        self._clients.clear()
        with Client(self._server.address) as operator:
            self._wait_for(
                "working everything off",
                lambda: not _unfinished(operator),
            )
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        code = self._server.stop()
        if code:
            raise Broken(f"the server ended with {code}")
        self._accounts.take(self._papers.news())
        rows = read_journal(self._journal)
        self._accounts.check_end(rows)
        self._tell(
            f"all accounted for: {len(self._accounts.durable):,} jobs with a receipt,"
            f" {len(self._accounts.completed):,} completed, {len(rows):,} rows of dead letters and"
            " callbacks left"
        )


def _unfinished(operator: Client) -> int:
    """How many jobs somebody has to do yet."""
    functions = operator.operate("functions")["functions"]
    states = ("queued", "delayed", "running", "retrying")
    return sum(row[state] for row in functions if row["function"] != AFTER for state in states)


def _port() -> int:
    """One that is free now, and that nobody who connects to somewhere is given: else a client could
    reach itself, or keep the server from coming back."""
    while True:
        port = Random().randrange(*_PORTS)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
