"""What a worker says of itself to gearpy's servers, from time to time."""

import contextlib
import glob
import os
import resource
import socket
import sys
import time
from typing import Any, Final, final

INTERVAL_S: Final = 10.0

_PAGE_BYTES: Final = resource.getpagesize()
_FIRST_S: Final = 0.5  # by then the server has said whether it listens


@final
class Heartbeat:
    """When the next one is due, and what it says."""

    def __init__(self, concurrency: int) -> None:
        self.next_s = time.monotonic() + _FIRST_S
        self._concurrency = concurrency
        self._since_s = time.time()
        self._done = 0
        self._failed = 0

    def count(self, well: bool) -> None:
        """A job has ended."""
        self._done += well
        self._failed += not well

    def due(self, now_s: float) -> bool:
        """Whether it is time for one; then the next one is due an interval later."""
        if now_s < self.next_s:
            return False
        self.next_s = now_s + INTERVAL_S
        return True

    def values(self, stopping: bool) -> dict[str, Any]:
        """What WORKER_STATE holds: see protocol.md."""
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "group": os.environ.get("GEARPY_GROUP") or os.path.basename(sys.argv[0]),
            "since_s": self._since_s,
            "memory_bytes": memory_bytes() or 0,
            "jobs_done": self._done,
            "jobs_failed": self._failed,
            "concurrency": self._concurrency,
            "stopping": stopping,
            "interval_s": INTERVAL_S,
        }


def memory_bytes(pid: int | str = "self") -> int | None:
    """The resident memory of a process; None where the system does not tell, or it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return None


def family_bytes(pid: int) -> int:
    """The resident memory of a process and of those that it has started, 0 if it is gone."""
    family = memory_bytes(pid) or 0
    for path in glob.iglob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(path, "rb") as children:
            family += sum(memory_bytes(int(child)) or 0 for child in children.read().split())
    return family
