"""Time spans as people type them: 90, 30s, 5m, 2h or 7d."""

import re
from typing import Final

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION_S_MAX: Final = 1_000_000_000


def read_duration(text: str) -> float:
    """A number of seconds that is written with or without a unit.

    Raises ValueError with a sentence that says what is wrong.

    >>> [read_duration(text) for text in ("90", "30s", "1.5m", "2h", "7 d", "1w")]
    [90.0, 30.0, 90.0, 7200.0, 604800.0, 604800.0]
    """
    found = _DURATION.fullmatch(text.strip())
    duration_s = float(found[1]) * _UNITS_S[found[2]] if found else -1.0
    if not 0 <= duration_s <= _DURATION_S_MAX:
        raise ValueError(f"{text!r} is no duration; write it like 90, 30s, 5m, 2h or 7d")
    return duration_s
