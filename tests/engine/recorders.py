"""Ports that write down what the engine says."""

from typing import NamedTuple

from gearpy.engine.engine import Engine
from gearpy.engine.job import Job, Outcome, Report
from gearpy.engine.peers import Client, Worker
from gearpy.engine.records import RecordKind


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

    def __init__(self) -> None:
        self.worker = Worker(self)
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


class JournalRecorder:
    """A journal that hands out growing tickets."""

    def __init__(self) -> None:
        self.records: list[tuple[RecordKind, bytes]] = []

    def write(self, kind: RecordKind, job: Job) -> int:
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
