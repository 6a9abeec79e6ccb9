"""What a job costs: time, CPU time, memory."""

import resource
import time
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import coroutine
from typing import Any, Final

# The report of a job that took less would cost more than the job.
_MATTERS_S: Final = 0.001
_MAXRSS_BYTES: Final = 1024  # what Linux counts in


@dataclass(slots=True)
class Cost:
    """Of one job, once it is done.  ``memory_bytes`` is the most that its process ever took; it is
    only looked up where the cost matters."""

    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    memory_bytes: int | None = None

    @property
    def matters(self) -> bool:
        """Whether it is worth telling the server."""
        return self.elapsed_s >= _MATTERS_S

    def end(self, started_s: float) -> None:
        """The job that began then, on the clock of ``perf_counter``, is done."""
        self.elapsed_s = time.perf_counter() - started_s
        if self.matters:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            self.memory_bytes = peak * _MAXRSS_BYTES


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures what is done in this thread until the end of the block."""
    cost = Cost()
    cpu_s, started_s = time.thread_time(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.end(started_s)
        cost.cpu_s = time.thread_time() - cpu_s


@coroutine
def metered(inner: Coroutine[Any, Any, Any], cost: Cost) -> Generator[Any, Any, Any]:
    """Awaits a coroutine, and adds the CPU time of its own steps to ``cost``: an event loop's
    thread has others to run between them."""
    step, value = inner.send, None
    while True:
        began_s = time.thread_time()
        try:
            awaited = step(value)
        except StopIteration as end:
            return end.value
        finally:
            cost.cpu_s += time.thread_time() - began_s
        try:
            value = yield awaited
            step = inner.send
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as error:
            value, step = error, inner.throw
