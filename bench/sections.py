"""The parts of the bench: how each is run, and how what it found is shown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import click
from rich.console import Console

from bench import aims, books, chart, curves, disk, durable, memory, open_loop, restart
from bench.libraries import race as libraries
from bench.race import Heat, race
from bench.report import footnotes, latency_table, table
from bench.servers import (
    CROWDED,
    CROWDED_RIVALS,
    GEARMAND_AT_ITS_BEST,
    GEARPY,
    LOOKED_AT,
    PEERS,
    RIVALS,
    WAKING_ONE,
    beanstalkd_durable,
    gearpy_durable,
    missing,
)
from bench.workloads import (
    CROWDS,
    DRAIN,
    DRAIN_TO_DISK,
    FOREGROUND,
    LONG_QUEUE,
    SUBMIT,
    WOKEN,
    WORKLOADS,
)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says."""

    rounds: int
    scale: float
    folder: Path  # for journals and for what is written in the end
    keyed: bool  # memory: each job has a unique key of its own


class Section(Protocol):
    """A part of the bench."""

    def missing(self) -> Iterator[str]:
        """A sentence for everybody who can't take part."""

    def steps(self, wishes: Wishes) -> int | None:
        """How many lines will be told; None: nobody knows."""

    def facts(self, wishes: Wishes) -> dict[str, str]:
        """Where the figures come from, beside the machine."""

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        """Measures.  Raises BenchError."""

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        """Prints what was found."""

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        """Draws it, if there is anything to draw."""


class _Heats:
    """Workloads on our server and on others."""

    def __init__(self, heats: Callable[[Path], Sequence[Heat]], on_disk: bool = False) -> None:
        self._heats = heats
        self._on_disk = on_disk
        self._chosen: Sequence[Heat] = ()

    def missing(self) -> Iterator[str]:
        return missing(rival for heat in self._heats(Path()) for rival in heat.rivals)

    def steps(self, wishes: Wishes) -> int:
        return wishes.rounds * sum(heat.steps for heat in self._heats(wishes.folder))

    def facts(self, wishes: Wishes) -> dict[str, str]:
        return _place(wishes.folder) if self._on_disk else {}

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        self._chosen = self._heats(wishes.folder)
        return race(self._chosen, wishes.rounds, wishes.scale, tell)

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        for heat in self._chosen:
            console.print(table(found, heat.workloads, heat.ours, heat.present))
        console.print(latency_table(found))
        said = list(books.findings(found))
        if said:
            console.print(aims.table(said))
        for note in footnotes([each for heat in self._chosen for each in heat.workloads], found):
            console.print(note)

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        chart.draw_race(path, self._chosen, found)
        return True


class _Latency:
    """Answers at a steady rate."""

    def missing(self) -> Iterator[str]:
        return missing(open_loop.CONTESTANTS)

    def steps(self, wishes: Wishes) -> int:
        return wishes.rounds * open_loop.steps()

    def facts(self, wishes: Wishes) -> dict[str, str]:
        return {}

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        return open_loop.run(wishes.rounds, wishes.scale, tell)

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        console.print(latency_table(found))
        console.print(aims.table(open_loop.findings(found)))
        for title in open_loop.titles():
            console.print(title)

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        chart.draw_latencies(path, found)
        return True


class _Curves:
    """Costs as something grows."""

    def __init__(self, chosen: Sequence[curves.Curve]) -> None:
        self._chosen = chosen

    def missing(self) -> Iterator[str]:
        return missing(curves.CONTESTANTS)

    def steps(self, wishes: Wishes) -> int:
        return wishes.rounds * curves.steps(self._chosen)

    def facts(self, wishes: Wishes) -> dict[str, str]:
        return {}

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        return curves.run(self._chosen, wishes.rounds, wishes.scale, tell)

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        console.print(curves.table(self._chosen, found))
        console.print(aims.table(curves.findings(self._chosen, found)))
        for curve in self._chosen:
            console.print(f"{curve.name}: {curve.title}")

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        chart.draw_curves(path, self._chosen, found)
        return True


class _Durable:
    """With a journal."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def missing(self) -> Iterator[str]:
        return missing(rival for heat in durable.heats(Path()) for rival in heat.rivals)

    def steps(self, wishes: Wishes) -> int:
        return wishes.rounds * durable.steps(self._names, wishes.folder)

    def facts(self, wishes: Wishes) -> dict[str, str]:
        return _place(wishes.folder)

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        return durable.run(self._names, wishes.folder, wishes.rounds, wishes.scale, tell)

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        heats = [heat for heat in durable.heats(wishes.folder) if heat.name in self._names]
        for heat in heats:
            console.print(table(found, heat.workloads, heat.ours, heat.present))
        console.print(latency_table(found))
        console.print(aims.table(durable.findings(found, wishes.folder)))
        for note in footnotes([each for heat in heats for each in heat.workloads], found):
            console.print(note)
        if restart.NAME in self._names:
            console.print(f"{restart.NAME}: {restart.TITLE}")

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        heats = [heat for heat in durable.heats(path.parent) if heat.name in self._names]
        if heats:
            chart.draw_race(path, heats, found)
        return bool(heats)


class _Memory:
    """A very long queue."""

    def __init__(self, depth: memory.Depth) -> None:
        self._depth = depth
        self._found: memory.Found

    def missing(self) -> Iterator[str]:
        return iter(())

    def steps(self, wishes: Wishes) -> None:
        return None

    def facts(self, wishes: Wishes) -> dict[str, str]:
        return _place(wishes.folder)

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        self._found = memory.run(
            self._depth, wishes.folder, wishes.rounds, wishes.scale, wishes.keyed, tell
        )
        return self._found.measurements

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        console.print(aims.table(memory.findings(self._depth, self._found)))

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        return False


class _Libraries:
    """gearpy's client and worker beside others'."""

    def missing(self) -> Iterator[str]:
        return libraries.missing()

    def steps(self, wishes: Wishes) -> int:
        return wishes.rounds * len(libraries.present())

    def facts(self, wishes: Wishes) -> dict[str, str]:
        return libraries.versions()

    def run(self, wishes: Wishes, tell: Tell) -> Sequence[Any]:
        return libraries.race(wishes.rounds, wishes.scale, tell)

    def show(self, wishes: Wishes, found: Sequence[Any], console: Console) -> None:
        console.print(libraries.table(found))

    def draw(self, path: Path, found: Sequence[Any]) -> bool:
        return False


def _place(folder: Path) -> dict[str, str]:
    """Where the folder is, as a fact."""
    kind = disk.filesystem(folder)
    if kind in disk.IN_MEMORY:
        click.echo(
            f"{folder} is on {kind}, which is memory: nothing there is durable, and these figures"
            " say nothing; name a folder on the disk with --folder",
            err=True,
        )
    return {"folder": f"{folder} on {kind}"}


_RACE: Final = (
    Heat("race", WORKLOADS, GEARPY, RIVALS),
    Heat("crowds", CROWDS, CROWDED, CROWDED_RIVALS),
    Heat("woken", (WOKEN,), GEARPY, (WAKING_ONE,)),
    Heat("million", LONG_QUEUE, GEARPY, (GEARMAND_AT_ITS_BEST,)),
)


# What it costs Gearman's side that a page is open, and that others ask over HTTP.
_LOOKED_AT: Final = Heat("looked-at", (SUBMIT, DRAIN, FOREGROUND), LOOKED_AT, (GEARPY,))


def _peers(folder: Path) -> Sequence[Heat]:
    return (
        Heat("peers", (SUBMIT, DRAIN, FOREGROUND), GEARPY, PEERS),
        Heat(
            "peers-durable",
            (SUBMIT, DRAIN_TO_DISK),
            gearpy_durable(folder),
            (beanstalkd_durable(folder),),
        ),
    )


def _alone(heat: Heat, number: int) -> _Heats:
    """One workload of a heat; those of a long queue need each other."""
    workloads = heat.workloads if heat is _RACE[-1] else (heat.workloads[number],)
    one = Heat(heat.name, workloads, heat.ours, heat.rivals)
    return _Heats(lambda _: (one,))


ALL: Final[dict[str, Section]] = {
    "race": _Heats(lambda _: _RACE),
    "latency": _Latency(),
    "curves": _Curves(curves.CURVES),
    "durable": _Durable(durable.HEAT_NAMES),
    "peers": _Heats(_peers, on_disk=True),
    "looked-at": _Heats(lambda _: (_LOOKED_AT,)),
    "libraries": _Libraries(),
}
SECTIONS: Final[dict[str, Section]] = {
    **ALL,
    **{
        workload.name: _alone(heat, number)
        for heat in _RACE
        for number, workload in enumerate(heat.workloads)
    },
    **{curve.name: _Curves((curve,)) for curve in curves.CURVES},
    **{name: _Durable((name,)) for name in durable.HEAT_NAMES},
    **{depth.name: _Memory(depth) for depth in memory.DEPTHS},
}
