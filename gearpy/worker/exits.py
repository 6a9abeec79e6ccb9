"""How processes ended, in words."""

import signal
from contextlib import suppress


def how_it_ended(code: int | None) -> str:
    """For a sentence about a process with this exit code; below 0 it is a signal's number.

    >>> how_it_ended(-11), how_it_ended(3)
    ('was ended by SIGSEGV', 'ended with exit code 3')
    """
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
