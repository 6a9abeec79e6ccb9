"""Tickets: what is written down, what is durable, and which outboxes wait for the difference."""

from typing import NamedTuple, Protocol, final

from gearpy.engine.job import Job
from gearpy.engine.records import PUT, Done, Record, RecordKind, put


class Batch(NamedTuple):
    """Records for one commit.  Once they are durable, open the gate up to ``ticket``."""

    records: list[Record]
    ticket: int


class Held(Protocol):
    """Something that waits behind the gate."""

    def release(self, durable: int) -> bool:
        """The gate is open up to ``durable``.  Returns whether it still waits."""


@final
class CommitGate:
    """The engine's journal: collects records into a batch while the last one is being committed.

    That is group commit: the next batch grows while the disk is busy with this one, so it needs
    no timer.  Whoever wrote a record that was taken back in the same batch (a job that ended
    before it was committed) still waits for that batch, which keeps replies in order.
    """

    def __init__(self) -> None:
        self.durable = 0  # the ticket up to which everything is on disk
        self._written = 0
        self._taken = 0
        self._batch: dict[bytes, Record] = {}
        self._waiting: list[Held] = []

    def write(self, kind: RecordKind, job: Job) -> int:
        """The journal port: takes a record into the open batch and returns its ticket."""
        self._written += 1
        if kind is PUT:
            self._batch[job.handle] = put(job)
        elif self._batch.pop(job.handle, None) is None:
            self._batch[job.handle] = Done(job.handle)
        return self._written

    def take_batch(self) -> Batch | None:
        """What was written since the last call, or None.  One batch may be under way at a time."""
        if self._written == self._taken:
            return None
        assert self._taken == self.durable, "the batch before is not committed yet"
        self._taken = self._written
        records, self._batch = self._batch, {}
        return Batch(list(records.values()), self._taken)

    def open(self, ticket: int) -> None:
        """Everything up to this ticket is durable: lets go what waited for it."""
        assert self.durable <= ticket <= self._taken, "only what was taken becomes durable"
        self.durable = ticket
        waiting, self._waiting = self._waiting, []
        self._waiting += [held for held in waiting if held.release(ticket)]

    def wait(self, held: Held) -> None:
        """Asks to be released."""
        self._waiting.append(held)
