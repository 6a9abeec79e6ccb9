"""The engine as plainly as possible: lists and linear scans; what can be counted is not kept.

It knows no wake-ups: which sleeper is woken is the engine's freedom.  The rules of waking are
checked from outside.
"""

from dataclasses import dataclass, field

from gearpy.priority import Priority

from .recorders import Heard


@dataclass(eq=False)
class ModelJob:
    """A job; it is in ``Model.jobs`` as long as it is unfinished."""

    handle: bytes
    function: bytes
    unique: bytes
    payload: bytes
    priority: Priority
    background: bool
    due_s: float
    state: str = "queued"
    waiting: list[str] = field(default_factory=list)  # a client for each submission
    worker: str = ""
    deadline_s: float = 0.0  # 0: none
    timer: int = 0  # the order in which due times and deadlines were set
    losses: int = 0
    progress: tuple[int, int] = (0, 0)

    @property
    def wanted(self) -> bool:
        return self.background or bool(self.waiting)

    def same_work(self, unique: bytes, payload: bytes) -> bool:
        """Whether a submit of this job's function joins it."""
        if unique == b"-":
            return self.unique == b"-" and payload != b"" and self.payload == payload
        return unique != b"" and self.unique == unique


@dataclass
class ModelWorker:
    """A worker: functions with their timeouts, in the order in which they are served."""

    abilities: list[tuple[bytes, float]] = field(default_factory=list)

    def can(self, function: bytes) -> bool:
        return any(name == function for name, _ in self.abilities)


class Model:
    """What the engine should do."""

    def __init__(self, job_retries: int) -> None:
        self.job_retries = job_retries
        self.now_s = 0.0
        self.draining = False
        self.jobs: list[ModelJob] = []  # unfinished, in order of arrival
        self.queued: list[ModelJob] = []  # in the order in which they came into the queue
        self.held: list[ModelJob] = []  # in order of assignment
        self.functions: list[bytes] = []
        self.maxqueues: dict[bytes, tuple[int, int, int]] = {}
        self.workers: dict[str, ModelWorker] = {}
        self.heard: list[tuple[str, Heard]] = []
        self.history: list[str] = []
        self.timers = 0

    # ---- clients

    def submit(
        self,
        client: str | None,
        function: bytes,
        unique: bytes,
        payload: bytes,
        priority: Priority,
        due_s: float,
        handle: bytes,
    ) -> bytes | str:
        """The handle, or what the submit is refused with.  A new job is given ``handle``."""
        if self.draining:
            return "ShuttingDown"
        self.know(function)
        for job in self.jobs:
            if job.function == function and job.same_work(unique, payload):
                self.history.append("coalesced")
                self._interest(job, client)
                return job.handle
        limit = self.maxqueues.get(function, (0, 0, 0))[priority]
        if limit and sum(job.function == function for job in self.jobs) >= limit:
            return "QueueFull"
        self.history.append("submitted")
        job = ModelJob(handle, function, unique, payload, priority, False, due_s)
        self._interest(job, client)
        self.jobs.append(job)
        if due_s > self.now_s:
            job.state = "delayed"
            job.timer = self._next_timer()
        else:
            self.queued.append(job)
        return handle

    def _interest(self, job: ModelJob, client: str | None) -> None:
        if client is None:
            job.background = True
        else:
            job.waiting.append(client)

    def leave(self, client: str) -> None:
        for job in list(self.jobs):
            watched = client in job.waiting
            job.waiting = [other for other in job.waiting if other != client]
            if watched and not job.wanted and job.state != "running":
                self._forget(job, "abandoned")

    # ---- workers

    def can_do(self, worker: str, function: bytes, timeout_s: float) -> None:
        self.know(function)
        abilities = self.workers[worker].abilities
        for place, (name, _) in enumerate(abilities):
            if name == function:
                abilities[place] = (name, timeout_s)
                return
        abilities.insert(0, (function, timeout_s))

    def cannot_do(self, worker: str, function: bytes) -> None:
        abilities = self.workers[worker].abilities
        abilities[:] = [ability for ability in abilities if ability[0] != function]

    def reset_abilities(self, worker: str) -> None:
        self.workers[worker].abilities.clear()

    def grab(self, worker: str) -> ModelJob | None:
        if self.draining:
            return None
        abilities = self.workers[worker].abilities
        for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
            for ability in abilities:
                for job in self.queued:
                    if job.function == ability[0] and job.priority == priority:
                        abilities.remove(ability)
                        abilities.append(ability)
                        self._assign(job, worker, ability[1])
                        return job
        return None

    def _assign(self, job: ModelJob, worker: str, timeout_s: float) -> None:
        self.queued.remove(job)
        self.held.append(job)
        job.state = "running"
        job.worker = worker
        if timeout_s:
            job.deadline_s = self.now_s + timeout_s
            job.timer = self._next_timer()

    def holding(self, worker: str, handle: bytes) -> ModelJob | None:
        for job in self.held:
            if job.handle == handle and job.worker == worker:
                return job
        return None

    def report(self, worker: str, handle: bytes, what: str, data: bytes) -> bool:
        """Data, warning or status; whether the worker holds the job."""
        job = self.holding(worker, handle)
        if job is None:
            self.history.append("stale")
            return False
        if what == "status":
            numerator, denominator = data.split(b"\0")
            job.progress = int(numerator), int(denominator)
        self._tell(job, what, data)
        return True

    def end(self, worker: str, handle: bytes, outcome: str, data: bytes) -> bool:
        """Completed, failed or exception; whether the worker holds the job."""
        job = self.holding(worker, handle)
        if job is None:
            self.history.append("stale")
            return False
        self._forget(job, "completed" if outcome == "completed" else "failed")
        self._tell(job, outcome, data)
        return True

    def lose(self, worker: str) -> None:
        self.reset_abilities(worker)
        for job in [job for job in self.held if job.worker == worker]:
            self._lose(job)

    def _lose(self, job: ModelJob) -> None:
        self.history.append("lost")
        job.losses += 1
        if not job.wanted:
            self._forget(job, "abandoned")
        elif self.job_retries != -1 and job.losses > self.job_retries:
            self._forget(job, "gave_up")
            self._tell(job, "failed", b"")
        else:
            self.held.remove(job)
            self.queued.append(job)
            job.state = "queued"
            job.worker = ""
            job.deadline_s = 0.0
            job.progress = (0, 0)

    # ---- operators

    def cancel(self, handle: bytes) -> bool:
        job = self.find(handle)
        if job is None:
            return False
        self._forget(job, "cancelled")
        self._tell(job, "failed", b"")
        return True

    def drop_function(self, function: bytes) -> bool:
        in_use = any(job.function == function for job in self.jobs)
        served = any(worker.can(function) for worker in self.workers.values())
        if function not in self.functions or in_use or served:
            return False
        self.functions.remove(function)
        self.maxqueues.pop(function, None)
        return True

    def limit(self, function: bytes, maxqueue: tuple[int, int, int]) -> None:
        if any(maxqueue):
            self.maxqueues[function] = maxqueue
        else:
            self.maxqueues.pop(function, None)

    # ---- time

    def pending(self) -> list[tuple[float, int, ModelJob]]:
        """What will happen to jobs by itself, in order."""
        delayed = [(job.due_s, job.timer, job) for job in self.jobs if job.state == "delayed"]
        timed = [(job.deadline_s, job.timer, job) for job in self.held if job.deadline_s]
        return sorted(delayed + timed, key=lambda event: event[:2])

    def advance(self, now_s: float) -> None:
        self.now_s = now_s
        while (pending := self.pending()) and pending[0][0] <= now_s:
            job = pending[0][2]
            if job.state == "delayed":
                job.state = "queued"
                self.queued.append(job)
            else:
                self.history.append("timed_out")
                self._lose(job)

    def _next_timer(self) -> int:
        self.timers += 1
        return self.timers

    # ---- looking

    def find(self, handle: bytes) -> ModelJob | None:
        for job in self.jobs:
            if job.handle == handle:
                return job
        return None

    def count(self, function: bytes, state: str, priority: Priority | None = None) -> int:
        """How many jobs of a function are in a state."""
        return sum(
            job.function == function and job.state == state and priority in (None, job.priority)
            for job in self.jobs
        )

    def know(self, function: bytes) -> None:
        if function not in self.functions:
            self.functions.append(function)

    def _forget(self, job: ModelJob, why: str) -> None:
        self.history.append(why)
        for jobs in (self.jobs, self.queued, self.held):
            if job in jobs:
                jobs.remove(job)

    def _tell(self, job: ModelJob, what: str, data: bytes) -> None:
        self.heard += [(client, Heard(job.handle, what, data)) for client in job.waiting]
