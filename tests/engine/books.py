"""Whether what the engine says of itself is what the model counts."""

from collections import Counter

from gearpy.engine.engine import Engine
from gearpy.engine.statistics import CounterStatistics, JobStatistics
from gearpy.priority import Priority

from .model import Model
from .model_job import ModelJob

# Counters that have the same name in the engine's statistics and in the model's history.
TOTALS = (
    "submitted",
    "coalesced",
    "completed",
    "failed",
    "retried",
    "lost",
    "timed_out",
    "gave_up",
    "buried",
    "revived",
    "expired",
    "cancelled",
    "abandoned",
    "stale",
)


class Books:
    """Statistics equal a recount."""

    engine: Engine
    model: Model
    wakes: int
    passed_over: int
    restarts: int

    def books(self) -> None:
        """All of them."""
        self._jobs_are_booked()
        self._ended_jobs_are_booked()
        self._functions_are_booked()
        self._totals_are_booked()

    def _totals_are_booked(self) -> None:
        model = self.model
        statistics = self.engine.statistics()
        states = Counter(job.state for job in model.jobs)
        dead = sum(job.state == "dead" for job in model.ended)
        assert statistics.jobs == len(model.jobs)
        assert statistics.functions == len(model.functions)
        assert statistics.queued == states["queued"]
        assert statistics.delayed == states["delayed"] + states["retrying"]
        assert statistics.running == states["running"] == len(model.held)
        assert (statistics.dead, statistics.kept) == (dead, len(model.ended) - dead)
        journalled = [job for job in model.jobs + model.ended if job.written]
        assert statistics.payload_bytes == sum(len(job.payload) for job in journalled)
        history = Counter(event for event, _, _ in model.history)
        for event in TOTALS:
            assert getattr(statistics, event) == history[event], event
        assert statistics.wakes == self.wakes
        assert statistics.passed_over == self.passed_over

    def _jobs_are_booked(self) -> None:
        came_back = {job.handle for job in self.model.jobs if job.came_back}
        in_order = [job.handle for job in self.engine.jobs() if job.handle not in came_back]
        assert in_order == [job.handle for job in self.model.jobs if not job.came_back]
        listed = sorted(self.engine.jobs(), key=lambda job: job.handle)
        booked = sorted(self.model.jobs, key=lambda job: job.handle)
        for got, job in zip(listed, booked, strict=True):
            assert got == self.engine.status(job.handle)
            self._job_is_booked(got, job)
            assert got.expire_s == job.expire_s
            assert got.due_s == job.due_s
            worker = "" if job.state != "running" else "worker"
            assert got.worker == worker
        for unique in (b"", b"u", b"v"):
            found = self.engine.status_by_unique(unique)
            candidates = [job.handle for job in self.model.jobs if job.unique == unique != b""]
            assert found.handle in candidates if found else not candidates

    def _ended_jobs_are_booked(self) -> None:
        for job in self.model.ended:
            found = self.engine.find(job.handle)
            assert found is not None
            assert self.engine.status(job.handle) is None
            got = self.engine.describe(found)
            self._job_is_booked(got, job)
            assert (got.result or b"") == b"".join(job.output)

    def _job_is_booked(self, got: JobStatistics, job: ModelJob) -> None:
        model = self.model
        assert (got.handle, got.function, got.unique) == (job.handle, job.function, job.unique)
        assert (got.state, got.background) == (job.state, job.background)
        assert (got.priority, got.payload, got.key) == (job.priority, job.payload, job.key)
        assert (got.created_s, got.since_s) == (job.created_s, job.since_s)
        assert (got.waiting, got.attempts, got.losses) == (
            len(job.waiting),
            job.attempts,
            job.losses,
        )
        assert ((got.numerator, got.denominator), got.text) == (job.progress, job.text)
        assert (got.reason, got.error) == (job.reason, job.error)
        assert [(each.number, each.outcome, each.usage) for each in got.log] == job.log
        most = model.attempts_max(job)
        assert got.attempts_max == (None if most == float("inf") else most)

    def _functions_are_booked(self) -> None:
        model = self.model
        names = []
        for got in self.engine.functions.all():
            function = got.function
            names.append(function)
            for states, counted in (("queued", got.queued), ("delayed retrying", got.delayed)):
                assert counted == tuple(
                    model.count(function, states, priority) for priority in Priority
                )
            for state in ("retrying", "running", "dead"):
                assert getattr(got, state) == model.count(function, state)
            assert got.kept == len(model.kept(function))
            assert got.total == sum(job.function == function for job in model.jobs)
            assert got.workers == sum(worker.can(function) for worker in model.workers.values())
            assert got.maxqueue == model.maxqueues.get(function, (0, 0, 0))
            assert (got.paused, got.draining) == (
                function in model.paused,
                function in model.drained,
            )
            waiting_since_s = [job.since_s for job in model.queued(function)]
            # Behind what ran when a server went down there may be some that wait for longer.
            assert (got.oldest_queued_s is None) == (not waiting_since_s)
            assert got.oldest_queued_s in (None, *waiting_since_s)
            assert self.restarts or got.oldest_queued_s == min(waiting_since_s, default=None)
            died_s = [
                job.since_s
                for job in model.ended
                if (job.function, job.state) == (function, "dead")
            ]
            assert got.oldest_dead_s == min(died_s, default=None)
            assert got == self.engine.functions.get(function)
            self._counters_are_booked(function, got.counters)
            self._next_jobs_are_booked(function)
        assert sorted(names) == sorted(model.functions)
        assert dict(self.engine.functions.limits()) == model.maxqueues

    def _counters_are_booked(self, function: bytes, got: CounterStatistics) -> None:
        history = Counter(event for event, name, _ in self.model.history if name == function)
        for event in ("submitted", "started", "completed", "retried", "timed_out", "expired"):
            assert getattr(got, event) == history[event], event
        assert got.failed == history["failed"] + history["gave_up"]
        assert got.dead == history["buried"]
        assert got.cancelled == history["cancelled"] + history["abandoned"]
        for what, histogram in (("started", got.waiting), ("ran", got.running)):
            lasted_s = list(self.model.lasted_s(what, function))
            assert sum(histogram.counts) == len(lasted_s)
            assert abs(histogram.sum_s - sum(lasted_s)) < 1e-6

    def _next_jobs_are_booked(self, function: bytes) -> None:
        """What is shown as next is in order; what waits for its key may come last."""
        expected = sorted(self.model.queued(function), key=lambda job: (job.priority, job.place))
        got = [job.handle for job in self.engine.peek(function, len(expected) + 1)]
        assert sorted(got) == sorted(job.handle for job in expected)
        free = [job.handle for job in expected if not job.key]
        assert [handle for handle in got if handle in free] == free
        assert self.engine.peek(function, 1) == [self.engine.find(handle) for handle in got[:1]]
