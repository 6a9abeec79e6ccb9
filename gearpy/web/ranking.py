"""All functions in some order, a page of them at a time, however many there are."""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, final

from gearpy.engine.policy_book import matcher
from gearpy.protocol.codec import decoded
from gearpy.web.desk import Desk

NAME: Final = "name"

_SLICE: Final = 200  # functions whose numbers are taken, before others get their turn
_MATCHED: Final = 10_000  # names, before others get theirs
# With 20,000 functions, to find the first 50 and to show them was measured to take 35 ms, and 55 ms
# with a pattern, if their numbers are there.  To take the numbers of all takes 0.4 s, though in
# slices of 5 ms.  So they are taken once for all who look, and kept for so many times as long as
# that took: it costs a twentieth of the time at most.  What is shown of the 50 is always new.
_KEPT_TIMES: Final = 20
_NONE: Final = float("-inf")


Numbers = tuple[float, ...]
Taker = Callable[[Desk, str], Numbers]

_OF_FUNCTION: Final = ("queued", "running", "delayed", "dead", "workers", "oldest")


class Order(NamedTuple):
    """By which column; the highest number is the first one, and the first name, unless it is
    turned."""

    column: str
    turned: bool = False


def read_order(text: str) -> Order | None:
    """An order as it stands in an address.  None: that of first sight.

    >>> read_order("dead"), read_order("-name"), read_order("beauty")
    (Order(column='dead', turned=False), Order(column='name', turned=True), None)
    """
    column = text.removeprefix("-")
    known = column == NAME or column in _TAKERS
    return Order(column, text.startswith("-")) if known else None


class Part(NamedTuple):
    """Some of the names, and where to go on; None: that is all."""

    names: list[str]
    next: int | None


@final
class Ranking:
    """Finds functions.  What it takes long to find out, it keeps for a while."""

    def __init__(self, desk: Desk, kept_times: float = _KEPT_TIMES) -> None:
        self._desk = desk
        self._kept_times = kept_times
        self._taken: dict[Taker, _Taken] = {}
        self._taking: defaultdict[Taker, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def part(self, asked: str, order: Order | None, offset: int, count: int) -> Part:
        """So many of the functions that are asked for, from an offset on.

        A word stands for all names that hold it, and the function that has it for its name is
        always the first one.
        """
        names = await self._found(asked)
        first = [asked] if self._desk.function(asked) is not None else []
        if first:
            names = [name for name in names if name != asked.encode("utf-8", "surrogateescape")]
        wanted = offset + count - len(first) + 1  # and one more, to know whether there is one
        if order is not None:
            names = await self._ordered(names, order, wanted)
        ordered = [*first, *map(decoded, names[:wanted])]
        rows = ordered[offset : offset + count]
        if order is not None and order.column != NAME:
            head = rows[:1] if first and not offset else []
            rows = head + self._anew(rows[len(head) :], order)
        return Part(rows, offset + count if len(ordered) > offset + count else None)

    async def _found(self, asked: str) -> list[bytes]:
        pattern = _pattern(asked)
        names = self._desk.names()
        if pattern == b"*":
            return names
        matches, found = matcher(pattern), list[bytes]()
        for start in range(0, len(names), _MATCHED):
            found += filter(matches, names[start : start + _MATCHED])
            await asyncio.sleep(0)
        return found

    async def _ordered(self, names: list[bytes], order: Order, wanted: int) -> list[bytes]:
        if order.column == NAME:
            return (heapq.nlargest if order.turned else heapq.nsmallest)(wanted, names)
        taker, at = _TAKERS[order.column]
        numbers = await self._numbers(taker)
        pick = heapq.nsmallest if order.turned else heapq.nlargest
        return pick(wanted, names, key=lambda name: numbers[name][at] if name in numbers else _NONE)

    def _anew(self, names: list[str], order: Order) -> list[str]:
        """These few by what is so now, which is what is shown."""
        taker, at = _TAKERS[order.column]
        return sorted(names, key=lambda name: taker(self._desk, name)[at], reverse=not order.turned)

    async def _numbers(self, taker: Taker) -> Mapping[bytes, Numbers]:
        async with self._taking[taker]:  # who comes meanwhile waits for it, and uses it
            time_s = asyncio.get_running_loop().time
            taken = self._taken.get(taker)
            if taken is None or time_s() > taken.until_s:
                taken = self._taken[taker] = await self._take(taker, time_s)
            return taken.numbers

    async def _take(self, taker: Taker, time_s: Callable[[], float]) -> "_Taken":
        names = self._desk.names()
        numbers: dict[bytes, Numbers] = {}
        took_s = 0.0
        for start in range(0, len(names), _SLICE):
            begun_s = time_s()
            for name in names[start : start + _SLICE]:
                numbers[name] = taker(self._desk, decoded(name))
            took_s += time_s() - begun_s
            await asyncio.sleep(0)
        return _Taken(numbers, time_s() + self._kept_times * took_s)


class _Taken(NamedTuple):
    """Numbers of all functions, and until when they count."""

    numbers: Mapping[bytes, Numbers]
    until_s: float


def _pattern(text: str) -> bytes:
    """What was typed in, as a pattern.

    >>> _pattern(""), _pattern("image"), _pattern("image.*")
    (b'*', b'*image*', b'image.*')
    """
    is_word = not any(sign in text for sign in "*?[")
    return (f"*{text}*" if is_word and text else text or "*").encode("utf-8", "surrogateescape")


def _of_function(desk: Desk, name: str) -> Numbers:
    function = desk.function(name)
    if function is None:
        return (_NONE,) * len(_OF_FUNCTION)
    since_s = function.oldest_queued_s
    return (
        sum(function.queued),
        function.running,
        sum(function.delayed),
        function.dead,
        function.workers,
        _NONE if since_s is None else -since_s,  # the longer it is ago, the higher
    )


def _rate(desk: Desk, name: str) -> Numbers:
    return (desk.minutes(name).rate_per_s,)


# Of each column but the name, who takes its number, and which one of those that are taken it is.
_TAKERS: Final[dict[str, tuple[Taker, int]]] = {
    **{column: (_of_function, number) for number, column in enumerate(_OF_FUNCTION)},
    "rate": (_rate, 0),
}

# What functions can be sorted by.
COLUMNS: Final = (NAME, *_TAKERS)
