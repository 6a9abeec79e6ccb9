"""What is done to many jobs or functions: a slice at a time, added up, and noted once."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from gearpy.errors import InvalidArgument, PeerError
from gearpy.protocol.codec import packed
from gearpy.web.desk import Desk, Table

# Of 10,000 jobs each, for which it takes some 13 ms.  A question must not take long, so there is an
# end to counting; others have their turns in between.
_COUNTED_MAX: Final = 30


class Counted(NamedTuple):
    """So many, or at least so many."""

    number: int
    all_of_them: bool = True


async def count(desk: Desk, meant: Table, slices_max: int = _COUNTED_MAX) -> Counted:
    """How many jobs are meant.  Raises what the operations raise."""
    number, offset = 0, 0
    for _ in range(slices_max):
        answer = await desk.operate("count", **meant, offset=offset)
        found, follows = answer["count"], answer["next"]
        assert isinstance(found, int), "so is its answer"
        number += found
        if not isinstance(follows, int):
            return Counted(number)
        offset = follows
        await asyncio.sleep(0)
    return Counted(number, False)


async def do_all(desk: Desk, do: str, meant: Table) -> Table:
    """Does it to everything that is meant.

    Returns the answers' numbers, added up, and how many functions it was done to.  Where the server
    stopped in the middle, ``next`` is there, too.  Raises what the operations raise.
    """
    done: Table = {}
    offset: object = 0
    try:
        while offset is not None and not desk.closing.is_set():
            answer = await desk.operate_part(do, **meant, offset=offset)
            offset = answer.pop("next")
            done = _sum(done, answer)
            await asyncio.sleep(0)  # others have their turn between two slices
    except BaseException as error:  # what was done until then is done, whatever it was
        so_far = f"after {packed(done).decode()}: " if done else ""
        desk.note(do, meant, f"{so_far}{str(error) or 'it was cut off'}", succeeded=False)
        raise
    if offset is not None:
        done["next"] = offset
    desk.note(do, meant, packed(done).decode(), succeeded=True)
    return done


def _sum(one: Table, other: Table) -> Table:
    """The sums of what is counted; of a list, how long it is.

    >>> _sum({"count": 1000, "functions": 2}, {"count": 1, "functions": ["f"]})
    {'count': 1001, 'functions': 3}
    """
    return {name: _number(one.get(name, 0)) + _number(value) for name, value in other.items()}


def _number(value: object) -> int:
    assert isinstance(value, int | list), "answers hold nothing else"
    return value if isinstance(value, int) else len(value)


async def do_each(desk: Desk, do: str, handles: Sequence[str]) -> Table:
    """Does it to each of these jobs, of which there are several.

    Returns to how many.  Raises InvalidArgument at the end if there were some to which it could not
    be done.
    """
    number, refused = 0, None
    for handle in handles:
        try:
            await desk.operate_part(do, handle=handle)
            number += 1
        except PeerError as error:
            refused = error
    meant: Table = {"handles": list(handles)}
    if refused is not None:
        sentence = f"not done with {len(handles) - number} of {len(handles)} jobs: {refused}"
        desk.note(do, meant, sentence, succeeded=False)
        raise InvalidArgument(sentence)
    desk.note(do, meant, packed({"count": number}).decode(), succeeded=True)
    return {"count": number}
