"""What is made durable of a job.  A store knows these, and nothing of jobs' rules."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gearpy.priority import Priority

if TYPE_CHECKING:
    from gearpy.engine.job import Job

RecordKind = Literal["put", "done"]

PUT: Final[RecordKind] = "put"  # a background job was accepted
DONE: Final[RecordKind] = "done"  # it ended, however it ended


@dataclass(frozen=True, slots=True)
class Put:
    """An accepted background job, with all that a restart needs to run it."""

    handle: bytes
    function: bytes
    unique: bytes
    payload: bytes
    priority: Priority
    due_s: float
    reducer: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The end of the job with this handle."""

    handle: bytes


Record = Put | Done


def put(job: "Job") -> Put:
    """The record of a job's acceptance."""
    return Put(
        job.handle,
        job.queue.name,
        job.unique,
        job.payload,
        job.priority,
        job.due_s,
        job.reducer,
    )
