"""Who did what, by whatever way: for the log, and for those who look later."""

import logging
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, final

from gearpy.protocol.codec import packed
from gearpy.server.clock import Clock

log: Final = logging.getLogger("gearpy.audit")

_KEPT: Final = 1000
_SHOWN_CHARACTERS: Final = 300


class Entry(NamedTuple):
    """One thing that somebody did."""

    time_s: float
    who: str
    did: str  # the verb
    what: str  # its fields, as JSON
    outcome: str
    succeeded: bool


@final
class Audit:
    """The last things that operators did, or wanted to; all of them go to the log, too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=_KEPT)

    def add(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        """Somebody did something, or wanted to: ``outcome`` says what came of it."""
        try:
            what = packed(fields).decode()
        except (ValueError, RecursionError):  # no number, which is why it was refused
            what = repr(fields)
        what, outcome = _cut(what), _cut(outcome)
        entry = Entry(self._clock.now_s(), who, did, what, outcome, succeeded)
        self._entries.appendleft(entry)
        log.info("%s: %s %s: %s", who, did, what, outcome)

    def entries(self) -> list[Entry]:
        """What is kept, newest first."""
        return list(self._entries)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."
