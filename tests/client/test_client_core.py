"""The client's core: bytes in, events out, and the other way round."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.client.core import (
    ClientCore,
    Completed,
    Created,
    Data,
    Echoed,
    Event,
    Failed,
    JobStatus,
    Lost,
    Progress,
    Refused,
    StatusKnown,
    Submission,
    Warned,
)
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response

OPTION = request(p.OPTION_REQ, b"exceptions")
OPTION_SET = response(p.OPTION_RES, b"exceptions")


def connected() -> ClientCore:
    """A core whose option was granted."""
    core = ClientCore()
    assert core.take() == OPTION
    assert core.receive(OPTION_SET) == []
    return core


def running(core: ClientCore, handle: bytes = b"H:1", unique: bytes = b"") -> Submission:
    """A submission that the server took."""
    submission = core.submit(b"resize", b"photo", unique=unique)
    core.take()
    assert core.receive(response(p.JOB_CREATED, handle)) == [Created(submission)]
    return submission


@pytest.mark.parametrize(
    ("priority", "background", "number"),
    [
        (Priority.HIGH, False, p.SUBMIT_JOB_HIGH),
        (Priority.NORMAL, False, p.SUBMIT_JOB),
        (Priority.LOW, False, p.SUBMIT_JOB_LOW),
        (Priority.HIGH, True, p.SUBMIT_JOB_HIGH_BG),
        (Priority.NORMAL, True, p.SUBMIT_JOB_BG),
        (Priority.LOW, True, p.SUBMIT_JOB_LOW_BG),
    ],
)
def test_each_priority_has_its_packet(priority: Priority, background: bool, number: int) -> None:
    core = connected()
    core.submit(b"f", b"a\0b", unique=b"u", priority=priority, background=background)
    assert core.take() == request(number, b"f", b"u", b"a\0b")
    assert core.take() == b""


def test_replies_find_their_requests_by_order() -> None:
    core = connected()
    first = core.submit(b"f", b"1")
    second = core.submit(b"f", b"2")
    echo = core.echo(b"hello")
    status = core.status(b"H:9")
    third = core.submit(b"f", b"3", background=True)
    assert core.take().startswith(request(p.SUBMIT_JOB, b"f", b"", b"1"))
    events = core.receive(
        response(p.JOB_CREATED, b"H:1")
        + response(p.ERROR, b"QUEUE_ERROR", b"Job queue is full")
        + response(p.ECHO_RES, b"hel\0lo")
        + response(p.STATUS_RES, b"H:9", b"1", b"1", b"3", b"10")
        + response(p.JOB_CREATED, b"H:2")
    )
    refused = events[1]
    assert isinstance(refused, Refused)
    assert refused.request is second
    assert (refused.error.code, refused.error.text) == ("QUEUE_ERROR", "Job queue is full")
    assert events == [
        Created(first),
        refused,
        Echoed(echo, b"hel\0lo"),
        StatusKnown(status, JobStatus(True, True, 3, 10)),
        Created(third),
    ]
    assert (first.handle, second.handle, third.handle) == (b"H:1", b"", b"H:2")


def test_a_job_from_its_creation_to_its_end() -> None:
    core = connected()
    job = running(core)
    events = core.receive(
        response(p.WORK_DATA, b"H:1", b"part\0one")
        + response(p.WORK_WARNING, b"H:1", b"careful")
        + response(p.WORK_STATUS, b"H:1", b"1", b"2\0")
        + response(p.WORK_COMPLETE, b"H:1", b"the\0result")
    )
    assert events == [
        Data(job, b"part\0one"),
        Warned(job, b"careful"),
        Progress(job, 1, 2),
        Completed(job, b"the\0result"),
    ]


@pytest.mark.parametrize(
    ("packet", "exception"),
    [
        (response(p.WORK_FAIL, b"H:1"), None),
        (response(p.WORK_FAIL, b"H:1\0"), None),  # gearmand's, where exceptions are not wanted
        (response(p.WORK_EXCEPTION, b"H:1", b"ValueError: no"), b"ValueError: no"),
    ],
)
def test_a_job_that_fails(packet: bytes, exception: bytes | None) -> None:
    core = connected()
    job = running(core)
    assert core.receive(packet) == [Failed(job, exception)]
    assert core.receive(packet) == []


def test_what_is_late_or_nobodys_or_unheard_of_is_ignored() -> None:
    core = connected()
    job = running(core)
    core.receive(response(p.WORK_COMPLETE, b"H:1", b""))
    late = [
        response(p.WORK_DATA, b"H:1", b"x"),
        response(p.WORK_STATUS, b"H:1", b"1", b"1"),
        response(p.WORK_FAIL, b"H:1"),
        response(p.WORK_COMPLETE, b"H:2", b"x"),
        response(p.JOB_CREATED, b"H:3"),
        response(p.STATUS_RES, b"H:1", b"0", b"0", b"0", b"0"),
        response(p.NOOP),
        b"\0RES" + (99).to_bytes(4, "big") + (3).to_bytes(4, "big") + b"new",
    ]
    assert core.receive(b"".join(late)) == []
    assert core.broken is None
    assert core.lost("gone") == []
    assert job.handle == b"H:1"


def test_a_background_job_is_not_waited_for() -> None:
    core = connected()
    job = core.submit(b"f", b"", background=True)
    assert core.receive(response(p.JOB_CREATED, b"H:1")) == [Created(job)]
    assert core.receive(response(p.WORK_COMPLETE, b"H:1", b"x")) == []
    assert core.lost("gone") == []


@pytest.mark.parametrize(
    "answer",
    [
        OPTION_SET,
        response(p.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option"),
        b"",
    ],
    ids=["granted", "refused", "ignored"],
)
def test_a_server_may_treat_the_option_as_it_likes(answer: bytes) -> None:
    core = ClientCore()
    job = core.submit(b"f", b"")
    assert core.take() == OPTION + request(p.SUBMIT_JOB, b"f", b"", b"")
    assert core.receive(answer + response(p.JOB_CREATED, b"H:1")) == [Created(job)]
    echo = core.echo(b"")
    refused = core.receive(response(p.ERROR, b"NO", b"not today"))
    assert [event.request for event in refused] == [echo]


def test_an_error_that_nothing_asked_for_is_the_reason_if_the_connection_ends_next() -> None:
    core = connected()
    assert core.receive(response(p.ERROR, b"SHUTTING_DOWN", b"good bye")) == []
    core.lost("closed")
    assert core.gone == "closed; before that the server answered SHUTTING_DOWN: good bye"


def test_an_error_that_nothing_asked_for_is_no_reason_once_something_follows_it() -> None:
    core = connected()
    core.receive(response(p.ERROR, b"ODD", b"hm") + response(p.NOOP))
    core.lost("closed")
    assert core.gone == "closed"


def test_everything_unanswered_or_unfinished_is_lost_with_the_connection() -> None:
    core = ClientCore()
    core.receive(OPTION_SET)
    job = running(core)
    twin = running(core)
    waiting = core.submit(b"f", b"")
    echo = core.echo(b"")
    assert core.lost("the cable is cut") == [
        Lost(waiting, "the cable is cut"),
        Lost(echo, "the cable is cut"),
        Lost(job, "the cable is cut"),
        Lost(twin, "the cable is cut"),
    ]
    assert core.take() == b""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "it sent text: b'SSH-2.0-OpenSSH_9'"),
        (request(p.ECHO_REQ, b""), "it sent a request"),
        (b"\0BAD" + bytes(8), "NUL REQ or NUL RES"),
        (response(p.WORK_STATUS, b"H:1", b"1"), "WORK_STATUS needs 3 arguments"),
    ],
)
def test_a_peer_that_does_not_speak_gearman(data: bytes, why: str) -> None:
    core = connected()
    job = running(core)
    events = core.receive(response(p.WORK_DATA, b"H:1", b"x") + data)
    assert events == [Data(job, b"x")]
    assert core.broken is not None
    assert why in str(core.broken)
    assert core.receive(response(p.WORK_DATA, b"H:1", b"y")) == []


def test_names_hold_no_nul() -> None:
    core = connected()
    with pytest.raises(InvalidArgument, match=r"the function b'a.*' holds a NUL"):
        core.submit(b"a\0b", b"")
    with pytest.raises(InvalidArgument, match="the unique"):
        core.submit(b"f", b"", unique=b"a\0b")
    with pytest.raises(InvalidArgument, match="the handle"):
        core.status(b"a\0b")
    assert core.take() == b""
    assert core.lost("gone") == []


# ---- coalescing: several submissions of this connection share one job


def test_each_submission_of_a_shared_job_gets_everything_once() -> None:
    core = connected()
    first = running(core)
    assert core.receive(response(p.WORK_DATA, b"H:1", b"1")) == [Data(first, b"1")]
    second = running(core)
    data = response(p.WORK_DATA, b"H:1", b"2")
    status = response(p.WORK_STATUS, b"H:1", b"1", b"2")
    end = response(p.WORK_COMPLETE, b"H:1", b"end")
    assert core.receive(data * 2 + status * 2 + end * 2) == [
        Data(first, b"2"),
        Data(second, b"2"),
        Progress(first, 1, 2),
        Progress(second, 1, 2),
        Completed(first, b"end"),
        Completed(second, b"end"),
    ]


def test_one_copy_of_the_end_is_enough_for_all() -> None:
    core = connected()
    first, second = running(core), running(core)
    assert core.receive(response(p.WORK_FAIL, b"H:1")) == [
        Failed(first, None),
        Failed(second, None),
    ]


def test_a_server_that_sends_too_few_copies_is_in_step_again_with_the_next_submission() -> None:
    core = connected()
    first, second = running(core), running(core)
    data = response(p.WORK_DATA, b"H:1", b"x")
    assert core.receive(data) == [Data(first, b"x")]
    third = running(core)
    assert core.receive(data * 3) == [Data(first, b"x"), Data(second, b"x"), Data(third, b"x")]


class _Link:
    def flush(self) -> None: ...


class World:
    """A client core and a hand-driven worker on a real broker, without a wire between them."""

    def __init__(self) -> None:
        broker = Broker()
        self.client = broker.connect(Peer(1, "127.0.0.1", "client"), _Link())
        self.worker = broker.connect(Peer(2, "127.0.0.1", "worker"), _Link())
        self.core = ClientCore()
        self.worker.receive(request(p.CAN_DO, b"f"))
        self.events: list[Event] = []

    def exchange(self, cuts: Sequence[int] = ()) -> None:
        """Moves bytes both ways until there are none."""
        self.client.receive(self.core.take())
        data = self.client.outbox.take()
        edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, stop in pairwise(edges):
            self.events += self.core.receive(data[start:stop])

    def work(self, number: int, *fields: bytes) -> None:
        self.worker.receive(request(number, *fields))
        self.worker.outbox.take()

    def grab(self) -> bytes | None:
        self.worker.receive(request(p.GRAB_JOB))
        body = self.worker.outbox.take()[p.HEADER_BYTES :]
        return body.split(b"\0")[0] if body else None


REPORTS = {
    "data": p.WORK_DATA,
    "warning": p.WORK_WARNING,
    "progress": p.WORK_STATUS,
    "complete": p.WORK_COMPLETE,
    "fail": p.WORK_FAIL,
    "exception": p.WORK_EXCEPTION,
}
UNIQUES = st.sampled_from([b"", b"a", b"b"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), UNIQUES),
        st.tuples(st.just("background"), UNIQUES),
        st.tuples(st.just("exchange"), st.lists(st.integers(0, 10_000), max_size=3)),
        st.tuples(st.just("grab"), st.none()),
        st.tuples(st.sampled_from(["data", "warning", "progress"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["complete", "fail", "exception"]), st.integers(0, 9)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_each_submission_gets_each_thing_once(
    steps: list[tuple[str, object]],
) -> None:
    """Each submission's events are what its job's worker sent from the moment of joining on."""
    world = World()
    expected: dict[Submission, list[tuple[object, ...]]] = {}
    waiting: dict[bytes, list[Submission]] = {}  # unique, or a name of its own -> who shares it
    held: list[tuple[bytes, list[Submission]]] = []  # handle and who waits
    for serial, (kind, value) in enumerate(steps):
        if kind in ("submit", "background"):
            assert isinstance(value, bytes)
            background = kind == "background"
            submission = world.core.submit(b"f", b"", unique=value, background=background)
            world.client.receive(world.core.take())  # handled now; the answer may travel later
            sharers = waiting.setdefault(value or b"%d" % serial, [])
            if not background:
                expected[submission] = [("created",)]
                sharers.append(submission)
        elif kind == "exchange":
            assert isinstance(value, list)
            world.exchange(value)
        elif kind == "grab":
            handle = world.grab()
            if handle is not None:
                taken = {id(sharers) for _, sharers in held}
                fresh = next(s for s in waiting.values() if id(s) not in taken)
                held.append((handle, fresh))
        elif held:
            assert isinstance(value, int)
            handle, sharers = held[value % len(held)]
            told = b"%d" % serial
            rest = {"progress": (told, b"100"), "fail": ()}.get(kind, (told,))
            world.work(REPORTS[kind], handle, *rest)
            if kind in ("complete", "fail", "exception"):
                held.remove((handle, sharers))
                waiting = {key: s for key, s in waiting.items() if s is not sharers}
            for submission in sharers:
                expected[submission].append((kind, told if kind != "fail" else None))
    world.exchange()
    assert world.core.broken is None
    heard: dict[Submission, list[tuple[object, ...]]] = {key: [] for key in expected}
    for event in world.events:
        if isinstance(event.request, Submission) and not event.request.background:
            heard[event.request].append(_told(event))
    assert heard == expected


def _told(event: Event) -> tuple[object, ...]:
    match event:
        case Created():
            return ("created",)
        case Data(data=data):
            return ("data", data)
        case Warned(warning=warning):
            return ("warning", warning)
        case Progress(numerator=numerator):
            return ("progress", b"%d" % numerator)
        case Completed(result=result):
            return ("complete", result)
        case Failed(exception=None):
            return ("fail", None)
        case Failed(exception=exception):
            return ("exception", exception)
    raise AssertionError(event)


@given(st.lists(st.integers(0, 400), max_size=8))
def test_it_does_not_matter_how_the_stream_is_cut(cuts: list[int]) -> None:
    stream = (
        response(p.JOB_CREATED, b"H:1")
        + response(p.WORK_DATA, b"H:1", bytes(range(100)))
        + response(p.ERROR, b"QUEUE_ERROR", b"full")
        + response(p.WORK_COMPLETE, b"H:1", b"end")
    )
    core = connected()
    first, second = core.submit(b"f", b""), core.submit(b"f", b"")
    events: list[Event] = []
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, stop in pairwise(edges):
        events += core.receive(stream[start:stop])
    assert [(type(event), event.request) for event in events] == [
        (Created, first),
        (Data, first),
        (Refused, second),
        (Completed, first),
    ]
