"""beanstalkd's own protocol, as far as it can do what the race asks: submit and drain.

A put is a background submit.  A worker reserves a job, then deletes it and reserves the next one in
one write, as Gearman's workers of this bench do.
"""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final, final

from bench import generator
from bench.generator import BenchError, Client, Connection, Supply, Tally
from bench.latencies import Latencies
from bench.scene import BACKGROUND_IN_FLIGHT, CLIENTS, PAYLOAD, WORKERS, SetScene, run_aside

_INSERTED: Final = b"INSERTED"
_RESERVE: Final = b"reserve-with-timeout 0\r\n"
_LINE_END: Final = b"\r\n"


@final
class _Worker:
    """Takes one job after the other until there is none."""

    def __init__(self, sock: socket.socket, tally: Tally) -> None:
        self.sock = sock
        self._tally = tally
        self._held = b""

    def start(self) -> None:
        self.sock.sendall(_RESERVE)

    def receive(self, data: bytes) -> None:
        data = self._held + data
        while _LINE_END in data:
            line, _, rest = data.partition(_LINE_END)
            word, *numbers = line.split()
            if word == b"RESERVED":
                size = int(numbers[1]) + len(_LINE_END)
                if len(rest) < size:
                    break
                rest = rest[size:]
                self.sock.sendall(b"delete %b\r\n%b" % (numbers[0], _RESERVE))
            elif word == b"TIMED_OUT":
                self._tally.awaited -= 1
            elif word != b"DELETED":
                raise BenchError(f"beanstalkd answered {line!r}")
            data = rest
        self._held = data


@final
class _Stage:
    """Submit or drain, on one beanstalkd."""

    beside_jobs = 0

    def __init__(self, port: int, jobs: int, left_over: int) -> None:
        self.jobs = jobs
        self.latencies: Latencies | None = None
        self.tally = Tally()
        self.connections: list[Connection] = []
        self._port = port
        self._left_over = left_over
        self._sockets = ExitStack()

    def connect(self) -> socket.socket:
        return self._sockets.enter_context(generator.connect(self._port))

    def run(self) -> None:
        generator.run(self.connections, self.tally)

    def catch_up_s(self) -> None:
        return None

    def close(self) -> None:
        self._sockets.close()

    def check(self) -> None:
        ready = _ready(self._port)
        if ready != self._left_over:
            raise BenchError(
                f"beanstalkd has {ready:,} jobs where {self._left_over:,} were expected"
            )


def _fill(port: int, jobs: int) -> _Stage:
    stage = _Stage(port, jobs, _ready(port) + jobs)
    stage.latencies = Latencies()
    stage.tally.awaited = jobs
    put = b"put 0 0 600 %d\r\n%b\r\n" % (len(PAYLOAD), PAYLOAD)
    supply = Supply([put] * jobs)
    stage.connections += [
        Client(
            stage.connect(), supply, _INSERTED, BACKGROUND_IN_FLIGHT, stage.tally, stage.latencies
        )
        for _ in range(CLIENTS)
    ]
    return stage


def _drain(port: int, jobs: int) -> _Stage:
    there = _ready(port)
    if there < jobs:
        run_aside(_fill(port, jobs - there))
    stage = _Stage(port, max(jobs, there), 0)
    stage.tally.awaited = WORKERS
    stage.connections += [_Worker(stage.connect(), stage.tally) for _ in range(WORKERS)]
    return stage


def _ready(port: int) -> int:
    """How many jobs it has, by its own books."""
    with generator.connect(port) as sock:
        sock.sendall(b"stats-tube default\r\n")
        heard = generator.receive_until(sock, b"\r\n")
    for line in heard.splitlines():
        name, _, value = line.partition(b": ")
        if name == b"current-jobs-ready":
            return int(value)
    raise BenchError(f"beanstalkd answered {heard[:80]!r} where its statistics were expected")


SCENES: Final[Mapping[str, SetScene]] = {"submit": _fill, "drain": _drain}
