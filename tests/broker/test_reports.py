"""What workers tell in JSON, and what is refused of it.  How it travels: see the conversations."""

import json
from typing import Any

import pytest

from gearpy.broker import reports
from gearpy.broker.reports import (
    DEPTH_MAX,
    NUMBER_MAX,
    REPORT_BYTES_MAX,
    STATE,
    TEXT_BYTES_MAX,
    read_state,
    read_usage,
)
from gearpy.engine.policy import SECONDS_MAX
from gearpy.engine.statistics import Usage
from gearpy.errors import ArgumentTooLarge, InvalidArgument
from tests.docstrings import run_examples


def test_examples_in_docstrings() -> None:
    result = run_examples(reports)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        (b"{}", Usage()),
        (b'{"cpu_s": null, "memory_bytes": null, "florp": []}', Usage()),
        (b'{"cpu_s": 0, "memory_bytes": 0}', Usage(0.0, 0)),
        (b'{"cpu_s": %d}' % SECONDS_MAX, Usage(float(SECONDS_MAX))),
        (b'{"memory_bytes": %d}' % NUMBER_MAX, Usage(None, NUMBER_MAX)),
        (b"{}".ljust(REPORT_BYTES_MAX), Usage()),
    ],
)
def test_what_a_job_cost(text: bytes, usage: Usage) -> None:
    assert read_usage(text) == usage


BAD_JSON = (
    *(b"", b"[]", b'"x"', b"1", b"{", b"\xff", b'{"a": Infinity}', b"[" * 10_000),
    b'{"florp": %b1%b}' % (b"[" * DEPTH_MAX, b"]" * DEPTH_MAX),
)
BAD_USAGES = (
    b'{"cpu_s": "1"}',
    b'{"cpu_s": [1]}',
    b'{"cpu_s": -0.1}',
    b'{"cpu_s": %d}' % (SECONDS_MAX + 1),
    b'{"cpu_s": false}',
    b'{"memory_bytes": true}',
    b'{"memory_bytes": 1.0}',
    b'{"memory_bytes": -1}',
    b'{"memory_bytes": %d}' % (NUMBER_MAX + 1),
    b'{"memory_bytes": %b}' % (b"9" * 5000),
)


@pytest.mark.parametrize("text", BAD_JSON + BAD_USAGES, ids=lambda text: repr(text)[:40])
def test_what_a_job_can_not_have_cost(text: bytes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_usage(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_a_report_that_is_too_long() -> None:
    text = b"{}".ljust(REPORT_BYTES_MAX + 1)
    with pytest.raises(ArgumentTooLarge, match="what a job cost is told in at most 16,384 bytes"):
        read_usage(text)
    with pytest.raises(ArgumentTooLarge, match="what a worker says of itself is told in at most"):
        read_state(text, 0.0)


EVERYTHING = {
    "pid": 4711,
    "host": "gr\udcf6\udcdfe",
    "group": "thumbs é",
    "supervisor": True,
    "since_s": 1_700_000_000.5,
    "memory_bytes": NUMBER_MAX,
    "jobs_done": 0,
    "jobs_failed": 1,
    "concurrency": 8,
    "stopping": False,
    "interval_s": 2.5,
    "group_state": {"want": 4, "children": [{"pid": 1, "since_s": None, "name": "\ud800"}]},
}


def said(**values: object) -> bytes:
    return json.dumps(values).encode()


def test_what_a_worker_says_of_itself() -> None:
    state = read_state(said(**EVERYTHING, mood="good"), 100.0)
    assert list(EVERYTHING) == list(STATE)
    assert state.told == EVERYTHING
    assert (state.group, state.supervisor, state.interval_s) == ("thumbs é".encode(), True, 2.5)
    assert state.came_s == 100.0
    nothing = read_state(said(pid=None, mood="good"), 100.0)
    assert nothing.told == {}
    assert (nothing.group, nothing.supervisor, nothing.interval_s) == (b"", False, 0.0)


@pytest.mark.parametrize(
    ("values", "age_s", "missed"),
    [
        ({"interval_s": 5}, 15.0, False),
        ({"interval_s": 5}, 15.1, True),
        ({"interval_s": 0}, 1e6, False),
        ({}, 1e6, False),
    ],
)
def test_a_heartbeat_that_does_not_come(values: dict[str, Any], age_s: float, missed: bool) -> None:
    assert read_state(said(**values), 100.0).missed(100.0 + age_s) is missed


BAD_VALUES: dict[str, tuple[object, ...]] = {
    "pid memory_bytes jobs_done jobs_failed concurrency": (
        *(-1, 1.5, True, "1", []),
        NUMBER_MAX + 1,
    ),
    "host group": (1, ["a"], "a\nb", "\ud800", "x" * (TEXT_BYTES_MAX + 1)),
    "supervisor stopping": (0, 1, "true", {}),
    "since_s interval_s": (-1, True, "1", 1e12),
    "group_state": (1, [], "x"),
}
BAD_STATES = [
    (name, value)
    for names, values in BAD_VALUES.items()
    for name in names.split()
    for value in values
]


@pytest.mark.parametrize(("name", "value"), BAD_STATES)
def test_what_a_worker_can_not_be(name: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_state(said(**{name: value}), 0.0)
    sentence = str(refused.value)
    assert sentence.startswith(name)
    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize(
    "text", [*BAD_JSON, b'{"group_state": {"x": 1e400}}', b'{"group_state": {"x": [-1e400]}}']
)
def test_what_no_worker_can_say(text: bytes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_state(text, 0.0)
    assert str(refused.value).isprintable()
