"""Cron expressions, read by cronsim, in time zones of the system."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from gearpy.engine.policy import shown
from gearpy.errors import InvalidArgument


class CronTicks:
    """Reads five fields as Debian's cron does, and as it does when clocks are put forward or back:
    what falls into the lost hour comes right behind it; what comes at one time of day comes once in
    the double hour, and what comes every few minutes goes on through both."""

    def next_s(self, cron: str, timezone: str, after_s: float) -> float:
        try:
            zone = ZoneInfo(timezone)
        except (OSError, ValueError, KeyError):
            raise InvalidArgument(
                f"timezone is {shown(timezone)}; it must be one like UTC or Europe/Berlin"
            ) from None
        if len(cron.split()) != 5:
            raise InvalidArgument(
                f"cron is {shown(cron)}; it must be minute, hour, day of the month, month and"
                ' day of the week, like "0 8 * * 1-5"'
            )
        try:
            after = datetime.fromtimestamp(after_s, zone)
        except (OverflowError, OSError, ValueError):  # no calendar goes that far
            return math.inf
        try:
            return next(CronSim(cron, after)).timestamp()
        except (StopIteration, OverflowError):
            return math.inf
        except CronSimError as error:
            raise InvalidArgument(f"cron is {shown(cron)}: {error}") from None
