"""A server and the programs around it."""

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import pytest

from gearpy.testing.process import ServerProcess
from tests.waiting import eventually

from .processes import LIMIT_S, Started, run
from .programs import Client, Worker, require, script

T = TypeVar("T")


class Stage:
    """A server, and the programs that were started beside it; they end with it."""

    def __init__(self, server: ServerProcess, programs: ExitStack) -> None:
        self.host: Final = server.host
        self.port: Final = server.port
        self.where: Final = [server.host, str(server.port)]
        self._programs = programs
        self._started: list[Started] = []
        self._employed: set[str] = set()

    # ---- programs

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Started:
        """Starts a program, and ends it with the test."""
        program = self._programs.enter_context(Started(command, environment))
        self._started.append(program)
        return program

    def start_worker(self, worker: Worker) -> list[Started]:
        """A worker whose functions have its own name as prefix; most are one process."""
        require(worker.name)
        commands = worker.commands(self.host, self.port, f"{worker.name}.")
        return [self.start(command) for command in commands]

    def start_our_worker(self, prefix: str) -> Started:
        return self.start(script("gearpy_peer.py", "worker", *self.where, prefix))

    def start_substitute(self, function: str) -> Started:
        """Our worker with one function that somebody else can't end; it reverses the payload."""
        return self.start(script("gearpy_peer.py", "substitute", *self.where, function))

    def employ(self, worker: Worker) -> None:
        """Starts a worker, if it is not at work already."""
        if worker.name not in self._employed:
            self.start_worker(worker)
            self._employed.add(worker.name)

    def submit(self, client: Client, function: str, payload: bytes, unique: str = "") -> bytes:
        """Runs a client for one job and returns what it printed."""
        require(client.name)
        command = client.command(self.host, self.port, function, unique)
        try:
            return run(command, payload).stdout
        except subprocess.TimeoutExpired as expired:
            pytest.fail(f"{expired}; {self._casualties()}")

    def wait_for(self, ask: Callable[[], T], answer: T) -> None:
        """Asks until the answer is the one that is waited for.  Fails if it never is."""
        eventually(ask, answer, self._casualties)

    def _casualties(self) -> str:
        """Why nothing happens, if that is because a program has ended."""
        ended = [
            f"{process} had ended: {process.wait().stderr.decode(errors='replace')}"
            for process in self._started
            if not process.running
        ]
        return "; ".join(ended) or "all programs are running"

    # ---- the server

    def report(self, command: str) -> list[str]:
        """The lines of a report in the text protocol."""
        with socket.create_connection((self.host, self.port), LIMIT_S) as connection:
            connection.sendall(command.encode() + b"\n")
            with connection.makefile() as lines:
                return [line.rstrip("\n") for line in iter(lines.readline, ".\n")]

    def counts(self, function: str, command: str = "status") -> list[int]:
        """The numbers that ``status`` or ``prioritystatus`` tells of a function, if any."""
        for line in self.report(command):
            name, *numbers = line.split("\t")
            if name == function:
                return [int(number) for number in numbers]
        return []


class Pipe:
    """Something to wait for: whoever reads a line from ``path`` waits until ``release``."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path: Final = path
        # Open at both ends until the test is over, whenever the reader comes.
        self._end = os.open(path, os.O_RDWR)

    def release(self) -> None:
        """Lets the reader go on."""
        os.write(self._end, b"go on\n")

    def close(self) -> None:
        os.close(self._end)
