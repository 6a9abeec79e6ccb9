"""What the engine asks of others.

The engine calls a port after its own state is settled.  A port may append to a buffer; it must not
call back.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gearpy.engine.job import Job, Outcome, Report
    from gearpy.engine.records import Note
    from gearpy.engine.statistics import JobStatistics


class Watcher(Protocol):
    """A client that waits for jobs.

    ``copies`` says how many of its submissions wait for the job: each is to be told.
    """

    def job_reported(self, job: "Job", report: "Report", data: bytes, copies: int) -> None:
        """The worker said something on the way; how far it is stands in ``data`` as it was sent."""

    def job_ended(self, job: "Job", outcome: "Outcome", data: bytes, copies: int) -> None:
        """The last that is heard of the job; ``data`` is its result or its exception."""


class Sleeper(Protocol):
    """A worker that may be asleep."""

    @property
    def name(self) -> str:
        """Who it is, for people."""

    def wake(self) -> None:
        """There is a job for you: come and grab it."""

    def job_cancelled(self, job: "Job") -> None:
        """The job that you hold was cancelled: what becomes of it does not matter any more."""


class Observer(Protocol):
    """Somebody who follows what becomes of jobs that carry labels."""

    def ended(self, job: "JobStatistics") -> None:
        """Such a job has ended."""


class Journal(Protocol):
    """Where accepted background jobs are written down.

    What is written gets a ticket: it is durable once the gate is open up to it.  Tickets never
    become smaller.  0 means that nothing is journalled.

    ``room_bytes`` is how many bytes of payloads there is still room for; no more must be put.
    """

    room_bytes: float

    def put(self, job: "Job") -> int:
        """The job was accepted, or has to be kept for another reason.  Returns the ticket."""

    def changed(self, job: "Job") -> int:
        """Something became of a job that was put.  Returns the ticket."""

    def done(self, job: "Job") -> None:
        """A job that was put may be forgotten."""

    def note(self, record: "Note") -> int:
        """Something else is to be remembered.  Returns the ticket."""

    def fetch(self, jobs: "Sequence[Job]") -> None:
        """The payloads of these jobs are wanted: give them to ``Engine.restock``."""

    def is_durable(self, ticket: int) -> bool:
        """Whether the gate is open up to this ticket."""


class NoJournal:
    """For a server that keeps jobs in memory only: nothing is written, nobody waits."""

    room_bytes = math.inf

    def put(self, job: "Job") -> int:
        return 0

    def changed(self, job: "Job") -> int:
        return 0

    def done(self, job: "Job") -> None:
        pass

    def note(self, record: "Note") -> int:
        return 0

    def fetch(self, jobs: "Sequence[Job]") -> None:
        raise AssertionError("nothing is on disk only")

    def is_durable(self, ticket: int) -> bool:
        return True
