"""What a user wants submitted, read and checked once, for every skin.  Does no I/O."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gearpy.client.core import checked_name
from gearpy.client.options import Options, SubmitOptions, read_options
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol.codec import encoded

Bytes = bytes | str
Unique = Bytes | Callable[[Bytes], Bytes]

_PAYLOAD_IS_KEY = b"-"


@dataclass(frozen=True, slots=True)
class Wish:
    """One job to submit."""

    function: bytes
    payload: bytes
    unique: bytes
    priority: Priority
    background: bool
    options: Options
    resubmit: bool

    @property
    def key(self) -> bytes:
        """What says which of several servers gets it; empty: any of them."""
        return self.payload if self.unique == _PAYLOAD_IS_KEY else self.unique


def read_wish(
    function: Bytes,
    data: Bytes,
    unique: Bytes,
    priority: Priority,
    background: bool,
    resubmit: bool,
    options: SubmitOptions,
) -> Wish:
    """A job as the keywords of ``submit`` tell it.

    Raises InvalidArgument and TypeError for what can't be told to a server.
    """
    key = _name("unique", unique)
    if resubmit and not key:
        raise InvalidArgument(
            "resubmit=True takes a unique key: without one a job whose server went away could be"
            " done twice at the same time; give the job a unique"
        )
    return Wish(
        _name("function", function),
        encoded("data", data),
        key,
        _read_priority(priority),
        background,
        read_options(options),
        resubmit,
    )


def read_wishes(
    function: Bytes,
    datas: Iterable[Bytes],
    unique: Unique,
    priority: Priority,
    background: bool,
    resubmit: bool,
    options: SubmitOptions,
) -> Iterator[Wish]:
    """Jobs that differ in their data, and in their key if ``unique`` makes one from the data.

    Raises as ``read_wish`` does: for what all have in common at once, for the rest at its turn.
    """
    common = "" if callable(unique) else unique
    checked = resubmit and not callable(unique)
    first = read_wish(function, b"", common, priority, background, checked, options)

    def wishes() -> Iterator[Wish]:
        for data in datas:
            key = _name("unique", unique(data)) if callable(unique) else first.unique
            yield Wish(
                first.function,
                encoded("data", data),
                key,
                first.priority,
                background,
                first.options,
                resubmit and bool(key),
            )

    return wishes()


def _name(what: str, name: Bytes) -> bytes:
    return checked_name(what, encoded(what, name))


def _read_priority(priority: int) -> Priority:
    try:
        return Priority(priority)
    except ValueError:
        raise InvalidArgument(
            f"priority is {priority!r}; it must be one of gearpy.Priority, like Priority.HIGH"
        ) from None
