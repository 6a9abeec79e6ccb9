"""The gate: tickets, the open batch, who waits; and outboxes behind it, whatever the order."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gearpy.broker.broker import Broker
from gearpy.broker.gate import CommitGate, Work
from gearpy.broker.outbox import Link, Outbox
from gearpy.broker.ports import Peer
from gearpy.engine.engine import Engine
from gearpy.engine.job import Job
from gearpy.engine.records import Batch, Mark, Put
from gearpy.errors import JournalFull
from gearpy.priority import Priority
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from tests.engine.recorders import ClientRecorder


class Waiter:
    """Waits for one ticket and keeps when it was told of an open gate."""

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.released: list[int] = []

    def release(self, durable: int) -> bool:
        self.released.append(durable)
        return durable < self.ticket


def new_job(number: int = 1, engine: Engine | None = None) -> Job:
    return (engine or Engine(first_number=number)).submit(
        None, b"f", b"u%d" % number, b"data", Priority.LOW, 5.0, b"r"
    )


def taken(gate: CommitGate) -> Work:
    work = gate.take_work()
    assert work is not None
    return work


def batch_of(work: Work) -> Batch:
    assert work.batch is not None
    return work.batch


def test_all_records_of_a_batch_have_its_ticket_and_nothing_is_durable_by_itself() -> None:
    gate = CommitGate()
    tickets = [gate.put(new_job(2)), gate.put(new_job(3)), gate.note(Mark(9))]
    assert len(set(tickets)) == 1
    assert tickets[0] > gate.durable
    work = taken(gate)
    assert work.ticket == tickets[0] > gate.durable
    assert gate.put(new_job(4)) > work.ticket


def test_a_batch_holds_what_was_written_in_order() -> None:
    gate = CommitGate()
    first, second, old = new_job(1), new_job(2), new_job(3)
    gate.put(first)
    gate.done(old)
    gate.put(second)
    gate.note(Mark(7))
    batch = batch_of(taken(gate))
    assert batch.puts == [
        Put(1, first.handle, b"f", b"u1", b"data", Priority.LOW, 0.0, 5.0, 0.0, b"r", b""),
        Put(2, second.handle, b"f", b"u2", b"data", Priority.LOW, 0.0, 5.0, 0.0, b"r", b""),
    ]
    assert (batch.changes, batch.dones, batch.notes) == ([], [3], [Mark(7)])


def test_what_became_of_a_job_is_written_once_and_as_it_is_in_the_end() -> None:
    gate = CommitGate()
    job = new_job(1)
    gate.put(job)
    gate.open(taken(gate).ticket)
    job.attempts = 1
    gate.changed(job)
    job.attempts = 2
    gate.changed(job)
    assert [change.attempts for change in batch_of(taken(gate)).changes] == [2]


def test_nothing_written_is_no_work() -> None:
    gate = CommitGate()
    assert gate.take_work() is None
    gate.put(new_job())
    work = taken(gate)
    gate.open(work.ticket)
    assert gate.take_work() is None, "the same records are not taken twice"


def test_put_and_done_in_one_batch_cancel_out_but_the_batch_still_comes() -> None:
    gate = CommitGate()
    job = new_job()
    creation = gate.put(job)
    gate.changed(job)
    gate.done(job)
    waiter = Waiter(creation)
    gate.wait(waiter)
    work = taken(gate)
    assert work.batch == Batch()
    assert not waiter.released, "its creator waits for the batch nevertheless"
    gate.open(work.ticket)
    assert waiter.released == [work.ticket]


def test_put_and_done_in_two_batches_are_both_written() -> None:
    gate = CommitGate()
    job = new_job()
    gate.put(job)
    work = taken(gate)
    gate.changed(job)
    gate.done(job)
    gate.open(work.ticket)
    assert batch_of(taken(gate)) == Batch(dones=[job.number])


def test_who_is_released_is_forgotten_and_who_is_not_waits_on() -> None:
    gate = CommitGate()
    first = Waiter(gate.put(new_job(1)))
    gate.wait(first)
    work = taken(gate)
    second = Waiter(gate.put(new_job(2)))
    gate.wait(second)
    gate.open(work.ticket)
    assert gate.urgent, "the second still waits"
    assert (len(first.released), len(second.released)) == (1, 1)
    gate.open(taken(gate).ticket)
    assert (len(first.released), len(second.released)) == (1, 2)


def test_one_batch_is_under_way_at_a_time() -> None:
    gate = CommitGate()
    gate.put(new_job(1))
    work = taken(gate)
    gate.put(new_job(2))
    with pytest.raises(AssertionError, match="not done yet"):
        gate.take_work()
    gate.open(work.ticket)
    assert len(batch_of(taken(gate)).puts) == 1


def test_payloads_are_asked_for_behind_the_batch_that_may_hold_them() -> None:
    gate = CommitGate()
    job = new_job(5)
    gate.put(job)
    assert not gate.urgent
    gate.fetch([job])
    assert gate.urgent
    work = taken(gate)
    assert (len(batch_of(work).puts), work.wanted) == (1, [5])
    gate.open(work.ticket)
    gate.fetch([job])
    work = taken(gate)
    assert (work.batch, work.ticket, work.wanted) == (None, gate.durable, [5])
    gate.open(work.ticket)
    assert not gate.urgent


def test_an_open_gate_holds_nothing_and_still_collects() -> None:
    gate = CommitGate(holds=False)
    ticket = gate.put(new_job())
    assert 0 < ticket <= gate.durable
    work = taken(gate)
    assert len(batch_of(work).puts) == 1
    gate.open(work.ticket)
    assert gate.take_work() is None


def test_the_gate_is_the_journal_of_an_engine() -> None:
    gate = CommitGate()
    engine = Engine(journal=gate)
    job = engine.submit(None, b"f", b"u", b"")
    assert job.ticket > gate.durable
    assert engine.submit(None, b"f", b"u", b"").ticket == job.ticket, "who joins waits for it too"
    gate.open(taken(gate).ticket)
    assert job.ticket <= gate.durable
    engine.cancel(job.handle)
    assert batch_of(taken(gate)) == Batch(dones=[job.number])


def sized(engine: Engine, size_bytes: int) -> Job:
    return engine.submit(None, b"f", b"", bytes(size_bytes))


def test_every_job_on_its_way_to_the_disk_takes_room_until_the_disk_says_how_much_is_left() -> None:
    gate = CommitGate()
    engine = Engine(journal=gate)
    assert gate.room_bytes == math.inf, "nobody said"
    gate.set_room(200_000)
    assert gate.room_bytes == 100_000, "all goes to the log first, and then once more"
    sized(engine, 20_000)
    assert 79_000 <= gate.room_bytes < 80_000, "there is a bit more to a job than its payload"
    work = taken(gate)
    job = sized(engine, 30_000)
    assert 48_000 <= gate.room_bytes < 50_000, "what is under way counts"
    gate.set_room(200_000)
    assert 48_000 <= gate.room_bytes < 50_000
    gate.open(work.ticket)
    gate.set_room(160_000)
    assert 49_000 <= gate.room_bytes < 50_000, "that is on the disk now"
    engine.cancel(job.handle)
    assert gate.room_bytes == 80_000, "what ended before needs none"


def test_a_burst_is_refused_before_it_is_too_much_for_the_disk() -> None:
    gate = CommitGate()
    engine = Engine(journal=gate)
    gate.set_room(100_000)
    for _ in range(4):
        sized(engine, 10_000)
    with pytest.raises(JournalFull):
        sized(engine, 10_000)
    taken(gate)
    with pytest.raises(JournalFull):
        sized(engine, 10_000)
    sized(engine, 1_000)
    client = ClientRecorder().client
    engine.submit(client, b"f", b"u", bytes(50_000))  # it is not journalled
    with pytest.raises(JournalFull):
        engine.submit(None, b"f", b"u", bytes(50_000))
    gate.set_room(400_000)
    engine.submit(None, b"f", b"u", bytes(50_000))


def test_it_is_crowded_while_too_much_is_not_on_the_disk() -> None:
    gate = CommitGate(limit_bytes=100_000)
    engine = Engine(journal=gate)
    sized(engine, 60_000)
    assert not gate.crowded
    first = taken(gate)
    sized(engine, 60_000)
    assert gate.crowded, "what is under way counts"
    gate.open(first.ticket)
    assert not gate.crowded
    sized(engine, 60_000)
    second = taken(gate)
    assert gate.crowded
    gate.open(second.ticket)
    assert not gate.crowded


class Line:
    """A link whose peer takes everything at once."""

    def __init__(self, broker: Broker) -> None:
        self.session = broker.connect(Peer(1, "here", "here:1"), self)
        self.taken = b""

    def flush(self) -> None:
        self.taken += self.session.outbox.take()
        if self.session.choked:
            self.session.resume()


def test_who_waits_at_a_crowded_gate_is_asked_for_no_more() -> None:
    broker = Broker(durable=True)
    gate = broker.gate
    gate.limit_bytes = 5_000
    line, other = Line(broker), Line(broker)
    line.session.receive(codec.request(p.SUBMIT_JOB_BG, b"f", b"", bytes(1_000)) * 20)
    submitted = broker.statistics().engine.submitted
    assert 0 < submitted <= 5
    assert line.session.choked
    line.session.receive(codec.request(p.ECHO_REQ, b"last"))
    other.session.receive(codec.request(p.ECHO_REQ, b"x") * 3)
    assert not other.session.choked
    assert other.session.outbox.size_bytes, "who waits for nothing goes on"
    while (work := gate.take_work()) is not None:
        assert len(batch_of(work).puts) <= 5
        gate.open(work.ticket)
        while dirty := broker.take_dirty():
            for link in dirty:
                link.flush()
    assert not line.session.choked
    assert line.taken.count(b"\0RES") == 21
    assert line.taken.endswith(b"last")
    assert broker.statistics().engine.submitted == 20


class Connection:
    """A link, its outbox, and what should come out of it."""

    def __init__(self, gate: CommitGate, dirty: list[Link]) -> None:
        self.outbox = Outbox(gate, dirty, self)
        self.expected: list[tuple[int, bytes]] = []  # still to be sent: tickets and packets

    def flush(self) -> None:
        """Not called by outboxes: the shell goes through the list of links."""

    def ready(self, durable: int) -> list[bytes]:
        """What may leave now: everything before the first packet that has to wait."""
        ready = []
        for ticket, packet in self.expected:
            if ticket > durable:
                break
            ready.append(packet)
        return ready


connections = st.integers(0, 2)


class OutboxesBehindGate(RuleBasedStateMachine):
    """Three connections that create jobs and hear replies, one disk, and turns in between."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = CommitGate()
        self.engine = Engine(journal=self.gate)
        self.dirty: list[Link] = []
        self.disk: dict[int, Put] = {}
        self.committing: Work | None = None
        self.ended: set[int] = set()
        self.jobs: list[Job] = []
        self.sent = 0
        self.connections = [Connection(self.gate, self.dirty) for _ in range(3)]

    def _put(self, number: int, ticket: int) -> None:
        connection = self.connections[number]
        self.sent += 1
        packet = b"%d;" % self.sent
        connection.outbox.put(packet, ticket)
        connection.expected.append((ticket, packet))

    @rule(number=connections)
    def create(self, number: int) -> None:
        job = self.engine.submit(None, b"f", b"", b"")
        self.jobs.append(job)
        self._put(number, job.ticket)

    @precondition(lambda self: self.jobs)
    @rule(number=connections, pick=st.integers(0, 9))
    def join(self, number: int, pick: int) -> None:
        self._put(number, self.jobs[-1 - pick % len(self.jobs)].ticket)

    @rule(number=connections)
    def reply(self, number: int) -> None:
        self._put(number, 0)

    @precondition(lambda self: self.jobs)
    @rule(pick=st.integers(0, 9))
    def end(self, pick: int) -> None:
        job = self.jobs.pop(-1 - pick % len(self.jobs))
        assert self.engine.cancel(job.handle)
        self.ended.add(job.number)

    @precondition(lambda self: self.committing is None)
    @rule()
    def start_commit(self) -> None:
        self.committing = self.gate.take_work()

    @precondition(lambda self: self.committing is not None)
    @rule()
    def finish_commit(self) -> None:
        work, self.committing = self.committing, None
        assert work is not None
        commit(self.disk, batch_of(work))
        self.gate.open(work.ticket)
        for job in self.jobs:
            assert (job.ticket <= self.gate.durable) == (job.number in self.disk)

    @rule(number=connections)
    def close(self, number: int) -> None:
        old = self.connections[number]
        old.outbox.close()
        old.outbox.put(b"too late")
        old.outbox.put(b"too late", self.gate.durable + 1)
        assert old.outbox.take() == b""
        assert old.outbox.size_bytes == 0
        assert old.outbox.empty
        if old in self.dirty:
            self.dirty.remove(old)
        self.connections[number] = Connection(self.gate, self.dirty)

    @rule()
    def turn(self) -> None:
        dirty = self.dirty[:]
        self.dirty.clear()
        for link in dirty:
            assert isinstance(link, Connection)
            self._write(link)
        for connection in self.connections:
            assert not connection.ready(self.gate.durable), "a turn leaves nothing behind"

    def _write(self, connection: Connection) -> None:
        ready = connection.ready(self.gate.durable)
        assert ready, "who is on the list has something to say"
        assert connection.outbox.take() == b"".join(ready)
        del connection.expected[: len(ready)]

    @rule(number=connections)
    def write_early(self, number: int) -> None:
        """The shell may take what is there at any time, and must get all of it."""
        connection = self.connections[number]
        ready = connection.ready(self.gate.durable)
        assert connection.outbox.take() == b"".join(ready)
        del connection.expected[: len(ready)]
        if connection in self.dirty:
            self.dirty.remove(connection)

    @invariant()
    def outboxes_are_booked(self) -> None:
        for connection in self.connections:
            outbox = connection.outbox
            assert outbox.size_bytes == sum(len(packet) for _, packet in connection.expected)
            assert outbox.empty == (not connection.expected)

    @invariant()
    def the_list_of_links_is_exact(self) -> None:
        talkers = {id(c) for c in self.connections if c.ready(self.gate.durable)}
        assert sorted(map(id, self.dirty)) == sorted(talkers)

    def teardown(self) -> None:
        """After calm no reply is held."""
        for _ in range(2):
            if self.committing is None:
                self.start_commit()
            if self.committing is not None:
                self.finish_commit()
            self.turn()
        assert all(connection.outbox.empty for connection in self.connections)
        assert set(self.disk) == {job.number for job in self.jobs}
        assert not set(self.disk) & self.ended


def commit(disk: dict[int, Put], batch: Batch) -> None:
    for put in batch.puts:
        disk[put.number] = put
    for number in batch.dones:
        del disk[number]


TestOutboxesBehindGate = OutboxesBehindGate.TestCase
TestOutboxesBehindGate.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
