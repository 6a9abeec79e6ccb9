"""The life of a job under policies, step by step.  That it holds in general: see the model."""

import json
from itertools import pairwise

import pytest

from gearpy.engine.engine import Engine
from gearpy.engine.job import DATA, Job
from gearpy.engine.life import Life, read, snapshot, written
from gearpy.engine.options import read_options
from gearpy.engine.policy import Delays, Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.rules import Rules
from gearpy.engine.statistics import Usage
from gearpy.errors import FunctionDraining, InvalidArgument, JournalFull, QueueFull
from gearpy.priority import Priority

from .journals import KeptJournal
from .recorders import ClientRecorder, Heard, JournalRecorder, able


def engine_with(policy: Policy, function: bytes = b"f") -> Engine:
    return Engine(policies=PolicyBook({function: policy}))


def submit(
    engine: Engine, payload: bytes = b"", asked: bytes = b"", priority: Priority = Priority.NORMAL
) -> Job:
    return engine.submit(None, b"f", b"", payload, priority, options=read_options(asked))


# ---- attempts


def test_a_client_waits_through_all_attempts() -> None:
    engine = engine_with(Policy(attempts=3, backoff=Delays((2.0, 5.0))))
    client, worker = ClientRecorder(), able(engine, b"f")
    job = engine.submit(client.client, b"f", b"", b"")
    for attempt, delay_s in ((1, 2.0), (2, 5.0)):
        assert engine.grab(worker.worker) is job
        engine.exception(worker.worker, job.handle, b"oh")
        assert job.state == "retrying"
        due_s = engine.now_s + delay_s
        assert engine.next_due_s() == due_s
        assert engine.grab(worker.worker) is None, "not before its time"
        found = engine.status(job.handle)
        assert found is not None
        assert (found.attempts, found.due_s, found.error) == (attempt, due_s, b"oh")
        engine.advance(due_s)
    assert not client.take()
    assert engine.grab(worker.worker) is job
    engine.exception(worker.worker, job.handle, b"no")
    assert client.take() == [Heard(job.handle, "exception", b"no")]
    assert job.state == "dead"
    assert engine.describe(job).reason == "attempts used up"
    outcomes = [(each.number, each.outcome, each.error) for each in engine.describe(job).log]
    assert outcomes == [(1, "exception", b"oh"), (2, "exception", b"oh"), (3, "exception", b"no")]


def test_a_policy_that_is_taken_back_leaves_the_attempts_before_as_they_were() -> None:
    engine = Engine()
    engine.functions.set_policy(b"f", Policy(attempts=9, backoff=Delays()))
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    engine.fail(worker.worker, job.handle)
    engine.functions.set_policy(b"f", None)
    engine.grab(worker.worker)
    engine.advance(5.0)
    engine.lose(worker.worker)
    assert [(each.ended_s, each.outcome) for each in engine.describe(job).log] == [(0.0, "fail")]


def test_the_shorter_timeout_counts() -> None:
    engine = engine_with(Policy(timeout_s=5.0))
    worker = able(engine, b"f")
    for asked_s, expected_s in ((0.0, 5.0), (2.0, 2.0), (9.0, 5.0)):
        engine.can_do(worker.worker, b"f", asked_s)
        job = submit(engine)
        engine.grab(worker.worker)
        assert engine.next_due_s() == engine.now_s + expected_s
        engine.complete(worker.worker, job.handle, b"")


@pytest.mark.parametrize("other", ["fail", "exception", "timeout"])
def test_workers_in_a_row_make_poison_and_any_other_end_breaks_the_row(other: str) -> None:
    engine = engine_with(Policy(attempts=99, backoff=Delays(), poison=2, timeout_s=1.0))
    job = submit(engine)
    for how in ("lost", other, "lost", "lost"):
        assert engine.status(job.handle) is not None
        worker = able(engine, b"f")
        engine.grab(worker.worker)
        if how == "fail":
            engine.fail(worker.worker, job.handle)
        elif how == "exception":
            engine.exception(worker.worker, job.handle, b"")
        elif how == "timeout":
            engine.advance(1.0)
        engine.lose(worker.worker)
    assert job.state == "dead"
    assert engine.describe(job).reason == "took too many workers down"
    assert engine.statistics().buried == 1


def test_the_journal_knows_of_an_attempt_first_where_attempts_are_limited() -> None:
    for rules, policy, waits in (
        (Rules(), None, False),
        (Rules(job_retries=0), None, True),
        (Rules(), Policy(keep_s=1.0), False),
        (Rules(job_retries=3), Policy(keep_s=1.0), True),
        (Rules(), Policy(attempts=2), True),
    ):
        policies = PolicyBook({} if policy is None else {b"f": policy})
        engine = Engine(rules, JournalRecorder(), policies=policies)
        worker = able(engine, b"f")
        submit(engine)
        engine.grab(worker.worker)
        assert (worker.worker.ticket == 2) == waits
        assert worker.worker.ticket in (0, 2)
        engine.submit(ClientRecorder().client, b"f", b"", b"")
        engine.grab(worker.worker)
        assert worker.worker.ticket == 0, "nothing is written of it"


# ---- times


def test_what_expired_while_it_ran_is_not_started_again() -> None:
    engine = engine_with(Policy(expires_s=2.0, attempts=2, backoff=Delays()))
    client, worker = ClientRecorder(), able(engine, b"f")
    job = engine.submit(client.client, b"f", b"", b"")
    engine.grab(worker.worker)
    sleeper = able(engine, b"f", asleep=True)
    engine.advance(3.0)
    engine.fail(worker.worker, job.handle)
    assert sleeper.wakes == 0
    assert engine.grab(worker.worker) is None
    assert client.take() == [Heard(job.handle, "failed", b"")]
    assert engine.statistics().expired == 1


def test_an_expiry_belongs_to_the_job_not_to_the_attempt() -> None:
    engine = engine_with(Policy(expires_s=9.0, attempts=9, backoff=Delays((2.0,))))
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    assert engine.next_due_s() == float("inf"), "what runs does not expire"
    engine.advance(8.0)
    engine.fail(worker.worker, job.handle)
    assert engine.advance(9.0) == float("inf")
    assert job.state == "expired"


def test_delays_of_the_client_of_the_policy_and_both() -> None:
    engine = engine_with(Policy(delay_s=5.0))
    for asked, due_s, expected_s in (
        (b"", 0.0, 5.0),
        (b"", 3.0, 3.0),
        (b'{"delay_s": 2}', 0.0, 2.0),
        (b'{"delay_s": 2}', 3.0, 3.0),
        (b'{"delay_s": 0}', 0.0, 0.0),
    ):
        job = engine.submit(None, b"f", b"", b"", due_s=due_s, options=read_options(asked))
        assert job.due_s == expected_s
        assert job.state == ("delayed" if expected_s else "queued")


# ---- limits


def test_a_function_that_has_room_again_wakes_who_sleeps() -> None:
    engine = engine_with(Policy(max_running=1))
    worker = able(engine, b"f")
    first, second = submit(engine), submit(engine)
    assert engine.grab(worker.worker) is first
    assert engine.grab(worker.worker) is None
    sleeper = able(engine, b"f", asleep=True)
    assert sleeper.wakes == 0
    engine.complete(worker.worker, first.handle, b"")
    assert sleeper.wakes == 1
    assert engine.grab(sleeper.worker) is second


@pytest.mark.parametrize("ending", ["complete", "fail", "cancel", "lose", "timeout"])
@pytest.mark.parametrize(
    "limit", [Policy(max_running=1, timeout_s=5.0), Policy(max_running_per_key=1, timeout_s=5.0)]
)
def test_whatever_ends_an_attempt_makes_room(limit: Policy, ending: str) -> None:
    engine = engine_with(Policy(attempts=9, backoff=Delays((100.0,))).over(limit))
    worker, sleeper = able(engine, b"f"), able(engine, b"f")
    first, second = (submit(engine, asked=b'{"key": "a"}') for _ in range(2))
    assert engine.grab(worker.worker) is first
    assert engine.grab(sleeper.worker) is None
    engine.sleep(sleeper.worker)
    assert sleeper.wakes == 0
    if ending == "complete":
        engine.complete(worker.worker, first.handle, b"")
    elif ending == "fail":
        engine.fail(worker.worker, first.handle)
    elif ending == "cancel":
        engine.cancel(first.handle)
    elif ending == "lose":
        engine.lose(worker.worker)
    else:
        engine.advance(5.0)
    assert sleeper.wakes == 1
    assert engine.grab(sleeper.worker) is second


def test_a_rate_counts_any_minute() -> None:
    engine = engine_with(Policy(rate_per_minute=2))
    worker = able(engine, b"f")
    sleeper = able(engine, b"f", asleep=True)
    for _ in range(5):
        submit(engine)
    started_s = []
    for now_s in range(0, 200, 10):
        engine.advance(float(now_s))
        while engine.grab(worker.worker) is not None:
            started_s.append(now_s)
        if now_s == 0:
            engine.sleep(sleeper.worker)
            wakes = sleeper.wakes
            assert engine.next_due_s() == 60.0
    assert started_s == [0, 0, 60, 60, 120]
    assert sleeper.wakes > wakes


def test_a_minute_has_sixty_seconds() -> None:
    engine = engine_with(Policy(rate_per_minute=1, max_running=5))
    worker = able(engine, b"f")
    first, second = submit(engine), submit(engine)
    assert engine.grab(worker.worker) is first
    engine.advance(59.9)
    engine.complete(worker.worker, first.handle, b"")
    assert engine.grab(worker.worker) is None
    engine.advance(60.0)
    assert engine.grab(worker.worker) is second


def test_jobs_with_a_key_that_have_to_wait_let_others_pass_and_keep_their_order() -> None:
    engine = engine_with(Policy(max_running_per_key=1))
    worker = able(engine, b"f")
    of_a, of_b = b'{"key": "a"}', b'{"key": "b"}'
    a1, a2, b1, none, b2, a3 = (
        submit(engine, asked=asked) for asked in (of_a, of_a, of_b, b"", of_b, of_a)
    )
    assert [engine.grab(worker.worker) for _ in range(4)] == [a1, b1, none, None]
    assert engine.peek(b"f", 9) == [a2, b2, a3]
    assert engine.statistics().queued == 3
    found = engine.functions.get(b"f")
    assert found is not None
    assert (found.queued, found.total) == ((0, 0, 3, 0), 6)
    assert found.oldest_queued_s == 0.0
    urgent = submit(engine, asked=b'{"key": "a"}', priority=Priority.HIGH)
    assert engine.grab(worker.worker) is None
    engine.complete(worker.worker, b1.handle, b"")
    engine.complete(worker.worker, a1.handle, b"")
    assert [engine.grab(worker.worker) for _ in range(3)] == [urgent, b2, None]
    engine.complete(worker.worker, urgent.handle, b"")
    assert engine.grab(worker.worker) is a2


@pytest.mark.parametrize("when", ["parked", "its turn"])
def test_a_job_that_leaves_does_not_take_its_followers_along(when: str) -> None:
    engine = engine_with(Policy(max_running_per_key=1))
    worker = able(engine, b"f")
    first, second, third = (submit(engine, asked=b'{"key": "a"}') for _ in range(3))
    engine.grab(worker.worker)
    assert engine.grab(worker.worker) is None
    if when == "parked":
        engine.cancel(second.handle)
        engine.complete(worker.worker, first.handle, b"")
    else:
        engine.complete(worker.worker, first.handle, b"")
        engine.cancel(second.handle)
    sleeper = able(engine, b"f", asleep=True)
    assert sleeper.wakes == 1
    assert engine.grab(sleeper.worker) is third


def test_what_waits_for_its_key_is_in_the_queue_until_it_leaves() -> None:
    engine = engine_with(Policy(max_running_per_key=1, max_queue=3))
    worker = able(engine, b"f")
    jobs = [submit(engine, asked=b'{"key": "a"}') for _ in range(3)]
    assert engine.grab(worker.worker) is jobs[0]
    assert engine.grab(worker.worker) is None
    with pytest.raises(QueueFull):
        submit(engine)
    engine.cancel(jobs[1].handle)
    submit(engine)
    with pytest.raises(QueueFull):
        submit(engine)
    engine.lose(worker.worker)
    for each in list(engine.jobs()):
        engine.cancel(each.handle)
    assert engine.functions.drop(b"f") == "dropped"


def test_a_rate_counts_from_when_it_was_set() -> None:
    engine = engine_with(Policy(max_running=9))
    worker = able(engine, b"f")
    jobs = [submit(engine) for _ in range(6)]
    assert [engine.grab(worker.worker) for _ in range(2)] == jobs[:2]
    (queue,) = worker.worker.abilities
    assert not queue.starts, "nothing is remembered that nobody asks for"
    engine.functions.set_policy(b"f", Policy(rate_per_minute=2))
    assert [engine.grab(worker.worker) for _ in range(3)] == [*jobs[2:4], None]
    engine.functions.set_policy(b"f", Policy())
    assert engine.grab(worker.worker) is jobs[4]
    assert not queue.starts
    engine.functions.set_policy(b"f", Policy(rate_per_minute=1))
    assert engine.grab(worker.worker) is jobs[5]


def test_a_key_that_nobody_has_any_more_costs_nothing() -> None:
    engine = engine_with(Policy(max_running_per_key=1))
    worker = able(engine, b"f")
    for n in range(100):
        jobs = [submit(engine, asked=b'{"key": "%d"}' % n) for _ in range(3)]
        while (job := engine.grab(worker.worker)) is not None:
            engine.complete(worker.worker, job.handle, b"")
        assert all(job.state == "completed" for job in jobs)
    (queue,) = worker.worker.abilities
    assert not queue.keys


def test_a_limit_that_is_lifted_frees_who_waited() -> None:
    engine = engine_with(Policy(max_running_per_key=1, max_running=3))
    worker = able(engine, b"f")
    jobs = [submit(engine, asked=b'{"key": "a"}') for _ in range(4)]
    engine.grab(worker.worker)
    assert engine.grab(worker.worker) is None
    sleeper = able(engine, b"f", asleep=True)
    engine.functions.set_policy(b"f", Policy())
    assert sleeper.wakes == 1
    assert [engine.grab(worker.worker) for _ in range(3)] == jobs[1:]


def test_a_full_queue_a_draining_function_and_a_full_journal_refuse() -> None:
    engine = engine_with(Policy(max_queue=1))
    client = ClientRecorder()
    job = engine.submit(client.client, b"f", b"u", b"")
    with pytest.raises(QueueFull):
        submit(engine)
    engine.functions.steer(b"f", paused=False, draining=True)
    with pytest.raises(FunctionDraining):
        submit(engine)
    engine.journal_full = True
    with pytest.raises(JournalFull):
        engine.submit(None, b"f", b"u", b"")
    assert not job.background
    with pytest.raises(JournalFull):
        engine.submit(None, b"g", b"", b"")
    engine.submit(client.client, b"g", b"", b"")
    engine.submit(client.client, b"f", b"u", b"")


# ---- operators


def test_a_paused_function_gives_nothing_out_and_wakes_when_it_goes_on() -> None:
    engine = Engine()
    sleeper = able(engine, b"f", asleep=True)
    engine.functions.steer(b"f", paused=True, draining=False)
    job = submit(engine)
    assert sleeper.wakes == 0
    assert engine.grab(sleeper.worker) is None
    engine.sleep(sleeper.worker)
    engine.functions.steer(b"f", paused=False, draining=False)
    assert sleeper.wakes == 1
    assert engine.grab(sleeper.worker) is job


def test_a_cancelled_worker_hears_of_it_and_its_result_changes_nothing() -> None:
    engine = Engine()
    client, worker = ClientRecorder(), able(engine, b"f")
    job = engine.submit(client.client, b"f", b"", b"")
    engine.grab(worker.worker)
    assert engine.cancel(job.handle)
    assert worker.cancelled == [job.handle]
    assert not worker.worker.jobs
    assert not engine.complete(worker.worker, job.handle, b"late")
    assert client.take() == [Heard(job.handle, "failed", b"")]
    waiting = submit(engine)
    assert engine.cancel(waiting.handle)
    assert worker.cancelled == [job.handle], "nobody holds that one"


def test_what_was_retried_by_an_operator_starts_anew() -> None:
    engine = engine_with(Policy(attempts=1, keep_s=100.0))
    worker = able(engine, b"f")
    job = engine.submit(None, b"f", b"u", b"data")
    engine.grab(worker.worker)
    engine.lose(worker.worker)
    assert job.state == "dead"
    rival = engine.submit(None, b"f", b"u", b"other")
    with pytest.raises(InvalidArgument, match="same unique"):
        engine.retry(job.handle)
    assert engine.cancel(rival.handle)
    assert engine.retry(job.handle)
    assert (job.state, job.attempts, job.losses) == ("queued", 0, 0)
    assert engine.submit(None, b"f", b"u", b"x") is job, "it has its unique again"
    with pytest.raises(InvalidArgument, match="queued"):
        engine.retry(job.handle)
    worker = able(engine, b"f")
    assert engine.grab(worker.worker) is job
    engine.complete(worker.worker, job.handle, b"result")
    with pytest.raises(InvalidArgument, match="completed"):
        engine.retry(job.handle)
    assert engine.describe(job).result == b"result"
    assert engine.purge(job.handle)
    assert not engine.purge(job.handle)
    assert not engine.retry(job.handle)
    assert engine.retry(rival.handle), "cancelled, and kept"


def test_workers_that_were_lost_before_do_not_count_any_more() -> None:
    engine = engine_with(Policy(attempts=1, poison=2))
    job = submit(engine)
    for _ in range(2):
        worker = able(engine, b"f")
        engine.grab(worker.worker)
        engine.lose(worker.worker)
        assert engine.describe(job).reason == "attempts used up"
        engine.retry(job.handle)


def test_a_ghost_that_comes_back_is_met_once() -> None:
    engine = engine_with(Policy(keep_s=100.0))
    worker = able(engine, b"f")
    jobs = [submit(engine) for _ in range(3)]
    engine.cancel(jobs[1].handle)
    engine.retry(jobs[1].handle)
    given = [engine.grab(worker.worker) for _ in range(4)]
    assert given == [jobs[0], jobs[2], jobs[1], None]


# ---- what is kept


def test_results_are_kept_part_by_part_as_long_as_the_policy_says() -> None:
    engine = engine_with(Policy(keep_s=60.0))
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    engine.report(worker.worker, job.handle, DATA, b"one ")
    engine.report(worker.worker, job.handle, DATA, b"two ")
    engine.complete(worker.worker, job.handle, b"three")
    assert engine.describe(job).result == b"one two three"
    engine.advance(59.0)
    assert engine.find(job.handle) is job
    engine.advance(60.0)
    assert engine.find(job.handle) is None
    assert engine.statistics().kept == 0


def test_what_a_lost_attempt_gave_is_not_kept() -> None:
    engine = engine_with(Policy(keep_s=60.0))
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    engine.progress(worker.worker, job.handle, 1, 2, b"1\x002", b"half")
    engine.report(worker.worker, job.handle, DATA, b"half")
    engine.lose(worker.worker)
    found = engine.status(job.handle)
    assert found is not None
    assert (found.numerator, found.result, found.worker) == (0, None, "")
    again = able(engine, b"f")
    engine.grab(again.worker)
    engine.complete(again.worker, job.handle, b"all")
    assert engine.describe(job).result == b"all"


def test_an_error_stays_until_an_attempt_ends_well() -> None:
    engine = engine_with(Policy(attempts=9, backoff=Delays(), keep_s=60.0))
    worker = able(engine, b"f")
    for ending, expected in (("cancel", b"oh"), ("fail", b""), ("complete", b"")):
        job = submit(engine)
        engine.grab(worker.worker)
        engine.exception(worker.worker, job.handle, b"oh")
        assert engine.describe(job).error == b"oh"
        engine.grab(worker.worker)
        if ending == "fail":
            engine.fail(worker.worker, job.handle)
        elif ending == "complete":
            engine.complete(worker.worker, job.handle, b"")
        else:
            engine.cancel(job.handle)
        assert engine.describe(job).error == expected
        engine.cancel(job.handle)


def test_a_policy_that_comes_while_a_job_runs_keeps_its_result() -> None:
    engine = Engine()
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    engine.functions.set_policy(b"f", Policy(keep_s=60.0))
    engine.report(worker.worker, job.handle, DATA, b"part ")
    engine.complete(worker.worker, job.handle, b"end")
    assert engine.describe(job).result == b"part end"


def test_what_is_kept_has_a_limit_of_bytes_and_the_oldest_goes_first() -> None:
    engine = engine_with(Policy(keep_s=60.0, keep_bytes=100_000))
    worker = able(engine, b"f")
    jobs = [submit(engine) for _ in range(4)]
    for job, size_bytes in zip(jobs, (40_000, 40_000, 40_000, 100_001), strict=True):
        engine.grab(worker.worker)
        engine.complete(worker.worker, job.handle, bytes(size_bytes))
    assert [engine.find(job.handle) for job in jobs] == [None, *jobs[1:]]
    assert engine.describe(jobs[3]).result is None, "alone it is too much"


def test_many_old_ones_are_forgotten_in_small_steps() -> None:
    journal = KeptJournal()
    engine = Engine(journal=journal, policies=PolicyBook({b"f": Policy(keep_s=60.0)}))
    for _ in range(1000):
        engine.cancel(submit(engine).handle)
    assert engine.advance(60.0) == pytest.approx(60.01)
    left = [engine.statistics().kept]
    while engine.next_due_s() < float("inf"):
        engine.advance(engine.next_due_s())
        left.append(engine.statistics().kept)
    assert left[-1] == 0
    assert all(0 <= before - after <= 200 for before, after in pairwise(left))
    assert not journal.puts


def test_a_shorter_time_counts_at_once() -> None:
    engine = engine_with(Policy(keep_s=1000.0))
    job = submit(engine)
    engine.cancel(job.handle)
    engine.functions.set_policy(b"f", Policy(keep_s=5.0))
    engine.advance(5.5)
    assert engine.find(job.handle) is None


def test_a_foreground_job_that_is_kept_is_written_down_at_its_end() -> None:
    journal = KeptJournal()
    engine = Engine(journal=journal, policies=PolicyBook({b"f": Policy(keep_s=60.0)}))
    worker = able(engine, b"f")
    job = engine.submit(ClientRecorder().client, b"f", b"", b"data")
    engine.grab(worker.worker)
    assert not journal.puts
    engine.complete(worker.worker, job.handle, b"result")
    assert journal.puts[job.number].payload == b"data"
    assert journal.changes[job.number].result == b"result"
    engine.advance(61.0)
    assert not journal.puts


# ---- how it is written down


def test_a_log_comes_back_and_what_cannot_be_read_is_left_out() -> None:
    engine = engine_with(Policy(attempts=3, backoff=Delays()))
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    engine.exception(worker.worker, job.handle, b"\xff bad")
    assert job.life is not None
    life = Life()
    read(life, written(job.life.log, "half"))
    assert (life.text, len(life.log)) == ("half", 1)
    assert (life.log[0].error, life.log[0].outcome) == (b"\xff bad", "exception")
    for spoiled in (
        b"{",
        b"[]",
        b'{"attempts": [[1]], "text": ""}',
        b'{"attempts": 5}',
        b"[" * 9999,
    ):
        other = Life()
        read(other, spoiled)
        assert not other.log
    assert written(Life().log, "") == b""


@pytest.mark.parametrize("usage", [Usage(1.5, 80_000_000), Usage(0.0), Usage(None, 7)])
def test_what_attempts_cost_comes_back(usage: Usage) -> None:
    engine = engine_with(Policy(attempts=3, backoff=Delays()))
    worker = able(engine, b"f")
    job = submit(engine)
    for number in (1, 2):
        engine.grab(worker.worker)
        assert number == 2 or engine.usage(worker.worker, job.handle, usage)
        engine.fail(worker.worker, job.handle)
    assert job.life is not None
    life = Life()
    read(life, written(job.life.log, ""))
    assert [attempt.usage for attempt in life.log] == [usage, Usage()]
    assert snapshot(life.log) == engine.describe(job).log


def test_what_attempts_cost_is_beside_what_older_versions_read() -> None:
    row = [1, 2.0, 3.0, "worker", "fail", ""]
    life = Life()
    read(life, json.dumps({"attempts": [row], "text": ""}).encode())
    assert [attempt.usage for attempt in life.log] == [Usage()]
    assert json.loads(written(life.log, "")) == {"attempts": [row], "text": ""}
    life.log[0].usage = Usage(1.5)
    assert json.loads(written(life.log, ""))["attempts"] == [row]
    for usages in ([], [[1]], [[1, 2], [3, 4]], [["x", 1]], 5):
        spoiled = Life()
        read(spoiled, json.dumps({"attempts": [row], "text": "", "usage": usages}).encode())
        assert len(spoiled.log) == (usages == [])


def test_what_an_attempt_cost_is_told_by_who_has_it_while_it_lasts() -> None:
    engine = engine_with(Policy(attempts=3, backoff=Delays()))
    worker, other = able(engine, b"f"), able(engine, b"f")
    job = submit(engine)
    assert not engine.usage(worker.worker, job.handle, Usage(9.0, 9))
    engine.grab(worker.worker)
    assert engine.usage(worker.worker, job.handle, Usage(1.0, 7))
    assert engine.usage(worker.worker, job.handle, Usage(1.5))
    assert not engine.usage(other.worker, job.handle, Usage(9.0, 9))
    assert not engine.usage(None, job.handle, Usage(9.0, 9))
    engine.fail(worker.worker, job.handle)
    assert not engine.usage(worker.worker, job.handle, Usage(9.0, 9))
    assert [attempt.usage for attempt in engine.describe(job).log] == [Usage(1.5, 7)]
    assert engine.statistics().stale == 4


def test_attempts_that_are_not_written_down_cost_nothing() -> None:
    engine = Engine()
    worker = able(engine, b"f")
    job = submit(engine)
    engine.grab(worker.worker)
    assert engine.usage(worker.worker, job.handle, Usage(1.0, 7))
    assert job.life is None
    engine.functions.set_policy(b"f", Policy(attempts=9, backoff=Delays()))
    engine.fail(worker.worker, job.handle)
    engine.functions.set_policy(b"f", None)
    engine.grab(worker.worker)
    assert engine.usage(worker.worker, job.handle, Usage(1.0, 7))
    assert engine.describe(job).log == ()


def test_only_the_newest_attempts_are_kept() -> None:
    engine = engine_with(Policy(attempts=99, backoff=Delays()))
    worker = able(engine, b"f")
    job = submit(engine)
    for _ in range(60):
        engine.grab(worker.worker)
        engine.fail(worker.worker, job.handle)
    assert [each.number for each in engine.describe(job).log] == list(range(11, 61))
