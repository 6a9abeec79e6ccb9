"""Every workload once, small, on every server; and the reckoning."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.books import findings
from bench.curves import CURVES
from bench.latencies import Percentiles
from bench.race import Heat, Measurement, Summary, race, ratios
from bench.report import table
from bench.servers import (
    BEANSTALKD,
    CROWDED,
    CROWDED_RIVALS,
    GEARMAND,
    GEARMAND_AT_ITS_BEST,
    GEARMAND_IN_MEMORY,
    GEARMAND_PACKAGE,
    GEARPY,
    PEERS,
    PERL,
    RIVALS,
    Contestant,
    beanstalkd_durable,
    cpu_s,
)
from bench.workloads import CROWDS, DRAIN, FOREGROUND, LONG_QUEUE, SUBMIT, WORKLOADS, Workload
from gearpy.testing.process import ServerProcess

ROOT = Path(__file__).parents[2]

needs_gearmand = pytest.mark.skipif(
    GEARMAND is None, reason=f"needs gearmand: install the Debian package {GEARMAND_PACKAGE}"
)


def contestants(ours: Contestant, *others: Contestant) -> list[Any]:
    """All of them, as parameters; a test is skipped for who can't take part."""
    return [
        pytest.param(
            each,
            id=each.name,
            marks=pytest.mark.skipif(each.missing is not None, reason=str(each.missing)),
        )
        for each in (ours, *others)
    ]


def run_small(workload: Workload, contestant: Contestant, jobs: int = 300) -> Measurement:
    told: list[str] = []
    heat = Heat("alone", [workload], contestant, ())
    (measured,) = race([heat], rounds=1, scale=jobs / workload.jobs, tell=told.append)
    assert (measured.workload, measured.server) == (workload.name, contestant.name)
    assert measured.elapsed_s > 0
    assert measured.latency is None or measured.latency.p50_s > 0
    assert len(told) == 1
    return measured


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("contestant", contestants(GEARPY, *RIVALS))
def test_a_workload_runs_to_its_end(workload: Workload, contestant: Contestant) -> None:
    jobs = 300 if workload.jobs > 1_000 else 3
    assert run_small(workload, contestant, jobs).jobs == jobs


@pytest.mark.parametrize("workload", CROWDS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("contestant", contestants(CROWDED, CROWDED_RIVALS[1]))
def test_a_crowd_runs_to_its_end(workload: Workload, contestant: Contestant) -> None:
    assert run_small(workload, contestant, jobs=10).jobs == 10


def test_a_long_queue_is_filled_and_used() -> None:
    taken = race([Heat("million", LONG_QUEUE, GEARPY, ())], 1, 0.0005, quiet)
    assert [(m.workload, m.jobs) for m in taken] == [
        ("million-submit", 500),
        ("million-drain", 50),
    ]


@pytest.mark.parametrize("contestant", contestants(*PEERS))
@pytest.mark.parametrize("workload", [SUBMIT, DRAIN, FOREGROUND], ids=lambda each: each.name)
def test_another_server_takes_part(workload: Workload, contestant: Contestant) -> None:
    if contestant.scenes is not None and workload.name not in contestant.scenes:
        assert race([Heat("alone", [workload], contestant, ())], 1, 0.001, quiet) == []
    else:
        run_small(workload, contestant)


@pytest.mark.skipif(BEANSTALKD is None, reason="needs the Debian package beanstalkd")
def test_beanstalkd_keeps_its_log_where_it_should(tmp_path: Path) -> None:
    run_small(SUBMIT, beanstalkd_durable(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_gearmand_is_not_taken_for_another() -> None:
    """Debian has two packages with a program of this name."""
    for found, starts in ((GEARMAND, b"\x7fE"), (PERL, b"#!")):
        if found is not None:
            with open(found, "rb") as file:
                assert file.read(2) == starts


def test_the_plain_form_runs_also_where_it_is_compiled() -> None:
    program = [sys.executable, "-m", "bench.plain"]
    with ServerProcess("--verbose", "ERROR", program=program) as server:
        assert "(plain Python)" in server.start_line


def quiet(line: str) -> None:
    """Nobody waits for the table."""


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@needs_gearmand
def test_a_race_prints_a_row_for_each_rival_and_draws_it(tmp_path: Path) -> None:
    done = bench("drain", "--rounds=2", "--scale=0.001", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    rivals = [rival for rival in RIVALS if rival.missing is None]
    rows = [line for line in done.stdout.splitlines() if line.startswith("| drain ")]
    assert len(rows) == len(rivals) + 1 + len(rivals)  # rates, then latencies
    order = [m["server"] for m in json.loads((tmp_path / "drain.json").read_text())["measurements"]]
    assert len(order) == 2 * (1 + len(rivals))
    first_round, second_round = order[: len(order) // 2], order[len(order) // 2 :]
    assert first_round == second_round[::-1]
    assert "over gearmand at its best" in (tmp_path / "drain.svg").read_text()


def test_latencies_at_a_steady_rate(tmp_path: Path) -> None:
    done = bench("latency", "--rounds=1", "--scale=0.002", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    for load in ("receipts-25", "receipts-50", "receipts-75", "results-25", "results-75"):
        assert f"| {load} " in done.stdout
    assert "receipts-50: p99, gearpy" in done.stdout
    assert (tmp_path / "latency.svg").exists()


@pytest.mark.parametrize("curve", [each.name for each in CURVES])
def test_a_curve(tmp_path: Path, curve: str) -> None:
    done = bench(curve, "--rounds=1", "--scale=0.0005", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert f"{curve}: the far end over the near one, gearpy" in done.stdout
    assert (tmp_path / f"{curve}.svg").exists()


def test_peers_stand_in_the_table_where_they_can(tmp_path: Path) -> None:
    done = bench("peers", "--rounds=1", "--scale=0.002", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    for peer in PEERS:
        rows = [line for line in done.stdout.splitlines() if f"| {peer.name} " in line]
        assert bool(rows) is (peer.missing is None)
    assert "| foreground | beanstalkd" not in done.stdout


def test_a_server_is_looked_at_over_http(tmp_path: Path) -> None:
    done = bench("looked-at", "--rounds=1", "--scale=0.002", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    for workload in ("submit", "drain", "foreground"):
        assert f"| {workload}: rate while it is looked at over HTTP " in done.stdout


def test_a_wrong_name_lists_the_right_ones() -> None:
    done = bench("drian")
    assert done.returncode == 2
    assert "'queue-grab'" in done.stderr


def measurement(
    round_number: int, jobs_per_s: float, server_s: float = 0.5, generator_s: float = 0.5
) -> Measurement:
    return Measurement(round_number, "drain", "x", 1000, 1000 / jobs_per_s, server_s, generator_s)


def test_ratios_are_of_one_round() -> None:
    ours = [measurement(1, 100), measurement(2, 900), measurement(3, 300)]
    theirs = [measurement(2, 300), measurement(3, 100), measurement(1, 200)]
    assert ratios(ours, theirs) == pytest.approx([0.5, 3.0, 3.0])


def test_a_summary_takes_medians() -> None:
    summary = Summary.of(
        [measurement(1, 100, 0.1), measurement(2, 900, 0.9), measurement(3, 300, 0.2)]
    )
    assert summary.jobs_per_s == pytest.approx(300)
    assert summary.server_cpu_us_per_job == pytest.approx(200)


@pytest.mark.parametrize(
    ("server_s", "generator_s", "limited"),
    [(0.5, 0.95, True), (0.95, 0.95, False), (0.5, 0.5, False), (0.95, 0.5, False)],
)
def test_the_generator_is_the_limit_when_only_it_is_busy(
    server_s: float, generator_s: float, limited: bool
) -> None:
    measured = measurement(1, 1000, server_s, generator_s)
    assert measured.generator_was_limit is limited
    assert Summary.of([measured]).generator_was_limit is limited


def test_without_gearmand_the_table_holds_gearpy_alone() -> None:
    workload = WORKLOADS[1]
    measured = Measurement(1, workload.name, GEARPY.name, 1000, 1.0, 0.5, 0.5)
    assert table([measured], [workload], GEARPY, rivals=()).row_count == 1


def test_cpu_time_counts_the_whole_tree() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    # The second command keeps the shell from becoming the first.
    with subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1"; true', sys.executable, burn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        while_it_lives_s = cpu_s(shell.pid)
    assert while_it_lives_s >= 0.25


def test_findings_say_what_was_aimed_at() -> None:
    def taken(server: str, workload: str, elapsed_s: float, cpu: float) -> Measurement:
        latency = Percentiles(0.001, 0.002, 0.003, elapsed_s)
        return Measurement(
            *(1, workload, server, 1000, elapsed_s, cpu, 0.1, latency),
            resident_before_bytes=1_000_000,
            resident_bytes=1_400_000,
        )

    best = GEARMAND_AT_ITS_BEST.name
    said = {
        each.what: (round(each.median, 6), each.met)
        for each in findings(
            [
                taken(GEARPY.name, "submit", 0.01, 0.002),
                taken(GEARMAND_IN_MEMORY.name, "submit", 0.05, 0.01),
                taken(best, "submit", 0.005, 0.004),
                taken(GEARPY.name, "million-submit", 0.021, 1.0),
            ]
        )
    }
    assert said == {
        f"submit: rate over {GEARMAND_IN_MEMORY.name}": (5.0, True),
        f"submit: rate over {best}": (0.5, False),
        f"submit: CPU for a job over {best}": (0.5, True),
        "memory for a queued job of 100 bytes, gearpy": (400.0, True),
        f"memory for a queued job of 100 bytes, {GEARMAND_IN_MEMORY.name}": (400.0, None),
        f"memory for a queued job of 100 bytes, {best}": (400.0, None),
        "million-submit: the slowest receipt, gearpy": (21.0, False),
    }
