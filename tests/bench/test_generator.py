"""The generator's clients and workers, at one end of a pair of sockets."""

import socket
from collections.abc import Iterator

import pytest

from bench import generator
from bench.generator import BenchError, Client, Endless, Pace, Supply, Tally, Worker, mark
from bench.latencies import Latencies
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser

SUBMIT = codec.request(p.SUBMIT_JOB_BG, b"function", b"", b"payload")
CREATED = codec.response(p.JOB_CREATED, b"H:host:1")
ASSIGNED = codec.response(p.JOB_ASSIGN_UNIQ, b"H:host:1", b"function", b"", b"payload")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


def sent_to(sock: socket.socket) -> list[str]:
    """The packets that wait to be read, by their names."""
    try:
        data = sock.recv(1 << 20)
    except BlockingIOError:
        return []
    return [p.PACKETS[number].name for number, _ in PacketParser(p.REQ).feed(data)]


@pytest.mark.parametrize("size", [1, 3, 7, 8, 11, 19, 1000])
def test_a_client_counts_answers_however_they_are_cut(
    pair: tuple[socket.socket, socket.socket], size: int
) -> None:
    tally, supply = Tally(50), Supply([SUBMIT] * 50)
    client = Client(pair[0], supply, mark(p.JOB_CREATED), 25, tally)
    client.start()
    answers = CREATED * 23
    for start in range(0, len(answers), size):
        client.receive(answers[start : start + size])
    assert tally.awaited == 50 - 23
    assert supply.left == 50 - 25 - 23
    assert sent_to(pair[1]) == ["SUBMIT_JOB_BG"] * 48


def test_a_client_stops_when_all_is_submitted(pair: tuple[socket.socket, socket.socket]) -> None:
    tally, supply = Tally(3), Supply([SUBMIT] * 3)
    client = Client(pair[0], supply, mark(p.JOB_CREATED), 10, tally)
    client.start()
    client.receive(CREATED * 3)
    assert sent_to(pair[1]) == ["SUBMIT_JOB_BG"] * 3
    assert (supply.left, tally.awaited) == (0, 0)


def test_a_foreground_client_waits_for_results(pair: tuple[socket.socket, socket.socket]) -> None:
    tally, supply = Tally(3), Supply([SUBMIT] * 3)
    client = Client(pair[0], supply, mark(p.WORK_COMPLETE), 1, tally)
    client.start()
    client.receive(CREATED)
    assert (supply.left, tally.awaited) == (2, 3)
    client.receive(codec.work(p.WORK_COMPLETE, b"H:host:1", b"ok"))
    assert (supply.left, tally.awaited) == (1, 2)


def test_a_client_times_every_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    latencies = Latencies()
    supply = Supply([SUBMIT] * 7)
    client = Client(pair[0], supply, mark(p.JOB_CREATED), 4, Tally(7), latencies)
    client.start()
    client.receive(CREATED * 3)  # of the first four submits
    client.receive(CREATED * 4)  # the last of these, and the three that followed
    assert latencies.count == 7
    assert 0 < latencies.percentile_s(0.01) <= latencies.percentile_s(1)


def test_an_endless_client_goes_on(pair: tuple[socket.socket, socket.socket]) -> None:
    tally = Tally()
    client = Client(pair[0], Endless(SUBMIT, 5), mark(p.JOB_CREATED), 5, tally)
    client.start()
    for _ in range(10):
        client.receive(CREATED * 3)
    assert sent_to(pair[1]) == ["SUBMIT_JOB_BG"] * 35
    assert tally.awaited == -30


@pytest.mark.parametrize("size", [1, 5, 12, 1000])
def test_a_worker_answers_however_its_packets_are_cut(
    pair: tuple[socket.socket, socket.socket], size: int
) -> None:
    worker = Worker(pair[0], sleeps=True, tally=Tally(1))
    worker.start()
    heard = codec.NOOP_PACKET + ASSIGNED + codec.NO_JOB_PACKET
    for start in range(0, len(heard), size):
        worker.receive(heard[start : start + size])
    assert sent_to(pair[1]) == ["GRAB_JOB_UNIQ", "WORK_COMPLETE", "GRAB_JOB_UNIQ", "PRE_SLEEP"]


def test_a_worker_that_does_not_sleep_ends_with_no_job(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    tally = Tally(1)
    worker = Worker(pair[0], sleeps=False, tally=tally)
    worker.start()
    worker.receive(ASSIGNED)
    assert tally.awaited == 1
    worker.receive(codec.NO_JOB_PACKET)
    assert tally.awaited == 0
    assert sent_to(pair[1]) == ["GRAB_JOB_UNIQ", "WORK_COMPLETE", "GRAB_JOB_UNIQ"]


def test_a_worker_stops_after_its_jobs(pair: tuple[socket.socket, socket.socket]) -> None:
    tally = Tally(2)
    worker = Worker(pair[0], sleeps=False, tally=tally, jobs=2)
    worker.start()
    worker.receive(ASSIGNED)
    worker.receive(codec.NO_JOB_PACKET)  # for a moment: there are more on the disk
    assert tally.awaited == 1
    worker.receive(codec.NOOP_PACKET)
    worker.receive(ASSIGNED)
    assert tally.awaited == 0
    grab, done = "GRAB_JOB_UNIQ", "WORK_COMPLETE"
    assert sent_to(pair[1]) == [grab, done, grab, "PRE_SLEEP", grab, done]


def test_a_worker_without_jobs_asks_for_none(pair: tuple[socket.socket, socket.socket]) -> None:
    Worker(pair[0], sleeps=False, tally=Tally(0), jobs=0).start()
    assert sent_to(pair[1]) == []


def test_a_worker_reports_what_it_does_not_expect(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    worker = Worker(pair[0], sleeps=True, tally=Tally(1))
    with pytest.raises(BenchError, match="no good"):
        worker.receive(codec.error(b"TEST", "no good"))


def test_a_server_that_hangs_up_ends_the_run(pair: tuple[socket.socket, socket.socket]) -> None:
    tally = Tally(1)
    client = Client(pair[0], Supply([SUBMIT]), mark(p.JOB_CREATED), 1, tally)
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(BenchError, match="closed a connection"):
        generator.run([client], tally)


def test_a_paced_client_submits_when_it_is_time(pair: tuple[socket.socket, socket.socket]) -> None:
    latencies = Latencies()
    tally, supply = Tally(40), Supply([SUBMIT] * 40)
    client = Client(pair[0], supply, mark(p.JOB_CREATED), 0, tally, latencies)
    client.start()
    assert sent_to(pair[1]) == []
    pace = Pace([client], rate_per_s=1e9, jobs=40)  # all of them are due at once
    pace.start()
    pace.keep()
    assert sent_to(pair[1]) == ["SUBMIT_JOB_BG"] * 40
    client.receive(CREATED * 40)
    assert (tally.awaited, latencies.count) == (0, 40)
    assert sent_to(pair[1]) == []


def test_a_pace_waits_for_the_next_one(pair: tuple[socket.socket, socket.socket]) -> None:
    client = Client(pair[0], Supply([SUBMIT] * 3), mark(p.JOB_CREATED), 0, Tally(3), Latencies())
    pace = Pace([client], rate_per_s=0.01, jobs=3)
    pace.start()
    assert 90 < pace.keep() <= 100
    assert sent_to(pair[1]) == ["SUBMIT_JOB_BG"]  # the first one's time is the start


def test_a_worker_times_its_jobs(pair: tuple[socket.socket, socket.socket]) -> None:
    latencies = Latencies()
    worker = Worker(pair[0], sleeps=False, tally=Tally(1), latencies=latencies)
    worker.start()
    worker.receive(ASSIGNED)
    worker.receive(ASSIGNED)
    worker.receive(codec.NO_JOB_PACKET)
    assert latencies.count == 2


def test_a_paced_client_keeps_what_the_server_does_not_take(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    jobs = 20_000
    tally = Tally(jobs)
    client = Client(pair[0], Supply([SUBMIT] * jobs), mark(p.JOB_CREATED), 0, tally, Latencies())
    pace = Pace([client], rate_per_s=1e9, jobs=jobs)
    pace.start()
    wait_s = pace.keep()  # comes back, although nobody reads
    assert 0 < wait_s < 1
    parser, heard = PacketParser(p.REQ), 0
    while heard < jobs:
        heard += len(parser.feed(pair[1].recv(1 << 20)))
        wait_s = pace.keep()
    assert wait_s == 1.0
