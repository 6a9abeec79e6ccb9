"""Frozen snapshots.  Every report, metric and invariant reads these; nobody reaches inside."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from gearpy.engine.callbacks import Callback
from gearpy.engine.job import JobState
from gearpy.engine.policy import Policy
from gearpy.priority import Priority

# Upper bounds of the histograms' buckets; the last bucket has none.
BOUNDS_S: Final[tuple[float, ...]] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0,
)  # fmt: skip


@final
class Histogram:
    """How often something took how long: counts for the buckets of ``BOUNDS_S``, and the sum.

    What comes now mostly takes as long as what came before, so the last bucket is tried first.
    """

    __slots__ = ("_above_s", "_bucket", "_up_to_s", "counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        self._bucket = 0  # holds what is above one bound and up to another
        self._above_s = -math.inf
        self._up_to_s = BOUNDS_S[0]

    def add(self, duration_s: float) -> None:
        """Counts one."""
        if not self._above_s < duration_s <= self._up_to_s:
            self._look_up(duration_s)
        self.counts[self._bucket] += 1
        self.sum_s += duration_s

    def _look_up(self, duration_s: float) -> None:
        bucket = bisect_left(BOUNDS_S, duration_s)
        self._bucket = bucket
        self._above_s = BOUNDS_S[bucket - 1] if bucket else -math.inf
        self._up_to_s = BOUNDS_S[bucket] if bucket < len(BOUNDS_S) else math.inf

    def snapshot(self) -> "HistogramStatistics":
        """As it is now."""
        return HistogramStatistics(tuple(self.counts), self.sum_s)


@final
class FunctionCounters:
    """What is counted for one function, from the server's start on."""

    __slots__ = (
        "cancelled",
        "completed",
        "dead",
        "expired",
        "failed",
        "retried",
        "running",
        "started",
        "submitted",
        "timed_out",
        "waiting",
    )

    def __init__(self) -> None:
        self.submitted = 0
        self.started = 0
        self.completed = 0
        self.failed = 0
        self.retried = 0
        self.timed_out = 0
        self.dead = 0
        self.cancelled = 0
        self.expired = 0
        self.waiting = Histogram()
        self.running = Histogram()

    def snapshot(self) -> "CounterStatistics":
        """As they are now."""
        return CounterStatistics(
            submitted=self.submitted,
            started=self.started,
            completed=self.completed,
            failed=self.failed,
            retried=self.retried,
            timed_out=self.timed_out,
            dead=self.dead,
            cancelled=self.cancelled,
            expired=self.expired,
            waiting=self.waiting.snapshot(),
            running=self.running.snapshot(),
        )


@dataclass(slots=True)
class Totals:
    """What is counted over all functions, from the server's start on: see EngineStatistics."""

    abandoned: int = 0
    buried: int = 0
    cancelled: int = 0
    coalesced: int = 0
    completed: int = 0
    expired: int = 0
    failed: int = 0
    gave_up: int = 0
    lost: int = 0
    retried: int = 0
    revived: int = 0
    stale: int = 0
    submitted: int = 0
    timed_out: int = 0


@dataclass(frozen=True, slots=True)
class HistogramStatistics:
    """``counts`` has one more than ``BOUNDS_S``: what took longer than all of them."""

    counts: tuple[int, ...]
    sum_s: float


class KeptStatistics(NamedTuple):
    """What is still known of how a function's jobs ended: of those that are kept, and of dead
    letters.  ``running`` is how long their last attempts took, ``whole`` from submit to end."""

    completed: int
    failed: int
    dead: int
    running: HistogramStatistics
    whole: HistogramStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterStatistics:
    """What a function counted since the server's start.

    A job that is tried again was not failed.  ``waiting`` is from when a job could have been
    given out until it was, ``running`` from then until the attempt ended, however it ended.
    """

    submitted: int
    started: int  # attempts
    completed: int
    failed: int  # for good, and not to the dead letters
    retried: int  # attempts that ended badly and were not the last
    timed_out: int  # attempts
    dead: int
    cancelled: int
    expired: int
    waiting: HistogramStatistics
    running: HistogramStatistics


class Usage(NamedTuple):
    """What an attempt cost, as far as its worker told it.  None: not told."""

    cpu_s: float | None = None
    memory_bytes: int | None = None  # at most, at any time


@dataclass(frozen=True, slots=True)
class AttemptStatistics:
    """One attempt of a job.  ``ended_s`` is 0 while it lasts; ``outcome`` says how it ended."""

    number: int
    started_s: float
    ended_s: float
    worker: str
    outcome: str
    error: bytes
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatistics:
    """A job as it is now.  Times are seconds since the epoch; 0 where there is none."""

    handle: bytes
    function: bytes
    unique: bytes
    state: JobState
    priority: Priority
    background: bool
    waiting: int  # submissions that wait for its end
    wanted: bool  # somebody waits, or it is a background job
    attempts: int  # how often it was given to a worker
    attempts_max: int | None  # None: no limit
    losses: int  # how often a worker went away or ran out of time with it
    numerator: int
    denominator: int
    text: str  # what its worker says beside that
    created_s: float
    since_s: float  # in this state
    started_s: float  # the last attempt, of a job that has options or a policy
    due_s: float
    expire_s: float
    worker: str  # that holds it
    key: bytes
    labels: tuple[tuple[str, str], ...]
    callback: Callback | None  # what follows its end
    reason: str
    error: bytes
    payload: bytes | None  # None: on disk only
    result: bytes | None  # all that it gave, by now; None: not kept, or there is none
    log: tuple[AttemptStatistics, ...]


class QueueSizes(NamedTuple):
    """A function in short: there may be very many, and the text reports are asked for often."""

    function: bytes
    waiting: tuple[int, ...]  # at each priority, CRITICAL first: queued, or for their time
    running: int
    workers: int

    @property
    def total(self) -> int:
        """All unfinished jobs."""
        return sum(self.waiting) + self.running


class QueueFlow(NamedTuple):
    """What goes through a function, in short: to be looked at every few seconds, for all of
    them."""

    function: bytes
    unfinished: int
    submitted: int  # since the server's start
    ended: int  # done, or not done for good, since then


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """A function as it is now.  Tuples have an entry for each priority, CRITICAL first."""

    function: bytes
    queued: tuple[int, ...]  # ready to run
    delayed: tuple[int, ...]  # waiting for their time, those that are tried again included
    retrying: int  # of these, those that are tried again
    running: int
    dead: int
    kept: int  # finished jobs
    workers: int  # able to do it
    maxqueue: tuple[int, int, int]  # high, normal, low; 0: no limit
    paused: bool
    draining: bool
    policy: Policy | None
    oldest_queued_s: float | None  # when the one that waits longest got ready
    oldest_dead_s: float | None  # when the oldest dead letter died
    counters: CounterStatistics

    @property
    def total(self) -> int:
        """All unfinished jobs."""
        return sum(self.queued) + sum(self.delayed) + self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """The engine as it is now, and what it counted since its start."""

    functions: int
    jobs: int  # unfinished
    queued: int
    delayed: int  # those that are tried again included
    running: int
    dead: int
    kept: int  # finished jobs
    payload_bytes: int  # of journalled jobs, in memory
    submitted: int
    coalesced: int
    completed: int
    failed: int  # WORK_FAIL and WORK_EXCEPTION, for good
    retried: int  # attempts that ended badly and were not the last, by policy
    lost: int  # assignments whose worker went away or ran out of time
    timed_out: int  # those of them that ran out of time
    gave_up: int  # jobs that were lost once too often
    buried: int  # jobs that went to the dead letters
    revived: int  # finished jobs that an operator had run again
    expired: int
    cancelled: int
    abandoned: int  # foreground jobs that nobody waited for any more
    stale: int  # reports about jobs that their sender did not hold
    wakes: int
    passed_over: int  # woken workers that did not come in time
