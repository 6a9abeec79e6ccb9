"""What a URL is told: signed, retried, and no more of it than it has room for."""

import json

import pytest

from gearpy.broker.broker import Broker
from gearpy.broker.callbacks import RETRIES, TEXT_BYTES_MAX, SignedCaller
from gearpy.callbacks import verify_callback
from gearpy.engine.callbacks import Callback, Ending
from gearpy.engine.engine import Engine
from gearpy.engine.job import Job
from gearpy.engine.options import read_options
from gearpy.engine.peers import Worker
from gearpy.engine.policy import Policy
from gearpy.engine.statistics import JobStatistics
from gearpy.errands.orders import Request, read_request
from gearpy.errors import ForgedCallback, InvalidArgument
from tests.engine.recorders import able

SECRET = "sixteen bytes or more"
URL = "https://example.org/done"
OPTIONS = read_options(b'{"callback": "https://example.org/done", "labels": {"user": "ann"}}')


def server(secret: str = SECRET, now_s: float = 1_700_000_000.25) -> tuple[Engine, Worker]:
    engine = Broker(caller=SignedCaller(secret), now_s=now_s).engine
    return engine, able(engine, b"f").worker


def describe() -> JobStatistics:
    engine, _ = server()
    return engine.describe(engine.submit(None, b"f", b"", b"x", options=OPTIONS))


def told(engine: Engine) -> tuple[Job, Request]:
    engine.advance(engine.now_s)
    (job,) = engine.peek(b"gearpy.http", 9)
    return job, read_request(job.payload or b"")


def test_a_url_is_told_how_the_job_ended() -> None:
    engine, worker = server()
    job = engine.submit(None, b"f", b"u1", b"x", options=OPTIONS)
    engine.grab(worker)
    engine.advance(1_700_000_003.5)
    engine.complete(worker, job.handle, b"done")
    call, request = told(engine)
    assert (request.url, request.method) == (URL, "POST")
    assert request.headers["content-type"] == "application/json"
    body = verify_callback(SECRET, request.headers, request.body or b"", now_s=1_700_000_003.5)
    assert body == {
        "handle": job.handle.decode(),
        "function": "f",
        "unique": "u1",
        "state": "completed",
        "reason": "",
        "attempts": 1,
        "labels": {"user": "ann"},
        "created_s": 1_700_000_000.25,
        "ended_s": 1_700_000_003.5,
        "error": "",
        "result": "done",
    }
    assert call.background
    assert call.policy is not None
    assert call.policy.attempts == RETRIES.attempts


def test_what_is_too_much_is_cut_and_what_is_no_text_is_base64() -> None:
    engine, worker = server()
    job = engine.submit(None, b"f", b"", b"x", options=OPTIONS)
    engine.grab(worker)
    engine.complete(worker, job.handle, b"\xff" * (TEXT_BYTES_MAX + 1))
    body = json.loads(told(engine)[1].body or b"")
    assert body["result_cut"]
    assert len(body["result_base64"]) == (TEXT_BYTES_MAX + 2) // 3 * 4


def test_each_ending_has_an_id_of_its_own() -> None:
    engine, _ = server()
    engine.functions.set_policy(b"f", Policy(keep_s=60.0))
    job = engine.submit(None, b"f", b"", b"x", options=OPTIONS)
    for _ in range(3):  # in one moment
        assert engine.cancel(job.handle)
        assert engine.retry(job.handle)
    engine.advance(engine.now_s)
    calls = engine.peek(b"gearpy.http", 9)
    ids = [read_request(call.payload or b"").headers["webhook-id"] for call in calls]
    assert ids == [call.handle.decode() for call in calls]
    assert len(set(ids)) == 3


def test_a_handle_that_no_header_can_hold_is_written_as_urls_have_it() -> None:
    ending = Ending(Callback(URL), describe(), b"")
    following = SignedCaller(SECRET).telling(ending, "H:Köln:5".encode())
    request = read_request(following.payload)
    assert request.headers["webhook-id"] == "H:K%C3%B6ln:5"
    verify_callback(SECRET, request.headers, request.body or b"", now_s=1_700_000_000)


def test_a_server_without_a_secret_promises_no_calls() -> None:
    engine, _ = server("")
    with pytest.raises(InvalidArgument, match="--callback-secret"):
        engine.submit(None, b"f", b"", b"x", options=OPTIONS)
    assert engine.functions.get(b"f") is not None
    assert not engine.statistics().jobs


def test_what_was_promised_before_the_secret_went_is_told_unsigned() -> None:
    following = SignedCaller("").telling(Ending(Callback(URL), describe(), b""), b"H:a:1")
    request = read_request(following.payload)
    with pytest.raises(ForgedCallback, match="not signed"):
        verify_callback(SECRET, request.headers, request.body or b"")


@pytest.mark.parametrize("secret", ["short", "whsec_c2hvcnQ=", "whsec_?"])
def test_a_secret_that_can_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(InvalidArgument):
        SignedCaller(secret)
