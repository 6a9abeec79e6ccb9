"""Frozen snapshots.  Every report, metric and invariant reads these; nobody reaches inside."""

from dataclasses import dataclass

from gearpy.engine.job import JobState


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """A job as it is now.  ``losses`` counts workers that went away or ran out of time with it."""

    handle: bytes
    function: bytes
    unique: bytes
    state: JobState
    background: bool
    waiting: int  # submissions that wait for its end
    wanted: bool  # somebody waits, or it is a background job
    losses: int
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A function as it is now."""

    function: bytes
    queued: tuple[int, int, int]  # ready to run: high, normal, low
    delayed: tuple[int, int, int]  # waiting for their time
    running: int
    workers: int  # able to do it
    maxqueue: tuple[int, int, int]  # high, normal, low; 0: no limit

    @property
    def total(self) -> int:
        """All unfinished jobs."""
        return sum(self.queued) + sum(self.delayed) + self.running


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The engine as it is now, and what it counted since its start."""

    functions: int
    jobs: int
    queued: int
    delayed: int
    running: int
    submitted: int
    coalesced: int
    completed: int
    failed: int  # WORK_FAIL and WORK_EXCEPTION
    lost: int  # assignments whose worker went away or ran out of time
    timed_out: int  # those of them that ran out of time
    gave_up: int  # jobs that were lost once too often
    cancelled: int
    abandoned: int  # foreground jobs that nobody waited for any more
    stale: int  # reports about jobs that their sender did not hold
    wakes: int
    passed_over: int  # woken workers that did not come in time
