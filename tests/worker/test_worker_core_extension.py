"""The worker's core: gearpy's own packets, and servers that do not know them."""

import pytest

from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response
from gearpy.worker.core import Assignment, State, Terms, WorkerCore

GEARPY_SET = response(p.OPTION_RES, b"gearpy")
UNKNOWN = response(p.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option")
NO_JOB = response(p.NO_JOB)
CANCEL = response(p.CANCEL_JOB, b"H:1")


def assign(options: bytes = b"{}", handle: bytes = b"H:1") -> bytes:
    return response(p.JOB_ASSIGN_OPTIONS, handle, b"f", b"u", options, b"pay\0load")


def started(answer: bytes = GEARPY_SET) -> WorkerCore:
    core = WorkerCore()
    core.can_do(b"f")
    core.start()
    core.grab()
    core.take()
    assert core.receive(answer) == []
    return core


def working(answer: bytes = GEARPY_SET) -> WorkerCore:
    core = started(answer)
    [assignment] = core.receive(assign())
    assert assignment.handle == b"H:1"
    return core


def terms(options: bytes) -> Terms:
    [assignment] = started().receive(assign(options))
    return assignment.terms


# ---- the question


@pytest.mark.parametrize(
    ("answer", "extended"),
    [
        (GEARPY_SET, True),
        (response(p.OPTION_RES, b"gearpy\0"), True),
        (response(p.OPTION_RES, b"exceptions"), False),
        (UNKNOWN, False),
        (response(p.ERROR, b"unknown_option", b""), False),  # the server in Perl
        (b"", False),
    ],
)
def test_a_server_may_treat_the_question_as_it_likes(answer: bytes, extended: bool) -> None:
    core = started(answer)
    assert core.extended is extended
    assert core.refusal is None
    core.receive(NO_JOB)
    assert core.take() == request(p.PRE_SLEEP)


@pytest.mark.parametrize("code", [b"TOO_MANY_CONNECTIONS", b"INVALID_ARGUMENT"])
@pytest.mark.parametrize("answer", [b"", UNKNOWN, GEARPY_SET], ids=["silent", "refuses", "grants"])
def test_another_error_is_a_refusal_and_not_the_answer(answer: bytes, code: bytes) -> None:
    core = started(answer)
    core.receive(response(p.ERROR, code, b"no"))
    assert core.refusal is not None
    assert core.refusal.code == code.decode()


@pytest.mark.parametrize(
    "before",
    [UNKNOWN, GEARPY_SET, NO_JOB, response(p.JOB_ASSIGN, b"H:1", b"f", b"")],
    ids=["refused", "granted", "silent until there is no job", "silent until there is one"],
)
def test_the_question_is_answered_once(before: bytes) -> None:
    core = WorkerCore()
    core.start()
    core.grab()
    core.receive(before)
    extended = core.extended
    core.receive(GEARPY_SET)
    assert core.extended is extended
    core.receive(UNKNOWN)
    assert core.refusal is not None


# ---- what is told of a job


def test_a_job_arrives_with_its_terms() -> None:
    [assignment] = started().receive(
        assign(
            b'{"attempt":2,"attempts":5,"deadline_s":1767225600.5,"priority":"critical",'
            rb'"created_s":1767225000,"key":"\udcff","labels":{"user":"ann"},"reducer":"sum"}'
        )
    )
    assert assignment == Assignment(
        b"H:1",
        b"f",
        b"u",
        b"pay\0load",
        Terms(2, 5, 1_767_225_600.5, 1_767_225_000, Priority.CRITICAL, "\udcff", {"user": "ann"}),
    )


def test_what_is_not_said_is_not_known() -> None:
    assert terms(b"{}") == Terms(0, None, None, None, None, "", {})
    assert terms(b'{"attempts":null,"deadline_s":null}') == Terms()


@pytest.mark.parametrize(
    "options",
    [
        b'{"attempt":"2","attempts":[],"deadline_s":"soon","created_s":{},"key":7,"labels":[]}',
        b'{"priority":"extreme","labels":{"user":7}}',
        b'{"priority":["low"],"from a newer server":true}',
    ],
)
def test_what_is_said_in_another_way_harms_no_job(options: bytes) -> None:
    assert terms(options) == Terms()


@pytest.mark.parametrize("options", [b"", b"[]", b"{"])
def test_terms_that_are_no_object_make_no_sense(options: bytes) -> None:
    core = started()
    assert core.receive(assign(options)) == []
    assert "JOB_ASSIGN_OPTIONS is no JSON" in str(core.broken)


def test_a_second_job_that_nobody_asked_for() -> None:
    core = started()
    core.receive(assign() + assign())
    assert "a job that nobody asked for" in str(core.broken)


# ---- progress in words


@pytest.mark.parametrize(
    ("answer", "text", "packet"),
    [
        (GEARPY_SET, b"half\0way", request(p.WORK_PROGRESS, b"H:1", b"1", b"2", b"half\0way")),
        (GEARPY_SET, b"", request(p.WORK_STATUS, b"H:1", b"1", b"2")),
        (UNKNOWN, b"halfway", request(p.WORK_STATUS, b"H:1", b"1", b"2")),
        (b"", b"halfway", request(p.WORK_STATUS, b"H:1", b"1", b"2")),
    ],
)
def test_progress_in_words_where_they_are_heard(answer: bytes, text: bytes, packet: bytes) -> None:
    core = working(answer)
    core.progress(b"H:1", 1, 2, text)
    assert core.take() == packet


# ---- cancelled jobs


@pytest.mark.parametrize("how", ["complete", "exception"])
def test_of_a_cancelled_job_nothing_more_is_sent(how: str) -> None:
    core = working()
    assert core.receive(CANCEL) == []
    assert core.is_cancelled(b"H:1")
    core.progress(b"H:1", 1, 2, b"halfway")
    core.data(b"H:1", b"part")
    core.warning(b"H:1", b"careful")
    assert core.take() == b""
    if how == "complete":
        core.complete(b"H:1", b"done")
    else:
        core.exception(b"H:1", b"no")
    assert core.take() == b""
    assert (core.state, core.load) == (State.AWAKE, 0)


def test_a_cancelled_job_is_the_last_one_of_a_worker_that_stops() -> None:
    core = working()
    core.receive(CANCEL)
    core.stop()
    core.complete(b"H:1", b"done")
    assert core.take() == b""
    assert core.stopped


def test_the_next_job_is_not_cancelled_even_if_it_is_the_same() -> None:
    core = working()
    core.receive(CANCEL)
    core.complete(b"H:1", b"done")
    core.grab()
    core.take()
    assert len(core.receive(assign())) == 1
    assert not core.is_cancelled(b"H:1")
    core.complete(b"H:1", b"done after all")
    assert core.take() == request(p.WORK_COMPLETE, b"H:1", b"done after all")


def test_that_another_job_was_cancelled_is_late_news() -> None:
    core = working()
    core.receive(response(p.CANCEL_JOB, b"H:0"))
    assert not core.is_cancelled(b"H:1")
    core.complete(b"H:1", b"done")
    core.grab()
    core.take()
    assert core.receive(CANCEL + NO_JOB + CANCEL) == []
    assert not core.is_cancelled(b"H:1")
    assert core.broken is None
    assert core.take() == request(p.PRE_SLEEP)


def test_a_straggler_of_the_job_before_may_still_report() -> None:
    core = working()
    core.complete(b"H:1", b"done")
    core.grab()
    core.receive(assign(handle=b"H:2") + response(p.CANCEL_JOB, b"H:2"))
    core.take()
    core.data(b"H:1", b"late")
    core.data(b"H:2", b"for nobody")
    assert core.take() == request(p.WORK_DATA, b"H:1", b"late")
