"""What a call wants done, step by step: calls are generators of these, and whoever has connections
does them."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gearpy.address import Address
from gearpy.client.core import ClientCore
from gearpy.client.desk import Bell
from gearpy.client.wishes import Wish

_Returned = TypeVar("_Returned")


class Line(Protocol):
    """A connection to a server, as a skin has it."""

    @property
    def address(self) -> Address: ...

    @property
    def core(self) -> ClientCore: ...


@dataclass(frozen=True, slots=True)
class Open:
    """Have a connection to this server."""

    address: Address


@dataclass(frozen=True, slots=True)
class Wait:
    """Move bytes until ``over`` is true; look when ``bell`` rings.  None: wait any time."""

    bell: Bell
    over: Callable[[], bool]
    timeout_s: float | None
    late: str  # what to say if it took too long


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for this many seconds, but go on moving bytes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Take:
    """Let the user give this many, or as many as there are."""

    items: Iterator[Wish]
    count: int


Step = Open | Wait | Pause | Take
Call = Generator[Step, Any, _Returned]


def carried_out(call: Call[_Returned], do: Callable[[Step], object]) -> _Returned:
    """Does what a call wants done, step by step, and returns what it returns.

    ``do`` gives the answer to a step; an Exception out of it is the call's to deal with.
    """
    try:
        step = next(call)
        while True:
            try:
                answer = do(step)
            except Exception as error:
                step = call.throw(error)
            else:
                step = call.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the call returns
    finally:
        call.close()
