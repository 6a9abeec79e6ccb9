"""What workers tell of what their jobs cost and of themselves, what is known of them beside, and
what they are told.

Whoever tells it may be of another version: names that this one does not know are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gearpy.engine.options import DUE_S_MAX
from gearpy.engine.policy import SECONDS_MAX, SEEN, Cause, Reader, number, refusal, whole
from gearpy.engine.rules import check_printable
from gearpy.engine.statistics import Usage
from gearpy.errors import ArgumentTooLarge, InvalidArgument, MalformedPacket
from gearpy.protocol.codec import packed, unpacked

REPORT_BYTES_MAX: Final = 16 << 10
NUMBER_MAX: Final = 10**15  # of bytes, jobs and so on
TEXT_BYTES_MAX: Final = 255
DEPTH_MAX: Final = 16  # what is nested deeper may be read at one time and not at another

_MISSED: Final = 3  # so many intervals without a heartbeat, and something is wrong
_JOB_BYTES: Final = 200  # what it takes to tell which job runs


def read_usage(text: bytes) -> Usage:
    """What an attempt cost.

    Raises InvalidArgument whose sentence names the value and what it must be, and ArgumentTooLarge.

    >>> read_usage(b'{"cpu_s": 1.5, "memory_bytes": 80000000, "disk_bytes": 1}')
    Usage(cpu_s=1.5, memory_bytes=80000000)
    """
    return Usage(**_read("what a job cost", text, USAGE))


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker process said of itself, and when.

    It is kept as it came, for what JSON says in few bytes may take many as objects.
    """

    text: bytes
    came_s: float
    group: bytes
    supervisor: bool
    interval_s: float  # in which it says so again; 0: it did not promise

    @property
    def told(self) -> dict[str, Any]:
        """All of it that is known to this version."""
        return _read(_STATE, self.text, STATE)

    def missed(self, now_s: float) -> bool:
        """Whether it should have said something again by now."""
        return 0.0 < self.interval_s * _MISSED < now_s - self.came_s


def read_state(text: bytes, now_s: float) -> WorkerState:
    """What a worker process says of itself now.

    Raises InvalidArgument whose sentence names the value and what it must be, and ArgumentTooLarge.

    >>> state = read_state(b'{"pid": 7, "group": "mail", "interval_s": 5, "mood": "good"}', 100.0)
    >>> state.told, state.supervisor, state.missed(115.0), state.missed(115.1)
    ({'pid': 7, 'group': 'mail', 'interval_s': 5.0}, False, False, True)
    """
    told = _read(_STATE, text, STATE)
    return WorkerState(
        text,
        now_s,
        told.get("group", "").encode("utf-8", "surrogateescape"),
        told.get("supervisor", False),
        told.get("interval_s", 0.0),
    )


def read_cause(text: bytes) -> Cause:
    """Why an attempt ended, where it was not the function that said so.

    Raises InvalidArgument.

    >>> read_cause(b"timeout")
    'timeout'
    """
    for cause in SEEN:
        if text == cause.encode():
            return cause
    raise refusal("the cause", text.decode("utf-8", "replace"), f"one of {', '.join(SEEN)}")


def read_command(field: str, value: object) -> bytes:
    """What a supervisor is told to do, as it travels: any small object.

    Raises InvalidArgument and ArgumentTooLarge, as the others do.

    >>> read_command("command", {"scale": 4})
    b'{"scale":4}'
    """
    if not is_shallow(value):
        raise InvalidArgument(f"{field} is nested more than {DEPTH_MAX} deep")
    command = packed(_read_object(field, value))
    _check_size(f"a {field}", command)
    return command


class RunningJob(NamedTuple):
    """A job that a worker holds, and since when."""

    handle: bytes
    function: bytes
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatistics:
    """The worker at a connection as it is now."""

    connection: int
    address: str
    peer: str  # address and port
    client_id: bytes
    name: str  # for people
    functions: tuple[bytes, ...]
    running: tuple[RunningJob, ...]
    state: WorkerState | None  # what it last said of itself

    @property
    def size_bytes(self) -> int:
        """About how much there is to tell of it."""
        told = 0 if self.state is None else len(self.state.text)
        return told + sum(map(len, self.functions)) + _JOB_BYTES * len(self.running)


def is_shallow(value: object, depth: int = DEPTH_MAX) -> bool:
    """Whether lists and objects are in each other no deeper than that.

    >>> is_shallow({"a": [[1]]}, 3), is_shallow({"a": [[1]]}, 2)
    (True, False)
    """
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(is_shallow(each, depth - 1) for each in inner)


_STATE: Final = "what a worker says of itself"


def _read(what: str, text: bytes, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The values that are told; null is the same as no value."""
    _check_size(what, text)
    try:
        table = unpacked(what, text)
    except MalformedPacket as error:  # the packet is sound: the connection may go on
        raise InvalidArgument(str(error)) from None
    if not is_shallow(table):
        raise InvalidArgument(f"{what} is nested more than {DEPTH_MAX} deep")
    told = {name: table[name] for name in readers if table.get(name) is not None}
    return {name: readers[name](name, value) for name, value in told.items()}


def _check_size(what: str, text: bytes) -> None:
    if len(text) > REPORT_BYTES_MAX:
        raise ArgumentTooLarge(
            f"{what} is told in at most {REPORT_BYTES_MAX:,} bytes; these are {len(text):,}"
        )


def _read_flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refusal(field, value, "true or false")
    return value


def _read_text(field: str, value: object) -> str:
    must_be = f"text of at most {TEXT_BYTES_MAX} bytes"
    if not isinstance(value, str):
        raise refusal(field, value, must_be)
    try:
        text = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise refusal(field, value, f"{must_be} that can be written as UTF-8") from None
    if len(text) > TEXT_BYTES_MAX:
        raise refusal(field, value, must_be)
    check_printable(field, text)
    return value


def _read_object(field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal(field, value, "an object")
    try:
        packed(value)
    except ValueError:  # 1e400
        raise refusal(field, value, "an object without infinite numbers") from None
    return value


_amount: Final = whole(0, NUMBER_MAX)

USAGE: Final[dict[str, Reader]] = {
    "cpu_s": number(0, SECONDS_MAX, "a number of seconds"),
    "memory_bytes": _amount,
}
STATE: Final[dict[str, Reader]] = {
    "pid": _amount,
    "host": _read_text,
    "group": _read_text,
    "supervisor": _read_flag,
    "since_s": number(0, DUE_S_MAX, "seconds since the epoch,"),
    "memory_bytes": _amount,
    "jobs_done": _amount,
    "jobs_failed": _amount,
    "concurrency": _amount,
    "stopping": _read_flag,
    "interval_s": number(0, SECONDS_MAX, "a number of seconds"),
    "group_state": _read_object,
}
