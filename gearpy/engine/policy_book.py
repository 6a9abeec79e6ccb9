"""Which policy counts for which function: names, shell patterns, and how exact they are."""

import fnmatch
import re
from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, final

from gearpy.engine.policy import Policy
from gearpy.engine.rules import FUNCTION_BYTES_MAX, check_function
from gearpy.errors import InvalidArgument

PATTERNS_MAX: Final = 1_000  # of one origin

Origin = Literal["own", "file", "set"]

_SPECIAL: Final = re.compile(rb"[*?[]")
_TOKEN: Final = re.compile(rb"\[!?\]?[^]]*\]|.", re.DOTALL)


def is_pattern(name: bytes) -> bool:
    """Whether it may stand for more than the function of that name.

    >>> is_pattern(b"resize"), is_pattern(b"resize_*"), is_pattern(b"[ab]")
    (False, True, True)
    """
    return _SPECIAL.search(name) is not None


def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """A test of names against a shell pattern; upper and lower case differ.

    >>> matches = matcher(b"image.*")
    >>> matches(b"image.resize"), matches(b"Image.resize"), matches(b"imagexresize")
    (True, False, False)
    """
    if not is_pattern(pattern):
        return pattern.__eq__
    match = re.compile(fnmatch.translate(pattern.decode("latin-1"))).match
    return lambda name: match(name.decode("latin-1")) is not None


def exactness(pattern: bytes) -> tuple[int, int, bytes]:
    """A key that sorts patterns: the most exact first.

    That is the one with more characters that stand for themselves, then the one with fewer stars,
    and then by name, so that the order is never by chance.

    >>> sorted([b"*", b"image.*", b"image.?", b"[ij]mage.?"], key=exactness)
    [b'image.?', b'image.*', b'[ij]mage.?', b'*']
    """
    tokens = _TOKEN.findall(pattern)
    literal = sum(1 for token in tokens if len(token) == 1 and token not in b"*?")
    return -literal, tokens.count(b"*"), pattern


@final
class PolicyBook:
    """Policies by function name or shell pattern: the server's own, those of the settings file, and
    those that operators set.

    What is set for a pattern hides what the file says for the same pattern.  Several patterns that
    mean one function complete each other, the most exact one first.
    """

    __slots__ = ("_file", "_matchers", "_merged", "_own", "_patterns", "_set")

    def __init__(
        self,
        from_file: Mapping[bytes, Policy] | None = None,
        own: Mapping[bytes, Policy] | None = None,
    ) -> None:
        """``own`` are the server's, for functions by their names; all others count before them.

        Raises InvalidArgument for a pattern that can't be one, or if there are too many.
        """
        self._own = dict(own or {})
        self._file = dict(from_file or {})
        self._set: dict[bytes, Policy] = {}
        self._matchers: dict[bytes, Callable[[bytes], bool]] = {}
        self._patterns: list[bytes] = []  # those that aren't plain names, the most exact first
        # Functions under the same patterns share one policy.
        self._merged: dict[tuple[bytes, ...], Policy] = {}
        if len(self._file) > PATTERNS_MAX:
            raise InvalidArgument(_too_many(len(self._file)))
        for pattern in self._file:
            self._learn(pattern)

    def set(self, pattern: bytes, policy: Policy) -> None:
        """From now on it counts for the functions that the pattern means.

        Raises InvalidArgument for a pattern that can't be one, or if there are too many.
        """
        if pattern not in self._set and len(self._set) >= PATTERNS_MAX:
            raise InvalidArgument(_too_many(len(self._set) + 1))
        self._learn(pattern)
        self._set[pattern] = policy
        self._merged.clear()

    def take_back(self, pattern: bytes) -> bool:
        """Forgets what was set for a pattern; the file's policy for it counts again, if there is
        one.  Whether something had been set."""
        if self._set.pop(pattern, None) is None:
            return False
        if pattern not in self._file:
            self._unlearn(pattern)
        self._merged.clear()
        return True

    def of(self, function: bytes) -> Policy | None:
        """What counts for a function; None if nobody decided anything about it."""
        matchers = self._matchers
        found = tuple(pattern for pattern in self._patterns if matchers[pattern](function))
        if function in matchers and not is_pattern(function):
            found = (function, *found)
        own = self._own.get(function)
        if not found:
            return own
        merged = self._merged.get(found)
        if merged is None:
            merged = self._merged[found] = self._merge(found)
        return merged if own is None else merged.over(own)

    def hidden(self, pattern: bytes) -> Policy | None:
        """What the file says for a pattern, if what was set for the same one hides it."""
        return self._file.get(pattern) if pattern in self._set else None

    def items(self) -> Iterator[tuple[bytes, Origin, Policy]]:
        """Every pattern that counts, by name, where its policy comes from, and the policy."""
        for pattern in sorted({*self._matchers, *self._own}):
            if pattern in self._set:
                yield pattern, "set", self._set[pattern]
            elif pattern in self._file:
                yield pattern, "file", self._file[pattern]
            else:
                yield pattern, "own", self._own[pattern]

    def _merge(self, patterns: tuple[bytes, ...]) -> Policy:
        merged = Policy()
        for pattern in patterns:
            merged = merged.over(
                self._set[pattern] if pattern in self._set else self._file[pattern]
            )
        return merged

    def _learn(self, pattern: bytes) -> None:
        if pattern not in self._matchers:
            check_pattern(pattern)
            self._matchers[pattern] = matcher(pattern)
            if is_pattern(pattern):
                insort(self._patterns, pattern, key=exactness)

    def _unlearn(self, pattern: bytes) -> None:
        del self._matchers[pattern]
        if is_pattern(pattern):
            self._patterns.remove(pattern)


def check_pattern(pattern: bytes) -> None:
    """Refuses, with InvalidArgument, what can't be a function's name or a pattern of names."""
    if not pattern:
        raise InvalidArgument("a policy needs the name of a function, or a pattern like image.*")
    if len(pattern) > FUNCTION_BYTES_MAX:
        raise InvalidArgument(
            f"a function name or pattern has at most {FUNCTION_BYTES_MAX} bytes; this one has"
            f" {len(pattern):,}"
        )
    check_function(pattern)


def _too_many(count: int) -> str:
    return (
        f"policies for {count:,} names and patterns are too many; {PATTERNS_MAX:,} are allowed:"
        " let one pattern mean several functions"
    )
