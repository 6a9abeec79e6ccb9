"""Who is woken, when, and how few.  The rules hold in general in ``test_against_model``."""

import math
from collections import OrderedDict
from collections.abc import Iterator

import pytest

from gearpy.engine.engine import Engine
from gearpy.engine.job import Job
from gearpy.engine.peers import Ability
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.rules import Rules
from gearpy.priority import Priority

from .recorders import WorkerRecorder, able


def submit(
    engine: Engine,
    function: bytes = b"f",
    priority: Priority = Priority.NORMAL,
    due_s: float = 0.0,
) -> Job:
    return engine.submit(None, function, b"", b"", priority, due_s)


def wakes(*workers: WorkerRecorder) -> list[int]:
    return [worker.wakes for worker in workers]


def test_a_job_wakes_one_of_two_thousand() -> None:
    engine = Engine()
    fleet = [able(engine, b"f", asleep=True) for _ in range(2000)]
    submit(engine)
    assert sum(wakes(*fleet)) == 1
    for _ in range(9):
        submit(engine)
    assert sum(wakes(*fleet)) == 10
    assert max(wakes(*fleet)) == 1
    assert engine.statistics().wakes == 10


def test_more_jobs_than_sleepers_wake_each_once() -> None:
    engine = Engine()
    fleet = [able(engine, b"f", asleep=True) for _ in range(3)]
    for _ in range(10):
        submit(engine)
    assert wakes(*fleet) == [1, 1, 1]


def test_more_wakes_for_a_job_where_that_is_asked_for() -> None:
    engine = Engine(Rules(wakes_per_job=3))
    fleet = [able(engine, b"f", asleep=True) for _ in range(10)]
    submit(engine)
    assert sum(wakes(*fleet)) == 3
    submit(engine)
    assert sum(wakes(*fleet)) == 6


def test_a_sleeper_that_finds_work_is_woken_at_once() -> None:
    engine = Engine()
    submit(engine)
    worker = able(engine, b"f", asleep=True)
    assert worker.wakes == 1
    other = able(engine, b"f", asleep=True)
    assert other.wakes == 0, "the first one comes for the only job"


def test_a_sleeper_that_learns_a_function_is_woken_for_it() -> None:
    engine = Engine()
    submit(engine)
    worker = able(engine, b"g", asleep=True)
    assert worker.wakes == 0
    engine.can_do(worker.worker, b"f")
    assert worker.wakes == 1


def test_a_delayed_job_wakes_when_it_is_due() -> None:
    engine = Engine()
    worker = able(engine, b"f", asleep=True)
    submit(engine, due_s=5.0)
    assert engine.advance(math.nextafter(5.0, 0.0)) == 5.0
    assert worker.wakes == 0
    engine.advance(5.0)
    assert worker.wakes == 1


def test_who_does_not_come_is_passed_over() -> None:
    engine = Engine()
    first = able(engine, b"f", asleep=True)
    second = able(engine, b"f", asleep=True)
    submit(engine)
    assert wakes(first, second) == [1, 0]
    assert engine.advance(0.05) == 0.1
    assert wakes(first, second) == [1, 0]
    assert engine.advance(0.1) == 0.2
    assert wakes(first, second) == [1, 1]
    assert engine.advance(0.2) == math.inf
    assert wakes(first, second) == [1, 1], "nobody is left, and no timer either"
    assert engine.statistics().passed_over == 2
    assert engine.grab(first.worker) is not None, "who is late still gets what is there"


def test_who_is_awake_or_late_is_not_woken() -> None:
    engine = Engine()
    worker = able(engine, b"f", b"g", b"h", asleep=True)
    submit(engine, b"f")
    assert worker.wakes == 1
    submit(engine, b"g")
    engine.advance(1.0)
    submit(engine, b"h")
    assert worker.wakes == 1, "it will come, though it is late"
    assert engine.grab(worker.worker) is not None
    submit(engine, b"g")
    assert worker.wakes == 1, "it works"


def test_who_came_is_not_passed_over() -> None:
    engine = Engine()
    first = able(engine, b"f", asleep=True)
    second = able(engine, b"f", asleep=True)
    submit(engine)
    assert engine.grab(first.worker) is not None
    assert engine.advance(10.0) == math.inf
    assert wakes(first, second) == [1, 0]
    assert engine.statistics().passed_over == 0


@pytest.mark.parametrize("leaving", ["lose", "cannot_do", "reset_abilities"])
def test_when_a_woken_worker_leaves_another_comes(leaving: str) -> None:
    engine = Engine()
    first = able(engine, b"f", asleep=True)
    second = able(engine, b"f", asleep=True)
    submit(engine)
    if leaving == "lose":
        engine.lose(first.worker)
    elif leaving == "cannot_do":
        engine.cannot_do(first.worker, b"f")
    else:
        engine.reset_abilities(first.worker)
    assert wakes(first, second) == [1, 1]
    assert engine.advance(0.1) == math.inf
    assert engine.statistics().passed_over == 1, "of the second only"


def test_a_woken_worker_that_sleeps_without_grabbing_is_woken_for_the_next_job() -> None:
    engine = Engine()
    sleeper = able(engine, b"f", asleep=True)
    busy = able(engine, b"f")
    submit(engine)
    assert engine.grab(busy.worker) is not None
    engine.sleep(sleeper.worker)
    submit(engine)
    assert sleeper.wakes == 2


def test_a_woken_worker_that_is_called_elsewhere_leaves_no_job_behind() -> None:
    """It answers its wake-up with PRE_SLEEP, as some clients do, and is woken for another job."""
    engine = Engine()
    both = able(engine, b"x", b"y", asleep=True)
    submit(engine, b"x")
    only_x = able(engine, b"x", asleep=True)
    submit(engine, b"y", Priority.HIGH)
    engine.sleep(both.worker)
    assert wakes(both, only_x) == [2, 1]


def test_a_woken_worker_that_takes_another_job_leaves_no_job_behind() -> None:
    engine = Engine()
    both = able(engine, b"x", b"y", asleep=True)
    submit(engine, b"x")
    only_x = able(engine, b"x", asleep=True)
    submit(engine, b"y", Priority.HIGH)
    assert wakes(both, only_x) == [1, 0]
    job = engine.grab(both.worker)
    assert job is not None
    assert job.queue.name == b"y"
    assert wakes(both, only_x) == [1, 1]


def test_a_lost_job_wakes_the_next_worker() -> None:
    engine = Engine()
    first = able(engine, b"f")
    submit(engine)
    assert engine.grab(first.worker) is not None
    second = able(engine, b"f", asleep=True)
    engine.lose(first.worker)
    assert second.wakes == 1


def test_a_job_out_of_time_wakes_the_next_worker() -> None:
    engine = Engine()
    first = able(engine)
    engine.can_do(first.worker, b"f", 2.0)
    job = submit(engine)
    engine.grab(first.worker)
    second = able(engine, b"f", asleep=True)
    assert engine.advance(1.0) == 2.0
    engine.advance(2.0)
    assert second.wakes == 1
    assert engine.grab(second.worker) is job
    assert not engine.complete(first.worker, job.handle, b"late")
    assert engine.complete(second.worker, job.handle, b"in time")


def test_nobody_is_woken_while_draining() -> None:
    engine = Engine()
    worker = able(engine, b"f")
    job = submit(engine)
    assert engine.grab(worker.worker) is job
    sleeper = able(engine, b"f", asleep=True)
    delayed = submit(engine, due_s=1.0)
    engine.drain()
    engine.lose(worker.worker)
    engine.advance(2.0)
    engine.sleep(sleeper.worker)
    assert sleeper.wakes == 0
    assert engine.grab(sleeper.worker) is None
    assert delayed.state == "queued"


class CountedAbilities(OrderedDict[FunctionQueue, Ability]):
    """Abilities that count how often one of them is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[FunctionQueue]:
        for queue in super().__iter__():
            self.looks += 1
            yield queue

    def __getitem__(self, queue: FunctionQueue) -> Ability:
        self.looks += 1
        return super().__getitem__(queue)

    def __contains__(self, queue: object) -> bool:
        self.looks += 1
        return super().__contains__(queue)

    def get(self, queue: FunctionQueue, default: object = None) -> Ability | None:  # type: ignore[override]  # without the overloads of dict.get
        self.looks += 1
        return super().get(queue)


def test_twenty_thousand_functions_cost_no_more_than_one() -> None:
    engine = Engine()
    big = WorkerRecorder()
    abilities = big.worker.abilities = CountedAbilities()
    for n in range(20_000):
        engine.can_do(big.worker, b"f%d" % n)
    engine.sleep(big.worker)
    for n in range(3):
        submit(engine, b"other%d" % n)

    abilities.looks = 0
    assert engine.grab(big.worker) is None
    assert not big.worker.absent, "so that going to sleep has nothing to enter"
    engine.sleep(big.worker)
    assert abilities.looks <= 10

    abilities.looks = 0
    job = submit(engine, b"f777")
    assert big.wakes == 1
    assert len(big.worker.absent) == 1
    assert engine.grab(big.worker) is job
    assert engine.complete(big.worker, job.handle, b"")
    assert engine.grab(big.worker) is None
    engine.sleep(big.worker)
    assert not big.worker.absent
    assert abilities.looks <= 40

    submit(engine, b"f12345")
    assert big.wakes == 2


def test_twenty_thousand_waiting_functions_cost_a_small_worker_nothing() -> None:
    engine = Engine()
    for n in range(20_000):
        submit(engine, b"f%d" % n)
    small = WorkerRecorder()
    abilities = small.worker.abilities = CountedAbilities()
    engine.can_do(small.worker, b"mine")
    engine.can_do(small.worker, b"also mine")
    abilities.looks = 0
    assert engine.grab(small.worker) is None
    engine.sleep(small.worker)
    assert abilities.looks <= 12
    submit(engine, b"mine")
    assert small.wakes == 1


def test_what_others_have_done_is_not_passed_again_and_again() -> None:
    """Four workers that can do two thousand functions, each of which has one job."""
    engine = Engine()
    workers = [WorkerRecorder() for _ in range(4)]
    counted = []
    for each in workers:
        abilities = each.worker.abilities = CountedAbilities()
        counted.append(abilities)
        for n in range(2_000):
            engine.can_do(each.worker, b"f%d" % n)
    for n in range(2_000):
        submit(engine, b"f%d" % n)
    for abilities in counted:
        abilities.looks = 0
    for n in range(2_000):
        job = engine.grab(workers[n % 4].worker)
        assert job is not None
        assert engine.complete(workers[n % 4].worker, job.handle, b"")
    assert sum(abilities.looks for abilities in counted) <= 2_000 * 100
    assert engine.grab(workers[0].worker) is None


def test_a_few_functions_without_jobs_keep_their_turn() -> None:
    """As in gearmand: the newest registration first, what was just served last."""
    engine = Engine()
    side = WorkerRecorder()
    for name in (b"a", b"b", b"c"):
        engine.can_do(side.worker, name)
    submit(engine, b"b")
    submit(engine, b"a")
    assert grabbed(engine, side) == b"b"
    submit(engine, b"c")
    submit(engine, b"b")
    assert grabbed(engine, side) == b"c"
    assert grabbed(engine, side) == b"a"
    assert grabbed(engine, side) == b"b"


def grabbed(engine: Engine, side: WorkerRecorder) -> bytes:
    """The function of the worker's next job."""
    job = engine.grab(side.worker)
    assert job is not None
    return job.queue.name
