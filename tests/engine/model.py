"""The engine as plainly as possible: lists and linear scans; what can be counted is not kept.

It knows no wake-ups: which sleeper is woken is the engine's freedom.  Nor does it know exactly when
a finished job has been kept for long enough.  Their rules are checked from outside.
"""

from collections.abc import Iterator

from gearpy.engine.options import Options
from gearpy.engine.policy import Policy
from gearpy.engine.statistics import Usage
from gearpy.priority import Priority

from .model_job import ModelJob, ModelWorker
from .model_rules import ModelRules
from .recorders import Heard

MINUTE_S = 60.0


class Model(ModelRules):
    """What the engine should do."""

    def __init__(self, job_retries: int, draw: float, policies: dict[bytes, Policy]) -> None:
        super().__init__(job_retries, draw, policies)
        self.now_s = 0.0
        self.draining = False
        self.journal_full = False
        self.jobs: list[ModelJob] = []  # unfinished, in order of arrival
        self.held: list[ModelJob] = []  # of them those that run, in order of assignment
        self.ended: list[ModelJob] = []  # dead letters and kept ones, in the order of their ends
        self.functions: list[bytes] = []
        self.paused: list[bytes] = []
        self.drained: list[bytes] = []
        self.maxqueues: dict[bytes, tuple[int, int, int]] = {}
        self.starts: list[tuple[bytes, float]] = []  # where there is a rate
        self.workers: dict[str, ModelWorker] = {}
        self.heard: list[tuple[str, Heard]] = []
        self.told: list[tuple[str, bytes]] = []  # workers, of cancelled jobs
        self.history: list[tuple[str, bytes, float]] = []  # what, of which function, how long
        self.order = 0

    # ---- clients

    def submit(
        self,
        client: str | None,
        function: bytes,
        unique: bytes,
        payload: bytes,
        priority: Priority,
        due_s: float,
        options: Options | None,
        handle: bytes,
    ) -> bytes | str:
        """The handle, or what the submit is refused with.  A new job is given ``handle``."""
        if self.draining:
            return "ShuttingDown"
        self.know(function)
        for job in self.jobs:
            if job.function == function and job.same_work(unique, payload):
                if client is None and not job.background and self.journal_full:
                    return "JournalFull"
                self.note("coalesced", function)
                self._interest(job, client)
                return job.handle
        refusal = self._refusal(function, priority)
        if refusal:
            return refusal
        if client is None and self.journal_full:
            return "JournalFull"
        self.note("submitted", function)
        job = ModelJob(handle, function, unique, payload, priority, False, self.now_s, self.now_s)
        job.place = self._next()
        if options is not None:
            job.own, job.key = options.policy, options.key
        self._interest(job, client)
        self.jobs.append(job)
        expires_s = self.said(job, "expires_s")
        if expires_s:
            job.expire_s, job.expiry = self.now_s + expires_s, self._next()
        delay_s = None if options is None else options.delay_s
        if delay_s is None and not due_s:
            delay_s = self.said(job, "delay_s")
        due_s = max(due_s, self.now_s + (delay_s or 0.0))
        if due_s > self.now_s:
            self._delay(job, "delayed", due_s)
        return handle

    def _refusal(self, function: bytes, priority: Priority) -> str:
        if function in self.drained:
            return "FunctionDraining"
        limit = self.maxqueues.get(function, (0, 0, 0))[max(0, priority - Priority.HIGH)]
        for most in (limit, self.of_function(function, "max_queue")):
            if most and sum(job.function == function for job in self.jobs) >= most:
                return "QueueFull"
        return ""

    def _interest(self, job: ModelJob, client: str | None) -> None:
        if client is None:
            if not job.background and job.log:
                job.usage_written = job.log[-1][2]
            job.background = job.written = True
        else:
            job.waiting.append(client)

    def leave(self, client: str) -> None:
        for job in list(self.jobs):
            watched = client in job.waiting
            job.waiting = [other for other in job.waiting if other != client]
            if watched and not job.wanted and job.state != "running":
                self._abandon(job)

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
        for priority in Priority:
            for ability in abilities:
                for job in self.queued(ability[0]):
                    if job.priority == priority and self.may_start(job):
                        abilities.remove(ability)
                        abilities.append(ability)
                        self._assign(job, worker, ability[1])
                        return job
        return None

    def may_start(self, job: ModelJob) -> bool:
        """Whether no limit of its function speaks against it now."""
        most = self.of_function(job.function, "max_running_per_key")
        running = [other for other in self.held if other.function == job.function]
        if job.key and most and sum(other.key == job.key for other in running) >= most:
            return False
        return self.room(job.function) > 0

    def room(self, function: bytes) -> int:
        """How many jobs of a function may be given out, whatever their keys are."""
        if function in self.paused:
            return 0
        room = 1000
        most = self.of_function(function, "max_running")
        if most:
            room = most - sum(job.function == function for job in self.held)
        rate = self.of_function(function, "rate_per_minute")
        if rate:
            room = min(room, rate - len(self.recent_starts(function)))
        return max(room, 0)

    def recent_starts(self, function: bytes) -> list[float]:
        """The starts of its jobs within the last minute, where that counts."""
        starts = [start_s for name, start_s in self.starts if name == function]
        return [start_s for start_s in starts if start_s + MINUTE_S > self.now_s]

    def _assign(self, job: ModelJob, worker: str, timeout_s: float) -> None:
        self.note("started", job.function, self.now_s - job.since_s)
        if self.of_function(job.function, "rate_per_minute"):
            self.starts.append((job.function, self.now_s))
        self.held.append(job)
        job.state, job.since_s = "running", self.now_s
        job.worker = worker
        job.attempts += 1
        job.expiry = 0
        if self.has_policy(job):
            job.log.append((job.attempts, "", Usage()))
            job.usage_written = Usage()
        limits_s = [limit_s for limit_s in (timeout_s, self.said(job, "timeout_s")) if limit_s]
        if limits_s:
            job.deadline_s = self.now_s + min(limits_s)
            job.timer = self._next()

    def holding(self, worker: str, handle: bytes) -> ModelJob | None:
        for job in self.held:
            if job.handle == handle and job.worker == worker:
                return job
        self.note("stale", b"")
        return None

    def report(self, worker: str, handle: bytes, what: str, data: bytes) -> bool:
        """Data, warning, status or progress; whether the worker holds the job."""
        job = self.holding(worker, handle)
        if job is None:
            return False
        if what in ("status", "progress"):
            numerator, denominator, *text = data.split(b"\0", 2)
            job.progress = int(numerator), int(denominator)
            job.text = text[0].decode() if text else job.text
        elif what == "data":
            self._keep_output(job, data)
        self._tell(job, what, data)
        return True

    def usage(self, worker: str, handle: bytes, usage: Usage) -> bool:
        """What an attempt cost; whether the worker holds the job."""
        job = self.holding(worker, handle)
        if job is None:
            return False
        if job.log and not job.log[-1][1]:
            number, outcome, before = job.log[-1]
            told = {name: now for name, now in usage._asdict().items() if now is not None}
            job.log[-1] = (number, outcome, before._replace(**told))
        return True

    def end(self, worker: str, handle: bytes, outcome: str, data: bytes) -> bool:
        """Completed, failed, exception, timeout or lost; whether the worker holds the job."""
        job = self.holding(worker, handle)
        if job is None:
            return False
        if outcome == "completed":
            job.error = b""
            self._keep_output(job, data)
            self._finish(job, "completed", "completed", "", "completed", b"", "completed", data)
        elif outcome == "failed":
            self._attempt_failed(job, "fail", b"")
        else:
            self._attempt_failed(job, outcome, data)
        return True

    def _keep_output(self, job: ModelJob, data: bytes) -> None:
        most_bytes = self.of_function(job.function, "keep_bytes")
        size_bytes = job.kept_bytes + len(data)
        if self.keeps(job.function) and (most_bytes is None or size_bytes <= most_bytes):
            job.output.append(data)

    def lose(self, worker: str) -> None:
        self.reset_abilities(worker)
        for job in [job for job in self.held if job.worker == worker]:
            self._attempt_failed(job, "lost", b"its worker went away", told=False)

    def _attempt_failed(
        self, job: ModelJob, cause: str, error: bytes, *, told: bool = True
    ) -> None:
        if cause in ("lost", "timeout"):
            self.note("lost", job.function)
            job.losses += not told
        if cause == "timeout":
            self.note("timed_out", job.function)
        job.crashes = job.crashes + 1 if cause == "lost" else 0
        if not job.wanted and not told:
            self._abandon(job)
            return
        heard = ("exception", error) if told and cause != "fail" else ("failed", b"")
        verdict, delay_s = self.verdict(job, cause, told)
        if verdict == "again":
            self._try_again(job, cause, error, delay_s)
        elif verdict == "failed":
            event, reason = ("failed", cause) if told else ("gave_up", "lost too often")
            self._finish(job, "failed", event, reason, cause, error, *heard)
        else:
            self._finish(job, "dead", "buried", verdict, cause, error, *heard)

    def _try_again(self, job: ModelJob, cause: str, error: bytes, delay_s: float) -> None:
        self.note("retried", job.function)
        self._release(job, cause)
        job.reason, job.error = cause, error
        job.progress, job.text, job.output = (0, 0), "", []
        if 0 < job.expire_s <= self.now_s:
            job.state = "retrying"
            self._expire(job)
        elif delay_s:
            job.since_s = self.now_s
            self._delay(job, "retrying", self.now_s + delay_s)
        else:
            self._requeue(job)
        if job.expire_s:
            job.expiry = self._next()

    def _requeue(self, job: ModelJob) -> None:
        job.state, job.since_s, job.place = "queued", self.now_s, self._next()
        job.due_s = 0.0

    def _delay(self, job: ModelJob, state: str, due_s: float) -> None:
        job.state, job.due_s, job.timer = state, due_s, self._next()

    def _release(self, job: ModelJob, outcome: str) -> None:
        """It does not run any more."""
        self.note("ran", job.function, self.now_s - job.since_s)
        self.held.remove(job)
        job.worker, job.deadline_s = "", 0.0
        self._log(job, outcome)

    def _log(self, job: ModelJob, outcome: str) -> None:
        if job.log and not job.log[-1][1]:
            number, _, usage = job.log[-1]
            job.log[-1] = (number, outcome, usage)

    # ---- ends

    def _abandon(self, job: ModelJob) -> None:
        self._finish(job, "cancelled", "abandoned", "nobody waits any more", "cancelled")

    def _expire(self, job: ModelJob) -> None:
        self._finish(job, "expired", "expired", "not started in time", "expired")

    def _finish(
        self,
        job: ModelJob,
        state: str,
        event: str,
        reason: str,
        outcome: str,
        error: bytes = b"",
        what: str = "failed",
        data: bytes = b"",
    ) -> None:
        """Its end: it is kept or forgotten, and who waits is told."""
        self.note(event, job.function)
        if job.state == "running":
            self._release(job, outcome)
        job.state = state
        self.jobs.remove(job)
        if state == "dead" or self.keeps(job.function):
            job.reason, job.since_s = reason, self.now_s
            job.error = error or job.error
            job.written |= not self.journal_full
            job.output_written = not self.journal_full
            self.ended.append(job)
            if state != "dead":
                self._make_room(job.function)
        self._tell(job, what, data)
        job.waiting = []

    def _make_room(self, function: bytes) -> None:
        """Forgets the oldest finished jobs of a function that keeps too many bytes of them."""
        most_bytes = self.of_function(function, "keep_bytes")
        while most_bytes is not None:
            kept = self.kept(function)
            if sum(job.kept_bytes for job in kept) <= most_bytes:
                break
            self.ended.remove(kept[0])

    # ---- operators

    def cancel(self, handle: bytes) -> bool:
        job = self.find(handle)
        if job is None:
            return False
        if job.worker:
            self.told.append((job.worker, handle))
        self._finish(job, "cancelled", "cancelled", "by request", "cancelled")
        return True

    def retry(self, handle: bytes) -> bool | str:
        """Whether there is such a job, or what the request is refused with."""
        job = self.find(handle)
        if job is not None:
            if job.state not in ("delayed", "retrying"):
                return "InvalidArgument"
            self._requeue(job)
            return True
        for job in self.ended:
            if job.handle == handle:
                return self._revive(job)
        return False

    def _revive(self, job: ModelJob) -> bool | str:
        rivals = [other for other in self.jobs if other.function == job.function]
        taken = any(other.same_work(job.unique, job.payload) for other in rivals)
        if job.state == "completed" or taken:
            return "InvalidArgument"
        self.note("revived", job.function)
        self.ended.remove(job)
        self.jobs.append(job)
        job.came_back = True
        job.background = True
        job.written = True
        job.attempts = job.losses = job.crashes = 0
        job.reason = "retried by request"
        job.progress, job.text, job.output = (0, 0), "", []
        self._requeue(job)
        if job.expire_s <= self.now_s:
            job.expire_s = 0.0
        else:
            job.expiry = self._next()
        return True

    def purge(self, handle: bytes) -> bool:
        for job in self.ended:
            if job.handle == handle:
                self.ended.remove(job)
                return True
        return False

    def steer(self, function: bytes, paused: bool, draining: bool) -> None:
        self.know(function)
        self.paused = [name for name in self.paused if name != function]
        self.drained = [name for name in self.drained if name != function]
        self.paused += [function] * paused
        self.drained += [function] * draining

    def set_policy(self, function: bytes, policy: Policy | None) -> None:
        if policy is None:
            self.set_policies.pop(function, None)
        else:
            self.set_policies[function] = policy
        if not self.of_function(function, "rate_per_minute"):
            self.starts = [start for start in self.starts if start[0] != function]

    def drop_function(self, function: bytes) -> bool:
        in_use = any(job.function == function for job in self.jobs + self.ended)
        served = any(worker.can(function) for worker in self.workers.values())
        if function not in self.functions or in_use or served:
            return False
        self.steer(function, False, False)
        self.functions.remove(function)
        self.maxqueues.pop(function, None)
        self.starts = [start for start in self.starts if start[0] != function]
        self.history = [
            (event, b"" if name == function else name, lasted_s)
            for event, name, lasted_s in self.history
        ]
        return True

    def limit(self, function: bytes, maxqueue: tuple[int, int, int]) -> None:
        if any(maxqueue):
            self.maxqueues[function] = maxqueue
        else:
            self.maxqueues.pop(function, None)

    # ---- time

    def pending(self) -> list[tuple[float, int, ModelJob, str]]:
        """What will happen to jobs by itself, in order."""
        events = []
        for job in self.jobs:
            if job.state in ("delayed", "retrying"):
                events.append((job.due_s, job.timer, job, "due"))
            if job.deadline_s:
                events.append((job.deadline_s, job.timer, job, "timeout"))
            if job.expire_s and job.state != "running":
                events.append((job.expire_s, job.expiry, job, "expiry"))
        return sorted(events, key=lambda event: event[:2])

    def advance(self, now_s: float) -> None:
        self.now_s = now_s
        while (pending := self.pending()) and pending[0][0] <= now_s:
            _, _, job, what = pending[0]
            if what == "due":
                self._requeue(job)
            elif what == "expiry":
                self._expire(job)
            else:
                error = b"timed out after %.3g s" % (now_s - job.since_s)
                self._attempt_failed(job, "timeout", error, told=False)

    # ---- another life

    def restart(self) -> None:
        """What the journal holds is there again; a running job's attempt counts."""
        self.heard.clear()
        self.history.clear()
        self.workers.clear()
        self.maxqueues.clear()
        self.starts.clear()
        self.held.clear()
        self.draining = self.journal_full = False
        written = [job for job in self.ended if job.written]
        ended = sorted(written, key=lambda job: (job.since_s, job.number))
        jobs = sorted((job for job in self.jobs if job.written), key=lambda job: job.place)
        self.functions = [
            name
            for name in self.functions
            if name in self.paused + self.drained + [job.function for job in jobs + ended]
        ]
        self.ended = []
        for job in ended:
            job.background = True  # who waited for it is not written down, nor how far it was
            job.progress = (0, 0)
            job.output = job.output if job.output_written else []
            self.ended.append(job)
            if job.state != "dead":
                self._make_room(job.function)
        self.jobs = list(jobs)
        for job in jobs:
            job.came_back = True
            self._come_back(job)

    def _come_back(self, job: ModelJob) -> None:
        job.waiting, job.worker, job.deadline_s = [], "", 0.0
        job.progress, job.text, job.output = (0, 0), "", []
        if job.state == "running":
            job.losses += 1
            job.state = "queued"
            if job.log and not job.log[-1][1]:
                job.log[-1] = (job.log[-1][0], "", job.usage_written)
            self._log(job, "lost")
            if not self._survives(job):
                return
            job.since_s = self.now_s
        elif job.state != "queued":
            job.timer = self._next()
        if 0 < job.expire_s <= self.now_s:
            self._expire(job)
        job.expiry = self._next()

    def _survives(self, job: ModelJob) -> bool:
        """Whether a job that ran when the server went down may run again."""
        if job.attempts < self.attempts_max(job):
            return True
        if self.retries(job):
            self._finish(job, "dead", "buried", "attempts used up", "lost", SERVER_DOWN)
        else:
            self._finish(job, "failed", "gave_up", "lost too often", "lost", SERVER_DOWN)
        return False

    # ---- looking

    def find(self, handle: bytes) -> ModelJob | None:
        for job in self.jobs:
            if job.handle == handle:
                return job
        return None

    def queued(self, function: bytes) -> list[ModelJob]:
        """The queued jobs of a function, in order but for their priorities."""
        jobs = [job for job in self.jobs if (job.function, job.state) == (function, "queued")]
        return sorted(jobs, key=lambda job: job.place)

    def kept(self, function: bytes) -> list[ModelJob]:
        """The finished jobs of a function that are kept, oldest first."""
        return [job for job in self.ended if job.function == function and job.state != "dead"]

    def count(self, function: bytes, states: str, priority: Priority | None = None) -> int:
        """How many jobs of a function are in one of some states."""
        return sum(
            job.function == function
            and job.state in states.split()
            and priority in (None, job.priority)
            for job in self.jobs + self.ended
        )

    def lasted_s(self, what: str, function: bytes) -> Iterator[float]:
        """How long something took, as often as it happened."""
        return (
            lasted_s for event, name, lasted_s in self.history if event == what and name == function
        )

    def note(self, event: str, function: bytes, lasted_s: float = 0.0) -> None:
        self.history.append((event, function, lasted_s))

    def know(self, function: bytes) -> None:
        if function not in self.functions:
            self.functions.append(function)

    def _next(self) -> int:
        self.order += 1
        return self.order

    def _tell(self, job: ModelJob, what: str, data: bytes) -> None:
        self.heard += [(client, Heard(job.handle, what, data)) for client in job.waiting]


SERVER_DOWN = b"the server went down"
