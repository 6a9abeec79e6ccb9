"""The page's views as they come over HTTP, and what its forms send."""

import html
import re

import httpx


def text_of(answer: httpx.Response, status: int = 200) -> str:
    """What a page shows, without its tags."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", answer.text).split()))


def submitted(http: httpx.Client, **job: object) -> str:
    handle: str = http.post("/api/jobs", json={"function": "f"} | job).json()["handle"]
    return handle


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of the only form of a page."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {name: html.unescape(value) for name, value in found}


def asked_for(http: httpx.Client, verb: str, back: str = "/", **fields: str) -> httpx.Response:
    """What comes of a button of the page that was pressed."""
    return http.post(f"/do/{verb}", params={"back": back}, data=fields)


def act(http: httpx.Client, verb: str, back: str = "/", **fields: str) -> str:
    """Does something from the page, with the question and the yes; what is shown then."""
    asked = asked_for(http, verb, back, **fields)
    assert "Really?" in text_of(asked)
    action = re.search(r'<form method="post" action="([^"]*)"', asked.text)
    assert action is not None
    answered = http.post(html.unescape(action[1]), data=fields_of(asked.text))
    assert answered.status_code == 303, answer_text(answered)
    return text_of(http.get(answered.headers["location"]))


def told(http: httpx.Client, answer: httpx.Response) -> str:
    """What is told where an answer leads to."""
    assert answer.status_code == 303, answer_text(answer)
    page = http.get(answer.headers["location"]).text
    found = re.search(r'<p class="done" role="status">(.*?)</p>', page)
    return html.unescape(found[1]) if found else ""


def answer_text(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text}"
