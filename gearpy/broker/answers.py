"""What the engine has, as the tables of JSON that operators' requests are answered with.

What does not apply is absent.  Times are seconds since the epoch, ages seconds.  Nothing in here
grows with what strangers sent: payloads, results and errors are cut, and say so.
"""

import dataclasses
from typing import Final

from gearpy.broker.reports import WorkerStatistics
from gearpy.engine.callbacks import callback_table
from gearpy.engine.cron import ScheduleStatistics, schedule_table
from gearpy.engine.policy import Policy, policy_table
from gearpy.engine.statistics import (
    AttemptStatistics,
    CounterStatistics,
    JobStatistics,
    QueueStatistics,
)
from gearpy.protocol.codec import decoded
from gearpy.protocol.content import content

Table = dict[str, object]

BYTES_MAX: Final = 1 << 20  # of a payload or a result; of several, all together
ERROR_CHARACTERS_MAX: Final = 1_000  # in lists
_ERROR_CHARACTERS_MAX: Final = 20_000  # of a job that is looked at alone

_HISTOGRAMS: Final = ("waiting", "running")
_COUNTS: Final = tuple(
    item.name for item in dataclasses.fields(CounterStatistics) if item.name not in _HISTOGRAMS
)


def job_table(job: JobStatistics, error_max: int = ERROR_CHARACTERS_MAX) -> Table:
    """A job as lists show it."""
    table: Table = {
        "handle": decoded(job.handle),
        "function": decoded(job.function),
        "unique": decoded(job.unique),
        "state": job.state,
        "priority": job.priority.name.lower(),
        "background": job.background,
        "waiting": job.waiting,
        "attempts": job.attempts,
        "attempts_max": job.attempts_max,
        "created_s": job.created_s,
        "since_s": job.since_s,
    }
    if job.denominator or job.numerator:
        table |= {"numerator": job.numerator, "denominator": job.denominator}
    sometimes: Table = {
        "losses": job.losses,
        "due_s": job.due_s if job.state in ("delayed", "retrying") else 0.0,
        "expire_s": job.expire_s,
        "text": job.text,
        "worker": job.worker,
        "key": decoded(job.key),
        "labels": dict(job.labels),
        "callback": callback_table(job.callback) if job.callback is not None else None,
        "reason": job.reason,
        "error": _cut(decoded(job.error), error_max),
    }
    table |= {name: value for name, value in sometimes.items() if value}
    if job.payload is not None:
        table["payload_bytes"] = len(job.payload)
    return table


def whole_job_table(job: JobStatistics, payloads: bool = True) -> Table:
    """A job with its attempts and, if they are asked for, its payload and its result."""
    table = job_table(job, _ERROR_CHARACTERS_MAX)
    if payloads:
        table |= payload_table(job, BYTES_MAX)
    if job.result is not None:
        table["result_bytes"] = len(job.result)
        if payloads:
            table |= content("result", job.result, BYTES_MAX)
    table["log"] = [_attempt_table(attempt) for attempt in job.log]
    return table


def payload_table(job: JobStatistics, bytes_max: int) -> Table:
    """A job's payload, as far as there is room for it."""
    if job.payload is None:
        return {"payload_on_disk": True}
    return content("payload", job.payload, bytes_max)


def _attempt_table(attempt: AttemptStatistics) -> Table:
    return {
        "attempt": attempt.number,
        "started_s": attempt.started_s,
        "ended_s": attempt.ended_s or None,
        "worker": attempt.worker,
        "outcome": attempt.outcome,
        "error": _cut(decoded(attempt.error), ERROR_CHARACTERS_MAX),
        "cpu_s": attempt.usage.cpu_s,
        "memory_bytes": attempt.usage.memory_bytes,
    }


def function_table(function: QueueStatistics, now_s: float) -> Table:
    """A function with its jobs; each of them counts in one state."""
    return {
        "function": decoded(function.function),
        "queued": sum(function.queued),
        "delayed": sum(function.delayed) - function.retrying,
        "running": function.running,
        "retrying": function.retrying,
        "dead": function.dead,
        "kept": function.kept,
        "workers": function.workers,
        "paused": function.paused,
        "draining": function.draining,
        "oldest_queued_s": _age_s(function.oldest_queued_s, now_s),
        "oldest_dead_s": _age_s(function.oldest_dead_s, now_s),
        "counts": {name: getattr(function.counters, name) for name in _COUNTS},
        "policy": policy_or_none(function.policy),
    }


def worker_table(worker: WorkerStatistics, now_s: float) -> Table:
    """A worker's connection: what the server knows of it, and what it said of itself."""
    state = worker.state
    return {
        "connection": worker.connection,
        "address": worker.address,
        "peer": worker.peer,
        "client_id": decoded(worker.client_id),
        "worker": worker.name,
        "functions": list(map(decoded, worker.functions)),
        "running": [
            {"handle": decoded(handle), "function": decoded(function), "since_s": since_s}
            for handle, function, since_s in worker.running
        ],
        "state": None if state is None else state.told,
        "state_age_s": None if state is None else _age_s(state.came_s, now_s),
        "missed": state is not None and state.missed(now_s),
    }


def schedule_statistics_table(found: ScheduleStatistics) -> Table:
    """A schedule, how far it has come, and what comes next."""
    return {
        "name": found.name,
        "origin": found.origin,
        "schedule": schedule_table(found.schedule),
        "paused": found.paused,
        "last_s": found.last_s,
        "handle": decoded(found.handle),
        "error": found.error,
        "next_s": list(found.next_s),
    }


def policy_or_none(policy: Policy | None) -> Table | None:
    """A policy's table, if there is one."""
    return None if policy is None else policy_table(policy)


def _age_s(since_s: float | None, now_s: float) -> float | None:
    return None if since_s is None else max(now_s - since_s, 0.0)


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[:characters_max] + " ... (cut)"
