"""What the engine asks of others.

The engine calls a port after its own state is settled.  A port may append to a buffer; it must not
call back.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gearpy.engine.job import Job, Outcome
    from gearpy.engine.records import RecordKind


class Watcher(Protocol):
    """A client that waits for jobs.  Each call is made once for each of its submissions."""

    def job_data(self, job: "Job", data: bytes) -> None:
        """A part of the result."""

    def job_warning(self, job: "Job", warning: bytes) -> None:
        """Something that the client should know; the job goes on."""

    def job_status(self, job: "Job", progress: bytes) -> None:
        """``progress`` is numerator NUL denominator, as the worker sent it."""

    def job_ended(self, job: "Job", outcome: "Outcome", data: bytes) -> None:
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
