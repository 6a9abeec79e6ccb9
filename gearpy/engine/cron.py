"""Schedules: jobs that are submitted again and again, by a cron expression.

A schedule fires once for each tick.  That it did, and the job that it submitted, are written in one
batch of the journal, so that a crash leaves both or none.  A tick is missed if a minute goes by
before it can fire: the server was down, or its clock was put forward.  ``missed`` says what
becomes of it: ``once``, and the schedule fires for all that it missed together; or ``skip``.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, final, get_args

from gearpy.engine.options import read_options
from gearpy.engine.payloads import payload_fields, read_name, read_payload
from gearpy.engine.policy import refusal, shown, yes_or_no
from gearpy.engine.ports import Journal
from gearpy.engine.records import CronChange
from gearpy.engine.rules import check_function
from gearpy.engine.timers import Timer, Timers
from gearpy.errors import InvalidArgument, PeerError

Missed = Literal["once", "skip"]
CronOrigin = Literal["file", "set"]

SCHEDULES_MAX: Final = 1000
SCHEDULE_NAME_MAX: Final = 64  # characters
SCHEDULE_BYTES_MAX: Final = 32 << 10  # of a schedule as it is kept, its payload included
SHOWN_TICKS: Final = 5

_LATE_S: Final = 60.0  # from then on a tick is missed
_AGAIN_S: Final = 10.0  # after a submit that was refused
_MISSED: Final[tuple[Missed, ...]] = get_args(Missed)
_NAMES: Final = (
    "cron", "timezone", "function", "data", "data_base64", "unique", "options", "missed", "overlap"
)  # fmt: skip


class Ticks(Protocol):
    """Who reads cron expressions."""

    def next_s(self, cron: str, timezone: str, after_s: float) -> float:
        """The first tick after a time, in seconds since the epoch; infinity if there is none.

        Raises InvalidArgument for what is no cron expression, or no time zone.
        """


class NoTicks:
    """For an engine that is to have no schedules."""

    def next_s(self, cron: str, timezone: str, after_s: float) -> float:
        raise InvalidArgument("this server can't read cron expressions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is submitted, and when.

    ``options`` are those of SUBMIT_JOB_OPTIONS, as JSON.  Without ``overlap`` a tick is passed
    over while the job of an earlier one is not finished.
    """

    cron: str
    function: bytes
    timezone: str = "UTC"
    payload: bytes = b""
    unique: bytes = b""
    options: bytes = b""
    missed: Missed = "once"
    overlap: bool = True


class ScheduleStatistics(NamedTuple):
    """A schedule as it is now.  Times are seconds since the epoch; 0 where there is none."""

    name: str
    origin: CronOrigin
    schedule: Schedule
    paused: bool
    last_s: float  # the last tick that fired or was passed over; at first, when it was set
    handle: bytes  # of the last job
    error: str  # why the last tick did not fire
    next_s: tuple[float, ...]


def read_schedule(table: Mapping[str, object], ticks: Ticks) -> Schedule:
    """A schedule from JSON or TOML.

    Raises InvalidArgument whose sentence names the field, its value and what it must be.

    >>> class Hourly:
    ...     def next_s(self, cron, timezone, after_s):
    ...         return after_s // 3600 * 3600 + 3600
    >>> read_schedule({"cron": "0 * * * *", "function": "digest", "data": "x"}, Hourly()).payload
    b'x'
    """
    for name in table:
        if name not in _NAMES:
            raise InvalidArgument(
                f"a schedule has no field {shown(name)}; its fields are {', '.join(_NAMES)}"
            )
    said = {name: value for name, value in table.items() if value is not None}
    for name in ("cron", "function"):
        if name not in said:
            raise InvalidArgument(f"a schedule needs the field {name}")
    options = said.get("options", {})
    if not isinstance(options, Mapping):
        raise refusal("options", options, "an object of the options of a job")
    if "background" in options or "due_s" in options:
        raise InvalidArgument("the jobs of a schedule are background jobs, and due at its ticks")
    missed, overlap = said.get("missed", "once"), said.get("overlap", True)
    if missed not in _MISSED:
        raise refusal("missed", missed, f"one of {', '.join(_MISSED)}")
    schedule = Schedule(
        cron=_text("cron", said["cron"]),
        timezone=_text("timezone", said.get("timezone", "UTC")),
        function=read_name("function", said["function"]),
        payload=read_payload(said),
        unique=read_name("unique", said.get("unique", "")),
        options=_json("options", options) if options else b"",
        missed=missed,
        overlap=yes_or_no("overlap", overlap),
    )
    check_function(schedule.function)
    if not schedule.function:
        raise refusal("function", "", "the name of a function")
    read_options(schedule.options)
    if ticks.next_s(schedule.cron, schedule.timezone, 0.0) == math.inf:
        raise InvalidArgument(f"cron is {shown(schedule.cron)}, which never comes")
    if len(_json("the schedule", schedule_table(schedule))) > SCHEDULE_BYTES_MAX:
        raise InvalidArgument(f"a schedule has at most {SCHEDULE_BYTES_MAX:,} bytes in all")
    return schedule


def schedule_table(schedule: Schedule) -> dict[str, object]:
    """A schedule as JSON, from which ``read_schedule`` makes the same one."""
    table: dict[str, object] = {
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "function": schedule.function.decode("utf-8", "surrogateescape"),
        "missed": schedule.missed,
        "overlap": schedule.overlap,
    }
    table |= payload_fields(schedule.payload)
    if schedule.unique:
        table["unique"] = schedule.unique.decode("utf-8", "surrogateescape")
    if schedule.options:
        table["options"] = json.loads(schedule.options)
    return table


def check_schedule_name(name: str) -> None:
    """Raises InvalidArgument for what can't name a schedule."""
    if not (0 < len(name) <= SCHEDULE_NAME_MAX and name.isprintable() and "/" not in name):
        raise InvalidArgument(
            f"a schedule's name has 1 to {SCHEDULE_NAME_MAX} printable characters and no slash;"
            f" this one is {shown(name)}"
        )


@final
class _Entry:
    """A schedule, and how far it has come."""

    def __init__(self, name: str, origin: CronOrigin, schedule: Schedule, last_s: float) -> None:
        self.name = name
        self.origin = origin
        self.schedule = schedule
        self.last_s = last_s
        self.paused = False
        self.handle = b""
        self.error = ""
        self.is_kept = False  # whether the journal knows of it
        self.timer: Timer | None = None


@final
class Crontab:
    """All schedules of a server: those of its settings, and those that operators set.

    ``submit`` takes a schedule's job and returns its handle, or raises PeerError; ``is_unfinished``
    says whether there is such a job still; ``check`` raises InvalidArgument for a schedule whose
    jobs can't be taken at all.
    """

    def __init__(
        self,
        timers: Timers,
        journal: Journal,
        ticks: Ticks,
        submit: Callable[[Schedule], bytes],
        is_unfinished: Callable[[bytes], bool],
        check: Callable[[Schedule], None],
        from_file: Mapping[str, Schedule],
    ) -> None:
        self._timers = timers
        self._journal = journal
        self.ticks = ticks
        self._submit = submit
        self._is_unfinished = is_unfinished
        self._check = check
        self._file = dict(from_file)
        self._entries: dict[str, _Entry] = {}
        for name, schedule in from_file.items():
            entry = self._entries[name] = _Entry(name, "file", schedule, timers.now_s)
            self._arm(entry)

    # ---- what there is

    def names(self) -> list[str]:
        """The names of all schedules, in order."""
        return sorted(self._entries)

    def get(self, name: str) -> ScheduleStatistics | None:
        """The schedule with this name, or None."""
        entry = self._entries.get(name)
        return None if entry is None else self._statistics(entry)

    def _statistics(self, entry: _Entry) -> ScheduleStatistics:
        ahead: list[float] = []
        if not entry.paused:
            tick_s = max(entry.last_s, self._timers.now_s)
            while len(ahead) < SHOWN_TICKS:
                tick_s = self._next_s(entry.schedule, tick_s)
                if tick_s == math.inf:
                    break
                ahead.append(tick_s)
        return ScheduleStatistics(
            entry.name,
            entry.origin,
            entry.schedule,
            entry.paused,
            entry.last_s,
            entry.handle,
            entry.error,
            tuple(ahead),
        )

    # ---- what is decided

    def set(self, name: str, schedule: Schedule | None) -> bool:
        """Sets a schedule, in place of one with this name; it fires from the next tick on.  None
        takes back what was set, and what the settings say under its name counts again.

        Returns whether that changed anything.  Raises InvalidArgument for a name that can't be one,
        or if there are too many.
        """
        if schedule is None:
            return self._take_back(name)
        check_schedule_name(name)
        self._check(schedule)
        old = self._entries.get(name)
        if old is None and len(self._entries) >= SCHEDULES_MAX:
            raise InvalidArgument(f"a server has at most {SCHEDULES_MAX:,} schedules")
        self._put(_Entry(name, "set", schedule, self._timers.now_s))
        return True

    def _take_back(self, name: str) -> bool:
        entry = self._entries.get(name)
        if entry is None or entry.origin == "file":
            return False
        if name in self._file:
            self._put(_Entry(name, "file", self._file[name], self._timers.now_s))
        else:
            self._disarm(entry)
            del self._entries[name]
            self._journal.note(CronChange(name, b"", b""))
        return True

    def _put(self, entry: _Entry) -> None:
        """In place of one with its name, if there is one: what is paused stays so, and its last job
        is its last job."""
        old = self._entries.get(entry.name)
        if old is not None:
            entry.handle, entry.paused = old.handle, old.paused
            self._disarm(old)
        self._entries[entry.name] = entry
        self._write(entry)
        self._arm(entry)

    def pause(self, name: str, paused: bool) -> bool:
        """Fires no more, or again: from the next tick on.  False: there is no such schedule."""
        entry = self._entries.get(name)
        if entry is None:
            return False
        if entry.paused != paused:
            entry.paused = paused
            entry.last_s = self._timers.now_s
            self._write(entry)
            self._arm(entry)
        return True

    def run(self, name: str) -> bytes | None:
        """Submits a schedule's job now, beside its ticks; returns its handle, or None if there is
        no such schedule.

        Raises what the submit raises.
        """
        entry = self._entries.get(name)
        if entry is None:
            return None
        entry.handle = self._submit(entry.schedule)
        self._write(entry)
        return entry.handle

    # ---- its ticks

    def _next_s(self, schedule: Schedule, after_s: float) -> float:
        return self.ticks.next_s(schedule.cron, schedule.timezone, after_s)

    def _arm(self, entry: _Entry) -> None:
        self._disarm(entry)
        if entry.paused:
            return
        due_s = self._next_s(entry.schedule, entry.last_s)
        if due_s < math.inf:
            entry.timer = self._timers.set(due_s, self._ring, entry)

    def _disarm(self, entry: _Entry) -> None:
        if entry.timer is not None:
            self._timers.cancel(entry.timer)
            entry.timer = None

    def _ring(self, entry: _Entry) -> None:
        entry.timer = None
        now_s = self._timers.now_s
        tick_s = self._newest_s(entry, max(entry.last_s, now_s - _LATE_S))
        missed = tick_s is None
        if missed and entry.schedule.missed == "skip":
            entry.error = entry.error or "it was missed"
        elif not entry.schedule.overlap and entry.handle and self._is_unfinished(entry.handle):
            entry.error = "its last job is not finished"
        else:
            try:
                entry.handle = self._submit(entry.schedule)
            except PeerError as error:
                # The tick is not over: this comes again, until it is taken, or missed.
                entry.error = str(error)
                entry.timer = self._timers.set(now_s + _AGAIN_S, self._ring, entry)
                return
            entry.error = ""
        entry.last_s = now_s if tick_s is None else tick_s
        self._write(entry)
        self._arm(entry)

    def _newest_s(self, entry: _Entry, after_s: float) -> float | None:
        """The last tick up to now, of those after a time that is not long ago.  Ticks before it are
        missed, and count as one with it."""
        newest_s = None
        tick_s = self._next_s(entry.schedule, after_s)
        while tick_s <= self._timers.now_s:
            newest_s, tick_s = tick_s, self._next_s(entry.schedule, tick_s)
        return newest_s

    # ---- the journal

    def _write(self, entry: _Entry) -> None:
        text = (
            _json("the schedule", schedule_table(entry.schedule)) if entry.origin == "set" else b""
        )
        state: dict[str, object] = {"last_s": entry.last_s}
        if entry.paused:
            state["paused"] = True
        if entry.handle:
            state["handle"] = entry.handle.decode("utf-8", "surrogateescape")
        self._journal.note(CronChange(entry.name, text, _json("the state", state)))
        entry.is_kept = True

    def restored(self, record: CronChange) -> None:
        """Takes over what the journal has of a schedule.  Raises InvalidArgument, KeyError,
        TypeError or ValueError for what can't be read."""
        state = json.loads(record.state)
        last_s = float(state["last_s"])
        if record.schedule:
            schedule = read_schedule(json.loads(record.schedule), self.ticks)
            entry = _Entry(record.name, "set", schedule, last_s)
        elif record.name in self._file:
            entry = _Entry(record.name, "file", self._file[record.name], last_s)
        else:
            self._journal.note(CronChange(record.name, b"", b""))  # the settings had it once
            return
        entry.is_kept = True
        entry.paused = bool(state.get("paused", False))
        entry.handle = str(state.get("handle", "")).encode("utf-8", "surrogateescape")
        if record.name in self._entries:
            self._disarm(self._entries[record.name])
        self._entries[record.name] = entry
        self._arm(entry)

    def settle(self) -> None:
        """Everything that the journal has is restored.  What is new in the settings counts from now
        on, also for the next server: its first tick may fall into the time between the two."""
        for entry in self._entries.values():
            if not entry.is_kept:
                self._write(entry)


def _json(what: str, value: object) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError, TypeError):
        raise InvalidArgument(f"{what} can't be written as JSON") from None


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise refusal(field, value, "text")
    return value
