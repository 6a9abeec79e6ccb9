"""What is kept of jobs that ended: how much of it, for how long, and what the journal gets."""

from itertools import pairwise

import pytest

from gearpy.broker.gate import CommitGate
from gearpy.engine.archive import ATTEMPT_BYTES, JOB_BYTES, USAGE_BYTES, size_bytes
from gearpy.engine.engine import Engine
from gearpy.engine.job import DATA, Job
from gearpy.engine.life import ATTEMPT_ERROR_BYTES_MAX, ERROR_BYTES_MAX
from gearpy.engine.options import read_options
from gearpy.engine.policy import Delays, Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.statistics import Usage
from gearpy.errors import JournalFull

from .journals import KeptJournal
from .recorders import ClientRecorder, WorkerRecorder

MIB = 1 << 20
BURIES = Policy(attempts=1, keep_s=60.0)


def engine_with(policy: Policy, journal: KeptJournal | None = None) -> Engine:
    """An engine with a policy for the function f."""
    return Engine(journal=journal, policies=PolicyBook({b"f": policy}))


def able(engine: Engine) -> WorkerRecorder:
    """A worker that can do f."""
    worker = WorkerRecorder()
    engine.can_do(worker.worker, b"f")
    return worker


def started(engine: Engine, worker: WorkerRecorder, payload: bytes = b"") -> Job:
    """A job in the background that the worker holds."""
    job = engine.submit(None, b"f", b"", payload)
    assert engine.grab(worker.worker) is job
    return job


def finished(engine: Engine, worker: WorkerRecorder, result: bytes = b"") -> Job:
    """A job that is completed."""
    job = started(engine, worker)
    engine.complete(worker.worker, job.handle, result)
    return job


def kept(engine: Engine, jobs: list[Job]) -> list[bool]:
    """Whether each of them is still known."""
    return [engine.find(job.handle) is not None for job in jobs]


# ---- how much


def test_all_that_a_kept_job_takes_counts() -> None:
    engine = engine_with(Policy(attempts=3, backoff=Delays(), keep_s=60.0))
    worker = able(engine)
    text = b'{"labels": {"user": "ann"}}'
    job = engine.submit(None, b"f", b"unique", b"payload", options=read_options(text))
    for exception in (b"first", b"second"):
        engine.grab(worker.worker)
        engine.exception(worker.worker, job.handle, exception)
    engine.grab(worker.worker)
    engine.progress(worker.worker, job.handle, 1, 2, b"1\x002", b"half")
    engine.report(worker.worker, job.handle, DATA, b"part")
    engine.usage(worker.worker, job.handle, Usage(1.5, 80_000_000))
    engine.cancel(job.handle)
    assert job.life is not None
    carried = [job.handle, b"unique", b"payload", job.life.options, b"half", b"part"]
    carried += [b"first", b"second", b"second"]  # the last one is the job's own, too
    assert job.life.options
    taken_bytes = JOB_BYTES + 3 * ATTEMPT_BYTES + USAGE_BYTES
    assert size_bytes(job) == taken_bytes + len(b"".join(carried))
    assert job.queue.kept_bytes == size_bytes(job)


def test_a_payload_on_the_disk_takes_no_memory() -> None:
    journal = KeptJournal()
    policies = PolicyBook({b"f": Policy(keep_s=60.0)})
    engine = Engine(journal=journal, policies=policies, budget_bytes=100)
    job = started(engine, able(engine), payload=bytes(1000))
    assert size_bytes(job) > 2000
    engine.cancel(job.handle)
    assert job.payload is None
    assert job.queue.kept_bytes == size_bytes(job) < 2000


def test_a_history_without_results_is_bounded_too() -> None:
    engine = engine_with(Policy(keep_s=60.0, keep_bytes=10 * (JOB_BYTES + ATTEMPT_BYTES)))
    worker = able(engine)
    jobs = [finished(engine, worker) for _ in range(30)]
    assert kept(engine, jobs) == [False] * 21 + [True] * 9
    assert engine.statistics().kept == 9
    for job in jobs[21:]:
        engine.purge(job.handle)
    assert jobs[0].queue.kept_bytes == 0


def test_a_job_that_is_too_much_alone_takes_nobody_with_it() -> None:
    journal = KeptJournal()
    engine = engine_with(Policy(keep_s=60.0, keep_bytes=MIB), journal)
    worker = able(engine)
    small = finished(engine, worker, b"result")
    large = started(engine, worker, payload=bytes(MIB))
    engine.complete(worker.worker, large.handle, b"")
    assert kept(engine, [small, large]) == [True, False]
    assert list(journal.puts) == [small.number]
    assert large.queue.kept_bytes == size_bytes(small)
    assert engine.statistics().payload_bytes == 0


def test_a_smaller_limit_counts_from_the_next_end_on() -> None:
    engine = engine_with(Policy(keep_s=60.0))
    worker = able(engine)
    jobs = [finished(engine, worker) for _ in range(4)]
    engine.functions.set_policy(b"f", Policy(keep_s=60.0, keep_bytes=2 * size_bytes(jobs[0])))
    assert all(kept(engine, jobs))
    jobs.append(finished(engine, worker))
    assert kept(engine, jobs) == [False] * 3 + [True] * 2
    engine.functions.set_policy(b"f", Policy(keep_s=60.0, keep_bytes=0))
    jobs.append(finished(engine, worker, b"result"))
    assert not any(kept(engine, jobs))


def test_running_jobs_share_the_limit_with_each_other() -> None:
    engine = engine_with(Policy(keep_s=60.0, keep_bytes=MIB))
    worker = able(engine)
    jobs = [started(engine, worker) for _ in range(8)]
    part = bytes(MIB // 4)
    for job in jobs:
        engine.report(worker.worker, job.handle, DATA, part)
    assert [job.life.output_bytes for job in jobs if job.life] == [len(part)] * 3 + [0] * 5
    engine.cancel(jobs[0].handle)
    engine.fail(worker.worker, jobs[1].handle)
    assert kept(engine, jobs[:2]) == [True, True]
    for job in jobs[3:]:
        engine.report(worker.worker, job.handle, DATA, part)
    assert [job.life.output_bytes for job in jobs if job.life][2:] == [len(part)] * 3 + [0] * 3
    assert kept(engine, jobs[:2]) == [False, False], "what runs now is worth more than history"


def test_what_is_tried_again_gives_its_room_back_and_begins_anew() -> None:
    engine = engine_with(Policy(attempts=5, backoff=Delays(), keep_s=60.0, keep_bytes=MIB))
    worker = able(engine)
    job = started(engine, worker)
    part = bytes(MIB * 3 // 4)
    for _ in range(3):
        engine.progress(worker.worker, job.handle, 1, 2, b"1\x002", b"half")
        engine.report(worker.worker, job.handle, DATA, part)
        assert engine.describe(job).result == part
        engine.fail(worker.worker, job.handle)
        now = engine.describe(job)
        assert (now.result, now.text, now.numerator) == (None, "", 0)
        engine.grab(worker.worker)
    engine.complete(worker.worker, job.handle, part)
    assert engine.describe(job).result == part
    assert job.queue.kept_bytes == size_bytes(job)


def test_a_job_that_is_retried_by_request_begins_anew() -> None:
    engine = engine_with(Policy(keep_s=60.0))
    worker = able(engine)
    job = started(engine, worker)
    engine.progress(worker.worker, job.handle, 1, 2, b"1\x002", b"half")
    engine.report(worker.worker, job.handle, DATA, b"part")
    engine.fail(worker.worker, job.handle)
    assert (engine.describe(job).text, engine.describe(job).result) == ("half", b"part")
    engine.retry(job.handle)
    assert (engine.describe(job).text, engine.describe(job).result) == ("", None)
    assert job.queue.kept_bytes == 0


# ---- errors


def test_of_long_errors_the_beginning_is_kept_and_clients_hear_all() -> None:
    gate = CommitGate()
    policies = PolicyBook({b"f": Policy(attempts=30, backoff=Delays())})
    engine = Engine(journal=gate, policies=policies)
    client, worker = ClientRecorder(), able(engine)
    engine.submit(None, b"f", b"u", b"")
    job = engine.submit(client.client, b"f", b"u", b"")
    exception = b"Traceback" + b"\xff" * MIB
    for _ in range(30):
        engine.grab(worker.worker)
        engine.exception(worker.worker, job.handle, exception)
    now = engine.describe(job)
    assert now.state == "dead"
    assert now.error == exception[:ERROR_BYTES_MAX]
    assert [each.error for each in now.log] == [exception[:ATTEMPT_ERROR_BYTES_MAX]] * 30
    assert [heard.data for heard in client.heard] == [exception]
    work = gate.take_work()
    assert work is not None
    assert work.batch is not None
    (change,) = work.batch.changes
    assert len(change.error) == ERROR_BYTES_MAX
    assert len(change.log) < MIB, "six letters for each byte that is no text"


def test_the_error_of_a_job_that_is_tried_again_is_cut_as_well() -> None:
    engine = engine_with(Policy(attempts=2, backoff=Delays()))
    worker = able(engine)
    job = started(engine, worker)
    engine.exception(worker.worker, job.handle, bytes(MIB))
    assert len(engine.describe(job).error) == ERROR_BYTES_MAX


# ---- a full disk


@pytest.mark.parametrize("policy", [Policy(keep_s=60.0), BURIES])
def test_while_the_disk_is_full_a_foreground_job_is_kept_in_memory_only(policy: Policy) -> None:
    journal = KeptJournal()
    engine = engine_with(policy, journal)
    worker = able(engine)
    engine.journal_full = True
    assert engine.journal_full
    with pytest.raises(JournalFull):
        engine.submit(None, b"f", b"", b"")
    job = engine.submit(ClientRecorder().client, b"f", b"", b"payload")
    engine.grab(worker.worker)
    engine.exception(worker.worker, job.handle, b"oh")
    assert engine.describe(job).state == ("dead" if policy is BURIES else "failed")
    assert engine.find(job.handle) is job
    assert not journal.puts
    assert engine.statistics().payload_bytes == 0
    engine.journal_full = False
    engine.purge(job.handle)
    assert engine.find(job.handle) is None


def test_one_that_is_in_memory_only_is_written_when_it_has_to_be_done() -> None:
    journal = KeptJournal()
    engine = engine_with(BURIES, journal)
    worker = able(engine)
    engine.journal_full = True
    job = engine.submit(ClientRecorder().client, b"f", b"", b"payload")
    engine.grab(worker.worker)
    engine.fail(worker.worker, job.handle)
    engine.retry(job.handle)
    assert journal.puts[job.number].payload == b"payload"
    assert journal.changes[job.number].state == "queued"
    assert engine.statistics().payload_bytes == len(b"payload")


def test_while_the_disk_is_full_results_are_not_written() -> None:
    journal = KeptJournal()
    engine = engine_with(Policy(keep_s=60.0), journal)
    worker = able(engine)
    first, second = started(engine, worker), started(engine, worker)
    engine.journal_full = True
    engine.complete(worker.worker, first.handle, b"result")
    engine.journal_full = False
    engine.complete(worker.worker, second.handle, b"result")
    assert engine.describe(first).result == engine.describe(second).result == b"result"
    written = [journal.changes[job.number] for job in (first, second)]
    assert [(each.state, each.result) for each in written] == [
        ("completed", b""),
        ("completed", b"result"),
    ]


def test_the_next_end_of_a_job_is_written_whole_once_there_is_room() -> None:
    journal = KeptJournal()
    engine = engine_with(Policy(keep_s=60.0), journal)
    worker = able(engine)
    job = started(engine, worker)
    engine.journal_full = True
    engine.fail(worker.worker, job.handle)
    engine.journal_full = False
    engine.retry(job.handle)
    engine.grab(worker.worker)
    engine.complete(worker.worker, job.handle, b"result")
    assert journal.changes[job.number].result == b"result"


def test_a_row_that_a_person_set_back_to_queued_begins_without_its_result() -> None:
    journal = KeptJournal()
    before = engine_with(BURIES, journal)
    worker = able(before)
    job = started(before, worker)
    before.report(worker.worker, job.handle, DATA, b"part")
    before.fail(worker.worker, job.handle)
    change = journal.changes[job.number]
    assert (change.state, change.result) == ("dead", b"part")
    journal.changes[job.number] = change._replace(state="queued")
    after = engine_with(BURIES, journal)
    after.restore(list(journal.records()))
    worker = able(after)
    after.grab(worker.worker)
    after.complete(worker.worker, job.handle, b"result")
    found = after.find(job.handle)
    assert found is not None
    assert after.describe(found).result == b"result"


# ---- for how long


def test_a_sweep_takes_the_oldest_in_small_steps_and_stops_at_the_first_young_one() -> None:
    engine = engine_with(Policy(keep_s=60.0))
    worker = able(engine)
    for _ in range(450):
        finished(engine, worker)
    engine.advance(30.0)
    young = [finished(engine, worker) for _ in range(10)]
    left = [engine.statistics().kept]
    while left[-1] > 10:
        engine.advance(engine.next_due_s())
        left.append(engine.statistics().kept)
    assert [before - after for before, after in pairwise(left) if before != after] == [200, 200, 50]
    assert engine.now_s < 61.0
    assert all(kept(engine, young))
    engine.advance(91.0)
    assert not any(kept(engine, young))


def test_what_is_kept_tells_how_jobs_ended_also_after_a_restart() -> None:
    journal = KeptJournal()
    keeps = Policy(attempts=1, keep_s=1e6)
    engine = engine_with(keeps, journal)
    worker = able(engine)
    for end_s, end in ((10.0, "well"), (20.0, "well"), (30.0, "badly"), (40.0, "not at all")):
        job = engine.submit(None, b"f", b"", b"")
        if end == "not at all":
            engine.cancel(job.handle)
            continue
        engine.advance(end_s - 2.0)
        assert engine.grab(worker.worker) is job
        engine.advance(end_s)
        if end == "well":
            engine.complete(worker.worker, job.handle, b"")
        else:
            engine.fail(worker.worker, job.handle)
    again = engine_with(keeps)
    again.restore(journal.records())
    for each in (engine, again):
        kept = each.functions.kept(b"f", 100)
        assert kept is not None
        assert (kept.completed, kept.failed, kept.dead) == (2, 0, 1)
        assert (sum(kept.running.counts), kept.running.sum_s) == (3, 6.0)
        assert (sum(kept.whole.counts), kept.whole.sum_s) == (3, 30.0)
    newest = engine.functions.kept(b"f", 2)
    assert newest is not None
    assert (newest.completed, newest.dead) == (1, 1)  # the newest kept one was cancelled
    assert engine.functions.kept(b"unknown", 1) is None
