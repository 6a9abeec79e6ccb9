"""The ``gearpy`` command as a process, and terminals for it."""

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Self

import pytest

from gearpy.cli.main import gearpy as group
from tests.waiting import eventually

LIMIT_S = 30.0
GEARPY: Final = [sys.executable, "-m", "gearpy.cli.main"]
# A process that takes its standard input for its terminal, so that Ctrl-C there reaches it, and
# does not inherit that interrupts or hang-ups are ignored.
_OF_ITS_OWN: Final = (
    "import os, signal, sys; os.login_tty(0);"
    " signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    " os.execvp(sys.argv[1], sys.argv[1:])"
)


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


class Terminal:
    """A command whose terminal is this one, until the end of the block."""

    def __init__(self, *words: str, width: int = 100, height: int = 24) -> None:
        self._near, self._far = pty.openpty()
        self.resize(width, height)
        self.modes = termios.tcgetattr(self._far)
        unset = ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "GEARPY_SERVER")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OF_ITS_OWN, *words],
            stdin=self._far,
            stdout=self._far,
            stderr=self._far,
            env=environment | {"TERM": "xterm"},
        )
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)
        os.close(self._near)
        os.close(self._far)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._far, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    def are_modes_restored(self) -> bool:
        return termios.tcgetattr(self._far) == self.modes

    def read_until(self, seen: Callable[[], object]) -> None:
        """Reads what is shown until it is what is waited for."""
        deadline_s = time.monotonic() + LIMIT_S  # as it may show one wrong screen after the other
        while not seen():
            if not self._read(LIMIT_S) or time.monotonic() > deadline_s:
                pytest.fail(f"that never came, but {self.shown[-3000:]!r}")

    def end(self) -> int:
        """The exit code, once the command has ended; all that it showed has been read then."""
        # It can't end before what it shows is taken from it.
        eventually(lambda: (self._read(0), self.process.poll() is None)[1], False)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._near], [], [], timeout_s)[0]:
            return False
        self.shown += os.read(self._near, 65536).decode("utf-8", "replace")
        return True
