"""The keywords of a submit: what they become on the wire, and what is refused before that."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.client.options import (
    SubmitOptions,
    described,
    extended_submit,
    read_options,
    rounded,
    standard_submit,
)
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol import packets as p

NORMAL = Priority.NORMAL


def read(**options: Any) -> dict[str, object]:
    return read_options(SubmitOptions(**options))  # type: ignore[typeddict-item]  # mistakes, too


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"delay_s": None, "due": None, "labels": None}, {}),
        ({"delay_s": 1.5}, {"delay_s": 1.5}),
        ({"delay_s": 0}, {"delay_s": 0}),
        ({"due": 1_767_225_600.25}, {"due_s": 1_767_225_600.25}),
        ({"due": datetime(2026, 1, 1, tzinfo=UTC)}, {"due_s": 1_767_225_600.0}),
        (
            {"due": datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=1.5)))},
            {"due_s": 1_767_225_600.0},
        ),
        ({"attempts": 5, "poison": 0}, {"attempts": 5, "poison": 0}),
        ({"retry_on": ("lost", "fail")}, {"retry_on": ["lost", "fail"]}),
        ({"retry_on": {"timeout", "fail", "lost"}}, {"retry_on": ["fail", "lost", "timeout"]}),
        ({"retry_on": []}, {"retry_on": []}),
        ({"backoff": "exponential"}, {"backoff": "exponential"}),
        ({"backoff": (1, 5.5)}, {"backoff": [1, 5.5]}),
        ({"backoff": {"base_s": 2}}, {"backoff": {"base_s": 2}}),
        ({"attempt_timeout_s": 30, "expires_s": 60}, {"timeout_s": 30, "expires_s": 60}),
        ({"key": "größe"}, {"key": "größe"}),
        ({"key": b"\xff"}, {"key": "\udcff"}),
        ({"labels": {"user": "ann"}}, {"labels": {"user": "ann"}}),
        ({"labels": {}}, {}),
        ({"callback": "http://a/"}, {"callback": "http://a/"}),
        ({"callback": {"function": "f"}}, {"callback": {"function": "f"}}),
        (
            {"callback": {"function": "f", "data": "größe"}},
            {"callback": {"function": "f", "data": "größe"}},
        ),
        (
            {"callback": {"function": "f", "data": b"\xff"}},
            {"callback": {"function": "f", "data_base64": "/w=="}},
        ),
    ],
)
def test_keywords_become_options(options: dict[str, Any], expected: dict[str, object]) -> None:
    assert read(**options) == expected


@pytest.mark.parametrize(
    ("options", "kind", "why"),
    [
        ({"delay": 1}, TypeError, "'delay' is no keyword of a submit; .* delay_s, due, attempts"),
        ({"delay_s": 1, "due": 2}, InvalidArgument, "two ways to say when"),
        ({"delay_s": -1}, InvalidArgument, "delay_s is a number of seconds from 0 on, not -1"),
        ({"delay_s": float("inf")}, InvalidArgument, "delay_s .* not inf"),
        ({"due": float("nan")}, InvalidArgument, "due .* not nan"),
        ({"due": datetime(2026, 1, 1)}, InvalidArgument, "2026-01-01T00:00:00 without a time"),
        ({"due": "tomorrow"}, TypeError, "due must be a number of seconds, not 'tomorrow'"),
        ({"attempt_timeout_s": True}, TypeError, "attempt_timeout_s must be a number of seconds"),
        ({"attempts": 2.5}, TypeError, "attempts must be a whole number, not 2.5"),
        ({"poison": True}, TypeError, "poison must be a whole number"),
        ({"retry_on": "lost"}, TypeError, r'retry_on must be a list like \["lost", "timeout"\]'),
        ({"retry_on": 3}, TypeError, "retry_on must be a list"),
        ({"backoff": 3}, TypeError, 'backoff must be "none", "exponential", a list'),
        ({"backoff": b"none"}, TypeError, "backoff must be"),
        ({"backoff": [float("nan")]}, InvalidArgument, "can't be told to a server: Out of range"),
        ({"backoff": [object()]}, InvalidArgument, "can't be told to a server: .* not JSON"),
        ({"key": 4711}, TypeError, "key must be bytes or str, not int"),
        ({"labels": ["user"]}, TypeError, "labels must be a mapping of str to str"),
        ({"labels": {"user": 4711}}, TypeError, "labels must be a mapping of str to str"),
        ({"callback": 7}, TypeError, "callback must be a URL, or a mapping"),
        ({"callback": {"data": "x"}}, TypeError, "callback must be a URL, or a mapping"),
        ({"callback": {"function": "f", "data": 7}}, TypeError, "the data of a callback must be"),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        read(**options)


@pytest.mark.parametrize(
    ("priority", "background", "options", "submit"),
    [
        (Priority.LOW, True, {}, (p.SUBMIT_JOB_LOW_BG, ())),
        (NORMAL, False, {}, (p.SUBMIT_JOB, ())),
        (Priority.CRITICAL, False, {}, None),
        (Priority.CRITICAL, True, {}, None),
        (NORMAL, True, {"due_s": 17}, (p.SUBMIT_JOB_EPOCH, (b"17",))),
        (NORMAL, True, {"due_s": 17.0}, (p.SUBMIT_JOB_EPOCH, (b"17",))),
        (NORMAL, True, {"due_s": 17.5}, None),
        (NORMAL, False, {"due_s": 17}, None),
        (Priority.HIGH, True, {"due_s": 17}, None),
        (NORMAL, True, {"due_s": 17, "attempts": 2}, None),
        (NORMAL, True, {"delay_s": 3}, None),
        (NORMAL, True, {"labels": {}}, None),
    ],
)
def test_what_the_standard_can_say(
    priority: Priority, background: bool, options: dict[str, object], submit: object
) -> None:
    assert standard_submit(priority, background, options) == submit


def test_what_only_gearpy_can_say() -> None:
    number = p.SUBMIT_JOB_OPTIONS
    assert extended_submit(NORMAL, False, {"attempts": 2}) == (number, (b'{"attempts":2}',))
    assert extended_submit(Priority.CRITICAL, True, {"key": "\udcff"}) == (
        number,
        (rb'{"key":"\udcff","priority":"critical","background":true}',),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"delay_s": 2.5}, {"due_s": 103}),
        ({"delay_s": 3}, {"due_s": 104}),
        ({"delay_s": 0}, {"due_s": 101}),
        ({"due_s": 17.25}, {"due_s": 18}),
        ({"due_s": 17}, {"due_s": 17}),
        ({"attempts": 2}, {"attempts": 2}),
        ({"delay_s": 2.5, "attempts": 2}, {"due_s": 103, "attempts": 2}),
    ],
)
def test_times_are_rounded_up(options: dict[str, object], expected: dict[str, object]) -> None:
    assert rounded(options, 100.25) == expected


@given(st.floats(0, 1e9), st.floats(0, 1e10))
def test_a_rounded_delay_is_never_early(delay_s: float, now_s: float) -> None:
    due_s = rounded({"delay_s": delay_s}, now_s)["due_s"]
    assert isinstance(due_s, int)
    assert 0 <= due_s - (now_s + delay_s) <= 1


def test_a_job_is_described() -> None:
    assert described(Priority.CRITICAL, True, {}) == "a background job of priority CRITICAL"
    assert described(NORMAL, False, {"due_s": 1, "timeout_s": 2, "key": "k"}) == (
        "a foreground job with due and attempt_timeout_s and key"
    )
