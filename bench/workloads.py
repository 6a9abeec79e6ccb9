"""The workloads: who connects, how many jobs are in flight, and how many there are."""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, final
from uuid import uuid4

from bench import generator
from bench.generator import BenchError, Client, Connection, Endless, Supply, Tally, Worker
from bench.latencies import Latencies
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
_AFTERWARDS: Final = b"bench-afterwards"


def no_unique() -> bytes:
    """As Perl's client, when its caller gives none."""
    return b""


def uuid() -> bytes:
    """As libgearman, and with it PHP, when its caller gives none."""
    return str(uuid4()).encode()


@final
class Scene:
    """A workload on one server: everybody is connected and waits for the clock."""

    def __init__(
        self,
        port: int,
        jobs: int,
        function: bytes,
        left_over: int,
        timed: bool = False,
        to_disk: bool = False,
    ) -> None:
        """``left_over`` is how many jobs the function has when all went well.  ``timed`` scenes
        know how long each answer took; those that go ``to_disk`` also when the disk had it all."""
        self.jobs = jobs
        self.tally = Tally()
        self.latencies = Latencies() if timed else None
        self._port = port
        self._function = function
        self._left_over = left_over
        self._to_disk = to_disk
        self._beside = Tally()
        self._connections: list[Connection] = []
        self._stopping: list[socket.socket] = []
        self._sockets = ExitStack()

    @property
    def beside_jobs(self) -> int:
        """How many background submits of ``add_background`` were answered."""
        return -self._beside.awaited

    def add_clients(
        self,
        submit: int,
        answer: int,
        in_flight: int,
        new_unique: Callable[[], bytes],
        count: int = CLIENTS,
        payload: bytes = PAYLOAD,
    ) -> None:
        """Connects clients that submit all jobs with packets of type ``submit``, and are content
        with packets of type ``answer``."""
        self.tally.awaited += self.jobs
        supply = Supply(
            [codec.request(submit, self._function, new_unique(), payload) for _ in range(self.jobs)]
        )
        for _ in range(count):
            client = Client(self._connect(), supply, answer, in_flight, self.tally, self.latencies)
            self._connections.append(client)

    def add_background(self, function: bytes, in_flight: int) -> None:
        """Connects clients that submit background jobs as long as the workload lasts."""
        packet = codec.request(p.SUBMIT_JOB_BG, function, b"", PAYLOAD)
        for _ in range(CLIENTS):
            endless = Endless(packet, in_flight)
            client = Client(self._connect(), endless, p.JOB_CREATED, in_flight, self._beside)
            self._connections.append(client)

    def add_workers(self, count: int, asleep: bool) -> None:
        """Connects workers that sleep by now, or that end the workload by finding nothing."""
        if not asleep:
            self.tally.awaited += count
        for _ in range(count):
            sock = self._connect_worker(asleep)
            self._connections.append(Worker(sock, asleep, self.tally))

    def add_stopping_workers(self, count: int) -> None:
        """Connects workers that do this scene's jobs between them and leave the rest."""
        self.tally.awaited += self.jobs
        for number in range(count):
            share = self.jobs * (number + 1) // count - self.jobs * number // count
            sock = self._connect_worker(asleep=False)
            self._connections.append(Worker(sock, False, self.tally, share))
            self._stopping.append(sock)

    def run(self) -> None:
        """Runs the workload to its end.  Raises BenchError when it can't."""
        generator.run(self._connections, self.tally)
        for sock in self._stopping:
            generator.settle(sock)  # nothing is heard of a worker's last result

    def catch_up_s(self) -> float | None:
        """Seconds until the answer to one more background submit: a journal that keeps its order
        has everything before it by then.  None unless the scene goes ``to_disk``."""
        if not self._to_disk:
            return None
        tally = Tally(1)
        packet = codec.request(p.SUBMIT_JOB_BG, _AFTERWARDS, uuid(), PAYLOAD)
        client = Client(self._connect(), Supply([packet]), p.JOB_CREATED, 1, tally)
        start_s = time.perf_counter()
        generator.run([client], tally)
        return time.perf_counter() - start_s

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

    def _connect_worker(self, asleep: bool) -> socket.socket:
        sock = self._connect()
        first = codec.request(p.CAN_DO, self._function)
        sock.sendall(first + codec.request(p.PRE_SLEEP) if asleep else first)
        # One after the other: gearmand's backlog of 32 drops who comes in a crowd.
        generator.settle(sock)
        return sock


@dataclass(frozen=True, slots=True)
class Workload:
    """A name for the command line, a sentence for people, and how to set the scene."""

    name: str
    title: str
    jobs: int
    set_scene: Callable[[int, int], Scene]  # port, jobs


def fill(
    port: int,
    jobs: int,
    function: bytes,
    new_unique: Callable[[], bytes],
    payload: bytes = PAYLOAD,
) -> Scene:
    """More jobs for a function, whatever it has already."""
    before = unfinished(port, function)
    scene = Scene(port, jobs, function, left_over=before + jobs)
    scene.add_clients(
        p.SUBMIT_JOB_BG, p.JOB_CREATED, BACKGROUND_IN_FLIGHT, new_unique, payload=payload
    )
    return scene


def drain(
    port: int,
    jobs: int,
    function: bytes,
    new_unique: Callable[[], bytes],
    to_disk: bool = False,
) -> Scene:
    """All jobs of a function, which is filled first if it has less than these."""
    missing = jobs - unfinished(port, function)
    if missing > 0:
        filling = fill(port, missing, function, new_unique)
        filling.run()
        filling.close()
        filling.check()
    scene = Scene(port, jobs, function, left_over=0, to_disk=to_disk)
    scene.add_workers(WORKERS, asleep=False)
    return scene


def do_some(port: int, jobs: int, function: bytes) -> Scene:
    """The next jobs of a function that has more of them."""
    scene = Scene(port, jobs, function, left_over=unfinished(port, function) - jobs)
    scene.add_stopping_workers(WORKERS)
    return scene


def _foreground(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _LIVE, left_over=0)
    scene.add_clients(p.SUBMIT_JOB, p.WORK_COMPLETE, FOREGROUND_IN_FLIGHT, no_unique)
    scene.add_workers(WORKERS, asleep=True)
    return scene


def _sleepers(port: int, jobs: int) -> Scene:
    scene = Scene(port, jobs, _LIVE, left_over=0)
    scene.add_clients(p.SUBMIT_JOB, p.WORK_COMPLETE, 1, no_unique)
    scene.add_workers(SLEEPERS, asleep=True)
    return scene


WORKLOADS: Final[Sequence[Workload]] = (
    Workload(
        "submit",
        f"background submits, {CLIENTS} connections with {BACKGROUND_IN_FLIGHT} in flight",
        100_000,
        partial(fill, function=_QUEUE, new_unique=no_unique),
    ),
    Workload(
        "drain",
        f"the jobs of submit, done by {WORKERS} workers",
        100_000,
        partial(drain, function=_QUEUE, new_unique=no_unique),
    ),
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
        partial(fill, function=_KEYED, new_unique=uuid),
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
