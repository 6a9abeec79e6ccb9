"""The course of a job's life: due, assigned, lost, tried again, ended, one way or another."""

from collections.abc import Callable
from typing import Final, final

from gearpy.engine.archive import Archive
from gearpy.engine.dispatch import Dispatch
from gearpy.engine.job import (
    ASSIGN,
    BECOME_DUE,
    BURY,
    CANCEL,
    CANCELLED,
    COMPLETE,
    COMPLETED,
    DEAD,
    EXCEPTION,
    EXPIRE,
    EXPIRED,
    FAIL,
    FAILURE,
    NO_PROGRESS,
    QUEUED,
    REQUEUE,
    RETRY,
    RETRYING,
    REVIVE,
    RUNNING,
    SUCCESS,
    Job,
    Move,
    Outcome,
)
from gearpy.engine.life import Attempt, Life
from gearpy.engine.options import Options
from gearpy.engine.peers import Worker
from gearpy.engine.policy import Cause, Policy, Verdict, attempts_max, decide
from gearpy.engine.ports import Journal
from gearpy.engine.rules import Rules, may_retry
from gearpy.engine.statistics import Totals
from gearpy.engine.stock import Stock
from gearpy.engine.timers import Timers
from gearpy.engine.unfinished import Unfinished

_NO_POLICY: Final = Policy()
_LOST: Final = b"its worker went away"
_SERVER_DOWN: Final = b"the server went down"
_NOBODY_WAITS: Final = "nobody waits any more"

_REASONS: Final[dict[Verdict, str]] = {
    "final": "",
    "used up": "attempts used up",
    "poison": "took too many workers down",
}


@final
class Course:
    """Everything that happens to jobs after they were accepted, whoever makes it happen.

    Each step settles the job's own state, then the journal, and only then speaks to other people.
    """

    def __init__(
        self,
        rules: Rules,
        timers: Timers,
        journal: Journal,
        stock: Stock,
        dispatch: Dispatch,
        archive: Archive,
        draw: Callable[[], float],
        ended: Callable[[Job], None],
    ) -> None:
        self.jobs = Unfinished()
        self.totals = Totals()
        self.running = 0
        self.delayed = 0  # wait for their time, be it the first or not
        self.next_number = 1
        self._rules = rules
        self._timers = timers
        self._journal = journal
        self._stock = stock
        self._dispatch = dispatch
        self._archive = archive
        self._draw = draw
        self._ended = ended  # to be told of jobs that have a callback, or labels

    # ---- before it runs

    def plan(self, job: Job, options: Options | None, due_s: float) -> float:
        """Takes over what its client and its function's policy say; returns when it is due."""
        now_s = self._timers.now_s
        delay_s = None
        if options is not None:
            delay_s = options.delay_s
            if options.text:
                take_options(job, options)
        policy = job.policy
        if policy is None:
            return due_s if delay_s is None else max(due_s, now_s + delay_s)
        if delay_s is None and not due_s:
            delay_s = policy.delay_s
        if delay_s:
            due_s = max(due_s, now_s + delay_s)
        if policy.expires_s:
            self.expire_at(job, now_s + policy.expires_s)
        return due_s

    def expire_at(self, job: Job, expire_s: float) -> None:
        """The job must not be started after this."""
        life = life_of(job)
        life.expire_s = expire_s
        life.expiry = self._timers.set(expire_s, self._expire, job)

    def delay(self, job: Job, due_s: float) -> None:
        """The job waits for its time.  It is DELAYED or RETRYING by now."""
        job.due_s = due_s
        job.timer = self._timers.set(due_s, self.become_due, job)
        job.queue.delayed[job.priority] += 1
        self.delayed += 1
        if job.state is RETRYING:
            job.queue.retrying += 1

    def become_due(self, job: Job) -> None:
        """The time of a job has come, or an operator does not want to wait for it."""
        self._not_delayed(job)
        job.state = BECOME_DUE[job.state]
        job.due_s = 0.0
        self._requeued(job)

    def _not_delayed(self, job: Job) -> None:
        job.queue.delayed[job.priority] -= 1
        self.delayed -= 1
        if job.state is RETRYING:
            job.queue.retrying -= 1
        if job.timer is not None:
            self._timers.cancel(job.timer)
            job.timer = None

    def _requeued(self, job: Job) -> None:
        """A job goes (back) to the end of its lane: not where its number would put it."""
        life_of(job).place = self.next_number
        self.next_number += 1
        job.since_s = self._timers.now_s
        self._dispatch.enqueue(job)
        self._changed(job)
        self._dispatch.call(job.queue)

    def _changed(self, job: Job) -> int:
        return self._journal.changed(job) if job.ticket else 0

    # ---- while it runs

    def assign(self, job: Job, worker: Worker) -> None:
        """The worker has the job from now on.

        ``worker.ticket`` is what its assignment waits for: where attempts are limited, the journal
        must know of this one before it begins, or a crash would give the job one too many.
        """
        now_s = self._timers.now_s
        queue = job.queue
        counters = queue.counters
        counters.started += 1
        counters.waiting.add(now_s - job.since_s)
        job.state = ASSIGN[job.state]
        job.worker = worker
        job.attempts += 1
        job.since_s = now_s
        queue.running += 1
        self.running += 1
        timeout_s = self._dispatch.assigned(job, worker).timeout_s
        limited = self._rules.job_retries >= 0
        policy = job.policy
        if policy is not None:
            limited = attempts_max(policy, self._rules.job_retries) is not None
            if policy.timeout_s:
                timeout_s = min(timeout_s or policy.timeout_s, policy.timeout_s)
            life_of(job).log.append(Attempt(job.attempts, now_s, worker.port.name))
        if job.life is not None:
            job.life.started_s = now_s
            self._no_expiry(job.life)
        if timeout_s:
            job.timer = self._timers.set(now_s + timeout_s, self._time_out, job)
        ticket = self._changed(job)
        worker.jobs[job.handle] = job
        worker.ticket = ticket if limited else 0
        if worker.ticket:
            worker.tickets[job] = ticket

    def _has_left(self, job: Job) -> bool:
        """Whether the worker of a running job may have heard of it: its assignment is durable."""
        assert job.worker is not None, "a running job has a worker"
        return self._journal.is_durable(job.worker.tickets.get(job, 0))

    def _no_expiry(self, life: Life) -> None:
        if life.expiry is not None:
            self._timers.cancel(life.expiry)
            life.expiry = None

    def _release(self, job: Job, outcome: str, error: bytes) -> None:
        """A running job leaves its worker."""
        worker = job.worker
        assert worker is not None, "a running job has a worker"
        now_s = self._timers.now_s
        del worker.jobs[job.handle]
        if worker.tickets:
            worker.tickets.pop(job, None)
        job.worker = None
        queue = job.queue
        queue.running -= 1
        self.running -= 1
        queue.counters.running.add(now_s - job.since_s)
        if job.timer is not None:
            self._timers.cancel(job.timer)
            job.timer = None
        life = job.life
        if life is not None:
            life.end_attempt(now_s, outcome, error)
            self._archive.released(job, life)
        if queue.bound or life is not None:
            self._dispatch.released(job)

    def _time_out(self, job: Job) -> None:
        timer = job.timer
        assert timer is not None, "it rang"
        self._time_out_after((job, timer.due_s - job.since_s))

    def _time_out_after(self, late: tuple[Job, float]) -> None:
        job, timeout_s = late
        if not self._has_left(job):
            # The disk takes its time, which is not the worker's fault.
            due_s = self._timers.now_s + timeout_s
            job.timer = self._timers.set(due_s, self._time_out_after, late)
            return
        self.totals.timed_out += 1
        job.queue.counters.timed_out += 1
        self.lose(job, "timeout")

    def lose(self, job: Job, cause: Cause = "lost") -> None:
        """A running job lost its worker, or that took too long."""
        self.totals.lost += 1
        job.losses += 1
        if cause == "timeout":
            self.end_attempt(job, cause, b"timed out after %.3g s" % self._ran_s(job), told=False)
        else:
            if self._has_left(job):  # else it is not why its worker went away
                life_of(job).crashes += 1
            self.end_attempt(job, cause, _LOST, told=False)

    def failure(self, job: Job, cause: Cause, error: bytes) -> None:
        """Its worker says that a running job took too long, or took a process down with it."""
        self.totals.lost += 1
        if cause == "timeout":
            self.totals.timed_out += 1
            job.queue.counters.timed_out += 1
        else:
            life_of(job).crashes += 1
        self.end_attempt(job, cause, error)

    def _ran_s(self, job: Job) -> float:
        return self._timers.now_s - job.since_s

    def end_attempt(self, job: Job, cause: Cause, error: bytes, *, told: bool = True) -> None:
        """An attempt ended badly: the job is tried again, or that was its end.  ``told``: its
        worker says so."""
        policy = job.policy
        if cause != "lost" and job.life is not None:
            job.life.crashes = 0
        if not job.wanted:
            if not told:
                self.abandon(job)
                return
            follows: float | Verdict = "final"
        elif policy is not None:
            crashes = job.life.crashes if job.life is not None else 0
            follows = decide(
                policy,
                cause,
                job.attempts,
                job.losses,
                crashes,
                self._rules.job_retries,
                self._draw(),
                told=told,
            )
        elif not told and may_retry(job.losses, self._rules.job_retries):
            follows = 0.0
        else:
            follows = "final"
        if isinstance(follows, float):
            self._try_again(job, cause, error, follows)
        else:
            self._give_up(job, cause, error, follows, told)

    def _try_again(self, job: Job, cause: Cause, error: bytes, delay_s: float) -> None:
        queue, life = job.queue, life_of(job)
        life.fail(error)
        life.reason = cause
        self.totals.retried += 1
        queue.counters.retried += 1
        self._release(job, cause, error)
        job.progress = NO_PROGRESS
        life.drop_output()
        expired = 0.0 < life.expire_s <= self._timers.now_s
        if delay_s > 0.0 or expired:  # that one is not to be met in its queue
            job.state = RETRY[job.state]
            job.since_s = self._timers.now_s
            self.delay(job, job.since_s + delay_s)
            if job.ticket:
                self._stock.shed(job)
            self._changed(job)
            self._dispatch.call(queue)  # where few may run, another one can now
        else:
            job.state = REQUEUE[job.state]
            self._requeued(job)
        self._expiry(job)

    def _give_up(self, job: Job, cause: Cause, error: bytes, verdict: Verdict, told: bool) -> None:
        counters, totals = job.queue.counters, self.totals
        outcome = EXCEPTION if told and cause != "fail" else FAILURE
        reason = _REASONS[verdict]
        if verdict == "final":
            counters.failed += 1
            if not told:
                totals.gave_up += 1
                reason = "lost too often"
            else:
                totals.failed += 1
            move = FAIL
        else:
            counters.dead += 1
            totals.buried += 1
            move = BURY
        data = error if outcome is EXCEPTION else b""
        self.end(job, move, outcome, data, cause, reason or cause, error)

    def keep_output(self, job: Job, data: bytes) -> None:
        """The worker sent a part of the result."""
        policy = job.queue.policy
        if policy is not None and policy.keep_s:
            self._archive.keep_output(job, life_of(job), data)
        if job.life is not None:
            job.life.give(data)

    # ---- its end

    def complete(self, job: Job, result: bytes) -> None:
        """A running job is done."""
        self.totals.completed += 1
        job.queue.counters.completed += 1
        if job.life is not None:
            job.life.error = b""
        self.keep_output(job, result)
        self.end(job, COMPLETE, SUCCESS, result, COMPLETED)

    def cancel(self, job: Job) -> None:
        """Ends a job whatever it does; its worker and its clients hear of it."""
        self.totals.cancelled += 1
        job.queue.counters.cancelled += 1
        worker = job.worker
        self.end(job, CANCEL, FAILURE, b"", CANCELLED, "by request")
        if worker is not None:
            worker.port.job_cancelled(job)

    def abandon(self, job: Job) -> None:
        """Ends a job that nobody waits for any more."""
        self.totals.abandoned += 1
        job.queue.counters.cancelled += 1
        self.end(job, CANCEL, FAILURE, b"", CANCELLED, _NOBODY_WAITS)

    def is_over(self, job: Job) -> bool:
        """Whether the job's time to start is over, although its timer did not ring yet."""
        life = job.life
        return life is not None and 0.0 < life.expire_s <= self._timers.now_s

    def expire_taken(self, job: Job) -> None:
        """A job that was just taken out of its queue must not be started any more."""
        self._dispatch.put_back(job)
        if job.life is not None:
            self._no_expiry(job.life)
        self._expire(job)

    def _expire(self, job: Job) -> None:
        life = job.life
        assert life is not None, "it expires"
        life.expiry = None
        self.totals.expired += 1
        job.queue.counters.expired += 1
        self.end(job, EXPIRE, FAILURE, b"", EXPIRED, "not started in time")

    def end(
        self,
        job: Job,
        move: Move,
        outcome: Outcome,
        data: bytes,
        ending: str,
        reason: str = "",
        error: bytes = b"",
    ) -> None:
        """The end of an unfinished job in whatever state it is: takes it out of everything, has it
        kept or forgotten, and tells who waits."""
        queue = job.queue
        before = job.state
        if before is RUNNING:
            self._release(job, ending, error)
        job.state = move[before]
        if before is QUEUED:
            self._dispatch.remove(job)
        elif before is not RUNNING:
            job.queue.delayed[job.priority] -= 1
            self.delayed -= 1
            if before is RETRYING:
                queue.retrying -= 1
            if job.timer is not None:
                self._timers.cancel(job.timer)
                job.timer = None
        self._forget(job, reason, error)
        watchers = job.watchers
        if watchers:
            job.watchers = None
            for client, copies in watchers.items():
                del client.watching[job]
                client.port.job_ended(job, outcome, data, copies)
        life = job.life
        if queue.bound or life is not None:
            self._dispatch.call(queue)
        if life is not None and life.is_told:
            self._ended(job)

    def _forget(self, job: Job, reason: str, error: bytes) -> None:
        """An ended job leaves the unfinished ones: for the archive, or for good."""
        self.jobs.remove(job)
        queue = job.queue
        if job.unique:
            key = job.key
            if key is not None and queue.uniques.get(key) is job:
                del queue.uniques[key]
        life, policy = job.life, queue.policy
        if life is not None:
            self._no_expiry(life)
        kept = job.state is DEAD or (policy is not None and bool(policy.keep_s))
        if kept or (life is not None and life.is_told):
            self._note_end(job, reason, error)
        if kept:
            self._archive.add(job)
        elif job.ticket:
            self._stock.remove(job)
            self._journal.done(job)

    def _note_end(self, job: Job, reason: str, error: bytes) -> None:
        life = life_of(job)
        life.reason = reason
        if error:
            life.fail(error)
        job.since_s = self._timers.now_s

    def revive(self, job: Job) -> None:
        """A job that ended is to run once more, as if it had just been submitted.

        It must be in the archive, and no unfinished job may have its unique.
        """
        self._archive.take(job)
        lane = job.queue.lanes[job.priority]
        if lane is not None:
            lane.sweep()
        job.state = REVIVE[job.state]
        job.background = True
        job.attempts = job.losses = 0
        job.due_s = 0.0
        job.progress = NO_PROGRESS
        life = life_of(job)
        life.crashes = 0
        life.reason = "retried by request"
        if life.expire_s <= self._timers.now_s:
            life.expire_s = 0.0  # it was over: whoever has it run again does not mind
        life.drop_output()
        self._archive.write(job)
        self.jobs.add(job)
        key = job.key
        if key is not None:
            job.queue.uniques[key] = job
        self.totals.revived += 1
        self._requeued(job)
        self._expiry(job)

    # ---- from the journal

    def restored(self, job: Job) -> None:
        """A job that waits is there again.  Give them in the order of their places."""
        self._known(job)
        if job.state is QUEUED:
            self._dispatch.enqueue(job)
        else:
            self.delay(job, job.due_s)
        self._expiry(job)

    def interrupted(self, job: Job) -> None:
        """A job is there again that ran when the server went down: that attempt counts."""
        self._known(job)
        job.losses += 1
        life = job.life
        if life is not None:
            life.end_attempt(self._timers.now_s, "lost", _SERVER_DOWN)
            life.drop_output()
        # That the server went down is none of the causes that a policy knows: only the number of
        # attempts counts.
        allowed = allowed_attempts(job, self._rules.job_retries)
        if allowed is not None and job.attempts >= allowed:
            if job.policy is not None and job.policy.retries:
                self._end_interrupted(job, BURY, _REASONS["used up"])
            else:
                self._end_interrupted(job, FAIL, "lost too often")
            return
        job.state = REQUEUE[job.state]
        job.since_s = self._timers.now_s
        self._dispatch.enqueue(job)
        self._changed(job)
        self._expiry(job)

    def _end_interrupted(self, job: Job, move: Move, reason: str) -> None:
        if move is BURY:
            self.totals.buried += 1
            job.queue.counters.dead += 1
        else:
            self.totals.gave_up += 1
            job.queue.counters.failed += 1
        job.state = move[job.state]
        self._forget(job, reason, _SERVER_DOWN)
        if job.life is not None and job.life.is_told:
            self._ended(job)

    def _known(self, job: Job) -> None:
        self.jobs.add(job)
        key = job.key
        if key is not None:
            # Two with one unique: a person brought a row back.  The older one stands for it.
            job.queue.uniques.setdefault(key, job)

    def _expiry(self, job: Job) -> None:
        """The job waits again, but not for longer than it may."""
        life = job.life
        if life is None or not life.expire_s or life.expiry is not None:
            return
        if life.expire_s <= self._timers.now_s:
            self._expire(job)  # a timer would ring too late for who grabs in this very turn
        else:
            life.expiry = self._timers.set(life.expire_s, self._expire, job)

    def give_up_bare(self, job: Job) -> None:
        """The payload of a queued job is not on the disk where it should be: it can't be run."""
        self.totals.buried += 1
        job.queue.counters.dead += 1
        self.end(job, BURY, FAILURE, b"", "lost", "its payload is not in the journal any more")


def life_of(job: Job) -> Life:
    """What only some jobs have; from now on this one has it."""
    life = job.life
    if life is None:
        life = job.life = Life()
    return life


def take_options(job: Job, options: Options) -> None:
    """What its client asked for belongs to the job."""
    life = life_of(job)
    life.options = options.text
    life.policy = options.policy
    life.key = options.key
    life.labels = options.labels
    life.callback = options.callback


def allowed_attempts(job: Job, job_retries: int) -> int | None:
    """How many attempts the job may have; None: any number."""
    return attempts_max(job.policy or _NO_POLICY, job_retries)
