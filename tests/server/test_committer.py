"""Group commit around a real event loop: receipts wait for the store, nobody else does."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gearpy.engine.records import Put, Record
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser
from gearpy.server.server import EXIT_COMMIT_FAILED, Server
from gearpy.server.settings import Settings
from gearpy.stores.base import Store
from gearpy.stores.memory import MemoryStore

WAIT_S = 30.0


class SlowStore:
    """A store whose disk moves when the test says so."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.load = self._store.load
        self.close = self._store.close
        self.batches: list[list[Record]] = []
        self.started = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def commit(self, batch: Sequence[Record]) -> None:
        self.batches.append(list(batch))
        self.started.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        self._store.commit(batch)


class FullStore:
    """A store that can't commit."""

    def load(self) -> list[Put]:
        return []

    def close(self) -> None:
        pass

    def commit(self, batch: Sequence[Record]) -> None:
        raise OSError("no space left on device")


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
async def running(store: Store) -> AsyncIterator[Running]:
    server = Server(Settings(listen=("127.0.0.1",), port=0), store)
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
        other.send(p.SUBMIT_JOB, b"resize", b"", b"foreground")
        other.send(p.ECHO_REQ, b"")
        assert await other.numbers(2) == [p.JOB_CREATED, p.ECHO_RES]
        assert running_server.server.broker.gate.durable == 0
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
        assert [len(batch) for batch in store.batches] == [1, 100]
        assert len(list(store.load())) == 101


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
        assert store.batches[1] == []


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
