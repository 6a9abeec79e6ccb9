"""A disk that does not work: the server stops, and says nothing that is not true."""

import asyncio
import errno
import os

import pytest

from gearpy.engine.records import Batch, Put
from gearpy.errors import StoreFailed
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.server.server import EXIT_COMMIT_FAILED, Server
from gearpy.server.settings import Settings
from gearpy.stores.memory import MemoryStore
from tests.server.test_committer import WAIT_S, running

BAD = b"on a bad block"


class FaultyStore:
    """A store on a disk with a bad block; a commit that meets it fails, and so does all after."""

    def __init__(self, error: Exception) -> None:
        self.store = MemoryStore()
        self.load = self.store.load
        self.payloads, self.free_bytes = self.store.payloads, self.store.free_bytes
        self.commits_after = 0
        self._error = error
        self._broken = False

    def commit(self, batch: Batch) -> None:
        self.commits_after += self._broken
        if self._broken or any(put.payload == BAD for put in batch.puts):
            self._broken = True
            raise self._error
        self.store.commit(batch)

    def break_now(self) -> None:
        """No commit will succeed."""
        self._broken = True

    def close(self) -> None:
        """What was committed can still be looked at."""


@pytest.mark.parametrize(
    "error",
    [
        StoreFailed("The journal jobs.db can't be written: disk I/O error."),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        RuntimeError("nobody thought of this"),
    ],
)
async def test_an_error_in_a_commit_ends_all_with_3(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store = FaultyStore(error)
    jobs = [
        codec.request(p.SUBMIT_JOB_BG, b"resize", b"", payload)
        for payload in (b"with it", BAD, b"behind it")
    ]
    async with running(store) as running_server:
        good = await running_server.connect()
        good.send(p.SUBMIT_JOB_BG, b"resize", b"", b"kept")
        assert await good.numbers(1) == [p.JOB_CREATED]
        host, _, port = running_server.server.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        # What comes in one read is one batch, and none of it is answered.
        writer.write(b"".join(jobs))
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        with pytest.raises(EOFError):
            await good.receive()
        assert await asyncio.wait_for(running_server.ended, WAIT_S) == EXIT_COMMIT_FAILED
        writer.close()
    assert store.commits_after == 0
    assert f"the journal can't be written, so the server stops: {error}" in caplog.text
    kept = [record.payload for record in store.store.load() if isinstance(record, Put)]
    assert kept == [b"kept"]


async def test_a_journal_that_can_be_read_and_not_written_is_no_journal() -> None:
    store = FaultyStore(StoreFailed("The journal jobs.db can't be written: disk I/O error."))
    store.break_now()
    server = Server(Settings(listen=("127.0.0.1",), port=0), store)
    assert await asyncio.wait_for(server.run(pytest.fail), WAIT_S) == EXIT_COMMIT_FAILED
    assert server.addresses == []
