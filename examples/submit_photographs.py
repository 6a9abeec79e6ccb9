"""Has thumbnails made of all photographs in a folder.

    python examples/submit_photographs.py --server localhost:4730 --into thumbnails FOLDER

All jobs are submitted at once; as many are done side by side as there are workers.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gearpy import Client, GearpyError, JobFailed, WaitTimeout

TIMEOUT_S: Final = 60.0  # for one thumbnail


class Display(Protocol):
    """Shows what happens to each photograph as it happens."""

    def progress(self, name: str, numerator: int, denominator: int, words: str) -> None: ...

    def say(self, name: str, text: str) -> None: ...


class Lines:
    """A line for each event, for logs and pipes."""

    def progress(self, name: str, numerator: int, denominator: int, words: str) -> None:
        self.say(name, f"{numerator} of {denominator} {words}".rstrip())

    def say(self, name: str, text: str) -> None:
        print(f"  {name}: {text}", flush=True)


class Bars:
    """A bar for each photograph, for terminals."""

    def __init__(self, bars: Progress, names: list[str]) -> None:
        self._bars = bars
        self._tasks = {name: bars.add_task(name, total=None, words="", news="") for name in names}
        self._news: dict[str, list[str]] = {name: [] for name in names}

    def progress(self, name: str, numerator: int, denominator: int, words: str) -> None:
        task = self._tasks[name]
        self._bars.update(task, completed=numerator, total=denominator, words=words)

    def say(self, name: str, text: str) -> None:
        self._news[name].append(text)
        self._bars.update(self._tasks[name], news="; ".join(self._news[name]))


@contextmanager
def display(names: list[str]) -> Iterator[Display]:
    """Bars on a terminal, lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TextColumn("{task.fields[news]}", markup=False),
    )
    with Progress(*columns, console=console) as bars:
        yield Bars(bars, names)


def submit_all(client: Client, photographs: list[Path], into: Path, show: Display) -> int:
    """Submits all photographs, then waits for their thumbnails and saves them.

    Returns how many jobs failed.  Raises GearpyError if something is wrong with the server.
    """
    jobs = {
        path: client.submit(
            "resize",
            path.read_bytes(),
            on_progress=partial(show.progress, path.name),
            on_warning=partial(warn, show, path.name),
        )
        for path in photographs
    }
    failures = 0
    for path, job in jobs.items():
        try:
            thumbnail = job.result(timeout=TIMEOUT_S)
        except JobFailed as error:
            show.say(path.name, f"failed: {text(error.exception or b'the worker says not why')}")
            failures += 1
        else:
            (into / path.name).write_bytes(thumbnail)
            show.say(path.name, f"a thumbnail of {len(thumbnail):,} bytes")
    return failures


def warn(show: Display, name: str, warning: bytes) -> None:
    """Shows what a worker warns of."""
    show.say(name, f"warning: {text(warning)}")


def text(message: bytes) -> str:
    """What a worker says, for people."""
    return message.decode("utf-8", "replace")


def main() -> None:
    """Exits with 0 if there is a thumbnail of every photograph, with 1 and a sentence if not."""
    parser = argparse.ArgumentParser(description="Has thumbnails made of photographs.")
    parser.add_argument("--server", default="localhost:4730", metavar="HOST:PORT")
    parser.add_argument("--into", type=Path, default=Path("thumbnails"), metavar="FOLDER")
    parser.add_argument("photographs", type=Path, help="a folder with *.jpg in it")
    options = parser.parse_args()

    photographs = sorted(options.photographs.glob("*.jpg"))
    if not photographs:
        sys.exit(f"There are no photographs (*.jpg) in {options.photographs}.")
    options.into.mkdir(parents=True, exist_ok=True)
    try:
        names = [path.name for path in photographs]
        with Client(options.server) as client, display(names) as show:
            failures = submit_all(client, photographs, options.into, show)
    except WaitTimeout as error:
        sys.exit(f"{error}; does a worker run? Start one: python examples/resize_worker.py")
    except GearpyError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)  # as shells say of what Ctrl-C stopped
    if failures:
        sys.exit(f"{failures} of {len(photographs)} photographs have no thumbnail.")


if __name__ == "__main__":
    main()
