"""The API of a real server, with real workers behind it."""

import base64
import json
import math
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from gearpy.client import Client
from gearpy.errors import FailJob
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S
from tests.workers import running


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """What it says, after a look at its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["title"] == HTTPStatus(status).phrase
    return told


def job_at(http: httpx.Client, location: str) -> dict[str, Any]:
    answer = http.get(location)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()["job"]
    return job


# ---- submitting


def test_a_background_job_is_accepted_and_can_be_looked_at(http: httpx.Client) -> None:
    answer = http.post("/api/jobs", json={"function": "resize", "data": "photo", "unique": "u1"})
    assert answer.status_code == 202
    accepted = answer.json()
    assert answer.headers["location"] == accepted["location"] == f"/api/jobs/{accepted['handle']}"
    job = job_at(http, accepted["location"])
    assert job["handle"] == accepted["handle"]
    assert (job["function"], job["state"], job["unique"]) == ("resize", "queued", "u1")
    assert (job["payload"], job["priority"], job["background"]) == ("photo", "normal", True)


def test_everything_that_can_be_said_of_a_job_arrives(http: httpx.Client) -> None:
    wishes = {
        "priority": "high",
        "delay_s": 3600,
        "attempts": 3,
        "retry_on": ["lost"],
        "backoff": [1, 5],
        "timeout_s": 9,
        "expires_s": 7200,
        "key": "ann",
        "labels": {"user": "ann"},
    }
    answer = http.post("/api/jobs", json={"function": "mail", "data": "x", **wishes})
    assert answer.status_code == 202, answer.text
    job = job_at(http, answer.headers["location"])
    assert (job["state"], job["priority"], job["attempts_max"]) == ("delayed", "high", 3)
    assert (job["key"], job["labels"]) == ("ann", {"user": "ann"})
    assert job["due_s"] - job["created_s"] == pytest.approx(3600)
    assert job["expire_s"] - job["created_s"] == pytest.approx(7200)


@pytest.mark.parametrize("payload", [b"", b"text", b"\0\xff\xfe", "naïve".encode()])
def test_a_worker_gets_the_bytes_however_they_came(
    payload: bytes, web: ServerProcess, http: httpx.Client
) -> None:
    got: list[bytes] = []

    def take(job: Job) -> bytes:
        got.append(job.data)
        return b""

    worker = Worker(web.address)
    worker.register("take", take)
    in_base64 = base64.b64encode(payload).decode()
    sent = http.post("/api/jobs", json={"function": "take", "data_base64": in_base64})
    raw = http.post("/api/functions/take/jobs", content=payload)
    assert (sent.status_code, raw.status_code) == (202, 202)
    worker.run(burst=True)
    assert got == [payload, payload]


def test_a_foreground_job_is_answered_with_its_result(
    web: ServerProcess, http: httpx.Client
) -> None:
    def reverse(job: Job) -> bytes:
        job.send_data(b"first ")
        return job.data[::-1]

    worker = Worker(web.address)
    worker.register("reverse", reverse)
    with running(worker):
        answer = http.post(
            "/api/jobs", json={"function": "reverse", "data": "abc", "wait_s": LIMIT_S}
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["outcome"] == "completed"
        assert told["result"] == "first cba"
        raw = http.post(f"/api/functions/reverse/jobs?wait_s={LIMIT_S}", content=b"\xff\0")
        assert base64.b64decode(raw.json()["result_base64"]) == b"first \0\xff"


def test_a_foreground_job_that_fails_says_so(web: ServerProcess, http: httpx.Client) -> None:
    def fail(job: Job) -> bytes:
        raise ValueError("no such photo")

    worker = Worker(web.address)
    worker.register("resize", fail)
    with running(worker):
        answer = http.post("/api/jobs", json={"function": "resize", "wait_s": LIMIT_S})
    told = answer.json()
    assert (answer.status_code, told["outcome"]) == (200, "exception")
    assert "no such photo" in told["result"]


def test_what_a_failed_attempt_gave_is_no_part_of_the_result(
    web: ServerProcess, http: httpx.Client
) -> None:
    def second_time_right(job: Job) -> bytes:
        job.send_data(f"attempt {job.attempt}, ")
        if job.attempt == 1:
            raise FailJob("once more")
        return b"done"

    worker = Worker(web.address)
    worker.register("f", second_time_right)
    with running(worker):
        asked = {"function": "f", "attempts": 2, "backoff": "none", "wait_s": LIMIT_S}
        answer = http.post("/api/jobs", json=asked)
    assert answer.json()["result"] == "attempt 2, done"


def test_a_result_that_is_too_large_is_the_jobs_fault() -> None:
    with (
        ServerProcess("--http", "127.0.0.1:0", "--max-payload", "64k") as web,
        httpx.Client(base_url=web.http_url, timeout=LIMIT_S) as http,
    ):

        def much(job: Job) -> None:
            job.send_data(b"x" * 40_000)
            job.send_data(b"x" * 40_000)

        worker = Worker(web.address)
        worker.register("f", much)
        with running(worker):
            answer = http.post("/api/jobs", json={"function": "f", "wait_s": LIMIT_S})
        told = problem_of(answer, 502)
    assert told["code"] == "RESULT_TOO_LARGE"
    assert told["handle"].startswith("H:")
    assert "more than 65,536 bytes" in told["detail"]


def test_only_raw_payloads_may_be_very_large(shared_http: httpx.Client) -> None:
    large = b"x" * (9 << 20)
    taken = shared_http.post("/api/functions/large/jobs", content=large)
    assert taken.status_code == 202
    assert shared_http.post(f"{taken.headers['Location']}/cancel").json() == {"count": 1}
    told = problem_of(shared_http.post("/api/jobs", content=large), 413)
    assert "8,388,608 bytes here" in told["detail"]


def test_a_raw_payload_may_have_labels_and_a_callback(shared_http: httpx.Client) -> None:
    query = {"label": ["user=ann", "sum=1+1=2"], "priority": "low"}
    taken = shared_http.post("/api/functions/labelled/jobs", params=query, content=b"\xff")
    location = taken.headers["Location"]
    job = shared_http.get(location).json()["job"]
    assert (job["labels"], job["priority"]) == ({"user": "ann", "sum": "1+1=2"}, "low")
    shared_http.post(f"{location}/cancel")
    for wrong, says in (({"label": "user"}, "no label"), ({"callback": "x"}, "a URL like")):
        answer = shared_http.post("/api/functions/labelled/jobs", params=wrong)
        assert says in problem_of(answer, 400)["detail"]


def test_what_is_not_there_has_a_code_of_its_own(shared_http: httpx.Client) -> None:
    for path, code in (
        ("/api/jobs/H:1", "JOB_NOT_FOUND"),
        ("/api/schedules/never", "SCHEDULE_NOT_FOUND"),
    ):
        assert problem_of(shared_http.get(path), 404)["code"] == code
    dropped = shared_http.post("/api/workers/nowhere:1/drop")
    assert problem_of(dropped, 404)["code"] == "WORKER_NOT_FOUND"


def test_a_foreground_job_that_nobody_does_is_given_up(http: httpx.Client) -> None:
    answer = http.post("/api/jobs", json={"function": "nobody", "wait_s": 0.05})
    told = problem_of(answer, 504)
    assert told["code"] == "NOT_IN_TIME"
    assert "nobody had begun it" in told["detail"]
    gone = http.get(f"/api/jobs/{told['handle']}")
    problem_of(gone, 404)


def test_a_foreground_job_that_takes_long_is_done_to_its_end(
    web: ServerProcess, http: httpx.Client
) -> None:
    gave_up, ended = threading.Event(), threading.Event()

    def slow(job: Job) -> bytes:
        assert gave_up.wait(LIMIT_S)
        ended.set()
        return b"late"

    worker = Worker(web.address)
    worker.register("f", slow)
    with running(worker):
        while True:
            answer = http.post("/api/jobs", json={"function": "f", "wait_s": 0.5})
            told = problem_of(answer, 504)
            if "its worker goes on with it" in told["detail"]:
                break
        gave_up.set()
        assert ended.wait(LIMIT_S)


def test_a_client_that_hangs_up_takes_its_queued_job_along(
    web: ServerProcess, http: httpx.Client
) -> None:
    def count() -> int:
        return len(http.get("/api/jobs").json()["jobs"])

    with httpx.Client(base_url=web.http_url) as other:
        with pytest.raises(httpx.ReadTimeout):
            other.post("/api/jobs", json={"function": "f", "wait_s": 3000}, timeout=0.5)
        with pytest.raises(httpx.ReadTimeout):
            other.post("/api/functions/f/jobs?wait_s=3000", content=b"x" * 100_000, timeout=0.5)
    eventually(count, 0)


# ---- what is refused


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "function"),
        ({"function": ""}, "function"),
        ({"function": "f", "data": "x", "data_base64": "eA=="}, "not both"),
        ({"function": "f", "data_base64": "&"}, "base64"),
        ({"function": "f", "priority": "urgent"}, "priority"),
        ({"function": "f", "attempts": 0}, "attempts"),
        ({"function": "f", "attempts": "3"}, "attempts"),
        ({"function": "f", "delay_s": -1}, "delay_s"),
        ({"function": "f", "delay_s": 1, "due_s": 2}, "due_s"),
        ({"function": "f", "labels": {"a": "\0"}}, "label"),
        ({"function": "f", "wait_s": 0}, "wait_s"),
        ({"function": "f", "colour": "red"}, "colour"),
        ({"function": "f" * 600}, "function"),
        ({"function": "f\ud800"}, "half a character"),
        ({"function": "f", "delay_s": math.inf}, "delay_s"),
        ({"function": "f", "timeout_s": math.nan}, "timeout_s"),
    ],
)
def test_a_bad_submission_is_refused_with_a_sentence(
    body: dict[str, object], says: str, shared_http: httpx.Client
) -> None:
    answer = shared_http.post(
        "/api/jobs", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 413), answer.text
    assert says in problem_of(answer, answer.status_code)["detail"]
    assert shared_http.get("/api/jobs").json()["jobs"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000, b'{"a": NaN}'])
def test_what_is_no_json_object_is_refused(body: bytes, shared_http: httpx.Client) -> None:
    answer = shared_http.post(
        "/api/jobs", content=body, headers={"content-type": "application/json"}
    )
    problem_of(answer, 400)


def test_what_is_not_there_is_said(shared_http: httpx.Client) -> None:
    assert "no job" in problem_of(shared_http.get("/api/jobs/H:nobody:1"), 404)["detail"]
    assert "/api/nothing" in problem_of(shared_http.get("/api/nothing"), 404)["detail"]
    answer = shared_http.delete("/api/jobs")
    problem_of(answer, 405)
    assert answer.headers["allow"] == "GET, POST"
    answer = shared_http.patch("/api/functions/f/policy")
    problem_of(answer, 405)
    assert answer.headers["allow"] == "DELETE, GET, PUT"


def test_a_full_queue_is_said(http: httpx.Client) -> None:
    http.put("/api/functions/f/policy", json={"max_queue": 1})
    assert http.post("/api/jobs", json={"function": "f"}).status_code == 202
    assert problem_of(http.post("/api/jobs", json={"function": "f"}), 503)["code"] == "QUEUE_ERROR"


@pytest.mark.parametrize("query", ["delay_s=nan", "timeout_s=inf", "wait_s=-1", "attempts=x"])
def test_a_number_in_a_query_is_one(query: str, shared_http: httpx.Client) -> None:
    problem_of(shared_http.post(f"/api/functions/f/jobs?{query}", content=b""), 400)


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        (
            "POST",
            "/api/functions/f/jobs?delay=60",
            "'delay' is no parameter of this request, which takes unique, priority, delay_s",
        ),
        (
            "POST",
            "/api/jobs?wait_s=5",
            "'wait_s' is no parameter of this request, which takes none",
        ),
        ("GET", "/api/jobs?state=queued&fnction=f", "'fnction' is no parameter"),
        ("GET", "/api/functions?=1", "'' is no parameter"),
    ],
)
def test_a_parameter_that_nobody_reads_is_refused(
    method: str, path: str, says: str, shared_http: httpx.Client
) -> None:
    body = {"function": "f"} if path.startswith("/api/jobs?w") else None
    assert says in problem_of(shared_http.request(method, path, json=body), 400)["detail"]
    assert shared_http.get("/api/jobs").json()["jobs"] == []


def test_handles_and_functions_may_be_strange() -> None:
    flags = ("--http", "127.0.0.1:0", "--job-handle-prefix", "H:a/b")
    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            location = http.post("/api/jobs", json={"function": "f"}).headers["location"]
            assert job_at(http, location)["state"] == "queued"
            assert http.post(f"{location}/cancel").json() == {"count": 1}
            assert http.post("/api/functions/%FFname/pause").json()["functions"] == ["\udcffname"]
            names = [row["function"] for row in http.get("/api/functions").json()["functions"]]
            assert names == ["f", "\udcffname"]
            assert http.get("/functions/%FFname").status_code == 200


# ---- looking and steering


def test_jobs_are_listed_by_function_and_state(http: httpx.Client) -> None:
    for function in ("mail.a", "mail.b", "other"):
        http.post("/api/jobs", json={"function": function})
    http.post("/api/jobs", json={"function": "mail.a", "delay_s": 60})
    found = http.get("/api/jobs", params={"function": "mail.*", "state": "queued"}).json()
    assert [job["function"] for job in found["jobs"]] == ["mail.a", "mail.b"]
    first = http.get("/api/jobs", params={"limit": 3}).json()
    rest = http.get("/api/jobs", params={"offset": first["next"]}).json()
    assert (len(first["jobs"]), len(rest["jobs"]), rest["next"]) == (3, 1, None)
    newest = http.get("/api/jobs", params={"order": "newest", "limit": 1}).json()["jobs"]
    assert newest == rest["jobs"]
    problem_of(http.get("/api/jobs", params={"state": "lost"}), 400)
    problem_of(http.get("/api/jobs", params={"order": "best"}), 400)


def test_a_job_is_cancelled_once(http: httpx.Client) -> None:
    handle = http.post("/api/jobs", json={"function": "f"}).json()["handle"]
    assert http.post(f"/api/jobs/{handle}/cancel").json() == {"count": 1}
    problem_of(http.post(f"/api/jobs/{handle}/cancel"), 404)


def test_dead_letters_are_listed_retried_and_purged(web: ServerProcess, http: httpx.Client) -> None:
    def fail(job: Job) -> bytes:
        raise ValueError("out of paper")

    http.put("/api/functions/print/policy", json={"attempts": 1})
    worker = Worker(web.address)
    worker.register("print", fail)
    for _ in range(3):
        http.post("/api/jobs", json={"function": "print"})
    worker.run(burst=True)
    dead = http.get("/api/jobs", params={"state": "dead"}).json()["jobs"]
    assert ["out of paper" in job["error"] for job in dead] == [True] * 3
    assert http.post(f"/api/jobs/{dead[0]['handle']}/retry").json() == {"count": 1}
    assert job_at(http, f"/api/jobs/{dead[0]['handle']}")["state"] == "queued"
    assert http.post(f"/api/jobs/{dead[1]['handle']}/purge").json() == {"count": 1}
    problem_of(http.post("/api/jobs/purge", json={}), 400)
    purged = http.post("/api/jobs/purge", json={"function": "print", "states": ["dead"]})
    assert purged.json()["count"] == 1


def test_a_function_is_paused_resumed_drained_and_cleared(
    web: ServerProcess, http: httpx.Client
) -> None:
    name = "image/resize now"
    path = "/api/functions/image%2Fresize%20now"

    def function() -> dict[str, Any]:
        row: dict[str, Any] = http.get("/api/functions").json()["functions"][0]
        return row

    http.post("/api/jobs", json={"function": name, "data": "x"})
    assert http.post(f"{path}/pause").json()["functions"] == [name]
    assert function()["paused"]
    with Client(web.address) as client:
        assert client.status(http.get("/api/jobs").json()["jobs"][0]["handle"]).known
    http.post(f"{path}/drain")
    assert problem_of(http.post("/api/jobs", json={"function": name}), 409)
    assert http.post(f"{path}/clear").json()["count"] == 1
    http.post(f"{path}/resume")
    assert (function()["paused"], function()["draining"], function()["queued"]) == (False, False, 0)


def test_policies_are_set_read_and_taken_back(http: httpx.Client) -> None:
    policy = {"attempts": 4, "backoff": {"base_s": 2.0}, "keep_s": 60.0}
    put = http.put("/api/functions/mail.*/policy", json=policy)
    assert put.json() == {"function": "mail.*", "changed": True, "hides": {}}
    found = http.get("/api/functions/mail.a/policy").json()["policy"]
    assert (found["attempts"], found["keep_s"]) == (4, 60)
    rows = http.get("/api/policies").json()["policies"]
    assert [row["function"] for row in rows if row["origin"] != "own"] == ["mail.*"]
    assert http.delete("/api/functions/mail.*/policy").json()["changed"]
    assert http.get("/api/functions/mail.a/policy").json() == {"policy": None}
    problem_of(http.put("/api/functions/f/policy", json={"attempts": -1}), 400)
    problem_of(http.put("/api/functions/f/policy", json={"tries": 1}), 400)


def test_schedules_are_set_looked_at_run_and_taken_back(http: httpx.Client) -> None:
    made = {"cron": "0 8 * * 1-5", "function": "digest", "data": "all", "missed": "skip"}
    assert http.put("/api/schedules/s", json=made).json() == {"name": "s", "changed": True}
    found = http.get("/api/schedules/s").json()["schedule"]
    assert found["schedule"] == made | {"timezone": "UTC", "overlap": True}
    assert len(found["next_s"]) == 5
    handle = http.post("/api/schedules/s/run").json()["handle"]
    assert job_at(http, f"/api/jobs/{handle}")["payload"] == "all"
    assert http.post("/api/schedules/s/pause").json() == {"name": "s", "paused": True}
    assert http.post("/api/schedules/s/resume").json() == {"name": "s", "paused": False}
    assert [row["name"] for row in http.get("/api/schedules").json()["schedules"]] == ["s"]
    assert http.delete("/api/schedules/s").json()["changed"]
    problem_of(http.get("/api/schedules/s"), 404)
    bad = http.put("/api/schedules/s", json=made | {"cron": "often"})
    assert "cron is 'often'" in problem_of(bad, 400)["detail"]


def test_workers_and_what_they_run_are_shown(web: ServerProcess, http: httpx.Client) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold(job: Job) -> bytes:
        begun.set()
        assert may_end.wait(LIMIT_S)
        return b""

    worker = Worker(web.address)
    worker.register("hold", hold)
    with running(worker):
        handle = http.post("/api/jobs", json={"function": "hold"}).json()["handle"]
        assert begun.wait(LIMIT_S)
        workers = http.get("/api/workers").json()["workers"]
        assert [job["handle"] for each in workers for job in each["running"]] == [handle]
        may_end.set()
    assert http.get("/api/statistics").json()["statistics"]["submitted"] == 1


def test_a_kept_result_is_found(web: ServerProcess, http: httpx.Client) -> None:
    http.put("/api/functions/add/policy", json={"keep_s": 600})
    worker = Worker(web.address)
    worker.register("add", lambda job: b"3")
    location = http.post("/api/jobs", json={"function": "add", "data": "1 2"}).headers["location"]
    worker.run(burst=True)
    job = job_at(http, location)
    assert (job["state"], job["result"]) == ("completed", "3")
    assert [attempt["outcome"] for attempt in job["log"]] == ["completed"]


# ---- live


def test_a_job_is_followed_to_its_end(web: ServerProcess, http: httpx.Client) -> None:
    http.put("/api/functions/f/policy", json={"keep_s": 60})
    handle = http.post("/api/jobs", json={"function": "f", "data": "x"}).json()["handle"]
    worker = Worker(web.address)
    worker.register("f", lambda job: b"done")
    states: list[str] = []
    with http.stream("GET", f"/api/jobs/{handle}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: {"):
                job = json.loads(line.removeprefix("data: "))["job"]
                states.append(job["state"])
                if states == ["queued"]:
                    worker.run(burst=True)
        assert line == ""
    assert (states[0], states[-1], job["result"]) == ("queued", "completed", "done")
    problem_of(http.get("/api/jobs/H:nobody:1/events"), 404)


# ---- durable


def test_an_accepted_job_survives_a_kill(tmp_path: Path) -> None:
    flags = ("--http", "127.0.0.1:0", "--journal", str(tmp_path / "jobs.db"))
    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            locations = [
                http.post("/api/jobs", json={"function": "f", "data": str(number)}).headers[
                    "location"
                ]
                for number in range(20)
            ]
            http.put("/api/functions/f/policy", json={"attempts": 7})
        server.kill()
        server.start()
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            found = [job_at(http, location) for location in locations]
    assert [job["payload"] for job in found] == [str(number) for number in range(20)]
    assert {job["attempts_max"] for job in found} == {7}
