"""What operators ask for, on a broker without I/O: jobs, and what is done with them."""

import base64
import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpy.broker.answers import BYTES_MAX, ERROR_CHARACTERS_MAX
from gearpy.broker.broker import Broker
from gearpy.broker.operations import LIMIT_MAX
from gearpy.engine.job import DEAD, FINISHED, UNFINISHED, JobState
from gearpy.engine.options import read_options
from gearpy.engine.policy import read_policy
from gearpy.errors import InvalidArgument, JobNotFound
from gearpy.priority import Priority
from tests.broker.shop import ALL_STATES, KEPT, NOW_S, Shop

RETRIABLE: Final = ("dead", "failed", "cancelled", "expired", "delayed", "retrying")


# ---- jobs


def test_jobs_of_every_state() -> None:
    shop = Shop()
    handles = {state: shop.make(state) for state in ALL_STATES}
    for state in ALL_STATES:
        (job,) = shop.ask("jobs", states=[state])["jobs"]
        assert (job["handle"], job["state"]) == (handles[state], state)
        assert shop.ask("job", handle=handles[state])["job"]["state"] == state
        assert ("due_s" in job) == (state in ("delayed", "retrying"))
        assert ("worker" in job) == (state == "running")
        assert ("error" in job) == (state in ("retrying", "dead"))
    assert set(shop.handles()) == {handles[state] for state in UNFINISHED}
    assert set(shop.handles(states=ALL_STATES)) == set(handles.values())


def test_a_delayed_job_that_ended_is_not_due_any_more() -> None:
    shop = Shop()
    handle = shop.make("delayed")
    shop.ask("cancel", handle=handle)
    assert "due_s" not in shop.ask("job", handle=handle)["job"]


def test_a_selection() -> None:
    shop = Shop()
    shop.engine.functions.set_policy(b"*", read_policy(KEPT))
    old = shop.submit(b"image.rotate")
    shop.later(100)
    young = shop.submit(b"image.resize")
    other = shop.submit(b"mail")
    shop.later(5)
    assert shop.handles() == [old, young, other]
    assert shop.handles(function="image.*") == [old, young]
    assert shop.handles(function="mail") == [other]
    assert shop.handles(older_than_s=100) == [old]
    assert shop.handles(older_than_s=105) == [old]
    assert shop.handles(younger_than_s=5.0) == [young, other]
    assert shop.handles(function="image.*", younger_than_s=100, states=["queued"]) == [young]
    assert shop.handles(states=["running"]) == []
    assert shop.ask("count", function="image.*") == {"count": 2, "next": None}
    shop.ask("cancel", function="image.*")
    assert shop.ask("count") == {"count": 1, "next": None}


def test_the_age_of_what_ended_counts_from_its_end() -> None:
    shop = Shop()
    handle = shop.submit()
    shop.later(100)
    shop.ask("cancel", handle=handle)
    shop.later(10)
    assert shop.handles(states=["cancelled"], older_than_s=11) == []
    assert shop.handles(states=["cancelled"], older_than_s=10) == [handle]


def test_jobs_in_slices() -> None:
    shop = Shop()
    handles = [shop.submit() for _ in range(250)]
    answer = shop.ask("jobs")
    assert len(answer["jobs"]) == answer["next"] == 100
    assert shop.handles(limit=LIMIT_MAX) == handles
    assert shop.handles(limit=40, offset=240) == handles[240:]
    assert shop.handles(offset=10**12) == []


def test_a_request_looks_at_a_bounded_number_of_jobs() -> None:
    shop = Shop()
    for _ in range(10_500):
        shop.submit(b"a")
    last = shop.submit(b"b")
    assert shop.ask("count", function="a") == {"count": 10_000, "next": 10_000}
    assert shop.ask("count", function="a", offset=10_000) == {"count": 500, "next": None}
    assert shop.ask("jobs", function="b")["next"] == 10_000
    assert shop.handles(function="b", offset=10_000) == [last]
    assert shop.loop("cancel", LIMIT_MAX, function="b") == (1, 0)
    assert shop.loop("cancel", LIMIT_MAX, function="a") == (10_500, 0)
    assert shop.handles() == []


def test_what_a_job_tells() -> None:
    shop = Shop()
    options = b"""{"priority": "low", "attempts": 7, "expires_s": 900, "key": "customer 4",
        "labels": {"user": "ann"}}"""
    asked = read_options(options)
    engine = shop.engine
    worker = shop.worker(b"f")
    job = engine.submit(None, b"f", b"u\xff", b"photo\n", asked.priority, options=asked)
    shop.later(3)
    listed = {
        "handle": job.handle.decode(),
        "function": "f",
        "unique": "u\udcff",
        "state": "queued",
        "priority": "low",
        "background": True,
        "waiting": 0,
        "attempts": 0,
        "attempts_max": 7,
        "created_s": NOW_S,
        "since_s": NOW_S,
        "expire_s": NOW_S + 900,
        "key": "customer 4",
        "labels": {"user": "ann"},
        "payload_bytes": 6,
    }
    assert shop.ask("jobs") == {"now_s": NOW_S + 3, "jobs": [listed], "next": None}
    assert engine.grab(worker.worker) is job
    engine.progress(worker.worker, job.handle, 3, 10, b"3\x0010", b"reading")
    assert shop.ask("job", handle=job.handle.decode()) == {
        "now_s": NOW_S + 3,
        "job": listed
        | {
            "state": "running",
            "attempts": 1,
            "since_s": NOW_S + 3,
            "worker": "worker",
            "numerator": 3,
            "denominator": 10,
            "text": "reading",
            "payload": "photo\n",
            "log": [
                {
                    "attempt": 1,
                    "started_s": NOW_S + 3,
                    "ended_s": None,
                    "worker": "worker",
                    "outcome": "",
                    "error": "",
                    "cpu_s": None,
                    "memory_bytes": None,
                }
            ],
        },
    }
    engine.lose(worker.worker)
    lost = shop.ask("job", handle=job.handle.decode())["job"]
    assert (lost["state"], lost["losses"]) == ("failed", 1)


def test_the_life_of_a_dead_letter() -> None:
    shop = Shop()
    dead = shop.ask("job", handle=shop.make("dead"))["job"]
    assert (dead["reason"], dead["error"]) == ("attempts used up", "still no such photo")
    assert (dead["attempts"], dead["attempts_max"]) == (2, 2)
    assert [(each["attempt"], each["outcome"], each["error"]) for each in dead["log"]] == [
        (1, "exception", "no such photo"),
        (2, "exception", "still no such photo"),
    ]


def test_the_result_of_a_job() -> None:
    shop = Shop()
    done = shop.ask("job", handle=shop.make("completed"))["job"]
    assert (done["result"], done["result_bytes"]) == ("done", 4)
    assert "result" not in shop.ask("job", handle=shop.make("running"))["job"]


def test_a_job_without_its_payloads() -> None:
    shop = Shop()
    handle = shop.make("completed")
    whole = shop.ask("job", handle=handle, payloads=True)["job"]
    assert whole == shop.ask("job", handle=handle)["job"]
    del whole["payload"], whole["result"]
    assert shop.ask("job", handle=handle, payloads=False)["job"] == whole
    assert (whole["payload_bytes"], whole["result_bytes"]) == (0, 4)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"", {"payload": ""}),
        ("größe\t\r\n".encode(), {"payload": "größe\t\r\n"}),
        (b"a\0b", {"payload_base64": "YQBi"}),
        (b"\x1b[2J", {"payload_base64": base64.b64encode(b"\x1b[2J").decode()}),
        ("\x9b2J".encode(), {"payload_base64": base64.b64encode(b"\xc2\x9b2J").decode()}),
        (b"\xff", {"payload_base64": "/w=="}),
        (b"gr\xc3", {"payload_base64": "Z3LD"}),
        (b"x" * BYTES_MAX, {"payload": "x" * BYTES_MAX}),
        (b"x" * BYTES_MAX + b"y", {"payload": "x" * BYTES_MAX, "payload_cut": True}),
        (
            b"x" + "ü".encode() * BYTES_MAX,
            {"payload": "x" + "ü" * (BYTES_MAX // 2 - 1), "payload_cut": True},
        ),
    ],
    ids=lambda each: repr(each)[:20],
)
def test_payloads(payload: bytes, shown: dict[str, Any]) -> None:
    shop = Shop()
    job = shop.ask("job", handle=shop.submit(payload=payload))["job"]
    assert {name: value for name, value in job.items() if name.startswith("payload")} == {
        "payload_bytes": len(payload)
    } | shown


def test_a_payload_that_is_on_disk_only() -> None:
    broker = Broker(durable=True, budget_bytes=0)
    for _ in range(300):
        job = broker.engine.submit(None, b"f", b"", b"photo")
    request = b'{"do": "job", "handle": "%b"}' % job.handle
    answer = json.loads(broker.operations.answer(request, "ann")[0])["job"]
    assert answer["payload_on_disk"] is True
    assert not {"payload", "payload_base64", "payload_bytes"} & answer.keys()


def test_long_errors_are_cut() -> None:
    shop = Shop()
    handle = shop.running()
    shop.engine.exception(shop.worker(b"f").worker, handle, b"\xff" * 1_000_000)
    (row,) = shop.ask("jobs")["jobs"]
    assert row["error"] == "\udcff" * ERROR_CHARACTERS_MAX + " ... (cut)"
    job = shop.ask("job", handle=handle.decode())["job"]
    assert len(job["error"]) < 21_000
    assert job["log"][0]["error"] == row["error"]


def test_peek() -> None:
    shop = Shop()
    assert shop.ask("peek", function="f")["jobs"] == []
    first = shop.submit(payload=b"1")
    second = shop.submit(payload=b"x" * BYTES_MAX)
    urgent = shop.engine.submit(None, b"f", b"", b"\xff", Priority.HIGH).handle.decode()
    shop.submit(b"f2")
    shop.make("delayed")
    (job,) = shop.ask("peek", function="f")["jobs"]
    assert (job["handle"], job["payload_base64"]) == (urgent, "/w==")
    jobs = shop.ask("peek", function="f", limit=1000)["jobs"]
    assert [job["handle"] for job in jobs] == [urgent, first, second]
    assert jobs[2]["payload"] == "x" * (BYTES_MAX // 1000)
    assert (jobs[2]["payload_cut"], jobs[2]["payload_bytes"]) == (True, BYTES_MAX)
    assert shop.ask("peek", function="f*")["jobs"] == []


# ---- what is done with jobs


def test_cancel_retry_and_purge_by_handle() -> None:
    shop = Shop()
    for state in UNFINISHED:
        handle = shop.make(state)
        assert shop.ask("cancel", handle=handle) == {"count": 1}
        assert shop.ask("job", handle=handle)["job"]["state"] == "cancelled"
    for state in RETRIABLE:
        handle = shop.make(state)
        assert shop.ask("retry", handle=handle) == {"count": 1}
        assert shop.ask("job", handle=handle)["job"]["state"] == "queued"
        shop.ask("cancel", handle=handle)
    for state in (*FINISHED, DEAD):
        handle = shop.make(state)
        assert shop.ask("purge", handle=handle) == {"count": 1}
        with pytest.raises(JobNotFound):
            shop.ask("job", handle=handle)


@pytest.mark.parametrize(
    ("verb", "states"),
    [("cancel", UNFINISHED), ("retry", (DEAD,)), ("purge", (DEAD, *FINISHED))],
)
def test_which_states_are_meant_where_none_is_said(verb: str, states: tuple[str, ...]) -> None:
    shop = Shop()
    handles = {state: shop.make(state) for state in ALL_STATES}
    answer = shop.ask(verb, function="f")
    assert answer["count"] == len(states)
    assert answer["next"] is None
    left = shop.handles(states=ALL_STATES, limit=LIMIT_MAX)
    became = {"cancel": "cancelled", "retry": "queued"}
    for state, handle in handles.items():
        if state not in states:
            assert shop.ask("job", handle=handle)["job"]["state"] == state
        elif verb == "purge":
            assert handle not in left
        else:
            assert shop.ask("job", handle=handle)["job"]["state"] == became[verb]


def test_a_retried_dead_letter_has_all_its_attempts_again() -> None:
    shop = Shop()
    handle = shop.make("dead")
    shop.ask("retry", handle=handle)
    shop.grab(b"f", handle.encode())
    job = shop.ask("job", handle=handle)["job"]
    assert (job["state"], job["attempts"], job["attempts_max"]) == ("running", 1, 2)


def test_a_dead_letter_whose_unique_is_taken_is_skipped() -> None:
    shop = Shop()
    first, second = shop.make("dead", unique=b"u"), shop.make("dead", unique=b"u")
    free = shop.make("dead")
    assert shop.ask("retry", states=["dead"], limit=2) == {"count": 1, "skipped": 1, "next": 1}
    assert shop.ask("retry", states=["dead"], limit=2, offset=1) == {
        "count": 1,
        "skipped": 0,
        "next": None,
    }
    assert shop.handles(states=["dead"]) == [second]
    assert shop.handles() == [first, free]
    with pytest.raises(InvalidArgument, match="the same unique"):
        shop.ask("retry", handle=second)


def test_a_cancelled_job_that_is_kept_is_not_met_again() -> None:
    shop = Shop()
    for _ in range(10):
        shop.submit()
    assert shop.ask("cancel", function="f", limit=4) == {"count": 4, "next": 0}
    assert shop.ask("cancel", function="f", limit=100) == {"count": 6, "next": None}
    assert len(shop.handles(states=["cancelled"])) == 10


jobs_of_all_kinds = st.lists(
    st.tuples(
        st.sampled_from(ALL_STATES),
        st.sampled_from([b"f", b"f2"]),
        st.sampled_from([b"", b"", b"u"]),
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(
    kinds=jobs_of_all_kinds,
    verb=st.sampled_from(["cancel", "retry", "purge"]),
    limit=st.integers(1, 5),
    data=st.data(),
)
def test_slices_meet_each_job_once(
    kinds: list[tuple[JobState, bytes, bytes]], verb: str, limit: int, data: st.DataObject
) -> None:
    shop = Shop()
    for state, function, unique in kinds:
        taken = {job.unique for job in shop.engine.jobs() if job.function == function}
        shop.make(state, function, b"" if unique in taken else unique)
    allowed = {"cancel": UNFINISHED, "retry": RETRIABLE, "purge": (*FINISHED, DEAD)}[verb]
    states = data.draw(st.lists(st.sampled_from(allowed), min_size=1, unique=True))
    selection = {"states": states, "function": data.draw(st.sampled_from(["*", "f"]))}

    meant = shop.handles(**selection)
    others = set(shop.handles(states=ALL_STATES)) - set(meant)
    before = {handle: shop.ask("job", handle=handle) for handle in others}
    assert shop.ask("count", **selection) == {"count": len(meant), "next": None}
    count, skipped = shop.loop(verb, limit, **selection)

    assert count + skipped == len(meant)
    assert len(shop.handles(**selection)) == skipped
    assert {handle: shop.ask("job", handle=handle) for handle in others} == before
    if verb != "retry":
        assert skipped == 0
    for handle in meant:
        job = shop.engine.find(handle.encode())
        if verb == "purge":
            assert job is None
        else:
            assert job is not None
            assert job.state in (["cancelled"] if verb == "cancel" else ["queued", *states])
