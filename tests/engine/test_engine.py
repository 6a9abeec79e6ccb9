"""The verbs one by one: limits, the journal, who speaks when; the order of service."""

import pytest

from gearpy.engine.engine import Engine
from gearpy.engine.job import DATA, Job, Outcome
from gearpy.engine.rules import Rules
from gearpy.errors import (
    ArgumentTooLarge,
    InvalidArgument,
    QueueFull,
    ShuttingDown,
    TooManyFunctions,
)
from gearpy.priority import Priority

from .recorders import ClientRecorder, Heard, JournalRecorder, WorkerRecorder, able


def background(
    engine: Engine, function: bytes = b"f", unique: bytes = b"", due_s: float = 0.0
) -> Job:
    return engine.submit(None, function, unique, b"", Priority.NORMAL, due_s)


def served(engine: Engine, worker: WorkerRecorder) -> list[bytes | None]:
    """The payloads of everything that the worker is given."""
    payloads = []
    while (job := engine.grab(worker.worker)) is not None:
        payloads.append(job.payload)
    return payloads


# ---- the order of service


def test_priorities_count_over_all_functions_and_functions_take_turns() -> None:
    engine = Engine()
    worker = able(engine, b"A", b"B")
    for payload in (b"A0", b"A1", b"B0", b"B1", b"A2"):
        engine.submit(None, payload[:1], b"", payload)
    engine.submit(None, b"A", b"", b"Alow", Priority.LOW)
    engine.submit(None, b"B", b"", b"Bhigh", Priority.HIGH)
    # B registered last: it starts; after each job its function goes to the end.
    assert served(engine, worker) == [b"Bhigh", b"A0", b"B0", b"A1", b"B1", b"A2", b"Alow"]


def test_a_new_registration_is_served_first_and_a_repeated_one_keeps_its_place() -> None:
    engine = Engine()
    worker = able(engine, b"A", b"B", b"C")
    engine.can_do(worker.worker, b"A")
    for function in (b"A", b"B", b"C"):
        engine.submit(None, function, b"", function)
    assert served(engine, worker) == [b"C", b"B", b"A"]


def test_the_order_is_the_same_whichever_side_is_looked_through() -> None:
    engine = Engine()
    worker = able(engine, *(b"%d" % n for n in range(10)))
    names = [b"%d" % n for n in (3, 7, 1)]
    for name in names:  # fewer functions with jobs than the worker can do
        engine.submit(None, name, b"", name)
    assert served(engine, worker) == [b"7", b"3", b"1"]
    for n in range(10):
        engine.submit(None, b"%d" % n, b"", b"%d" % n)
    assert served(engine, worker) == [b"%d" % n for n in (9, 8, 6, 5, 4, 2, 0, 7, 3, 1)]


def test_lost_jobs_go_to_the_end_of_their_queue() -> None:
    engine = Engine()
    worker = able(engine, b"f")
    for n in range(4):
        engine.submit(None, b"f", b"", b"%d" % n)
    engine.grab(worker.worker)
    engine.grab(worker.worker)
    engine.lose(worker.worker)
    assert served(engine, able(engine, b"f")) == [b"2", b"3", b"0", b"1"]


# ---- limits


def test_the_server_has_a_limit_of_functions() -> None:
    engine = Engine(Rules(functions_max=3))
    worker = able(engine, b"a")
    background(engine, b"b")
    engine.functions.limit(b"later", (1, 1, 1))  # its place is taken from now on
    for verb in (
        lambda: background(engine, b"c"),
        lambda: engine.can_do(worker.worker, b"c"),
        lambda: engine.functions.create(b"c"),
        lambda: engine.functions.limit(b"c", (1, 1, 1)),
    ):
        with pytest.raises(TooManyFunctions, match="3 functions"):
            verb()
    assert engine.statistics().functions == 2
    assert engine.statistics().jobs == 1
    engine.can_do(worker.worker, b"later")
    background(engine, b"a")
    assert engine.statistics().functions == 3
    engine.lose(worker.worker)
    assert engine.functions.drop(b"later") == "dropped"
    engine.functions.create(b"c")


def test_a_connection_has_a_limit_of_functions() -> None:
    engine = Engine(Rules(worker_functions_max=2))
    worker = able(engine, b"a", b"b")
    engine.can_do(worker.worker, b"a", 5.0)
    with pytest.raises(TooManyFunctions, match="at most 2 functions"):
        engine.can_do(worker.worker, b"c")
    engine.cannot_do(worker.worker, b"a")
    engine.can_do(worker.worker, b"c")
    assert [queue.name for queue in worker.worker.abilities] == [b"c", b"b"]


def test_a_queue_has_a_limit_for_each_priority() -> None:
    engine = Engine()
    engine.functions.limit(b"f", (3, 2, 1))
    worker = able(engine, b"f")
    background(engine)
    engine.grab(worker.worker)  # running counts
    with pytest.raises(QueueFull, match=r"^Job queue is full$"):
        engine.submit(None, b"f", b"", b"", Priority.LOW)
    engine.submit(None, b"f", b"u", b"", Priority.NORMAL, due_s=9.0)  # delayed counts
    with pytest.raises(QueueFull):
        background(engine)
    engine.submit(None, b"f", b"", b"", Priority.HIGH)
    with pytest.raises(QueueFull):
        engine.submit(None, b"f", b"", b"", Priority.HIGH)
    background(engine, unique=b"u")  # joins, and takes no place
    engine.functions.limit(b"f", (0, 0, 0))
    background(engine)
    assert engine.statistics().jobs == 4


def test_a_limit_may_come_before_its_function() -> None:
    engine = Engine()
    engine.functions.limit(b"f", (1, 1, 1))
    assert engine.functions.get(b"f") is None
    assert list(engine.functions.limits()) == [(b"f", (1, 1, 1))]
    background(engine)
    with pytest.raises(QueueFull):
        background(engine)
    assert list(engine.functions.limits()) == [(b"f", (1, 1, 1))]
    engine.functions.limit(b"g", (2, 2, 2))
    engine.functions.limit(b"g", (0, 0, 0))
    assert list(engine.functions.limits()) == [(b"f", (1, 1, 1))]
    with pytest.raises(InvalidArgument):
        engine.functions.limit(b"a\nb", (1, 1, 1))


def test_one_client_waits_for_one_job_a_limited_number_of_times() -> None:
    engine = Engine(Rules(copies_max=2))
    first, second = ClientRecorder(), ClientRecorder()
    for client in (first, first, second):
        job = engine.submit(client.client, b"f", b"u", b"")
    with pytest.raises(QueueFull, match="2 times"):
        engine.submit(first.client, b"f", b"u", b"")
    assert engine.submit(None, b"f", b"u", b"") is job
    worker = able(engine, b"f")
    engine.grab(worker.worker)
    engine.complete(worker.worker, job.handle, b"done")
    assert first.take() == [Heard(job.handle, "completed", b"done")] * 2
    assert second.take() == [Heard(job.handle, "completed", b"done")]
    assert engine.statistics().coalesced == 3


def test_a_refused_submit_leaves_nothing_behind() -> None:
    engine = Engine(journal=JournalRecorder())
    client = ClientRecorder()
    with pytest.raises(ArgumentTooLarge):
        engine.submit(client.client, b"f", b"u" * 65, b"")
    with pytest.raises(ArgumentTooLarge):
        engine.submit(client.client, b"f" * 256, b"u", b"")
    with pytest.raises(InvalidArgument):
        engine.submit(client.client, b"f", b"u", b"", reducer=b"a\nb")
    engine.drain()
    with pytest.raises(ShuttingDown):
        engine.submit(client.client, b"f", b"u", b"")
    assert engine.statistics() == Engine().statistics()
    assert not client.client.watching


# ---- operators


def test_a_function_in_use_is_not_dropped() -> None:
    engine = Engine()
    assert engine.functions.drop(b"f") == "unknown"
    worker = able(engine, b"f")
    assert engine.functions.drop(b"f") == "in use"
    engine.cannot_do(worker.worker, b"f")
    for due_s in (0.0, 9.0):
        job = background(engine, due_s=due_s)
        assert engine.functions.drop(b"f") == "queued"
        engine.cancel(job.handle)
    engine.functions.limit(b"f", (1, 1, 1))
    assert engine.functions.drop(b"f") == "dropped"
    assert engine.functions.get(b"f") is None
    assert not list(engine.functions.limits()), "the limit goes with the function"
    background(engine)
    assert served(engine, able(engine, b"f")) == [b""]


def test_a_cancelled_job_is_gone_at_once() -> None:
    engine = Engine()
    client = ClientRecorder()
    worker = able(engine, b"f")
    for assigned, due_s in ((False, 0.0), (True, 0.0), (False, 9.0)):
        job = engine.submit(client.client, b"f", b"u", b"", Priority.NORMAL, due_s)
        if assigned:
            assert engine.grab(worker.worker) is job
        assert engine.cancel(job.handle)
        assert client.take() == [Heard(job.handle, "failed", b"")]
        assert not engine.cancel(job.handle)
        assert not engine.complete(worker.worker, job.handle, b"late")
        assert not client.take()
        assert engine.status(job.handle) is None
    assert engine.grab(worker.worker) is None
    assert engine.advance(100.0) == float("inf")
    assert engine.statistics().cancelled == 3


# ---- interest


def test_what_only_leavers_waited_for_is_dropped_at_once() -> None:
    engine = Engine()
    client = ClientRecorder()
    old = engine.submit(client.client, b"f", b"u", b"")
    engine.leave(client.client)
    new = engine.submit(ClientRecorder().client, b"f", b"u", b"")
    assert new is not old, "a doomed job catches no newcomers"
    worker = able(engine, b"f")
    assert engine.grab(worker.worker) is new
    assert engine.grab(worker.worker) is None


@pytest.mark.parametrize("timeout", [False, True])
def test_a_running_job_survives_its_client_but_not_the_loss_of_its_worker_too(
    timeout: bool,
) -> None:
    engine = Engine()
    client, worker = ClientRecorder(), able(engine)
    engine.can_do(worker.worker, b"f", 5.0)
    job = engine.submit(client.client, b"f", b"", b"")
    engine.grab(worker.worker)
    engine.leave(client.client)
    assert engine.report(worker.worker, job.handle, DATA, b"part")
    if timeout:
        engine.advance(5.0)
    else:
        engine.lose(worker.worker)
    assert engine.status(job.handle) is None
    assert job.state == "cancelled"
    assert engine.statistics().abandoned == 1


@pytest.mark.parametrize("background_first", [True, False])
def test_background_interest_outlives_foreground_clients(background_first: bool) -> None:
    engine = Engine()
    client = ClientRecorder()
    if background_first:
        background(engine, unique=b"u")
    job = engine.submit(client.client, b"f", b"u", b"")
    background(engine, unique=b"u")
    engine.leave(client.client)
    assert engine.grab(able(engine, b"f").worker) is job


def test_retries_are_counted_and_then_the_job_fails() -> None:
    engine = Engine(Rules(job_retries=1))
    client = ClientRecorder()
    job = engine.submit(client.client, b"f", b"", b"")
    for losses in (1, 2):
        worker = able(engine, b"f")
        assert engine.grab(worker.worker) is job
        assert not client.take()
        engine.lose(worker.worker)
        assert job.losses == losses
    assert client.take() == [Heard(job.handle, "failed", b"")]
    assert engine.statistics().gave_up == 1


# ---- the journal


def test_background_jobs_are_written_down_once_and_ended_once() -> None:
    journal = JournalRecorder()
    engine = Engine(Rules(job_retries=1), journal)
    worker = able(engine, b"f")
    jobs = [background(engine) for _ in range(5)]
    assert [job.ticket for job in jobs] == [1, 2, 3, 4, 5]
    assert journal.records == [("put", job.handle) for job in jobs]
    journal.records.clear()
    for _ in jobs:
        engine.grab(worker.worker)
    engine.complete(worker.worker, jobs[0].handle, b"")
    engine.fail(worker.worker, jobs[1].handle)
    engine.exception(worker.worker, jobs[2].handle, b"")
    engine.cancel(jobs[3].handle)
    started = [("changed", job.handle) for job in jobs]
    assert journal.records == started + [("done", job.handle) for job in jobs[:4]]
    journal.records.clear()
    engine.lose(worker.worker)
    assert journal.records == started[4:], "a job that goes back has lost an attempt"
    again = able(engine, b"f")
    engine.grab(again.worker)
    engine.lose(again.worker)
    assert journal.records == started[4:] * 2 + [("done", jobs[4].handle)]


def test_foreground_jobs_are_not_written_down() -> None:
    journal = JournalRecorder()
    engine = Engine(journal=journal)
    client, worker = ClientRecorder(), able(engine, b"f")
    job = engine.submit(client.client, b"f", b"", b"")
    engine.grab(worker.worker)
    engine.complete(worker.worker, job.handle, b"")
    assert job.ticket == 0
    assert not journal.records


def test_a_foreground_job_is_written_down_when_a_background_submit_joins() -> None:
    journal = JournalRecorder()
    engine = Engine(journal=journal)
    client, worker = ClientRecorder(), able(engine, b"f")
    job = engine.submit(client.client, b"f", b"u", b"")
    assert engine.submit(None, b"f", b"u", b"").ticket == 1
    assert engine.submit(None, b"f", b"u", b"").ticket == 1, "once is enough"
    assert engine.submit(client.client, b"f", b"u", b"").ticket == 1, "joiners wait for it too"
    engine.leave(client.client)
    engine.grab(worker.worker)
    engine.complete(worker.worker, job.handle, b"")
    assert journal.records == [(what, job.handle) for what in ("put", "changed", "done")]


# ---- change first, speak last


class Onlooker(ClientRecorder):
    """A client that looks at the engine when it hears something."""

    def __init__(self, engine: Engine, journal: JournalRecorder) -> None:
        super().__init__()
        self.engine = engine
        self.journal = journal
        self.seen: list[tuple[bool, int, int]] = []

    def job_ended(self, job: Job, outcome: Outcome, data: bytes, copies: int) -> None:
        statistics = self.engine.statistics()
        known = self.engine.status(job.handle) is not None
        self.seen.append((known, statistics.completed, len(self.journal.records)))


def test_clients_hear_of_an_end_when_it_is_settled_and_written() -> None:
    journal = JournalRecorder()
    engine = Engine(journal=journal)
    client, worker = Onlooker(engine, journal), able(engine, b"f")
    job = engine.submit(None, b"f", b"u", b"")
    engine.submit(client.client, b"f", b"u", b"")
    engine.grab(worker.worker)
    engine.complete(worker.worker, job.handle, b"")
    assert client.seen == [(False, 1, 3)]
    assert not client.client.watching
    assert job.state == "completed"


def test_time_does_not_go_back() -> None:
    engine = Engine(now_s=100.0)
    with pytest.raises(AssertionError, match="time goes forward"):
        engine.advance(99.0)


def test_handles_count_from_the_first_number() -> None:
    engine = Engine(Rules(handle_prefix=b"H:box"), first_number=1000)
    assert [background(engine).handle for _ in range(2)] == [b"H:box:1000", b"H:box:1001"]


def test_uniques_of_all_lengths_coalesce_and_differ_to_the_last_byte() -> None:
    engine = Engine()
    for length in (1, 63, 64):
        job = background(engine, unique=b"u" * length)
        assert background(engine, unique=b"u" * length) is job
        assert background(engine, unique=b"u" * (length - 1) + b"v") is not job
    assert background(engine) is not background(engine), "an empty one never coalesces"


def test_status_by_unique_finds_any_function() -> None:
    engine = Engine()
    background(engine, b"f", b"u")
    job = background(engine, b"g", b"v")
    found = engine.status_by_unique(b"v")
    assert found is not None
    assert (found.handle, found.function, found.waiting) == (job.handle, b"g", 0)
    assert engine.status_by_unique(b"w") is None
    assert engine.status_by_unique(b"") is None


def test_timeouts_belong_to_assignments() -> None:
    engine = Engine()
    worker = able(engine)
    engine.can_do(worker.worker, b"f", 5.0)
    first = background(engine)
    engine.grab(worker.worker)
    engine.can_do(worker.worker, b"f", 1.0)  # counts from the next one on
    second = background(engine)
    engine.grab(worker.worker)
    assert engine.advance(0.5) == 1.0
    assert engine.advance(1.0) == 5.0
    assert (first.state, second.state) == ("running", "queued")
    assert engine.complete(worker.worker, first.handle, b"")
    assert engine.advance(9.0) == float("inf"), "an ended job leaves no timer behind"
    assert engine.statistics().timed_out == 1
