"""Payloads that are on disk only: the order stays, nobody waits beside a job, bytes are counted."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gearpy.engine.engine import Engine
from gearpy.engine.job import Job
from gearpy.engine.options import read_options
from gearpy.engine.policy import Delays, Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.queue import Lane
from gearpy.engine.stock import BLOCK, FRONT
from gearpy.priority import Priority

from .journals import KeptJournal
from .recorders import ClientRecorder, WorkerRecorder, able


def engine_with(budget_bytes: float, policy: Policy | None = None) -> tuple[Engine, KeptJournal]:
    journal = KeptJournal()
    policies = PolicyBook({} if policy is None else {b"f": policy})
    return Engine(journal=journal, policies=policies, budget_bytes=budget_bytes), journal


def submit(engine: Engine, count: int, priority: Priority = Priority.NORMAL) -> list[Job]:
    return [engine.submit(None, b"f", b"", b"%06d" % n, priority) for n in range(count)]


def lane_of(engine: Engine, worker: WorkerRecorder, priority: Priority = Priority.NORMAL) -> Lane:
    lane = next(iter(worker.worker.abilities)).lanes[priority]
    assert lane is not None
    return lane


def held_bytes(engine: Engine, jobs: list[Job]) -> int:
    """A recount over jobs that are journalled and not forgotten."""
    return sum(len(job.payload) for job in jobs if job.payload and engine.find(job.handle))


def test_what_stands_in_front_stays_in_memory_whatever_the_budget_says() -> None:
    engine, _ = engine_with(0.0)
    jobs = submit(engine, FRONT + 100)
    assert [job.payload is None for job in jobs] == [False] * FRONT + [True] * 100
    assert engine.statistics().payload_bytes == 6 * FRONT
    assert lane_of(engine, able(engine, b"f")).bare == 100


def test_what_fits_stays_in_memory() -> None:
    engine, _ = engine_with(6.0 * (FRONT + 50))
    jobs = submit(engine, FRONT + 100)
    assert sum(job.payload is None for job in jobs) == 50
    assert engine.statistics().payload_bytes == 6 * (FRONT + 50)


def test_what_waits_for_its_time_is_read_when_it_is_due() -> None:
    engine, journal = engine_with(0.0)
    worker = able(engine, b"f", asleep=True)
    job = engine.submit(None, b"f", b"", b"data", due_s=5.0)
    assert job.payload is None
    engine.advance(5.0)
    assert worker.wakes == 1
    assert engine.grab(worker.worker) is None, "not without its payload"
    assert journal.wanted == [job.number]
    engine.sleep(worker.worker)
    assert worker.wakes == 1, "nothing can be given out yet"
    journal.answer(engine)
    assert worker.wakes == 2
    assert engine.grab(worker.worker) is job
    assert job.payload == b"data"
    other = engine.submit(None, b"f", b"", b"other", due_s=9.0)
    engine.advance(9.0)
    assert engine.grab(worker.worker) is None
    journal.answer(engine)
    assert engine.grab(worker.worker) is other, "it is asked for as often as need be"


def test_payloads_are_asked_for_before_they_are_needed() -> None:
    engine, journal = engine_with(0.0)
    jobs = submit(engine, 3000)
    worker = able(engine, b"f")
    for job in jobs:
        assert engine.grab(worker.worker) is job, "the worker never waits for a prompt disk"
        assert len(journal.wanted) <= BLOCK
        engine.complete(worker.worker, job.handle, b"")
        journal.answer(engine)
        assert engine.statistics().payload_bytes <= 6 * (FRONT + BLOCK + 1)


def test_a_payload_that_identifies_its_job_stays() -> None:
    engine, _ = engine_with(0.0)
    submit(engine, FRONT + 1)
    same = [engine.submit(None, b"f", b"-", b"same", due_s=due_s) for due_s in (9.0, 0.0)]
    assert same[0] is same[1]
    assert same[0].payload == b"same"
    assert engine.submit(None, b"f", b"-", b"late").payload == b"late"


def test_it_stays_through_ends_retries_and_restarts() -> None:
    policy = Policy(attempts=2, backoff=Delays((5.0,)))
    engine, journal = engine_with(0.0, policy)
    worker = able(engine, b"f")
    job = engine.submit(None, b"f", b"-", b"same")
    for now_s in (0.0, 5.0):
        engine.advance(now_s)
        assert engine.grab(worker.worker) is job
        engine.fail(worker.worker, job.handle)
        assert job.payload == b"same"
    assert job.state == "dead"
    after = Engine(journal=journal, policies=PolicyBook({b"f": policy}), budget_bytes=0.0)
    assert not after.restore(list(journal.records()))
    assert after.retry(job.handle)
    found = after.submit(None, b"f", b"-", b"same")
    assert (found.handle, found.payload) == (job.handle, b"same")


def test_a_background_submit_that_joins_leaves_the_payload_where_it_is() -> None:
    engine, _ = engine_with(0.0)
    client, worker = ClientRecorder(), able(engine, b"f")
    job = engine.submit(client.client, b"f", b"u", b"data")
    assert engine.submit(None, b"f", b"u", b"other") is job
    assert lane_of(engine, worker).bare == 0
    assert engine.statistics().payload_bytes == 4
    assert engine.grab(worker.worker) is job
    assert job.payload == b"data"


def test_what_is_tried_again_later_needs_no_memory_until_then() -> None:
    engine, journal = engine_with(0.0, Policy(attempts=2, backoff=Delays((60.0,))))
    worker = able(engine, b"f")
    jobs = submit(engine, 10)
    for job in jobs:
        engine.grab(worker.worker)
        engine.fail(worker.worker, job.handle)
    assert engine.statistics().payload_bytes == 0
    engine.advance(60.0)
    assert engine.grab(worker.worker) is None
    journal.answer(engine)
    assert [engine.grab(worker.worker) for _ in jobs] == jobs


def test_dead_letters_need_no_memory_and_have_their_payload_again_when_they_run() -> None:
    engine, journal = engine_with(0.0, Policy(attempts=1))
    worker = able(engine, b"f")
    jobs = submit(engine, 5)
    for job in jobs:
        engine.grab(worker.worker)
        engine.fail(worker.worker, job.handle)
    assert engine.statistics().payload_bytes == 0
    assert all(engine.retry(job.handle) for job in jobs)
    assert engine.grab(worker.worker) is None
    journal.answer(engine, 2)
    assert [engine.grab(worker.worker) for _ in range(3)] == [*jobs[:2], None]
    journal.answer(engine)
    assert [engine.grab(worker.worker) for _ in range(3)] == jobs[2:]
    assert [job.payload for job in jobs] == [b"%06d" % n for n in range(5)]


def test_jobs_that_are_cancelled_while_they_are_read() -> None:
    engine, journal = engine_with(0.0, Policy(keep_s=9.0))
    worker = able(engine, b"f")
    jobs = [engine.submit(None, b"f", b"", b"%d" % n, due_s=1.0) for n in range(4)]
    engine.advance(1.0)
    assert engine.grab(worker.worker) is None
    engine.cancel(jobs[0].handle)
    engine.cancel(jobs[1].handle)
    engine.retry(jobs[1].handle)
    journal.answer(engine)
    assert engine.statistics().payload_bytes == 3
    assert lane_of(engine, worker).bare == 0
    assert [engine.grab(worker.worker) for _ in range(4)] == [*jobs[2:], jobs[1], None]


def test_a_payload_that_is_gone_kills_its_job_and_no_other() -> None:
    engine, journal = engine_with(0.0)
    client, worker = ClientRecorder(), able(engine, b"f", asleep=True)
    jobs = [engine.submit(None, b"f", b"%d" % n, b"data", due_s=1.0) for n in range(3)]
    engine.submit(client.client, b"f", b"0", b"")
    engine.advance(1.0)
    assert engine.grab(worker.worker) is None
    numbers, journal.wanted = journal.wanted, []
    engine.restock(numbers, {jobs[1].number: b"data"})
    assert jobs[0].state == "queued", "the disk may not have come to it"
    for _ in range(2):
        assert engine.grab(worker.worker) is None, "it is still in front"
        numbers, journal.wanted = journal.wanted, []
        engine.restock(numbers, {} if jobs[2].payload else {jobs[2].number: b"data"})
    found = engine.describe(jobs[0])
    assert found.state == "dead"
    assert found.reason == "its payload is not in the journal any more"
    assert [heard.what for heard in client.take()] == ["failed"]
    assert [engine.grab(worker.worker) for _ in range(3)] == [*jobs[1:], None]
    assert engine.statistics().buried == 1


def test_one_lane_waits_for_the_disk_and_others_do_not() -> None:
    engine, journal = engine_with(0.0)
    worker = able(engine, b"f", b"g")
    late = engine.submit(None, b"f", b"", b"late", due_s=1.0)
    other = engine.submit(None, b"g", b"", b"other")
    engine.advance(1.0)
    assert engine.grab(worker.worker) is other
    assert engine.grab(worker.worker) is None
    journal.answer(engine)
    assert engine.grab(worker.worker) is late


def test_after_a_restart_payloads_are_read_in_turn() -> None:
    before, journal = engine_with(float("inf"))
    submit(before, 2000)
    engine = Engine(journal=journal, budget_bytes=600.0)
    assert not engine.restore(list(journal.records()))
    assert engine.statistics().payload_bytes == 600
    worker = able(engine, b"f", asleep=True)
    given = []
    while engine.statistics().queued:
        job = engine.grab(worker.worker)
        if job is None:
            assert journal.wanted, "nobody waits for nothing"
            journal.answer(engine, 100)
        else:
            given.append(job.payload)
            engine.complete(worker.worker, job.handle, b"")
    assert given == [b"%06d" % n for n in range(2000)]
    assert engine.statistics().payload_bytes == 0


def test_a_parked_job_keeps_its_payload() -> None:
    engine, journal = engine_with(0.0, Policy(max_running_per_key=1))
    worker = able(engine, b"f")
    asked = read_options(b'{"key": "k"}')
    jobs = [engine.submit(None, b"f", b"", b"%d" % n, due_s=1.0, options=asked) for n in range(3)]
    engine.advance(1.0)
    assert engine.grab(worker.worker) is None
    journal.answer(engine)
    for job in jobs:
        assert engine.grab(worker.worker) is job
        assert engine.grab(worker.worker) is None
        engine.complete(worker.worker, job.handle, b"")
    assert engine.statistics().payload_bytes == 0


class SmallMemory(RuleBasedStateMachine):
    """Thousands of jobs and little memory; the disk answers late, and not all at once.

    The model of a lane is the list of the jobs that are queued in it.
    """

    @initialize(budget_bytes=st.sampled_from([0.0, 1000.0, 4000.0]))
    def begin(self, budget_bytes: float) -> None:
        policy = Policy(attempts=2, backoff=Delays(()), keep_s=1e9)
        self.engine, self.journal = engine_with(budget_bytes, policy)
        self.lanes: dict[Priority, list[Job]] = {priority: [] for priority in Priority}
        self.payloads: dict[Job, bytes] = {}
        self.held: list[Job] = []
        self.ended: list[Job] = []
        self.sleeper = able(self.engine, b"f", asleep=True)
        self.worker = able(self.engine, b"f")

    @rule(count=st.sampled_from([1, 300, 700, 2500]), priority=st.sampled_from(Priority))
    def submit(self, count: int, priority: Priority) -> None:
        if len(self.payloads) > 8000:
            return
        for number, job in enumerate(submit(self.engine, count, priority)):
            self.lanes[priority].append(job)
            self.payloads[job] = b"%06d" % number

    @rule(count=st.sampled_from([1, 30, 400]))
    def grab(self, count: int) -> None:
        while count and self._grab(self.worker):
            count -= 1

    def _grab(self, worker: WorkerRecorder) -> bool:
        job = self.engine.grab(worker.worker)
        if job is None:
            assert self.journal.wanted or not self._queued(), "nothing, and nothing to come"
            return False
        lane = next(lane for lane in self.lanes.values() if lane)
        assert job is lane.pop(0), "the order is kept"
        assert job.payload == self.payloads[job], "nothing is given out without its payload"
        self.held.append(job)
        return True

    @rule(count=st.sampled_from([1, 60]), how=st.sampled_from(["complete", "fail"]))
    def end(self, count: int, how: str) -> None:
        for job in self.held[:count]:
            worker = job.worker
            if how == "complete":
                assert self.engine.complete(worker, job.handle, b"")
            else:
                assert self.engine.fail(worker, job.handle)
            if job.state == "queued":
                self.lanes[job.priority].append(job)
            else:
                self.ended.append(job)
        del self.held[:count]

    @rule(start=st.integers(0, 3000), count=st.sampled_from([1, 40, 800]))
    def cancel(self, start: int, count: int) -> None:
        for lane in self.lanes.values():
            for job in lane[start : start + count]:
                assert self.engine.cancel(job.handle)
                self.ended.append(job)
            del lane[start : start + count]

    @rule(start=st.integers(0, 60), count=st.sampled_from([1, 40, 400]))
    def retry(self, start: int, count: int) -> None:
        for job in self.ended[start : start + count]:
            if job.state != "completed":
                assert self.engine.retry(job.handle)
                self.lanes[job.priority].append(job)
        self.ended = [job for job in self.ended if job.state != "queued"]

    @rule(count=st.sampled_from([1, 40, 800]))
    def purge(self, count: int) -> None:
        for job in self.ended[:count]:
            assert self.engine.purge(job.handle)
        del self.ended[:count]

    @rule(count=st.sampled_from([1, 50, 10_000]))
    def the_disk_answers(self, count: int) -> None:
        if self.journal.wanted:
            self.journal.answer(self.engine, count)

    @rule()
    def who_was_woken_comes(self) -> None:
        if self.sleeper.worker.called_for is not None:
            self._grab(self.sleeper)
            self.engine.sleep(self.sleeper.worker)

    @invariant()
    def nobody_sleeps_beside_a_job(self) -> None:
        first = next((lane[0] for lane in self.lanes.values() if lane), None)
        if first is not None and first.payload is not None and not self.journal.wanted:
            assert self.sleeper.worker.called_for is not None, "a job, and it sleeps"

    @invariant()
    def books(self) -> None:
        jobs = [*self.held, *self.ended, *(job for lane in self.lanes.values() for job in lane)]
        held = sum(len(job.payload) for job in jobs if job.payload is not None)
        assert self.engine.statistics().payload_bytes == held
        for priority, expected in self.lanes.items():
            lane = next(iter(self.worker.worker.abilities)).lanes[priority]
            assert (lane.count if lane else 0) == len(expected)
            assert (lane.bare if lane else 0) == sum(job.payload is None for job in expected)

    def _queued(self) -> bool:
        return any(self.lanes.values())

    def teardown(self) -> None:
        """All of it comes, in the end."""
        for _ in range(10_000):
            if not self._queued():
                break
            self.journal.answer(self.engine)
            self.grab(400)
        assert not self._queued()


TestSmallMemory = SmallMemory.TestCase
TestSmallMemory.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
