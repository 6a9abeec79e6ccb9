"""A server that was killed starts again: how long until it answers."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import generator
from bench.generator import BenchError
from bench.race import Measurement
from bench.scene import fill, run_aside, unfinished
from bench.servers import cpu_s, journal_flags
from gearpy.testing.process import ServerProcess

NAME: Final = "durable-restart"
JOBS: Final = 1_000_000
TITLE: Final = (
    "a server with so many jobs in its journal was ended with SIGKILL: from its next start until"
    " it answers (the elapsed time counts, the rate is of jobs restored)"
)

_FUNCTIONS: Final = (b"bench-restart",)
_AT_A_TIME: Final = 50_000  # the generator holds their packets in memory


def restart(round_number: int, server: str, folder: Path, jobs: int) -> Measurement:
    """Fills a new journal in this folder through a server, kills it and starts another.

    Raises BenchError when it comes back with other jobs than it had.
    """
    with TemporaryDirectory(dir=folder) as own:
        with ServerProcess(*journal_flags(own)) as first:
            fill_up(first.port, jobs, _FUNCTIONS)
            first.kill()
        second = ServerProcess(*journal_flags(own))
        generator_before_s = time.process_time()
        start_s = time.perf_counter()
        with second:
            with generator.connect(second.port) as sock:
                generator.settle(sock)
            elapsed_s = time.perf_counter() - start_s
            generator_cpu_s = time.process_time() - generator_before_s
            server_cpu_s = cpu_s(second.pid)
            found = unfinished(second.port, _FUNCTIONS)
    if found != jobs:
        raise BenchError(f"{jobs:,} jobs were on the disk, and {found:,} came back")
    return Measurement(round_number, NAME, server, jobs, elapsed_s, server_cpu_s, generator_cpu_s)


def fill_up(port: int, jobs: int, functions: Sequence[bytes]) -> None:
    """Submits so many background jobs of 100 bytes.  Raises BenchError when that fails."""
    for start in range(0, jobs, _AT_A_TIME):
        run_aside(fill(port, min(_AT_A_TIME, jobs - start), functions))
