"""``python -m bench race``: what to run, how often, and where the figures go."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench import broker, memory
from bench.generator import BenchError
from bench.report import facts, write_json
from bench.sections import ALL, SECTIONS, Section, Tell, Wishes
from gearpy.server.collector import tune_collector

_TABLE_COLUMNS: Final = 190  # wherever it goes
_BROKER_JOBS: Final = 100_000
_EVERYTHING: Final = "all"
_BROKER: Final = "broker"


@click.command()
@click.argument("what", type=click.Choice([_EVERYTHING, *SECTIONS, _BROKER]), metavar="WHAT")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Multiplies how many jobs there are.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bench"),
    show_default=True,
    help="Where journals are made, so it must be on the disk; and WHAT.json and WHAT.svg.",
)
@click.option("--keyed", is_flag=True, help="memory: each job has a unique key of its own.")
def main(what: str, rounds: int, scale: float, folder: Path, keyed: bool) -> None:
    """Measures how fast gearpy is, beside others.

    WHAT is one of these, or all of them:

    \b
    race       everything that a server does, beside gearmand
    latency    answers at a quarter, a half, three quarters of the highest rate
    curves     what a job costs as queues, functions, connections grow
    durable    with a journal, beside gearmand's SQLite queue
    peers      beside the Perl server, gear's server, beanstalkd
    libraries  gearpy's client and worker, beside RQ, Celery, Dramatiq, Huey

    or one workload of race, one of the curves, one heat of durable, by its name (a wrong name lists
    them); or what is in no race: memory (a million queued jobs of 1 kB), memory-small (ten million
    of 100 bytes), broker (the broker alone, without sockets).
    """
    if keyed and what not in {depth.name for depth in memory.DEPTHS}:
        raise click.UsageError("--keyed belongs to memory")
    if what == _BROKER:
        tune_collector()  # as the server does
        _console().print(
            broker.measure(rounds, max(broker.PACKETS_PER_READ, round(_BROKER_JOBS * scale)))
        )
        return
    wishes = Wishes(rounds, scale, folder, keyed)
    chosen = ALL if what == _EVERYTHING else {what: SECTIONS[what]}
    try:
        _make(folder)
        for name, section in chosen.items():
            _run(name, section, wishes)
    except BenchError as error:
        click.echo(f"the race ended early: {error}", err=True)
        sys.exit(1)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"the folder {folder} can't be made: {error.strerror}") from None


def _run(name: str, section: Section, wishes: Wishes) -> None:
    where = facts() | section.facts(wishes)
    for sentence in section.missing():
        click.echo(sentence, err=True)
    with _progress(name, section.steps(wishes)) as tell:
        found = section.run(wishes, tell)
    console = _console()
    console.print(", ".join(f"{title} {value}" for title, value in where.items()))
    section.show(wishes, found, console)
    if wishes.scale != 1:
        console.print(f"the aims are for --scale 1; this was {wishes.scale:g}")
    path = wishes.folder / f"{name}.json"
    write_json(path, where, found)
    written = [str(path)]
    if section.draw(path.with_suffix(".svg"), found):
        written.append(str(path.with_suffix(".svg")))
    console.print(f"written: {', '.join(written)}\n")


@contextmanager
def _progress(name: str, steps: int | None) -> Iterator[Tell]:
    """A bar for who watches, a line for each measurement for everybody."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=steps)
        yield _teller(progress, lambda: progress.advance(task))


def _teller(progress: Progress, advance: Callable[[], None]) -> Tell:
    def tell(line: str) -> None:
        progress.console.print(line)
        advance()

    return tell


def _console() -> Console:
    return Console(width=_TABLE_COLUMNS, highlight=False)


if __name__ == "__main__":
    main()
