"""The race: every workload on every server, round after round, in one run.

In each round all servers are started afresh and then stand side by side, so a ratio is of two
measurements that were taken within seconds of each other.  The order is reversed from round to
round: what favours the first favours each of them in turn.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench import disk
from bench.latencies import Percentiles
from bench.scene import Stage
from bench.servers import Contestant, Running, cpu_s, present, resident_bytes
from bench.workloads import Workload

BUSY: Final = 0.9  # of a core: who uses more is the limit


@dataclass(frozen=True, slots=True)
class Measurement:
    """One workload, once, on one server."""

    round_number: int
    workload: str
    server: str
    jobs: int
    elapsed_s: float
    server_cpu_s: float
    generator_cpu_s: float
    latency: Percentiles | None = None  # of an answer
    behind_s: float | None = None  # from the end of the work until the disk knew of it
    disk_syncs: int | None = None  # by anybody, on the disk of its folder
    beside_jobs: int = 0  # durable submits that others had answered meanwhile
    resident_before_bytes: int = 0  # the server's memory
    resident_bytes: int = 0  # when the work was done

    @property
    def jobs_per_s(self) -> float:
        """The rate."""
        return self.jobs / self.elapsed_s

    @property
    def server_cpu_us_per_job(self) -> float:
        """What a job costs the server, whatever else the machine does."""
        return self.server_cpu_s / self.jobs * 1e6

    @property
    def server_share(self) -> float:
        """How many cores the server kept busy."""
        return self.server_cpu_s / self.elapsed_s

    @property
    def generator_share(self) -> float:
        """How much of a core the generator took."""
        return self.generator_cpu_s / self.elapsed_s

    @property
    def generator_was_limit(self) -> bool:
        """Whether the server could have gone faster with a faster generator."""
        return self.generator_share > BUSY > self.server_share


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of one server's rounds in one workload."""

    jobs_per_s: float
    server_cpu_us_per_job: float
    server_share: float
    generator_share: float
    generator_was_limit: bool  # in most rounds

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> "Summary":
        """``measurements`` are of one server in one workload."""
        limited = sum(m.generator_was_limit for m in measurements)
        return cls(
            median(m.jobs_per_s for m in measurements),
            median(m.server_cpu_us_per_job for m in measurements),
            median(m.server_share for m in measurements),
            median(m.generator_share for m in measurements),
            limited * 2 > len(measurements),
        )


def ratios(ours: Sequence[Measurement], theirs: Sequence[Measurement]) -> list[float]:
    """Our rate over theirs, round by round, in one workload."""
    by_round = {m.round_number: m.jobs_per_s for m in theirs}
    return [m.jobs_per_s / by_round[m.round_number] for m in ours]


@dataclass(frozen=True, slots=True)
class Heat:
    """Workloads that are run on the same servers."""

    name: str
    workloads: Sequence[Workload]
    ours: Contestant
    rivals: Sequence[Contestant]

    @property
    def present(self) -> Sequence[Contestant]:
        """The rivals that can take part."""
        return present(self.rivals)

    @property
    def steps(self) -> int:
        """How many measurements a round has, at most."""
        return len(self.workloads) * (1 + len(self.present))


def race(
    heats: Sequence[Heat], rounds: int, scale: float, tell: Callable[[str], None]
) -> list[Measurement]:
    """Runs everything; ``tell`` hears a line about each measurement as it is taken.

    Raises BenchError when a server can't be started or doesn't do the work.
    """
    measurements = []
    for number in range(1, rounds + 1):
        for heat in heats:
            contestants = (heat.ours, *heat.present)
            for measurement in run_round(number, heat.workloads, contestants, scale):
                measurements.append(measurement)
                tell(f"round {number} of {rounds}: {line(measurement)}")
    return measurements


def line(measurement: Measurement) -> str:
    """One measurement, for those who wait for the table."""
    said = (
        f"{measurement.workload}, {measurement.server}: {measurement.jobs_per_s:,.0f} jobs/s,"
        f" {measurement.server_cpu_us_per_job:.1f} us of CPU a job"
    )
    if measurement.latency is not None:
        said += f", p99 {measurement.latency.p99_s * 1000:.2f} ms"
    return said


def run_round(
    number: int, workloads: Sequence[Workload], contestants: Sequence[Contestant], scale: float
) -> Iterator[Measurement]:
    """Starts all servers and runs all workloads on them; even rounds go the other way round.

    Raises BenchError when a server can't be started or doesn't do the work.
    """
    order = contestants if number % 2 else contestants[::-1]
    with ExitStack() as stack:
        servers = [(each, stack.enter_context(each.start())) for each in order]
        for workload in workloads:
            for contestant, server in servers:
                scenes, set_scene = contestant.scenes, workload.set_scene
                if scenes is not None:
                    if workload.name not in scenes:
                        continue
                    set_scene = scenes[workload.name]
                jobs = workload.jobs
                if contestant.jobs_max is not None:
                    jobs = min(jobs, contestant.jobs_max)
                scene = set_scene(server.port, max(1, round(jobs * scale)))
                yield measure(number, workload.name, contestant.name, server, scene)


def measure(number: int, workload: str, name: str, server: Running, scene: Stage) -> Measurement:
    """Runs a scene that is set on this server, with the clocks running, and closes it.

    Raises BenchError when the server doesn't do the work.
    """
    folder = server.folder
    resident_before_bytes = resident_bytes(server.pid)
    try:
        with _collector_off():
            syncs_before = None if folder is None else disk.syncs(folder)
            server_before_s, generator_before_s = cpu_s(server.pid), time.process_time()
            start_s = time.perf_counter()
            scene.run()
            elapsed_s = time.perf_counter() - start_s
            generator_cpu_s = time.process_time() - generator_before_s
            server_cpu_s = cpu_s(server.pid) - server_before_s
            syncs_after = None if folder is None else disk.syncs(folder)
            resident_after_bytes = resident_bytes(server.pid)
        behind_s = scene.catch_up_s()
    finally:
        scene.close()
    scene.check()
    latencies = scene.latencies
    return Measurement(
        number,
        workload,
        name,
        scene.jobs,
        elapsed_s,
        server_cpu_s,
        generator_cpu_s,
        None if latencies is None or not latencies.count else latencies.percentiles(),
        behind_s,
        None if syncs_before is None or syncs_after is None else syncs_after - syncs_before,
        scene.beside_jobs,
        resident_before_bytes,
        resident_after_bytes,
    )


@contextmanager
def _collector_off() -> Iterator[None]:
    """The generator makes no cycles, and must not pause while it measures others' pauses."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
