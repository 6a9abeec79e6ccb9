"""The worker's core: its conversation as a state machine, and against a real broker."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.broker.session import Session
from gearpy.errors import InvalidArgument
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response
from gearpy.worker.core import Assignment, State, WorkerCore

OPTION = request(p.OPTION_REQ, b"gearpy")
GRAB = request(p.GRAB_JOB_UNIQ)
SLEEP = request(p.PRE_SLEEP)
NO_JOB = response(p.NO_JOB)
NOOP = response(p.NOOP)
ASSIGN = response(p.JOB_ASSIGN_UNIQ, b"H:1", b"f", b"u", b"pay\0load")
LATE = response(p.ERROR, b"JOB_NOT_FOUND", b"Job given in work result not found")


def started() -> WorkerCore:
    """A core on a server that says nothing about options."""
    core = WorkerCore()
    core.can_do(b"f")
    core.start()
    core.grab()
    assert core.take() == OPTION + request(p.CAN_DO, b"f") + GRAB
    return core


def asleep() -> WorkerCore:
    core = started()
    assert core.receive(NO_JOB) == []
    assert core.take() == SLEEP
    return core


def working() -> WorkerCore:
    core = started()
    assert len(core.receive(ASSIGN)) == 1
    assert core.take() == b""
    return core


def test_a_timeout_travels_in_milliseconds() -> None:
    core = WorkerCore()
    core.can_do(b"slow", 90_000)
    assert core.take() == OPTION + request(p.CAN_DO_TIMEOUT, b"slow", b"90000")


def test_a_name_holds_no_nul() -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        WorkerCore().can_do(b"a\0b")


@pytest.mark.parametrize(
    ("packet", "unique"),
    [
        (response(p.JOB_ASSIGN, b"H:1", b"f", b"pay\0load"), b""),
        (response(p.JOB_ASSIGN_UNIQ, b"H:1", b"f", b"u", b"pay\0load"), b"u"),
        (response(p.JOB_ASSIGN_ALL, b"H:1", b"f", b"u", b"reduce", b"pay\0load"), b"u"),
    ],
)
def test_a_job_arrives(packet: bytes, unique: bytes) -> None:
    core = started()
    assert core.receive(packet) == [Assignment(b"H:1", b"f", unique, b"pay\0load")]
    assert core.take() == b""


def test_without_a_job_it_sleeps_until_it_is_woken() -> None:
    core = asleep()
    assert not core.wants_job
    assert core.receive(NOOP) == []
    assert core.wants_job
    core.grab()
    assert core.take() == GRAB
    assert core.receive(NO_JOB) == []
    assert core.take() == SLEEP


def test_the_result_and_the_next_question_travel_together() -> None:
    core = working()
    core.complete(b"H:1", b"re\0sult")
    core.grab()
    assert core.take() == request(p.WORK_COMPLETE, b"H:1", b"re\0sult") + GRAB


def test_an_exception_is_not_followed_by_a_fail() -> None:
    core = working()
    core.exception(b"H:1", b"ValueError: no")
    assert core.take() == request(p.WORK_EXCEPTION, b"H:1", b"ValueError: no")


def test_news_of_a_job_are_sent_one_by_one() -> None:
    core = working()
    core.progress(b"H:1", 1, 2)
    assert core.take() == request(p.WORK_STATUS, b"H:1", b"1", b"2")
    core.data(b"H:1", b"part")
    assert core.take() == request(p.WORK_DATA, b"H:1", b"part")
    core.warning(b"H:1", b"careful")
    assert core.take() == request(p.WORK_WARNING, b"H:1", b"careful")


@pytest.mark.parametrize("core", [started(), working()], ids=["grabbing", "awake"])
def test_who_is_not_asleep_is_not_woken(core: WorkerCore) -> None:
    state = core.state
    assert core.receive(NOOP + NOOP) == []
    assert core.take() == b""
    assert core.state is state


def test_a_second_noop_does_not_ask_twice() -> None:
    core = asleep()
    core.receive(NOOP + NOOP)
    core.grab()
    assert core.receive(NOOP) == []
    assert not core.wants_job
    assert core.take() == GRAB


def test_it_takes_more_while_it_holds_some() -> None:
    core = working()
    assert (core.wants_job, core.load) == (True, 1)
    core.grab()
    assert (core.wants_job, core.load) == (False, 2)
    core.receive(response(p.JOB_ASSIGN_UNIQ, b"H:2", b"f", b"", b""))
    core.grab()
    core.receive(NO_JOB)
    assert core.take() == GRAB + GRAB + SLEEP
    assert core.load == 2
    core.complete(b"H:2", b"second")
    core.complete(b"H:1", b"first")
    assert core.take() == request(p.WORK_COMPLETE, b"H:2", b"second") + request(
        p.WORK_COMPLETE, b"H:1", b"first"
    )
    assert (core.load, core.state) == (0, State.ASLEEP)


def test_what_it_can_do_again_wakes_it() -> None:
    core = working()
    core.cant_do(b"f")
    core.grab()
    core.receive(NO_JOB)
    assert core.take() == request(p.CANT_DO, b"f") + GRAB + SLEEP
    core.can_do(b"f")
    assert core.wants_job
    core.grab()
    core.can_do(b"g")
    assert not core.wants_job  # the question is under way


def test_a_job_may_be_let_go_without_a_word() -> None:
    core = working()
    core.stop()
    core.let_go(b"H:1")
    core.let_go(b"H:1")
    assert core.stopped
    assert core.take() == b""


# ---- stopping


def test_it_stops_at_once_while_it_sleeps() -> None:
    core = asleep()
    core.stop()
    assert core.stopped
    assert core.receive(NOOP) == []
    assert core.take() == b""


def test_it_stops_at_once_before_it_starts() -> None:
    core = WorkerCore()
    core.stop()
    core.start()
    assert core.stopped
    assert core.take() == OPTION


@pytest.mark.parametrize("how", ["complete", "exception"])
def test_it_stops_after_the_job_that_runs(how: str) -> None:
    core = working()
    core.stop()
    assert not core.stopped
    if how == "complete":
        core.complete(b"H:1", b"done")
        assert core.take() == request(p.WORK_COMPLETE, b"H:1", b"done")
    else:
        core.exception(b"H:1", b"no")
        assert core.take() == request(p.WORK_EXCEPTION, b"H:1", b"no")
    assert core.stopped


def test_it_waits_for_the_answer_to_its_question_before_it_stops() -> None:
    core = started()
    core.stop()
    assert not core.stopped
    core.receive(NO_JOB)
    assert core.stopped
    assert core.take() == b""


def test_a_job_that_was_asked_for_before_the_stop_is_done() -> None:
    core = started()
    core.stop()
    assert len(core.receive(ASSIGN)) == 1
    assert not core.stopped
    core.complete(b"H:1", b"done")
    assert core.take() == request(p.WORK_COMPLETE, b"H:1", b"done")
    assert core.stopped


# ---- what should not come


def test_a_late_result_that_was_refused_matters_to_nobody() -> None:
    core = working()
    core.complete(b"H:1", b"done")
    core.take()
    assert core.receive(LATE) == []
    assert core.refusal is None
    assert core.state is State.AWAKE


def test_any_other_error_is_a_refusal() -> None:
    core = started()
    core.receive(response(p.ERROR, b"INVALID_ARGUMENT", b"this name is not allowed"))
    assert core.refusal is not None
    assert (core.refusal.code, core.refusal.text) == (
        "INVALID_ARGUMENT",
        "this name is not allowed",
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"220 mail.example.org ESMTP\r\n", "it sent text: b'220 mail"),
        (request(p.ECHO_REQ, b""), "it sent a request"),
        (b"\0BAD" + bytes(8), "NUL REQ or NUL RES"),
        (response(p.JOB_ASSIGN_UNIQ, b"H:1"), "JOB_ASSIGN_UNIQ needs 4 arguments"),
        (ASSIGN + ASSIGN, "a job that nobody asked for"),
    ],
)
def test_a_peer_that_does_not_speak_gearman(data: bytes, why: str) -> None:
    core = started()
    core.receive(data)
    assert core.broken is not None
    assert why in str(core.broken)
    assert core.receive(ASSIGN) == []


def test_packets_of_a_newer_protocol_are_ignored() -> None:
    core = started()
    assert core.receive(b"\0RES" + (99).to_bytes(4, "big") + bytes(4)) == []
    assert core.broken is None


@given(st.lists(st.integers(0, 200), max_size=8))
def test_it_does_not_matter_how_the_stream_is_cut(cuts: list[int]) -> None:
    core = started()
    stream = NOOP + LATE + ASSIGN + NOOP
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assignments = []
    for start, stop in pairwise(edges):
        assignments += core.receive(stream[start:stop])
    assert assignments == [Assignment(b"H:1", b"f", b"u", b"pay\0load")]
    core = started()
    assert core.receive(ASSIGN + NOOP) == assignments
    assert core.wants_job


# ---- with a real broker


class _Link:
    def flush(self) -> None: ...


class World:
    """Worker cores and a client on a real broker, without a wire between them."""

    def __init__(self, workers: int, capacity: int) -> None:
        self.broker = Broker()
        self.capacity = capacity
        self.client = self._session()
        self.workers = [(WorkerCore(), self._session()) for _ in range(workers)]
        self.held: dict[WorkerCore, list[Assignment]] = {core: [] for core, _ in self.workers}
        self.done: list[bytes] = []
        for core, _ in self.workers:
            core.can_do(b"f")
            core.start()

    def _session(self) -> Session:
        return self.broker.connect(Peer(0, "127.0.0.1", "peer"), _Link())

    def move(self, number: int) -> bool:
        """One way and the other for one worker; returns whether anything moved."""
        core, session = self.workers[number % len(self.workers)]
        if core.wants_job and core.load < self.capacity:
            core.grab()
        sent = core.take()
        session.receive(sent)
        heard = session.outbox.take()
        self.held[core] += core.receive(heard)
        assert len(self.held[core]) <= core.load <= self.capacity
        return bool(sent or heard)

    def settle(self) -> None:
        moved = True
        while moved:
            moved = False
            for number in range(len(self.workers)):
                moved |= self.move(number)

    def finish(self, number: int) -> None:
        core, _ = self.workers[number % len(self.workers)]
        if self.held[core]:
            assignment = self.held[core].pop(number % len(self.held[core]))
            self.done.append(assignment.payload)
            core.complete(assignment.handle, b"")

    def finish_all(self) -> None:
        self.settle()
        while any(self.held.values()):
            for number in range(len(self.workers)):
                self.finish(number)
            self.settle()


@given(
    workers=st.integers(1, 4),
    capacity=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["submit", "move", "finish", "stop"]), st.integers(0, 3)),
        max_size=60,
    ),
)
def test_every_job_is_done_once_and_no_worker_sleeps_beside_one(
    workers: int, capacity: int, steps: list[tuple[str, int]]
) -> None:
    world = World(workers, capacity)
    submitted: list[bytes] = []
    stopped: set[WorkerCore] = set()
    for kind, number in steps:
        if kind == "submit":
            submitted.append(b"%d" % len(submitted))
            world.client.receive(request(p.SUBMIT_JOB_BG, b"f", b"", submitted[-1]))
        elif kind == "move":
            world.move(number)
        elif kind == "finish":
            world.finish(number)
        elif len(stopped) + 1 < workers:  # somebody stays to do the rest
            core, _ = world.workers[number % workers]
            core.stop()
            stopped.add(core)
    world.finish_all()
    # A stopped worker hangs up; what it was woken for goes to the others.
    for core, session in world.workers:
        if core in stopped:
            assert core.stopped
            session.lost()
    world.workers = [pair for pair in world.workers if pair[0] not in stopped]
    world.finish_all()
    assert sorted(world.done) == sorted(submitted)
    assert all(core.state is State.ASLEEP for core, _ in world.workers)
