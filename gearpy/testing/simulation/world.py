"""The world: a server, its disk, its peers and its misfortunes, all under one seed."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, final

from gearpy.broker.broker import Broker
from gearpy.engine.job import DEAD
from gearpy.engine.records import Put
from gearpy.testing.simulation.books import Broken
from gearpy.testing.simulation.clients import Client
from gearpy.testing.simulation.clock import START_S, Clock
from gearpy.testing.simulation.disk import Disk
from gearpy.testing.simulation.features import Features, draw_features
from gearpy.testing.simulation.machine import RESERVE_BYTES, BuildBroker, Machine
from gearpy.testing.simulation.network import Network
from gearpy.testing.simulation.operators import Operator
from gearpy.testing.simulation.peer import Surroundings
from gearpy.testing.simulation.story import Story
from gearpy.testing.simulation.witness import Witness
from gearpy.testing.simulation.workers import Worker

CALM_S: Final = 7200.0  # within which everything must have ended
_REST_S: Final = 600.0  # for what is still on its way
_FAULTS: Final = 5  # of a rate of 1, in a world


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a world went."""

    seed: int
    features: Features
    broken: str | None  # what did not hold, in a sentence; None: everything did
    story: Story
    events: int
    starts: int  # of the server
    jobs: int
    receipts: int  # that were delivered
    followups: int  # jobs that followed others


@final
class World:
    """Runs once: first in trouble, then in calm."""

    def __init__(self, seed: int, build: BuildBroker = Broker) -> None:
        self.seed = seed
        self.clock = Clock()
        self.story = Story(self.clock)
        rng = self._rng = Random(seed)
        features = self.features = draw_features(rng)
        self.disk = Disk(rng, loses_writes=features.loses_writes)
        self.witness = Witness(features, self.story, self.disk)
        self.machine = Machine(
            self.clock, rng, features, self.story, self.witness, self.disk, build
        )
        network = Network(self.clock, rng, self.machine, self.story.tell)
        self.machine.network = network
        self.around = Surroundings(self.clock, rng, network, self.story, features)
        self.operator: Operator
        self.clients: list[Client] = []
        self.workers: list[Worker] = []

    def run(self) -> Outcome:
        """Lets everything happen; what does not hold is in the outcome."""
        broken = None
        try:
            self._trouble()
            self._calm()
        except Exception as error:
            broken = f"{error}" if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            self.story.tell("BROKEN", broken)
        return Outcome(
            self.seed,
            self.features,
            broken,
            self.story,
            self.clock.events,
            self.machine.starts,
            len(self.witness.books.papers),
            sum(len(client.receipts) for client in self.clients),
            sum(paper.follows is not None for paper in self.witness.books.papers.values()),
        )

    # ---- trouble

    def _trouble(self) -> None:
        self.machine.start()
        for number in range(self.features.clients):
            self.clients.append(Client(f"client{number + 1}", self.around))
        if self.features.flood:
            self.clock.after(0.5, lambda: self.clients[0].flood(self.features.flood))
        self.operator = Operator("operator", self.around)
        for number in range(self.features.workers):
            self.workers.append(Worker(f"worker{number + 1}", self.around))
        faults: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "break": self.around.network.break_some,
            "slow": self.around.network.slow_some,
            "stall the disk": self._stall_disk,
            "fail a commit": self._fail_commit,
            "fill the disk": self._fill_disk,
        }
        for name, act in faults.items():
            rate = self.features.faults[name] * _FAULTS / self.features.busy_s
            if rate:
                self._repeat(rate, act)
        self.clock.run(START_S + self.features.busy_s)

    def _repeat(self, rate: float, act: Callable[[], None]) -> None:
        def again() -> None:
            if not self.around.calm:
                act()
                self._repeat(rate, act)

        self.clock.after(self._rng.expovariate(rate), again)

    def _crash(self) -> None:
        chance = self._rng.random()
        if chance < 0.3:
            # What had to be in one batch is on the disk, and nothing of the next one is.
            self.machine.crashes_next = True
        elif chance < 0.8:
            # Between any two events: also between what a turn hears and what it writes.
            self.clock.after_events(self._rng.randint(0, 20), self._crash_now)
        else:
            self.machine.stop()

    def _crash_now(self) -> None:
        if not self.around.calm:
            self.machine.crash()

    def _stall_disk(self) -> None:
        self.story.tell("disk", "is slow for a while")
        self.machine.slowness = 50.0
        self.clock.after(self._rng.random(), self._disk_is_well)

    def _disk_is_well(self) -> None:
        self.machine.slowness = 1.0

    def _fail_commit(self) -> None:
        self.machine.fails_next = True

    def _fill_disk(self) -> None:
        self.story.tell("disk", "is full")
        self.disk.free_bytes = RESERVE_BYTES - 1
        self.clock.after(self._rng.random(), self._empty_disk)

    def _empty_disk(self) -> None:
        self.disk.free_bytes = 1 << 30

    # ---- calm

    def _calm(self) -> None:
        """Faults stop and workers are healthy: now everything must come to its end."""
        self.story.tell("world", "calm begins")
        self.around.calm = True
        self.machine.fails_next = self.machine.crashes_next = False
        self._disk_is_well()
        self._empty_disk()
        self.clock.run(self.clock.now_s + 5.0)  # a server that is down comes back
        if not self.machine.up:
            raise Broken("liveness: the server did not come back")
        self.operator.end_pauses()
        if self._rng.random() < 0.5:
            self.operator.retry_dead_letters()
        for worker in self.workers:
            worker.retire()
        self.workers = [Worker(f"healthy{number + 1}", self.around) for number in range(2)]
        self.clock.run(self.clock.now_s + CALM_S, lambda: self.witness.books.all_done)
        self.clock.run(self.clock.now_s + _REST_S)
        self._check_end()

    def _check_end(self) -> None:
        books = self.witness.books
        for paper in books.unfinished.values():
            job = books.job(paper, "no loss")
            raise Broken(f"liveness: {books.name(paper)} is still {job.state} after a long calm")
        if books.owed:
            raise Broken(f"one followup: nothing follows {books.name(books.owed[0].paper)}")
        self.witness.recount()
        self._check_receipts()
        self._check_disk()
        for seat in books.seats:
            if not seat.session.outbox.empty:
                raise Broken(f"no held reply: {seat.name} still waits for one")
        for client in self.clients:
            if client.waits.total():
                raise Broken(f"one ending: {client.name} waits for a job that has ended")

    def _check_receipts(self) -> None:
        """Every job on paper has ended, or lies dead-lettered."""
        books = self.witness.books
        for client in self.clients:
            for handle in client.receipts:
                if handle not in books.papers:
                    raise Broken(f"no loss: nobody knows {handle!r} any more")
                paper = books.papers[handle]
                if paper.promised and paper.ended == "vanished":
                    raise Broken(f"no loss: {books.name(paper)} has vanished")

    def _check_disk(self) -> None:
        """Nothing is on the disk but what is still kept: dead letters, and some that finished."""
        engine, books = self.witness.books.engine, self.witness.books
        for record in self.disk.load():
            if isinstance(record, Put) and engine.find(record.handle) is None:
                raise Broken(f"books: {record.handle!r} has ended, and is still on the disk")
        if self.features.durability == "none":
            return
        for paper in books.papers.values():
            if paper.ended == DEAD and not paper.in_memory:
                _, change = self.disk.durable.get(paper.number, (None, None))
                if change is None or change.state != DEAD:
                    raise Broken(f"books: dead letter {books.name(paper)} is not on the disk")


def simulate(seed: int, build: BuildBroker = Broker) -> Outcome:
    """Runs the world of a seed.

    ``build`` makes the broker: it is called like ``Broker``, at each start of the server.
    """
    return World(seed, build).run()
