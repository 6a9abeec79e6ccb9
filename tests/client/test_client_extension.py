"""The blocking client with options: against a real gearpy-server, and against other servers."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gearpy import NotSupported
from gearpy.client import Client
from gearpy.errors import ConnectionLost, InvalidArgument, JobFailed, ServerError, WaitTimeout
from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import response
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job
from tests.client.other_servers import LIKE_GEARMAND, LIMIT_S, SILENT, Answers, says, scripted
from tests.workers import Held, working

OTHERS = pytest.mark.parametrize("answers", [LIKE_GEARMAND, SILENT], ids=["gearmand", "silent"])


# ---- a gearpy-server


def test_a_job_is_tried_again_as_its_submitter_wants_it(server: ServerProcess) -> None:
    attempts: list[tuple[int, int | None]] = []

    def third_time(job: Job) -> bytes:
        attempts.append((job.attempt, job.attempts))
        if job.attempt < 3:
            raise ValueError("not yet")
        return b"at last"

    with working(server.address, third_time=third_time), Client(server.address) as client:
        job = client.submit("third_time", attempts=5, retry_on=["exception"], backoff="none")
        assert job.result(LIMIT_S) == b"at last"
        assert attempts == [(1, 5), (2, 5), (3, 5)]
        with pytest.raises(JobFailed, match="not yet"):
            client.submit("third_time", attempts=2, retry_on=["exception"], backoff=[0]).result(
                LIMIT_S
            )


def test_the_worker_is_told_what_the_submitter_said(server: ServerProcess) -> None:
    told: list[Job] = []
    before_s = time.time()
    with working(server.address, keep=told.append), Client(server.address) as client:
        client.submit(
            "keep",
            priority=Priority.CRITICAL,
            attempts=4,
            attempt_timeout_s=1000,
            key=b"customer \xff",
            labels={"user": "ann", "größe": "XL"},
        ).result(LIMIT_S)
    [job] = told
    assert (job.priority, job.attempts, job.attempt) == (Priority.CRITICAL, 4, 1)
    assert job.key == "customer \udcff"
    assert job.labels == {"user": "ann", "größe": "XL"}
    assert job.created_s is not None
    assert job.deadline_s is not None
    assert before_s <= job.created_s <= time.time()
    assert job.created_s + 1000 <= job.deadline_s <= time.time() + 1000


def test_critical_comes_first(server: ServerProcess) -> None:
    order: list[bytes] = []

    def keep(job: Job) -> None:
        order.append(job.data)

    with Client(server.address) as client:
        client.submit_background("keep", "high", priority=Priority.HIGH)
        last = client.submit("keep", "low", priority=Priority.LOW)
        client.submit_background("keep", "critical", priority=Priority.CRITICAL)
        with working(server.address, keep=keep):
            last.result(LIMIT_S)
    assert order == [b"critical", b"high", b"low"]


@pytest.mark.parametrize(
    "when",
    [
        lambda: {"delay_s": 0.3},
        lambda: {"due": time.time() + 0.3},
        lambda: {"due": datetime.now(UTC) + timedelta(seconds=0.3)},
    ],
    ids=["delay", "seconds", "datetime"],
)
def test_a_job_for_later_does_not_come_before(
    server: ServerProcess, when: Callable[[], dict[str, Any]]
) -> None:
    started: list[float] = []

    def keep(job: Job) -> None:
        started.append(time.time())

    with working(server.address, keep=keep), Client(server.address) as client:
        submitted_s = time.time()
        client.submit("keep", **when()).result(LIMIT_S)
        client.submit("keep").result(LIMIT_S)
    assert started[0] - submitted_s >= 0.3


def test_cancel(server: ServerProcess) -> None:
    held = Held()
    with working(server.address, held=held), Client(server.address) as client:
        running, queued = client.submit("held"), client.submit("held")
        delayed = client.submit_background("held", delay_s=1000)
        held.wait_entered()
        for handle in (queued.handle, delayed, running.handle):
            assert client.status(handle).known
            assert client.cancel(handle)
            assert not client.cancel(handle)
            assert not client.status(handle).known
        for job in (running, queued):
            with pytest.raises(JobFailed):
                job.result(LIMIT_S)
        assert not client.cancel("H:nobody:1")
        held.going.release()


def test_operators_see_what_submitters_and_workers_said(server: ServerProcess) -> None:
    held = Held()

    def halfway(job: Job) -> bytes:
        job.progress(1, 2, "größe")
        return held(job)

    with working(server.address, halfway=halfway), Client(server.address) as client:
        job = client.submit(
            "halfway", "x", key=b"\xff", labels={"user": "ann"}, priority=Priority.CRITICAL
        )
        held.wait_entered()
        shown = client.operate("job", handle=job.handle)["job"]
        assert (shown["state"], shown["text"], shown["numerator"]) == ("running", "größe", 1)
        assert (shown["key"], shown["labels"]) == ("\udcff", {"user": "ann"})
        assert shown["priority"] == "critical"
        held.going.release()
        assert job.result(LIMIT_S) == b"let go"


def test_an_operator_brings_a_dead_job_back(server: ServerProcess) -> None:
    tried: list[int] = []

    def third_time(job: Job) -> bytes:
        tried.append(job.attempt)
        if len(tried) < 3:
            raise ValueError("not yet")
        return b"at last"

    with working(server.address, third_time=third_time), Client(server.address) as client:
        handle = client.submit_background(
            "third_time", attempts=2, retry_on=["exception"], backoff="none"
        )
        client.submit("third_time", priority=Priority.LOW).result(LIMIT_S)
        [dead] = client.operate("jobs", function="third*", states=["dead"])["jobs"]
        assert (dead["handle"], dead["attempts"]) == (handle, 2)
        assert "not yet" in dead["error"]
        assert client.operate("retry", handle=handle) == {"count": 1}
        client.submit("third_time", priority=Priority.LOW).result(LIMIT_S)
        assert tried == [1, 2, 1, 1, 1]
        with pytest.raises(ServerError) as refusal:
            client.operate("retry", handle=handle)
        assert refusal.value.code == "JOB_NOT_FOUND"


def test_an_option_that_the_server_refuses_is_its_sentence(server: ServerProcess) -> None:
    with Client(server.address) as client:
        with pytest.raises(ServerError, match=r"retry_on.*'sunshine'") as refusal:
            client.submit("f", retry_on=["sunshine"])  # type: ignore[list-item]  # the mistake
        assert refusal.value.code == "INVALID_ARGUMENT"
        assert client.echo(b"and on") == b"and on"


def test_jobs_with_options_coalesce_as_others_do(server: ServerProcess) -> None:
    with Client(server.address) as client:
        handle = client.submit_background("f", "1", unique="u", key="k")
        assert client.submit_background("f", "2", unique="u", attempts=3) == handle
        assert client.submit_background("f", "3", unique="u") == handle


# ---- any other server


@OTHERS
def test_without_options_other_servers_hear_what_they_always_heard(answers: Answers) -> None:
    with scripted(answers) as server, Client(server.address) as client:
        client.submit("f", "x", unique="u")
        client.submit_background("f", "y", due=1_767_225_600)
    assert server.heard == [
        (p.OPTION_REQ, b"exceptions"),
        (p.SUBMIT_JOB, b"f\0u\0x"),
        (p.SUBMIT_JOB_EPOCH, b"f\0\x001767225600\0y"),
    ]


@OTHERS
def test_other_servers_are_not_sent_what_they_cannot_do(answers: Answers) -> None:
    with scripted(answers) as server, Client(server.address) as client:
        sentence = f"the server at {server.address} is not a gearpy-server .*: it can't "
        for call, what in (
            (
                lambda: client.submit("f", attempts=3, key="k"),
                "take a foreground job with attempts and key",
            ),
            (
                lambda: client.submit_background("f", priority=Priority.CRITICAL),
                "take a background job of priority CRITICAL",
            ),
            (lambda: client.submit("f", delay_s=1), "take a foreground job with delay_s"),
            (lambda: client.cancel("H:1"), "cancel a job for a client"),
            (lambda: client.operate("jobs"), "take an operator's requests"),
        ):
            with pytest.raises(NotSupported, match=sentence + what):
                call()
        assert client.submit("f").handle == "H:1"
    assert server.heard == [
        (p.OPTION_REQ, b"exceptions"),
        (p.OPTION_REQ, b"gearpy"),
        (p.GET_STATUS, b"H:gearpy:0"),
        (p.SUBMIT_JOB, b"f\0\0"),
    ]


@OTHERS
def test_a_delay_is_a_due_time_where_that_is_all_there_is(answers: Answers) -> None:
    with scripted(answers) as server, Client(server.address) as client:
        before_s = time.time()
        assert client.submit_background("f", "x", unique="u", delay_s=90) == "H:3"
        after_s = time.time()
        client.submit_background("f", due=1_767_225_600.5)
    delayed, due = server.bodies(p.SUBMIT_JOB_EPOCH)
    function, unique, due_s, payload = delayed.split(b"\0")
    assert (function, unique, payload) == (b"f", b"u", b"x")
    assert before_s + 90 <= int(due_s) <= after_s + 91
    assert due == b"f\0\x001767225601\0"


def test_a_server_that_hangs_up_on_the_question() -> None:
    answers = {number: answer for number, answer in SILENT.items() if number != p.OPTION_REQ}
    with (
        scripted(answers) as server,
        Client(server.address) as client,
        pytest.raises(ConnectionLost, match="closed the connection"),
    ):
        client.submit("f", attempts=3)
    with (
        scripted(answers) as server,
        Client(server.address) as client,
        pytest.raises(ConnectionLost),
    ):
        client.cancel("H:1")


def test_a_server_that_answers_nothing_at_all() -> None:
    answers = {p.OPTION_REQ: says(b""), p.GET_STATUS: says(b"")}
    with (
        scripted(answers) as server,
        Client(server.address, timeout=0.05) as client,
        pytest.raises(WaitTimeout, match=r"did not answer within 0\.05 s"),
    ):
        client.submit("f", attempts=3)


def test_an_operator_is_answered() -> None:
    answers: Answers = {
        **SILENT,
        p.OPTION_REQ: lambda body: response(p.OPTION_RES, body),
        p.OPERATE: says(response(p.OPERATE_RES, rb'{"jobs":[{"function":"\udcff"}]}')),
        p.CANCEL_JOB: says(response(p.ERROR, b"NO", b"not today")),
    }
    with scripted(answers) as server, Client(server.address) as client:
        answer = client.operate("jobs", function="\udcff", states=["dead"], limit=10)
        assert answer == {"jobs": [{"function": "\udcff"}]}
        with pytest.raises(ServerError, match="NO: not today"):
            client.cancel("H:1")
        with pytest.raises(TypeError, match="not JSON"):
            client.operate("jobs", function=b"f")
    assert server.bodies(p.OPERATE) == [
        rb'{"do":"jobs","function":"\udcff","states":["dead"],"limit":10}'
    ]


def test_mistakes_are_told_before_anything_is_sent() -> None:
    with scripted(SILENT) as server, Client(server.address) as client:
        client.echo()
        with pytest.raises(TypeError, match="'retries' is no keyword of a submit"):
            client.submit("f", retries=3)  # type: ignore[call-arg]  # the mistake under test
        with pytest.raises(InvalidArgument, match="without a time zone"):
            client.submit_background("f", due=datetime(2026, 1, 1))
        with pytest.raises(InvalidArgument, match="priority is 7; it must be one of"):
            client.submit("f", priority=7)  # type: ignore[arg-type]  # the mistake under test
    assert [number for number, _ in server.heard] == [p.OPTION_REQ, p.ECHO_REQ]


@pytest.mark.filterwarnings("ignore:notifyAll:DeprecationWarning")
def test_the_server_of_gear() -> None:
    """It answers neither options nor echoes."""
    gear = pytest.importorskip("gear")
    server = gear.Server(port=0, host="127.0.0.1")
    try:
        with Client(f"127.0.0.1:{server.port}", timeout=LIMIT_S) as client:
            with pytest.raises(NotSupported, match="with attempts"):
                client.submit("f", attempts=3)
            handle = client.submit_background("f")
            with pytest.raises(NotSupported, match="cancel a job"):
                client.cancel(handle)
            assert client.status(handle).known
    finally:
        server.shutdown()
