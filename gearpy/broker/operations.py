"""What operators ask for, as JSON: a table of verbs with their fields.

Each request does a bounded amount of work.  What may need more is done slice by slice: the answer's
``next`` is the offset to ask with again, until it is None.  Jobs that come or go between two slices
may be met or not; a job that is there all the time is met once.
"""

import dataclasses
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from gearpy.broker.answers import (
    BYTES_MAX,
    Table,
    function_table,
    job_table,
    payload_table,
    policy_or_none,
    schedule_statistics_table,
    whole_job_table,
    worker_table,
)
from gearpy.broker.reports import TEXT_BYTES_MAX, read_command
from gearpy.engine.cron import Schedule, check_schedule_name, read_schedule
from gearpy.engine.job import (
    CANCELLABLE,
    DEAD,
    FINISHED,
    PURGEABLE,
    RETRIABLE,
    UNFINISHED,
    Job,
    JobState,
)
from gearpy.engine.policy import (
    SECONDS_MAX,
    Policy,
    Reader,
    number,
    policy_table,
    read_policy,
    refusal,
    shown,
    whole,
    yes_or_no,
)
from gearpy.engine.policy_book import is_pattern, matcher
from gearpy.engine.rules import FUNCTION_BYTES_MAX, HANDLE_BYTES_MAX, UNIQUE_BYTES_MAX
from gearpy.engine.selection import ORDERS, JobOrder, Selected, Selection
from gearpy.errors import (
    ArgumentTooLarge,
    InvalidArgument,
    JobNotFound,
    MalformedPacket,
    PeerError,
    ScheduleNotFound,
    WorkerNotFound,
)
from gearpy.protocol.codec import decoded, packed, unpacked

if TYPE_CHECKING:
    from gearpy.broker.broker import Broker

REQUEST_BYTES_MAX: Final = 64 << 10
LIMIT_MAX: Final = 1_000  # jobs or functions in one answer
_LISTED: Final = 100  # jobs, where the request does not say how many
_EXAMINED_MAX: Final = 10_000  # jobs that are counted, or functions that are looked at, at a time

_OFFSET_MAX: Final = 10**12

States = frozenset[JobState]

_ALL: Final[tuple[JobState, ...]] = (*UNFINISHED, *FINISHED, DEAD)


@final
class Operations:
    """Answers operators' requests."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._engine = broker.engine

    def answer(self, request: bytes, who: str) -> tuple[bytes, int]:
        """The answer to one request, a JSON object for a JSON object, and the ticket of what has to
        be durable before.  ``who`` asks, for people.

        Raises InvalidArgument, ArgumentTooLarge, JobNotFound, and what the engine's verbs raise.
        """
        if len(request) > REQUEST_BYTES_MAX:
            raise ArgumentTooLarge(
                f"an operator's request has at most {REQUEST_BYTES_MAX:,} bytes; this one has"
                f" {len(request):,}"
            )
        try:
            table = unpacked("the request", request)
        except MalformedPacket as error:  # the packet is sound: the connection may go on
            raise InvalidArgument(str(error)) from None
        said = dict(table)
        do = str(said.pop("do", None))
        try:
            performed, ticket = self.perform(table)
        except PeerError as error:
            if do in CHANGES:
                self._broker.host.operated(who, do, said, str(error), succeeded=False)
            raise
        answer = packed(performed)
        if do in CHANGES:
            self._broker.host.operated(who, do, said, answer.decode(), succeeded=True)
        return answer, ticket

    def perform(self, request: Table) -> tuple[Table, int]:
        """The same for a request that is a table already, which is used up."""
        verb, fields = _read(request)
        answer = verb.handler(self, **fields)
        return answer, self._broker.gate.written if verb.writes else 0

    # ---- what there is

    def server(self) -> Table:
        facts, engine = self._broker.facts, self._engine
        return {
            "version": facts.version,
            "pid": facts.pid,
            "now_s": engine.now_s,
            "durability": facts.durability,
            "journal": facts.journal,
            "journal_full": engine.journal_full,
            "statistics": dataclasses.asdict(engine.statistics()),
        }

    def functions(
        self, *, function: bytes = b"*", limit: int = LIMIT_MAX, offset: int = 0
    ) -> Table:
        engine = self._engine
        names, follows = self._matching(function, limit, offset)
        known = filter(None, map(engine.functions.get, names))
        rows = [function_table(each, engine.now_s) for each in known]
        return {"functions": rows, "next": follows}

    def jobs(
        self,
        *,
        states: States = frozenset(UNFINISHED),
        order: JobOrder = "oldest",
        limit: int = _LISTED,
        offset: int = 0,
        **wanted: Any,
    ) -> Table:
        selected = self._engine.select(Selection(states=states, **wanted), offset, limit, order)
        return {
            "now_s": self._engine.now_s,
            "jobs": [job_table(self._engine.describe(job)) for job in selected.jobs],
            "next": selected.next_offset,
        }

    def count(
        self, *, states: States = frozenset(UNFINISHED), offset: int = 0, **wanted: Any
    ) -> Table:
        selected = self._engine.select(Selection(states=states, **wanted), offset, _EXAMINED_MAX)
        return {"count": len(selected.jobs), "next": selected.next_offset}

    def job(self, *, handle: bytes, payloads: bool = True) -> Table:
        job = self._engine.find(handle)
        if job is None:
            raise _not_found(handle, ": it ended and is not kept, or it never was")
        table = whole_job_table(self._engine.describe(job), payloads)
        return {"now_s": self._engine.now_s, "job": table}

    def peek(self, *, function: bytes, limit: int = 1) -> Table:
        jobs = map(self._engine.describe, self._engine.peek(function, limit))
        rows = [job_table(job) | payload_table(job, BYTES_MAX // limit) for job in jobs]
        return {"now_s": self._engine.now_s, "jobs": rows}

    # ---- workers

    def workers(
        self, *, group: bytes | None = None, limit: int = LIMIT_MAX, offset: int = 0
    ) -> Table:
        """``offset`` is the number of a connection: it stays what it is whoever comes or goes."""
        matches = None if group is None else matcher(group)
        now_s = self._engine.now_s
        rows: list[Table] = []
        follows, size_bytes = None, 0
        for session in self._broker.sessions():
            if session.number < offset:
                continue
            if len(rows) == limit or size_bytes > BYTES_MAX:
                follows = session.number
                break
            worker = session.worker_statistics()
            if worker is None:
                continue
            if matches is None or (worker.state is not None and matches(worker.state.group)):
                rows.append(worker_table(worker, now_s))
                size_bytes += worker.size_bytes
        return {"now_s": now_s, "workers": rows, "next": follows}

    def tell_workers(self, *, group: bytes, command: bytes) -> Table:
        is_meant = matcher(group)
        return {"told": sum(each.tell(is_meant, command) for each in self._broker.sessions())}

    def drop_worker(self, *, peer: bytes) -> Table:
        name = decoded(peer)
        for session in self._broker.sessions():
            if session.peer.name == name and session.worker_statistics() is not None:
                session.drop()
                return {"peer": name}
        raise WorkerNotFound(f"there is no worker at {shown(name)}")

    # ---- what is done with jobs

    def cancel(
        self,
        *,
        handle: bytes | None = None,
        states: States = frozenset(CANCELLABLE),
        limit: int = LIMIT_MAX,
        offset: int = 0,
        **wanted: Any,
    ) -> Table:
        if handle is not None:
            if not self._engine.cancel(handle):
                raise _not_found(handle, " to cancel: it ended, or it never was")
            return {"count": 1}
        selected = self._engine.select(Selection(states=states, **wanted), offset, limit)
        count = sum(self._engine.cancel(job.handle) for job in selected.jobs)
        # They left the unfinished jobs, and nothing else is in the selection's sequence.
        return {"count": count, "next": _next(selected, count)}

    def retry(
        self,
        *,
        handle: bytes | None = None,
        states: States = frozenset((DEAD,)),
        limit: int = LIMIT_MAX,
        offset: int = 0,
        **wanted: Any,
    ) -> Table:
        if handle is not None:
            if not self._engine.retry(handle):
                raise _not_found(handle, ": it ended and is not kept, or it never was")
            return {"count": 1}
        selection = Selection(states=states, **wanted)
        selected = self._engine.select(selection, offset, limit)
        count = sum(map(self._retried, selected.jobs))
        # Those that had ended are behind all unfinished jobs now; the others stay where they are.
        # Where both are in the sequence, what left it before the next job came in before it, too.
        left = 0 if selection.unfinished else count
        skipped = len(selected.jobs) - count
        return {"count": count, "skipped": skipped, "next": _next(selected, left)}

    def _retried(self, job: Job) -> bool:
        try:
            return self._engine.retry(job.handle)
        except InvalidArgument:
            return False  # an unfinished job has its unique

    def purge(
        self,
        *,
        handle: bytes | None = None,
        states: States = frozenset(PURGEABLE),
        limit: int = LIMIT_MAX,
        offset: int = 0,
        **wanted: Any,
    ) -> Table:
        if handle is not None:
            if not self._engine.purge(handle):
                raise _not_found(handle, " to purge: only dead letters and kept finished jobs are")
            return {"count": 1}
        selected = self._engine.select(Selection(states=states, **wanted), offset, limit)
        count = sum(self._engine.purge(job.handle) for job in selected.jobs)
        # They left the ended jobs, and nothing else is in the selection's sequence.
        return {"count": count, "next": _next(selected, count)}

    # ---- what is decided about functions

    def pause(self, *, function: bytes, limit: int = LIMIT_MAX, offset: int = 0) -> Table:
        return self._steer(function, limit, offset, paused=True)

    def drain(self, *, function: bytes, limit: int = LIMIT_MAX, offset: int = 0) -> Table:
        return self._steer(function, limit, offset, draining=True)

    def resume(self, *, function: bytes, limit: int = LIMIT_MAX, offset: int = 0) -> Table:
        return self._steer(function, limit, offset, paused=False, draining=False)

    def _steer(
        self,
        function: bytes,
        limit: int,
        offset: int,
        *,
        paused: bool | None = None,
        draining: bool | None = None,
    ) -> Table:
        """What is not said stays as it is."""
        engine = self._engine
        if not is_pattern(function):
            engine.functions.create(function)
        names, follows = self._matching(function, limit, offset)
        for name in names:
            now = engine.functions.get(name)
            assert now is not None, "it is among those that are known"
            engine.functions.steer(
                name,
                paused=now.paused if paused is None else paused,
                draining=now.draining if draining is None else draining,
            )
        return {"functions": list(map(decoded, names)), "next": follows}

    def _matching(self, pattern: bytes, limit: int, offset: int) -> tuple[list[bytes], int | None]:
        """Some of the known functions that a pattern means, and where to go on."""
        if not is_pattern(pattern):
            known = not offset and self._engine.functions.get(pattern) is not None
            return [pattern] if known else [], None
        matches = matcher(pattern)
        found: list[bytes] = []
        for examined, name in enumerate(islice(self._engine.functions.names(), offset, None)):
            if len(found) == limit or examined == _EXAMINED_MAX:
                return found, offset + examined
            if matches(name):
                found.append(name)
        return found, None

    def policies(self) -> Table:
        rows = [
            {"function": decoded(pattern), "origin": origin, "policy": policy_table(policy)}
            for pattern, origin, policy in self._engine.functions.policies.items()
        ]
        return {"policies": rows}

    def policy(self, *, function: bytes) -> Table:
        return {"policy": policy_or_none(self._engine.functions.policies.of(function))}

    def set_policy(self, *, function: bytes, policy: Policy | None) -> Table:
        functions = self._engine.functions
        changed = functions.set_policy(function, policy)
        said = policy_table(policy or Policy())
        hidden = policy_table(functions.policies.hidden(function) or Policy())
        hides = {name: value for name, value in hidden.items() if name not in said}
        return {"function": decoded(function), "changed": changed, "hides": hides}

    # ---- schedules

    def schedules(self, *, limit: int = LIMIT_MAX, offset: int = 0) -> Table:
        names = self._engine.crontab.names()
        rows = [self._schedule_table(name) for name in names[offset : offset + limit]]
        follows = offset + limit if offset + limit < len(names) else None
        return {"now_s": self._engine.now_s, "schedules": rows, "next": follows}

    def schedule(self, *, name: str) -> Table:
        return {"now_s": self._engine.now_s, "schedule": self._schedule_table(name)}

    def set_schedule(self, *, name: str, schedule: object) -> Table:
        made = None if schedule is None else self._read_schedule(schedule)
        return {"name": name, "changed": self._engine.crontab.set(name, made)}

    def pause_schedule(self, *, name: str) -> Table:
        return self._steer_schedule(name, paused=True)

    def resume_schedule(self, *, name: str) -> Table:
        return self._steer_schedule(name, paused=False)

    def run_schedule(self, *, name: str) -> Table:
        handle = self._engine.crontab.run(name)
        if handle is None:
            raise _no_schedule(name)
        return {"handle": decoded(handle)}

    def _steer_schedule(self, name: str, paused: bool) -> Table:
        if not self._engine.crontab.pause(name, paused):
            raise _no_schedule(name)
        return {"name": name, "paused": paused}

    def _schedule_table(self, name: str) -> Table:
        found = self._engine.crontab.get(name)
        if found is None:
            raise _no_schedule(name)
        return schedule_statistics_table(found)

    def _read_schedule(self, table: object) -> Schedule:
        if not isinstance(table, dict):
            raise refusal("schedule", table, "an object with cron and function, or null")
        return read_schedule(table, self._engine.crontab.ticks)


def _no_schedule(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"there is no schedule {shown(name)}")


def _next(selected: Selected, left: int) -> int | None:
    """Where the next slice begins, after so many jobs left the sequence before it."""
    return None if selected.next_offset is None else selected.next_offset - left


def _not_found(handle: bytes, why: str) -> JobNotFound:
    return JobNotFound(f"there is no job {shown(decoded(handle))}{why}")


# ---- reading requests


class _Verb(NamedTuple):
    """What a request may have beside its verb; of ``one_of`` it needs some.

    ``writes`` says that it changes what is journalled: what it did must not be undone by a crash
    once it is answered.  What only looks is answered while the disk hangs, too.
    """

    handler: Callable[..., Table]
    fields: Mapping[str, Reader]
    needs: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    writes: bool = False


def _read(table: Table) -> tuple[_Verb, dict[str, Any]]:
    name = table.pop("do", None)
    verb = VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        what = "the request says nothing to do" if name is None else f"nobody can do {shown(name)}"
        raise InvalidArgument(f'{what}; "do" is one of {", ".join(VERBS)}')
    for field in table:
        if field not in verb.fields:
            fields = ", ".join(verb.fields) or "none"
            raise InvalidArgument(f"{name} has no field {shown(field)}; its fields are: {fields}")
    for field in verb.needs:
        if field not in table:
            raise InvalidArgument(f"{name} needs the field {field}")
    if verb.one_of and not any(field in table for field in verb.one_of):
        raise InvalidArgument(
            f"{name} needs to know which jobs: give some of {', '.join(verb.one_of)}"
        )
    if verb.one_of and "handle" in table and len(table) > 1:
        other = next(field for field in table if field != "handle")
        raise InvalidArgument(f"{name} is given a handle, which says all; leave {other} out")
    return verb, {field: verb.fields[field](field, value) for field, value in table.items()}


def _text(what: str, bytes_max: int) -> Reader:
    def read(field: str, value: object) -> bytes:
        if not isinstance(value, str) or not value:
            raise refusal(field, value, what)
        try:
            name = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise refusal(field, value, f"{what} that can be written as UTF-8") from None
        if len(name) > bytes_max:
            raise InvalidArgument(
                f"{field} has {len(name):,} bytes; it must be {what} of at most {bytes_max}"
            )
        return name

    return read


def _states(allowed: tuple[JobState, ...]) -> Reader:
    must_be = f"a list of some of {', '.join(allowed)}"

    def read(field: str, value: object) -> States:
        if not isinstance(value, list) or not value:
            raise refusal(field, value, must_be)
        for state in value:
            if state not in allowed:
                raise InvalidArgument(f"{field} holds {shown(state)}; it must be {must_be}")
        return frozenset(value)

    return read


def _read_order(field: str, value: object) -> JobOrder:
    for order in ORDERS:
        if value == order:
            return order
    raise refusal(field, value, f"one of {', '.join(ORDERS)}")


def _read_policy(_field: str, value: object) -> Policy | None:
    return None if value is None else read_policy(value)


_AGE: Final = number(0, SECONDS_MAX, "a number of seconds")
_LIMIT: Final = whole(1, LIMIT_MAX)
_OFFSET: Final = whole(0, _OFFSET_MAX)
_FUNCTION: Final = _text("the name of a function, or a pattern like image.*,", FUNCTION_BYTES_MAX)
_GROUP: Final = _text("the name of a group, or a pattern like mail-*,", TEXT_BYTES_MAX)
_HANDLE: Final = _text("a job's handle", HANDLE_BYTES_MAX)

_PEER: Final = _text("the address of a worker's connection, like 127.0.0.1:40312,", 255)
_UNIQUE: Final = _text("the unique of a job", UNIQUE_BYTES_MAX)

_SLICE: Final[dict[str, Reader]] = {"limit": _LIMIT, "offset": _OFFSET}


def _selection(states: tuple[JobState, ...]) -> dict[str, Reader]:
    return {
        "function": _FUNCTION,
        "states": _states(states),
        "unique": _UNIQUE,
        "older_than_s": _AGE,
        "younger_than_s": _AGE,
    }


_WHICH: Final = ("handle", *_selection(_ALL))


def _on_jobs(handler: Callable[..., Table], states: tuple[JobState, ...]) -> _Verb:
    fields = {"handle": _HANDLE, **_selection(states), **_SLICE}
    return _Verb(handler, fields, one_of=_WHICH, writes=True)


def _on_functions(handler: Callable[..., Table]) -> _Verb:
    fields = {"function": _FUNCTION, **_SLICE}
    return _Verb(handler, fields, needs=("function",), writes=True)


def _read_schedule_name(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise refusal(field, value, "the name of a schedule")
    check_schedule_name(value)
    return value


def _as_it_is(_field: str, value: object) -> object:
    return value


_SCHEDULE: Final = _read_schedule_name


def _on_schedule(handler: Callable[..., Table]) -> _Verb:
    return _Verb(handler, {"name": _SCHEDULE}, needs=("name",), writes=True)


VERBS: Final[dict[str, _Verb]] = {
    "server": _Verb(Operations.server, {}),
    "functions": _Verb(Operations.functions, {"function": _FUNCTION, **_SLICE}),
    "jobs": _Verb(Operations.jobs, {**_selection(_ALL), "order": _read_order, **_SLICE}),
    "count": _Verb(Operations.count, {**_selection(_ALL), "offset": _OFFSET}),
    "job": _Verb(Operations.job, {"handle": _HANDLE, "payloads": yes_or_no}, needs=("handle",)),
    "peek": _Verb(Operations.peek, {"function": _FUNCTION, "limit": _LIMIT}, needs=("function",)),
    "workers": _Verb(Operations.workers, {"group": _GROUP, **_SLICE}),
    "tell-workers": _Verb(
        Operations.tell_workers,
        {"group": _GROUP, "command": read_command},
        needs=("group", "command"),
    ),
    "drop-worker": _Verb(Operations.drop_worker, {"peer": _PEER}, needs=("peer",), writes=True),
    "cancel": _on_jobs(Operations.cancel, CANCELLABLE),
    "retry": _on_jobs(Operations.retry, RETRIABLE),
    "purge": _on_jobs(Operations.purge, PURGEABLE),
    "pause": _on_functions(Operations.pause),
    "resume": _on_functions(Operations.resume),
    "drain": _on_functions(Operations.drain),
    "policies": _Verb(Operations.policies, {}),
    "policy": _Verb(Operations.policy, {"function": _FUNCTION}, needs=("function",)),
    "schedules": _Verb(Operations.schedules, _SLICE),
    "schedule": _Verb(Operations.schedule, {"name": _SCHEDULE}, needs=("name",)),
    "set-schedule": _Verb(
        Operations.set_schedule,
        {"name": _SCHEDULE, "schedule": _as_it_is},
        needs=("name", "schedule"),
        writes=True,
    ),
    "pause-schedule": _on_schedule(Operations.pause_schedule),
    "resume-schedule": _on_schedule(Operations.resume_schedule),
    "run-schedule": _on_schedule(Operations.run_schedule),
    "set-policy": _Verb(
        Operations.set_policy,
        {"function": _FUNCTION, "policy": _read_policy},
        needs=("function", "policy"),
        writes=True,
    ),
}

# The verbs that change something; a command to workers does, but nothing that is journalled.
CHANGES: Final = frozenset(name for name, verb in VERBS.items() if verb.writes) | {"tell-workers"}
