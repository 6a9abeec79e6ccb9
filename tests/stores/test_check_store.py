"""The suite for stores must find what is wrong: every store here breaks one promise."""

import pickle
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gearpy.engine.records import (
    Batch,
    Change,
    Mark,
    Note,
    Put,
    Record,
)
from gearpy.testing.stores import check_store, example_put


class FileStore:
    """A correct store that outlives its process: one pickle, written at its end."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "jobs"
        self.puts: dict[int, Put] = {}
        self.changes: dict[int, Change] = {}
        self.notes: dict[Any, Note] = {}
        if self.path.exists():
            self.puts, self.changes, self.notes = pickle.loads(self.path.read_bytes())

    def load(self) -> Iterable[Record]:
        notes = sorted(self.notes.values(), key=lambda note: not isinstance(note, Mark))
        records: list[Record] = [*notes]
        for put in self.jobs():
            records.append(put)
            if put.number in self.changes:
                records.append(self.changes[put.number])
        return records

    def jobs(self) -> list[Put]:
        return sorted(self.puts.values())

    def commit(self, batch: Batch) -> None:
        batch = Batch([*batch.puts], [*batch.changes], [*batch.dones], [*batch.notes])
        self.apply(batch)

    def apply(self, batch: Batch) -> None:
        for put in batch.puts:
            self.put(put)
        for change in batch.changes:
            self.change(change)
        for number in batch.dones:
            self.done(number)
        for note in batch.notes:
            self.note(note)

    def write(self) -> None:
        self.path.write_bytes(pickle.dumps((self.puts, self.changes, self.notes)))

    def put(self, put: Put) -> None:
        self.puts[put.number] = put

    def change(self, change: Change) -> None:
        self.changes[change.number] = change

    def done(self, number: int) -> None:
        self.puts.pop(number, None)
        self.changes.pop(number, None)

    def note(self, note: Note) -> None:
        key = (type(note), None if isinstance(note, Mark) else note[0])
        self.notes[key] = note
        if not isinstance(note, Mark) and not any(note[1:]):
            del self.notes[key]

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for number in numbers:
            if number in self.puts:
                found[number] = self.puts[number].payload
                if sum(map(len, found.values())) > bytes_max and len(found) > 1:
                    del found[number]
                    break
        return found

    def free_bytes(self) -> int | None:
        return 1

    def close(self) -> None:
        self.write()


def test_a_correct_store_passes() -> None:
    check_store(FileStore)


# ---- jobs


class Keeps(FileStore):
    """Ignores the ends of jobs."""

    def done(self, number: int) -> None:
        pass


class FailsOnStrangers(FileStore):
    """Wants to know every job that ends."""

    def done(self, number: int) -> None:
        del self.puts[number]


class EndsByText(FileStore):
    """Ends all jobs whose number begins alike."""

    def done(self, number: int) -> None:
        for other in [other for other in self.puts if str(other).startswith(str(number))]:
            super().done(other)


class SortsByArrival(FileStore):
    def jobs(self) -> list[Put]:
        return list(self.puts.values())


class SortsByText(FileStore):
    def jobs(self) -> list[Put]:
        return sorted(self.puts.values(), key=lambda put: str(put.number))


class SortsByPriority(FileStore):
    def jobs(self) -> list[Put]:
        return sorted(self.puts.values(), key=lambda put: (put.priority, put.number))


class SortsByPlace(FileStore):
    def jobs(self) -> list[Put]:
        places = {number: change.place for number, change in self.changes.items()}
        return sorted(self.puts.values(), key=lambda put: places.get(put.number, put.number))


class Coalesces(FileStore):
    """Has one row for a function and unique."""

    def put(self, put: Put) -> None:
        for other in list(self.puts.values()):
            if put.unique and (other.function, other.unique) == (put.function, put.unique):
                del self.puts[other.number]
        super().put(put)


class LimitsBatches(FileStore):
    """Takes the first ten thousand jobs of a batch."""

    def apply(self, batch: Batch) -> None:
        super().apply(Batch(batch.puts[:10_000], batch.changes, batch.dones, batch.notes))


class LosesTheRest(FileStore):
    """Writes jobs in blocks of 64, and forgets the last block where it is of one."""

    def apply(self, batch: Batch) -> None:
        puts = batch.puts[:-1] if len(batch.puts) % 64 == 1 < len(batch.puts) else batch.puts
        super().apply(Batch(puts, batch.changes, batch.dones, batch.notes))


class LosesDones(FileStore):
    """Takes 64 ends of a batch."""

    def apply(self, batch: Batch) -> None:
        dones = batch.dones[:64] if len(batch.dones) < 100 else batch.dones
        super().apply(Batch(batch.puts, batch.changes, dones, batch.notes))


# ---- values


class Alters(FileStore):
    """Changes a value on its way."""

    def alter(self, put: Put) -> Any:
        return put

    def jobs(self) -> list[Put]:
        return [self.alter(put) for put in super().jobs()]


class CutsAtNul(Alters):
    def alter(self, put: Put) -> Put:
        return put._replace(payload=put.payload.split(b"\0")[0])


class NullsEmpty(Alters):
    def alter(self, put: Put) -> Any:
        nothing: Any = None
        return put if put.payload else put._replace(payload=nothing)


class NeedsText(Alters):
    def alter(self, put: Put) -> Put:
        return put._replace(function=put.function.decode("utf-8", "replace").encode())


class ReadsNumbers(Alters):
    def alter(self, put: Put) -> Put:
        return put._replace(unique=b"1" if put.unique == b"1.0" else put.unique)


class WholeSeconds(Alters):
    def alter(self, put: Put) -> Put:
        return put._replace(due_s=float(int(put.due_s)))


class NumbersForTimes(Alters):
    def alter(self, put: Put) -> Put:
        return put._replace(expire_s=int(put.expire_s) if not put.expire_s % 1 else put.expire_s)


class PlainPriorities(Alters):
    """Gives priorities that are equal, but numbers."""

    def alter(self, put: Put) -> Any:
        priority: Any = int(put.priority)
        return put._replace(priority=priority)


class DropsOptions(Alters):
    def alter(self, put: Put) -> Put:
        return put._replace(options=b"")


# ---- changes and notes


class FirstChange(FileStore):
    def change(self, change: Change) -> None:
        self.changes.setdefault(change.number, change)


class MergesChanges(FileStore):
    """Leaves what the next Change says nothing of."""

    def change(self, change: Change) -> None:
        before = self.changes.get(change.number)
        if before is not None:
            change = change._replace(error=change.error or before.error)
        super().change(change)


class KeepsChanges(FileStore):
    """Leaves the Change of a job that is done, and gives it without one."""

    def load(self) -> Iterable[Record]:
        orphans = [change for change in self.changes.values() if change.number not in self.puts]
        return [*super().load(), *orphans]

    def done(self, number: int) -> None:
        self.puts.pop(number, None)


class ChangesFirst(FileStore):
    """Gives changes before all jobs."""

    def load(self) -> Iterable[Record]:
        return sorted(super().load(), key=lambda record: not isinstance(record, Change))


class DropsResults(FileStore):
    def change(self, change: Change) -> None:
        super().change(change._replace(result=change.result[:65_536]))


class NarrowPlaces(FileStore):
    def change(self, change: Change) -> None:
        super().change(change._replace(place=max(change.place, -(2**31))))


class FirstNote(FileStore):
    def note(self, note: Note) -> None:
        key = (type(note), None if isinstance(note, Mark) else note[0])
        if key not in self.notes:
            super().note(note)


class KeepsNothings(FileStore):
    """Keeps notes that say nothing."""

    def note(self, note: Note) -> None:
        key = (type(note), None if isinstance(note, Mark) else note[0])
        self.notes[key] = note


class NoMark(FileStore):
    def note(self, note: Note) -> None:
        if not isinstance(note, Mark):
            super().note(note)


class MarkLast(FileStore):
    def load(self) -> Iterable[Record]:
        return sorted(super().load(), key=lambda record: isinstance(record, Mark))


# ---- payloads and room


class ReadsAll(FileStore):
    """Knows no limit."""

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        return super().payloads(numbers, 1 << 40)


class ReadsNone(FileStore):
    """Gives not even one that is too big."""

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        found = super().payloads(numbers, bytes_max)
        return {} if sum(map(len, found.values())) > bytes_max else found


class ReadsSorted(FileStore):
    """Begins with the lowest number."""

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        return super().payloads(sorted(numbers), bytes_max)


class ReadsAround(FileStore):
    """Passes over what does not fit, and goes on."""

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for number in numbers:
            found |= super().payloads([number], bytes_max)
            if sum(map(len, found.values())) > bytes_max and len(found) > 1:
                del found[number]
        return found


class NoRoom(FileStore):
    def free_bytes(self) -> int | None:
        return -1


# ---- batches, threads, closing


class CommitsOneByOne(FileStore):
    """Leaves the first half of a batch that breaks."""

    def commit(self, batch: Batch) -> None:
        self.apply(batch)


class ForgetsToCheckNotes(FileStore):
    """Leaves everything of a batch whose notes break."""

    def commit(self, batch: Batch) -> None:
        super().commit(Batch(batch.puts, batch.changes, batch.dones))
        super().commit(Batch(notes=batch.notes))


class SwallowsErrors(FileStore):
    """Says nothing of a batch that breaks."""

    def commit(self, batch: Batch) -> None:
        try:
            super().commit(batch)
        except Exception:
            return


class OneThread(FileStore):
    """Belongs to the thread that opened it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.thread = threading.get_ident()

    def commit(self, batch: Batch) -> None:
        if threading.get_ident() != self.thread:
            raise RuntimeError("made in another thread")
        super().commit(batch)


class LoadsOnce(FileStore):
    """Has nothing more to give after it was loaded."""

    def jobs(self) -> list[Put]:
        jobs = super().jobs()
        self.puts = {}
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
        self.puts = {}


class ForgetsEnds(FileStore):
    """Writes down new jobs only: what ended since comes back."""

    def commit(self, batch: Batch) -> None:
        super().commit(batch)
        if batch.puts:
            self.write()

    def close(self) -> None:
        pass


class ForgetsMarks(FileStore):
    """Forgets the mark when it is opened again."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.notes.pop((Mark, None), None)


class HasADemo(FileStore):
    """Is not empty at first."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        if not self.path.exists():
            self.puts[1] = example_put(1)


@pytest.mark.parametrize(
    ("store", "promise"),
    [
        (Keeps, "a done forgets the job"),
        (FailsOnStrangers, None),
        (EndsByText, "whatever its digits|leaves the order of the others alone"),
        (SortsByArrival, "in the order of their numbers"),
        (SortsByText, "in the order of their numbers"),
        (SortsByPriority, "in the order of their numbers"),
        (SortsByPlace, "does not move it"),
        (Coalesces, "are three jobs"),
        (LimitsBatches, "a batch of 20,000"),
        (LosesTheRest, "a batch of any size"),
        (LosesDones, "any number of dones"),
        (CutsAtNul, "comes back as it was"),
        (NullsEmpty, "comes back as it was"),
        (NeedsText, "comes back as it was"),
        (ReadsNumbers, "comes back as it was"),
        (WholeSeconds, "comes back as it was"),
        (NumbersForTimes, "in the order|comes back as it was"),
        (PlainPriorities, "in the order"),
        (DropsOptions, "comes back as it was"),
        (FirstChange, "a Change replaces"),
        (MergesChanges, "leaves nothing of the others"),
        (KeepsChanges, "a done forgets"),
        (ChangesFirst, "may stand in the batch of its Put"),
        (DropsResults, "every value of a Change"),
        (NarrowPlaces, "every value of a Change"),
        (FirstNote, "a note replaces"),
        (KeepsNothings, "says nothing"),
        (NoMark, "notes come back"),
        (MarkLast, "notes come back"),
        (ReadsAll, "payloads are those"),
        (ReadsNone, "payloads are those"),
        (ReadsSorted, "payloads are those"),
        (ReadsAround, "payloads are those"),
        (NoRoom, "free_bytes"),
        (CommitsOneByOne, "breaks in its puts"),
        (ForgetsToCheckNotes, "breaks in its notes"),
        (SwallowsErrors, "must raise"),
        (OneThread, "any thread"),
        (LoadsOnce, "loading changes nothing"),
        (ClosesOnce, None),
        (StartsAnew, "opened again"),
        (ForgetsEnds, "opened again"),
        (ForgetsMarks, "opened again"),
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
