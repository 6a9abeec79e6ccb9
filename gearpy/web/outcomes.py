"""What came of what somebody did: told once, to who did it.

Whoever does something is led back to where it was asked for, by an address with a key in it.  Who
comes with the key is told, and the key is used up: a reload, a bookmark, or somebody else at the
same address is told nothing.
"""

import re
import secrets
from typing import Final, final
from urllib.parse import urlsplit

KEY: Final = "told"  # the name of the key in a query

_KEPT_S: Final = 60.0  # a browser comes back at once; who doesn't, doesn't wait for it
_KEPT: Final = 1000
_KEY: Final = re.compile(rf"(?:^|&){KEY}=[^&]*")


@final
class Outcomes:
    """The sentences that wait for those whom they are for."""

    def __init__(self) -> None:
        self._sentences: dict[str, tuple[float, str]] = {}  # by key, oldest first

    def keep(self, sentence: str, now_s: float) -> str:
        """Keeps a sentence for a moment.  Returns its key."""
        for key, (kept_s, _) in list(self._sentences.items()):
            if abs(now_s - kept_s) <= _KEPT_S and len(self._sentences) < _KEPT:
                break
            del self._sentences[key]
        key = secrets.token_urlsafe(12)
        self._sentences[key] = now_s, sentence
        return key

    def tell(self, key: str, now_s: float) -> str:
        """The sentence of this key, which is used up by that; empty if there is none."""
        kept_s, sentence = self._sentences.pop(key, (now_s, ""))
        return sentence if abs(now_s - kept_s) <= _KEPT_S else ""


def with_key(path: str, key: str) -> str:
    """The address that tells it.

    >>> with_key("/dead?function=f#set", "k"), with_key("/jobs", "k")
    ('/dead?function=f&told=k#set', '/jobs?told=k')
    """
    parts = urlsplit(path)
    query = f"{parts.query}&{KEY}={key}" if parts.query else f"{KEY}={key}"
    return parts._replace(query=query).geturl()


def without_key(query: str) -> str:
    """A query as it was before.

    >>> without_key("function=f&told=k"), without_key("told=k")
    ('function=f', '')
    """
    return _KEY.sub("", query).removeprefix("&")
