"""The durable race: gearpy with its journal beside gearmand with its SQLite queue and gearmand
without any."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import aims, disk, restart
from bench.aims import Finding
from bench.books import Books
from bench.durable_workloads import (
    DRAIN,
    DRAIN_KEYED,
    FOREGROUND,
    FOREGROUND_ALONE,
    FOREGROUND_DISK,
    FOREGROUND_FLOOD,
    LOCK_STEP,
    RECEIPTS,
    SUBMIT,
    SUBMIT_KEYED,
    WITH_KEYS,
    WITHOUT_KEYS,
)
from bench.race import Heat, Measurement, line, ratios, run_round
from bench.servers import (
    GEARMAND_AT_ITS_BEST,
    GEARMAND_IN_MEMORY,
    GEARPY,
    gearmand_durable,
    gearpy_durable,
)

SYNC: Final = f"fdatasync of {disk.BLOCK_BYTES // 1024} kB"  # stands beside lock-step as a server

_SYNCS: Final = 2_000
# Without a disk to wait for, a flood piles up a million jobs in the time of a few thousand others.
_CONTROL: Final = replace(GEARPY, jobs_max=3_000)


def heats(folder: Path) -> Sequence[Heat]:
    """All heats, with the servers' files in this folder."""
    ours, sqlite = gearpy_durable(folder), gearmand_durable(folder)
    memory = (GEARMAND_IN_MEMORY, GEARMAND_AT_ITS_BEST)
    return (
        # Of jobs without a key gearmand's SQLite queue keeps the last one only.
        Heat("durable-empty", WITHOUT_KEYS, ours, memory),
        Heat("durable-keyed", WITH_KEYS, ours, (sqlite, *memory)),
        Heat("durable-foreground", FOREGROUND, ours, (_CONTROL,)),
    )


HEAT_NAMES: Final = ("durable-empty", "durable-keyed", "durable-foreground", restart.NAME)


def run(
    names: Sequence[str],
    folder: Path,
    rounds: int,
    scale: float,
    tell: Callable[[str], None],
) -> list[Measurement]:
    """Runs the heats of these names in every round; ``tell`` hears a line about each measurement.

    Raises BenchError when a server can't be started or doesn't do the work.
    """
    chosen = [heat for heat in heats(folder) if heat.name in names]
    measurements = []
    for number in range(1, rounds + 1):
        for measurement in _round(number, chosen, restart.NAME in names, folder, scale):
            measurements.append(measurement)
            tell(f"round {number} of {rounds}: {line(measurement)}")
    return measurements


def steps(names: Sequence[str], folder: Path) -> int:
    """How many measurements a round of these heats has."""
    chosen = [heat for heat in heats(folder) if heat.name in names]
    syncs = sum(LOCK_STEP in heat.workloads for heat in chosen)
    return sum(heat.steps for heat in chosen) + syncs + (restart.NAME in names)


def _round(
    number: int, chosen: Sequence[Heat], restarts: bool, folder: Path, scale: float
) -> Iterator[Measurement]:
    for heat in chosen:
        yield from run_round(number, heat.workloads, (heat.ours, *heat.present), scale)
        if LOCK_STEP in heat.workloads:
            yield _sync(number, folder, max(1, round(_SYNCS * scale)))
    if restarts:
        yield restart.restart(
            number, gearpy_durable(folder).name, folder, max(1, round(restart.JOBS * scale))
        )


def _sync(number: int, folder: Path, count: int) -> Measurement:
    """What the disk alone takes for a block, as a measurement of lock-step."""
    before = disk.syncs(folder)
    latencies = disk.time_syncs(folder, count)
    after = disk.syncs(folder)
    return Measurement(
        number,
        LOCK_STEP.name,
        SYNC,
        count,
        latencies.total_s(),
        server_cpu_s=0.0,
        generator_cpu_s=0.0,
        latency=latencies.percentiles(),
        disk_syncs=None if before is None or after is None else after - before,
    )


def findings(measurements: Sequence[Measurement], folder: Path) -> Iterator[Finding]:
    """What the measurements say of the aims, as far as they were taken."""
    ours, sqlite = gearpy_durable(folder).name, gearmand_durable(folder).name
    memory, best = GEARMAND_IN_MEMORY.name, GEARMAND_AT_ITS_BEST.name
    books = Books(measurements)
    for workload, rival, least in (
        (SUBMIT_KEYED, sqlite, aims.SUBMIT_OVER_SQLITE_MIN),
        (SUBMIT, memory, aims.SUBMIT_OVER_MEMORY_MIN),
        (SUBMIT_KEYED, memory, aims.SUBMIT_OVER_MEMORY_MIN),
        (DRAIN_KEYED, sqlite, aims.DRAIN_OVER_SQLITE_MIN),
        (DRAIN, memory, aims.DRAIN_OVER_MEMORY_MIN),
        (DRAIN_KEYED, memory, aims.DRAIN_OVER_MEMORY_MIN),
        *((each, best, aims.DURABLE_OVER_BEST_MIN) for each in (*WITHOUT_KEYS, *WITH_KEYS[:2])),
    ):
        mine, theirs = books.of(workload.name, ours), books.of(workload.name, rival)
        if mine and theirs:
            pairs = ratios(mine, theirs)
            yield Finding(f"{workload.name} over {rival}", aims.TIMES, pairs, at_least=least)
    for workload in (DRAIN, DRAIN_KEYED):
        behind = [m.behind_s * 1000 for m in books.of(workload.name, ours) if m.behind_s]
        if behind:
            yield Finding(
                f"{workload.name}: the disk behind the last job", aims.MILLISECONDS, behind
            )
    yield from _receipts(books, ours)
    yield from _foreground(books, ours)
    if starts := books.of(restart.NAME, ours):
        yield Finding(
            f"{restart.NAME} with {starts[0].jobs:,} jobs",
            aims.SECONDS,
            [m.elapsed_s for m in starts],
            at_most=aims.RESTART_S_MAX,
        )


def _receipts(books: Books, ours: str) -> Iterator[Finding]:
    if books.of(RECEIPTS.name, ours):
        for share, values in zip(
            ("p50", "p99"), books.latencies_ms(RECEIPTS.name, ours), strict=True
        ):
            limit = aims.RECEIPT_P99_MS_MAX if share == "p99" else None
            yield Finding(f"{RECEIPTS.name}: {share}", aims.MILLISECONDS, values, at_most=limit)
    if books.of(LOCK_STEP.name, ours):
        receipts, _ = books.latencies_ms(LOCK_STEP.name, ours)
        syncs, _ = books.latencies_ms(LOCK_STEP.name, SYNC)
        yield Finding(f"{LOCK_STEP.name}: p50 of a receipt", aims.MILLISECONDS, receipts)
        yield Finding(f"{LOCK_STEP.name}: p50 of one {SYNC}", aims.MILLISECONDS, syncs)
        pairs = [receipt / sync for receipt, sync in zip(receipts, syncs, strict=True)]
        yield Finding(f"{LOCK_STEP.name}: a receipt over one {SYNC}", aims.TIMES, pairs)


def _foreground(books: Books, ours: str) -> Iterator[Finding]:
    for server in (ours, GEARPY.name):
        if not books.of(FOREGROUND_ALONE.name, server):
            continue
        _, alone = books.latencies_ms(FOREGROUND_ALONE.name, server)
        yield Finding(f"{FOREGROUND_ALONE.name}, {server}: p99", aims.MILLISECONDS, alone)
        for workload in (FOREGROUND_DISK, FOREGROUND_FLOOD):
            _, beside = books.latencies_ms(workload.name, server)
            yield Finding(
                f"{workload.name}, {server}: p99 over alone",
                aims.TIMES,
                [late / calm for late, calm in zip(beside, alone, strict=True)],
                # Without a journal it is there to show what the disk has nothing to do with.
                at_most=aims.FOREGROUND_P99_MAX if server == ours else None,
            )
