"""What the engine has, as the frozen values that reports are made of."""

import heapq
from itertools import chain, islice
from typing import Final

from gearpy.engine.archive import Archive
from gearpy.engine.course import Course, allowed_attempts
from gearpy.engine.dispatch import Dispatch
from gearpy.engine.job import COMPLETED, DEAD, FAILED, Job
from gearpy.engine.life import Life, snapshot
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.statistics import (
    EngineStatistics,
    Histogram,
    JobStatistics,
    KeptStatistics,
    QueueFlow,
    QueueSizes,
    QueueStatistics,
)
from gearpy.engine.stock import Stock

_NO_LIFE: Final = Life()
_FIRST: Final = 16  # so many jobs of a lane are asked for how long they wait


def job_statistics(job: Job, job_retries: int) -> JobStatistics:
    """The job as it is now."""
    life = job.life or _NO_LIFE
    numerator, denominator = job.progress
    return JobStatistics(
        handle=job.handle,
        function=job.queue.name,
        unique=job.unique,
        state=job.state,
        priority=job.priority,
        background=job.background,
        waiting=job.waiting,
        wanted=job.wanted,
        attempts=job.attempts,
        attempts_max=allowed_attempts(job, job_retries),
        losses=job.losses,
        numerator=numerator,
        denominator=denominator,
        text=life.text,
        created_s=job.created_s,
        since_s=job.since_s,
        started_s=_started_s(life),
        due_s=job.due_s,
        expire_s=life.expire_s,
        worker="" if job.worker is None else job.worker.port.name,
        key=life.key,
        labels=life.labels,
        callback=life.callback,
        reason=life.reason,
        error=life.error,
        payload=job.payload,
        result=b"".join(life.output) if life.output else None,
        log=snapshot(life.log),
    )


def _started_s(life: Life) -> float:
    """When the last attempt began; 0: not known."""
    return life.log[-1].started_s if life.log else life.started_s


def queue_statistics(queue: FunctionQueue) -> QueueStatistics:
    """The function as it is now."""
    return QueueStatistics(
        function=queue.name,
        queued=_queued(queue),
        delayed=tuple(queue.delayed),
        retrying=queue.retrying,
        running=queue.running,
        dead=len(queue.dead),
        kept=len(queue.kept),
        workers=queue.workers,
        maxqueue=queue.maxqueue,
        paused=queue.paused,
        draining=queue.draining,
        policy=queue.policy,
        oldest_queued_s=_oldest_queued_s(queue),
        oldest_dead_s=next(iter(queue.dead)).since_s if queue.dead else None,
        counters=queue.counters.snapshot(),
    )


def kept_statistics(queue: FunctionQueue, count: int) -> KeptStatistics:
    """What its newest kept jobs and dead letters tell, at most ``count`` of each."""
    ends = {COMPLETED: 0, FAILED: 0, DEAD: 0}
    running, whole = Histogram(), Histogram()
    newest = chain(islice(reversed(queue.kept), count), islice(reversed(queue.dead), count))
    for job in newest:
        if job.state not in ends:
            continue  # it was cancelled, or expired: it did not end by itself
        ends[job.state] += 1
        started_s = _started_s(job.life or _NO_LIFE)
        if started_s:
            running.add(max(0.0, job.since_s - started_s))
        whole.add(max(0.0, job.since_s - job.created_s))
    return KeptStatistics(
        ends[COMPLETED], ends[FAILED], ends[DEAD], running.snapshot(), whole.snapshot()
    )


def queue_sizes(queue: FunctionQueue) -> QueueSizes:
    """The function in short, as it is now."""
    waiting = tuple(map(sum, zip(_queued(queue), queue.delayed, strict=True)))
    return QueueSizes(queue.name, waiting, queue.running, queue.workers)


def queue_flow(queue: FunctionQueue) -> QueueFlow:
    """What goes through the function."""
    counters = queue.counters
    ended = (
        counters.completed + counters.failed + counters.dead + counters.cancelled + counters.expired
    )
    return QueueFlow(queue.name, queue.total, counters.submitted, ended)


def engine_statistics(
    course: Course, dispatch: Dispatch, archive: Archive, stock: Stock, functions: int
) -> EngineStatistics:
    """The engine as it is now."""
    totals = course.totals
    return EngineStatistics(
        functions=functions,
        jobs=len(course.jobs),
        queued=len(course.jobs) - course.running - course.delayed,
        delayed=course.delayed,
        running=course.running,
        dead=archive.dead,
        kept=len(archive.jobs) - archive.dead,
        payload_bytes=stock.held_bytes,
        submitted=totals.submitted,
        coalesced=totals.coalesced,
        completed=totals.completed,
        failed=totals.failed,
        retried=totals.retried,
        lost=totals.lost,
        timed_out=totals.timed_out,
        gave_up=totals.gave_up,
        buried=totals.buried,
        revived=totals.revived,
        expired=totals.expired,
        cancelled=totals.cancelled,
        abandoned=totals.abandoned,
        stale=totals.stale,
        wakes=dispatch.wakes,
        passed_over=dispatch.passed_over,
    )


def _queued(queue: FunctionQueue) -> tuple[int, ...]:
    return tuple(
        parked + (0 if lane is None else lane.count)
        for lane, parked in zip(queue.lanes, queue.parked, strict=True)
    )


def _oldest_queued_s(queue: FunctionQueue) -> float | None:
    """Since when the one waits that waits for longest.

    Some at the front may be younger than those behind: they ran when a server went down.
    """
    heads = [job for lane in queue.lanes if lane is not None for job in islice(lane, _FIRST)]
    if any(queue.parked):
        heads += [job for line in queue.keys.values() for job in line.heads()]
    return min((job.since_s for job in heads), default=None)


def next_jobs(queue: FunctionQueue, count: int) -> list[Job]:
    """The queued jobs that come next, in order; those that wait for their key come last."""
    lanes = chain.from_iterable(lane for lane in queue.lanes if lane is not None)
    jobs = list(islice(lanes, count))
    if len(jobs) < count and any(queue.parked):
        lines = [line for line in queue.keys.values() if line.count]
        parked = heapq.merge(*lines, key=lambda job: (job.priority, job.place))
        jobs += islice(parked, count - len(jobs))
    return jobs
