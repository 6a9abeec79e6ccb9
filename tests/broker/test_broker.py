"""The broker itself: backpressure, faults, wake-ups, routes, and peers that send garbage."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpy.broker.broker import Broker, Limits
from gearpy.broker.ports import Peer
from gearpy.broker.session import ROUTES, Session
from gearpy.engine.peers import Client, Worker
from gearpy.errors import MalformedPacket, PeerError
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import Packet, PacketParser

SUBMITS: Final = (
    p.SUBMIT_JOB,
    p.SUBMIT_JOB_BG,
    p.SUBMIT_JOB_HIGH,
    p.SUBMIT_JOB_HIGH_BG,
    p.SUBMIT_JOB_LOW,
    p.SUBMIT_JOB_LOW_BG,
)


class Wire:
    """A connection whose peer reads when the test says so."""

    def __init__(self, broker: Broker, fd: int = 1) -> None:
        self.session: Session = broker.connect(Peer(fd, "127.0.0.1", f"127.0.0.1:{fd}"), self)
        self._parser = PacketParser(p.RES)

    def flush(self) -> None:
        pass

    def send(self, number: int, *fields: bytes) -> None:
        self.session.receive(codec.request(number, *fields))

    def read(self) -> list[Packet]:
        """The peer takes all that the outbox has to say now."""
        return self._parser.feed(self.session.outbox.take())

    def read_all(self) -> list[Packet]:
        """The peer goes on taking until the server has nothing more to say."""
        packets = self.read()
        while self.session.choked:
            self.session.resume()
            packets += self.read()
        return packets


@dataclass
class Diary:
    """A host that keeps what it is told."""

    refusals: list[tuple[Peer, PeerError]] = field(default_factory=list)
    short_timeouts: list[tuple[Peer, bytes, int]] = field(default_factory=list)
    skips: list[tuple[Peer, bytes, PeerError]] = field(default_factory=list)
    faults: list[tuple[Peer, int, bytes, Exception]] = field(default_factory=list)
    operated_on: list[tuple[str, str, Mapping[str, object], str, bool]] = field(
        default_factory=list
    )
    shutdowns: list[bool] = field(default_factory=list)

    def refused(self, peer: Peer, error: PeerError) -> None:
        self.refusals.append((peer, error))

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        self.short_timeouts.append((peer, function, timeout_ms))

    def skipped(self, peer: Peer, handle: bytes, error: PeerError) -> None:
        self.skips.append((peer, handle, error))

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        self.faults.append((peer, number, body, error))

    def operated(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        self.operated_on.append((who, did, fields, outcome, succeeded))

    def shutdown(self, graceful: bool) -> None:
        self.shutdowns.append(graceful)


class BrokenCalendar:
    """A bug of ours, to be had by SUBMIT_JOB_SCHED."""

    def local(self, time_s: float) -> datetime:
        raise ZeroDivisionError("no zone")

    def time_s(self, local: datetime) -> float:
        raise ZeroDivisionError("no zone")


def echo(text: bytes) -> bytes:
    return codec.request(p.ECHO_REQ, text)


# ---- a peer that does not read


def test_a_full_outbox_stops_the_handling_of_packets() -> None:
    broker = Broker(limits=Limits(outbox_bytes=1000))
    wire = Wire(broker)
    texts = [b"%03d" % number + bytes(97) for number in range(100)]

    wire.session.receive(b"".join(map(echo, texts)))

    assert wire.session.choked
    assert 1000 < wire.session.outbox.size_bytes <= 1000 + 112  # one reply beyond the limit
    heard = []
    while wire.session.choked:
        heard += wire.read()
        wire.session.resume()
        assert wire.session.outbox.size_bytes <= 1000 + 112
    heard += wire.read()
    assert heard == [(p.ECHO_RES, text) for text in texts]
    assert wire.session.outbox.empty


def test_a_full_outbox_does_not_grow_with_packets_that_come_one_by_one() -> None:
    broker = Broker(limits=Limits(outbox_bytes=1000))
    wire = Wire(broker)
    texts = [b"%03d" % number + bytes(97) for number in range(100)]

    for text in texts:
        wire.session.receive(echo(text))

    assert wire.session.choked
    assert wire.session.outbox.size_bytes <= 1000 + 112
    assert wire.read_all() == [(p.ECHO_RES, text) for text in texts]


def test_a_full_outbox_is_nobody_elses_concern() -> None:
    broker = Broker(limits=Limits(outbox_bytes=100))
    deaf, other = Wire(broker, 1), Wire(broker, 2)
    deaf.session.receive(echo(bytes(200)) * 10)
    assert deaf.session.choked

    other.session.receive(echo(b"alive"))

    assert not other.session.choked
    assert other.read() == [(p.ECHO_RES, b"alive")]


def test_what_others_make_it_hear_chokes_a_peer_too() -> None:
    broker = Broker(limits=Limits(outbox_bytes=100))
    client, worker = Wire(broker, 1), Wire(broker, 2)
    client.send(p.SUBMIT_JOB, b"resize", b"", b"photo")
    ((_, handle),) = client.read()
    worker.send(p.CAN_DO, b"resize")
    worker.send(p.GRAB_JOB)
    worker.send(p.WORK_DATA, handle, bytes(200))
    worker.read()

    client.session.receive(echo(b"behind"))

    assert client.session.choked
    assert client.read_all() == [
        (p.WORK_DATA, handle + b"\0" + bytes(200)),
        (p.ECHO_RES, b"behind"),
    ]


def test_a_broken_stream_is_answered_behind_what_waits() -> None:
    broker = Broker(limits=Limits(outbox_bytes=100))
    wire = Wire(broker)

    wire.session.receive(echo(bytes(200)) * 3 + b"\0ABCdefghijk")

    assert wire.session.choked
    assert wire.session.closing is None
    *echoes, (number, body) = wire.read_all()
    assert echoes == [(p.ECHO_RES, bytes(200))] * 3
    assert number == p.ERROR
    assert body.startswith(b"INVALID_MAGIC\0")
    assert wire.session.closing is not None


def test_a_stream_that_breaks_while_the_outbox_is_full_is_answered_once() -> None:
    broker = Broker(limits=Limits(outbox_bytes=100))
    wire = Wire(broker)
    wire.session.receive(echo(bytes(200)))

    wire.session.receive(b"\0ABCdefghijk")

    heard = wire.read_all()
    assert [number for number, _ in heard] == [p.ECHO_RES, p.ERROR]
    assert wire.session.closing is not None
    wire.session.resume()
    assert wire.read() == []


def test_a_choked_peer_that_leaves_is_forgotten() -> None:
    broker = Broker(limits=Limits(outbox_bytes=100))
    wire = Wire(broker)
    submit = codec.request(p.SUBMIT_JOB_BG, b"resize", b"", b"photo")
    wire.session.receive(echo(bytes(200)) + submit * 3)

    wire.session.lost()

    assert not wire.session.choked
    assert broker.statistics().engine.submitted == 0
    assert broker.statistics().sessions == 0


def test_a_connection_that_is_gone_leaves_nothing_for_the_cyclic_collector() -> None:
    """A web server's every request is a connection, and the server collects rarely."""
    broker = Broker()
    gc.collect()
    gc.disable()
    try:
        for fd in range(10):
            wire = Wire(broker, fd)
            wire.send(p.CAN_DO, b"f")
            wire.send(p.SUBMIT_JOB, b"f", b"", b"")
            wire.send(p.GRAB_JOB)
            wire.send(p.PRE_SLEEP)
            wire.session.lost()
            broker.take_dirty()
            del wire.session  # as a connection lets go of it
        left = [thing for thing in gc.get_objects() if isinstance(thing, Session | Client | Worker)]
        assert left == []
    finally:
        gc.enable()


def test_what_is_held_for_the_disk_counts_as_unread() -> None:
    broker = Broker(limits=Limits(outbox_bytes=100), durable=True)
    wire = Wire(broker)

    for _ in range(100):
        wire.send(p.SUBMIT_JOB_BG, b"resize", b"", b"photo")

    assert wire.session.choked
    assert broker.statistics().engine.submitted == 5  # 25 bytes each
    heard: list[Packet] = []
    while len(heard) < 100:
        work = broker.gate.take_work()
        assert work is not None
        broker.gate.open(work.ticket)
        heard += wire.read()
        if wire.session.choked:
            wire.session.resume()
    assert {number for number, _ in heard} == {p.JOB_CREATED}


# ---- bugs of ours


def test_a_bug_closes_one_connection_and_is_reported() -> None:
    diary = Diary()
    broker = Broker(host=diary, calendar=BrokenCalendar())
    wire, other = Wire(broker, 1), Wire(broker, 2)
    fields = (b"report", b"u1", b"0", b"", b"", b"", b"", b"data")

    wire.session.receive(
        echo(b"before") + codec.request(p.SUBMIT_JOB_SCHED, *fields) + echo(b"after")
    )

    assert wire.read() == [(p.ECHO_RES, b"before")]
    assert wire.session.closing == "handling its packet failed"
    ((peer, number, body, error),) = diary.faults
    assert (peer, number, body) == (wire.session.peer, p.SUBMIT_JOB_SCHED, b"\0".join(fields))
    assert isinstance(error, ZeroDivisionError)
    assert broker.statistics().faults == 1
    wire.session.receive(echo(b"again"))
    assert wire.read() == []
    other.session.receive(echo(b"alive"))
    assert other.read() == [(p.ECHO_RES, b"alive")]
    assert other.session.closing is None


# ---- what the host is told, and what is counted


def test_the_host_hears_who_was_refused() -> None:
    diary = Diary()
    broker = Broker(host=diary)
    wire = Wire(broker)

    wire.send(p.NOOP)
    wire.send(p.SUBMIT_JOB, b"resize")

    assert [(peer, error.code) for peer, error in diary.refusals] == [
        (wire.session.peer, b"INVALID_COMMAND"),
        (wire.session.peer, b"INVALID_ARGUMENT"),
    ]
    assert broker.statistics().refused == 2


INCOMPLETE = (
    "ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+maxqueue"
)


def test_what_operators_change_is_told_with_their_names() -> None:
    diary = Diary()
    broker = Broker(host=diary, limits=Limits(allow_shutdown=True))
    wire = Wire(broker)
    wire.send(p.SET_CLIENT_ID, b"ann")
    for request in (
        b'{"do": "functions"}',
        b'{"do": "pause", "function": "f"}',
        b'{"do": ["pause"]}',
        b'{"do": "cancel", "handle": "H:1"}',
        b'{"do": "tell-workers", "group": "*", "command": {"scale": 1}}',
    ):
        wire.send(p.OPERATE, request)
    wire.session.receive(b"status\nmaxqueue f 5\nmaxqueue\ndrop function f\nshutdown\nversion\n")
    told = [
        (did, dict(fields), outcome, well) for _, did, fields, outcome, well in diary.operated_on
    ]
    assert {who for who, *_ in diary.operated_on} == {"ann (127.0.0.1:1)"}
    assert told == [
        ("pause", {"function": "f"}, '{"functions":["f"],"next":null}', True),
        (
            "cancel",
            {"handle": "H:1"},
            "there is no job 'H:1' to cancel: it ended, or it never was",
            False,
        ),
        ("tell-workers", {"group": "*", "command": {"scale": 1}}, '{"told":0}', True),
        ("maxqueue", {"arguments": ["f", "5"]}, "OK", True),
        ("maxqueue", {"arguments": []}, INCOMPLETE, False),
        ("drop", {"arguments": ["function", "f"]}, "OK", True),
        ("shutdown", {"arguments": []}, "OK", True),
    ]


def test_a_short_timeout_is_warned_of_once_for_a_function() -> None:
    diary = Diary()
    broker = Broker(host=diary)
    workers = [Wire(broker, fd) for fd in range(3)]

    for worker in workers:
        worker.send(p.CAN_DO_TIMEOUT, b"resize", b"30")
        worker.send(p.CAN_DO_TIMEOUT, b"rotate", b"1000")
    workers[0].send(p.CAN_DO_TIMEOUT, b"rotate", b"999")

    assert diary.short_timeouts == [
        (workers[0].session.peer, b"resize", 30),
        (workers[0].session.peer, b"rotate", 999),
    ]
    assert broker.statistics().short_timeouts == 4


def test_the_host_is_asked_to_stop() -> None:
    diary = Diary()
    broker = Broker(host=diary, limits=Limits(allow_shutdown=True))
    wire = Wire(broker)

    wire.session.receive(b"shutdown graceful\nshutdown\n")

    assert diary.shutdowns == [True, False]


def test_shutdown_is_not_for_everybody() -> None:
    diary = Diary()
    wire = Wire(Broker(host=diary))

    wire.session.receive(b"shutdown graceful\nshutdown\n")

    assert diary.shutdowns == []


def test_statistics() -> None:
    broker = Broker()
    worker, client, gone = Wire(broker, 1), Wire(broker, 2), Wire(broker, 3)
    gone.send(p.SUBMIT_JOB, b"resize", b"", b"photo")
    gone.session.lost()
    worker.send(p.CAN_DO, b"resize")
    for outcome in (p.WORK_COMPLETE, p.WORK_FAIL, p.WORK_EXCEPTION):
        client.send(p.SUBMIT_JOB, b"resize", b"", b"photo")
        worker.send(p.GRAB_JOB)
        handle = worker.read()[-1][1].split(b"\0")[0]
        worker.send(outcome, *((handle,) if outcome == p.WORK_FAIL else (handle, b"")))
    client.send(p.SUBMIT_JOB, b"resize", b"u1", b"photo")
    client.send(p.SUBMIT_JOB, b"resize", b"u1", b"photo")
    client.send(p.SUBMIT_JOB_EPOCH, b"resize", b"", b"60", b"photo")
    worker.send(p.GRAB_JOB)
    worker.send(p.WORK_FAIL, b"H:nobody:1")

    statistics = broker.statistics()

    assert statistics.sessions == 2
    assert statistics.engine.functions == 1
    assert statistics.engine.jobs == 2
    assert (statistics.engine.queued, statistics.engine.delayed) == (0, 1)
    assert statistics.engine.running == 1
    assert statistics.engine.submitted == 6
    assert statistics.engine.coalesced == 1
    assert statistics.engine.completed == 1
    assert statistics.engine.failed == 2
    assert statistics.engine.abandoned == 1
    assert statistics.engine.stale == 1


# ---- wake-ups


def idle_workers(broker: Broker, count: int) -> list[Wire]:
    workers = [Wire(broker, fd) for fd in range(1, count + 1)]
    for worker in workers:
        worker.session.receive(codec.request(p.CAN_DO, b"resize") + codec.request(p.PRE_SLEEP))
    return workers


def noops(workers: list[Wire]) -> list[Wire]:
    """Who hears a NOOP now, once for each NOOP; and nobody hears anything else."""
    woken = []
    for worker in workers:
        for packet in worker.read():
            assert packet == (p.NOOP, b"")
            woken.append(worker)
    return woken


def test_one_job_wakes_one_of_two_thousand_workers() -> None:
    broker = Broker()
    workers = idle_workers(broker, 2000)
    client = Wire(broker, 9999)
    assert noops(workers) == []

    for _ in range(20):  # a client in lock-step
        client.send(p.SUBMIT_JOB, b"resize", b"", b"photo")
        (worker,) = noops(workers)
        worker.send(p.GRAB_JOB)
        ((number, body),) = worker.read()
        assert number == p.JOB_ASSIGN
        worker.send(p.WORK_COMPLETE, body.split(b"\0")[0], b"done")
        worker.send(p.GRAB_JOB)
        assert worker.read() == [(p.NO_JOB, b"")]
        worker.send(p.PRE_SLEEP)

    assert noops(workers) == []
    assert broker.statistics().engine.wakes == 20
    assert [number for number, _ in client.read()] == [p.JOB_CREATED, p.WORK_COMPLETE] * 20


def test_fifty_jobs_at_once_wake_fifty_workers() -> None:
    broker = Broker()
    workers = idle_workers(broker, 2000)
    client = Wire(broker, 9999)

    client.session.receive(codec.request(p.SUBMIT_JOB_BG, b"resize", b"", b"photo") * 50)

    woken = noops(workers)
    assert len(woken) == 50
    assert len({id(worker) for worker in woken}) == 50


def test_workers_that_do_not_come_are_passed_over_one_by_one() -> None:
    broker = Broker()
    workers = idle_workers(broker, 2000)
    client = Wire(broker, 9999)

    client.send(p.SUBMIT_JOB, b"resize", b"", b"photo")
    assert len(noops(workers)) == 1

    woken = []
    for step in range(1, 21):  # two seconds in which nobody comes
        due_s = broker.advance(step * 0.1 - 0.01)
        assert due_s == pytest.approx(step * 0.1)
        assert noops(workers) == []
        broker.advance(due_s)
        woken += noops(workers)
        assert len(woken) == step

    woken[-1].send(p.GRAB_JOB)
    assert woken[-1].read()[0][0] == p.JOB_ASSIGN
    broker.advance(60.0)
    assert noops(workers) == []
    assert broker.statistics().engine.passed_over == 20


# ---- routes


def test_every_packet_has_a_route() -> None:
    assert {number for number in ROUTES if number >= 0} == set(p.PACKETS)
    assert {p.TEXT, p.WRONG_MAGIC} < set(ROUTES)


@pytest.mark.parametrize("packet", p.PACKETS.values(), ids=lambda packet: packet.name)
def test_a_route_goes_by_the_table(packet: p.PacketType) -> None:
    handler, separators = ROUTES[packet.number]
    if packet.senders == p.SERVER:
        assert (handler, separators) == (Session.on_unexpected, 0)
    else:
        assert handler is not Session.on_unexpected
        assert separators == len(packet.fields) - 1


@pytest.mark.parametrize("packet", p.PACKETS.values(), ids=lambda packet: packet.name)
def test_every_packet_is_taken_as_the_table_says(packet: p.PacketType) -> None:
    broker = Broker()
    wire = Wire(broker)

    fields = [b"{}" if field in ("options", "usage", "state") else b"1" for field in packet.fields]
    if packet.number == p.OPERATE:
        fields = [b'{"do": "server"}']
    if packet.number == p.WORK_FAILURE:
        fields[1] = b"lost"
    wire.send(packet.number, *fields)

    assert wire.session.closing is None
    heard = [number for number, _ in wire.read()]
    answers = [p.NUMBERS[name] for name in p.NUMBERS if name in packet.answer.split(", or ")[0]]
    if packet.senders == p.SERVER:
        assert heard == [p.ERROR]
    elif packet.number == p.OPTION_REQ:
        assert heard == [p.ERROR]  # there is no option 1
    elif packet.number in (p.GRAB_JOB, p.GRAB_JOB_UNIQ, p.GRAB_JOB_ALL):
        assert heard == [p.NO_JOB]
    elif packet.number == p.PRE_SLEEP or packet.answer == "-":
        assert heard == []
    else:
        assert len(heard) == 1
        assert heard[0] in answers


@given(st.sampled_from(sorted(p.PACKETS)), st.lists(st.binary(max_size=5), max_size=9))
def test_a_handler_splits_as_the_table_says(number: int, fields: list[bytes]) -> None:
    body = b"\0".join(fields)
    try:
        expected = codec.split(number, body)
    except MalformedPacket as error:
        expected = None
        sentence = str(error).encode()
    handler, separators = ROUTES[number]
    if expected is not None and handler is not Session.on_unexpected and separators >= 0:
        split = body.split(b"\0", separators)
        assert split + [b""] * (len(expected) - len(split)) == expected
    elif expected is None and handler is not Session.on_unexpected:
        wire = Wire(Broker())
        wire.send(number, *fields)
        assert wire.read() == [(p.ERROR, b"INVALID_ARGUMENT\0" + sentence)]
        assert wire.session.closing is not None


@pytest.mark.parametrize("number", SUBMITS, ids=lambda number: p.PACKETS[number].name)
def test_a_payload_may_hold_anything(number: int) -> None:
    wire = Wire(Broker())
    payload = bytes(range(256)) + b"\0\0REQ\0RES"
    wire.send(p.CAN_DO, b"resize")
    wire.send(number, b"resize", b"u1", payload)
    ((_, handle),) = wire.read()

    wire.send(p.GRAB_JOB_UNIQ)

    assert wire.read() == [(p.JOB_ASSIGN_UNIQ, b"\0".join((handle, b"resize", b"u1", payload)))]


# ---- garbage

WORDS: Final = st.sampled_from(
    [b"", b"-", b"f", b"g", b"u", b"0", b"1", b"-7", b"99999999999", b"exceptions", b"\n", b"\x00"]
    + [b"H:localhost:%d" % number for number in range(1, 4)]
) | st.binary(max_size=20)
LINES: Final = st.sampled_from(
    [
        b"status",
        b"workers",
        b"prioritystatus",
        b"show jobs",
        b"show unique jobs",
        b"show maxqueue",
        b"cancel job",
        b"create function",
        b"drop function",
        b"maxqueue",
        b"shutdown",
        b"version",
    ]
)


@st.composite
def pieces(draw: st.DrawFn) -> bytes:
    """A packet, a text line, or neither; whole, cut or with a byte changed."""
    kind = draw(st.sampled_from(["packet", "packet", "packet", "line", "noise"]))
    if kind == "noise":
        return draw(st.binary(max_size=60))
    if kind == "line":
        words = draw(st.lists(WORDS, max_size=4))
        data = b" ".join([draw(LINES), *words]) + draw(st.sampled_from([b"\n", b"\r\n", b""]))
    else:
        number = draw(st.sampled_from(sorted(p.PACKETS)))
        count = len(p.PACKETS[number].fields)
        count = max(0, count + draw(st.sampled_from([0, 0, 0, 0, -1, 1])))
        encode = draw(st.sampled_from([codec.request, codec.request, codec.response]))
        data = encode(number, *(draw(WORDS) for _ in range(count)))
    change = draw(st.sampled_from(["none", "none", "none", "cut", "byte"]))
    if change == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if change == "byte" and data:
        place = draw(st.integers(0, len(data) - 1))
        return data[:place] + draw(st.binary(min_size=1, max_size=1)) + data[place + 1 :]
    return data


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


@settings(max_examples=200, deadline=None)
@given(
    streams=st.lists(st.lists(pieces(), max_size=12).map(b"".join), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 1000), max_size=20),
    steps_s=st.lists(st.sampled_from([0.0, 0.05, 1.0, 100.0]), min_size=1, max_size=5),
    durable=st.booleans(),
    outbox_bytes=st.sampled_from([0, 50, 1 << 20]),
)
def test_garbage_harms_nobody(
    streams: list[bytes],
    cuts: list[int],
    steps_s: list[float],
    durable: bool,
    outbox_bytes: int,
) -> None:
    diary = Diary()
    limits = Limits(allow_shutdown=True, outbox_bytes=outbox_bytes, payload_bytes_max=10_000)
    broker = Broker(limits=limits, host=diary, durable=durable)
    client, worker = Wire(broker, 1), Wire(broker, 2)
    worker.send(p.CAN_DO, b"innocent")
    now_s = 0.0

    for fd, stream in enumerate(streams, start=3):
        vandal = Wire(broker, fd)
        for number, chunk in enumerate(chunks(stream, cuts)):
            now_s += steps_s[number % len(steps_s)]
            broker.advance(now_s)
            vandal.session.receive(chunk)
            broker.take_dirty()
            work = broker.gate.take_work()
            if work is not None:
                broker.gate.open(work.ticket)
            vandal.session.outbox.take()
            if vandal.session.choked:
                vandal.session.resume()
        if fd % 2:
            vandal.session.lost()

    client.send(p.ECHO_REQ, b"alive")
    assert client.read() == [(p.ECHO_RES, b"alive")]
    client.send(p.SUBMIT_JOB, b"innocent", b"", b"photo")
    ((number, handle),) = client.read()
    assert number == p.JOB_CREATED
    worker.send(p.GRAB_JOB)
    assert worker.read() == [(p.JOB_ASSIGN, handle + b"\0innocent\0photo")]
    worker.send(p.WORK_COMPLETE, handle, b"done")
    assert client.read() == [(p.WORK_COMPLETE, handle + b"\0done")]
    assert diary.faults == []
    assert broker.statistics().faults == 0
    assert broker.statistics().sessions == 2 + len(streams) // 2
