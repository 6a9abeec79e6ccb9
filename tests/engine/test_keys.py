"""Jobs that wait for others with their key: the order, what it costs, payloads on disk only."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.engine import Engine
from gearpy.engine.job import CANCELLED, QUEUED, Job
from gearpy.engine.life import Life
from gearpy.engine.options import read_options
from gearpy.engine.policy import Delays, Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.queue import FunctionQueue, KeyLine, Lane
from gearpy.priority import Priority

from .journals import KeptJournal
from .recorders import WorkerRecorder, able

ONE = Policy(max_running_per_key=1)
GHOSTS_MAX = 65  # beside as many as there are jobs


def engine_with(policy: Policy) -> Engine:
    return Engine(policies=PolicyBook({b"f": policy}))


def submit(
    engine: Engine, key: str = "", priority: Priority = Priority.NORMAL, payload: bytes = b""
) -> Job:
    options = read_options(b'{"key": "%b"}' % key.encode())
    return engine.submit(None, b"f", b"", payload, priority, options=options)


def queue_of(worker: WorkerRecorder) -> FunctionQueue:
    return next(iter(worker.worker.abilities))


def in_lanes(worker: WorkerRecorder) -> int:
    return queue_of(worker).queued


# ---- what is decided about the function


def test_only_another_limit_for_keys_puts_those_back_that_wait() -> None:
    engine = engine_with(ONE)
    worker = able(engine, b"f")
    jobs = [submit(engine, key) for _ in range(20) for key in "abc"]
    running = [engine.grab(worker.worker) for _ in range(4)]
    assert running == [*jobs[:3], None]
    for paused in (True, False):
        engine.functions.steer(b"f", paused=paused, draining=paused)
        assert in_lanes(worker) == 0
    engine.functions.limit(b"f", (100, 100, 100))
    engine.functions.set_policy(b"f", Policy(max_running_per_key=1, max_queue=500, timeout_s=9.0))
    assert in_lanes(worker) == 0
    assert engine.peek(b"f", 5) == jobs[3:8]
    engine.functions.set_policy(b"f", Policy(max_running_per_key=2))
    assert in_lanes(worker) == 57
    assert [engine.grab(worker.worker) for _ in range(4)] == [*jobs[3:6], None]
    engine.functions.set_policy(b"f", Policy())
    assert [engine.grab(worker.worker) for _ in range(55)] == [*jobs[6:], None]
    assert not any(queue_of(worker).parked)


def test_a_limit_that_sinks_lets_nobody_else_in_before_it_is_kept() -> None:
    engine = engine_with(Policy(max_running_per_key=3))
    worker = able(engine, b"f")
    jobs = [submit(engine, "a") for _ in range(6)]
    assert [engine.grab(worker.worker) for _ in range(4)] == [*jobs[:3], None]
    engine.functions.set_policy(b"f", ONE)
    assert engine.grab(worker.worker) is None
    for job in jobs[:2]:
        engine.complete(worker.worker, job.handle, b"")
        assert in_lanes(worker) == 0
        assert engine.grab(worker.worker) is None
    engine.complete(worker.worker, jobs[2].handle, b"")
    assert [engine.grab(worker.worker) for _ in range(2)] == [jobs[3], None]


# ---- what comes, and what is searched


def test_who_comes_when_its_key_is_taken_stands_in_nobodys_way() -> None:
    engine = engine_with(ONE)
    worker = able(engine, b"f")
    first = submit(engine, "a")
    assert engine.grab(worker.worker) is first
    free = [submit(engine) for _ in range(3)]
    behind = submit(engine, "a")
    late = submit(engine)
    urgent = submit(engine, "a", Priority.HIGH)
    assert in_lanes(worker) == 4
    assert engine.peek(b"f", 9) == [*free, late, urgent, behind]
    found = engine.functions.get(b"f")
    assert found is not None
    assert found.queued == (0, 1, 5, 0)
    engine.complete(worker.worker, first.handle, b"")
    assert in_lanes(worker) == 5
    assert submit(engine, "a", Priority.LOW).life is not None
    assert in_lanes(worker) == 5, "it stands behind one that waits"
    highest = submit(engine, "a", Priority.CRITICAL)
    assert in_lanes(worker) == 6, "and this one before it"
    assert engine.grab(worker.worker) is highest
    engine.complete(worker.worker, highest.handle, b"")
    assert engine.grab(worker.worker) is urgent
    engine.complete(worker.worker, urgent.handle, b"")
    assert [engine.grab(worker.worker) for _ in range(5)] == [*free, behind, late]


def test_a_long_search_is_done_in_parts_and_nobody_sleeps_beside_a_job() -> None:
    engine = engine_with(ONE)
    worker = able(engine, b"f")
    jobs = [submit(engine, "a") for _ in range(3000)]
    free = submit(engine)
    assert engine.grab(worker.worker) is jobs[0]
    sleeper = able(engine, b"f", asleep=True)
    grabs = 0
    while True:
        assert sleeper.worker.called_for is not None, "a job, and it sleeps"
        before = in_lanes(sleeper)
        job = engine.grab(sleeper.worker)
        grabs += 1
        assert before - in_lanes(sleeper) <= 201
        if job is not None:
            break
        engine.sleep(sleeper.worker)
    assert job is free
    assert 10 < grabs < 40
    engine.sleep(sleeper.worker)
    assert sleeper.worker.called_for is None, "there is nothing for it"
    assert engine.peek(b"f", 3) == jobs[1:4]


def test_who_waits_for_longest_is_found_behind_what_ran_when_the_server_went_down() -> None:
    journal = KeptJournal()
    policies = PolicyBook({b"f": ONE})
    engine = Engine(journal=journal, policies=policies)
    worker = able(engine, b"f")
    first = submit(engine)
    keyed = submit(engine, "a")
    assert [engine.grab(worker.worker) for _ in range(2)] == [first, keyed]
    submit(engine)
    again = Engine(journal=journal, policies=policies, now_s=50.0)
    again.restore(journal.records())
    found = again.functions.get(b"f")
    assert found is not None
    assert found.oldest_queued_s == 0.0


def test_who_waits_for_longest_may_wait_for_its_key() -> None:
    engine = engine_with(ONE)
    worker = able(engine, b"f")
    first, _ = submit(engine, "a"), submit(engine, "a")
    assert [engine.grab(worker.worker) for _ in range(2)] == [first, None]
    engine.advance(5.0)
    submit(engine, "a", Priority.HIGH)
    submit(engine)
    found = engine.functions.get(b"f")
    assert found is not None
    assert found.oldest_queued_s == 0.0


# ---- a line and a lane by themselves


def new_job(number: int, priority: Priority = Priority.NORMAL) -> Job:
    job = Job(b"H:t:%d" % number, FunctionQueue(b"f"), b"", b"", priority, True, 0.0)
    job.life = Life()
    job.life.key = b"k"
    return job


def order(job: Job) -> tuple[int, int]:
    return job.priority, job.place


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["park", "park", "unpark", "leave", "come back", "park again"]),
            st.integers(0, 99),
            st.sampled_from(Priority),
        ),
        max_size=80,
    )
)
def test_a_line_is_like_a_sorted_list(steps: list[tuple[str, int, Priority]]) -> None:
    line = KeyLine()
    jobs: list[Job] = []
    gone: list[Job] = []
    taken: list[Job] = []
    for number, (what, pick, priority) in enumerate(steps, start=1):
        if what == "park":
            jobs.append(new_job(number, priority))
            line.park(jobs[-1])
        elif what == "unpark" and jobs:
            taken.append(jobs.pop(0))
            assert line.unpark() is taken[-1]
        elif what == "leave" and jobs:
            gone.append(jobs.pop(pick % len(jobs)))
            gone[-1].state = CANCELLED
            line.discard(gone[-1])
        elif what == "come back" and gone:
            job = gone.pop(pick % len(gone))
            assert job.life is not None
            job.state, job.life.place = QUEUED, number
            jobs.append(job)
            line.park(job)
        elif what == "park again" and taken:
            jobs.append(taken.pop(pick % len(taken)))
            line.park(jobs[-1])
        jobs.sort(key=order)
        assert line.count == len(jobs)
        assert list(line) == jobs
        assert line.first() is (jobs[0] if jobs else None)
    left = [entry[2] for entries in line.unpark_all().values() for entry in entries]
    assert sorted(left, key=order) == jobs
    assert line.count == 0
    assert not any(job.life is None or job.life.parked for job in left)


def test_a_line_forgets_who_left() -> None:
    line = KeyLine()
    first = new_job(1)
    line.park(first)
    for number in range(2, 5000):
        job = new_job(number)
        line.park(job)
        job.state = CANCELLED
        line.discard(job)
        assert sum(map(len, line._heaps.values())) <= 2 * line.count + GHOSTS_MAX
    assert line.unpark() is first


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["push", "push", "pop", "leave", "put back", "merge"]),
            st.integers(0, 99),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_a_lane_takes_back_at_any_place(steps: list[tuple[str, int, bool]]) -> None:
    lane = Lane()
    jobs: list[Job] = []
    taken: list[Job] = []
    for number, (what, pick, bare) in enumerate(steps, start=1):
        if what == "push":
            jobs.append(new_job(number))
            if bare:
                jobs[-1].payload = None
            lane.push(jobs[-1])
        elif what == "pop" and jobs:
            taken.append(jobs.pop(0))
            assert lane.pop() is taken[-1]
        elif what == "leave" and jobs:
            job = jobs.pop(pick % len(jobs))
            job.state = CANCELLED
            lane.discard(job)
        elif what == "put back" and taken:
            jobs.append(taken.pop(pick % len(taken)))
            lane.put_back(jobs[-1])
        elif what == "merge":
            lane.merge((job.place, job.handle, job) for job in sorted(taken, key=order))
            jobs += taken
            taken.clear()
        jobs.sort(key=order)
        assert list(lane) == jobs
        assert lane.count == len(jobs)
        assert lane.bare == sum(job.payload is None for job in jobs)
        assert len(lane) <= 2 * lane.count + GHOSTS_MAX


# ---- payloads on disk only


class Shop:
    """One function, little memory, a disk that answers late; beside it a list of what is queued."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.per_key = 1
        self.journal = KeptJournal()
        self.engine = Engine(
            journal=self.journal, policies=PolicyBook({b"f": self._policy()}), budget_bytes=20.0
        )
        self.worker = able(self.engine, b"f")
        self.queued: list[Job] = []
        self.running: list[Job] = []
        self.ended: list[Job] = []
        self.payloads: dict[Job, bytes] = {}

    def _policy(self) -> Policy:
        return Policy(max_running_per_key=self.per_key, attempts=3, backoff=Delays(()), keep_s=1e9)

    def submit(self) -> None:
        """Some come at once, some were late, and so are on disk only."""
        late = self.random.random() < 0.6
        due_s = self.engine.now_s + 1.0 if late else 0.0
        jobs = []
        for _ in range(self.random.choice((1, 5, 25))):
            options = read_options(self.random.choice((b"", b'{"key": "a"}', b'{"key": "b"}')))
            priority = self.random.choice((Priority.HIGH, Priority.NORMAL))
            payload = b"%d" % len(self.payloads)
            job = self.engine.submit(
                None, b"f", b"", payload, priority, due_s=due_s, options=options
            )
            self.payloads[job] = payload
            jobs.append(job)
        if late:
            self.engine.advance(due_s)
        self.queued += jobs

    def next_job(self) -> Job | None:
        for job in sorted(self.queued, key=order):
            key = job.life.key if job.life is not None else b""
            same = sum(other.life is not None and other.life.key == key for other in self.running)
            if not key or not self.per_key or same < self.per_key:
                return job
        return None

    def grab(self) -> None:
        expected = self.next_job()
        job = self.engine.grab(self.worker.worker)
        while job is None and expected is not None:
            assert self.journal.wanted, "nothing, and nothing to come"
            self.journal.answer(self.engine, self.random.choice((1, 3, 1000)))
            job = self.engine.grab(self.worker.worker)
        assert job is expected
        if job is not None:
            assert job.payload == self.payloads[job]
            self.queued.remove(job)
            self.running.append(job)

    def end(self) -> None:
        if not self.running:
            return
        job = self.running.pop(self.random.randrange(len(self.running)))
        if self.random.random() < 0.3:
            self.engine.fail(self.worker.worker, job.handle)
        else:
            self.engine.complete(self.worker.worker, job.handle, b"")
        (self.queued if job.state == "queued" else self.ended).append(job)

    def cancel(self) -> None:
        for _ in range(min(len(self.queued), self.random.choice((1, 1, 10)))):
            job = self.queued.pop(self.random.randrange(len(self.queued)))
            self.engine.cancel(job.handle)
            self.ended.append(job)

    def retry(self) -> None:
        for job in self.ended:
            if job.state != "completed" and self.random.random() < 0.3:
                self.engine.retry(job.handle)
                self.queued.append(job)
        self.ended = [job for job in self.ended if job.state != "queued"]

    def answer(self) -> None:
        if self.journal.wanted:
            self.journal.answer(self.engine, self.random.choice((1, 3, 1000)))

    def decide(self) -> None:
        self.per_key = self.random.choice((0, 1, 1, 2, 3))
        self.engine.functions.set_policy(b"f", self._policy())

    def check(self) -> None:
        jobs = [*self.queued, *self.running, *self.ended]
        held = sum(len(job.payload) for job in jobs if job.payload is not None)
        assert self.engine.statistics().payload_bytes == held
        queue = queue_of(self.worker)
        parked = [job for job in self.queued if job.life is not None and job.life.parked]
        assert sum(line.count for line in queue.keys.values()) == len(parked)
        for priority in Priority:
            lane = queue.lanes[priority]
            waiting = [job for job in self.queued if job.priority is priority]
            aside = [job for job in waiting if job in parked]
            standing = sorted((job for job in waiting if job not in aside), key=order)
            assert queue.parked[priority] == len(aside)
            assert list(lane or ()) == standing
            assert (lane.bare if lane else 0) == sum(job.payload is None for job in standing)
        found = self.engine.functions.get(b"f")
        assert found is not None
        assert sum(found.queued) == len(self.queued)


@pytest.mark.parametrize("seed", range(25))
def test_with_little_memory_and_a_late_disk_the_order_is_kept(seed: int) -> None:
    random = Random(seed)
    shop = Shop(random)
    steps = [shop.submit, shop.grab, shop.end, shop.cancel, shop.retry, shop.answer, shop.decide]
    for _ in range(150):
        random.choices(steps, (2, 8, 6, 1, 1, 3, 0.5))[0]()
        shop.check()
    while shop.queued or shop.running:
        shop.grab()
        shop.end()
    shop.check()
    assert not queue_of(shop.worker).keys


def test_the_next_payload_is_read_while_the_one_before_runs() -> None:
    journal = KeptJournal()
    engine = Engine(journal=journal, policies=PolicyBook({b"f": ONE}), budget_bytes=0.0)
    worker = able(engine, b"f")
    jobs = [submit(engine, "a", payload=b"data") for _ in range(200)]
    dry = 0
    for job in jobs:
        while (got := engine.grab(worker.worker)) is None:
            dry += 1
            journal.answer(engine)
        assert got is job
        assert engine.grab(worker.worker) is None
        if journal.wanted:
            journal.answer(engine)
        engine.complete(worker.worker, job.handle, b"")
        assert engine.statistics().payload_bytes <= 4 * 200
    assert dry == 0
    assert engine.statistics().payload_bytes == 0


def test_who_is_set_aside_keeps_its_payload_only_if_there_is_room_or_it_comes_soon() -> None:
    journal = KeptJournal()
    engine = Engine(journal=journal, policies=PolicyBook({b"f": ONE}), budget_bytes=0.0)
    worker = able(engine, b"f")
    jobs = [submit(engine, "a", payload=b"data") for _ in range(100)]
    assert engine.statistics().payload_bytes == 400, "they stand in front"
    assert [engine.grab(worker.worker) for _ in range(2)] == [jobs[0], None]
    assert not journal.wanted
    kept = [job for job in jobs if job.payload is not None]
    assert kept == jobs[: len(kept)]
    assert 2 <= len(kept) <= 20
    assert engine.statistics().payload_bytes == 4 * len(kept)
