"""Group commit around a real event loop: receipts wait for the store, nobody else does."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gearpy.engine.records import Batch, Put
from gearpy.errors import StoreFailed
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser
from gearpy.server.server import EXIT_COMMIT_FAILED, Server
from gearpy.server.settings import Settings
from gearpy.stores.base import Store
from gearpy.stores.memory import MemoryStore

WAIT_S = 30.0


class SlowStore:
    """A store whose disk moves when the test says so, and has as much room as it says."""

    def __init__(self, free_bytes: int | None = None) -> None:
        self._store = MemoryStore()
        self.free_bytes_left = free_bytes
        self.looked_from: set[int] = set()
        self.load = self._store.load
        self.payloads = self._store.payloads
        self.close = self._store.close
        self.batches: list[Batch] = []
        self.started = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def free_bytes(self) -> int | None:
        self.looked_from.add(threading.get_ident())
        return self.free_bytes_left

    def commit(self, batch: Batch) -> None:
        if batch.notes and not batch.puts:
            return  # which numbers are in use, said at the start
        self.batches.append(batch)
        self.started.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        self._store.commit(batch)


class FullStore:
    """A store that can't commit jobs."""

    def __init__(self) -> None:
        store = MemoryStore()
        self.load, self.close = store.load, store.close
        self.payloads, self.free_bytes = store.payloads, store.free_bytes

    def commit(self, batch: Batch) -> None:
        if batch.puts:
            raise StoreFailed("no space left on device")


class Peer:
    """A connection of this event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = PacketParser(p.RES)

    def send(self, number: int, *fields: bytes) -> None:
        self._writer.write(codec.request(number, *fields))

    async def receive(self) -> tuple[int, bytes]:
        while True:
            data = await asyncio.wait_for(self._reader.read(1), WAIT_S)
            if not data:
                raise EOFError
            packets = self._parser.feed(data)
            if packets:
                return packets[0]

    async def numbers(self, count: int) -> list[int]:
        """The types of the next packets."""
        return [(await self.receive())[0] for _ in range(count)]


class Running:
    """A server in this event loop."""

    def __init__(self, server: Server, ended: "asyncio.Task[int]") -> None:
        self.server, self.ended = server, ended

    async def connect(self) -> Peer:
        host, _, port = self.server.addresses[0].rpartition(":")
        return Peer(*await asyncio.open_connection(host, int(port)))


@asynccontextmanager
async def running(
    store: Store, disk_reserve: int = 64 << 20, memory_budget: int = 64 << 20
) -> AsyncIterator[Running]:
    settings = Settings(
        listen=("127.0.0.1",), port=0, disk_reserve=disk_reserve, memory_budget=memory_budget
    )
    server = Server(settings, store)
    listens = asyncio.Event()
    task = asyncio.create_task(server.run(lambda _line: listens.set()))
    await asyncio.wait_for(listens.wait(), WAIT_S)
    try:
        yield Running(server, task)
    finally:
        server.wishes.stop(graceful=False)
        await asyncio.wait_for(task, WAIT_S)


async def wait(semaphore: threading.Semaphore) -> None:
    assert await asyncio.to_thread(semaphore.acquire, timeout=WAIT_S)


async def test_a_receipt_waits_for_the_commit_and_other_connections_do_not() -> None:
    store = SlowStore()
    async with running(store) as running_server:
        submitter = await running_server.connect()
        other = await running_server.connect()
        submitter.send(p.SUBMIT_JOB_BG, b"resize", b"", b"1")
        submitter.send(p.ECHO_REQ, b"behind the receipt")
        await wait(store.started)
        before = running_server.server.broker.gate.durable
        other.send(p.SUBMIT_JOB, b"resize", b"", b"foreground")
        other.send(p.ECHO_REQ, b"")
        assert await other.numbers(2) == [p.JOB_CREATED, p.ECHO_RES]
        assert running_server.server.broker.gate.durable == before
        store.may_end.release()
        assert await submitter.numbers(2) == [p.JOB_CREATED, p.ECHO_RES]


async def test_what_comes_during_a_commit_is_one_batch() -> None:
    store = SlowStore()
    async with running(store) as running_server:
        first, second = await running_server.connect(), await running_server.connect()
        first.send(p.SUBMIT_JOB_BG, b"resize", b"", b"0")
        await wait(store.started)
        for number in range(50):
            first.send(p.SUBMIT_JOB_BG, b"resize", b"", b"%d" % number)
            second.send(p.SUBMIT_JOB_BG, b"resize", b"", b"%d" % number)
        for peer in (first, second):  # a third connection's answer would not prove it
            peer.send(p.SUBMIT_JOB, b"resize", b"", b"held, too")
        witness = await running_server.connect()
        while running_server.server.broker.statistics().engine.jobs < 103:
            witness.send(p.ECHO_REQ, b"")
            await witness.receive()
        store.may_end.release()
        await wait(store.started)
        store.may_end.release()
        assert await first.numbers(52) == [p.JOB_CREATED] * 52
        assert await second.numbers(51) == [p.JOB_CREATED] * 51
        assert [len(batch.puts) for batch in store.batches] == [1, 100]
        assert len([record for record in store.load() if isinstance(record, Put)]) == 101


async def test_a_job_that_ends_before_its_commit_is_not_written() -> None:
    store = SlowStore()
    async with running(store) as running_server:
        client, worker = await running_server.connect(), await running_server.connect()
        client.send(p.SUBMIT_JOB_BG, b"other", b"", b"keeps the disk busy")
        await wait(store.started)
        worker.send(p.CAN_DO, b"resize")
        worker.send(p.PRE_SLEEP)
        submitter = await running_server.connect()
        submitter.send(p.SUBMIT_JOB_BG, b"resize", b"", b"1")
        assert await worker.numbers(1) == [p.NOOP]
        worker.send(p.GRAB_JOB)
        number, body = await worker.receive()
        assert number == p.JOB_ASSIGN
        worker.send(p.WORK_COMPLETE, body.split(b"\0")[0], b"")
        worker.send(p.ECHO_REQ, b"")
        assert await worker.numbers(1) == [p.ECHO_RES]
        store.may_end.release()
        await wait(store.started)
        store.may_end.release()
        assert await submitter.numbers(1) == [p.JOB_CREATED]
        assert store.batches[1] == Batch()


async def test_a_burst_during_a_commit_leaves_the_reserve_alone() -> None:
    store = SlowStore(free_bytes=1_000_000)
    async with running(store, disk_reserve=600_000) as running_server:
        peer, other = await running_server.connect(), await running_server.connect()
        peer.send(p.SUBMIT_JOB_BG, b"resize", b"", bytes(90_000))
        await wait(store.started)
        other.send(p.SUBMIT_JOB_BG, b"resize", b"", bytes(150_000))
        other.send(p.SUBMIT_JOB, b"resize", b"", bytes(150_000))
        assert await other.numbers(2) == [p.ERROR, p.JOB_CREATED]
        other.send(p.SUBMIT_JOB_BG, b"resize", b"", bytes(100_000))
        store.may_end.release()
        assert await peer.numbers(1) == [p.JOB_CREATED]
        await wait(store.started)
        store.free_bytes_left = 650_000
        store.may_end.release()
        assert await other.numbers(1) == [p.JOB_CREATED]
        other.send(p.SUBMIT_JOB_BG, b"resize", b"", bytes(400_000))
        assert await other.numbers(1) == [p.ERROR]
        # It is looked at again and again, although there is nothing more to commit.
        store.free_bytes_left = 1 << 30
        number = p.ERROR
        while number == p.ERROR:
            other.send(p.SUBMIT_JOB_BG, b"resize", b"", bytes(400_000))
            store.may_end.release()
            number, _ = await other.receive()


async def test_who_waits_for_a_disk_with_too_much_to_do_is_not_read_from() -> None:
    store = SlowStore()
    payload, count = bytes(1 << 20), 40
    async with running(store, memory_budget=0) as running_server:
        server = running_server.server
        busy = await running_server.connect()
        busy.send(p.SUBMIT_JOB_BG, b"other", b"", b"keeps the disk busy")
        await wait(store.started)
        peer, witness = await running_server.connect(), await running_server.connect()
        for _ in range(count):
            peer.send(p.SUBMIT_JOB_BG, b"resize", b"", payload)
        while not server.broker.gate.crowded:
            witness.send(p.ECHO_REQ, b"")  # others go on
            assert await witness.numbers(1) == [p.ECHO_RES]
        for _ in range(100):
            witness.send(p.ECHO_REQ, b"")
            assert await witness.numbers(1) == [p.ECHO_RES]
        assert server.broker.statistics().engine.submitted == 1 + 16
        for _ in range(count):
            store.may_end.release()
        assert await peer.numbers(count) == [p.JOB_CREATED] * count
        assert max(len(batch.puts) for batch in store.batches) == 16


async def test_a_full_disk_is_looked_at_beside_the_event_loop() -> None:
    store = SlowStore(free_bytes=0)
    async with running(store) as running_server:
        peer = await running_server.connect()
        store.looked_from.clear()
        store.free_bytes_left = 1 << 40
        store.may_end.release()
        number = p.ERROR
        while number == p.ERROR:
            peer.send(p.SUBMIT_JOB_BG, b"resize", b"", b"")
            number, _ = await peer.receive()
        assert threading.get_ident() not in store.looked_from


async def test_time_has_passed_before_what_a_commit_lets_go() -> None:
    store = SlowStore()
    async with running(store) as running_server:
        engine = running_server.server.broker.engine
        told_s: list[float] = []
        submitter = await running_server.connect()
        submitter.send(p.SUBMIT_JOB_BG, b"resize", b"", b"1")
        await wait(store.started)
        before_s = engine.now_s

        class Waiter:
            def release(self, durable: int) -> bool:
                told_s.append(engine.now_s)
                return False

        running_server.server.broker.gate.wait(Waiter())
        store.may_end.release()
        assert await submitter.numbers(1) == [p.JOB_CREATED]
        assert told_s[0] > before_s


async def test_a_failed_commit_stops_the_server_before_any_receipt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(FullStore()) as running_server:
        peer = await running_server.connect()
        peer.send(p.SUBMIT_JOB_BG, b"resize", b"", b"1")
        with pytest.raises(EOFError):
            await peer.receive()
        assert await asyncio.wait_for(running_server.ended, WAIT_S) == EXIT_COMMIT_FAILED
    assert "the journal can't be written" in caplog.text
    assert "no space left on device" in caplog.text
