"""Which payloads are in memory.

A durable queue may be longer than memory: what stands far back in it keeps only its place, and its
payload is read back from the disk, in blocks, before its turn.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, final

from gearpy.engine.job import QUEUED, Job
from gearpy.engine.ports import Journal
from gearpy.engine.queue import FunctionQueue, KeyLine, Lane

FRONT: Final = 256  # so many jobs of a lane have their payloads ready, if they can
BLOCK: Final = 512  # so many are asked for at a time
_LOOK: Final = 4 * BLOCK  # so far is looked for them
_NEXT: Final = 8  # so many jobs that wait for one with their key have their payloads ready


@final
class Stock:
    """Counts the bytes of the payloads of journalled jobs, and keeps them within a budget.

    What stands at the front of a lane is in memory whatever the budget says, so it may be passed
    by a block for each lane.
    """

    __slots__ = ("_budget_bytes", "_journal", "_wanted", "held_bytes")

    def __init__(self, journal: Journal, budget_bytes: float = math.inf) -> None:
        self._journal = journal
        self._budget_bytes = budget_bytes
        self._wanted: dict[int, Job] = {}
        self.held_bytes = 0

    def add(self, job: Job, lane: Lane | None) -> None:
        """A job was journalled.  If there is no room, and it is not at the front of its ``lane``
        (None: it waits for its time), its payload goes at once."""
        self.count(job)
        if self.held_bytes <= self._budget_bytes or job.unique == b"-":  # that one coalesces by it
            return
        if lane is None:
            self.shed(job)
        elif job.life is not None and job.life.parked:
            self.park(job)
        elif lane.count > FRONT:
            self.shed(job)
            lane.bare += 1

    def count(self, job: Job) -> None:
        """A job was journalled that keeps its payload: it waits longer than others already."""
        if job.payload is not None:
            self.held_bytes += len(job.payload)

    def restore(self, job: Job) -> None:
        """A job is there again, from the journal, and in no lane yet."""
        self.count(job)
        self.shed(job)

    def shed(self, job: Job) -> None:
        """Lets the payload of a journalled job go that is in no lane, if there is no room."""
        if job.unique == b"-":
            return  # it coalesces by it
        if job.payload is not None and self.held_bytes > self._budget_bytes:
            self.held_bytes -= len(job.payload)
            job.payload = None

    def park(self, job: Job) -> None:
        """A job was set aside: its payload goes if there is no room, and others come before it."""
        assert job.life is not None, "it has a key"
        if job.ticket and job.queue.keys[job.life.key].count > _NEXT:
            self.shed(job)

    def remove(self, job: Job) -> None:
        """A journalled job is forgotten."""
        if job.payload is not None:
            self.held_bytes -= len(job.payload)

    def look_ahead(self, lane: Lane) -> None:
        """Asks for the next payloads of a lane, unless that was done already."""
        if lane.fetching:
            return
        wanted = []
        for job in lane.head(_LOOK):
            if job.payload is None:
                wanted.append(job)
                if len(wanted) == BLOCK:
                    break
        for job in wanted:
            self._wanted[job.number] = job
        lane.fetching = len(wanted)
        self._journal.fetch(wanted)

    def look_along(self, line: KeyLine) -> None:
        """Asks for the payloads of those that were set aside and come next, if the first of them
        is without."""
        first = line.first()
        if first is None or first.payload is not None or first.number in self._wanted:
            return
        wanted = [
            job
            for job in islice(line, _NEXT)
            if job.payload is None and job.number not in self._wanted
        ]
        for job in wanted:
            self._wanted[job.number] = job
            job.queue.lane(job.priority).fetching += 1
        self._journal.fetch(wanted)

    def arrived(
        self, numbers: Sequence[int], payloads: Mapping[int, bytes]
    ) -> tuple[dict[FunctionQueue, None], list[Job]]:
        """What was asked for was read, or as much of it as was wanted at a time.

        Returns the functions that it belongs to, and the jobs whose payloads are not on disk.
        """
        queues: dict[FunctionQueue, None] = {}
        missing: list[Job] = []
        for number in numbers:
            job = self._wanted.pop(number)
            lane = job.queue.lane(job.priority)
            lane.fetching -= 1
            queues[job.queue] = None
            payload = payloads.get(number)
            if job.payload is not None or job.state is not QUEUED:
                continue  # it was cancelled meanwhile
            if payload is not None:
                job.payload = payload
                if job.life is None or not job.life.parked:
                    lane.bare -= 1
                self.held_bytes += len(payload)
            elif not payloads:
                # The first one that is on disk is always read, so none of these is.
                missing.append(job)
        return queues, missing
