"""One connection of a worker, which several threads share."""

import selectors
import socket
import threading

import pytest

from gearpy.address import Address
from gearpy.errors import ConnectionLost
from gearpy.protocol import packets as p
from gearpy.protocol.codec import response
from gearpy.stream import Stream
from gearpy.worker.line import WorkerLine

LIMIT_S = 30.0


def test_what_another_thread_gives_up_is_seen_by_the_one_that_selects() -> None:
    ours, theirs = socket.socketpair()
    line = WorkerLine(Address("box"), Stream(ours), LIMIT_S, reads_itself=False)
    number = line.fileno()
    with theirs, selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        losing = threading.Thread(target=line.lose, args=("it takes nothing",))
        losing.start()
        assert [key.fileobj for key, _ in selector.select(LIMIT_S)] == [line]
        losing.join(LIMIT_S)
        # Until it is closed, no other connection can have its number.
        assert line.fileno() == number
        line.read()
        assert line.lost == "it takes nothing"
        with pytest.raises(ConnectionLost, match="it takes nothing"):
            line.data(b"H:1", b"part")
        selector.unregister(line)
        line.close()
    assert line.fileno() == -1


def test_a_server_that_takes_nothing_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    line = WorkerLine(Address("box"), Stream(ours), 0.01, reads_itself=False)
    with theirs:
        with pytest.raises(ConnectionLost, match=r"box:4730 takes nothing, for 0\.01 s now"):
            line.data(b"H:1", b"x" * 50_000_000)
        line.close()


def test_stragglers_of_a_job_take_nothing_from_the_next_one() -> None:
    ours, theirs = socket.socketpair()
    line = WorkerLine(Address("box"), Stream(ours), LIMIT_S, reads_itself=True)
    line.core.start()
    line.core.grab()
    with theirs:
        theirs.sendall(response(p.JOB_ASSIGN_UNIQ, b"H:1", b"f", b"", b""))
        assert not line.cancelled(b"H:0")
        assert not line.arrived
        line.read()
        assert [job.handle for job in line.arrived] == [b"H:1"]
        line.close()
