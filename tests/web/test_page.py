"""The page as it comes over HTTP: what it shows."""

import html
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from gearpy import durations
from gearpy.client import Client
from gearpy.testing.process import ServerProcess
from gearpy.web import actions, outcomes, ranking, slices, views
from gearpy.worker import Job, Worker
from tests.docstrings import run_examples
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S
from tests.web.pages import submitted, text_of

VIEWS = ("/", "/jobs", "/dead", "/workers", "/schedules", "/policies", "/audit")


@pytest.mark.parametrize("path", VIEWS)
def test_each_view_is_there_with_nothing_in_it(path: str, shared_http: httpx.Client) -> None:
    answer = shared_http.get(path)
    assert re.search(
        r"\bno (functions|jobs|workers|schedules|policies)|nothing yet|from policy", text_of(answer)
    )
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["cache-control"] == "no-store"
    assert f'href="{path}" aria-current="page"' in answer.text
    for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert address.startswith(("/", "#")), "nothing is loaded from elsewhere"


def test_what_it_loads_is_there(shared_http: httpx.Client) -> None:
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', shared_http.get("/").text):
        assert shared_http.get(address).status_code == 200


def test_a_view_that_does_not_live_is_no_stream(shared_http: httpx.Client) -> None:
    text_of(shared_http.get("/policies", headers={"accept": "text/event-stream"}))


def test_names_are_shown_as_text_whatever_they_are(http: httpx.Client) -> None:
    name = '<script>alert("1")</script>&'
    handle = submitted(http, function=name, data="</pre><b>bold", labels={"<i>": "<u>"})
    for path in ("/", "/jobs", f"/functions/{quote(name, safe='')}", f"/jobs/{handle}"):
        answer = http.get(path)
        assert name in text_of(answer) or name in html.unescape(answer.text)
        assert not re.search(r"<script>|<b>bold|<i>|<u>", answer.text)


def test_functions_are_found_by_word_or_pattern(http: httpx.Client) -> None:
    for name in ("image.resize", "image.rotate", "mail"):
        submitted(http, function=name)
    assert "mail" in text_of(http.get("/"))
    for asked in ("image", "image.*", "*.r*"):
        page = text_of(http.get("/", params={"function": asked}))
        assert ("image.resize" in page, "image.rotate" in page, " mail " in page) == (
            True,
            True,
            False,
        )
    assert "no functions that match x" in text_of(http.get("/", params={"function": "x"}))


def paged(http: httpx.Client, path: str) -> list[str]:
    """The functions of all pages, from this one on."""
    seen: list[str] = []
    at: str | None = path
    while at is not None:
        page = http.get(at).text
        seen += re.findall(r'href="/functions/([^"]+)"', page)
        more = re.search(r'<a href="([^"]*)" rel="next">', page)
        at = html.unescape(more[1]) if more else None
    return seen


def test_many_functions_come_in_pages(http: httpx.Client) -> None:
    names = [f"f{number:03}" for number in range(120)]
    for name in names:
        submitted(http, function=name)
    assert paged(http, "/") == names
    assert paged(http, "/?sort=name") == names
    assert paged(http, "/?sort=-name") == names[::-1]
    assert paged(http, "/?function=f1*&sort=-name") == names[:99:-1]
    assert paged(http, "/?function=f042") == ["f042"]


def test_functions_are_sorted_by_what_they_have(http: httpx.Client) -> None:
    for name, jobs, delay_s in (("one", 1, 0), ("three", 3, 0), ("two", 2, 0), ("later", 4, 600)):
        for _ in range(jobs):
            submitted(http, function=name, delay_s=delay_s)
    for sort, order in (
        ("", ["one", "three", "two", "later"]),
        ("beauty", ["one", "three", "two", "later"]),
        ("queued", ["three", "two", "one", "later"]),
        ("-queued", ["later", "one", "two", "three"]),
        ("delayed", ["later", "one", "three", "two"]),
        ("oldest", ["one", "three", "two", "later"]),
    ):
        eventually(lambda sort=sort: paged(http, f"/?sort={sort}"), order)  # type: ignore[misc]
    page = http.get("/?sort=queued&function=*").text
    assert 'aria-sort="descending"><a href="/?function=%2A&amp;sort=-queued">queued</a>' in page
    assert '<th><a href="/?function=%2A&amp;sort=name">function</a>' in page
    assert '<input type="hidden" name="sort" value="queued">' in page


def test_the_function_of_just_this_name_is_the_first(http: httpx.Client) -> None:
    for name in ("mailing", "email", "mail", "mail*"):
        submitted(http, function=name)
    for sort in ("", "-name", "queued"):
        path = f"/?function=mail&sort={sort}"
        assert paged(http, path)[0] == "mail", sort
        assert sorted(paged(http, path)) == ["email", "mail", "mail%2A", "mailing"]
    assert paged(http, "/?function=mail*")[0] == "mail%2A"


def test_numbers_lead_to_the_jobs_that_they_count(http: httpx.Client) -> None:
    for function, priority in (("a*", "high"), ("a*", "low"), ("ab", "normal")):
        submitted(http, function=function, priority=priority)
    page = http.get("/").text
    assert re.search(r'state=queued&amp;function=ab">1</a></td>', page), (
        "all normal: nothing to tell"
    )
    found = re.search(r'<a href="([^"]*state=queued[^"]*)">2</a><small[^>]*>([^<]*)<', page)
    assert found is not None
    assert found[2] == "1 high, 1 low"
    jobs = text_of(http.get(html.unescape(found[1])))
    assert "a*" in jobs
    assert " ab " not in jobs


def test_a_function_is_shown_whole(web: ServerProcess, http: httpx.Client) -> None:
    http.put("/api/functions/image%2Fresize/policy", json={"attempts": 3, "keep_s": 60})
    for priority in ("high", "high", "low"):
        submitted(http, function="image/resize", priority=priority)
    page = text_of(http.get("/functions/image%2Fresize"))
    assert "critical high normal low all queued 0 2 0 1 3" in page
    text_of(http.get("/functions/unknown"), 404)


def test_jobs_are_found_by_what_is_known_of_them(http: httpx.Client) -> None:
    first = submitted(http, function="image.resize", unique="u1")
    second = submitted(http, function="mail", unique="u2", delay_s=60)
    for asked, found in (
        ({}, {first, second}),
        ({"function": "image.*"}, {first}),
        ({"unique": "u2"}, {second}),
        ({"state": "delayed"}, {second}),
        ({"older_than_s": "3600"}, set()),
        ({"older_than_s": "2h"}, set()),
        ({"younger_than_s": "5m"}, {first, second}),
        ({"older_than_s": "0", "younger_than_s": " 1.5 d "}, {first, second}),
        ({"younger_than_s": "0"}, set()),
        ({"state": "dead"}, set()),
    ):
        page = http.get("/jobs", params=asked).text
        assert set(re.findall(r'href="/jobs/(H:[^"]+)"', page)) == found, asked
    by_handle = http.get("/jobs", params={"handle": f" {first} "})
    assert by_handle.headers["location"] == f"/jobs/{first}"
    for name in ("older_than_s", "younger_than_s"):
        refused = http.get("/jobs", params={name: "soon"})
        assert "'soon' is no duration; write it like 90, 30s, 5m, 2h or 7d" in text_of(refused, 400)
        kept = http.get("/jobs", params={name: "5m"}).text
        assert re.search(rf'name="{name}" value="5m"', kept), "what was asked for is still there"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"a": [1, "\xc3\xa4"]}', 'JSON { "a": [ 1, "ä" ] }'),
        (b"plain text", "text plain text"),
        (b"\x89PNG\r\n\0", "hex 00000000 89 50 4e 47 0d 0a 00 .PNG..."),
    ],
)
def test_a_job_shows_its_life(
    data: bytes, shown: str, web: ServerProcess, http: httpx.Client
) -> None:
    def work(job: Job) -> bytes:
        job.progress(1, 4)
        if job.attempt == 1:
            raise ValueError("not yet")
        return job.data

    http.put("/api/functions/f/policy", json={"attempts": 2, "backoff": "none", "keep_s": 60})
    handle = http.post("/api/functions/f/jobs", content=data).json()["handle"]
    worker = Worker(web.address)
    worker.register("f", work)
    worker.run(burst=True)
    page = text_of(http.get(f"/jobs/{handle}"))
    assert "completed for" in page
    assert re.search(r"1 2\S+ \S+Z \S+ \S+ exception .* ValueError: not yet 2 ", page)
    assert f"Payload {shown}" in page
    assert f"Result {shown}" in page


def test_what_a_function_did_lately_is_shown(web: ServerProcess, http: httpx.Client) -> None:
    def work(job: Job) -> bytes:
        if job.data == b"bad":
            raise ValueError
        return b""

    for data in ("good", "good", "good", "bad"):
        submitted(http, data=data)
    worker = Worker(web.address)
    worker.register("f", work)
    worker.run(burst=True)
    page = http.get("/").text
    heads = re.findall(r'<th colspan="(\d+)" scope="colgroup">([^<]*)</th>', page)
    assert heads == [
        ("7", "now"),
        ("3", "last 5 minutes"),
        ("3", "waited, last 5 minutes"),
        ("3", "ran, last 5 minutes"),
    ]
    times = r"(?:[\d.]+ m?s ){3}"
    assert re.search(rf" f 0 0 0 0 0 [\d.]+ 75\.0 % {times}{times}", f"{text_of(http.get('/'))} ")
    shown = text_of(http.get("/functions/f"))
    for title in ("The last 5 minutes", "Since the server's start"):
        _, _, part = shown.partition(title)
        assert re.search(rf"waited {times}ran {times}success 75\.0 % completed 3 failed 1", part)


def test_what_is_kept_tells_its_figures_also_after_a_restart(tmp_path: Path) -> None:
    def work(job: Job) -> bytes:
        if job.data == b"bad":
            raise ValueError
        return b""

    flags = ("--http", "127.0.0.1:0", "--journal", str(tmp_path / "jobs.db"))
    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            submitted(http)
            assert "Kept jobs" not in http.get("/functions/f").text
            http.put("/api/functions/f/policy", json={"keep_s": 3600, "attempts": 1})
            for data in ("good", "good", "bad"):
                submitted(http, data=data)
        worker = Worker(server.address)
        worker.register("f", work)
        worker.run(burst=True)
    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            shown = text_of(http.get("/functions/f"))
    _, _, part = shown.partition("Kept jobs and dead letters")
    times = r"(?:[\d.]+ m?s ){3}"
    expected = rf"ran {times}from submit to end {times}success 75\.0 % completed 3 failed 0 dead 1"
    assert re.search(expected, part), part


def test_the_newest_jobs_come_first_where_that_is_wanted(http: httpx.Client) -> None:
    handles = [submitted(http) for _ in range(3)]
    for order, expected in (("", handles), ("newest", handles[::-1])):
        page = http.get("/jobs", params={"order": order}).text
        assert re.findall(r'data-row="(H:[^"]*)"', page) == expected


@pytest.mark.parametrize(
    ("state", "verbs"),
    [("queued", ["cancel"]), ("delayed", ["cancel", "retry"]), ("dead", ["retry", "purge"])],
)
def test_a_job_offers_what_can_be_done_with_it(
    state: str, verbs: list[str], web: ServerProcess, http: httpx.Client
) -> None:
    def fail(job: Job) -> bytes:
        raise ValueError

    http.put("/api/functions/f/policy", json={"attempts": 1})
    handle = submitted(http, delay_s=60 if state == "delayed" else 0)
    if state == "dead":
        worker = Worker(web.address)
        worker.register("f", fail)
        worker.run(burst=True)
    page = http.get(f"/jobs/{handle}").text
    assert f'"state {state}"' in page
    assert re.findall(r'action="/do/(\w+)\?', page) == verbs


def test_a_search_says_that_it_looked_at_so_many_only(
    web: ServerProcess, http: httpx.Client
) -> None:
    with Client(web.address) as client:
        client.submit_many_background("crowd", [b""] * 10_000)
    handle = submitted(http, function="needle")
    found = http.get("/jobs", params={"function": "needle"})
    assert (
        "no jobs among these Only jobs 1 to 10,000 were looked at, and there are more. look on"
        in (text_of(found))
    )
    more = re.search(r'<a href="([^"]*)" rel="next">', found.text)
    assert more is not None
    found = http.get(html.unescape(more[1]))
    assert handle in found.text
    assert "looked at" not in text_of(found)
    assert "from the beginning" in text_of(found)
    assert "looked at" not in text_of(http.get("/jobs", params={"function": "crowd"}))
    assert "no more jobs" in text_of(http.get("/jobs", params={"function": "x", "offset": "10000"}))


def test_a_job_that_is_not_there_is_said(shared_http: httpx.Client) -> None:
    assert "there is no job" in text_of(shared_http.get("/jobs/H:vm:1"), 404)


# ---- live


def test_a_view_is_sent_anew_when_it_changes_and_only_then(http: httpx.Client) -> None:
    stream = {"accept": "text/event-stream"}
    with http.stream("GET", "/jobs", headers=stream) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        lines = events.iter_lines()
        assert next(lines) == ": here"
        assert next(line for line in lines if line) == "event: live"
        assert "no jobs" in next(line for line in lines if "no jobs" in line)
        handle = submitted(http, function="new")
        assert next(line for line in lines if line.startswith("event")) == "event: live"
        assert handle in next(line for line in lines if handle in line)


def test_the_view_of_a_job_ends_with_it(http: httpx.Client) -> None:
    handle = submitted(http)
    stream = {"accept": "text/event-stream"}
    with http.stream("GET", f"/jobs/{handle}", headers=stream, timeout=LIMIT_S) as events:
        lines = events.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: live"
        http.post(f"/api/jobs/{handle}/cancel")
        assert next(line for line in lines if line.startswith("event: gone"))
        assert list(lines)[-1] == ""


def test_open_pages_do_not_hold_up_the_end(web: ServerProcess, http: httpx.Client) -> None:
    with http.stream("GET", "/", headers={"accept": "text/event-stream"}) as events:
        lines = events.iter_lines()
        assert next(lines) == ": here"
        assert web.stop() == 0
        assert list(lines)[-1] == "", "it ended, and was not broken off"


def test_examples() -> None:
    for module in (views, outcomes, ranking, slices, actions, durations):
        assert run_examples(module).failed == 0


def test_a_job_and_the_one_that_follows_it_lead_to_each_other(http: httpx.Client) -> None:
    handle = submitted(http, callback={"function": "index"})
    assert "a job of index" in http.get(f"/jobs/{handle}").text
    http.post(f"/api/jobs/{handle}/cancel")
    (follows,) = http.get("/api/jobs", params={"function": "index"}).json()["jobs"]
    assert f'<a href="/jobs/{handle}">' in http.get(f"/jobs/{follows['handle']}").text
