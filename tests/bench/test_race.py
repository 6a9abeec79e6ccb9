"""Every workload once, small, on every server; and the reckoning."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.race import Measurement, Summary, race, ratios
from bench.report import table
from bench.servers import GEARMAND, GEARMAND_PACKAGE, GEARPY, RIVALS, Contestant, cpu_s
from bench.workloads import WORKLOADS, Workload

ROOT = Path(__file__).parents[2]

needs_gearmand = pytest.mark.skipif(
    GEARMAND is None, reason=f"needs gearmand: install the Debian package {GEARMAND_PACKAGE}"
)
CONTESTANTS = [
    pytest.param(GEARPY, id="gearpy"),
    *(pytest.param(rival, marks=needs_gearmand, id=rival.name) for rival in RIVALS),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("contestant", CONTESTANTS)
def test_a_workload_runs_to_its_end(workload: Workload, contestant: Contestant) -> None:
    told: list[str] = []
    scale = 300 / workload.jobs
    (measured,) = race([workload], [contestant], rounds=1, scale=scale, tell=told.append)
    assert (measured.workload, measured.server) == (workload.name, contestant.name)
    assert measured.jobs == 300
    assert measured.elapsed_s > 0
    assert len(told) == 1


@needs_gearmand
def test_a_race_prints_a_row_for_each_workload_and_rival(tmp_path: Path) -> None:
    path = tmp_path / "race.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "race", "--rounds=2", "--scale=0.001", f"--json={path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(WORKLOADS) * len(RIVALS)
    order = [m["server"] for m in json.loads(path.read_text())["measurements"]]
    assert len(order) == 2 * len(WORKLOADS) * (1 + len(RIVALS))
    first_round, second_round = order[: len(order) // 2], order[len(order) // 2 :]
    assert first_round[:3] == second_round[:3][::-1]


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
