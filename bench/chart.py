"""What was found, as one SVG."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from bench import curves, open_loop
from bench.books import Books
from bench.curves import Curve
from bench.race import Heat, Measurement, ratios
from bench.servers import present

_INK: Final = ("#2b6cb0", "#c05621", "#4a5568", "#2f855a", "#805ad5")
_BAR: Final = 0.8  # of a row, for all bars together
_COLUMNS: Final = 2


def draw_race(path: Path, heats: Sequence[Heat], measurements: Sequence[Measurement]) -> None:
    """Bars: our rate over each rival's, in each workload; the line is where both are as fast."""
    books = Books(measurements)
    rows = [(heat, workload) for heat in heats for workload in heat.workloads]
    rivals = list(dict.fromkeys(rival.name for heat in heats for rival in heat.present))
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for index, rival in enumerate(rivals):
        places, bars, errors = [], [], []
        for row, (heat, workload) in enumerate(rows):
            mine = books.of(workload.name, heat.ours.name)
            theirs = books.of(workload.name, rival)
            if mine and theirs and rival in [each.name for each in heat.present]:
                pairs = ratios(mine, theirs)
                middle = median(pairs)
                places.append(row + _BAR * ((index + 0.5) / len(rivals) - 0.5))
                bars.append(middle)
                errors.append((middle - min(pairs), max(pairs) - middle))
        if not bars:
            continue
        axes.barh(
            places,
            [middle - 1.0 for middle in bars],
            _BAR / len(rivals),
            left=1.0,
            xerr=list(zip(*errors, strict=True)),
            color=_INK[index % len(_INK)],
            error_kw={"lw": 0.8},
            label=f"over {rival}",
        )
    several = len({heat.ours.name for heat in heats}) > 1
    labels = [
        f"{workload.name} ({heat.ours.name})" if several else workload.name
        for heat, workload in rows
    ]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("gearpy's rate, times theirs: medians, and the lowest and highest round")
    axes.legend()
    _save(figure, path)


def draw_curves(path: Path, chosen: Sequence[Curve], measurements: Sequence[Measurement]) -> None:
    """A small picture for each curve: what a job costs as something grows."""
    books = Books(measurements)
    rows = -(-len(chosen) // _COLUMNS)
    figure = Figure(figsize=(9, 0.5 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    for curve, axes in zip(chosen, grid.flat, strict=False):
        for index, contestant in enumerate(present(curves.CONTESTANTS)):
            costs = curves.costs_us(books, curve, contestant.name)
            axes.plot(
                curve.points,
                [median(rounds) for rounds in costs],
                marker="o",
                color=_INK[index % len(_INK)],
                label=contestant.name,
            )
        axes.set_title(curve.title, fontsize="small")
        axes.set_xlabel(curve.grows)
        axes.set_ylabel("us for a job")
        axes.set_xscale("linear" if curve.in_percent else "log")
        axes.set_ylim(bottom=0)
    grid.flat[0].legend()
    _save(figure, path)


def draw_latencies(path: Path, measurements: Sequence[Measurement]) -> None:
    """Lines: what an answer takes at a quarter, a half, three quarters of each server's peak."""
    books = Books(measurements)
    figure = Figure(figsize=(9, 4), layout="constrained")
    shares = [share * 100 for share in open_loop.SHARES]
    for load, axes in zip(open_loop.LOADS, figure.subplots(1, 2), strict=True):
        for index, contestant in enumerate(present(open_loop.CONTESTANTS)):
            by_share = [
                books.latencies_ms(load.at(share), contestant.name) for share in open_loop.SHARES
            ]
            for style, which in (("--", 0), ("-", 1)):
                axes.plot(
                    shares,
                    [median(each[which]) for each in by_share],
                    style,
                    marker="o",
                    color=_INK[index % len(_INK)],
                    label=f"{contestant.name}, p{(50, 99)[which]}",
                )
        axes.set_title(load.title, fontsize="medium")
        axes.set_xlabel(f"% of the server's own peak rate in {load.peak.name}")
        axes.set_ylabel("ms")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(shares)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # The same figures make the same file, and its text stays text.
    with mpl.rc_context({"svg.hashsalt": "gearpy", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
