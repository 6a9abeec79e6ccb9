"""The processes that make the load."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parent.parent
_FINISH_S: Final = 60.0


class Load:
    """One of them.  It ends when its standard input does."""

    def __init__(self, name: str, folder: Path, command: Sequence[str]) -> None:
        self.name = name
        self._said = folder / f"{name}.log"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd=_ROOT
            )

    def check(self) -> None:
        """Raises AssertionError if it has ended by itself."""
        code = self._process.poll()
        assert code is None, f"{self.name} ended with {code}: {self._last_words()}"

    def finish(self) -> None:
        """Lets it take what is on its way to it, and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(_FINISH_S)
        assert code == 0, f"{self.name} ended with {code}: {self._last_words()}"

    def kill(self) -> None:
        """Ends it without a chance to do anything."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _last_words(self) -> str:
        return self._said.read_text(errors="replace")[-2000:]


def python_load(name: str, folder: Path, module: str, *arguments: str) -> Load:
    """A client or worker of our own."""
    return Load(name, folder, [sys.executable, "-m", f"tests.crash.{module}", *arguments])


def php_load(name: str, folder: Path, *arguments: str) -> Load | None:
    """A client in PHP, where there is one."""
    if not _php_has_gearman():
        return None
    return Load(name, folder, ["php", str(_HERE / "load.php"), *arguments])


def _php_has_gearman() -> bool:
    if shutil.which("php") is None:
        return False
    asked = ["php", "-r", 'exit(extension_loaded("gearman") ? 0 : 1);']
    return subprocess.run(asked, check=False).returncode == 0
