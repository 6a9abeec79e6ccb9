"""Servers that are broken on purpose, to see whether anybody notices.

Each sabotage changes one broker that was just built.  It reaches inside, as only a test may.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from gearpy.broker.broker import Broker
from gearpy.broker.gate import Work
from gearpy.engine.callbacks import Ending, Following
from gearpy.engine.job import Job
from gearpy.engine.options import FOLLOWS, Options
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.records import Batch, FunctionChange, Mark
from gearpy.errors import InvalidArgument
from gearpy.protocol import packets as p
from gearpy.testing.simulation.machine import BuildBroker
from gearpy.version import is_compiled

Sabotage = Callable[[Any], None]  # typed as Any: it replaces methods of final classes


def gateless(**settings: Any) -> Broker:
    """Receipts leave at once, before anything is durable."""
    return Broker(**{**settings, "holds": False})


needs_plain_python = pytest.mark.skipif(
    is_compiled(), reason="what is compiled can't be broken from outside"
)


def sabotaged(sabotage: Sabotage) -> BuildBroker:
    """What builds brokers that are broken in this way."""

    def build(**settings: Any) -> Broker:
        broker = Broker(**settings)
        sabotage(broker)
        return broker

    return build


def _now_and_then(real: Callable[..., Any], instead: Callable[..., Any], every: int) -> Any:
    """The real thing, but for every so-manyth time."""
    numbers = count(1)

    def do(*arguments: Any) -> Any:
        return (real if next(numbers) % every else instead)(*arguments)

    return do


# ---- the journal


def forget_dones(broker: Any) -> None:
    """Some jobs that ended stay on the disk."""
    gate = broker.gate
    gate.done = _now_and_then(gate.done, lambda job: None, 5)


def drop_changes(broker: Any) -> None:
    """Some changes of jobs are not written."""
    take = broker.gate.take_work

    def take_work() -> Work | None:
        work: Work | None = take()
        if work is not None and work.batch is not None:
            del work.batch.changes[4::5]
        return work

    broker.gate.take_work = take_work


def drop_puts(broker: Any) -> None:
    """Some accepted jobs are not written."""
    take = broker.gate.take_work

    def take_work() -> Work | None:
        work: Work | None = take()
        if work is not None and work.batch is not None and len(work.batch.puts) > 2:
            work.batch.puts.pop()
        return work

    broker.gate.take_work = take_work


def forget_pauses(broker: Any) -> None:
    """What operators decided about functions is not written."""
    _drop_notes(broker, FunctionChange)


def forget_marks(broker: Any) -> None:
    """Nobody knows after a restart which numbers were in use."""
    _drop_notes(broker, Mark)


def _drop_notes(broker: Any, kind: type) -> None:
    note = broker.gate.note
    broker.gate.note = lambda record: 0 if isinstance(record, kind) else note(record)


def start_before_durable(broker: Any) -> None:
    """Attempts begin before they are durable."""
    grab = broker.engine.grab

    def grab_now(worker: Any) -> Any:
        job = grab(worker)
        worker.ticket = 0
        return job

    broker.engine.grab = grab_now


def lose_dead_letters(broker: Any) -> None:
    """Some dead letters are thrown away."""
    archive = broker.engine._archive
    archive.add = _now_and_then(archive.add, lambda job: None, 4)


# ---- who works


def miss_wakeups(broker: Any) -> None:
    """Now and then nobody is woken for a job."""
    dispatch = broker.engine._dispatch
    dispatch.call = _now_and_then(dispatch.call, lambda queue: None, 10)


def wait_for_ever(broker: Any) -> None:
    """A woken worker that does not come is waited for."""
    broker.engine._dispatch._pass_over = lambda worker: None


def believe_strangers(broker: Any) -> None:
    """Whoever speaks of a running job is believed."""
    engine = broker.engine
    held = engine._held

    def held_by_anybody(worker: Any, handle: bytes) -> Job | None:
        job: Job | None = engine._jobs.get(handle)
        return job if job is not None and job.worker is not None else held(worker, handle)

    engine._held = held_by_anybody


def push_in(broker: Any) -> None:
    """Some jobs go to the front of their lane."""
    dispatch = broker.engine._dispatch
    enqueue = dispatch.enqueue

    def enqueue_in_front(job: Job) -> None:
        enqueue(job)
        jobs = job.queue.lane(job.priority)._jobs
        if job in jobs:  # else it waits for another one with its key
            jobs.remove(job)
            jobs.appendleft(job)

    dispatch.enqueue = _now_and_then(enqueue, enqueue_in_front, 5)


def run_one_too_many(broker: Any) -> None:
    """Where few jobs may run, one more does."""
    dispatch = broker.engine._dispatch
    room = dispatch._room

    def more_room(queue: FunctionQueue) -> int:
        one_more = queue.bound and not queue.paused and not queue.dry
        return int(room(queue)) + one_more

    dispatch._room = more_room


# ---- times and ends


def start_expired(broker: Any) -> None:
    """Jobs are started however late it is."""
    broker.engine._course.expire_at = lambda job, expire_s: None


def be_early(broker: Any) -> None:
    """Jobs are due a little before their time."""
    course = broker.engine._course
    delay = course.delay
    course.delay = lambda job, due_s: delay(job, due_s - 0.05)


def ignore_backoff(broker: Any) -> None:
    """Whatever fails is tried again at once."""
    course = broker.engine._course
    again = course._try_again
    course._try_again = lambda job, cause, error, delay_s: again(job, cause, error, 0.0)


def forget_interest(broker: Any) -> None:
    """A background job ends when the client leaves who also waited for it."""
    engine = broker.engine
    leave = engine.leave

    def leave_and_abandon(client: Any) -> None:
        jobs = list(client.watching)
        leave(client)
        for job in jobs:
            if engine._jobs.get(job.handle) is job and job.worker is None and not job.watchers:
                engine._course.abandon(job)

    engine.leave = leave_and_abandon


def make_doubles(broker: Any) -> None:
    """Some uniques are not seen."""
    submit = broker.engine.submit

    def submit_alone(client: Any, function: bytes, unique: bytes, *rest: Any) -> Any:
        return submit(client, function, b"", *rest)

    broker.engine.submit = _now_and_then(submit, submit_alone, 7)


# ---- what follows


def follow_twice(broker: Any) -> None:
    """Some ends are followed by two jobs."""
    followups = broker.engine._followups
    accept = followups._accept

    def accept_twice(following: Following) -> None:
        accept(following)
        accept(following)

    followups._accept = _now_and_then(accept, accept_twice, 3)


def follow_never(broker: Any) -> None:
    """Some ends are not followed."""
    followups = broker.engine._followups
    followups._accept = _now_and_then(followups._accept, lambda following: None, 3)


def follow_later(broker: Any) -> None:
    """What follows a job is not in the batch of its end, but comes a moment later."""
    followups = broker.engine._followups
    ended = followups.ended
    followups.ended = lambda ending, journalled: ended(ending, False)


def follow_restarts_later(broker: Any) -> None:
    """The same, but only for what ends in a restart."""
    broker.engine._followups.pay = lambda: None


def follow_only_first_ends(broker: Any) -> None:
    """A dead letter that was run once more is not followed once more."""
    course = broker.engine._course
    revive = course.revive

    def revive_and_forget(job: Job) -> None:
        revive(job)
        assert job.life is not None
        job.life.callback = None

    course.revive = revive_and_forget


def write_followups_later(broker: Any) -> None:
    """What follows is written in the batch behind that of the end: seen from outside nothing is
    wrong, unless a crash comes between the two."""
    take = broker.gate.take_work
    late = Batch()

    def take_work() -> Work | None:
        nonlocal late
        work: Work | None = take()
        if work is None or work.batch is None:
            return work
        batch, before = work.batch, late
        numbers = {put.number for put in batch.puts if FOLLOWS.encode() in put.options}
        late = Batch(
            [put for put in batch.puts if put.number in numbers],
            [change for change in batch.changes if change.number in numbers],
        )
        newer = {change.number for change in batch.changes}.union(batch.dones)
        batch.puts[:] = [
            *(put for put in before.puts if put.number not in batch.dones),
            *(put for put in batch.puts if put.number not in numbers),
        ]
        batch.changes[:] = [
            *(change for change in before.changes if change.number not in newer),
            *(change for change in batch.changes if change.number not in numbers),
        ]
        if late.puts:
            broker.gate._written = True  # there is another batch
        return work

    broker.gate.take_work = take_work


def write_ends_later(broker: Any) -> None:
    """The other way round: the end of a job is written behind what follows it."""
    take = broker.gate.take_work
    late: list[int] = []

    def take_work() -> Work | None:
        work: Work | None = take()
        if work is not None and work.batch is not None:
            batch = work.batch
            batch.dones[:], late[:] = late[:], batch.dones[:]
            if late:
                broker.gate._written = True
        return work

    broker.gate.take_work = take_work


def follow_without_limits(broker: Any) -> None:
    """A job with a callback is taken while the disk is full."""
    engine = broker.engine
    submit = engine.submit

    def submit_anyway(*arguments: Any) -> Any:
        full, engine.journal_full = engine.journal_full, False
        job = submit(*arguments)
        engine.journal_full = full
        return job

    def submit_perhaps(client: Any, *rest: Any) -> Any:
        has_callback = isinstance(rest[-1], Options) and rest[-1].callback is not None
        return (submit_anyway if client and has_callback else submit)(client, *rest)

    engine.submit = submit_perhaps


def join_with_any_callback(broker: Any) -> None:
    """Whoever joins a job is not told that what it asked for will never come."""
    engine = broker.engine
    submit = engine.submit

    def submit_without(*arguments: Any) -> Any:
        try:
            return submit(*arguments)
        except InvalidArgument:
            return submit(*arguments[:-1], None)

    engine.submit = submit_without


def tell_of_all_attempts(broker: Any) -> None:
    """A URL is told what earlier attempts gave, too."""
    followups = broker.engine._followups
    ended = followups.ended

    def ended_with_more(ending: Ending, journalled: bool) -> None:
        given = ending.given if ending.job.attempts < 2 else b"once more, " + ending.given
        ended(ending._replace(given=given), journalled)

    followups.ended = ended_with_more


# ---- what leaves


class _Outbox:
    """An outbox with another ``put``."""

    def __init__(self, outbox: Any, put: Callable[..., None]) -> None:
        self._outbox = outbox
        self.put = put

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)


def _with_outboxes(broker: Any, make_put: Callable[[Any], Callable[..., None]]) -> None:
    connect = broker.connect

    def connect_with(peer: Any, link: Any) -> Any:
        session = connect(peer, link)
        session.outbox = _Outbox(session.outbox, make_put(session.outbox))
        return session

    broker.connect = connect_with


def _number(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")


def end_twice(broker: Any) -> None:
    """The end of a job is told twice."""

    def make_put(outbox: Any) -> Callable[..., None]:
        def put(packet: bytes, ticket: int = 0) -> None:
            outbox.put(packet, ticket)
            if _number(packet) == p.WORK_COMPLETE:
                outbox.put(packet, ticket)

        return put

    _with_outboxes(broker, make_put)


def say_nothing_of_warnings(broker: Any) -> None:
    """Warnings do not arrive."""

    def make_put(outbox: Any) -> Callable[..., None]:
        def put(packet: bytes, ticket: int = 0) -> None:
            if _number(packet) != p.WORK_WARNING:
                outbox.put(packet, ticket)

        return put

    _with_outboxes(broker, make_put)


SABOTAGES: tuple[Sabotage, ...] = (
    forget_dones,
    drop_changes,
    drop_puts,
    forget_pauses,
    forget_marks,
    start_before_durable,
    lose_dead_letters,
    miss_wakeups,
    wait_for_ever,
    believe_strangers,
    push_in,
    run_one_too_many,
    start_expired,
    be_early,
    ignore_backoff,
    forget_interest,
    make_doubles,
    follow_twice,
    follow_never,
    follow_later,
    follow_only_first_ends,
    follow_without_limits,
    join_with_any_callback,
    tell_of_all_attempts,
    end_twice,
    say_nothing_of_warnings,
)

# Only a crash at the wrong moment shows these, and only of jobs that something follows.
HASTY_SABOTAGES: tuple[Sabotage, ...] = (
    follow_restarts_later,
    write_followups_later,
    write_ends_later,
)
