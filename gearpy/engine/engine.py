"""The verbs.

Each verb settles the engine's own state, then the journal, and only then speaks to other people.
Time is given by ``advance``, never taken.
"""

from collections.abc import Iterator
from typing import Final, Literal, final

from gearpy.engine.job import (
    ABANDON,
    ASSIGN,
    BECOME_DUE,
    CANCEL,
    COMPLETED,
    DELAYED,
    END,
    EXCEPTION,
    FAILED,
    QUEUED,
    REQUEUE,
    RUNNING,
    STATUS,
    Job,
    Move,
    Outcome,
    Report,
    coalescing_key,
)
from gearpy.engine.peers import Ability, Client, Worker
from gearpy.engine.policy import Rules, check_function, check_unique, may_retry
from gearpy.engine.ports import Journal, NoJournal
from gearpy.engine.queue import UNLIMITED, FunctionQueue, Maxqueue
from gearpy.engine.records import DONE, PUT
from gearpy.engine.statistics import EngineStatistics, JobStatistics, QueueStatistics
from gearpy.engine.timers import Timers
from gearpy.errors import QueueFull, ShuttingDown, TooManyFunctions
from gearpy.priority import Priority

Drop = Literal["dropped", "unknown", "in use", "queued"]

PRIORITIES: Final = tuple(Priority)


@final
class Engine:
    """All jobs of a server, and who works on them or waits for them.

    ``first_number`` is the number of the first handle: whoever starts an engine picks one that no
    earlier engine has reached.  After each call of ``advance`` it must be called again at the time
    that it returns, or earlier.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        journal: Journal | None = None,
        now_s: float = 0.0,
        first_number: int = 1,
    ) -> None:
        self.rules = rules or Rules()
        self.now_s = now_s
        self.draining = False  # takes no new jobs and hands none out
        self._journal: Journal = journal or NoJournal()
        self._next_number = first_number
        self._jobs: dict[bytes, Job] = {}
        self._functions: dict[bytes, FunctionQueue] = {}
        self._maxqueues: dict[bytes, Maxqueue] = {}  # limits that wait for their function
        # The functions with queued jobs, for each priority: what a worker can be given is in here.
        self._ready: tuple[dict[FunctionQueue, None], ...] = tuple({} for _ in PRIORITIES)
        self._timers = Timers()
        self._running = 0
        self._delayed = 0
        self._submitted = 0
        self._coalesced = 0
        self._completed = 0
        self._failed = 0
        self._lost = 0
        self._timed_out = 0
        self._gave_up = 0
        self._cancelled = 0
        self._abandoned = 0
        self._stale = 0
        self._wakes = 0
        self._passed_over = 0

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
    def running(self) -> int:
        """How many jobs workers hold."""
        return self._running

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
    ) -> Job:
        """Takes a job, or joins the unfinished one with the same function and unique.

        ``client`` waits for its end; None submits in the background.  When a job is joined,
        payload, priority and due time of the newcomer don't count, nor does the queue's limit.

        Raises ArgumentTooLarge, InvalidArgument, QueueFull, TooManyFunctions or ShuttingDown.
        """
        if self.draining:
            raise ShuttingDown
        if unique:
            check_unique(unique)
        if reducer:
            check_function(reducer)
        queue = self._functions.get(function) or self._new_function(function)
        key = coalescing_key(unique, payload) if unique else None
        if key is not None:
            job = queue.uniques.get(key)
            if job is not None:
                return self._join(job, client)
        if queue.maxqueue is not UNLIMITED and 0 < queue.maxqueue[priority] <= queue.total:
            raise QueueFull

        handle = b"%b:%d" % (self.rules.handle_prefix, self._next_number)
        self._next_number += 1
        self._submitted += 1
        job = self._jobs[handle] = Job(handle, queue, unique, payload, priority, client is None)
        if key is not None:
            queue.uniques[key] = job
        if reducer:
            job.reducer = reducer
        if due_s > self.now_s:
            job.due_s = due_s
            job.state = DELAYED
            job.timer = self._timers.set(due_s, self._become_due, job)
            queue.delayed[priority] += 1
            self._delayed += 1
        else:
            self._enqueue(job)
        if client is None:
            job.ticket = self._journal.write(PUT, job)
        else:
            job.watchers = {client: 1}
            client.watching[job] = None
        if queue.idle:
            self._call(queue)
        return job

    def status(self, handle: bytes) -> JobStatistics | None:
        """The job with this handle, or None: it is unknown, or finished and forgotten."""
        job = self._jobs.get(handle)
        return None if job is None else _job_statistics(job)

    def status_by_unique(self, unique: bytes) -> JobStatistics | None:
        """The unfinished job with this unique, of whichever function has one."""
        for queue in self._functions.values():
            job = queue.uniques.get(unique)
            if job is not None:
                return _job_statistics(job)
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
            if not job.wanted and job.state is not RUNNING:
                self._abandoned += 1
                self._remove(job, ABANDON)

    # ---- workers

    def can_do(self, worker: Worker, function: bytes, timeout_s: float = 0.0) -> None:
        """The worker can do a function; said again, the last timeout counts.

        Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions.
        """
        queue = self._functions.get(function) or self._new_function(function)
        ability = worker.abilities.get(queue)
        if ability is not None:
            ability.timeout_s = timeout_s
            return
        if len(worker.abilities) >= self.rules.worker_functions_max:
            raise TooManyFunctions(
                f"a connection can do at most {self.rules.worker_functions_max:,} functions"
            )
        worker.first_turn -= 1
        worker.abilities[queue] = Ability(timeout_s, worker.first_turn)
        worker.abilities.move_to_end(queue, last=False)
        queue.workers += 1
        if worker.asleep:
            queue.idle[worker] = None
            self._call(queue)
        else:
            worker.absent[queue] = None

    def cannot_do(self, worker: Worker, function: bytes) -> None:
        """The worker can't do it any more.  Jobs that it holds stay its own."""
        queue = self._functions.get(function)
        if queue is not None and queue in worker.abilities:
            self._unable(worker, queue)

    def reset_abilities(self, worker: Worker) -> None:
        """The worker can do nothing any more.  Jobs that it holds stay its own."""
        for queue in list(worker.abilities):
            self._unable(worker, queue)

    def grab(self, worker: Worker) -> Job | None:
        """Gives the worker its next job, or None.

        High before normal before low over all that it can do; among functions in turn; inside a
        function in order of arrival.
        """
        worker.asleep = False
        called_for = worker.called_for
        if called_for is not None:
            self._arrived(worker)
        job = None if self.draining else self._next_job(worker)
        if job is not None:
            self._assign(job, worker)
        if called_for is not None:
            self._call(called_for)
        return job

    def sleep(self, worker: Worker) -> None:
        """The worker waits to be woken; that is at once if there is a job that nobody comes for."""
        called_for = worker.called_for
        if called_for is not None:
            self._arrived(worker)
        worker.asleep = True
        for queue in worker.absent:
            queue.idle[worker] = None
        worker.absent.clear()
        uncalled = None if self.draining else self._next_queue(worker, uncalled=True)
        if uncalled is not None:
            self._wake(worker, uncalled[0])
        if called_for is not None:
            # It was to fetch a job of this function, and now may come for another's.
            self._call(called_for)

    def report(self, worker: Worker | None, handle: bytes, report: Report, data: bytes) -> bool:
        """Something on the way, for whoever waits.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._tell(job, report, data)
        return True

    def progress(
        self,
        worker: Worker | None,
        handle: bytes,
        numerator: int,
        denominator: int,
        as_sent: bytes,
    ) -> bool:
        """How far the job is; clients get it ``as_sent``.  False: the job is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        job.numerator = numerator
        job.denominator = denominator
        self._tell(job, STATUS, as_sent)
        return True

    def complete(self, worker: Worker | None, handle: bytes, result: bytes) -> bool:
        """The job is done.  False: it is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._completed += 1
        self._end(job, END, COMPLETED, result)
        return True

    def fail(self, worker: Worker | None, handle: bytes) -> bool:
        """The job failed for good.  False: it is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._failed += 1
        self._end(job, END, FAILED, b"")
        return True

    def exception(self, worker: Worker | None, handle: bytes, exception: bytes) -> bool:
        """The job failed for good, and says why.  False: it is not this worker's."""
        job = self._held(worker, handle)
        if job is None:
            return False
        self._failed += 1
        self._end(job, END, EXCEPTION, exception)
        return True

    def lose(self, worker: Worker) -> None:
        """The worker went away: what it held goes back to the end of its queues."""
        self.reset_abilities(worker)
        jobs, worker.jobs = worker.jobs, {}
        for job in jobs:
            self._lose(job)

    # ---- operators

    def cancel(self, handle: bytes) -> bool:
        """Ends a job; its clients hear that it failed.  False: there is no such job."""
        job = self._jobs.get(handle)
        if job is None:
            return False
        self._cancelled += 1
        self._end(job, CANCEL, FAILED, b"")
        return True

    def create_function(self, function: bytes) -> None:
        """Makes a function known.  Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions."""
        if function not in self._functions:
            self._new_function(function)

    def function(self, function: bytes) -> QueueStatistics | None:
        """The function with this name, or None."""
        queue = self._functions.get(function)
        return None if queue is None else _queue_statistics(queue)

    def drop_function(self, function: bytes) -> Drop:
        """Forgets a function, unless that would lose jobs or surprise workers."""
        queue = self._functions.get(function)
        if queue is None:
            return "unknown"
        if queue.workers or queue.running:
            return "in use"
        if queue.total:
            return "queued"  # gearmand drops it, and loses its jobs
        del self._functions[function]
        return "dropped"

    def limit(self, function: bytes, maxqueue: Maxqueue) -> None:
        """Sets how many unfinished jobs a function may have when a job of high, normal or low
        priority is submitted; 0 for no limit.  It also counts for a function that comes later.

        Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions.
        """
        maxqueue = UNLIMITED if maxqueue == UNLIMITED else maxqueue
        queue = self._functions.get(function)
        if queue is not None:
            queue.maxqueue = maxqueue
        elif maxqueue is UNLIMITED:
            self._maxqueues.pop(function, None)
        else:
            check_function(function)
            if function not in self._maxqueues:
                self._check_room()
            self._maxqueues[function] = maxqueue

    def limits(self) -> Iterator[tuple[bytes, Maxqueue]]:
        """The functions that have a limit, those that wait for their function included."""
        for queue in self._functions.values():
            if queue.maxqueue is not UNLIMITED:
                yield queue.name, queue.maxqueue
        yield from self._maxqueues.items()

    def functions(self) -> Iterator[QueueStatistics]:
        """Every function, oldest first."""
        return map(_queue_statistics, self._functions.values())

    def jobs(self) -> Iterator[JobStatistics]:
        """Every unfinished job, oldest first."""
        return map(_job_statistics, self._jobs.values())

    def statistics(self) -> EngineStatistics:
        """Counters and sizes."""
        return EngineStatistics(
            functions=len(self._functions),
            jobs=len(self._jobs),
            queued=len(self._jobs) - self._running - self._delayed,
            delayed=self._delayed,
            running=self._running,
            submitted=self._submitted,
            coalesced=self._coalesced,
            completed=self._completed,
            failed=self._failed,
            lost=self._lost,
            timed_out=self._timed_out,
            gave_up=self._gave_up,
            cancelled=self._cancelled,
            abandoned=self._abandoned,
            stale=self._stale,
            wakes=self._wakes,
            passed_over=self._passed_over,
        )

    # ---- functions

    def _new_function(self, function: bytes) -> FunctionQueue:
        check_function(function)
        maxqueue = self._maxqueues.pop(function, None)
        if maxqueue is None:
            self._check_room()
        queue = self._functions[function] = FunctionQueue(function, maxqueue or UNLIMITED)
        return queue

    def _check_room(self) -> None:
        if len(self._functions) + len(self._maxqueues) >= self.rules.functions_max:
            raise TooManyFunctions(
                f"this server knows {self.rules.functions_max:,} functions, and that is its limit"
            )

    # ---- the life of a job

    def _join(self, job: Job, client: Client | None) -> Job:
        if client is None:
            self._coalesced += 1
            if not job.background:
                job.background = True
                job.ticket = self._journal.write(PUT, job)
            return job
        if job.watchers is None:
            job.watchers = {}
        copies = job.watchers.get(client, 0) + 1
        if copies > self.rules.copies_max:
            raise QueueFull(
                f"this connection waits for this job {self.rules.copies_max:,} times already"
            )
        self._coalesced += 1
        job.watchers[client] = copies
        client.watching[job] = None
        return job

    def _enqueue(self, job: Job) -> None:
        queue = job.queue
        lane = queue.lane(job.priority)
        lane.push(job)
        queue.queued += 1
        if lane.count == 1:
            self._ready[job.priority][queue] = None

    def _dequeued(self, queue: FunctionQueue, priority: Priority, left: int) -> None:
        """A lane lost a job and has ``left``."""
        queue.queued -= 1
        if not left:
            del self._ready[priority][queue]

    def _become_due(self, job: Job) -> None:
        queue = job.queue
        job.state = BECOME_DUE[job.state]
        job.timer = None
        queue.delayed[job.priority] -= 1
        self._delayed -= 1
        self._enqueue(job)
        self._call(queue)

    def _next_job(self, worker: Worker) -> Job | None:
        found = self._next_queue(worker)
        if found is None:
            return None
        queue, priority = found
        lane = queue.lane(priority)
        job = lane.pop()
        self._dequeued(queue, priority, lane.count)
        return job

    def _assign(self, job: Job, worker: Worker) -> None:
        queue = job.queue
        job.state = ASSIGN[job.state]
        job.worker = worker
        worker.jobs[job] = None
        queue.running += 1
        self._running += 1
        ability = worker.abilities[queue]
        if len(worker.abilities) > 1:
            worker.last_turn += 1
            ability.turn = worker.last_turn
            worker.abilities.move_to_end(queue)
        if ability.timeout_s:
            job.timer = self._timers.set(self.now_s + ability.timeout_s, self._time_out, job)

    def _release(self, job: Job) -> None:
        """A running job leaves its worker."""
        worker = job.worker
        assert worker is not None, "a running job has a worker"
        worker.jobs.pop(job, None)
        job.worker = None
        job.queue.running -= 1
        self._running -= 1

    def _time_out(self, job: Job) -> None:
        self._timed_out += 1
        self._lose(job)

    def _lose(self, job: Job) -> None:
        """A running job lost its worker: it goes back to the end of its lane, or ends."""
        self._lost += 1
        job.losses += 1
        if not job.wanted:
            self._abandoned += 1
            self._remove(job, ABANDON)
            return
        if not may_retry(job.losses, self.rules.job_retries):
            self._gave_up += 1
            self._end(job, END, FAILED, b"")
            return
        self._release(job)
        if job.timer is not None:
            self._timers.cancel(job.timer)
            job.timer = None
        job.numerator = job.denominator = 0
        job.state = REQUEUE[job.state]
        self._enqueue(job)
        self._call(job.queue)

    def _tell(self, job: Job, report: Report, data: bytes) -> None:
        if job.watchers:
            for client, copies in job.watchers.items():
                client.port.job_reported(job, report, data, copies)

    def _end(self, job: Job, move: Move, outcome: Outcome, data: bytes) -> None:
        watchers = job.watchers
        self._remove(job, move)
        if watchers:
            for client, copies in watchers.items():
                del client.watching[job]
                client.port.job_ended(job, outcome, data, copies)

    def _remove(self, job: Job, move: Move) -> None:
        """Forgets a job in whatever state it is, and writes that down."""
        queue = job.queue
        before, job.state = job.state, move[job.state]
        if before is RUNNING:
            self._release(job)
        elif before is QUEUED:
            lane = queue.lane(job.priority)
            lane.discard()
            self._dequeued(queue, job.priority, lane.count)
        else:
            queue.delayed[job.priority] -= 1
            self._delayed -= 1
        if job.timer is not None:
            self._timers.cancel(job.timer)
            job.timer = None
        del self._jobs[job.handle]
        if job.unique:
            key = job.key
            if key is not None:
                del queue.uniques[key]
        if job.background:
            self._journal.write(DONE, job)

    def _held(self, worker: Worker | None, handle: bytes) -> Job | None:
        """The job if the worker holds it; a late or foreign report is counted."""
        job = self._jobs.get(handle)
        if job is None or job.worker is None or job.worker is not worker:
            self._stale += 1
            return None
        return job

    # ---- turns and wake-ups

    def _unable(self, worker: Worker, queue: FunctionQueue) -> None:
        del worker.abilities[queue]
        queue.workers -= 1
        if queue in worker.absent:
            del worker.absent[queue]
        else:
            del queue.idle[worker]
        if worker.called_for is queue:
            # It was told to come, and comes for nothing: somebody else has to.
            self._arrived(worker)
            worker.asleep = False
            self._call(queue)

    def _next_queue(
        self, worker: Worker, uncalled: bool = False
    ) -> tuple[FunctionQueue, Priority] | None:
        """From where the worker is served next; ``uncalled`` is that of ``_first_in_turn``."""
        for priority in PRIORITIES:
            ready = self._ready[priority]
            if ready:
                queue = self._first_in_turn(worker, ready, uncalled)
                if queue is not None:
                    return queue, priority
        return None

    def _first_in_turn(
        self, worker: Worker, ready: dict[FunctionQueue, None], uncalled: bool
    ) -> FunctionQueue | None:
        """Of the functions with queued jobs, the one whose turn it is for this worker.

        It looks through the shorter of the two: what is ready, or what the worker can do.  Both
        ways give the same answer, because abilities stand in the order of their turns.

        ``uncalled`` leaves out those for whose every job a woken worker is on its way.
        """
        abilities = worker.abilities
        if len(ready) < len(abilities):
            first, turn = None, 0
            for queue in ready:
                ability = abilities.get(queue)
                if (
                    ability is not None
                    and (first is None or ability.turn < turn)
                    and not (uncalled and self._all_called(queue))
                ):
                    first, turn = queue, ability.turn
            return first
        for queue in abilities:
            if queue in ready and not (uncalled and self._all_called(queue)):
                return queue
        return None

    def _all_called(self, queue: FunctionQueue) -> bool:
        return queue.coming >= queue.queued * self.rules.wakes_per_job

    def _call(self, queue: FunctionQueue) -> None:
        """Wakes sleeping workers, as many as there are queued jobs that nobody comes for."""
        if self.draining:
            return
        while queue.idle and not self._all_called(queue):
            worker, _ = queue.idle.popitem(last=False)
            worker.absent[queue] = None
            if worker.asleep and worker.called_for is None:
                self._wake(worker, queue)

    def _wake(self, worker: Worker, queue: FunctionQueue) -> None:
        worker.called_for = queue
        queue.coming += 1
        self._wakes += 1
        worker.patience = self._timers.set(
            self.now_s + self.rules.wake_patience_s, self._pass_over, worker
        )
        worker.port.wake()

    def _arrived(self, worker: Worker) -> None:
        """A woken worker came, or won't come any more."""
        queue = worker.called_for
        assert queue is not None, "only who was called arrives"
        queue.coming -= 1
        worker.called_for = None
        if worker.patience is not None:
            self._timers.cancel(worker.patience)
            worker.patience = None

    def _pass_over(self, worker: Worker) -> None:
        """A woken worker takes too long.  It may still come; another is woken for the job."""
        queue = worker.called_for
        assert queue is not None, "who is waited for was called"
        self._passed_over += 1
        self._arrived(worker)
        worker.asleep = False
        self._call(queue)


def _job_statistics(job: Job) -> JobStatistics:
    return JobStatistics(
        handle=job.handle,
        function=job.queue.name,
        unique=job.unique,
        state=job.state,
        background=job.background,
        waiting=job.waiting,
        wanted=job.wanted,
        losses=job.losses,
        numerator=job.numerator,
        denominator=job.denominator,
    )


def _queue_statistics(queue: FunctionQueue) -> QueueStatistics:
    high, normal, low = (0 if lane is None else lane.count for lane in queue.lanes)
    return QueueStatistics(
        function=queue.name,
        queued=(high, normal, low),
        delayed=(queue.delayed[0], queue.delayed[1], queue.delayed[2]),
        running=queue.running,
        workers=queue.workers,
        maxqueue=queue.maxqueue,
    )
