"""Tickets: what is written down, what is durable, and which outboxes wait for the difference."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, final

from gearpy.engine.job import Job
from gearpy.engine.ledger import RESTORED, change, put
from gearpy.engine.records import Batch, Note, Put

_FOR_EVER: Final = 1 << 60
_ROW_BYTES: Final = 500  # of a Put beside its payload and its options, generously


class Held(Protocol):
    """Something that waits behind the gate."""

    def release(self, durable: int) -> bool:
        """The gate is open up to ``durable``.  Returns whether it still waits."""


class Work(NamedTuple):
    """What is to be done with the store in one go: first commit, then read.

    When that is done, open the gate up to ``ticket``, and give the engine the payloads of the jobs
    with the numbers in ``wanted``.
    """

    batch: Batch | None
    ticket: int
    wanted: list[int]


@final
class CommitGate:
    """The engine's journal: collects records into a batch while the last one is being committed.

    That is group commit: the next batch grows while the disk is busy with this one, so it needs
    no timer.  A ticket is the number of a batch.  A job that ended before it was committed leaves
    no record; whoever submitted it still waits for that batch, which keeps replies in order.

    What became of a job is written as it is when the batch is taken, however often it changed.

    With ``holds`` false nobody waits for anything: receipts leave before they are durable.

    Beyond ``limit_bytes`` of jobs that are not on the disk yet it is ``crowded``: whoever waits
    for it should be asked for no more.  ``room_bytes`` is how many bytes more of them the disk has
    room for; infinity where that is not known.
    """

    def __init__(self, holds: bool = True, limit_bytes: float = math.inf) -> None:
        self.limit_bytes = limit_bytes
        self.room_bytes = math.inf
        self.crowded = False
        self.durable = RESTORED if holds else _FOR_EVER  # the ticket up to which all is on disk
        self._holds = holds
        self._open = RESTORED + 1  # the ticket of the batch that grows
        self._written = False  # whether somebody got that ticket
        self._under_way = False  # whether work was taken and is not done
        self._puts: dict[Job, Put] = {}
        self._puts_bytes = 0
        self._under_way_bytes = 0
        self._changed: dict[Job, None] = {}
        self._dones: list[int] = []
        self._notes: list[Note] = []
        self._wanted: list[int] = []
        self._waiting: list[Held] = []

    # ---- the engine's side

    def put(self, job: Job) -> int:
        record = self._puts[job] = put(job)
        size_bytes = _size_bytes(record)
        self.room_bytes -= size_bytes
        self._puts_bytes += size_bytes
        if self._puts_bytes + self._under_way_bytes > self.limit_bytes:
            self.crowded = True
        self._written = True
        return self._open

    def changed(self, job: Job) -> int:
        self._changed[job] = None
        self._written = True
        return self._open

    def done(self, job: Job) -> None:
        self._changed.pop(job, None)
        record = self._puts.pop(job, None)
        if record is None:
            self._dones.append(job.number)
        else:
            size_bytes = _size_bytes(record)
            self.room_bytes += size_bytes
            self._puts_bytes -= size_bytes
        self._written = True

    def note(self, record: Note) -> int:
        self._notes.append(record)
        self._written = True
        return self._open

    def fetch(self, jobs: Sequence[Job]) -> None:
        self._wanted += [job.number for job in jobs]

    def is_durable(self, ticket: int) -> bool:
        return ticket <= self.durable

    # ---- the sessions' side

    @property
    def written(self) -> int:
        """The ticket of everything that was written by now."""
        return self._open if self._written else self._open - 1

    # ---- the committer's side

    @property
    def pending(self) -> bool:
        """Whether there is anything to be done with the store."""
        return self._written or bool(self._wanted)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits: for a receipt, or for a payload."""
        return bool(self._waiting or self._wanted)

    def take_work(self) -> Work | None:
        """What is to be done since the last call, or None.  Finish it before you take more."""
        if not self.pending:
            return None
        assert not self._under_way, "the work before is not done yet"
        self._under_way = True
        batch, ticket = None, self._open - 1
        if self._written:
            batch = Batch(
                list(self._puts.values()),
                [change(job) for job in self._changed],
                self._dones,
                self._notes,
            )
            ticket = self._open
            self._open += 1
            self._written = False
            self._puts, self._changed, self._dones, self._notes = {}, {}, [], []
            self._under_way_bytes, self._puts_bytes = self._puts_bytes, 0
        wanted, self._wanted = self._wanted, []
        return Work(batch, ticket, wanted)

    def open(self, ticket: int) -> None:
        """The work is done, everything up to this ticket is durable: lets go what waited for it."""
        self._under_way = False
        self._under_way_bytes = 0
        self.crowded = self._puts_bytes > self.limit_bytes
        if not self._holds:
            return
        assert self.durable <= ticket < self._open, "only what was taken becomes durable"
        self.durable = ticket
        waiting, self._waiting = self._waiting, []
        self._waiting += [held for held in waiting if held.release(ticket)]

    def wait(self, held: Held) -> None:
        """Asks to be released."""
        self._waiting.append(held)

    def set_room(self, disk_bytes: float) -> None:
        """The disk has so much room for what is not on it yet.

        Every job is counted twice: it goes to the log, and then from there to its place.
        """
        self.room_bytes = disk_bytes / 2 - self._puts_bytes - self._under_way_bytes


def _size_bytes(record: Put) -> int:
    return len(record.payload) + len(record.options) + _ROW_BYTES
