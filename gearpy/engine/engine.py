"""The verbs.

Each verb settles the engine's own state, then the journal, and only then speaks to other people.
Time is given by ``advance``, never taken; chance by ``draw``.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Reversible, Sequence
from itertools import chain
from typing import Final, final

from gearpy.engine.archive import Archive
from gearpy.engine.callbacks import Callback, Caller, Ending, Following, NoCaller
from gearpy.engine.course import Course, allowed_attempts, life_of
from gearpy.engine.cron import Crontab, NoTicks, Schedule, Ticks
from gearpy.engine.dispatch import Dispatch
from gearpy.engine.followups import Followups
from gearpy.engine.functions import Functions
from gearpy.engine.job import (
    DATA,
    DELAYED,
    PROGRESS,
    RETRYING,
    STATUS,
    Job,
    Key,
    Report,
    coalescing_key,
)
from gearpy.engine.ledger import Restorer
from gearpy.engine.options import Options, read_options
from gearpy.engine.peers import Client, Worker
from gearpy.engine.policy import Cause
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.ports import Journal, NoJournal, Observer
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.records import Mark, Record
from gearpy.engine.rules import Rules, check_function, check_unique
from gearpy.engine.selection import JobOrder, Matcher, Selected, Selection, select
from gearpy.engine.snapshots import (
    engine_statistics,
    job_statistics,
    next_jobs,
)
from gearpy.engine.statistics import (
    EngineStatistics,
    JobStatistics,
    Usage,
)
from gearpy.engine.stock import Stock
from gearpy.engine.timers import Timers
from gearpy.errors import (
    InvalidArgument,
    JournalFull,
    QueueFull,
    ShuttingDown,
    TooManyFunctions,
)
from gearpy.priority import Priority

_NUMBERS_AHEAD: Final = 1_000_000  # that the journal's mark is ahead of what is in use


@final
class Engine:
    """All jobs of a server, and who works on them or waits for them.

    ``first_number`` is the number of the first handle: whoever starts an engine picks one that no
    earlier engine has reached.  ``draw`` gives numbers from 0 to 1 by chance, for jitter.  Payloads
    of journalled jobs beyond ``budget_bytes`` are left to the journal.  ``ticks`` reads cron
    expressions; ``schedules`` are those of the settings.  ``caller`` knows how URLs are told of
    the ends of jobs.  ``observer`` hears of the ends of jobs that have labels.

    What is decided about functions and schedules are verbs of ``functions`` and ``crontab``.

    After each call of ``advance`` it must be called again at the time that it returns, or earlier.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        journal: Journal | None = None,
        now_s: float = 0.0,
        first_number: int = 1,
        policies: PolicyBook | None = None,
        draw: Callable[[], float] = lambda: 0.5,
        budget_bytes: float = math.inf,
        ticks: Ticks | None = None,
        schedules: Mapping[str, Schedule] | None = None,
        caller: Caller | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self.now_s = now_s
        self.draining = False  # takes no new jobs and hands none out
        self._journal: Journal = journal or NoJournal()
        self._timers = Timers(now_s)
        self._stock = Stock(self._journal, budget_bytes)
        self._dispatch = Dispatch(self.rules, self._timers, self._stock)
        self._archive = Archive(self._timers, self._journal, self._stock)
        self._course = Course(
            self.rules,
            self._timers,
            self._journal,
            self._stock,
            self._dispatch,
            self._archive,
            draw,
            self._ended,
        )
        self._course.next_number = first_number
        self.crontab = Crontab(
            self._timers,
            self._journal,
            ticks or NoTicks(),
            self._submit_scheduled,
            self._is_unfinished,
            self._check_schedule,
            schedules or {},
        )
        self._observer = observer
        self._restoring = False
        self._mark = 0  # what the journal knows to be higher than all numbers
        self._jobs = self._course.jobs
        self._totals = self._course.totals
        self.functions = Functions(
            self.rules, policies or PolicyBook(), self._journal, self._dispatch, self._archive
        )
        self._queues = self.functions.queues
        self._followups = Followups(
            self._timers, self.functions, caller or NoCaller(), self._handle, self._follow
        )

    # ---- time

    def advance(self, now_s: float) -> float:
        """Time has passed: does what is due, returns when to call again (infinity: no need)."""
        assert now_s >= self.now_s, "time goes forward"
        self.now_s = now_s
        return self._timers.ring_due(now_s)

    def next_due_s(self) -> float:
        """When to call ``advance`` at the latest, as things stand now; infinity: no need."""
        return self._timers.next_due_s()

    @property
    def journal_full(self) -> bool:
        """Whether the disk is nearly full: takes no new jobs that would have to be journalled, and
        writes nothing else that can be done without."""
        return self._archive.journal_full

    @journal_full.setter
    def journal_full(self, full: bool) -> None:
        self._archive.journal_full = full

    @property
    def running(self) -> int:
        """How many jobs workers hold."""
        return self._course.running

    @property
    def next_number(self) -> int:
        """The number of the next handle."""
        return self._course.next_number

    def drain(self) -> None:
        """From now on takes no new jobs and hands none out; what runs may finish."""
        self.draining = True
        self._dispatch.draining = True
        self._followups.at_once = True  # there may be no later
        self._followups.pay()

    # ---- clients

    def submit(
        self,
        client: Client | None,
        function: bytes,
        unique: bytes,
        payload: bytes,
        priority: Priority = Priority.NORMAL,
        due_s: float = 0.0,
        reducer: bytes = b"",
        options: Options | None = None,
    ) -> Job:
        """Takes a job, or joins the unfinished one with the same function and unique.

        ``client`` waits for its end; None submits in the background.  When a job is joined, what
        the newcomer has else doesn't count, nor does the queue's limit; but another callback than
        the job has is refused, for it would never be called.

        Raises ArgumentTooLarge, InvalidArgument, QueueFull, FunctionDraining, JournalFull,
        TooManyFunctions or ShuttingDown.
        """
        if self.draining:
            raise ShuttingDown
        if unique:
            check_unique(unique)
        if reducer:
            check_function(reducer)
        callback = None if options is None else options.callback
        # What follows it is journalled, also if it is not.
        follows_bytes = self._followups.promise(callback) if callback is not None else 0
        queue = self._queues.get(function) or self.functions.queue(function)
        key = coalescing_key(unique, payload) if unique else None
        if key is not None:
            job = queue.uniques.get(key)
            if job is not None:
                if callback is not None:
                    _check_same(callback, job)
                return self._join(job, client)
        if not queue.admits:
            queue.check_admission(priority)
        if (client is None or callback is not None) and (
            self.journal_full or len(payload) + follows_bytes > self._journal.room_bytes
        ):
            raise JournalFull
        return self._accept(queue, client, unique, key, payload, priority, due_s, reducer, options)

    def _accept(
        self,
        queue: FunctionQueue,
        client: Client | None,
        unique: bytes,
        key: Key | None,
        payload: bytes,
        priority: Priority,
        due_s: float,
        reducer: bytes,
        options: Options | None,
    ) -> Job:
        """Takes a new job, whatever limits say."""
        course = self._course
        number = course.next_number
        course.next_number = number + 1
        if number >= self._mark:
            self._reserve()
        handle = b"%b:%d" % (self.rules.handle_prefix, number)
        job = Job(handle, queue, unique, payload, priority, client is None, self.now_s)
        self._jobs.add(job)
        self._totals.submitted += 1
        queue.counters.submitted += 1
        if key is not None:
            queue.uniques[key] = job
        if reducer:
            life_of(job).reducer = reducer
        if options is not None or queue.policy is not None:
            due_s = course.plan(job, options, due_s)
        lane = None
        if due_s > self.now_s:
            job.state = DELAYED
            course.delay(job, due_s)
        else:
            self._dispatch.enqueue(job)
            lane = queue.lanes[priority]
        if client is None:
            job.ticket = self._journal.put(job)
            if job.ticket:
                self._stock.add(job, lane)
        else:
            job.watchers = {client: 1}
            client.watching[job] = None
        if queue.idle:
            self._dispatch.call(queue)
        return job

    def _submit_scheduled(self, schedule: Schedule) -> bytes:
        options = read_options(schedule.options)
        job = self.submit(
            None,
            schedule.function,
            schedule.unique,
            schedule.payload,
            options.priority,
            0.0,
            b"",
            options,
        )
        return job.handle

    def _check_schedule(self, schedule: Schedule) -> None:
        """Raises InvalidArgument if its jobs would be refused whenever it fires."""
        callback = read_options(schedule.options).callback
        if callback is not None:
            self._followups.function(callback)

    def _ended(self, job: Job) -> None:
        """A job with a callback or labels has ended."""
        life = job.life
        assert life is not None, "they are a part of it"
        told = self.describe(job)
        if life.callback is not None:
            journalled = bool(job.ticket) and not self._restoring
            self._followups.ended(Ending(life.callback, told, life.given), journalled)
        if life.labels and self._observer is not None:
            self._observer.ended(told)

    def _follow(self, following: Following) -> None:
        queue = self.functions.promised_queue(following.function)
        payload, options = following.payload, following.options
        self._accept(queue, None, b"", None, payload, Priority.NORMAL, 0.0, b"", options)

    def _handle(self) -> bytes:
        """The one of the next job."""
        return b"%b:%d" % (self.rules.handle_prefix, self._course.next_number)

    def _is_unfinished(self, handle: bytes) -> bool:
        return self._jobs.get(handle) is not None

    def _join(self, job: Job, client: Client | None) -> Job:
        if client is None:
            if not job.background:
                if self.journal_full or len(job.payload or b"") > self._journal.room_bytes:
                    raise JournalFull
                job.background = True
                job.ticket = self._journal.put(job)
                if job.ticket:
                    self._stock.count(job)
                    if job.attempts or job.life is not None:
                        self._journal.changed(job)
            self._totals.coalesced += 1
            return job
        if job.watchers is None:
            job.watchers = {}
        copies = job.watchers.get(client, 0) + 1
        if copies > self.rules.copies_max:
            raise QueueFull(
                f"this connection waits for this job {self.rules.copies_max:,} times already"
            )
        self._totals.coalesced += 1
        job.watchers[client] = copies
        client.watching[job] = None
        return job

    def _reserve(self) -> None:
        """Tells the journal which numbers are in use, or may be soon."""
        self._mark = self._course.next_number + _NUMBERS_AHEAD
        self._journal.note(Mark(self._mark))

    def status(self, handle: bytes) -> JobStatistics | None:
        """The unfinished job with this handle, or None."""
        job = self._jobs.get(handle)
        return None if job is None else self.describe(job)

    def status_by_unique(self, unique: bytes) -> JobStatistics | None:
        """The unfinished job with this unique, of whichever function has one."""
        for queue in self._queues.values():
            job = queue.uniques.get(unique)
            if job is not None:
                return self.describe(job)
        return None

    def leave(self, client: Client) -> None:
        """The client went away.

        What only it waited for, and what no worker holds yet, is dropped.  A running job goes on;
        it is dropped if its worker is lost while still nobody waits for it.
        """
        watching, client.watching = client.watching, {}
        for job in watching:
            assert job.watchers is not None, "who watches is watched"
            del job.watchers[client]
            if not job.wanted and job.worker is None:
                self._course.abandon(job)

    # ---- workers

    def can_do(self, worker: Worker, function: bytes, timeout_s: float = 0.0) -> None:
        """The worker can do a function; said again, the last timeout counts.

        Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions.
        """
        queue = self._queues.get(function) or self.functions.queue(function)
        ability = worker.abilities.get(queue)
        if ability is not None:
            ability.timeout_s = timeout_s
            return
        if len(worker.abilities) >= self.rules.worker_functions_max:
            raise TooManyFunctions(
                f"a connection can do at most {self.rules.worker_functions_max:,} functions"
            )
        self._dispatch.able(worker, queue, timeout_s)

    def cannot_do(self, worker: Worker, function: bytes) -> None:
        """The worker can't do it any more.  Jobs that it holds stay its own."""
        queue = self._queues.get(function)
        if queue is not None and queue in worker.abilities:
            self._dispatch.unable(worker, queue)

    def reset_abilities(self, worker: Worker) -> None:
        """The worker can do nothing any more.  Jobs that it holds stay its own."""
        for queue in list(worker.abilities):
            self._dispatch.unable(worker, queue)

    def grab(self, worker: Worker) -> Job | None:
        """Gives the worker its next job, or None.

        ``worker.ticket`` says what has to be durable before it may hear of it.
        """
        worker.asleep = False
        called_for = worker.called_for
        if called_for is not None:
            self._dispatch.arrived(worker)
        job = self._dispatch.take(worker)
        while job is not None and self._course.is_over(job):
            self._course.expire_taken(job)
            job = self._dispatch.take(worker)
        if job is not None:
            self._course.assign(job, worker)
        if called_for is not None:
            self._dispatch.call(called_for)
        return job

    def sleep(self, worker: Worker) -> None:
        """The worker waits to be woken; that is at once if there is a job that nobody comes for."""
        self._dispatch.sleep(worker)

    def report(self, worker: Worker | None, handle: bytes, report: Report, data: bytes) -> bool:
        """Something on the way, for whoever waits.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        if report is DATA and (job.queue.policy is not None or job.life is not None):
            self._course.keep_output(job, data)
        _tell(job, report, data)
        return True

    def progress(
        self,
        worker: Worker | None,
        handle: bytes,
        numerator: int,
        denominator: int,
        as_sent: bytes,
        text: bytes = b"",
    ) -> bool:
        """How far the job is, in numbers and perhaps in words; clients get the numbers ``as_sent``.
        False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        job.progress = numerator, denominator
        if text:
            life_of(job).text = text.decode("utf-8", "surrogateescape")
            _tell(job, PROGRESS, as_sent + b"\0" + text)
        else:
            _tell(job, STATUS, as_sent)
        return True

    def usage(self, worker: Worker | None, handle: bytes, usage: Usage) -> bool:
        """What the attempt has cost.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        if job.life is not None:
            job.life.use(usage)
        return True

    def complete(self, worker: Worker | None, handle: bytes, result: bytes) -> bool:
        """The job is done.  False: it is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._course.complete(job, result)
        return True

    def fail(self, worker: Worker | None, handle: bytes) -> bool:
        """The attempt failed.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._course.end_attempt(job, "fail", b"")
        return True

    def exception(self, worker: Worker | None, handle: bytes, exception: bytes) -> bool:
        """The attempt failed, and the worker says why.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._course.end_attempt(job, "exception", exception)
        return True

    def failure(self, worker: Worker | None, handle: bytes, cause: Cause, error: bytes) -> bool:
        """The attempt ended in a way that the worker saw for itself: it took too long and was
        stopped, or its process is gone.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._course.failure(job, cause, error)
        return True

    def lose(self, worker: Worker) -> None:
        """The worker went away: what it held goes back to its queues, or ends."""
        self.reset_abilities(worker)
        for job in list(worker.jobs.values()):
            self._course.lose(job)

    def _held(self, worker: Worker | None, handle: bytes) -> Job | None:
        """The job if the worker holds it; a late or foreign report is counted."""
        job = None if worker is None else worker.jobs.get(handle)
        if job is None:
            self._totals.stale += 1
        return job

    # ---- operators: one job

    def cancel(self, handle: bytes) -> bool:
        """Ends an unfinished job; its clients hear that it failed.  False: there is none."""
        job = self._jobs.get(handle)
        if job is None:
            return False
        self._course.cancel(job)
        return True

    def retry(self, handle: bytes) -> bool:
        """Runs a job now that ended or that waits for its time.  False: there is no such job.

        Raises InvalidArgument if it is queued or running, or completed, or if another unfinished
        job has its unique.
        """
        job = self._jobs.get(handle)
        if job is not None:
            if job.state not in (DELAYED, RETRYING):
                raise InvalidArgument(f"the job is {job.state}: there is nothing to retry")
            self._course.become_due(job)
            return True
        job = self._archive.jobs.get(handle)
        if job is None:
            return False
        if job.state == "completed":
            raise InvalidArgument("the job is completed: submit it again to have it done again")
        if job.unique and job.key in job.queue.uniques:
            raise InvalidArgument("an unfinished job has the same unique: it stands for this one")
        self._course.revive(job)
        return True

    def purge(self, handle: bytes) -> bool:
        """Forgets a dead letter, or a finished job that is kept.  False: there is none."""
        job = self._archive.jobs.get(handle)
        if job is None:
            return False
        self._archive.forget(job)
        return True

    def find(self, handle: bytes) -> Job | None:
        """The job with this handle, unfinished, dead or kept."""
        return self._jobs.get(handle) or self._archive.jobs.get(handle)

    def attempts_max(self, job: Job) -> int | None:
        """How many attempts the job may have; None: any number."""
        return allowed_attempts(job, self.rules.job_retries)

    def describe(self, job: Job) -> JobStatistics:
        """A job as it is now."""
        return job_statistics(job, self.rules.job_retries)

    # ---- operators: many jobs

    def select(
        self, selection: Selection, offset: int = 0, count: int = 1000, order: JobOrder = "oldest"
    ) -> Selected:
        """At most ``count`` of the jobs that are meant: the unfinished ones oldest first (but
        for those that were revived), then those that ended in the order of their ends.  With the
        order "newest" each of the two is the other way round.

        It looks at a bounded number of them; go on at ``next_offset``, less the number of those
        that were forgotten, or changed sides, in between.  Where the newest come first, those that
        came in between have moved the others on.
        """
        unfinished: Reversible[Job] = self._jobs if selection.unfinished else ()
        ended: Reversible[Job] = self._archive.jobs.values() if selection.ended else ()
        jobs = (
            chain(unfinished, ended)
            if order == "oldest"
            else chain(reversed(unfinished), reversed(ended))
        )
        return select(jobs, Matcher(selection, self.now_s), offset, count)

    def peek(self, function: bytes, count: int) -> list[Job]:
        """The jobs of a function that would be given out next, in order."""
        queue = self._queues.get(function)
        return [] if queue is None else next_jobs(queue, count)

    def jobs(self) -> Iterator[JobStatistics]:
        """Every unfinished job, oldest first, but for those that were revived."""
        return map(self.describe, self._jobs)

    # ---- operators: everything

    def statistics(self) -> EngineStatistics:
        """Counters and sizes."""
        return engine_statistics(
            self._course, self._dispatch, self._archive, self._stock, len(self.functions)
        )

    # ---- the journal

    def restore(self, records: Iterable[Record]) -> list[str]:
        """Takes over what the journal has; to be called once, before anything else.

        Returns sentences about records that made no sense.
        """
        restorer = Restorer(
            self.functions.restored_queue,
            self._course,
            self._archive,
            self._stock,
            self.functions.policies,
            self.crontab,
        )
        restorer.restore(records)
        self._course.next_number = max(self._course.next_number, restorer.first_number)
        self.functions.restored()
        self._restoring = True
        restorer.place()
        self._restoring = False
        self._followups.pay()  # behind all that were there before
        self.crontab.settle()
        self._reserve()
        return restorer.refused

    def restock(self, numbers: Sequence[int], payloads: Mapping[int, bytes]) -> None:
        """The journal was asked for the payloads of these jobs, and has read some of them, or as
        many as it may at a time."""
        queues, missing = self._stock.arrived(numbers, payloads)
        for job in missing:
            self._course.give_up_bare(job)
        for queue in queues:
            queue.dry = False
            self._dispatch.refit(queue)
            self._dispatch.call(queue)


def _check_same(callback: Callback, job: Job) -> None:
    if job.life is None or job.life.callback != callback:
        raise InvalidArgument(
            "an unfinished job has the same unique and another callback, or none: this one would"
            " never be called"
        )


def _tell(job: Job, report: Report, data: bytes) -> None:
    if job.watchers:
        for client, copies in job.watchers.items():
            client.port.job_reported(job, report, data, copies)
