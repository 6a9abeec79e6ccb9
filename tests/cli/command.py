"""The ``gearpy`` command as a process, and workers for it to talk about."""

import contextlib
import io
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from gearpy.cli.main import gearpy as group

LIMIT_S = 30.0
GEARPY: Final = [sys.executable, "-m", "gearpy.cli.main"]


def gearpy(
    *arguments: str | bytes, server: str | None = None, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs the command.  Without ``stdin`` standard input is empty."""
    environment = {name: value for name, value in os.environ.items() if name != "GEARPY_SERVER"}
    if server is not None:
        environment["GEARPY_SERVER"] = server
    return subprocess.run(
        [*GEARPY, *arguments],
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=LIMIT_S,
        env=environment,
    )


def start(
    *arguments: str,
    stdin: int | None = None,
    stderr: int = subprocess.PIPE,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts the command so that it can be interrupted."""
    # A test run that was started in the background ignores SIGINT, and so would its children.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            [*GEARPY, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def printed(*arguments: str, server: str) -> tuple[str, str]:
    """Runs the command in this process, which is quicker, and returns its two outputs.

    Raises what it fails with.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        group.main([*arguments, "--server", server], standalone_mode=False)
    for stream in (out, err):
        stream.seek(0)
    return out.read(), err.read()


def rows(output: bytes | str) -> list[list[str]]:
    text = output if isinstance(output, str) else output.decode()
    return [line.split() for line in text.splitlines()]


class Dialogue(NamedTuple):
    """What a command did on a terminal: its exit code, standard output, and the screen."""

    code: int
    stdout: bytes
    screen: str


class OnTerminal:
    """The command with a terminal for its standard input and error, until the end of the block."""

    def __init__(self, *arguments: str, server: str) -> None:
        self._terminal, far_end = pty.openpty()
        self.process = start(*arguments, "--server", server, stdin=far_end, stderr=far_end)
        os.close(far_end)
        self._screen = b""

    def __enter__(self) -> "OnTerminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT_S)
        os.close(self._terminal)

    def read_until(self, words: str) -> None:
        """Waits until the screen shows these words."""
        while words.encode() not in self._screen:
            assert self._read(), f"no {words!r} came, but {self._screen!r}"

    def write(self, text: str) -> None:
        """Types."""
        os.write(self._terminal, text.encode())

    def end(self) -> Dialogue:
        """Waits for the end of the command."""
        while self._read():
            pass
        stdout, _ = self.process.communicate(timeout=LIMIT_S)
        return Dialogue(self.process.returncode, stdout, self._screen.decode())

    def _read(self) -> bool:
        """Whether the screen shows more than before."""
        if not select.select([self._terminal], [], [], LIMIT_S)[0]:
            return False
        try:
            piece = os.read(self._terminal, 4096)
        except OSError:  # so Linux says that the terminal was closed
            return False
        self._screen += piece
        return bool(piece)
