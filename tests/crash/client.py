"""A client under whose load the server dies, as a process of its own.

It goes on until its standard input ends, across all crashes of the server.
"""

import contextlib
import sys
import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Final

from gearpy import Client
from gearpy.client.options import SubmitOptions
from gearpy.errors import CannotConnect, ConnectionLost, JobFailed
from gearpy.protocol import packets as p
from tests.crash.jobs import AFTER, ATTEMPTS, BY_OPTION, Wish, Wishes
from tests.crash.papers import Paper
from tests.crash.stdin import Stop
from tests.server.peer import RawPeer

HOST: Final = "127.0.0.1"
_RECONNECT_S: Final = 0.02
_PAUSE_S: Final = 0.05
_ON_THE_WAY: Final = 40  # submits without an answer, beyond which it listens first


class PipelinedClient:
    """Plain packets, many on the way: bursts of submits, answered in order."""

    def __init__(self, port: int, paper: Paper, random: Random, payload_bytes: int) -> None:
        self._port = port
        self._paper = paper
        self._random = random
        self._wishes = Wishes(paper.name, random, payload_bytes)
        self._lives = 0

    def run(self, stop: Stop) -> None:
        while not stop.is_set():
            try:
                with RawPeer((HOST, self._port)) as peer:
                    self._lives += 1
                    connection = f"{self._paper.name}/{self._lives}"
                    _Pipeline(peer, self._paper, connection).run(self._wishes, stop, self._random)
            except (OSError, EOFError):
                stop.wait(_RECONNECT_S)


class _Pipeline:
    """One connection of it."""

    def __init__(self, peer: RawPeer, paper: Paper, connection: str) -> None:
        self._peer = peer
        self._paper = paper
        self._connection = connection
        self._order = 0
        self._asked: deque[tuple[Wish, float]] = deque()

    def run(self, source: Wishes, stop: Stop, random: Random) -> None:
        self._peer.send(p.OPTION_REQ, b"gearpy")
        self._peer.expect(p.OPTION_RES)
        while not stop.wait(random.uniform(0.0, _PAUSE_S)):
            wishes = source.burst()
            self._asked += [(wish, time.time()) for wish in wishes]
            self._peer.sock.sendall(b"".join(wish.packet() for wish in wishes))
            self._listen(_ON_THE_WAY)
        self._listen(0)

    def _listen(self, leave: int) -> None:
        while len(self._asked) > leave:
            number, fields = self._peer.receive()
            if number == p.JOB_CREATED:
                wish, submitted_s = self._asked.popleft()
                self._order += 1
                handle = fields[0].decode()
                self._paper.write(wish.receipt(self._connection, self._order, handle, submitted_s))
            elif number == p.ERROR:
                raise AssertionError(f"{self._asked[0][0]} was refused: {fields}")
            # else something about a job in the foreground


class LibraryClient:
    """One job after the other, as a program with gearpy's client submits them."""

    def __init__(self, port: int, paper: Paper, random: Random, payload_bytes: int) -> None:
        self._port = port
        self._paper = paper
        self._random = random
        self._wishes = Wishes(paper.name, random, payload_bytes)
        self._lives = 0

    def run(self, stop: Stop) -> None:
        while not stop.is_set():
            try:
                with Client(f"{HOST}:{self._port}") as client:
                    self._lives += 1
                    self._converse(client, f"{self._paper.name}/{self._lives}", stop)
            except (CannotConnect, ConnectionLost):
                stop.wait(_RECONNECT_S)

    def _converse(self, client: Client, connection: str, stop: Stop) -> None:
        order = 0
        while not stop.wait(self._random.uniform(0.0, _PAUSE_S / 10)):
            wish, order = self._wishes.next(), order + 1
            submitted_s = time.time()
            job = None
            if wish.background:
                handle = self._submit(client, wish)
            else:
                job = client.submit(wish.function, wish.payload, unique=wish.unique)
                handle = job.handle
            self._paper.write(wish.receipt(connection, order, handle, submitted_s))
            if job is not None:
                with contextlib.suppress(JobFailed):
                    job.result(30.0)

    def _submit(self, client: Client, wish: Wish) -> str:
        options: SubmitOptions = {}
        if wish.delay_s:
            options["delay_s"] = wish.delay_s
        if wish.function == BY_OPTION:
            options["attempts"] = ATTEMPTS[BY_OPTION.decode()]
            if wish.follows:
                options["callback"] = {"function": AFTER, "data": wish.follows}
        return client.submit_background(
            wish.function,
            wish.payload,
            unique=wish.unique,
            priority=wish.priority,
            **options,
        )


def main(kind: str, port: str, paper: str, seed: str, payload_bytes: str) -> None:
    make = PipelinedClient if kind == "pipelined" else LibraryClient
    make(int(port), Paper(Path(paper)), Random(seed), int(payload_bytes)).run(Stop())


if __name__ == "__main__":
    main(*sys.argv[1:])
