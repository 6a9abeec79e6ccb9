"""The whole of Gearman on one screen: a server, two workers, photographs in, thumbnails out.

    make demo

Starts a server on a free port and two workers (resize_worker.py), and has thumbnails made, first
from Python (submit_photographs.py), then from PHP (submit_photographs.php) where it is installed.
Stops all of them at the end.  Exits with 0 only if every thumbnail is right.
"""

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Final

from PIL import Image

from gearpy.testing.process import ServerProcess

EXAMPLES: Final = Path(__file__).resolve().parent
WORKERS: Final = 2
THUMBNAIL_PIXELS: Final = 320  # the longer side, as resize_worker.py makes it
LOOK_S: Final = 0.1  # between two looks whether everything is well
STOP_S: Final = 10.0

Process = subprocess.Popen[bytes]


class DemoFailed(Exception):
    """A sentence that says what is not as it should be."""


class Stopped(Exception):
    """Somebody wants the demonstration to stop."""


@contextmanager
def running(*command: str | Path, quiet: bool = False) -> Iterator[Process]:
    """A process that is stopped at the end of the block, if it still runs then."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL if quiet else None)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def submit(interpreter: str, script: Path, photographs: Path, into: Path, scene: "Scene") -> None:
    """Runs one of the programs that submit photographs.  Raises DemoFailed."""
    into.mkdir(parents=True, exist_ok=True)
    for old in into.glob("*.jpg"):  # of an earlier run, which proves nothing
        old.unlink()
    command = (interpreter, script, "--server", scene.server.address, "--into", into, photographs)
    with running(*command) as process:
        while process.poll() is None:
            scene.check()
            try:
                process.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                continue
    scene.check()
    if process.returncode != 0:
        raise DemoFailed(f"{shown(script)} exited with {process.returncode}.")


class Scene:
    """What has to run while photographs are submitted."""

    def __init__(self, server: ServerProcess, workers: list[Process], signals: "Signals") -> None:
        self.server = server
        self._workers = workers
        self._signals = signals

    def check(self) -> None:
        """Raises DemoFailed if something ended: nobody would answer any more.  Raises Stopped."""
        self._signals.check()
        if self.server.process.poll() is not None:
            raise DemoFailed(f"The server exited with {self.server.process.returncode}.")
        for number, worker in enumerate(self._workers, start=1):
            if worker.poll() is not None:
                raise DemoFailed(f"Worker {number} exited with {worker.returncode}.")


class Signals:
    """Ctrl-C and SIGTERM, noted until it is a good time to stop.

    A signal that raised an exception at once could do so between the start of a process and the
    note that there is one to stop.
    """

    def __init__(self) -> None:
        self._arrived = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._arrived = True

    def check(self) -> None:
        """Raises Stopped after such a signal."""
        if self._arrived:
            raise Stopped


def php_with_gearman() -> str | None:
    """The path of a PHP that has the gearman extension."""
    php = shutil.which("php")
    if php is None:
        return None
    asked = subprocess.run([php, "-r", "exit(extension_loaded('gearman') ? 0 : 1);"], check=False)
    return php if asked.returncode == 0 else None


def check_thumbnail(photograph: Path, thumbnail: Path) -> str:
    """Size in pixels and bytes of a thumbnail that is right.  Raises DemoFailed if it is not."""
    if not thumbnail.exists():
        raise DemoFailed(f"{shown(thumbnail)} is missing.")
    data = thumbnail.read_bytes()
    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            image.load()
            width, height = image.size
    except OSError as error:
        raise DemoFailed(f"{shown(thumbnail)} is no JPEG: {error}.") from error
    with Image.open(photograph) as original:
        shrink = max(1.0, max(original.size) / THUMBNAIL_PIXELS)
        expected = [side / shrink for side in original.size]
    if any(abs(side - right) > 1 for side, right in zip((width, height), expected, strict=True)):
        raise DemoFailed(
            f"{shown(thumbnail)} has {width} x {height} pixels, not about"
            f" {expected[0]:.0f} x {expected[1]:.0f}."
        )
    return f"{width} x {height} pixels {len(data):>8,} bytes"


def check_all(photographs: Path, folders: list[Path]) -> None:
    """Prints every thumbnail.  Raises DemoFailed at the first that is not right."""
    originals = sorted(photographs.glob("*.jpg"))
    for folder in folders:
        for original in originals:
            thumbnail = folder / original.name
            sizes = check_thumbnail(original, thumbnail)
            if thumbnail.read_bytes() != (folders[0] / original.name).read_bytes():
                raise DemoFailed(f"{shown(thumbnail)} differs from that in {shown(folders[0])}.")
            print(f"  {shown(thumbnail)!s:<48} {sizes}")


def shown(path: Path) -> Path:
    """A path as short as it can be from here."""
    path, here = path.resolve(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def play(photographs: Path, thumbnails: Path, signals: Signals) -> None:
    """The demonstration.  Raises DemoFailed, Stopped, and RuntimeError if no server starts."""
    with ExitStack() as stage:
        server = stage.enter_context(ServerProcess("--verbose", "WARNING"))
        command = (sys.executable, EXAMPLES / "resize_worker.py", "--server", server.address)
        workers = [stage.enter_context(running(*command, quiet=True)) for _ in range(WORKERS)]
        scene = Scene(server, workers, signals)
        listens = f"A Gearman server listens on {server.address}"
        print(f"{listens}, and {WORKERS} workers do its jobs.", flush=True)

        script = EXAMPLES / "submit_photographs.py"
        folders = [thumbnails / "python"]
        print(f"\nFrom Python ({shown(script)}):", flush=True)
        submit(sys.executable, script, photographs, folders[0], scene)

        php = php_with_gearman()
        if php is None:
            print(
                "\nFrom PHP: not here. The Debian packages php-cli and php-gearman would show that"
                " other languages' clients work, too."
            )
        else:
            script = EXAMPLES / "submit_photographs.php"
            folders.append(thumbnails / "php")
            print(f"\nFrom PHP ({shown(script)}):", flush=True)
            submit(php, script, photographs, folders[1], scene)

        print("\nThe thumbnails:")
        check_all(photographs, folders)
        same = ", and PHP got the same ones as Python" if php else ""
        print(f"\nAll of them are right{same}.", flush=True)


def main() -> None:
    """Exits with 0 if all thumbnails are right, else with 1 and a sentence."""
    parser = argparse.ArgumentParser(description="Thumbnails of photographs, by Gearman.")
    parser.add_argument("--photographs", type=Path, default=EXAMPLES / "photographs")
    parser.add_argument("--thumbnails", type=Path, default=EXAMPLES / "thumbnails")
    options = parser.parse_args()
    try:
        play(options.photographs, options.thumbnails, Signals())
    except (DemoFailed, RuntimeError) as error:
        sys.exit(f"\nThe demonstration failed: {error}")
    except Stopped:
        sys.exit("\nStopped.")


if __name__ == "__main__":
    main()
