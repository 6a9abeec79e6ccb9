"""The servers of a worker, and when each is tried again."""

import math
import random
from dataclasses import dataclass
from typing import Final

from gearpy.address import Address
from gearpy.pauses import pause_s

# What a server says that may take this worker later.
FOR_NOW: Final = ("TOO_MANY_CONNECTIONS", "SHUTTING_DOWN", "WORKER_DROPPED")

_SOON: Final = 0.1


@dataclass(slots=True)
class Place:
    """A server: how often in a row it failed, and when to try it next, on the monotonic clock;
    math.inf while it is there, or is being tried."""

    address: Address
    failures: int = 0
    due_s: float = -math.inf

    def failed(self, now_s: float, *, was_there: bool = False) -> None:
        """It could not be reached, or was lost.  ``was_there``: it has just spoken to this worker,
        so it may be there again: a first look after a tenth of a pause."""
        self.failures = 1 if was_there else self.failures + 1
        share = _SOON if was_there else 1.0
        self.due_s = now_s + share * pause_s(self.failures, random.random())
