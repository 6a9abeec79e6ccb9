"""A worker of the server that dies, as a process of its own.

It goes on until its standard input ends, or until it is killed itself.
"""

import logging
import os
import socket
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from gearpy import Job, Worker
from gearpy.errors import CannotConnect, ConnectionLost
from gearpy.protocol import packets as p
from gearpy.protocol.codec import unpacked
from tests.crash.client import HOST
from tests.crash.jobs import FUNCTIONS, fate
from tests.crash.papers import Assignment, Ending, Paper, digest
from tests.crash.stdin import Stop
from tests.server.peer import RawPeer

_RECONNECT_S: Final = 0.02
_AT_ONCE: Final = 4  # jobs that a worker with plain packets holds


class LibraryWorker:
    """One job after the other, as a program with gearpy's worker does them."""

    def __init__(self, port: int, paper: Paper, random: Random) -> None:
        self._paper = paper
        self._lives = 0
        self._order = 0
        self._worker = Worker(f"{HOST}:{port}", reconnect=False)
        for function in FUNCTIONS:
            self._worker.register(function, self._do)

    def run(self, stop: Stop) -> None:
        logging.getLogger("gearpy.worker").setLevel(logging.CRITICAL)  # jobs raise all the time
        while not stop.is_set():
            self._lives += 1
            try:
                self._worker.run()
            except (CannotConnect, ConnectionLost):
                stop.wait(_RECONNECT_S)

    def _do(self, job: Job) -> bytes:
        self._order += 1
        connection = f"{self._paper.name}/{self._lives}"
        self._paper.write(
            Assignment(
                connection,
                self._order,
                job.handle,
                job.function,
                job.unique,
                digest(job.data),
                job.attempt,
                time.time(),
            )
        )
        completes = fate(job.function.encode(), job.data, job.attempt) == "complete"
        self._paper.write(Ending(connection, job.handle, completes))
        if not completes:
            raise ValueError("such a payload - it can't be done")
        return job.data


class PlainWorker:
    """Plain packets: grabs several jobs, then ends them in any order."""

    def __init__(self, port: int, paper: Paper, random: Random, extended: bool) -> None:
        self._port = port
        self._paper = paper
        self._random = random
        self._extended = extended
        self._lives = 0

    def run(self, stop: Stop) -> None:
        while not stop.is_set():
            try:
                with RawPeer((HOST, self._port)) as peer:
                    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peer.sock.settimeout(None)  # a wake-up that is lost must not be helped
                    self._lives += 1
                    connection = f"{self._paper.name}/{self._lives}"
                    _Grabber(peer, self._paper, connection, self._random).run(self._extended)
            except (OSError, EOFError):
                stop.wait(_RECONNECT_S)


class _Grabber:
    """One connection of it."""

    def __init__(self, peer: RawPeer, paper: Paper, connection: str, random: Random) -> None:
        self._peer = peer
        self._paper = paper
        self._connection = connection
        self._random = random
        self._order = 0

    def run(self, extended: bool) -> None:
        peer = self._peer
        if extended:
            peer.send(p.OPTION_REQ, b"gearpy")
            peer.expect(p.OPTION_RES)
        for function in FUNCTIONS:
            peer.send(p.CAN_DO, function)
        while True:
            count = self._random.randrange(1, _AT_ONCE + 1)
            for _ in range(count):
                peer.send(p.GRAB_JOB_UNIQ)
            held = [job for job in (self._grabbed() for _ in range(count)) if job is not None]
            self._random.shuffle(held)
            for handle, function, payload, attempt in held:
                self._end(handle, function, payload, attempt)
            if len(held) < count:
                peer.send(p.PRE_SLEEP)
                peer.expect(p.NOOP)

    def _grabbed(self) -> tuple[bytes, bytes, bytes, int] | None:
        number, fields = self._peer.receive()
        while number == p.NOOP:
            number, fields = self._peer.receive()
        if number == p.NO_JOB:
            return None
        attempt = 0
        if number == p.JOB_ASSIGN_OPTIONS:
            handle, function, unique, options, payload = fields
            attempt = int(unpacked("the options of a job", options)["attempt"])
        else:
            assert number == p.JOB_ASSIGN_UNIQ, (number, fields)
            handle, function, unique, payload = fields
        self._order += 1
        self._paper.write(
            Assignment(
                self._connection,
                self._order,
                handle.decode(),
                function.decode(),
                unique.decode(),
                digest(payload),
                attempt,
                time.time(),
            )
        )
        return handle, function, payload, attempt

    def _end(self, handle: bytes, function: bytes, payload: bytes, attempt: int) -> None:
        ending = fate(function, payload, attempt)
        if self._random.random() < 0.1:
            self._peer.send(p.WORK_STATUS, handle, b"1", b"2")
        self._paper.write(Ending(self._connection, handle.decode(), ending == "complete"))
        if ending == "complete":
            self._peer.send(p.WORK_COMPLETE, handle, payload)
        elif ending == "exception":
            self._peer.send(p.WORK_EXCEPTION, handle, b"such a payload\0")
        else:
            self._peer.send(p.WORK_FAIL, handle)


def main(kind: str, port: str, paper: str, seed: str) -> None:
    written, random = Paper(Path(paper)), Random(seed)
    # What is on paper needs no farewell, and a worker that sleeps would not hear a polite word.
    stop = Stop(lambda: os._exit(0))
    if kind == "library":
        LibraryWorker(int(port), written, random).run(stop)
    else:
        PlainWorker(int(port), written, random, extended=kind == "extended").run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
