"""A journal that holds what a store would hold."""

import math
from collections.abc import Iterator, Sequence

from gearpy.engine.engine import Engine
from gearpy.engine.job import Job
from gearpy.engine.ledger import change, put
from gearpy.engine.records import (
    Change,
    CronChange,
    FunctionChange,
    Mark,
    Note,
    PolicyChange,
    Put,
    Record,
)


class KeptJournal:
    """The current state, by number; whoever writes what makes no sense hears of it at once."""

    room_bytes = math.inf

    def __init__(self) -> None:
        self.puts: dict[int, Put] = {}
        self.changes: dict[int, Change] = {}
        self.functions: dict[bytes, FunctionChange] = {}
        self.policies: dict[bytes, PolicyChange] = {}
        self.schedules: dict[str, CronChange] = {}
        self.mark = 0
        self.tickets = 1
        self.wanted: list[int] = []

    def put(self, job: Job) -> int:
        assert job.number not in self.puts, "what it was submitted with is written once"
        self.puts[job.number] = put(job)
        return self._ticket()

    def changed(self, job: Job) -> int:
        assert job.number in self.puts, "only what was put changes"
        self.changes[job.number] = change(job)
        return self._ticket()

    def done(self, job: Job) -> None:
        del self.puts[job.number]
        self.changes.pop(job.number, None)
        self._ticket()

    def note(self, record: Note) -> int:
        if isinstance(record, Mark):
            self.mark = record.number
        elif isinstance(record, PolicyChange):
            self.policies[record.pattern] = record
            if not record.policy:
                del self.policies[record.pattern]
        elif isinstance(record, CronChange):
            self.schedules[record.name] = record
            if not (record.schedule or record.state):
                del self.schedules[record.name]
        else:
            self.functions[record.function] = record
            if not (record.paused or record.draining):
                del self.functions[record.function]
        return self._ticket()

    def fetch(self, jobs: Sequence[Job]) -> None:
        numbers = [job.number for job in jobs]
        assert len(set(numbers + self.wanted)) == len(numbers) + len(self.wanted), "asked for twice"
        self.wanted += numbers

    def is_durable(self, ticket: int) -> bool:
        return True

    def _ticket(self) -> int:
        self.tickets += 1
        return self.tickets

    def records(self) -> Iterator[Record]:
        """Everything, as a store gives it at a start."""
        if self.mark:
            yield Mark(self.mark)
        yield from self.functions.values()
        yield from self.policies.values()
        yield from self.schedules.values()
        for number in sorted(self.puts):
            yield self.puts[number]
            if number in self.changes:
                yield self.changes[number]

    def answer(self, engine: Engine, count: int = 1_000_000) -> None:
        """Gives the engine what it asked for, but no more payloads than ``count``."""
        numbers, self.wanted = self.wanted, []
        there = [number for number in numbers if number in self.puts][: max(count, 1)]
        engine.restock(numbers, {number: self.puts[number].payload for number in there})

    def check(self, engine: Engine, handle_prefix: bytes) -> None:
        """What is written down of each job is how it is now."""
        for number, was_put in self.puts.items():
            job = engine.find(b"%b:%d" % (handle_prefix, number))
            assert job is not None, "what is forgotten is not in the journal"
            assert job.ticket
            now, written = change(job), self.changes.get(number)
            if written is None:
                assert now.state == ("delayed" if was_put.due_s else "queued")
                assert (now.place, now.attempts, now.reason) == (number, 0, b"")
            else:
                assert now[:10] == written[:10]
