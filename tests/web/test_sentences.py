"""What is wrong with a request is told in sentences."""

from typing import Any

import httpx
import pytest

from gearpy.web import sentences
from tests.docstrings import run_examples
from tests.web.test_api import problem_of

JOBS = "/api/jobs"
NO_OBJECT = (
    "the body is not read as an object of JSON; send one, with Content-Type: application/json"
)
BACKOFF = (
    "backoff must be none, exponential, a list of seconds, or an object with some of base_s,"
    " factor, cap_s, jitter"
)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"function": mail', "the body is no JSON: expecting value, at character 13"),
        (b"", "the request has no body; it must be an object of JSON"),
        (b"[]", NO_OBJECT),
        (b'"x"', NO_OBJECT),
        (b"\xff", "the body can't be read as JSON"),
        (b"[" * 5000, "the body can't be read as JSON"),
        (b'{"data": "x"}', "the field function is missing"),
        (b'{"function": "f", "delay": 5}', "delay is no field that this request takes"),
        (b'{"function": "f", "attempts": "3"}', "attempts is '3'; it must be a whole number"),
        (b'{"function": null}', "function is null; it must be text"),
        (b'{"function": "f", "timeout_s": NaN}', "timeout_s is nan; it must be a finite number"),
        (b'{"function": "f", "wait_s": 0}', "wait_s is 0; it must be greater than 0"),
        (b'{"function": "f", "labels": []}', "labels is []; it must be an object of JSON"),
        (b'{"function": "f", "retry_on": 1}', "retry_on is 1; it must be a list"),
        (
            b'{"function": "f", "data_base64": "&"}',
            "data_base64 is no base64 with padding (RFC 4648)",
        ),
        (b'{"function": "f", "backoff": "x"}', BACKOFF),
        (b'{"function": "f", "backoff": [1, "x"]}', BACKOFF),
        (b'{"function": "f", "backoff": {"bse_s": 1}}', BACKOFF),
        (
            b'{"function": "f", "callback": {"x": 1}}',
            "callback must be a URL, or an object with function and data or data_base64",
        ),
        (
            b'{"function": 5, "attempts": "x", "unique": 1}',
            "attempts is 'x'; it must be a whole number (and more is wrong: function, unique)",
        ),
    ],
)
def test_a_bad_body(body: bytes, says: str, shared_http: httpx.Client) -> None:
    answer = shared_http.post(JOBS, content=body, headers={"content-type": "application/json"})
    told = problem_of(answer, 400)
    assert (told["detail"], told["code"]) == (says, "INVALID_ARGUMENT")


def test_another_content_type(shared_http: httpx.Client) -> None:
    answer = shared_http.post(JOBS, data={"function": "mail"})
    assert problem_of(answer, 400)["detail"] == NO_OBJECT


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("delay_s=x", "delay_s is 'x'; it must be a number"),
        ("attempts=1.5", "attempts is '1.5'; it must be a whole number"),
        (
            "priority=urgent",
            "priority is 'urgent'; it must be 'critical', 'high', 'normal' or 'low'",
        ),
    ],
)
def test_a_bad_query(query: str, says: str, shared_http: httpx.Client) -> None:
    answer = shared_http.post(f"/api/functions/f/jobs?{query}", content=b"")
    assert problem_of(answer, 400)["detail"] == says


def test_a_bad_kind_of_command(shared_http: httpx.Client) -> None:
    command: dict[str, Any] = {"command": {"type": "ftp"}}
    told = problem_of(shared_http.post("/jobs/add", json=command), 400)
    assert told["detail"] == "the type of command is 'ftp'; it must be one of 'http', 'exec'"


def test_examples() -> None:
    assert run_examples(sentences).failed == 0
