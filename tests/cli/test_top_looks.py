"""What a look at a server says, and what two of them differ by."""

from typing import Any

from gearpy.cli.top_looks import Function, Look, function_of, plain_function_of, rated
from gearpy.protocol.admin import StatusRow
from tests.cli.functions import function


def test_what_is_read_of_both_kinds_of_servers() -> None:
    counts = {"completed": 1, "failed": 2, "dead": 4, "cancelled": 8, "expired": 16}
    row: dict[str, Any] = {
        "function": "f",
        "queued": 1,
        "running": 2,
        "workers": 3,
        "delayed": 4,
        "retrying": 5,
        "dead": 6,
        "oldest_queued_s": 7.5,
        "paused": True,
        "draining": True,
        "counts": {**counts, "submitted": 100, "started": 100, "retried": 100},
    }
    assert function_of(row) == Function("f", 1, 2, 3, 9, 6, 7.5, 31, 1, 8, state="paused, draining")
    assert function_of({**row, "paused": False, "draining": False}).state == ""
    assert plain_function_of(StatusRow(b"g\xff", 5, 2, 3)) == Function("g\udcff", 3, 2, 3)
    # gearmand may count a job as running that it does not count in all.
    assert plain_function_of(StatusRow(b"g", 0, 1, 1)).queued == 0


def test_rates_are_what_two_looks_differ_by() -> None:
    before = Look([function("f", ended=10), function("g", ended=5)], 100.0, "1", pid=7)
    after = Look(
        [function("f", ended=25), function("g", ended=4), function("new", ended=4)],
        102.0,
        "1",
        pid=7,
    )
    assert [each.rate for each in rated(after, before).functions] == [7.5, None, 2.0]
    assert rated(after, None) == after
    assert rated(after._replace(pid=8), before).functions == after.functions  # it began anew
    assert rated(after._replace(at_s=100.0), before).functions == after.functions
    plain = Look([function("f")], 103.0, pid=7)
    assert rated(plain, after).functions == plain.functions
