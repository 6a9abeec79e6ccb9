"""The suite for stores must find what is wrong: every store here breaks one promise."""

import pickle
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gearpy.engine.records import Put, Record
from gearpy.testing.stores import check_store


class FileStore:
    """A correct store that outlives its process: one pickle, written anew with each commit."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "jobs"
        self.jobs: dict[bytes, Put] = {}
        if self.path.exists():
            self.jobs = pickle.loads(self.path.read_bytes())

    def load(self) -> Iterable[Put]:
        return iter(self.jobs.values())

    def commit(self, batch: Sequence[Record]) -> None:
        for record in list(batch):
            self.apply(record)
        self.path.write_bytes(pickle.dumps(self.jobs))

    def apply(self, record: Record) -> None:
        if isinstance(record, Put):
            self.jobs[record.handle] = record
        else:
            self.jobs.pop(record.handle, None)

    def close(self) -> None:
        pass


def test_a_correct_store_passes() -> None:
    check_store(FileStore)


class Keeps(FileStore):
    """Ignores the ends of jobs."""

    def apply(self, record: Record) -> None:
        if isinstance(record, Put):
            super().apply(record)


class FailsOnStrangers(FileStore):
    """Wants to know every job that ends."""

    def apply(self, record: Record) -> None:
        if isinstance(record, Put):
            super().apply(record)
        else:
            del self.jobs[record.handle]


class EndsFirst(FileStore):
    """Takes the ends of a batch before its jobs."""

    def commit(self, batch: Sequence[Record]) -> None:
        super().commit(sorted(batch, key=lambda record: isinstance(record, Put)))


class SortsBy(FileStore):
    """Gives jobs in the order of something else than their arrival."""

    field = "handle"

    def load(self) -> Iterable[Put]:
        return sorted(self.jobs.values(), key=lambda job: getattr(job, self.field))


class SortsByPriority(SortsBy):
    field = "priority"


class SortsByTime(SortsBy):
    field = "due_s"


class SortsByFunction(SortsBy):
    field = "function"


class MovesTheLast(FileStore):
    """Fills the gap of a job that ends with the last one."""

    def apply(self, record: Record) -> None:
        if not isinstance(record, Put) and record.handle in self.jobs and len(self.jobs) > 2:
            handle, job = self.jobs.popitem()
            super().apply(record)
            if handle != record.handle:
                self.jobs = {handle: job, **self.jobs}
        else:
            super().apply(record)


class Coalesces(FileStore):
    """Has one row for a function and unique."""

    def apply(self, record: Record) -> None:
        if isinstance(record, Put):
            for job in list(self.jobs.values()):
                if record.unique and (job.function, job.unique) == (record.function, record.unique):
                    del self.jobs[job.handle]
        super().apply(record)


class Alters(FileStore):
    """Changes a value on its way."""

    def alter(self, job: Put) -> Any:
        return job

    def load(self) -> Iterable[Put]:
        return [self.alter(job) for job in self.jobs.values()]


class CutsAtNul(Alters):
    def alter(self, job: Put) -> Put:
        return replace(job, payload=job.payload.split(b"\0")[0])


class NullsEmpty(Alters):
    def alter(self, job: Put) -> Any:
        changes: dict[str, Any] = {} if job.payload else {"payload": None}
        return replace(job, **changes)


class NeedsText(Alters):
    def alter(self, job: Put) -> Put:
        return replace(job, function=job.function.decode("utf-8", "replace").encode())


class WholeSeconds(Alters):
    def alter(self, job: Put) -> Put:
        return replace(job, due_s=float(int(job.due_s)))


class PlainNumbers(Alters):
    """Gives priorities that are equal, but numbers."""

    def alter(self, job: Put) -> Any:
        priority: Any = int(job.priority)
        return replace(job, priority=priority)


class IgnoresCase(FileStore):
    """Compares handles as text without case."""

    def apply(self, record: Record) -> None:
        if not isinstance(record, Put):
            for handle in list(self.jobs):
                if handle.lower() == record.handle.lower():
                    del self.jobs[handle]
        super().apply(record)


class LimitsBatches(FileStore):
    """Takes the first ten thousand records of a batch."""

    def commit(self, batch: Sequence[Record]) -> None:
        super().commit([record for _, record in zip(range(10_000), batch, strict=False)])


class CommitsOneByOne(FileStore):
    """Leaves the first half of a batch that breaks."""

    def commit(self, batch: Sequence[Record]) -> None:
        for record in batch:
            self.apply(record)
        super().commit([])


class SwallowsErrors(FileStore):
    """Says nothing of a batch that breaks."""

    def commit(self, batch: Sequence[Record]) -> None:
        try:
            super().commit(batch)
        except Exception:
            return


class OneThread(FileStore):
    """Belongs to the thread that opened it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.thread = threading.get_ident()

    def commit(self, batch: Sequence[Record]) -> None:
        if threading.get_ident() != self.thread:
            raise RuntimeError("made in another thread")
        super().commit(batch)


class LoadsOnce(FileStore):
    """Has nothing more to give after it was loaded."""

    def load(self) -> Iterable[Put]:
        jobs = list(self.jobs.values())
        self.jobs = {}
        return jobs


class ClosesOnce(FileStore):
    """Can't be closed again."""

    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class StartsAnew(FileStore):
    """Forgets what was there before."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.jobs = {}


class ForgetsEnds(FileStore):
    """Writes down new jobs only: what ended since comes back."""

    def commit(self, batch: Sequence[Record]) -> None:
        written = self.path.read_bytes() if self.path.exists() else pickle.dumps({})
        super().commit(batch)
        if not any(isinstance(record, Put) for record in batch):
            self.path.write_bytes(written)


class ReopensSorted(FileStore):
    """Loses the order when it is opened again."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.jobs = dict(sorted(self.jobs.items(), reverse=True))


class HasADemo(FileStore):
    """Is not empty at first."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        if not self.path.exists():
            self.jobs[b"demo"] = Put(b"demo", b"f", b"", b"", 0, 0.0, b"")  # type: ignore[arg-type]  # whatever it is, it is wrong


@pytest.mark.parametrize(
    ("store", "promise"),
    [
        (Keeps, "a Done removes the Put before it"),
        (FailsOnStrangers, None),
        (EndsFirst, "a Done removes the Put before it in the same batch"),
        (SortsBy, "in the order"),
        (SortsByPriority, "in the order"),
        (SortsByTime, "in the order"),
        (SortsByFunction, "in the order"),
        (MovesTheLast, "order of the others"),
        (Coalesces, "are three jobs"),
        (CutsAtNul, "comes back as it was"),
        (NullsEmpty, "comes back as it was"),
        (NeedsText, "comes back as it was"),
        (WholeSeconds, "comes back as it was"),
        (PlainNumbers, "in the order"),
        (IgnoresCase, "byte for byte"),
        (LimitsBatches, "a batch of 20,000"),
        (CommitsOneByOne, "breaks in the middle"),
        (SwallowsErrors, "must raise"),
        (OneThread, "any thread"),
        (LoadsOnce, "loading changes nothing"),
        (ClosesOnce, None),
        (StartsAnew, "opened again"),
        (ForgetsEnds, "opened again"),
        (ReopensSorted, "opened again"),
        (HasADemo, "a new store has no jobs"),
    ],
)
def test_a_broken_promise_is_found(store: type[FileStore], promise: str | None) -> None:
    if promise is None:  # the store's own error comes out
        with pytest.raises((KeyError, RuntimeError)):
            check_store(store)
    else:
        with pytest.raises(AssertionError, match=promise):
            check_store(store)
