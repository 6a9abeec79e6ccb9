"""What the engine asks of others.

The engine calls a port after its own state is settled.  A port may append to a buffer; it must not
call back.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gearpy.engine.job import Job, Outcome, Report
    from gearpy.engine.records import RecordKind


class Watcher(Protocol):
    """A client that waits for jobs.

    ``copies`` says how many of its submissions wait for the job: each is to be told.
    """

    def job_reported(self, job: "Job", report: "Report", data: bytes, copies: int) -> None:
        """The worker said something on the way; of a status ``data`` is as the worker sent it."""

    def job_ended(self, job: "Job", outcome: "Outcome", data: bytes, copies: int) -> None:
        """The last that is heard of the job; ``data`` is its result or its exception."""


class Sleeper(Protocol):
    """A worker that may be asleep."""

    def wake(self) -> None:
        """There is a job for you: come and grab it."""


class Journal(Protocol):
    """Where accepted background jobs are written down."""

    def write(self, kind: "RecordKind", job: "Job") -> int:
        """Takes the record and returns its ticket, or 0 if nobody needs to wait for it.

        Tickets grow.  The record is durable once the gate is open up to its ticket.
        """


class NoJournal:
    """For a server that keeps jobs in memory only: nothing is written, nobody waits."""

    def write(self, kind: "RecordKind", job: "Job") -> int:
        return 0
