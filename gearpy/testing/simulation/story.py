"""What happened in a world, in words."""

from collections import deque
from hashlib import blake2b
from typing import Final, final

from gearpy.testing.simulation.clock import START_S, Clock

LINES_MAX: Final = 100_000


@final
class Story:
    """Who did what, and when.  Two runs of one seed tell the same story to the last byte."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: deque[str] = deque(maxlen=LINES_MAX)
        self._hash = blake2b(digest_size=16)

    def tell(self, who: str, words: str) -> None:
        """One more line."""
        line = f"{self._clock.now_s - START_S:11.6f} {who:<12} {words}"
        self._lines.append(line)
        self._hash.update(line.encode("utf-8", "backslashreplace"))

    @property
    def fingerprint(self) -> str:
        """The same for the same story."""
        return self._hash.hexdigest()

    def lines(self, count: int | None = None) -> list[str]:
        """The last ``count`` lines, or all that are kept."""
        lines = list(self._lines)
        return lines if count is None else lines[-count:]


def shown(name: bytes) -> str:
    """Bytes as a story shows them: never long."""
    text = name.decode("ascii", "backslashreplace")
    return text if len(text) <= 40 else f"{text[:36]}... ({len(name)} bytes)"
