"""Who is given which job next, and who is woken for it."""

from itertools import islice
from typing import Final, final

from gearpy.engine.job import Job
from gearpy.engine.peers import Ability, Worker
from gearpy.engine.queue import ANY_NUMBER, MINUTE_S, Entry, FunctionQueue, KeyLine
from gearpy.engine.rules import Rules
from gearpy.engine.stock import FRONT, Stock
from gearpy.engine.timers import Timers
from gearpy.priority import Priority

PRIORITIES: Final = tuple(Priority)

_FEW_READY: Final = 4
_PASSED_IN_TURN: Final = 64  # functions without jobs that keep their turn
_PASSED_AT_ONCE: Final = 200  # jobs that one search sets aside, so that nobody else waits for long


@final
class Dispatch:
    """The queued jobs of all functions, and the workers that come for them.

    A function gives out jobs while it has ``room``: none while it is paused, while its next payload
    is read from the disk, or while the limits of its policy are reached.
    """

    def __init__(self, rules: Rules, timers: Timers, stock: Stock) -> None:
        self.draining = False  # hands nothing out, wakes nobody
        self.wakes = 0
        self.passed_over = 0
        self._rules = rules
        self._timers = timers
        self._stock = stock
        # The functions with room and queued jobs, for each priority: what a worker can be given
        # is in here.
        self._ready: tuple[dict[FunctionQueue, None], ...] = tuple({} for _ in PRIORITIES)

    # ---- jobs

    def enqueue(self, job: Job) -> None:
        """A job that just got QUEUED goes to the end of its lane, or of the line of its key.

        Call ``call`` behind it.
        """
        queue = job.queue
        if queue.keys and job.life is not None and self._has_to_wait(job, job.life.key):
            self._park(job, queue.keys[job.life.key])
            return
        lane = queue.lane(job.priority)
        lane.push(job)
        queue.queued += 1
        if lane.count == 1 and queue.room > 0:
            self._ready[job.priority][queue] = None

    def remove(self, job: Job) -> None:
        """A job that was QUEUED is not any more, and was not taken."""
        queue = job.queue
        life = job.life
        if life is not None and life.parked:
            line = queue.keys[life.key]
            line.discard(job)
            queue.parked[job.priority] -= 1
            _tidy(queue, life.key, line)
            return
        lane = queue.lane(job.priority)
        lane.discard(job)
        self._left(queue, job.priority, lane.count)
        if life is not None and life.key in queue.keys:
            self._unpark(queue, queue.keys[life.key])  # it was set aside for this one
            _tidy(queue, life.key, queue.keys[life.key])

    def take(self, worker: Worker) -> Job | None:
        """The worker's next job, out of its queue; call ``assigned`` behind it.

        Critical before high before normal before low over all that it can do; among functions in
        turn; inside a function in order of arrival.

        None may also mean that many had to be set aside and there are more: who sleeps then is
        woken at once.
        """
        if self.draining:
            return None
        passed = 0
        while passed < _PASSED_AT_ONCE and (found := self._next_queue(worker)) is not None:
            queue, priority = found
            lane = queue.lane(priority)
            job = lane.pop()
            self._left(queue, priority, lane.count)
            if queue.keys and job.life is not None and self._has_to_wait(job, job.life.key):
                self._park(job, queue.keys[job.life.key])
                self._stock.park(job)
                passed += 1
            elif job.payload is None:
                self.put_back(job)
                queue.dry = True
                self.refit(queue)
                self._stock.look_ahead(lane)
            else:
                if lane.bare and lane.bare_at(FRONT):
                    self._stock.look_ahead(lane)
                return job
        return None

    def assigned(self, job: Job, worker: Worker) -> Ability:
        """The job runs now, on this worker; returns what the worker said that it can do."""
        queue = job.queue
        if queue.bound:
            if queue.policy is not None and queue.policy.rate_per_minute:
                queue.starts.append(self._timers.now_s)
            self.refit(queue)
        if job.life is not None and job.life.key:
            line = queue.key_line(job.life.key)
            line.running += 1
            if line.count:
                self._stock.look_along(line)
        ability = worker.abilities[queue]
        if len(worker.abilities) > 1:
            worker.last_turn += 1
            ability.turn = worker.last_turn
            worker.abilities.move_to_end(queue)
        return ability

    def released(self, job: Job) -> None:
        """The job does not run any more.  Call ``call`` once the job's own state is settled."""
        queue = job.queue
        if job.life is not None and job.life.key:
            line = queue.keys[job.life.key]
            line.running -= 1
            self._unpark(queue, line)
            _tidy(queue, job.life.key, line)
        if queue.bound:
            self.refit(queue)

    def _left(self, queue: FunctionQueue, priority: Priority, left: int) -> None:
        """A lane lost a job and has ``left``."""
        queue.queued -= 1
        if not left:
            self._ready[priority].pop(queue, None)

    def put_back(self, job: Job) -> None:
        """A queued job that was taken, or set aside, goes back where it was."""
        queue = job.queue
        lane = queue.lane(job.priority)
        lane.put_back(job)
        queue.queued += 1
        if lane.count == 1 and queue.room > 0:
            self._ready[job.priority][queue] = None

    # ---- limits

    def fit(self, queue: FunctionQueue) -> None:
        """The function's policy is new.  Call ``call`` behind it."""
        policy = queue.policy
        queue.bound = policy is not None and bool(policy.max_running or policy.rate_per_minute)
        if policy is None or not policy.rate_per_minute:
            queue.starts.clear()  # a rate counts from when it was set
        per_key = (policy.max_running_per_key or 0) if policy is not None else 0
        if per_key != queue.per_key:
            queue.per_key = per_key
            self._unpark_all(queue)
        self.refit(queue)

    def refit(self, queue: FunctionQueue) -> None:
        """How many jobs the function may give out has to be found out anew.

        If that may be more than before, call ``call`` behind it.
        """
        before, queue.room = queue.room, self._room(queue)
        if (before > 0) == (queue.room > 0):
            return
        for priority, lane in zip(PRIORITIES, queue.lanes, strict=True):
            if lane is None or not lane.count:
                continue
            if queue.room > 0:
                self._ready[priority][queue] = None
            else:
                del self._ready[priority][queue]

    def _room(self, queue: FunctionQueue) -> int:
        if queue.paused or queue.dry:
            return 0
        policy = queue.policy
        room = ANY_NUMBER
        if policy is None or not queue.bound:
            return room
        if policy.max_running:
            room = max(0, policy.max_running - queue.running)
        if policy.rate_per_minute:
            room = min(room, self._rate_room(queue, policy.rate_per_minute))
        return room

    def _rate_room(self, queue: FunctionQueue, rate_per_minute: int) -> int:
        """How many jobs may start now, so that within any minute not more than that do."""
        starts = queue.starts
        while starts and starts[0] + MINUTE_S <= self._timers.now_s:
            starts.popleft()
        room = max(0, rate_per_minute - len(starts))
        if not room and queue.opening is None:
            queue.opening = self._timers.set(starts[0] + MINUTE_S, self._open, queue)
        return room

    def _open(self, queue: FunctionQueue) -> None:
        queue.opening = None
        self.refit(queue)
        self.call(queue)

    # ---- keys

    def _has_to_wait(self, job: Job, key: bytes) -> bool:
        """Whether as many with its key run as may, or it is not the first that waits for that.

        While fewer run than may, the next ones are in their lanes: who is behind one that was set
        aside is not one of them.
        """
        queue = job.queue
        line = queue.keys.get(key)
        if line is None or not queue.per_key:
            return False
        if line.running >= queue.per_key:
            return True
        first = line.first() if line.count else None
        return first is not None and (first.priority, first.place) < (job.priority, job.place)

    def _park(self, job: Job, line: KeyLine) -> None:
        """Sets a job aside that is in no lane."""
        line.park(job)
        job.queue.parked[job.priority] += 1

    def _unpark(self, queue: FunctionQueue, line: KeyLine) -> None:
        """Puts the first job that was set aside back where it was, if it may run."""
        job = line.unpark() if line.running < queue.per_key else None
        if job is not None:
            queue.parked[job.priority] -= 1
            self.put_back(job)

    def _unpark_all(self, queue: FunctionQueue) -> None:
        """Puts all jobs that were set aside back: another number of them may run."""
        taken: dict[Priority, list[Entry]] = {}
        for key, line in list(queue.keys.items()):
            for priority, entries in line.unpark_all().items():
                taken.setdefault(priority, []).extend(entries)
            _tidy(queue, key, line)
        for priority, entries in taken.items():
            entries.sort()
            queue.parked[priority] -= len(entries)
            queue.queued += len(entries)
            lane = queue.lane(priority)
            lane.merge(entries)
            if lane.count and queue.room > 0:
                self._ready[priority][queue] = None

    # ---- workers

    def able(self, worker: Worker, queue: FunctionQueue, timeout_s: float) -> None:
        """A worker that could not do the function can now."""
        worker.first_turn -= 1
        worker.abilities[queue] = Ability(timeout_s, worker.first_turn)
        worker.abilities.move_to_end(queue, last=False)
        queue.workers += 1
        if worker.asleep:
            queue.idle[worker] = None
            self.call(queue)
        else:
            worker.absent[queue] = None

    def unable(self, worker: Worker, queue: FunctionQueue) -> None:
        """A worker that could do the function can't any more."""
        del worker.abilities[queue]
        queue.workers -= 1
        if queue in worker.absent:
            del worker.absent[queue]
        else:
            del queue.idle[worker]
        if worker.called_for is queue:
            # It was told to come, and comes for nothing: somebody else has to.
            self.arrived(worker)
            worker.asleep = False
            self.call(queue)

    def sleep(self, worker: Worker) -> None:
        """The worker waits to be woken; that is at once if there is a job that nobody comes for."""
        called_for = worker.called_for
        if called_for is not None:
            self.arrived(worker)
        worker.asleep = True
        for queue in worker.absent:
            queue.idle[worker] = None
        worker.absent.clear()
        uncalled = None if self.draining else self._next_queue(worker, uncalled=True)
        if uncalled is not None:
            self._wake(worker, uncalled[0])
        if called_for is not None:
            # It was to fetch a job of this function, and now may come for another's.
            self.call(called_for)

    def arrived(self, worker: Worker) -> None:
        """A woken worker came, or won't come any more."""
        queue = worker.called_for
        assert queue is not None, "only who was called arrives"
        queue.coming -= 1
        worker.called_for = None
        if worker.patience is not None:
            self._timers.cancel(worker.patience)
            worker.patience = None

    def call(self, queue: FunctionQueue) -> None:
        """Wakes sleeping workers, as many as there are jobs to give out that nobody comes for."""
        if self.draining:
            return
        while queue.idle and not self._all_called(queue):
            worker, _ = queue.idle.popitem(last=False)
            worker.absent[queue] = None
            if worker.asleep and worker.called_for is None:
                self._wake(worker, queue)

    def _all_called(self, queue: FunctionQueue) -> bool:
        return queue.coming >= min(queue.queued, queue.room) * self._rules.wakes_per_job

    def _wake(self, worker: Worker, queue: FunctionQueue) -> None:
        worker.called_for = queue
        queue.coming += 1
        self.wakes += 1
        worker.patience = self._timers.set(
            self._timers.now_s + self._rules.wake_patience_s, self._pass_over, worker
        )
        worker.port.wake()

    def _pass_over(self, worker: Worker) -> None:
        """A woken worker takes too long.  It may still come; another is woken for the job."""
        queue = worker.called_for
        assert queue is not None, "who is waited for was called"
        self.passed_over += 1
        self.arrived(worker)
        worker.asleep = False
        self.call(queue)

    # ---- turns

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

        Abilities stand in the order of their turns, so the first one that is ready is meant, and
        mostly near.  Where it is not after as many as are ready, these are looked through instead:
        a worker that can do twenty thousand functions, one of which has jobs, finds it at once.
        Where many had no job of this priority when it was their turn, they lose it: other workers
        have done them, and each search would come past all of them.

        ``uncalled`` leaves out those for whose every job a woken worker is on its way.
        """
        abilities = worker.abilities
        if len(ready) > _FEW_READY:  # these few are looked through sooner
            passed = 0
            for queue in islice(abilities, len(ready)):
                if queue in ready and not (uncalled and self._all_called(queue)):
                    if passed > _PASSED_IN_TURN and not uncalled:
                        _lose_turns(worker, passed)
                    return queue
                passed += 1
            if passed == len(abilities):
                return None
            if passed > _PASSED_IN_TURN and not uncalled:
                _lose_turns(worker, passed)
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


def _lose_turns(worker: Worker, count: int) -> None:
    """The first of its abilities go to the end, as if they had been served."""
    abilities = worker.abilities
    for queue in list(islice(abilities, count)):
        worker.last_turn += 1
        abilities[queue].turn = worker.last_turn
        abilities.move_to_end(queue)


def _tidy(queue: FunctionQueue, key: bytes, line: KeyLine) -> None:
    """Forgets a key that no running or parked job has."""
    if not line.running and not line.count:
        del queue.keys[key]
