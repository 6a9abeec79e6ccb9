"""Jobs into records, and records back into an engine's jobs."""

import json
from collections.abc import Callable, Iterable
from typing import Final, final

from gearpy.engine.archive import Archive
from gearpy.engine.course import Course, life_of, take_options
from gearpy.engine.cron import Crontab
from gearpy.engine.job import COMPLETED, DEAD, DELAYED, FINISHED, QUEUED, RUNNING, Job
from gearpy.engine.life import read, written
from gearpy.engine.options import kept_options
from gearpy.engine.policy import Policy, policy_table, read_policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.records import Change, CronChange, FunctionChange, PolicyChange, Put, Record
from gearpy.engine.stock import Stock
from gearpy.errors import InvalidArgument, PeerError

RESTORED: Final = 1  # the ticket of what the journal had before: it is durable

_ENDED: Final = frozenset((*FINISHED, DEAD))


def put(job: Job) -> Put:
    """The record of a job as it was accepted."""
    payload = job.payload
    assert payload is not None, "it was not written yet, so it can't be on disk only"
    life = job.life
    if life is None:
        return Put(
            job.number,
            job.handle,
            job.queue.name,
            job.unique,
            payload,
            job.priority,
            job.created_s,
            job.due_s,
            0.0,
            b"",
            b"",
        )
    return Put(
        job.number,
        job.handle,
        job.queue.name,
        job.unique,
        payload,
        job.priority,
        job.created_s,
        job.due_s,
        life.expire_s,
        life.reducer,
        life.options,
    )


def change(job: Job) -> Change:
    """The record of what became of a job."""
    life = job.life
    number = job.number
    if life is None:
        return Change(
            number,
            job.state,
            number,
            job.attempts,
            job.losses,
            0,
            job.due_s,
            job.since_s,
            b"",
            b"",
            b"",
            b"",
        )
    return Change(
        number,
        job.state,
        life.place or number,
        job.attempts,
        job.losses,
        life.crashes,
        job.due_s,
        job.since_s,
        life.reason.encode(),
        life.error,
        written(life.log, life.text),
        b"".join(life.output) if job.state in _ENDED and not life.output_unwritten else b"",
    )


def policy_change(pattern: bytes, policy: Policy | None) -> PolicyChange:
    """The record of a policy that an operator set or took back."""
    text = b"" if policy is None else json.dumps(policy_table(policy)).encode()
    return PolicyChange(pattern, text)


@final
class Restorer:
    """Brings an engine that has just been made to where the journal left the one before.

    A job that ran when the server went down goes back to its place, which is in front of all that
    were not given out before; that attempt counts.
    """

    def __init__(
        self,
        queue: Callable[[bytes], FunctionQueue],
        course: Course,
        archive: Archive,
        stock: Stock,
        policies: PolicyBook,
        crontab: Crontab,
    ) -> None:
        self.refused: list[str] = []  # sentences about records that made no sense
        self.first_number = 1  # no job has this number or a higher one
        self._queue = queue
        self._course = course
        self._archive = archive
        self._stock = stock
        self._policies = policies
        self._crontab = crontab
        self._job: Job | None = None  # the one that was put last
        self._ended: list[Job] = []
        self._unfinished: list[Job] = []

    def restore(self, records: Iterable[Record]) -> None:
        """Takes everything that the journal has, in the order in which it gives it."""
        for record in records:
            if isinstance(record, Put):
                self._settle()
                self._put(record)
            elif isinstance(record, Change):
                self._change(record)
            elif isinstance(record, FunctionChange):
                queue = self._queue(record.function)
                queue.paused, queue.draining = record.paused, record.draining
            elif isinstance(record, PolicyChange):
                self._policy(record)
            elif isinstance(record, CronChange):
                self._schedule(record)
            else:
                self.first_number = max(self.first_number, record.number)
        self._settle()

    def place(self) -> None:
        """Puts every job where it belongs.  Each function must know its policy by now."""
        for job in sorted(self._ended, key=lambda job: job.since_s):
            self._archive.restored(job)
        for job in sorted(self._unfinished, key=lambda job: job.place):
            if job.state is RUNNING:
                self._course.interrupted(job)
            else:
                self._course.restored(job)

    def _put(self, record: Put) -> None:
        job = self._job = Job(
            record.handle,
            self._queue(record.function),
            record.unique,
            record.payload,
            record.priority,
            True,
            record.created_s,
        )
        job.ticket = RESTORED
        job.due_s = record.due_s
        self.first_number = max(self.first_number, record.number + 1)
        self._stock.restore(job)
        if record.reducer:
            life_of(job).reducer = record.reducer
        if record.expire_s:
            life_of(job).expire_s = record.expire_s
        if record.options:
            try:
                take_options(job, kept_options(record.options))
            except InvalidArgument as error:
                self.refused.append(f"the options of job {record.handle!r} can't be read: {error}")

    def _change(self, record: Change) -> None:
        job = self._job
        assert job is not None, "a store gives the Change right behind its Put"
        job.state = record.state
        job.attempts = record.attempts
        job.losses = record.losses
        job.due_s = record.due_s
        job.since_s = record.since_s
        place = record.place if record.place != record.number else 0
        self.first_number = max(self.first_number, place + 1)
        if not (place or record.crashes or record.reason or record.log or record.state in _ENDED):
            return
        life = life_of(job)
        if record.state not in _ENDED and life.expire_s <= record.since_s:
            life.expire_s = 0.0  # it was over before: somebody had the job run once more
        life.place = place
        life.crashes = record.crashes
        life.reason = record.reason.decode("utf-8", "replace")
        life.error = record.error
        if job.state in _ENDED and (record.result or job.state is COMPLETED):
            life.output, life.output_bytes = [record.result], len(record.result)
        read(life, record.log)

    def _settle(self) -> None:
        """The job that was put last is complete: it is known how far it had come."""
        job, self._job = self._job, None
        if job is None:
            return
        if job.state in _ENDED:
            self._ended.append(job)
        else:
            if job.state is QUEUED and job.due_s:
                job.state = DELAYED  # nothing became of it since it was put
            self._unfinished.append(job)

    def _policy(self, record: PolicyChange) -> None:
        try:
            self._policies.set(record.pattern, read_policy(json.loads(record.policy)))
        except (ValueError, RecursionError, InvalidArgument) as error:
            self.refused.append(f"the policy for {record.pattern!r} can't be read: {error}")

    def _schedule(self, record: CronChange) -> None:
        try:
            self._crontab.restored(record)
        except (ValueError, TypeError, KeyError, RecursionError, PeerError) as error:
            self.refused.append(f"the schedule {record.name!r} can't be read: {error}")
