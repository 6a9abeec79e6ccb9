"""A gearpy-server as a real process, for tests and demonstrations."""

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

_STOP_S: Final = 30.0
_HTTP: Final = re.compile(r"https?://127\.0\.0\.1:\d+")
_ADDRESS: Final = re.compile(r" on [^;]*?127\.0\.0\.1:(\d+)")


class ServerProcess:
    """A server on a free port of 127.0.0.1, from ``with`` to the end of the block.

    ``arguments`` are more flags of gearpy-server.  Its log goes to this process's stderr, or to
    ``log``: a file descriptor, or subprocess.PIPE to read ``process.stderr``.  ``program`` is the
    gearpy-server to start; without it, that of this Python.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *arguments: str,
        log: int | None = None,
        environment: dict[str, str] | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        self._command = [
            *(program or (sys.executable, "-m", "gearpy.cli.serve")),
            "--listen",
            self.host,
            "--port",
            "0",
            *arguments,
        ]
        self._log = log
        self._environment = environment
        self.process: subprocess.Popen[str]
        self.start_line = ""
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.close()

    def close(self) -> None:
        """Gives back what is held of a server that has ended."""
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    @property
    def address(self) -> str:
        """Host and port, as clients take them."""
        return f"{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """Where it speaks HTTP, if it was given ``--http 127.0.0.1:0``."""
        found = _HTTP.search(self.start_line)
        assert found is not None, "it was started with --http"
        return found[0]

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> None:
        """Starts it and waits until it listens.  Raises RuntimeError if it exits instead."""
        self.launch()
        self.wait_started()

    def launch(self) -> None:
        """Starts it, and waits for nothing."""
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=self._environment,
        )

    def wait_started(self) -> None:
        """Waits until it listens.  Raises RuntimeError if it exits instead."""
        assert self.process.stdout is not None
        try:
            self.start_line = self.process.stdout.readline()
        except BaseException:
            self.kill()
            raise
        address = _ADDRESS.search(self.start_line)
        if address is None:
            self.process.wait()
            raise RuntimeError(f"gearpy-server exited with {self.process.returncode}")
        self.port = int(address[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(_STOP_S)

    def kill(self) -> None:
        """Ends it without a chance to do anything."""
        self.process.kill()
        self.process.wait()
