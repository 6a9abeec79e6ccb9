"""gearpy's client and worker beside other Python libraries, in one run."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

from rich import box
from rich.table import Table

from bench.generator import BenchError
from bench.libraries.job import FIRST, FOLDER, LAST
from bench.servers import free_port, wait_for
from gearpy.testing.process import ServerProcess

REDIS: Final = shutil.which("redis-server")
LIMIT_S: Final = 300.0
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Library:
    """What takes part: the module of its program here, the package that it needs, and how many jobs
    keep it busy for some seconds."""

    name: str
    app: str
    package: str
    jobs: int
    trips: int = 0  # round trips; 0: its users do not wait for results
    on_redis: bool = True
    journal: bool = True

    @property
    def is_there(self) -> bool:
        if not self.on_redis:
            return True
        return REDIS is not None and importlib.util.find_spec(self.package) is not None


LIBRARIES: Final = (
    Library("gearpy", "gearpy_app", "gearpy", 60_000, 5_000, on_redis=False),
    Library("gearpy's tasks", "gearpy_tasks_app", "gearpy", 20_000, 5_000, on_redis=False),
    Library(
        "gearpy in memory, one by one",
        "gearpy_blocking_app",
        "gearpy",
        20_000,
        on_redis=False,
        journal=False,
    ),
    Library("RQ", "rq_app", "rq", 600),
    Library("RQ, SimpleWorker", "rq_simple_app", "rq", 3_000),
    Library("Celery", "celery_app", "celery", 5_000, 2_000),
    Library("Dramatiq", "dramatiq_app", "dramatiq", 10_000),
    Library("Huey", "huey_app", "huey", 10_000, 100),
)


@dataclass(frozen=True, slots=True)
class Heat:
    """What one library did in one round; rates are per second, 0.0 where there is none."""

    name: str  # of the library
    round: int
    submits_per_s: float
    jobs_per_s: float
    trips_per_s: float


def race(
    rounds: int, scale: float, tell: Callable[[str], None], libraries: Sequence[Library] = LIBRARIES
) -> list[Heat]:
    """All libraries that are there, round by round, in an order that turns round each time."""
    heats = []
    there = present(libraries)
    for number in range(rounds):
        for library in there if number % 2 == 0 else reversed(there):
            heat = _heat(library, number, scale)
            heats.append(heat)
            tell(
                f"round {number + 1} of {rounds}: {library.name}: {heat.submits_per_s:,.0f}"
                f" submits/s, {heat.jobs_per_s:,.0f} jobs/s"
            )
    return heats


def present(libraries: Sequence[Library] = LIBRARIES) -> list[Library]:
    """Those that can take part."""
    return [library for library in libraries if library.is_there]


def missing(libraries: Sequence[Library] = LIBRARIES) -> Iterator[str]:
    """A sentence for each that can't."""
    for library in libraries:
        if not library.is_there:
            yield f"{library.name} does not take part: it needs redis-server and {library.package}"


def _heat(library: Library, number: int, scale: float) -> Heat:
    jobs = max(round(library.jobs * scale), 10)
    with tempfile.TemporaryDirectory() as name, _server(library, Path(name)) as place:
        environment = {**os.environ, **place, FOLDER: name, "PYTHONPATH": str(_ROOT)}
        bin_folder = Path(sys.executable).parent
        environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"
        submit_s = _submit(library, "submit", jobs, environment)
        with _worker(library, environment) as worker:
            first_s, last_s = (_moment(Path(name, mark), worker) for mark in (FIRST, LAST))
            trips = max(round(library.trips * scale), 10) if library.trips else 0
            trips_s = _submit(library, "round_trips", trips, environment) if trips else 1.0
    return Heat(
        library.name, number, jobs / submit_s, (jobs - 1) / (last_s - first_s), trips / trips_s
    )


@contextlib.contextmanager
def _server(library: Library, folder: Path) -> Iterator[dict[str, str]]:
    """A fresh server, and the variables that say where it is."""
    if not library.on_redis:
        journal = ["--journal", str(folder / "jobs.db")] if library.journal else []
        with ServerProcess(*journal) as server:
            yield {"GEARPY_SERVERS": server.address}
        return
    assert REDIS is not None, "it is there"
    port = free_port()
    command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            wait_for(redis, port)
            yield {"BENCH_REDIS": f"redis://127.0.0.1:{port}/0"}
        finally:
            redis.terminate()


def _submit(library: Library, what: str, count: int, environment: dict[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "bench.libraries.submitter", library.app, what, str(count)],
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{library.name} could not {what}: {done.stderr.strip()[-500:]}")
    return float(done.stdout.split()[-1])


@contextlib.contextmanager
def _worker(library: Library, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    told = f"from bench.libraries.{library.app} import COMMAND; print(*COMMAND, sep='\\n', end='')"
    command = subprocess.run(
        [sys.executable, "-c", told],
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    worker = subprocess.Popen(
        command, env=environment, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield worker
    finally:
        worker.terminate()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _moment(path: Path, worker: subprocess.Popen[bytes]) -> float:
    """When a marked job was done."""
    limit_s = time.monotonic() + LIMIT_S
    while not path.exists():
        if worker.poll() is not None:
            raise BenchError(
                f"its worker ended with {worker.returncode} before the {path.name} job"
            )
        if time.monotonic() > limit_s:
            raise BenchError(f"its worker did not come to the {path.name} job in {LIMIT_S:g} s")
        time.sleep(0.01)  # other libraries' workers tell nobody: the job leaves a file
    return float(path.read_text())


def table(heats: Sequence[Heat]) -> Table:
    """One row for each library: medians, and how gearpy's compare in the same rounds."""
    result = Table(box=box.MARKDOWN)
    result.add_column("library")
    for title in ("submits/s", "jobs/s", "round trips/s", "gearpy's submits", "gearpy's jobs"):
        result.add_column(title, justify="right")
    ours = [heat for heat in heats if heat.name == LIBRARIES[0].name]
    for name in dict.fromkeys(heat.name for heat in heats):
        theirs = [heat for heat in heats if heat.name == name]
        pairs = [(own, its) for own in ours for its in theirs if own.round == its.round]
        trips = median(heat.trips_per_s for heat in theirs)
        result.add_row(
            name,
            f"{median(heat.submits_per_s for heat in theirs):,.0f}",
            f"{median(heat.jobs_per_s for heat in theirs):,.0f}",
            f"{trips:,.0f}" if trips else "-",
            f"{median(own.submits_per_s / its.submits_per_s for own, its in pairs):.1f} x",
            f"{median(own.jobs_per_s / its.jobs_per_s for own, its in pairs):.1f} x",
        )
    return result


def versions() -> dict[str, str]:
    """Of the libraries that take part."""
    packages = dict.fromkeys(each.package for each in LIBRARIES if each.is_there and each.on_redis)
    return {package: version(package) for package in packages}
