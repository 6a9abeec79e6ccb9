"""Who did what over HTTP: for the log, and for the page."""

import logging
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple, final

from gearpy.protocol.codec import packed

log: Final = logging.getLogger("gearpy.audit")

# Who makes the request that is handled: a name that came with the token, and an address.
asker: Final[ContextVar[str]] = ContextVar("asker", default="somebody")

_KEPT: Final = 1000
_MOMENT_S: Final = 3.0
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
    """The last things that were done, newest first; all of them go to the log, too."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)

    def add(
        self,
        time_s: float,
        who: str,
        did: str,
        fields: Mapping[str, object],
        outcome: str,
        succeeded: bool,
    ) -> None:
        """Somebody did something, or wanted to: ``outcome`` says what came of it."""
        try:
            what = packed(fields).decode()
        except (ValueError, RecursionError):  # no number, which is why it was refused
            what = repr(fields)
        what, outcome = _cut(what), _cut(outcome)
        self._entries.appendleft(Entry(time_s, who, did, what, outcome, succeeded))
        log.info("%s: %s %s: %s", who, did, what, outcome)

    def just_done(self, now_s: float) -> Entry | None:
        """What whoever asks has done a moment ago, if anything."""
        newest = self._entries[0] if self._entries else None
        if (
            newest is None
            or not newest.succeeded
            or newest.who != asker.get()
            or now_s - newest.time_s > _MOMENT_S
        ):
            return None
        return newest

    def entries(self) -> list[Entry]:
        """What is kept, newest first."""
        return list(self._entries)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."
