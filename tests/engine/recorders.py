"""Ports that write down what the engine says."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from gearpy.engine.engine import Engine
from gearpy.engine.job import Job, Outcome, Report
from gearpy.engine.peers import Client, Worker
from gearpy.engine.records import Note


class Heard(NamedTuple):
    """What a client heard of one job."""

    handle: bytes
    what: str
    data: bytes


class ClientRecorder:
    """A client that keeps what it hears."""

    def __init__(self) -> None:
        self.client = Client(self)
        self.heard: list[Heard] = []

    def take(self) -> list[Heard]:
        """What was heard since the last call."""
        heard, self.heard = self.heard, []
        return heard

    def job_reported(self, job: Job, report: Report, data: bytes, copies: int) -> None:
        self.heard += [Heard(job.handle, report, data)] * copies

    def job_ended(self, job: Job, outcome: Outcome, data: bytes, copies: int) -> None:
        self.heard += [Heard(job.handle, outcome, data)] * copies


class WorkerRecorder:
    """A worker that counts its wake-ups."""

    def __init__(self, name: str = "worker") -> None:
        self.name = name
        self.worker = Worker(self)
        self.wakes = 0
        self.cancelled: list[bytes] = []

    def wake(self) -> None:
        self.wakes += 1

    def job_cancelled(self, job: Job) -> None:
        self.cancelled.append(job.handle)


class JournalRecorder:
    """A journal that hands out growing tickets."""

    room_bytes = math.inf

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes]] = []
        self.notes: list[Note] = []
        self.wanted: list[int] = []

    def put(self, job: Job) -> int:
        return self._write("put", job)

    def changed(self, job: Job) -> int:
        return self._write("changed", job)

    def done(self, job: Job) -> None:
        self._write("done", job)

    def note(self, record: Note) -> int:
        self.notes.append(record)
        return len(self.records)

    def fetch(self, jobs: Sequence[Job]) -> None:
        self.wanted += [job.number for job in jobs]

    def is_durable(self, ticket: int) -> bool:
        return True

    def _write(self, kind: str, job: Job) -> int:
        self.records.append((kind, job.handle))
        return len(self.records)


def able(engine: Engine, *functions: bytes, asleep: bool = False) -> WorkerRecorder:
    """A worker that can do these functions."""
    recorder = WorkerRecorder()
    for function in functions:
        engine.can_do(recorder.worker, function)
    if asleep:
        engine.sleep(recorder.worker)
    return recorder
