"""The client's core: gearpy's own packets, and servers that do not know them."""

import pytest

from gearpy.client.core import (
    Cancelled,
    ClientCore,
    Created,
    Echoed,
    Event,
    Extended,
    Lost,
    Operated,
    Progress,
    Refused,
)
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response

EXCEPTIONS_SET = response(p.OPTION_RES, b"exceptions")
GEARPY_SET = response(p.OPTION_RES, b"gearpy")
UNKNOWN = response(p.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option")
ECHO = response(p.ECHO_RES, b"")
PROBE = request(p.GET_STATUS, b"H:gearpy:0")
PROBED = response(p.STATUS_RES, b"H:gearpy:0", b"0", b"0", b"", b"")


def extended() -> ClientCore:
    """A core on a server that speaks gearpy's own packets."""
    core = ClientCore()
    core.extend()
    core.receive(EXCEPTIONS_SET + GEARPY_SET + PROBED)
    assert core.extended
    core.take()
    return core


def known(events: list[Event]) -> list[bool]:
    return [event.granted for event in events if isinstance(event, Extended)]


def test_nothing_is_asked_until_it_matters() -> None:
    core = ClientCore()
    assert core.take() == request(p.OPTION_REQ, b"exceptions")
    assert core.extended is None
    asked = core.extend()
    assert core.take() == request(p.OPTION_REQ, b"gearpy") + PROBE
    assert core.receive(EXCEPTIONS_SET) == []
    assert core.receive(GEARPY_SET) == [Extended(asked, True)]
    assert core.receive(PROBED) == []
    assert core.extended is True


@pytest.mark.parametrize(
    ("first", "answer", "granted"),
    [
        (EXCEPTIONS_SET, GEARPY_SET, True),
        (EXCEPTIONS_SET, UNKNOWN, False),
        (EXCEPTIONS_SET, b"", False),
        (UNKNOWN, UNKNOWN, False),
        (b"", UNKNOWN, False),
        (b"", b"", False),
    ],
    ids=["gearpy", "gearmand", "silent", "refuses both", "refuses one", "ignores both"],
)
def test_every_server_has_answered_once_it_answers_the_next_question(
    first: bytes, answer: bytes, granted: bool
) -> None:
    core = ClientCore()
    core.extend()
    job = core.submit(b"f", b"")
    events = core.receive(first + answer + PROBED + response(p.JOB_CREATED, b"H:1"))
    assert len(events) == 2
    assert known(events) == [granted]
    assert core.extended is granted
    assert events[-1] == Created(job)
    # Whoever asks next is answered itself.
    status = core.status(b"H:1")
    [refused] = core.receive(response(p.ERROR, b"NO", b"not today"))
    assert isinstance(refused, Refused)
    assert refused.request is status


@pytest.mark.parametrize("probed", [b"", response(p.ERROR, b"NO", b"never heard of")])
def test_a_server_that_does_not_answer_that_either(probed: bytes) -> None:
    core = ClientCore()
    asked, echo = core.extend(), core.echo(b"")
    assert core.receive(EXCEPTIONS_SET + UNKNOWN + probed + ECHO) == [
        Extended(asked, False),
        Echoed(echo, b""),
    ]


def test_a_connection_that_ends_before_the_answer_says_so_and_why() -> None:
    core = ClientCore()
    asked = core.extend()
    core.receive(response(p.ERROR, b"TOO_MANY_CONNECTIONS", b"full"))
    reason = "closed; before that the server answered TOO_MANY_CONNECTIONS: full"
    [lost] = core.lost("closed")
    assert isinstance(lost, Lost)
    assert (lost.request, lost.reason) == (asked, reason)
    assert lost.last_words is not None
    assert lost.last_words.code == "TOO_MANY_CONNECTIONS"
    assert core.extended is None


def test_a_job_with_options() -> None:
    core = extended()
    job = core.submit(
        b"f", b"a\0b", unique=b"u", priority=Priority.CRITICAL, options={"attempts": 2}
    )
    assert core.take() == request(
        p.SUBMIT_JOB_OPTIONS, b"f", b"u", b'{"attempts":2,"priority":"critical"}', b"a\0b"
    )
    assert core.receive(response(p.JOB_CREATED, b"H:1")) == [Created(job)]
    assert job.handle == b"H:1"


def test_a_due_time_travels_as_the_standard_has_it() -> None:
    core = ClientCore()
    core.take()
    core.submit(b"f", b"x", background=True, options={"due_s": 1_767_225_600.0})
    assert core.take() == request(p.SUBMIT_JOB_EPOCH, b"f", b"", b"1767225600", b"x")


@pytest.mark.parametrize(("answer", "cancelled"), [(b"1", True), (b"0", False), (b"1\0", True)])
def test_cancel(answer: bytes, cancelled: bool) -> None:
    core = extended()
    asked = core.cancel(b"H:1")
    assert core.take() == request(p.CANCEL_JOB, b"H:1")
    assert core.receive(response(p.CANCEL_RES, b"H:1", answer)) == [Cancelled(asked, cancelled)]


def test_operate() -> None:
    core = extended()
    asked = core.operate({"do": "jobs", "function": "\udcff"})
    assert core.take() == request(p.OPERATE, rb'{"do":"jobs","function":"\udcff"}')
    assert core.receive(response(p.OPERATE_RES, rb'{"jobs":[],"next":null}')) == [
        Operated(asked, {"jobs": [], "next": None})
    ]


def test_progress_in_words() -> None:
    core = extended()
    first, second = core.submit(b"f", b"", unique=b"u"), core.submit(b"f", b"", unique=b"u")
    core.receive(response(p.JOB_CREATED, b"H:1") * 2)
    events = core.receive(
        response(p.WORK_PROGRESS, b"H:1", b"1", b"2", b"half\0way") * 2
        + response(p.WORK_STATUS, b"H:1", b"2", b"2") * 2
    )
    assert events == [
        Progress(first, 1, 2, b"half\0way"),
        Progress(second, 1, 2, b"half\0way"),
        Progress(first, 2, 2),
        Progress(second, 2, 2),
    ]
    core.receive(response(p.WORK_COMPLETE, b"H:1", b""))
    assert core.receive(response(p.WORK_PROGRESS, b"H:1", b"1", b"2", b"late")) == []
    core.receive(response(p.WORK_PROGRESS, b"H:1", b"1", b"2"))
    assert "WORK_PROGRESS needs 4 arguments" in str(core.broken)


def test_answers_keep_to_the_order_of_the_questions() -> None:
    core = extended()
    first, second, job = core.cancel(b"H:1"), core.operate({"do": "server"}), core.submit(b"f", b"")
    third = core.cancel(b"H:2")
    events = core.receive(
        response(p.CANCEL_RES, b"H:1", b"1")
        + response(p.ERROR, b"JOB_NOT_FOUND", b"no")
        + response(p.JOB_CREATED, b"H:3")
        + response(p.CANCEL_RES, b"H:2", b"0")
    )
    assert isinstance(events[1], Refused)
    assert events[1].request is second
    assert [events[0], *events[2:]] == [
        Cancelled(first, True),
        Created(job),
        Cancelled(third, False),
    ]


def test_an_answer_that_makes_no_sense_ends_it() -> None:
    core = extended()
    asked, echo = core.operate({"do": "server"}), core.echo(b"")
    assert core.receive(response(p.OPERATE_RES, b"[]") + ECHO) == []
    assert "OPERATE_RES is no JSON object" in str(core.broken)
    assert core.lost("nonsense") == [Lost(asked, "nonsense"), Lost(echo, "nonsense")]


def test_what_nobody_asked_for_is_ignored() -> None:
    core = extended()
    for packet in (response(p.CANCEL_RES, b"H:1", b"1"), response(p.OPERATE_RES, b"{}"), ECHO):
        assert core.receive(packet) == []
    assert core.broken is None
    echo = core.echo(b"")
    assert core.receive(ECHO) == [Echoed(echo, b"")]


def test_a_handle_holds_no_nul() -> None:
    core = extended()
    with pytest.raises(InvalidArgument, match="the handle"):
        core.cancel(b"a\0b")
    assert core.take() == b""
