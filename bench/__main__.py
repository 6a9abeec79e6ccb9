"""``python -m bench race``: what to run, how often, and where the figures go."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from bench import broker
from bench.generator import BenchError
from bench.race import race
from bench.report import facts, footnotes, table, write_json
from bench.servers import GEARMAND, GEARMAND_PACKAGE, GEARPY, RIVALS
from bench.workloads import WORKLOADS, Workload
from gearpy.server.collector import tune_collector

_TABLE_COLUMNS: Final = 160  # wherever it goes
_BROKER_JOBS: Final = 100_000

_BY_NAME: Final = {workload.name: workload for workload in WORKLOADS}


@click.command()
@click.argument("what", type=click.Choice(["race", *_BY_NAME, "broker"]))
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Multiplies how many jobs there are.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Writes every single measurement of a race to this file.",
)
def main(what: str, rounds: int, scale: float, json_path: Path | None) -> None:
    """Measures how fast gearpy is.

    WHAT is race (all workloads beside gearmand), one workload of it, or broker (the broker alone,
    without sockets).
    """
    if what == "broker":
        if json_path is not None:
            raise click.UsageError("--json belongs to a race; broker prints its table only")
        tune_collector()  # as the server does
        Console(width=_TABLE_COLUMNS, highlight=False).print(
            broker.measure(rounds, max(broker.PACKETS_PER_READ, round(_BROKER_JOBS * scale)))
        )
        return
    try:
        _race(WORKLOADS if what == "race" else [_BY_NAME[what]], rounds, scale, json_path)
    except BenchError as error:
        click.echo(f"the race ended early: {error}", err=True)
        sys.exit(1)


def _race(workloads: Sequence[Workload], rounds: int, scale: float, json_path: Path | None) -> None:
    rivals = RIVALS if GEARMAND is not None else ()
    if not rivals:
        click.echo(
            f"gearmand is not installed (Debian package {GEARMAND_PACKAGE}), so gearpy runs alone",
            err=True,
        )
    where = facts()
    measurements = race(
        workloads, (GEARPY, *rivals), rounds, scale, tell=lambda line: click.echo(line, err=True)
    )
    console = Console(width=_TABLE_COLUMNS, highlight=False)
    console.print(", ".join(f"{name} {value}" for name, value in where.items()))
    console.print(table(measurements, workloads, GEARPY, rivals))
    for note in footnotes(workloads, measurements):
        console.print(note)
    if json_path is not None:
        write_json(json_path, where, measurements)


if __name__ == "__main__":
    main()
