"""Waiting for what a server process logs."""

import subprocess
import threading
from typing import Final

from gearpy.testing.process import ServerProcess

WAIT_S: Final = 30.0


class LoggedServer(ServerProcess):
    """A server whose log lines can be waited for."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        super().__init__(*arguments, log=subprocess.PIPE, environment=environment)
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        super().start()
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grown:
                self.lines.append(line.rstrip("\n"))
                self._grown.notify_all()

    def wait_for_line(self, text: str) -> str:
        """The first log line with this text."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._grown:
            line = self._grown.wait_for(found, WAIT_S)
        assert line is not None, (text, self.lines)
        return line

    def all_lines(self) -> list[str]:
        """Everything that was logged; the server must have stopped."""
        self._reader.join(WAIT_S)
        return self.lines
