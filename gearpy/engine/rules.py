"""What a server is told about all jobs, and checks of what strangers send."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from gearpy.errors import ArgumentTooLarge, InvalidArgument

UNIQUE_BYTES_MAX: Final = 64  # gearmand's GEARMAN_MAX_UNIQUE_SIZE
FUNCTION_BYTES_MAX: Final = 255
HANDLE_BYTES_MAX: Final = 63  # gearmand's clients keep 64 bytes with a NUL at the end

FOR_EVER: Final = -1

TimeoutUnit = Literal["ms", "s"]
TIMEOUT_MS_MIN: Final = 1000  # shorter ones are raised, as in gearmand


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an operator decides about jobs."""

    handle_prefix: bytes = b"H:localhost"
    job_retries: int = FOR_EVER  # attempts after a lost worker or a timeout
    wakes_per_job: int = 1  # workers to wake for a job; more than one is for impatient fleets
    wake_patience_s: float = 0.1  # how long a woken worker may take before another is woken
    functions_max: int = 200_000  # names come from strangers, and each takes about 1 kB for ever
    worker_functions_max: int = 50_000  # fleets of twenty thousand on one worker exist
    copies_max: int = 1_000  # submissions of one client that wait for the same job


_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def check_function(name: bytes) -> None:
    """Refuses a function name that is too long, or that could forge lines of the text reports.

    A tab is allowed, and escaped in reports: Perl's clients put one between a prefix and a name.
    """
    if len(name) > FUNCTION_BYTES_MAX:
        raise ArgumentTooLarge(
            f"a function name has at most {FUNCTION_BYTES_MAX} bytes; this one has {len(name):,}"
        )
    if _CONTROL_BUT_TAB.search(name):
        raise InvalidArgument("a function name may not hold control characters other than tab")


def check_unique(unique: bytes) -> None:
    """Refuses a unique that is too long, in gearmand's words."""
    if len(unique) > UNIQUE_BYTES_MAX:
        raise ArgumentTooLarge("Unique value too large")


def check_printable(what: str, name: bytes) -> None:
    """Refuses control characters: text reports are made of tabs and lines."""
    if _CONTROL.search(name):
        raise InvalidArgument(f"{what} may not hold control characters")


def timeout_s(timeout: int, unit: TimeoutUnit) -> float:
    """The seconds that a worker means with CAN_DO_TIMEOUT; 0 for no timeout.

    >>> timeout_s(30, "s"), timeout_s(30, "ms"), timeout_s(1500, "ms"), timeout_s(-1, "ms")
    (30.0, 1.0, 1.5, 0.0)
    """
    if timeout <= 0:
        return 0.0
    return float(timeout) if unit == "s" else max(timeout, TIMEOUT_MS_MIN) / 1000


def is_short(timeout: int, unit: TimeoutUnit) -> bool:
    """Whether it looks like seconds where milliseconds are read, and was raised."""
    return unit == "ms" and 0 < timeout < TIMEOUT_MS_MIN


def may_retry(losses: int, retries: int) -> bool:
    """Whether a job that was lost ``losses`` times may run once more.

    >>> may_retry(1, FOR_EVER), may_retry(1, 0), may_retry(1, 1), may_retry(2, 1)
    (True, False, True, False)
    """
    return retries < 0 or losses <= retries
