"""Cron expressions in time zones, where clocks are put forward and back, too."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gearpy.errors import InvalidArgument
from gearpy.server.ticks import CronTicks

BERLIN = "Europe/Berlin"


def ticks(cron: str, timezone: str, after: str, count: int) -> list[str]:
    """The next ones, in local time with its offset."""
    zone = ZoneInfo(timezone)
    time_s = datetime.fromisoformat(after).replace(tzinfo=zone).timestamp()
    found = []
    for _ in range(count):
        time_s = CronTicks().next_s(cron, timezone, time_s)
        found.append(datetime.fromtimestamp(time_s, zone).strftime("%m-%d %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("cron", "timezone", "after", "expected"),
    [
        ("0 8 * * *", "UTC", "2026-01-01 08:00", ["01-02 08:00+0000", "01-03 08:00+0000"]),
        ("0 8 * * 1-5", "UTC", "2026-01-02 09:00", ["01-05 08:00+0000"]),
        ("*/20 * * * *", "Asia/Kolkata", "2026-01-01 00:05", ["01-01 00:20+0530"]),
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", ["02-29 00:00+0000"]),
        ("0 0 1 JAN MON", "UTC", "2026-01-02 00:00", ["01-05 00:00+0000"]),
        # Clocks go forward on 29 March at 2:00: that hour is not there, its ticks come behind it.
        (
            "30 2 * * *",
            BERLIN,
            "2026-03-28 12:00",
            ["03-29 03:00+0200", "03-30 02:30+0200"],
        ),
        (
            "*/30 * * * *",
            BERLIN,
            "2026-03-29 01:15",
            ["03-29 01:30+0100", "03-29 03:00+0200", "03-29 03:30+0200"],
        ),
        # Clocks go back on 25 October at 3:00: that hour comes twice, a daily tick once.
        (
            "30 2 * * *",
            BERLIN,
            "2026-10-24 12:00",
            ["10-25 02:30+0200", "10-26 02:30+0100"],
        ),
        (
            "*/30 * * * *",
            BERLIN,
            "2026-10-25 01:45",
            [
                "10-25 02:00+0200",
                "10-25 02:30+0200",
                "10-25 02:00+0100",
                "10-25 02:30+0100",
                "10-25 03:00+0100",
            ],
        ),
    ],
)
def test_ticks(cron: str, timezone: str, after: str, expected: list[str]) -> None:
    assert ticks(cron, timezone, after, len(expected)) == expected


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *", "0 0 30 2 *", "@daily"]
)
def test_what_is_no_cron_expression_is_said(cron: str) -> None:
    with pytest.raises(InvalidArgument, match="cron is"):
        CronTicks().next_s(cron, "UTC", 0.0)


@pytest.mark.parametrize("timezone", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_what_is_no_time_zone_is_said(timezone: str) -> None:
    with pytest.raises(InvalidArgument, match="timezone is"):
        CronTicks().next_s("* * * * *", timezone, 0.0)


def test_what_is_beyond_all_calendars_never_comes() -> None:
    assert CronTicks().next_s("* * * * *", "UTC", 1e18) == math.inf
