"""The workloads: who connects, how many jobs are in flight, and how many there are."""

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, final
from uuid import uuid4

from bench import generator
from bench.generator import BenchError, Client, Connection, Supply, Tally, Worker
from gearpy.protocol import codec
from gearpy.protocol import packets as p

PAYLOAD: Final = b"x" * 100

CLIENTS: Final = 4
WORKERS: Final = 4
SLEEPERS: Final = 200
BACKGROUND_IN_FLIGHT: Final = 100
FOREGROUND_IN_FLIGHT: Final = 32

_QUEUE: Final = b"bench-queue"  # submit fills it, drain empties it
_LIVE: Final = b"bench-live"
_KEYED: Final = b"bench-keyed"


def _no_unique() -> bytes:
    """As Perl's client, when its caller gives none."""
    return b""


def _uuid() -> bytes:
    """As libgearman, and with it PHP, when its caller gives none."""
    return str(uuid4()).encode()


@final
class Scene:
    """A workload on one server: everybody is connected and waits for the clock."""

    def __init__(self, port: int, jobs: int, function: bytes, left_over: int) -> None:
        """``left_over`` is how many jobs the function has when all went well."""
        self.jobs = jobs
        self.tally = Tally()
        self._port = port
        self._function = function
        self._left_over = left_over
        self._connections: list[Connection] = []
        self._sockets = ExitStack()

    def add_clients(
        self, submit: int, answer: int, in_flight: int, new_unique: Callable[[], bytes]
    ) -> None:
        """Connects clients that submit all jobs with packets of type ``submit``, and are content
        with packets of type ``answer``."""
        self.tally.awaited += self.jobs
        supply = Supply(
            [codec.request(submit, self._function, new_unique(), PAYLOAD) for _ in range(self.jobs)]
        )
        for _ in range(CLIENTS):
            client = Client(self._connect(), supply, answer, in_flight, self.tally)
            self._connections.append(client)

    def add_workers(self, count: int, asleep: bool) -> None:
        """Connects workers that sleep by now, or that end the workload by finding nothing."""
        first = codec.request(p.CAN_DO, self._function)
        if asleep:
            first += codec.request(p.PRE_SLEEP)
        else:
            self.tally.awaited += count
        for _ in range(count):
            sock = self._connect()
            sock.sendall(first)
            # One after the other: gearmand's backlog of 32 drops who comes in a crowd.
            generator.settle(sock)
            self._connections.append(Worker(sock, asleep, self.tally))

    def run(self) -> None:
        """Runs the workload to its end.  Raises BenchError when it can't."""
        generator.run(self._connections, self.tally)

    def close(self) -> None:
        """Hangs up."""
        self._sockets.close()

    def check(self) -> None:
        """Raises BenchError unless the server's own books say that the work was done."""
        total = unfinished(self._port, self._function)
        if total != self._left_over:
            raise BenchError(
                f"the server has {total:,} jobs of {self._function.decode()}"
                f" where {self._left_over:,} were expected"
            )

    def _connect(self) -> socket.socket:
        return self._sockets.enter_context(generator.connect(self._port))


@dataclass(frozen=True, slots=True)
class Workload:
    """A name for the command line, a sentence for people, and how to set the scene."""

    name: str
    title: str
    jobs: int
    set_scene: Callable[[int, int], Scene]  # port, jobs


def _submit(port: int, jobs: int) -> Scene:
    return _fill(port, jobs, _QUEUE, _no_unique)


def _submit_keyed(port: int, jobs: int) -> Scene:
    return _fill(port, jobs, _KEYED, _uuid)


def _fill(port: int, jobs: int, function: bytes, new_unique: Callable[[], bytes]) -> Scene:
    before = unfinished(port, function)
    scene = Scene(port, jobs, function, left_over=before + jobs)
    scene.add_clients(p.SUBMIT_JOB_BG, p.JOB_CREATED, BACKGROUND_IN_FLIGHT, new_unique)
    return scene


def _drain(port: int, jobs: int) -> Scene:
    missing = jobs - unfinished(port, _QUEUE)
    if missing > 0:
        filling = _submit(port, missing)
        filling.run()
        filling.close()
        filling.check()
    scene = Scene(port, jobs, _QUEUE, left_over=0)
    scene.add_workers(WORKERS, asleep=False)
    return scene


def _foreground(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _LIVE, left_over=0)
    scene.add_clients(p.SUBMIT_JOB, p.WORK_COMPLETE, FOREGROUND_IN_FLIGHT, _no_unique)
    scene.add_workers(WORKERS, asleep=True)
    return scene


def _sleepers(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _LIVE, left_over=0)
    scene.add_clients(p.SUBMIT_JOB, p.WORK_COMPLETE, 1, _no_unique)
    scene.add_workers(SLEEPERS, asleep=True)
    return scene


WORKLOADS: Final[Sequence[Workload]] = (
    Workload(
        "submit",
        f"background submits, {CLIENTS} connections with {BACKGROUND_IN_FLIGHT} in flight",
        100_000,
        _submit,
    ),
    Workload("drain", f"the jobs of submit, done by {WORKERS} workers", 100_000, _drain),
    Workload(
        "foreground",
        f"{CLIENTS} clients with {FOREGROUND_IN_FLIGHT} in flight, {WORKERS} workers",
        40_000,
        _foreground,
    ),
    Workload(
        "sleepers", f"{CLIENTS} clients in lock-step, {SLEEPERS} workers asleep", 4_000, _sleepers
    ),
    # The last one: nobody drains it, and a long queue would slow down what follows.
    Workload(
        "submit-keyed",
        "as submit, each job with a unique key of its own (a UUID, as PHP and C clients send it)",
        100_000,
        _submit_keyed,
    ),
)


def unfinished(port: int, function: bytes) -> int:
    """How many jobs of the function the server has, queued or running, by its own ``status``."""
    with generator.connect(port) as sock:
        sock.sendall(b"status\n")
        report = b""
        while not report.endswith(b".\n"):
            report += generator.receive_some(sock)
    for line in report.splitlines():
        name, *counts = line.split(b"\t")
        if name == function:
            return int(counts[0])
    return 0
