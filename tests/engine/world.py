"""An engine, its model, and everything that must hold between them at any moment."""

import itertools
from collections import Counter

from gearpy.engine.engine import Engine
from gearpy.engine.peers import Worker
from gearpy.engine.policy import Rules
from gearpy.priority import Priority

from .model import Model, ModelWorker
from .recorders import ClientRecorder, WorkerRecorder

PATIENCE_S = 0.1
CLIENTS = 2
WORKERS = 4


class ClientSide:
    """A client of the engine: what it hears, and what it may still expect."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = ClientRecorder()
        self.submissions: Counter[bytes] = Counter()
        self.endings: Counter[bytes] = Counter()


class WorkerSide:
    """A worker of the engine, as it knows itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = WorkerRecorder()
        self.sleeping = False  # sent PRE_SLEEP, and no wake-up since
        self.woken_s: float | None = None  # woken then, and neither grabbed nor slept since
        self.less_able = False  # since it was woken

    @property
    def worker(self) -> Worker:
        return self.port.worker

    def speaks(self) -> None:
        """It grabs, or says that it sleeps."""
        self.sleeping = False
        self.woken_s = None
        self.less_able = False


class World:
    """An engine and a model that are told the same, and the peers that hear both."""

    def start(self, job_retries: int, wakes_per_job: int) -> None:
        """Begins with peers that have said nothing yet."""
        rules = Rules(
            handle_prefix=b"H:t",
            job_retries=job_retries,
            wakes_per_job=wakes_per_job,
            wake_patience_s=PATIENCE_S,
        )
        self.engine = Engine(rules)
        self.model = Model(job_retries)
        self.names = itertools.count(1)
        self.handles: list[bytes] = []
        self.wakes = 0
        self.passed_over = 0
        self.kept: set[bytes] = set()  # background jobs that nothing has ended
        self.clients = [self.new_client() for _ in range(CLIENTS)]
        self.workers = [self.new_worker() for _ in range(WORKERS)]

    def new_client(self) -> ClientSide:
        """A client that has said nothing yet."""
        return ClientSide(f"client{next(self.names)}")

    def new_worker(self) -> WorkerSide:
        """A worker that has said nothing yet."""
        side = WorkerSide(f"worker{next(self.names)}")
        self.model.workers[side.name] = ModelWorker()
        return side

    def patience_ends_s(self, side: WorkerSide) -> float:
        """When a woken worker is passed over."""
        assert side.woken_s is not None, "only who was woken is waited for"
        return side.woken_s + PATIENCE_S

    def everything_holds(self) -> None:
        """Checks all that is below."""
        self.note_wakes()
        self.no_lost_wake_up()
        self.clients_hear_what_workers_say()
        self.one_holder()
        self.one_unfinished_job_for_a_unique()
        self.background_jobs_stay()
        self.books()
        self.workers_stand_in_turn()

    def note_wakes(self) -> None:
        """Who was woken just now; and whether it had to be."""
        for side in self.workers:
            wakes, side.port.wakes = side.port.wakes, 0
            if wakes:
                assert wakes == 1, "one wake-up, until the worker speaks"
                assert side.sleeping, "only sleepers are woken"
                assert not self.model.draining, "nobody is woken when there is nothing to get"
                side.sleeping = False
                side.woken_s = self.model.now_s
                side.less_able = False
                self.wakes += 1
                function = self.called_for(side)
                assert function is not None, "who is woken is woken for a function"
                coming = sum(self.called_for(other) == function for other in self.workers)
                room = self.model.count(function, "queued") * self.engine.rules.wakes_per_job
                assert coming <= room, "no more come than there is work for"

    def called_for(self, side: WorkerSide) -> bytes | None:
        """The function that the engine waits for this worker to come for."""
        queue = side.worker.called_for
        return None if queue is None else queue.name

    def no_lost_wake_up(self) -> None:
        """Jobs that nobody comes for and sleepers that could do them never coexist."""
        on_the_way: Counter[bytes] = Counter()
        for side in self.workers:
            function = self.called_for(side)
            if function is None:
                in_time = side.woken_s is not None and self.model.now_s < self.patience_ends_s(side)
                assert not in_time or side.less_able, "it still may come in time"
                continue
            assert side.woken_s is not None, "who is on its way was woken, and has not arrived"
            assert self.model.now_s < self.patience_ends_s(side), "in the last 100 ms"
            assert self.model.workers[side.name].can(function), "it can do what it is to fetch"
            on_the_way[function] += 1
        if self.model.draining:
            return
        for function in self.model.functions:
            needed = self.model.count(function, "queued") * self.engine.rules.wakes_per_job
            if on_the_way[function] < needed:
                for side in self.workers:
                    able = self.model.workers[side.name].can(function)
                    assert not (able and side.sleeping), f"a job of {function!r}, and it sleeps"

    def clients_hear_what_workers_say(self) -> None:
        """Everything, in order, a copy for each submission, one ending and nothing after it."""
        heard, self.model.heard = self.model.heard, []
        for side in self.clients:
            got = side.port.take()
            assert got == [what for client, what in heard if client == side.name]
            for what in got:
                if what.what in ("completed", "failed", "exception"):
                    side.endings[what.handle] += 1
                else:
                    assert not side.endings[what.handle], "nothing follows the ending"
            for handle, copies in side.submissions.items():
                unfinished = self.engine.status(handle) is not None
                assert side.endings[handle] == (0 if unfinished else copies)

    def one_holder(self) -> None:
        """A job is held by one worker, and both know it."""
        held = [
            (job.handle, side.name)
            for side in self.workers
            for job in side.worker.jobs
            if job.worker is side.worker
        ]
        assert held == [
            (job.handle, side.name)
            for side in self.workers
            for job in self.model.held
            if job.worker == side.name
        ]
        assert len(held) == len(dict(held)) == self.engine.statistics().running

    def one_unfinished_job_for_a_unique(self) -> None:
        """Who submits it again joins it."""
        uniques = Counter(
            (job.function, job.unique)
            for job in self.engine.jobs()
            if job.unique not in (b"", b"-")
        )
        assert not [what for what, count in uniques.items() if count > 1]

    def background_jobs_stay(self) -> None:
        """Whatever foreground clients do: only an end, a cancel or a last loss forgets one."""
        for handle in list(self.kept):
            if self.engine.status(handle) is None:
                assert self.model.find(handle) is None
                assert self.engine.rules.job_retries >= 0, "nothing was to end it"
                self.kept.remove(handle)

    def books(self) -> None:
        """Statistics equal a recount."""
        self._jobs_are_booked()
        self._functions_are_booked()
        statistics = self.engine.statistics()
        states = Counter(job.state for job in self.model.jobs)
        history = Counter(self.model.history)
        assert statistics.jobs == len(self.model.jobs)
        assert statistics.functions == len(self.model.functions)
        assert statistics.queued == states["queued"] == len(self.model.queued)
        assert statistics.delayed == states["delayed"]
        assert statistics.running == states["running"] == len(self.model.held)
        for event in (
            "submitted",
            "coalesced",
            "completed",
            "failed",
            "lost",
            "timed_out",
            "gave_up",
            "cancelled",
            "abandoned",
            "stale",
        ):
            assert getattr(statistics, event) == history[event], event
        assert statistics.wakes == self.wakes
        assert statistics.passed_over == self.passed_over

    def _jobs_are_booked(self) -> None:
        for got, job in zip(self.engine.jobs(), self.model.jobs, strict=True):
            assert got == self.engine.status(job.handle)
            assert (got.handle, got.function, got.unique) == (job.handle, job.function, job.unique)
            assert (got.state, got.background) == (job.state, job.background)
            assert (got.waiting, got.losses) == (len(job.waiting), job.losses)
            assert (got.numerator, got.denominator) == job.progress
        for unique in (b"", b"u", b"v"):
            found = self.engine.status_by_unique(unique)
            candidates = [job.handle for job in self.model.jobs if job.unique == unique != b""]
            assert found.handle in candidates if found else not candidates

    def _functions_are_booked(self) -> None:
        names = []
        for got in self.engine.functions():
            names.append(got.function)
            for state, counted in (("queued", got.queued), ("delayed", got.delayed)):
                assert counted == tuple(
                    self.model.count(got.function, state, priority) for priority in Priority
                )
            assert got.running == self.model.count(got.function, "running")
            assert got.total == sum(job.function == got.function for job in self.model.jobs)
            assert got.workers == sum(
                worker.can(got.function) for worker in self.model.workers.values()
            )
            assert got.maxqueue == self.model.maxqueues.get(got.function, (0, 0, 0))
            assert got == self.engine.function(got.function)
        assert names == self.model.functions
        assert dict(self.engine.limits()) == self.model.maxqueues

    def workers_stand_in_turn(self) -> None:
        """Abilities are in the order of service, and each is listed as idle or as absent."""
        for side in self.workers:
            worker = side.worker
            abilities = self.model.workers[side.name].abilities
            assert [
                (queue.name, ability.timeout_s) for queue, ability in worker.abilities.items()
            ] == abilities
            turns = [ability.turn for ability in worker.abilities.values()]
            assert turns == sorted(turns)
            assert len(set(turns)) == len(turns)
            for queue in worker.abilities:
                assert (worker in queue.idle) != (queue in worker.absent)
            assert all(queue in worker.abilities for queue in worker.absent)
