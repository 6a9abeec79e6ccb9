"""``python -m bench race``: what to run, how often, and where the figures go."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from bench import aims, broker, disk, durable, memory, restart
from bench.generator import BenchError
from bench.libraries import race as libraries
from bench.race import Measurement, race
from bench.report import facts, footnotes, latency_table, table, write_json
from bench.servers import GEARMAND, GEARMAND_PACKAGE, GEARPY, RIVALS
from bench.workloads import WORKLOADS, Workload
from gearpy.server.collector import tune_collector

_TABLE_COLUMNS: Final = 190  # wherever it goes
_BROKER_JOBS: Final = 100_000

_BY_NAME: Final = {workload.name: workload for workload in WORKLOADS}
_DEPTHS: Final = {depth.name: depth for depth in memory.DEPTHS}


@click.command()
@click.argument(
    "what",
    type=click.Choice(
        ["race", *_BY_NAME, "durable", *durable.HEAT_NAMES, *_DEPTHS, "libraries", "broker"]
    ),
)
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
    help="Where the journals of durable and memory are made; it must be on the disk.",
)
@click.option("--keyed", is_flag=True, help="memory: each job has a unique key of its own.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Writes every single measurement to this file.",
)
def main(
    what: str, rounds: int, scale: float, folder: Path, keyed: bool, json_path: Path | None
) -> None:
    """Measures how fast gearpy is.

    WHAT is race (all workloads beside gearmand), one workload of it, durable (with a journal), one
    heat of it, memory (a million queued jobs of 1 kB), memory-small (ten million of 100 bytes),
    libraries (gearpy's client and worker beside RQ, Celery, Dramatiq and Huey), or broker (the
    broker alone, without sockets).
    """
    if keyed and what not in _DEPTHS:
        raise click.UsageError("--keyed belongs to memory")
    if what == "broker":
        if json_path is not None:
            raise click.UsageError("--json belongs to a race; broker prints its table only")
        tune_collector()  # as the server does
        _console().print(
            broker.measure(rounds, max(broker.PACKETS_PER_READ, round(_BROKER_JOBS * scale)))
        )
        return
    where = facts()
    measurements: Sequence[Any]
    try:
        if what == "durable" or what in durable.HEAT_NAMES:
            names = durable.HEAT_NAMES if what == "durable" else [what]
            where |= _place(folder)
            measurements = _durable(names, folder, rounds, scale, where)
        elif what == "libraries":
            measurements = _libraries(rounds, scale, where)
        elif what in _DEPTHS:
            where |= _place(folder)
            measurements = _memory(_DEPTHS[what], folder, rounds, scale, keyed, where)
        else:
            chosen = WORKLOADS if what == "race" else [_BY_NAME[what]]
            measurements = _race(chosen, rounds, scale, where)
    except BenchError as error:
        click.echo(f"the race ended early: {error}", err=True)
        sys.exit(1)
    if json_path is not None:
        write_json(json_path, where, measurements)


def _race(
    workloads: Sequence[Workload], rounds: int, scale: float, where: dict[str, str]
) -> list[Measurement]:
    _say_who_is_missing()
    rivals = RIVALS if GEARMAND is not None else ()
    measurements = race(workloads, (GEARPY, *rivals), rounds, scale, _tell)
    console = _print_facts(where)
    console.print(table(measurements, workloads, GEARPY, rivals))
    for note in footnotes(workloads, measurements):
        console.print(note)
    return measurements


def _durable(
    names: Sequence[str], folder: Path, rounds: int, scale: float, where: dict[str, str]
) -> list[Measurement]:
    _say_who_is_missing()
    measurements = durable.run(names, folder, rounds, scale, _tell)
    console = _print_facts(where)
    heats = [heat for heat in durable.heats(folder) if heat.name in names]
    for heat in heats:
        console.print(table(measurements, heat.workloads, heat.ours, heat.rivals))
    if any(m.latency is not None for m in measurements):
        console.print(latency_table(measurements))
    console.print(aims.table(durable.findings(measurements, folder)))
    for note in footnotes([each for heat in heats for each in heat.workloads], measurements):
        console.print(note)
    if restart.NAME in names:
        console.print(f"{restart.NAME}: {restart.TITLE}")
    _print_scale(console, scale)
    return measurements


def _memory(
    depth: memory.Depth,
    folder: Path,
    rounds: int,
    scale: float,
    keyed: bool,
    where: dict[str, str],
) -> list[Measurement]:
    found = memory.run(depth, folder, rounds, scale, keyed, _tell)
    console = _print_facts(where)
    console.print(aims.table(memory.findings(depth, found)))
    _print_scale(console, scale)
    return found.measurements


def _libraries(rounds: int, scale: float, where: dict[str, str]) -> list[libraries.Heat]:
    where |= libraries.versions()
    heats = libraries.race(rounds, scale, _tell)
    console = _print_facts(where)
    console.print(libraries.table(heats))
    return heats


def _place(folder: Path) -> dict[str, str]:
    """Makes the folder; where it is, as a fact."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"the folder {folder} can't be made: {error.strerror}") from None
    kind = disk.filesystem(folder)
    if kind in disk.IN_MEMORY:
        click.echo(
            f"{folder} is on {kind}, which is memory: nothing there is durable, and these figures"
            " say nothing; name a folder on the disk with --folder",
            err=True,
        )
    return {"folder": f"{folder} on {kind}"}


def _say_who_is_missing() -> None:
    if GEARMAND is None:
        click.echo(
            f"gearmand is not installed (Debian package {GEARMAND_PACKAGE}), so gearpy runs alone",
            err=True,
        )


def _print_facts(where: dict[str, str]) -> Console:
    console = _console()
    console.print(", ".join(f"{name} {value}" for name, value in where.items()))
    return console


def _print_scale(console: Console, scale: float) -> None:
    if scale != 1:
        console.print(f"the aims are for --scale 1; this was {scale:g}")


def _console() -> Console:
    return Console(width=_TABLE_COLUMNS, highlight=False)


def _tell(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
