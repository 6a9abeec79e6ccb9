"""Running other people's programs: to their end, or beside the test until it ends."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

LIMIT_S: Final = 30.0  # for what takes a fraction of a second where all is well


@dataclass(frozen=True)
class Finished:
    """What a program left behind."""

    stdout: bytes
    stderr: bytes
    exit_code: int


def run(
    command: Sequence[str], stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Finished:
    """Runs a program to its end.  Raises subprocess.TimeoutExpired if it goes on for too long."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=LIMIT_S, env=environment, check=False
    )
    return Finished(done.stdout, done.stderr, done.returncode)


def output(command: Sequence[str], stdin: bytes = b"") -> str:
    """The lines that a program printed; it must have ended well."""
    done = run(command, stdin)
    assert done.exit_code == 0, done
    return done.stdout.decode()


class Started:
    """A program that runs beside the test, until the end of the ``with`` block at the latest.

    ``ask`` talks with it; what it prints to stderr is kept for ``wait`` and ``kill``.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = command
        self._environment = environment
        self._kept = contextlib.ExitStack()

    def __enter__(self) -> "Started":
        # Into a file: a pipe that nobody reads would stop it when it is full.
        self._stderr = self._kept.enter_context(tempfile.TemporaryFile())
        # A session of its own, so that what it starts goes when it goes.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=self._environment,
            bufsize=0,  # what is read here is not hidden from select()
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self.kill()
        self._kept.close()

    def __str__(self) -> str:
        return " ".join(self._command)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def read_line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], LIMIT_S)
        assert readable, f"{self} prints nothing"
        return self._process.stdout.readline().decode().rstrip("\n")

    def ask(self, question: str = "") -> str:
        """Writes a line to it and returns the line that it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(question.encode() + b"\n")
        self._process.stdin.flush()
        return self.read_line()

    def tell(self, everything: bytes) -> None:
        """Writes all that there will be for it to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(everything)
        self._process.stdin.close()
        self._process.stdin = None  # or communicate() would flush it

    def wait(self) -> Finished:
        """Waits until it ends by itself."""
        stdout, _ = self._process.communicate(timeout=LIMIT_S)
        self._stderr.seek(0)
        return Finished(stdout, self._stderr.read(), self._process.returncode)

    def kill(self) -> Finished:
        """Ends it, as a crash would, with all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self.wait()
