"""The garbage collector of a server: it does not come back to what lives, and has nothing to do."""

import gc
import socket
import subprocess
import sys

from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.server import LocalServer
from tests.server.peer import WAIT_S


def test_what_lives_is_looked_at_once() -> None:
    program = """
import gc
from gearpy.server.collector import tune_collector
tune_collector()
before = gc.get_freeze_count()
lives = [[] for _ in range(50_000)]
print(gc.get_freeze_count() - before, gc.get_count()[1:])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    frozen, _, older = said.partition(" ")
    assert int(frozen) > 40_000
    assert older == "(0, 0)\n", "nothing is left that an older generation could have"


def exchange(port: int, packets: bytes, hang_up: bool) -> None:
    """Says something, hears something, and goes, politely or not."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(WAIT_S)
        sock.sendall(packets)
        if not hang_up:
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1000):
                pass


def test_connections_and_mistakes_leave_no_cycles() -> None:
    """A cycle that outlives one collection is never freed."""
    job = codec.request(p.SUBMIT_JOB, b"f", b"", b"x")
    talks = [
        job,
        codec.request(p.CAN_DO, b"g") + codec.request(p.GRAB_JOB) + codec.request(p.PRE_SLEEP),
        codec.request(p.CAN_DO, b"f") + codec.request(p.GRAB_JOB_UNIQ),
        codec.request(p.SUBMIT_JOB_BG, b"h", b"u" * 70, b"x"),  # refused
        codec.request(p.CAN_DO, b"a\nb"),  # refused
        codec.request(p.WORK_COMPLETE, b"H:x:1", b""),
        b"\0REQ\0\0\0\x63\0\0\0\0",  # no such packet
        b"\0BAD" + bytes(8),
        b"\0REQ\0\0\0\x07\xff\xff\xff\xff",  # announces too much
        b"x" * 10_000,  # a line without an end
        job[:-1],
        b"status\nworkers\nnonsense\n",
    ]
    with LocalServer() as server:
        for talk in talks:  # what is made with the first ones stays
            exchange(server.port, talk, hang_up=True)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.disable()
        try:
            for number in range(10):
                for talk in talks:
                    exchange(server.port, talk, hang_up=bool(number % 2))
            gc.collect()
            left = [type(thing).__name__ for thing in gc.garbage if _is_ours(thing)]
        finally:
            gc.enable()
            gc.set_debug(0)
            gc.garbage.clear()
    assert left == []


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith("gearpy") or isinstance(thing, BaseException)
