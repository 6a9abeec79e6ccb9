"""The machine with the server on it: turns, commits, crashes, starts.

It does with the broker what the real shell does, in the same order, with simulated time instead of
an event loop and a simulated disk instead of a thread with a store.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Final, final

from gearpy.broker.broker import Broker, Limits
from gearpy.broker.callbacks import SignedCaller
from gearpy.broker.gate import Work
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.rules import Rules
from gearpy.testing.simulation.books import HANDLE_PREFIX
from gearpy.testing.simulation.clock import START_S, Clock, Event
from gearpy.testing.simulation.disk import Disk, DiskStore
from gearpy.testing.simulation.features import Features
from gearpy.testing.simulation.link import Link
from gearpy.testing.simulation.network import Connection, End, Network
from gearpy.testing.simulation.story import Story
from gearpy.testing.simulation.witness import Witness

BuildBroker = Callable[..., Broker]

RESERVE_BYTES: Final = 1 << 20
_FETCH_BYTES_MAX: Final = 200  # of payloads that are read back at a time: tiny, so that it shows


@final
class Machine:
    """A server that may be up or down, and the disk that outlives it."""

    def __init__(
        self,
        clock: Clock,
        rng: Random,
        features: Features,
        story: Story,
        witness: Witness,
        disk: Disk,
        build: BuildBroker,
    ) -> None:
        self.clock = clock
        self.rng = rng
        self.witness = witness
        self.network: Network
        self.disk = disk
        self.starts = 0
        self.fails_next = False  # the next commit fails
        self.crashes_next = False  # behind the next commit, before anybody hears of that
        self.slowness = 1.0  # of the disk
        self.broker: Broker | None = None
        self._features = features
        self._story = story
        self._build = build
        self._store = DiskStore(disk, syncs=features.durability != "none")
        self._links: dict[Link, None] = {}
        self._reset()

    def _reset(self) -> None:
        for link in self._links:
            link.die()
        self._links.clear()
        self._turn_scheduled = False
        self._ring_event: Event | None = None
        self._ring_due_s = math.inf
        self._doing: Work | None = None
        self._doing_seq = 0  # what had happened when it began
        self._paused = False  # between two commits of an interval
        self._over = False  # a commit failed
        self._listens = False

    # ---- up and down

    @property
    def up(self) -> bool:
        """Whether the server runs."""
        return self.broker is not None

    @property
    def busy(self) -> bool:
        """Whether a commit is in flight or is going to be, or another turn is."""
        return self._doing is not None or self._paused or self._over or self._turn_scheduled

    @property
    def reading(self) -> bool:
        """Whether payloads are being read from the disk, or are going to be."""
        assert self.broker is not None, "it lasts"
        return self.broker.gate.urgent or bool(self._doing is not None and self._doing.wanted)

    def start(self) -> None:
        """Starts the server from what is on the disk."""
        assert self.broker is None, "it is down"
        self.starts += 1
        features = self._features
        now_s = self.clock.now_s
        broker = self.broker = self._build(
            limits=Limits(outbox_bytes=features.outbox_bytes, strict=features.strict),
            rules=Rules(handle_prefix=HANDLE_PREFIX, job_retries=features.job_retries),
            host=self.witness,
            durable=True,
            holds=features.durability == "commit",
            now_s=now_s,
            first_number=1 if features.clock_put_back else int((now_s - START_S) * 1e6) + 1,
            policies=PolicyBook(features.policies),
            draw=self.rng.random,
            budget_bytes=features.budget_bytes,
            caller=SignedCaller(features.callback_secret),
        )
        broker.gate.limit_bytes = features.budget_bytes  # tiny, so that it shows
        self._story.tell("server", "starts")
        refused = broker.engine.restore(self._store.load())
        self.witness.started(broker, self, refused)
        self._note_room()
        self._commit()
        self._listens = self._doing is None
        self._arm(broker.next_due_s())

    def crash(self) -> None:
        """The power fails: everything in memory is gone, and of the disk what was not synced."""
        if self.broker is not None:
            self._go_down(f"crashes: {self.disk.crash()}")

    def stop(self) -> None:
        """The server is asked to stop: it lets running jobs finish for a while, and commits."""
        if self.broker is None or self._over:
            return
        self._story.tell("server", "stops")
        self._drain(self.broker)
        self._later(self.rng.random(), self._stop_now)

    def _drain(self, broker: Broker) -> None:
        broker.drain()
        self.witness.drained()

    def _stop_now(self) -> None:
        assert self.broker is not None, "it was not crashed meanwhile"
        if not self._over:
            if self._doing is not None:
                self._finish(self._doing)
            while (work := self.broker.gate.take_work()) is not None:
                self._begin(work)
                self._finish(work)
            self._write()
        self.disk.sync()
        self._go_down("is down")

    def _go_down(self, words: str) -> None:
        self._story.tell("server", words)
        self.broker = None
        self._reset()
        self.network.server_died()
        self.witness.died()
        self.clock.after(self.rng.choice((0.01, 0.5, 3.0)) * self.rng.random(), self._start_again)

    def _start_again(self) -> None:
        if self.broker is None:
            self.start()

    def _later(self, delay_s: float, act: Callable[[], None]) -> Event:
        """Something that this run of the server does, if it lasts so long."""
        run = self.starts

        def act_if_up() -> None:
            if self.broker is not None and self.starts == run:
                act()

        return self.clock.after(delay_s, act_if_up)

    # ---- connections

    def accept(self, connection: Connection) -> End | None:
        """A peer knocks."""
        if self.broker is None or not self._listens:
            return None
        link = Link(self, self.broker, connection)
        self._links[link] = None
        return link

    def forget(self, link: Link) -> None:
        """A connection is gone."""
        self._links.pop(link, None)

    # ---- turns

    def begin(self) -> None:
        """Something is about to happen: the engine's time is set, and the turn's end comes."""
        assert self.broker is not None, "only a running server is told anything"
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._later(self.rng.choice((0.0, 0.0, 0.0002)), self._end_turn)
            self.broker.advance(self.clock.now_s)
            self.witness.time_passed()

    def _end_turn(self) -> None:
        broker = self.broker
        assert broker is not None, "it lasts"
        self._turn_scheduled = False
        self._commit()
        self._write()
        due_s = broker.next_due_s()
        if due_s < self._ring_due_s:
            self._arm(due_s)
        self.witness.turn_over()

    def _write(self) -> None:
        assert self.broker is not None, "it lasts"
        for link in self.broker.take_dirty():
            link.flush()

    def _arm(self, due_s: float) -> None:
        if self._ring_event is not None:
            self._ring_event.cancel()
        self._ring_due_s = due_s
        if due_s < math.inf:
            self._ring_event = self._later(max(0.0, due_s - self.clock.now_s), self._ring)

    def _ring(self) -> None:
        self._ring_event = None
        self._ring_due_s = math.inf
        self.begin()

    # ---- commits

    def _commit(self) -> None:
        """Starts a commit, if there is something to commit and nothing under way."""
        assert self.broker is not None, "it lasts"
        gate = self.broker.gate
        if self._doing is not None or self._over or (self._paused and not gate.urgent):
            return
        work = gate.take_work()
        if work is None:
            return
        self._begin(work)
        duration_s = self._features.commit_s * self.slowness * self.rng.random()
        self._later(duration_s, lambda: self._committed(work))

    def _begin(self, work: Work) -> None:
        self._doing, self._doing_seq = work, self.witness.books.seq
        if work.batch is not None:
            self._store.begin(work.batch, self._doing_seq)

    def _committed(self, work: Work) -> None:
        if self._doing is not work:
            return  # the server stopped, and finished it on its way
        if self.fails_next and work.batch is not None:
            self._fail()
            return
        if self.crashes_next and work.batch is not None:
            self.crashes_next = False
            self._store.finish()
            self.witness.committed(self._doing_seq)
            self.crash()
            return
        self._finish(work)
        if self._features.durability == "interval":
            self._paused = True
            self._later(self._features.interval_s, self._go_on)
        self.begin()

    def _finish(self, work: Work) -> None:
        broker = self.broker
        assert broker is not None, "it lasts"
        self._store.finish()
        payloads = self._store.payloads(work.wanted, _FETCH_BYTES_MAX) if work.wanted else {}
        self._doing = None
        # Handles are given out only when it is durable which ones can't be in use.
        self._listens = True
        self.witness.committed(self._doing_seq)
        broker.gate.open(work.ticket)
        if work.wanted:
            broker.engine.restock(work.wanted, payloads)
        self._note_room()

    def _fail(self) -> None:
        """A commit failed: the server stops, and nothing that waits for it leaves any more."""
        broker = self.broker
        assert broker is not None, "it lasts"
        self.fails_next = False
        self._over = True
        self.disk.forget_unsynced()
        self._story.tell("server", "can't commit, and stops")
        self._drain(broker)
        self._later(0.005 * self.rng.random(), lambda: self._go_down("is down"))

    def _go_on(self) -> None:
        self._paused = False
        self._commit()

    def _note_room(self) -> None:
        free_bytes = self._store.free_bytes()
        assert self.broker is not None, "it lasts"
        assert free_bytes is not None, "a simulated disk can say it"
        self.broker.engine.journal_full = free_bytes < RESERVE_BYTES
