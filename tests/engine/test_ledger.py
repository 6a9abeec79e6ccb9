"""Another engine from what the journal holds.  That it holds in general: see the model."""

import pytest

from gearpy.engine.engine import Engine
from gearpy.engine.job import DATA, Job
from gearpy.engine.options import read_options
from gearpy.engine.policy import Delays, Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.records import Change, FunctionChange, Mark, PolicyChange, Put, Record
from gearpy.engine.rules import Rules
from gearpy.engine.statistics import Usage
from gearpy.priority import Priority

from .journals import KeptJournal
from .recorders import ClientRecorder, WorkerRecorder, able

NOW_S = 1000.0


def started(
    journal: KeptJournal,
    policy: Policy | None = None,
    job_retries: int = -1,
    now_s: float = NOW_S,
) -> Engine:
    """An engine with everything that the journal holds."""
    policies = PolicyBook({} if policy is None else {b"f": policy})
    engine = Engine(Rules(job_retries=job_retries), journal, now_s, policies=policies)
    assert not engine.restore(list(journal.records()))
    journal.check(engine, b"H:localhost")
    return engine


def submit(engine: Engine, payload: bytes = b"", asked: bytes = b"", due_s: float = 0.0) -> Job:
    return engine.submit(None, b"f", b"", payload, due_s=due_s, options=read_options(asked))


def served(engine: Engine, worker: WorkerRecorder) -> list[bytes | None]:
    payloads = []
    while (job := engine.grab(worker.worker)) is not None:
        payloads.append(job.payload)
    return payloads


def test_everything_that_was_submitted_comes_back_as_it_was() -> None:
    journal = KeptJournal()
    before = started(journal)
    asked = read_options(b'{"key": "k", "labels": {"user": "ann"}, "attempts": 3, "expires_s": 50}')
    uniques = [b"", b"", b"-", b"u", b"x" * 63]
    payloads = [b"", b"\0a\0", b"same", b"", b"\xff" * 1000]
    for unique, payload, priority in zip(uniques, payloads, [*Priority, Priority.LOW], strict=True):
        before.submit(None, b"my-f", unique, payload, priority, reducer=b"r", options=asked)
        before.submit(None, b"my-f", unique + b"v", payload, priority, due_s=NOW_S + 9.0)
    after = started(journal)
    assert list(after.jobs()) == list(before.jobs())
    jobs = [after.find(each.handle) for each in after.jobs()]
    assert [job.life.reducer for job in jobs if job and job.life] == [b"r"] * 5
    assert after.submit(None, b"my-f", b"-", b"same").number == 4, "it coalesces as before"
    assert after.submit(None, b"my-f", b"u", b"other").number == 6


def test_foreground_jobs_go_with_their_clients_unless_a_background_submit_joined() -> None:
    journal = KeptJournal()
    before = started(journal)
    client = ClientRecorder()
    before.submit(client.client, b"f", b"alone", b"")
    joined = before.submit(client.client, b"f", b"joined", b"data", due_s=NOW_S + 5.0)
    before.submit(None, b"f", b"joined", b"other")
    (job,) = started(journal).jobs()
    assert (job.handle, job.payload, job.waiting) == (joined.handle, b"data", 0)
    assert (job.state, job.due_s) == ("delayed", NOW_S + 5.0)


def test_the_order_in_a_queue_stays_and_what_ran_is_in_front() -> None:
    journal = KeptJournal()
    before = started(journal)
    worker = able(before, b"f")
    for n in range(6):
        submit(before, b"%d" % n)
    second, other = able(before, b"f"), able(before, b"f")
    for each in (worker, second, other):
        before.grab(each.worker)
    before.lose(second.worker)
    before.lose(worker.worker)  # 1 and 0 go to the end, 2 runs
    submit(before, b"new")
    after = started(journal)
    again = able(after, b"f")
    assert [each.payload for each in after.jobs()] == [b"2", b"3", b"4", b"5", b"1", b"0", b"new"]
    assert served(after, again) == [b"2", b"3", b"4", b"5", b"1", b"0", b"new"]
    assert served(started(journal), able(after, b"f")) == []


def test_a_second_restart_keeps_the_order_too() -> None:
    journal = KeptJournal()
    before = started(journal)
    for n in range(4):
        submit(before, b"%d" % n)
    before.grab(able(before, b"f").worker)
    after = started(journal)
    submit(after, b"new")
    last = started(journal)
    assert served(last, able(last, b"f")) == [b"0", b"1", b"2", b"3", b"new"]


@pytest.mark.parametrize(
    ("policy", "job_retries", "state", "reason"),
    [
        (None, -1, "queued", ""),
        (None, 1, "queued", ""),
        (None, 0, None, ""),
        (Policy(keep_s=60.0), 0, "failed", "lost too often"),
        (Policy(attempts=2, keep_s=60.0), 0, "queued", ""),
        (Policy(attempts=1), -1, "dead", "attempts used up"),
        (Policy(retry_on=frozenset()), -1, "dead", "attempts used up"),
        (Policy(poison=1), -1, "queued", ""),
    ],
)
def test_an_attempt_counts_that_the_server_interrupted(
    policy: Policy | None, job_retries: int, state: str | None, reason: str
) -> None:
    journal = KeptJournal()
    before = started(journal, policy, job_retries)
    handle = submit(before).handle
    before.grab(able(before, b"f").worker)
    after = started(journal, policy, job_retries, NOW_S + 7.0)
    job = after.find(handle)
    if state is None:
        assert job is None
        assert not journal.puts
        assert after.statistics().gave_up == 1
        return
    assert job is not None
    found = after.describe(job)
    assert (found.state, found.attempts, found.losses) == (state, 1, 1)
    assert (found.since_s, found.reason) == (NOW_S + 7.0, reason)
    if policy is not None:
        (attempt,) = found.log
        assert (attempt.ended_s, attempt.outcome) == (NOW_S + 7.0, "lost")
        assert attempt.error == b"the server went down"


def test_what_an_interrupted_attempt_cost_comes_back_and_not_how_far_it_was() -> None:
    policy = Policy(attempts=5, backoff=Delays())
    journal = KeptJournal()
    before = started(journal, policy)
    worker = able(before, b"f")
    job = before.submit(ClientRecorder().client, b"f", b"u", b"")
    before.grab(worker.worker)
    before.usage(worker.worker, job.handle, Usage(1.5, 7))
    before.progress(worker.worker, job.handle, 1, 2, b"1\x002", b"half")
    before.submit(None, b"f", b"u", b"")  # that writes it down, while it runs
    after = started(journal, policy)
    found = after.status(job.handle)
    assert found is not None
    assert (found.state, found.text) == ("queued", "")
    assert [(each.outcome, each.usage) for each in found.log] == [("lost", Usage(1.5, 7))]


def test_attempts_due_times_and_errors_of_what_waits_come_back() -> None:
    policy = Policy(attempts=5, backoff=Delays((30.0,)))
    journal = KeptJournal()
    before = started(journal, policy)
    worker = able(before, b"f")
    job = submit(before, b"data")
    before.grab(worker.worker)
    before.report(worker.worker, job.handle, DATA, b"lost with the attempt")
    before.exception(worker.worker, job.handle, b"\xff oh")
    expected = before.status(job.handle)
    after = started(journal, policy, now_s=NOW_S + 10.0)
    assert after.status(job.handle) == expected
    assert expected is not None
    assert (expected.state, expected.error, expected.reason) == (
        "retrying",
        b"\xff oh",
        "exception",
    )
    again = able(after, b"f", asleep=True)
    assert after.next_due_s() == NOW_S + 30.0
    after.advance(NOW_S + 30.0)
    assert again.wakes == 1
    found = after.grab(again.worker)
    assert found is not None
    assert (found.handle, found.attempts) == (job.handle, 2)


def test_dead_letters_and_kept_jobs_come_back_in_the_order_of_their_ends() -> None:
    policy = Policy(attempts=1, keep_s=60.0)
    journal = KeptJournal()
    before = started(journal, policy)
    worker = able(before, b"f")
    jobs = [submit(before, b"%d" % n) for n in range(4)]
    for _ in jobs:
        before.grab(worker.worker)
    before.exception(worker.worker, jobs[2].handle, b"oh")
    before.advance(NOW_S + 1.0)
    before.complete(worker.worker, jobs[3].handle, b"result")
    before.advance(NOW_S + 2.0)
    before.fail(worker.worker, jobs[0].handle)
    before.cancel(jobs[1].handle)
    expected = [before.describe(job) for job in jobs]
    after = started(journal, policy, now_s=NOW_S + 9.0)
    found = [after.find(job.handle) for job in jobs]
    assert [after.describe(job) for job in found if job] == expected
    statistics = after.functions.get(b"f")
    assert statistics is not None
    assert (statistics.dead, statistics.kept, statistics.oldest_dead_s) == (2, 2, NOW_S)
    assert after.next_due_s() == NOW_S + 61.0
    after.advance(NOW_S + 61.5)
    assert [after.find(job.handle) is None for job in jobs] == [False, False, False, True]
    assert after.retry(jobs[2].handle)
    assert served(after, able(after, b"f")) == [b"2"]


def test_what_is_kept_counts_against_its_limit_after_a_restart_too() -> None:
    policy = Policy(keep_s=60.0, keep_bytes=100_000)
    journal = KeptJournal()
    engine = started(journal, policy)
    handles = []
    for result in (b"x" * 40_000, b"y" * 40_000, b"z" * 40_000):
        worker = able(engine, b"f")
        job = submit(engine)
        handles.append(job.handle)
        engine.grab(worker.worker)
        engine.complete(worker.worker, job.handle, result)
        engine = started(journal, policy, now_s=engine.now_s + 1.0)
    found = [engine.find(handle) for handle in handles]
    results = [job and engine.describe(job).result for job in found]
    assert results == [None, b"y" * 40_000, b"z" * 40_000]
    assert len(journal.puts) == 2


def test_an_operators_decisions_come_back() -> None:
    journal = KeptJournal()
    before = started(journal, Policy(max_running=1))
    before.functions.steer(b"paused", paused=True, draining=False)
    before.functions.steer(b"drained", paused=False, draining=True)
    before.functions.steer(b"both", paused=True, draining=True)
    before.functions.steer(b"both", paused=False, draining=False)
    before.functions.set_policy(b"f", Policy(max_running=2))
    before.functions.set_policy(b"g*", Policy(keep_s=5.0))
    before.functions.set_policy(b"h", Policy(keep_s=5.0))
    before.functions.set_policy(b"h", None)
    for _ in range(3):
        submit(before)
    after = started(journal, Policy(max_running=1))
    assert sorted(after.functions.names()) == [b"drained", b"f", b"paused"]
    for name, expected in ((b"paused", (True, False)), (b"drained", (False, True))):
        found = after.functions.get(name)
        assert found is not None
        assert (found.paused, found.draining) == expected
    assert {pattern: origin for pattern, origin, _ in after.functions.policies.items()} == {
        b"f": "set",
        b"g*": "set",
    }
    assert len(served(after, able(after, b"f"))) == 2
    after.submit(None, b"paused", b"", b"")
    assert not served(after, able(after, b"paused"))


def test_numbers_never_repeat() -> None:
    journal = KeptJournal()
    before = started(journal)
    worker = able(before, b"f")
    numbers = []
    for engine in (before, started(journal), started(journal)):
        for _ in range(3):
            job = submit(engine)
            numbers.append(job.number)
            worker = able(engine, b"f")
            while (given := engine.grab(worker.worker)) is not None:
                engine.complete(worker.worker, given.handle, b"")
            assert not journal.puts, "nothing is left to learn it from"
            numbers.append(engine.submit(ClientRecorder().client, b"f", b"", b"").number)
            assert journal.mark > engine.next_number
    assert numbers == sorted(set(numbers))


def test_numbers_and_places_of_what_is_left_count_without_a_mark_too() -> None:
    put = Put(7, b"H:x:7", b"f", b"", b"", Priority.NORMAL, 1.0, 0.0, 0.0, b"", b"")
    change = Change(7, "queued", 20, 1, 1, 0, 0.0, 2.0, b"lost", b"", b"", b"")
    cases: list[tuple[list[Record], int]] = [
        ([], 5),
        ([put], 8),
        ([put, change], 21),
        ([Mark(90), put], 90),
    ]
    for records, expected in cases:
        engine = Engine(first_number=5)
        assert not engine.restore(records)
        assert engine.next_number == expected


def test_the_mark_moves_on_before_it_is_reached() -> None:
    journal = KeptJournal()
    engine = started(journal)
    engine = Engine(journal=journal, first_number=journal.mark - 1)
    submit(engine)
    submit(engine)
    assert journal.mark > engine.next_number + 900_000


def test_what_cannot_be_read_is_told_and_the_rest_comes_back() -> None:
    put = Put(
        1, b"H:x:1", b"f", b"", b"data", Priority.NORMAL, 1.0, 0.0, 0.0, b"", b'{"poison": -1}'
    )
    other = put._replace(number=2, handle=b"H:x:2", options=b"")
    change = Change(2, "running", 2, 1, 0, 0, 0.0, 2.0, b"\xff", b"", b"no json", b"")
    engine = Engine()
    refused = engine.restore(
        [
            PolicyChange(b"f", b'{"attempts": 0}'),
            PolicyChange(b"g", b"{"),
            FunctionChange(b"f", False, False),
            put,
            other,
            change,
        ]
    )
    assert [sentence[:24] for sentence in refused] == [
        "the policy for b'f' can'",
        "the policy for b'g' can'",
        "the options of job b'H:x",
    ]
    assert served(engine, able(engine, b"f")) == [b"data", b"data"]


def test_an_expiry_counts_on_and_one_that_an_operator_lifted_stays_lifted() -> None:
    policy = Policy(expires_s=20.0, keep_s=1000.0, attempts=9, backoff=Delays())
    journal = KeptJournal()
    before = started(journal, policy)
    lifted, kept, late = (submit(before, b"%d" % n) for n in range(3))
    before.advance(NOW_S + 5.0)
    worker = able(before, b"f")
    before.cancel(kept.handle)
    before.retry(kept.handle)
    before.cancel(late.handle)
    before.advance(NOW_S + 30.0)
    assert lifted.state == kept.state == "expired"
    before.retry(lifted.handle)
    for restarted_s in (40.0, 50.0):
        before = started(journal, policy, now_s=NOW_S + restarted_s)
        assert [each.handle for each in before.jobs()] == [lifted.handle]
        worker = able(before, b"f")
        job = before.grab(worker.worker)
        assert job is not None
        assert job.handle == lifted.handle
        before.fail(worker.worker, job.handle)
        assert job.state == "queued"


def test_what_expired_while_the_server_was_down_is_not_started() -> None:
    policy = Policy(expires_s=20.0)
    journal = KeptJournal()
    before = started(journal, policy)
    submit(before)
    before.grab(able(before, b"f").worker)
    submit(before)
    submit(before, due_s=NOW_S + 10.0)
    after = started(journal, policy, now_s=NOW_S + 30.0)
    assert served(after, able(after, b"f")) == []
    assert after.statistics().expired == 3
    assert not journal.puts


def test_a_cancelled_delay_is_over_when_an_operator_has_the_job_run() -> None:
    policy = Policy(keep_s=1000.0)
    journal = KeptJournal()
    before = started(journal, policy)
    job = submit(before, b"data", due_s=NOW_S + 500.0)
    before.cancel(job.handle)
    before.retry(job.handle)
    assert before.describe(job).due_s == 0.0
    after = started(journal, policy)
    assert served(after, able(after, b"f")) == [b"data"]
