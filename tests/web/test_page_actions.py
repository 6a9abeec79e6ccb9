"""What can be done from the page: it asks first, and says afterwards what it did."""

import html
import json
import re
import socket
from urllib.parse import quote

import httpx
import pytest

from gearpy.client import Client
from gearpy.protocol.packets import WORKER_STATE
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S
from tests.web.pages import act, asked_for, fields_of, submitted, text_of, told


def test_a_function_is_paused_and_resumed(http: httpx.Client) -> None:
    submitted(http, function="mail")
    page = act(http, "pause", function="mail", back="/functions/mail")
    assert "The function mail was paused." in page
    assert http.get("/api/functions").json()["functions"][0]["paused"]
    assert "paused" in text_of(http.get("/"))
    act(http, "resume", function="mail")
    assert not http.get("/api/functions").json()["functions"][0]["paused"]


def test_nothing_happens_before_the_yes(http: httpx.Client) -> None:
    handle = submitted(http)
    asked = asked_for(http, "cancel", "/jobs", handle=handle)
    assert f"the job {handle}" in text_of(asked)
    assert len(http.get("/api/jobs").json()["jobs"]) == 1
    assert "nothing yet" in text_of(http.get("/audit"))


def test_waiting_jobs_are_cleared_however_many(http: httpx.Client) -> None:
    for _ in range(1050):
        submitted(http)
    act(http, "clear", function="f")
    assert http.get("/api/jobs").json()["jobs"] == []


def test_dead_letters_are_retried_and_purged_one_marked_or_all(
    web: ServerProcess, http: httpx.Client
) -> None:
    def fail(job: Job) -> bytes:
        raise ValueError

    def dead() -> list[str]:
        found = http.get("/api/jobs", params={"state": "dead"}).json()["jobs"]
        return sorted(job["handle"] for job in found)

    http.put("/api/functions/*/policy", json={"attempts": 1})
    handles = [submitted(http, function=name) for name in ("f", "f", "f", "f", "g")]
    worker = Worker(web.address)
    worker.register("f", fail)
    worker.register("g", fail)
    worker.run(burst=True)
    assert dead() == handles
    act(http, "retry", handle=handles[0])
    asked = http.post("/do/purge", data={"handle": handles[1:3]})
    assert "This forgets 2 jobs for good." in text_of(asked)
    both = [("handle", handle) for handle in handles[1:3]]
    sent = "&".join(f"{name}={quote(value)}" for name, value in [*both, ("confirmed", "yes")])
    form = {"content-type": "application/x-www-form-urlencoded"}
    answered = http.post("/do/purge?back=/dead", content=sent, headers=form)
    assert "2 jobs were purged." in told(http, answered)
    assert dead() == handles[3:]
    act(http, "purge", states="dead", function="g")
    assert dead() == handles[3:4]
    assert "no job is marked" in text_of(http.post("/do/retry?back=/dead"), 400)


def test_all_are_all_that_are_shown_and_never_more(http: httpx.Client) -> None:
    first, second = submitted(http, unique="u1"), submitted(http, unique="u2")
    act(http, "cancel", states="queued", function="*", unique="u1")
    assert [job["handle"] for job in http.get("/api/jobs").json()["jobs"]] == [second]
    nothing = asked_for(http, "cancel", "/jobs", states="queued", function="*", older_than_s="1h")
    assert "there are no queued jobs of * that are older than 1h" in told(http, nothing)
    assert [job["handle"] for job in http.get("/api/jobs").json()["jobs"]] == [second]
    for verb in ("pause", "clear"):
        sent = http.post(f"/do/{verb}", data={"confirmed": "yes"})
        assert "no function is named" in text_of(sent, 400)
    handles = f"handle={quote(first)}&handle={quote(second)}&confirmed=yes"
    form = {"content-type": "application/x-www-form-urlencoded"}
    both = http.post("/do/cancel", content=handles, headers=form)
    assert "not done with 1 of 2 jobs" in text_of(both, 400)
    assert http.get("/api/jobs").json()["jobs"] == []


@pytest.mark.parametrize("data", ['"\\ud800"', "[" * 5000, "[" * 900 + "]" * 900, "x" * 300_000])
def test_no_payload_is_too_strange_to_be_shown(data: str, http: httpx.Client) -> None:
    handle = submitted(http, data=data)
    answer = http.get(f"/jobs/{handle}")
    assert "Payload" in text_of(answer)
    assert len(answer.content) < 1_000_000


def test_a_worker_is_dropped(web: ServerProcess, http: httpx.Client) -> None:
    submitted(http, function="hold")
    with socket.create_connection((web.host, web.port)) as worker:
        worker.settimeout(LIMIT_S)
        worker.sendall(b"\0REQ\0\0\0\x01\0\0\0\x04hold\0REQ\0\0\0\x09\0\0\0\0")
        eventually(lambda: http.get("/api/functions").json()["functions"][0]["running"], 1)
        peer = ":".join(map(str, worker.getsockname()))
        assert peer in text_of(http.get("/workers"))
        act(http, "drop-worker", peer=peer, back="/workers")
        assert http.get("/api/functions").json()["functions"][0]["queued"] == 1
        said = b""
        while part := worker.recv(4096):
            said += part
    assert b"WORKER_DROPPED" in said
    assert "no workers" in text_of(http.get("/workers"))


def test_schedules_are_set_run_paused_and_taken_back(http: httpx.Client) -> None:
    made = {"cron": "0 8 * * *", "timezone": "Europe/Berlin", "function": "digest"}
    page = act(http, "set-schedule", name="nightly", **made, back="/schedules")
    assert "0 8 * * * Europe/Berlin digest" in page
    act(http, "run-schedule", name="nightly", back="/schedules")
    (job,) = http.get("/api/jobs").json()["jobs"]
    page = act(http, "pause-schedule", name="nightly", back="/schedules")
    assert "paused" in page
    assert job["handle"] in page
    act(http, "resume-schedule", name="nightly")
    act(http, "set-schedule", name="nightly", back="/schedules")
    assert "no schedules" in text_of(http.get("/schedules"))
    bad = {"name": "s", "cron": "often", "function": "f", "confirmed": "yes"}
    assert "cron is" in text_of(http.post("/do/set-schedule", data=bad), 400)


def test_what_was_done_and_what_was_not_is_shown(http: httpx.Client) -> None:
    handle = submitted(http)
    act(http, "cancel", handle=handle)
    refused = http.post("/do/cancel", data={"handle": handle, "confirmed": "yes"})
    assert "there is no job" in text_of(refused, 404)
    http.post("/api/functions/f/pause", headers={"authorization": "Basic YW5uOng="})
    page = text_of(http.get("/audit"))
    assert re.search(r"'ann' at 127.0.0.1 pause .* 127.0.0.1 cancel .*there is no job", page)
    assert re.search(r'cancel {"handle":"[^"]+"} {"count":1}', page)


def test_what_is_done_over_the_other_port_is_shown_too(
    web: ServerProcess, http: httpx.Client
) -> None:
    with Client(web.address) as client:
        client.operate("pause", function="f")
    with socket.create_connection((web.host, web.port), LIMIT_S) as admin:
        admin.sendall(b"maxqueue g 5\r\n")
        assert admin.recv(4) == b"OK\r\n"
    page = text_of(http.get("/audit"))
    assert re.search(r'127.0.0.1:\d+ maxqueue {"arguments":\["g","5"\]} OK', page)
    assert re.search(r'pause {"function":"f"} {"functions":\["f"\],"next":null}', page)


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_it_leads_nowhere_else(back: str, http: httpx.Client) -> None:
    done = asked_for(http, "pause", back, function="f", confirmed="yes")
    assert re.fullmatch(r"/\?told=[\w-]+", done.headers["location"])
    assert "evil" not in asked_for(http, "pause", back, function="f").text
    assert http.get("/do/pause", params={"back": back}).headers["location"] == "/"


def test_a_name_that_a_form_can_not_send_is_refused(http: httpx.Client) -> None:
    """It would be another one's name."""
    http.post("/api/functions/bad%FF/jobs", content=b"")
    for sent in (b"function=bad%FF&confirmed=yes", "function=bad\ufffd&confirmed=yes".encode()):
        answer = http.post("/do/pause", content=sent)
        assert "a name here is no UTF-8" in text_of(answer, 400)
    assert [row["paused"] for row in http.get("/api/functions").json()["functions"]] == [False]


def test_a_form_has_so_many_fields_at_most(http: httpx.Client) -> None:
    answer = http.post("/do/retry", content=b"handle=a&" * 100_000)
    assert "has at most 1,000 fields" in text_of(answer, 400)


def test_what_nobody_can_do_is_said(shared_http: httpx.Client) -> None:
    assert "nobody can do shutdown" in text_of(shared_http.post("/do/shutdown", data={}), 404)


def test_of_many_all_are_told_once_and_noted_once(web: ServerProcess, http: httpx.Client) -> None:
    with Client(web.address) as client:
        client.submit_many_background("f", [b""] * 3001)
    asked = asked_for(http, "cancel", "/jobs", states="queued,delayed", function="*")
    assert "This ends all 3,001 queued,delayed jobs of *; whoever waits" in text_of(asked)
    answered = asked_for(http, "cancel", "/jobs", **fields_of(asked.text))
    assert told(http, answered) == "3,001 jobs were cancelled."
    rows = re.findall(r"<td>cancel</td>.*</tr>", http.get("/audit").text)
    assert len(rows) == 1
    assert "{&#34;count&#34;:3001}" in rows[0]


def test_marked_jobs_are_noted_together(http: httpx.Client) -> None:
    handles = [submitted(http, unique=str(number)) for number in range(3)]
    form = {"content-type": "application/x-www-form-urlencoded"}
    both = "&".join(f"handle={quote(handle)}" for handle in handles[:2]) + "&confirmed=yes"
    answered = http.post("/do/cancel?back=/jobs", content=both, headers=form)
    assert told(http, answered) == "2 jobs were cancelled."
    (row,) = re.findall(r"<td>cancel</td>.*</tr>", http.get("/audit").text)
    assert all(handle in row for handle in handles[:2])
    assert "{&#34;count&#34;:2}" in row


def test_a_question_tells_how_many_wait(http: httpx.Client) -> None:
    submitted(http)
    assert "This cancels the only job of f that wait" in text_of(
        asked_for(http, "clear", function="f")
    )
    submitted(http, delay_s=60)
    assert "This cancels all 2 jobs of f that wait." in text_of(
        asked_for(http, "clear", function="f")
    )


def test_what_came_of_it_is_told_once_and_to_nobody_else(http: httpx.Client) -> None:
    submitted(http, function="mail")
    done = asked_for(http, "pause", "/functions/mail?x=1", function="mail", confirmed="yes")
    path = done.headers["location"]
    assert path.startswith("/functions/mail?x=1&told=")
    assert "was paused" not in text_of(http.get("/functions/mail")), "for others"
    page = http.get(path)
    assert "The function mail was paused." in text_of(page)
    assert "told=" not in page.text, "nothing leads back here with the key"
    assert "was paused" not in text_of(http.get(path)), "a reload"
    for answer in (asked_for(http, "drain", function="mail"), http.get(f"{path}x")):
        assert "was paused" not in text_of(answer)


def test_a_question_that_is_reloaded_leads_back(shared_http: httpx.Client) -> None:
    asked = asked_for(shared_http, "pause", "/functions/a%20b?x=1", function="a b")
    action = re.search(r'<form method="post" action="([^"]*)"', asked.text)
    assert action is not None
    again = shared_http.get(html.unescape(action[1]))
    assert (again.status_code, again.headers["location"]) == (303, "/functions/a%20b?x=1")
    assert shared_http.get("/do/shutdown").headers["location"] == "/"


def test_buttons_have_words_for_people(shared_http: httpx.Client) -> None:
    for verb, words, safe in (
        ("set-policy", "yes, set it", True),
        ("purge", "yes, forget", False),
        ("drop-worker", "yes, drop it", False),
        ("retry", "yes, run again", True),
    ):
        fields = {"function": "f", "attempts": "3", "handle": "H:a:1", "peer": "127.0.0.1:1"}
        asked = asked_for(shared_http, verb, **fields).text
        focused = re.findall(r"<(?:button|a)[^>]* autofocus>([^<]*)<", asked)
        assert words in html.unescape(asked)
        assert focused == [words if safe else "no"]


def test_a_way_back_leads_to_names_of_any_kind(http: httpx.Client) -> None:
    submitted(http, function="a b?#/")
    path = "/functions/" + quote("a b?#/", safe="")
    found = re.search(r'action="(/do/pause\?[^"]*)"', http.get(path).text)
    assert found is not None
    submitted(http, function="a bx#/")
    fields = {"function": "a b[?]#/", "confirmed": "yes"}
    assert 'value="a b[?]#/"' in http.get(path).text, "just this one is meant"
    answered = http.post(html.unescape(found[1]), data=fields)
    assert answered.headers["location"].startswith(f"{path}?told=")
    assert told(http, answered) == "1 function was paused."


def test_a_supervisor_says_how_its_workers_are_and_is_not_dropped(
    web: ServerProcess, http: httpx.Client
) -> None:
    with socket.create_connection((web.host, web.port)) as worker:
        worker.settimeout(LIMIT_S)
        state = {
            "supervisor": True,
            "group": "mail",
            "group_state": {"running": 1, "wanted": 2, "crashes": 3},
        }
        told = json.dumps(state).encode()
        worker.sendall(b"\0REQ" + WORKER_STATE.to_bytes(4, "big") + len(told).to_bytes(4, "big"))
        worker.sendall(told)
        eventually(lambda: "1 of 2 up" in text_of(http.get("/workers")), True)
        page = http.get("/workers")
        assert "supervisor, 1 of 2 up, 3 crashed" in text_of(page)
        assert "/do/drop-worker" not in page.text


def test_the_audit_comes_in_pages(http: httpx.Client) -> None:
    for number in range(60):
        http.post(f"/api/functions/f{number:02}/pause")
    page = http.get("/audit").text
    assert [f"f{number:02}" in page for number in (59, 10, 9)] == [True, True, False]
    more = re.search(r'<a href="([^"]*)" rel="next">', page)
    assert more is not None
    page = http.get(html.unescape(more[1])).text
    assert [f"f{number:02}" in page for number in (10, 9, 0)] == [False, True, True]
    assert 'rel="next"' not in page
    assert 'rel="first"' in page
