"""What stays of jobs that ended: dead letters until an operator decides, others for a while."""

from itertools import islice
from typing import Final, final

from gearpy.engine.job import DEAD, Job
from gearpy.engine.life import NO_USAGE, Life
from gearpy.engine.policy import DEFAULT_KEEP_BYTES
from gearpy.engine.ports import Journal
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.stock import Stock
from gearpy.engine.timers import Timers

_AT_ONCE: Final = 200  # jobs that are forgotten in one go, so that nobody else waits for long
_PAUSE_S: Final = 0.01  # and then the others get their turn

# What Python takes for them, beside the bytes that they carry (measured, and rounded up).
JOB_BYTES: Final = 1_500  # a job with its life, in the archive and in its function's history
ATTEMPT_BYTES: Final = 180
USAGE_BYTES: Final = 130  # of an attempt whose worker told what it cost


@final
class Archive:
    """The jobs that ended and are not forgotten, by handle, in the order of their ends.

    What a function keeps has a limit of bytes: its finished jobs with all they take, and what its
    running ones gave so far, for that is kept from the moment it comes.

    While ``journal_full`` is true nothing is added to the journal that can be done without, for it
    is there for jobs that still have to be done.  A job that was not journalled before is kept in
    memory only, dead or not, and is gone after a restart.  Of one that was, it is written how it
    ended, but not what it gave.  That is not made up for when there is room again.  Only what an
    operator has run once more is written at once: then it has to be done, like any other.
    """

    def __init__(self, timers: Timers, journal: Journal, stock: Stock) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.dead = 0
        self.journal_full = False
        self._output_bytes: dict[FunctionQueue, int] = {}  # what running jobs gave so far
        self._timers = timers
        self._journal = journal
        self._stock = stock

    def add(self, job: Job) -> None:
        """A job ended, and its policy says that it stays: it is written down how it ended."""
        if job.life is not None:
            job.life.output_unwritten = self.journal_full
        if not self.journal_full:
            self.write(job)
        if job.ticket:
            self._journal.changed(job)
            self._stock.shed(job)
        self.restored(job)

    def write(self, job: Job) -> None:
        """A job is to be in the journal from now on, if it is not there already."""
        if job.ticket:
            return
        job.ticket = self._journal.put(job)
        if job.ticket:
            self._stock.add(job, None)

    def restored(self, job: Job) -> None:
        """A job that ended is there again, from the journal."""
        queue = job.queue
        if job.state is DEAD:
            self.jobs[job.handle] = job
            self.dead += 1
            queue.dead[job] = None
            return
        taken_bytes = size_bytes(job)
        if taken_bytes > _keep_bytes(queue):
            self._drop(job)  # alone it is too much: the others need not go for it
            self._make_room(queue)  # but the limit may be a new one
            return
        self.jobs[job.handle] = job
        queue.kept[job] = taken_bytes
        queue.kept_bytes += taken_bytes
        self._make_room(queue)
        if queue.sweeping is None:
            self.sweep_later(queue)

    def keep_output(self, job: Job, life: Life, data: bytes) -> None:
        """A running job gave a part of its result.  It is kept if it fits beside what other running
        jobs gave; what ended before makes room for it."""
        queue = job.queue
        output_bytes = self._output_bytes.get(queue, 0) + len(data)
        others_bytes = output_bytes - life.output_bytes - len(data)
        if others_bytes + size_bytes(job) + len(data) > _keep_bytes(queue):
            return
        life.output.append(data)
        life.output_bytes += len(data)
        self._output_bytes[queue] = output_bytes
        self._make_room(queue)

    def released(self, job: Job, life: Life) -> None:
        """A job does not run any more: what it gave is its own again."""
        if life.output_bytes:
            queue = job.queue
            self._output_bytes[queue] -= life.output_bytes
            if not self._output_bytes[queue]:
                del self._output_bytes[queue]

    def take(self, job: Job) -> None:
        """The job is to run again."""
        del self.jobs[job.handle]
        queue = job.queue
        if job.state is DEAD:
            self.dead -= 1
            del queue.dead[job]
        else:
            queue.kept_bytes -= queue.kept.pop(job)

    def forget(self, job: Job) -> None:
        """The job is not to be kept any longer."""
        self.take(job)
        self._drop(job)

    def _drop(self, job: Job) -> None:
        if job.ticket:
            self._stock.remove(job)
            self._journal.done(job)

    def _make_room(self, queue: FunctionQueue) -> None:
        room_bytes = _keep_bytes(queue) - self._output_bytes.get(queue, 0)
        while queue.kept_bytes > room_bytes and queue.kept:
            self.forget(next(iter(queue.kept)))

    def sweep_later(self, queue: FunctionQueue) -> None:
        """What the policy says about keeping may be new, or the first kept job is."""
        if queue.sweeping is not None:
            self._timers.cancel(queue.sweeping)
            queue.sweeping = None
        if queue.kept:
            due_s = next(iter(queue.kept)).since_s + _keep_s(queue)
            # Never in this very moment: whatever rings then may be what called this.
            queue.sweeping = self._timers.set(
                max(due_s, self._timers.now_s + _PAUSE_S), self._sweep, queue
            )

    def _sweep(self, queue: FunctionQueue) -> None:
        queue.sweeping = None
        old = self._timers.now_s - _keep_s(queue)
        for job in list(islice(queue.kept, _AT_ONCE)):
            if job.since_s > old:
                break
            self.forget(job)
        self.sweep_later(queue)


def _keep_s(queue: FunctionQueue) -> float:
    return (queue.policy.keep_s or 0.0) if queue.policy is not None else 0.0


def _keep_bytes(queue: FunctionQueue) -> int:
    policy = queue.policy
    if policy is None or policy.keep_bytes is None:
        return DEFAULT_KEEP_BYTES
    return policy.keep_bytes


def size_bytes(job: Job) -> int:
    """What a job takes in memory, more or less; a payload that is on disk only takes nothing."""
    taken_bytes = JOB_BYTES + len(job.handle) + len(job.unique) + len(job.payload or b"")
    life = job.life
    if life is not None:
        taken_bytes += len(life.options) + len(life.text) + len(life.error) + life.output_bytes
        for attempt in life.log:
            taken_bytes += ATTEMPT_BYTES + len(attempt.error)
            taken_bytes += USAGE_BYTES if attempt.usage != NO_USAGE else 0
    return taken_bytes
