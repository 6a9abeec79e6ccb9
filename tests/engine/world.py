"""An engine, its model, and everything that must hold between them at any moment."""

import itertools
from collections import Counter

from gearpy.engine.engine import Engine
from gearpy.engine.peers import Worker
from gearpy.engine.policy import Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.rules import Rules

from .books import Books
from .journals import KeptJournal
from .model import Model
from .model_job import ModelWorker
from .recorders import ClientRecorder, WorkerRecorder

PATIENCE_S = 0.1
CLIENTS = 2
WORKERS = 4
SWEEP_S = 0.02  # so much later than it may what is kept is forgotten


class ClientSide:
    """A client of the engine: what it hears, and what it may still expect."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = ClientRecorder()
        self.waits: Counter[bytes] = Counter()  # submissions whose endings are to come


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


class World(Books):
    """An engine and a model that are told the same, and the peers that hear both."""

    def start(
        self, job_retries: int, wakes_per_job: int, draw: float, policies: dict[bytes, Policy]
    ) -> None:
        """Begins with peers that have said nothing yet."""
        self.decided = Rules(
            handle_prefix=b"H:t",
            job_retries=job_retries,
            wakes_per_job=wakes_per_job,
            wake_patience_s=PATIENCE_S,
        )
        self.draw = draw
        self.policies = policies
        self.journal = KeptJournal()
        self.model = Model(job_retries, draw, policies)
        self.names = itertools.count(1)
        self.handles: list[bytes] = []
        self.restarts = 0
        self.new_engine()

    def new_engine(self) -> None:
        """Another engine, from what the journal holds; nobody is connected yet."""
        self.engine = Engine(
            self.decided,
            self.journal,
            self.model.now_s,
            policies=PolicyBook(self.policies),
            draw=lambda: self.draw,
        )
        assert not self.engine.restore(list(self.journal.records()))
        self.wakes = 0
        self.passed_over = 0
        self.decided_s = self.model.now_s
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
        self.workers_hear_of_cancels()
        self.one_holder()
        self.one_unfinished_job_for_a_unique()
        self.forget_what_was_kept_long_enough()
        self.books()
        self.journal.check(self.engine, b"H:t")
        self.workers_stand_in_turn()

    def note_wakes(self, later: bool = False) -> None:
        """Who was woken just now; and whether it had to be.

        ``later``: time has passed since, and the job may be over.
        """
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
                queued = self.model.count(function, "queued")
                room = min(queued, self.model.room(function)) * self.decided.wakes_per_job
                assert later or coming <= room, "no more come than there is work for"

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
            needed = self.givable(function) * self.decided.wakes_per_job
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
                assert side.waits[what.handle] > 0, "nothing follows the ending"
                side.waits[what.handle] -= what.what in ("completed", "failed", "exception")
            for handle, copies in side.waits.items():
                unfinished = self.engine.status(handle)
                assert not copies or unfinished is not None, "who waits hears of the end"

    def workers_hear_of_cancels(self) -> None:
        """The one that holds the job, once."""
        told, self.model.told = self.model.told, []
        for side in self.workers:
            cancelled, side.port.cancelled = side.port.cancelled, []
            assert cancelled == [handle for worker, handle in told if worker == side.name]

    def one_holder(self) -> None:
        """A job is held by one worker, and both know it."""
        held = [
            (job.handle, side.name)
            for side in self.workers
            for job in side.worker.jobs.values()
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

    def givable(self, function: bytes) -> int:
        """How many jobs of a function somebody has to come for."""
        model = self.model
        free: Counter[bytes] = Counter()
        most = model.of_function(function, "max_running_per_key")
        for job in model.queued(function):
            free[job.key] += 1
            if job.key and most:
                running = [other for other in model.held if other.function == function]
                left = most - sum(other.key == job.key for other in running)
                free[job.key] = max(0, min(free[job.key], left))
        count = min(sum(free.values()), model.room(function))
        # That more jobs may start than a minute ago is looked at when one starts, or none may.
        return min(count, 1) if model.of_function(function, "rate_per_minute") else count

    def forget_what_was_kept_long_enough(self) -> None:
        """When exactly that happens is the engine's freedom, but not by much."""
        for job in list(self.model.ended):
            if job.state == "dead":
                continue
            until_s = job.since_s + (self.model.of_function(job.function, "keep_s") or 0.0)
            if self.engine.find(job.handle) is None:
                assert until_s <= self.model.now_s, "it was to be kept"
                self.model.ended.remove(job)
            else:
                assert self.model.now_s < max(until_s, self.decided_s) + SWEEP_S, "long enough"

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
