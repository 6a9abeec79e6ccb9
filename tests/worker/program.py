"""A worker of its own, as a process that gets signals."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from gearpy.testing.process import ServerProcess


class WorkerProcess:
    """Runs this Python text, with the server's address as its argument."""

    def __init__(self, text: str, folder: Path, server: ServerProcess) -> None:
        program = folder / "worker.py"
        program.write_text(text)
        # A test run that was started in the background ignores SIGINT, and so would its children.
        before = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            self.process = subprocess.Popen(
                [sys.executable, str(program), server.address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def said(self) -> str:
        return self.output.readline().rstrip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
