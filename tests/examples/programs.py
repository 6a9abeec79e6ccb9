"""The example programs as processes, and pictures for them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from PIL import Image

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
WAIT_S: Final = 60.0

PYTHON: Final = (sys.executable, str(EXAMPLES / "submit_photographs.py"))
PHP: Final = ("php", str(EXAMPLES / "submit_photographs.php"))


def jpeg(width: int, height: int) -> bytes:
    """A picture with something in it."""
    data = BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(data, "JPEG")
    return data.getvalue()


def size_of(thumbnail: bytes) -> tuple[int, int]:
    """Width and height of a JPEG, all of which can be read."""
    with Image.open(BytesIO(thumbnail), formats=["JPEG"]) as image:
        image.load()
        return image.size


def need_php() -> None:
    """Skips a test where PHP or its extension is missing; a failure where CI is to have both."""
    if has_php():
        return
    sentence = "needs the Debian packages php-cli and php-gearman"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def has_php() -> bool:
    php = shutil.which("php")
    if php is None:
        return False
    return "gearman" in subprocess.check_output([php, "-m"], text=True).split()


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)


@contextmanager
def resize_worker(server: str) -> Iterator[None]:
    """A resize worker, which has to stop well when it is told to."""
    command = (sys.executable, EXAMPLES / "resize_worker.py", "--server", server)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"takes jobs from {server}" in process.stdout.readline()
            yield
            process.terminate()
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()


class Demo:
    """examples/demo.py in a process group of its own, so that nothing it starts can get lost."""

    def __init__(self, photographs: Path, thumbnails: Path) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                EXAMPLES / "demo.py",
                *("--photographs", photographs),
                *("--thumbnails", thumbnails),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self.errors = ""

    def __enter__(self) -> "Demo":
        return self

    def __exit__(self, *_: object) -> None:
        if self.members():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def wait_line(self, text: str) -> None:
        """Reads until a line with this text."""
        assert self.process.stdout is not None
        while text not in self.output:
            line = self.process.stdout.readline()
            assert line, f"the demonstration ended without {text!r}"
            self.output += line

    def finish(self) -> int:
        """Waits for its end, and for that of its output; returns its exit code."""
        output, self.errors = self.process.communicate(timeout=WAIT_S)
        self.output += output
        return self.process.returncode

    def workers(self, count: int) -> list[int]:
        """The workers that it started.  A program's name is in /proc a moment after its start."""
        give_up_s = time.monotonic() + WAIT_S
        while True:
            pids = [pid for pid, command in self.members().items() if "resize_worker" in command]
            if len(pids) == count:
                return pids
            assert time.monotonic() < give_up_s, f"{len(pids)} workers instead of {count}"

    def members(self) -> dict[int, str]:
        """The processes that it started and itself, and their command lines, of those that run."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                # PID (NAME) STATE PARENT GROUP ...; a name may hold anything, also brackets
                state, _, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
                command = (process / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended just now
            if int(group) == self.process.pid and state != "Z":
                found[int(process.name)] = command.replace(b"\0", b" ").decode()
        return found
