"""The one place that reads clocks."""

import time
from datetime import UTC, datetime
from typing import Protocol

_MICROSECOND_S = 1e-6
_HANDLES_SINCE = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class Clock(Protocol):
    """What tells a server the time."""

    def now_s(self) -> float:
        """Seconds since the epoch that never go backwards."""


class SystemClock:
    """This machine's clock.

    The time of day is read once; from then on a monotonic clock counts.  So deadlines are right and
    the engine's time goes forward whatever is done to the time of day, and timestamps stay
    comparable with those of clients and of earlier runs.
    """

    def __init__(self) -> None:
        self._monotonic_s = time.monotonic  # looked up once: it is asked in every turn
        self._offset_s = time.time() - self._monotonic_s()

    def now_s(self) -> float:
        return self._offset_s + self._monotonic_s()


def first_handle_number(now_s: float) -> int:
    """The number of a server's first handle: the microseconds since 2026 began.

    A server makes fewer than a million jobs a second, so the numbers of one that starts later are
    higher, and a handle never means two jobs, unless the time of day is put back in between.
    """
    return max(1, int((now_s - _HANDLES_SINCE) / _MICROSECOND_S))


class LocalCalendar:
    """The time zone of this machine, for SUBMIT_JOB_SCHED."""

    def local(self, time_s: float) -> datetime:
        return datetime.fromtimestamp(time_s)

    def time_s(self, local: datetime) -> float:
        return local.timestamp()
