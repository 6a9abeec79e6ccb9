"""The gate: tickets, the open batch, who waits; and outboxes behind it, whatever the order."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gearpy.broker.gate import Batch, CommitGate
from gearpy.broker.outbox import Link, Outbox
from gearpy.engine.engine import Engine
from gearpy.engine.job import Job
from gearpy.engine.records import DONE, PUT, Done, Put, Record
from gearpy.priority import Priority


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


def taken(gate: CommitGate) -> Batch:
    batch = gate.take_batch()
    assert batch is not None
    return batch


def test_tickets_grow_and_nothing_is_durable_by_itself() -> None:
    gate = CommitGate()
    job = new_job()
    tickets = [gate.write(PUT, new_job(n)) for n in (2, 3)] + [gate.write(DONE, job)]
    assert tickets == sorted(set(tickets))
    assert min(tickets) > gate.durable
    batch = taken(gate)
    assert batch.ticket == tickets[-1]
    assert gate.durable == 0
    assert gate.write(DONE, job) > batch.ticket


def test_a_batch_holds_what_was_written_in_order() -> None:
    gate = CommitGate()
    first, second, old = new_job(1), new_job(2), new_job(3)
    gate.write(PUT, first)
    gate.write(DONE, old)
    gate.write(PUT, second)
    put = Put(first.handle, b"f", b"u1", b"data", Priority.LOW, 5.0, b"r")
    assert taken(gate).records == [
        put,
        Done(old.handle),
        Put(second.handle, b"f", b"u2", b"data", Priority.LOW, 5.0, b"r"),
    ]


def test_nothing_written_is_no_batch() -> None:
    gate = CommitGate()
    assert gate.take_batch() is None
    gate.write(PUT, new_job())
    batch = taken(gate)
    assert gate.take_batch() is None, "the same records are not taken twice"
    gate.open(batch.ticket)
    assert gate.take_batch() is None


def test_put_and_done_in_one_batch_cancel_out_but_the_batch_still_comes() -> None:
    gate = CommitGate()
    job = new_job()
    creation = gate.write(PUT, job)
    gate.write(DONE, job)
    waiter = Waiter(creation)
    gate.wait(waiter)
    batch = taken(gate)
    assert batch.records == []
    assert not waiter.released, "its creator waits for the batch nevertheless"
    gate.open(batch.ticket)
    assert waiter.released == [batch.ticket]


def test_put_and_done_in_two_batches_are_both_written() -> None:
    gate = CommitGate()
    job = new_job()
    gate.write(PUT, job)
    batch = taken(gate)
    gate.write(DONE, job)
    gate.open(batch.ticket)
    assert taken(gate).records == [Done(job.handle)]


def test_who_is_released_is_forgotten_and_who_is_not_waits_on() -> None:
    gate = CommitGate()
    first = Waiter(gate.write(PUT, new_job(1)))
    gate.wait(first)
    batch = taken(gate)
    second = Waiter(gate.write(PUT, new_job(2)))
    gate.wait(second)
    gate.open(batch.ticket)
    assert (len(first.released), len(second.released)) == (1, 1)
    gate.open(taken(gate).ticket)
    assert (len(first.released), len(second.released)) == (1, 2)


def test_one_batch_is_under_way_at_a_time() -> None:
    gate = CommitGate()
    gate.write(PUT, new_job(1))
    batch = taken(gate)
    gate.write(PUT, new_job(2))
    with pytest.raises(AssertionError, match="not committed yet"):
        gate.take_batch()
    gate.open(batch.ticket)
    assert len(taken(gate).records) == 1


def test_the_gate_is_the_journal_of_an_engine() -> None:
    gate = CommitGate()
    engine = Engine(journal=gate)
    job = engine.submit(None, b"f", b"u", b"")
    assert job.ticket > gate.durable
    assert engine.submit(None, b"f", b"u", b"").ticket == job.ticket, "who joins waits for it too"
    gate.open(taken(gate).ticket)
    assert job.ticket <= gate.durable
    engine.cancel(job.handle)
    assert taken(gate).records == [Done(job.handle)]


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
        self.disk: dict[bytes, Put] = {}
        self.committing: Batch | None = None
        self.ended: set[bytes] = set()
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
        self.ended.add(job.handle)

    @precondition(lambda self: self.committing is None)
    @rule()
    def start_commit(self) -> None:
        self.committing = self.gate.take_batch()

    @precondition(lambda self: self.committing is not None)
    @rule()
    def finish_commit(self) -> None:
        batch, self.committing = self.committing, None
        assert batch is not None
        commit(self.disk, batch.records)
        self.gate.open(batch.ticket)
        for job in self.jobs:
            assert (job.ticket <= self.gate.durable) == (job.handle in self.disk)

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
        assert set(self.disk) == {job.handle for job in self.jobs}
        assert not set(self.disk) & self.ended


def commit(disk: dict[bytes, Put], records: list[Record]) -> None:
    for record in records:
        if isinstance(record, Put):
            disk[record.handle] = record
        else:
            del disk[record.handle]


TestOutboxesBehindGate = OutboxesBehindGate.TestCase
TestOutboxesBehindGate.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
