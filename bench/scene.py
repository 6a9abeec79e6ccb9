"""A workload on one server: who is connected, and what is asked of the server's books."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Final, Protocol, final
from uuid import uuid4

from bench import generator
from bench.generator import (
    BenchError,
    Client,
    Connection,
    Endless,
    Pace,
    Supply,
    Tally,
    Worker,
    mark,
)
from bench.latencies import Latencies
from gearpy.protocol import codec
from gearpy.protocol import packets as p

PAYLOAD: Final = b"x" * 100

CLIENTS: Final = 4
WORKERS: Final = 4
BACKGROUND_IN_FLIGHT: Final = 100

_AFTERWARDS: Final = b"bench-afterwards"

NewUnique = Callable[[], bytes]


class Stage(Protocol):
    """A workload that is set on one server, whatever that speaks."""

    jobs: int
    latencies: Latencies | None

    @property
    def beside_jobs(self) -> int:
        """How many jobs were submitted beside those that count."""

    def run(self) -> None:
        """Runs the workload to its end.  Raises BenchError when it can't."""

    def catch_up_s(self) -> float | None:
        """Seconds until the disk knew of everything; None where that is not asked."""

    def close(self) -> None:
        """Hangs up."""

    def check(self) -> None:
        """Raises BenchError unless the server's own books say that the work was done."""


SetScene = Callable[[int, int], Stage]  # port, jobs


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
        functions: Sequence[bytes],
        left_over: int,
        timed: bool = True,
        to_disk: bool = False,
    ) -> None:
        """Jobs are spread over the ``functions``; ``left_over`` is how many these have when all
        went well.  ``timed`` scenes know how long each answer took; those that go ``to_disk`` also
        when the disk had it all."""
        self.jobs = jobs
        self.tally = Tally()
        self.latencies = Latencies() if timed else None
        self._port = port
        self._functions = functions
        self._left_over = left_over
        self._to_disk = to_disk
        self._beside = Tally()
        self._connections: list[Connection] = []
        self._stopping: list[socket.socket] = []
        self._pace: Pace | None = None
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
        new_unique: NewUnique = no_unique,
        count: int = CLIENTS,
        payload: bytes = PAYLOAD,
        rate_per_s: float = 0.0,
    ) -> None:
        """Connects clients that submit all jobs with packets of type ``submit``, and are content
        with packets of type ``answer``: each has so many in flight, or, with a rate, all of them
        together submit so many a second."""
        names = cycle(self._functions)
        self._add_clients(
            [codec.request(submit, next(names), new_unique(), payload) for _ in range(self.jobs)],
            answer,
            in_flight,
            count,
            rate_per_s,
        )

    def add_echoers(self, in_flight: int) -> None:
        """Connects clients that have their payload sent back."""
        self._add_clients(
            [codec.request(p.ECHO_REQ, PAYLOAD)] * self.jobs, p.ECHO_RES, in_flight, CLIENTS, 0.0
        )

    def _add_clients(
        self, packets: Sequence[bytes], answer: int, in_flight: int, count: int, rate_per_s: float
    ) -> None:
        self.tally.awaited += self.jobs
        supply = Supply(packets)
        clients = [
            Client(
                self._connect(),
                supply,
                mark(answer),
                0 if rate_per_s else in_flight,
                self.tally,
                self.latencies,
            )
            for _ in range(count)
        ]
        self._connections += clients
        if rate_per_s:
            self._pace = Pace(clients, rate_per_s, self.jobs)

    def add_background(self, function: bytes, in_flight: int) -> None:
        """Connects clients that submit background jobs as long as the workload lasts."""
        packet = codec.request(p.SUBMIT_JOB_BG, function, b"", PAYLOAD)
        for _ in range(CLIENTS):
            endless = Endless(packet, in_flight)
            client = Client(self._connect(), endless, mark(p.JOB_CREATED), in_flight, self._beside)
            self._connections.append(client)

    def add_idle(self, count: int) -> None:
        """Connects so many that do nothing."""
        for _ in range(count):
            generator.settle(self._connect())

    def add_workers(
        self,
        count: int,
        asleep: bool,
        others: Sequence[bytes] = (),
        grab: int = p.GRAB_JOB_UNIQ,
    ) -> None:
        """Connects workers that sleep by now, or that end the workload by finding nothing.  They
        can do the ``others``, too."""
        if not asleep:
            self.tally.awaited += count
        for _ in range(count):
            sock = self._connect_worker(asleep, others)
            latencies = None if asleep else self.latencies
            self._connections.append(
                Worker(sock, asleep, self.tally, latencies=latencies, grab=grab)
            )

    def add_stopping_workers(self, count: int) -> None:
        """Connects workers that do this scene's jobs between them and leave the rest."""
        self.tally.awaited += self.jobs
        for number in range(count):
            share = self.jobs * (number + 1) // count - self.jobs * number // count
            sock = self._connect_worker(asleep=False)
            self._connections.append(Worker(sock, False, self.tally, share, self.latencies))
            self._stopping.append(sock)

    def run(self) -> None:
        """Runs the workload to its end.  Raises BenchError when it can't."""
        generator.run(self._connections, self.tally, self._pace)
        for sock in self._stopping:
            generator.settle(sock)  # nothing is heard of a worker's last result

    def catch_up_s(self) -> float | None:
        """Seconds until the answer to one more background submit: a journal that keeps its order
        has everything before it by then.  None unless the scene goes ``to_disk``."""
        if not self._to_disk:
            return None
        tally = Tally(1)
        packet = codec.request(p.SUBMIT_JOB_BG, _AFTERWARDS, uuid(), PAYLOAD)
        client = Client(self._connect(), Supply([packet]), mark(p.JOB_CREATED), 1, tally)
        start_s = time.perf_counter()
        generator.run([client], tally)
        return time.perf_counter() - start_s

    def close(self) -> None:
        """Hangs up."""
        self._sockets.close()

    def check(self) -> None:
        """Raises BenchError unless the server's own books say that the work was done."""
        total = unfinished(self._port, self._functions)
        if total != self._left_over:
            raise BenchError(
                f"the server has {total:,} jobs of {self._functions[0].decode()}"
                f" where {self._left_over:,} were expected"
            )

    def _connect(self) -> socket.socket:
        return self._sockets.enter_context(generator.connect(self._port))

    def _connect_worker(self, asleep: bool, others: Sequence[bytes] = ()) -> socket.socket:
        sock = self._connect()
        names = (*others, *self._functions)
        sock.sendall(b"".join(codec.request(p.CAN_DO, name) for name in names))
        if asleep:
            sock.sendall(codec.request(p.PRE_SLEEP))
        # One after the other: gearmand's backlog of 32 drops who comes in a crowd.
        generator.settle(sock)
        return sock


def fill(
    port: int,
    jobs: int,
    functions: Sequence[bytes],
    new_unique: NewUnique = no_unique,
    payload: bytes = PAYLOAD,
    in_flight: int = BACKGROUND_IN_FLIGHT,
    clients: int = CLIENTS,
) -> Scene:
    """More jobs for these functions, whatever they have already."""
    before = unfinished(port, functions)
    scene = Scene(port, jobs, functions, left_over=before + jobs)
    scene.add_clients(
        p.SUBMIT_JOB_BG, p.JOB_CREATED, in_flight, new_unique, count=clients, payload=payload
    )
    return scene


def drain(
    port: int,
    jobs: int,
    functions: Sequence[bytes],
    new_unique: NewUnique = no_unique,
    payload: bytes = PAYLOAD,
    workers: int = WORKERS,
    to_disk: bool = False,
    grab: int = p.GRAB_JOB_UNIQ,
) -> Scene:
    """All jobs of these functions, which are filled first if they have less."""
    there = unfinished(port, functions)
    missing = jobs - there
    if missing > 0:
        few = 1 if len(payload) > _LARGE_BYTES else BACKGROUND_IN_FLIGHT
        run_aside(fill(port, missing, functions, new_unique, payload, few))
    scene = Scene(port, max(jobs, there), functions, left_over=0, to_disk=to_disk)
    scene.add_workers(workers, asleep=False, grab=grab)
    return scene


def run_aside(scene: Stage) -> None:
    """Runs what is not measured.  Raises BenchError when the server doesn't do the work."""
    try:
        scene.run()
    finally:
        scene.close()
    scene.check()


def do_some(port: int, jobs: int, functions: Sequence[bytes]) -> Scene:
    """The next jobs of functions that have more of them."""
    scene = Scene(port, jobs, functions, left_over=unfinished(port, functions) - jobs)
    scene.add_stopping_workers(WORKERS)
    return scene


_LARGE_BYTES: Final = 1 << 16  # of a payload: a hundred of them in flight fill the buffers


def unfinished(port: int, functions: Sequence[bytes]) -> int:
    """How many jobs of these functions the server has, queued or running, by its own
    ``status``."""
    wanted = set(functions)
    return sum(total for name, total in _status(port) if name in wanted)


def known(port: int, functions: Sequence[bytes]) -> int:
    """How many of these functions the server knows."""
    wanted = set(functions)
    return sum(name in wanted for name, _ in _status(port))


def _status(port: int) -> Iterator[tuple[bytes, int]]:
    with generator.connect(port) as sock:
        sock.sendall(b"status\n")
        report = generator.receive_until(sock, b".\n")
    for line in report.splitlines():
        name, *counts = line.split(b"\t")
        if counts:
            yield name, int(counts[0])
