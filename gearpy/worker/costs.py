"""What a job costs: time, CPU time, memory."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

# The report of a job that took less would cost more than the job.
_MATTERS_S: Final = 0.001
_MAXRSS_BYTES: Final = 1024  # what Linux counts in


@final
class Cost:
    """Of one job, once it is done.  ``memory_bytes`` is the most that its process ever took."""

    __slots__ = ("cpu_s", "elapsed_s")

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.cpu_s = 0.0

    @property
    def matters(self) -> bool:
        """Whether it is worth telling the server."""
        return self.elapsed_s >= _MATTERS_S

    @property
    def memory_bytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures what is done in this thread until the end of the block."""
    cost = Cost()
    cpu_s, start_s = time.thread_time(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.elapsed_s = time.perf_counter() - start_s
        cost.cpu_s = time.thread_time() - cpu_s
