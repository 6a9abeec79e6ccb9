"""When a scheduled job runs, clock changes included; and the time of an epoch job."""

import io
import struct
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpy.engine.schedule import (
    Calendar,
    Minute,
    UtcCalendar,
    read_due_s,
    read_minute,
)
from gearpy.errors import InvalidArgument


def zone_of(rule: str) -> ZoneInfo:
    """A time zone from its POSIX rule, so that tests need no time zone data of the machine."""

    def block(version: bytes) -> bytes:
        header = b"TZif" + version + b"\0" * 15 + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
        return header + struct.pack(">lBB", 0, 0, 0) + b"LMT\0"

    return ZoneInfo.from_file(
        io.BytesIO(block(b"2") + block(b"2") + b"\n" + rule.encode() + b"\n"), rule
    )


class ZoneCalendar:
    """The calendar of a time zone."""

    def __init__(self, rule: str) -> None:
        self._zone = zone_of(rule)

    def local(self, time_s: float) -> datetime:
        return datetime.fromtimestamp(time_s, self._zone).replace(tzinfo=None)

    def time_s(self, local: datetime) -> float:
        return local.replace(tzinfo=self._zone).timestamp()


BERLIN = ZoneCalendar("CET-1CEST,M3.5.0,M10.5.0/3")
LORD_HOWE = ZoneCalendar("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0")  # half an hour of summer time
BEIRUT = ZoneCalendar("EET-2EEST,M3.5.0/0,M10.5.0/0")  # its changes are at midnight
SANTIAGO = ZoneCalendar("<-04>4<-03>,M9.1.6/24,M4.1.6/24")
UTC_ = UtcCalendar()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def at(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def next_time(fields: str, now: str, zone: Calendar = UTC_) -> str:
    """``fields`` are minute hour day month weekday, * for an empty one; times are UTC."""
    schedule = read_minute(*(field.replace("*", "").encode() for field in fields.split()))
    return at(schedule.next_time_s(utc(now), zone))


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        ("* * * * *", "2024-05-01 12:00:30", "2024-05-01 12:01:00"),
        ("* * * * *", "2024-05-01 12:00:00", "2024-05-01 12:01:00"),
        ("* * * * *", "2024-12-31 23:59:59", "2025-01-01 00:00:00"),
        ("30 * * * *", "2024-05-01 12:00:00", "2024-05-01 12:30:00"),
        ("30 * * * *", "2024-05-01 12:30:00", "2024-05-01 13:30:00"),
        ("0 6 * * *", "2024-05-01 05:59:59", "2024-05-01 06:00:00"),
        ("0 6 * * *", "2024-05-01 06:00:00", "2024-05-02 06:00:00"),
        ("* 6 * * *", "2024-05-01 06:59:00", "2024-05-02 06:00:00"),
        ("0 0 1 * *", "2024-05-01 00:00:00", "2024-06-01 00:00:00"),
        ("0 0 31 * *", "2024-04-01 00:00:00", "2024-05-31 00:00:00"),
        ("0 0 * 3 *", "2024-04-01 00:00:00", "2025-03-01 00:00:00"),
        ("0 0 * * 0", "2024-05-01 00:00:00", "2024-05-06 00:00:00"),  # Monday
        ("0 0 * * 6", "2024-05-01 00:00:00", "2024-05-05 00:00:00"),  # Sunday
        ("0 0 13 * 4", "2024-01-01 00:00:00", "2024-09-13 00:00:00"),  # both: Friday the 13th
        ("0 0 29 2 *", "2024-02-29 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"),  # 2100 has none
        ("0 0 29 2 0", "2072-03-01 00:00:00", "2112-02-29 00:00:00"),  # 40 years
    ],
)
def test_the_next_minute_that_matches(fields: str, now: str, expected: str) -> None:
    assert next_time(fields, now) == expected


@pytest.mark.parametrize("fields", ["* * 30 2 *", "0 0 31 4 *", "5 5 31 11 0"])
def test_a_day_that_never_comes_is_refused(fields: str) -> None:
    with pytest.raises(InvalidArgument, match="no day"):
        next_time(fields, "2024-01-01 00:00:00")


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        # 31 March 2024: 02:00 becomes 03:00, so there is no half past two.
        ("30 2 * * *", "2024-03-30 12:00:00", "2024-04-01 00:30:00"),
        ("30 * * * *", "2024-03-31 00:30:00", "2024-03-31 01:30:00"),
        ("* * * * *", "2024-03-31 00:59:00", "2024-03-31 01:00:00"),
        ("30 2 31 3 *", "2024-03-30 12:00:00", "2025-03-31 00:30:00"),
        # 27 October 2024: 03:00 becomes 02:00, so there are two half past twos.
        ("30 2 * * *", "2024-10-26 12:00:00", "2024-10-27 00:30:00"),
        ("30 2 * * *", "2024-10-27 00:30:00", "2024-10-27 01:30:00"),
        ("30 2 * * *", "2024-10-27 00:45:00", "2024-10-27 01:30:00"),
        ("30 2 * * *", "2024-10-27 01:30:00", "2024-10-28 01:30:00"),
        ("10 2 * * *", "2024-10-27 00:50:00", "2024-10-27 01:10:00"),
        ("* * * * *", "2024-10-27 00:59:30", "2024-10-27 01:00:00"),
        ("* * * * *", "2024-10-27 00:29:30", "2024-10-27 00:30:00"),
        ("* 2 * * *", "2024-10-27 00:29:30", "2024-10-27 00:30:00"),
        ("0 3 * * *", "2024-10-27 00:30:00", "2024-10-27 02:00:00"),
    ],
)
def test_clock_changes_in_berlin(fields: str, now: str, expected: str) -> None:
    assert next_time(fields, now, BERLIN) == expected


def test_the_day_is_that_of_the_time_zone() -> None:
    assert next_time("0 0 1 7 *", "2024-05-01 00:00:00", BERLIN) == "2024-06-30 22:00:00"
    assert next_time("0 0 * * 0", "2024-05-04 00:00:00", BERLIN) == "2024-05-05 22:00:00"


def minute_by_minute(schedule: Minute, now_s: float, zone: Calendar, hours: int) -> float | None:
    """The same as plainly as possible: every minute of some hours is looked at."""
    first_s = (now_s // 60 + 1) * 60
    for n in range(hours * 60):
        local = zone.local(first_s + n * 60)
        if (
            schedule.minute in (None, local.minute)
            and schedule.hour in (None, local.hour)
            and schedule.day in (None, local.day)
            and schedule.month in (None, local.month)
            and schedule.weekday in (None, local.weekday())
        ):
            return first_s + n * 60
    return None


def field(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(low, high))


CHANGES = [
    (BERLIN, utc("2024-03-31 01:00")),
    (BERLIN, utc("2024-10-27 01:00")),
    (LORD_HOWE, utc("2024-04-06 15:00")),
    (LORD_HOWE, utc("2024-10-05 15:30")),
    (BEIRUT, utc("2024-03-30 22:00")),
    (BEIRUT, utc("2024-10-26 21:00")),
    (SANTIAGO, utc("2024-04-07 03:00")),
    (SANTIAGO, utc("2024-09-08 04:00")),
    (UTC_, utc("2024-02-29 00:00")),
]


@settings(max_examples=200, deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    minutes_off=st.one_of(st.integers(-70, 70), st.integers(-26 * 60, 6 * 60)),
    seconds=st.sampled_from([0, 1, 59]),
    minute=st.one_of(st.none(), st.sampled_from([0, 1, 15, 30, 59])),
    hour=st.one_of(st.none(), st.sampled_from([0, 1, 2, 3, 23])),
    weekday=field(0, 6),
)
def test_as_if_every_minute_was_looked_at(
    change: tuple[Calendar, float],
    minutes_off: int,
    seconds: int,
    minute: int | None,
    hour: int | None,
    weekday: int | None,
) -> None:
    zone, change_s = change
    now_s = change_s + minutes_off * 60 + seconds
    schedule = Minute(minute, hour, None, None, weekday)
    found_s = schedule.next_time_s(now_s, zone)
    expected_s = minute_by_minute(schedule, now_s, zone, hours=49)
    if expected_s is None:
        assert found_s > now_s + 49 * 3600
    else:
        assert found_s == expected_s


class CountingCalendar:
    """A calendar that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._calendar = UtcCalendar()

    def local(self, time_s: float) -> datetime:
        self.asked += 1
        return self._calendar.local(time_s)

    def time_s(self, local: datetime) -> float:
        self.asked += 1
        return self._calendar.time_s(local)


def test_every_minute_is_cheap_to_find() -> None:
    """A stranger may ask for it with every packet."""
    zone = CountingCalendar()
    Minute(None, None, None, None, None).next_time_s(utc("2024-05-01 03:30:00"), zone)
    assert zone.asked < 1000


@pytest.mark.parametrize(
    ("place", "name", "bad"),
    [
        (0, "minute", b"60"),
        (0, "minute", b"-1"),
        (0, "minute", b"*"),
        (0, "minute", b"007"),
        (0, "minute", b" 1"),
        (1, "hour", b"24"),
        (2, "day of month", b"0"),
        (2, "day of month", b"32"),
        (3, "month", b"0"),
        (3, "month", b"13"),
        (4, "day of week", b"7"),
        (4, "day of week", "²".encode()),
    ],
)
def test_a_bad_field_is_named(place: int, name: str, bad: bytes) -> None:
    fields = [b"", b"", b"", b"", b""]
    fields[place] = bad
    with pytest.raises(InvalidArgument, match=f"the {name} of"):
        read_minute(*fields)


def test_good_fields() -> None:
    assert read_minute(b"", b"", b"", b"", b"") == Minute(None, None, None, None, None)
    assert read_minute(b"59", b"23", b"31", b"12", b"6") == Minute(59, 23, 31, 12, 6)
    assert read_minute(b"00", b"0", b"01", b"1", b"0") == Minute(0, 0, 1, 1, 0)


@pytest.mark.parametrize(
    ("text", "due_s"),
    [
        (b"0", 0.0),
        (b"1700000000", 1.7e9),
        (b"-5", -5.0),
        (b"253402300799", 253_402_300_799.0),
    ],
)
def test_the_time_of_an_epoch_job(text: bytes, due_s: float) -> None:
    assert read_due_s(text) == due_s


@pytest.mark.parametrize(
    "text", [b"", b"-", b"soon", b"1.5", b"1e9", b"+1", b" 1", b"1 ", b"0x10", b"--1", b"nan"]
)
def test_an_epoch_that_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="number of seconds"):
        read_due_s(text)


@pytest.mark.parametrize("text", [b"253402300800", b"9" * 13, b"9" * 5000])
def test_an_epoch_beyond_the_calendar_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="9999"):
        read_due_s(text)


def test_utc_needs_no_zone() -> None:
    local = UTC_.local(utc("2024-05-01 12:00:00"))
    assert local == datetime(2024, 5, 1, 12)
    assert local.tzinfo is None
    assert UTC_.time_s(local + timedelta(minutes=1)) == utc("2024-05-01 12:01:00")
