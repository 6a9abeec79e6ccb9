"""What workers tell in JSON, and what is refused of it.  How it travels: see the conversations."""

import doctest

import pytest

from gearpy.broker import reports
from gearpy.broker.reports import MEMORY_BYTES_MAX, REPORT_BYTES_MAX, read_usage
from gearpy.engine.policy import SECONDS_MAX
from gearpy.engine.statistics import Usage
from gearpy.errors import ArgumentTooLarge, InvalidArgument


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(reports)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        (b"{}", Usage()),
        (b'{"cpu_s": null, "memory_bytes": null, "florp": []}', Usage()),
        (b'{"cpu_s": 0, "memory_bytes": 0}', Usage(0.0, 0)),
        (b'{"cpu_s": %d}' % SECONDS_MAX, Usage(float(SECONDS_MAX))),
        (b'{"memory_bytes": %d}' % MEMORY_BYTES_MAX, Usage(None, MEMORY_BYTES_MAX)),
        (b"{}".ljust(REPORT_BYTES_MAX), Usage()),
    ],
)
def test_what_a_job_cost(text: bytes, usage: Usage) -> None:
    assert read_usage(text) == usage


BAD_JSON = (b"", b"[]", b'"x"', b"1", b"{", b"\xff", b'{"a": Infinity}', b"[" * 10_000)
BAD_USAGES = (
    b'{"cpu_s": "1"}',
    b'{"cpu_s": [1]}',
    b'{"cpu_s": -0.1}',
    b'{"cpu_s": %d}' % (SECONDS_MAX + 1),
    b'{"cpu_s": false}',
    b'{"memory_bytes": true}',
    b'{"memory_bytes": 1.0}',
    b'{"memory_bytes": -1}',
    b'{"memory_bytes": %d}' % (MEMORY_BYTES_MAX + 1),
    b'{"memory_bytes": %b}' % (b"9" * 5000),
)


@pytest.mark.parametrize("text", BAD_JSON + BAD_USAGES, ids=lambda text: repr(text)[:40])
def test_what_a_job_can_not_have_cost(text: bytes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_usage(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_a_report_that_is_too_long() -> None:
    with pytest.raises(ArgumentTooLarge, match="what a job cost is told in at most 16,384 bytes"):
        read_usage(b"{}".ljust(REPORT_BYTES_MAX + 1))
