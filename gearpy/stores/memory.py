"""The store that forgets everything at exit."""

from collections.abc import Iterable, Sequence
from typing import final

from gearpy.engine.records import (
    Batch,
    Change,
    CronChange,
    FunctionChange,
    Mark,
    Note,
    PolicyChange,
    Put,
    Record,
)


@final
class MemoryStore:
    """Commits at once, into dicts."""

    def __init__(self) -> None:
        self._puts: dict[int, Put] = {}
        self._changes: dict[int, Change] = {}
        self._functions: dict[bytes, FunctionChange] = {}
        self._policies: dict[bytes, PolicyChange] = {}
        self._schedules: dict[str, CronChange] = {}
        self._mark: Mark | None = None

    def load(self) -> Iterable[Record]:
        """What is kept: the notes, then the jobs in the order of their numbers."""
        records: list[Record] = [] if self._mark is None else [self._mark]
        records += [*self._functions.values(), *self._policies.values()]
        records += self._schedules.values()
        for number, put in sorted(self._puts.items()):
            records.append(put)
            if number in self._changes:
                records.append(self._changes[number])
        return records

    def commit(self, batch: Batch) -> None:
        """Takes a batch, all of it or, if reading it raises, nothing."""
        puts = {put.number: put for put in batch.puts}
        changes = {change.number: change for change in batch.changes}
        dones = list(batch.dones)
        notes = list(batch.notes)
        self._puts |= puts
        self._changes |= changes
        for number in dones:
            self._puts.pop(number, None)
            self._changes.pop(number, None)
        for note in notes:
            self._note(note)

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        """The payloads of the first of these jobs."""
        found: dict[int, bytes] = {}
        left_bytes = bytes_max
        for number in numbers:
            if number not in self._puts:
                continue
            payload = self._puts[number].payload
            left_bytes -= len(payload)
            if left_bytes < 0 and found:
                break
            found[number] = payload
        return found

    def free_bytes(self) -> None:
        """Can't be said of memory."""

    def close(self) -> None:
        """Forgets everything."""
        self._puts = {}
        self._changes = {}
        self._functions = {}
        self._policies = {}
        self._schedules = {}
        self._mark = None

    def _note(self, note: Note) -> None:
        if isinstance(note, Mark):
            self._mark = note
        elif isinstance(note, PolicyChange):
            self._policies[note.pattern] = note
            if not note.policy:
                del self._policies[note.pattern]
        elif isinstance(note, CronChange):
            self._schedules[note.name] = note
            if not (note.schedule or note.state):
                del self._schedules[note.name]
        else:
            self._functions[note.function] = note
            if not (note.paused or note.draining):
                del self._functions[note.function]
