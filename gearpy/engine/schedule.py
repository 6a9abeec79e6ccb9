"""The next minute that matches, for SUBMIT_JOB_SCHED.

gearmand refuses that packet.  Its fields are those of the protocol: minute, hour, day of month,
month, day of week with 0 for Monday.  All that are given must match, an empty one matches
everything; the job runs once.
"""

import calendar
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

from gearpy.errors import InvalidArgument


class Calendar(Protocol):
    """The time zone of the server."""

    def local(self, time_s: float) -> datetime:
        """The local time, without a zone, of seconds since the epoch."""

    def time_s(self, local: datetime) -> float:
        """Seconds since the epoch of a local time; its ``fold`` says which of two it is."""


class UtcCalendar:
    """A time zone without surprises."""

    def local(self, time_s: float) -> datetime:
        return datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None)

    def time_s(self, local: datetime) -> float:
        return local.replace(tzinfo=UTC).timestamp()


_FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
_CLOCK_CHANGE: Final = timedelta(hours=3)  # no zone changes its clock by more
_SOON_S: Final = 60  # nothing can match earlier than within the next minute
_MONTHS_AHEAD: Final = 12 * 41  # 29 February on a given weekday can be 40 years away


@dataclass(frozen=True, slots=True)
class Minute:
    """When to run; None matches everything."""

    minute: int | None
    hour: int | None
    day: int | None
    month: int | None
    weekday: int | None

    def next_time_s(self, now_s: float, zone: Calendar) -> float:
        """Seconds since the epoch of the first minute after ``now_s`` that matches.

        A minute that a change of the clock skips does not match; one that happens twice matches
        twice. Raises InvalidArgument if there is no such day, as with 30 February.
        """
        today = zone.local(now_s)
        # The clock may have been put back by now: then earlier minutes of today still come.
        earliest = today - _CLOCK_CHANGE
        for day in self._days(today.date() - timedelta(days=1)):
            first_s = math.inf
            first_local: datetime | None = None
            for local in self._minutes(day):
                if local < earliest:
                    continue
                if first_local is not None and local > first_local + _CLOCK_CHANGE:
                    break  # what comes now is later, whatever was done to the clock
                for fold in (0, 1):
                    time_s = zone.time_s(local.replace(fold=fold))
                    if now_s < time_s < first_s and zone.local(time_s).replace(fold=0) == local:
                        first_s = time_s
                        first_local = first_local or local
                if first_s <= now_s + _SOON_S:
                    break
            if first_s < math.inf:
                return first_s
        raise InvalidArgument("no day matches this schedule")

    def _days(self, first: date) -> Iterator[date]:
        """The days that match, from ``first`` on."""
        year, month = first.year, first.month
        for _ in range(_MONTHS_AHEAD):
            if self.month in (None, month):
                for number in range(1, calendar.monthrange(year, month)[1] + 1):
                    day = date(year, month, number)
                    if (
                        day >= first
                        and self.day in (None, number)
                        and self.weekday in (None, day.weekday())
                    ):
                        yield day
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)

    def _minutes(self, day: date) -> Iterator[datetime]:
        """The minutes of a day that match, in the order of the clock."""
        hours = range(24) if self.hour is None else (self.hour,)
        minutes = range(60) if self.minute is None else (self.minute,)
        for hour in hours:
            for minute in minutes:
                yield datetime(day.year, day.month, day.day, hour, minute)


def read_minute(minute: bytes, hour: bytes, day: bytes, month: bytes, weekday: bytes) -> Minute:
    """The five fields of a packet.  Raises InvalidArgument that names the one that is wrong."""
    values: list[int | None] = []
    for text, (name, low, high) in zip((minute, hour, day, month, weekday), _FIELDS, strict=True):
        if not text:
            values.append(None)
        elif text.isdigit() and len(text) <= 2 and low <= int(text) <= high:
            values.append(int(text))
        else:
            raise InvalidArgument(
                f"the {name} of a schedule is empty or a number from {low} to {high}"
            )
    return Minute(*values)


_DUE_S_MAX: Final = 253_402_300_799  # the last second of the year 9999


def read_due_s(text: bytes) -> float:
    """The time of SUBMIT_JOB_EPOCH: whole seconds since the epoch, negative ones included.

    Raises InvalidArgument if it is not a number, or beyond the year 9999.
    """
    digits = text[1:] if text.startswith(b"-") else text
    if not digits.isdigit():
        raise InvalidArgument("the time of an epoch job is a number of seconds since 1970")
    if len(digits) > 12 or int(digits) > _DUE_S_MAX:
        raise InvalidArgument("the time of an epoch job is beyond the year 9999")
    return float(text)
