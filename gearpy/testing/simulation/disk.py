"""A disk that keeps what was synced, and loses some of the rest in a crash."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import final

from gearpy.engine.records import Batch, Change, Put, Record
from gearpy.stores.memory import MemoryStore


@final
class Disk:
    """Batches are written, and later synced.  ``durable`` is what no crash can take any more."""

    def __init__(self, rng: Random, *, loses_writes: bool) -> None:
        self.durable: dict[int, tuple[Put, Change | None]] = {}
        self.ever: set[int] = set()  # the numbers of all jobs that were durable at some time
        self.kept_seq = 0  # what had happened when the last batch was made that stays
        self.free_bytes = 1 << 30
        self._rng = rng
        self._loses_writes = loses_writes
        self._kept = MemoryStore()
        self._written = MemoryStore()
        self._unsynced: list[tuple[Batch, int]] = []

    def write(self, batch: Batch, seq: int) -> None:
        """Takes a batch; nobody knows yet whether it will stay.  ``seq`` is the number of what
        happened last before it was made."""
        _check_batch(batch)
        self._written.commit(batch)
        self._unsynced.append((batch, seq))

    def sync(self) -> None:
        """What was written stays."""
        for batch, seq in self._unsynced:
            self._keep(batch, seq)
        self._unsynced.clear()

    def crash(self) -> str:
        """The power is gone; returns what became of the writes that were not synced."""
        count = len(self._unsynced)
        kept = 0 if self._loses_writes else self._rng.randint(0, count)
        for batch, seq in self._unsynced[:kept]:
            self._keep(batch, seq)
        self._unsynced.clear()
        self._written = MemoryStore()
        self._written.commit(_everything(self._kept.load()))
        torn = kept < count and self._rng.random() < 0.5
        # A store finds a torn batch by its checksum or its journal, and drops all of it.
        return f"{kept} of {count} unsynced batches stay" + (", one is torn" if torn else "")

    def forget_unsynced(self) -> None:
        """A commit failed: nothing of it is there."""
        self._unsynced.clear()
        self._written = MemoryStore()
        self._written.commit(_everything(self._kept.load()))

    def load(self) -> list[Record]:
        """What is on it."""
        return list(self._written.load())

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        """Some payloads, as a store gives them."""
        return self._written.payloads(numbers, bytes_max)

    def _keep(self, batch: Batch, seq: int) -> None:
        self.kept_seq = seq
        self._kept.commit(batch)
        for put in batch.puts:
            self.durable[put.number] = (put, None)
            self.ever.add(put.number)
        for change in batch.changes:
            if change.number in self.durable:
                self.durable[change.number] = (self.durable[change.number][0], change)
        for number in batch.dones:
            self.durable.pop(number, None)


@final
class DiskStore:
    """The store over a simulated disk.  A commit has two halves, so that a crash may come in
    between."""

    def __init__(self, disk: Disk, *, syncs: bool = True) -> None:
        self._disk = disk
        self._syncs = syncs

    def load(self) -> Iterable[Record]:
        return self._disk.load()

    def begin(self, batch: Batch, seq: int) -> None:
        """The first half of a commit; ``seq`` is the number of what happened last before it."""
        self._disk.write(batch, seq)

    def finish(self) -> None:
        """The second half of a commit."""
        if self._syncs:
            self._disk.sync()

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        return self._disk.payloads(numbers, bytes_max)

    def free_bytes(self) -> int | None:
        return self._disk.free_bytes

    def close(self) -> None:
        """There is nothing to give back."""


def _check_batch(batch: Batch) -> None:
    """What ``Batch`` promises to every store."""
    dones = set(batch.dones)
    assert len(dones) == len(batch.dones), "no job is forgotten twice in a batch"
    written = {put.number for put in batch.puts} | {change.number for change in batch.changes}
    assert dones.isdisjoint(written), "what is forgotten in a batch is not written in it"


def _everything(records: Iterable[Record]) -> Batch:
    """One batch that brings an empty store to where another is."""
    batch = Batch()
    for record in records:
        if isinstance(record, Put):
            batch.puts.append(record)
        elif isinstance(record, Change):
            batch.changes.append(record)
        else:
            batch.notes.append(record)
    return batch
