"""The durable race, small: every heat on real servers with real files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import durable, memory, restart
from bench.durable import SYNC, findings, heats
from bench.durable_workloads import (
    DRAIN_KEYED,
    FOREGROUND,
    FOREGROUND_ALONE,
    FOREGROUND_DISK,
    FOREGROUND_FLOOD,
    LOCK_STEP,
    RECEIPTS,
    SUBMIT_KEYED,
    WITH_KEYS,
    WITHOUT_KEYS,
)
from bench.latencies import Percentiles
from bench.race import Heat, Measurement, race
from bench.scene import do_some, fill, unfinished
from bench.servers import (
    GEARMAND_AT_ITS_BEST,
    GEARMAND_IN_MEMORY,
    GEARPY,
    gearmand_durable,
    gearpy_durable,
    resident_bytes,
)
from bench.workloads import Workload
from gearpy.testing.process import ServerProcess

from .test_race import ROOT, needs_gearmand

JOBS = 100


def quiet(line: str) -> None:
    """Nobody waits for the table."""


@pytest.mark.parametrize(
    "workload", [*WITHOUT_KEYS, *WITH_KEYS, *FOREGROUND], ids=lambda workload: workload.name
)
def test_a_workload_runs_to_its_end_with_a_journal(workload: Workload, tmp_path: Path) -> None:
    scale = JOBS / workload.jobs
    heat = Heat("alone", [workload], gearpy_durable(tmp_path), ())
    (measured,) = race([heat], 1, scale, quiet)
    assert measured.jobs == JOBS
    assert measured.latency is not None
    assert (measured.behind_s is not None) == ("drain" in workload.name)
    # So few jobs may be over before the first one beside them is on the disk.
    assert measured.beside_jobs == 0 or workload in (FOREGROUND_DISK, FOREGROUND_FLOOD)
    assert os.listdir(tmp_path) == []


@needs_gearmand
@pytest.mark.parametrize("workload", WITH_KEYS, ids=lambda workload: workload.name)
def test_a_workload_runs_to_its_end_with_gearmands_queue(
    workload: Workload, tmp_path: Path
) -> None:
    scale = JOBS / 3_000
    heat = Heat("alone", [workload], gearmand_durable(tmp_path), ())
    (measured,) = race([heat], 1, scale, quiet)
    assert measured.jobs == JOBS  # however many the others have
    assert os.listdir(tmp_path) == []


def test_the_servers_keep_their_files_where_they_should(tmp_path: Path) -> None:
    with gearpy_durable(tmp_path).start() as first, gearpy_durable(tmp_path).start() as second:
        assert first.folder is not None
        assert second.folder is not None
        assert {first.folder, second.folder} == set(tmp_path.iterdir())
        assert (first.folder / "jobs.db").exists()


@needs_gearmand
def test_gearmand_keeps_its_queue_where_it_should(tmp_path: Path) -> None:
    with gearmand_durable(tmp_path).start() as running:
        assert running.folder is not None
        assert running.folder.parent == tmp_path
        assert (running.folder / "queue.db").exists()


def test_every_heat_can_be_asked_for(tmp_path: Path) -> None:
    assert [*(heat.name for heat in heats(tmp_path)), restart.NAME] == list(durable.HEAT_NAMES)


def test_a_restarted_server_has_its_jobs(tmp_path: Path) -> None:
    measured = restart.restart(3, "gearpy", tmp_path, JOBS)
    assert (measured.round_number, measured.workload, measured.jobs) == (3, restart.NAME, JOBS)
    assert measured.elapsed_s > 0
    assert os.listdir(tmp_path) == []


def test_workers_that_stop_leave_the_rest() -> None:
    with ServerProcess("--verbose", "ERROR") as server:
        filling = fill(server.port, 10, [b"f"])
        filling.run()
        filling.close()
        some = do_some(server.port, 7, [b"f"])
        some.run()
        some.close()
        some.check()
        assert unfinished(server.port, [b"f"]) == 3


@pytest.mark.parametrize("keyed", [False, True], ids=["empty", "keyed"])
def test_a_long_queue_beside_a_short_one(tmp_path: Path, keyed: bool) -> None:
    depth = memory.Depth("memory", 1_000_000, 1_000, 600.0)
    found = memory.run(depth, tmp_path, rounds=2, scale=0.0005, keyed=keyed, tell=quiet)
    assert found.jobs == 500
    assert 1_000_000 < found.resident_before_bytes <= found.resident_bytes
    taken = [(m.round_number, m.workload, m.server, m.jobs) for m in found.measurements]
    assert taken == [
        (1, "submit", memory.LONG, 25),
        (1, "submit", memory.SHORT, 25),
        (1, "grab", memory.LONG, 10),
        (1, "grab", memory.SHORT, 10),
        (2, "submit", memory.SHORT, 25),
        (2, "submit", memory.LONG, 25),
        (2, "grab", memory.SHORT, 10),
        (2, "grab", memory.LONG, 10),
    ]
    said = {finding.what: finding for finding in memory.findings(depth, found)}
    assert len(said) == 9
    assert said["resident, 500 jobs of 1,000 bytes queued"].met


def test_resident_memory_is_that_of_the_process() -> None:
    assert resident_bytes(os.getpid()) > 5_000_000


def measurement(
    workload: Workload,
    server: str,
    elapsed_s: float,
    p99_s: float = 0.0,
    round_number: int = 1,
) -> Measurement:
    return Measurement(
        round_number,
        workload.name,
        server,
        1000,
        elapsed_s,
        0.1,
        0.1,
        Percentiles(p99_s / 2, p99_s, p99_s, p99_s),
    )


def test_findings_compare_within_one_round(tmp_path: Path) -> None:
    ours, sqlite = gearpy_durable(tmp_path).name, gearmand_durable(tmp_path).name
    taken = [
        measurement(SUBMIT_KEYED, ours, 0.01),
        measurement(SUBMIT_KEYED, sqlite, 0.7),
        measurement(SUBMIT_KEYED, GEARMAND_IN_MEMORY.name, 0.02),
        measurement(SUBMIT_KEYED, GEARMAND_AT_ITS_BEST.name, 0.0025),
        measurement(DRAIN_KEYED, ours, 0.01),
        measurement(DRAIN_KEYED, sqlite, 0.3),
        measurement(RECEIPTS, ours, 0.01, p99_s=0.011),
        measurement(LOCK_STEP, ours, 0.01, p99_s=0.003),
        measurement(LOCK_STEP, SYNC, 0.01, p99_s=0.002),
        measurement(FOREGROUND_ALONE, ours, 0.01, p99_s=0.001),
        measurement(FOREGROUND_DISK, ours, 0.01, p99_s=0.0014),
        measurement(FOREGROUND_FLOOD, ours, 0.01, p99_s=0.003),
        measurement(FOREGROUND_ALONE, GEARPY.name, 0.01, p99_s=0.001),
        measurement(FOREGROUND_DISK, GEARPY.name, 0.01, p99_s=0.002),
        measurement(FOREGROUND_FLOOD, GEARPY.name, 0.01, p99_s=0.005),
    ]
    said = {each.what: (round(each.median, 6), each.met) for each in findings(taken, tmp_path)}
    assert said == {
        f"durable-submit-keyed over {sqlite}": (70.0, True),
        f"durable-submit-keyed over {GEARMAND_IN_MEMORY.name}": (2.0, True),
        f"durable-drain-keyed over {sqlite}": (30.0, False),
        f"durable-submit-keyed over {GEARMAND_AT_ITS_BEST.name}": (0.25, False),
        "durable-receipts: p50": (5.5, None),
        "durable-receipts: p99": (11.0, False),
        "lock-step: p50 of a receipt": (1.5, None),
        f"lock-step: p50 of one {SYNC}": (1.0, None),
        f"lock-step: a receipt over one {SYNC}": (1.5, None),
        f"foreground-alone, {ours}: p99": (1.0, None),
        f"foreground-disk, {ours}: p99 over alone": (1.4, True),
        f"foreground-flood, {ours}: p99 over alone": (3.0, False),
        f"foreground-alone, {GEARPY.name}: p99": (1.0, None),
        f"foreground-disk, {GEARPY.name}: p99 over alone": (2.0, None),
        f"foreground-flood, {GEARPY.name}: p99 over alone": (5.0, None),
    }


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_the_durable_race_prints_its_tables(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    done = bench("durable", "--rounds=2", "--scale=0.001", f"--folder={folder}")
    assert done.returncode == 0, done.stderr
    assert "durable-restart with 1,000 jobs" in done.stdout
    assert "the aims are for --scale 1; this was 0.001" in done.stdout
    assert (folder / "durable.svg").exists()
    document = json.loads((folder / "durable.json").read_text())
    assert document["facts"]["folder"].startswith(f"{folder} on ")
    rounds = [m["round_number"] for m in document["measurements"]]
    assert rounds == sorted(rounds)
    assert rounds.count(1) == rounds.count(2)
    syncs = [m for m in document["measurements"] if m["server"] == SYNC]
    assert [m["workload"] for m in syncs] == [LOCK_STEP.name] * 2
    assert all(m["latency"]["p99_s"] > 0 for m in syncs)


def test_one_heat_can_run_alone(tmp_path: Path) -> None:
    done = bench("durable-foreground", "--rounds=1", "--scale=0.001", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "durable-submit" not in done.stdout
    assert "foreground-flood, gearpy with its journal: p99 over alone" in done.stdout


def test_memory_prints_what_it_found(tmp_path: Path) -> None:
    done = bench("memory", "--rounds=1", "--scale=0.0001", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "resident, 100 jobs of 1,000 bytes queued" in done.stdout


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = bench("durable-restart", "--rounds=1", "--scale=0.0001", f"--folder={file}/inside")
    assert done.returncode == 1
    assert f"the folder {file}/inside can't be made: Not a directory" in done.stderr


def test_keys_are_for_memory_only() -> None:
    done = bench("race", "--keyed")
    assert done.returncode == 2
    assert "--keyed belongs to memory" in done.stderr
