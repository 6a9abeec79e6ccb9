"""What functions did in the last five minutes, looked at by hand."""

import asyncio
import tracemalloc

from gearpy.engine.engine import Engine
from gearpy.web.figures import mean_s, success_ratio
from gearpy.web.history import STEPS, History
from gearpy.web.recent import Recent
from tests.docstrings import run_examples
from tests.engine.recorders import able

MINUTE = 12  # looks


async def look(history: History, steps: int) -> None:
    for _ in range(steps):
        await history.look()


def run(engine: Engine, function: bytes, took_s: float = 0.0, *, fails: bool = False) -> None:
    """Has one job done that takes so long."""
    worker = able(engine, function).worker
    engine.submit(None, function, b"", b"")
    job = engine.grab(worker)
    assert job is not None
    engine.advance(engine.now_s + took_s)
    if fails:
        engine.fail(worker, job.handle)
    else:
        engine.complete(worker, job.handle, b"")
    engine.lose(worker)


def recent(engine: Engine, history: History, function: bytes = b"f") -> Recent:
    found = engine.functions.get(function)
    assert found is not None
    return history.recent(found)


async def test_it_tells_how_long_jobs_waited_and_ran_and_how_they_ended() -> None:
    engine = Engine()
    history = History(engine)
    for took_s in (2.0, 4.0):
        run(engine, b"f", took_s)
    await history.look()
    run(engine, b"f", 0.0, fails=True)
    found = recent(engine, history)
    assert (found.completed, found.failed, found.dead) == (2, 1, 0)
    assert success_ratio(found) == 2 / 3
    assert mean_s(found.running) == 2.0
    assert mean_s(found.waiting) == 0.0
    await history.stop()


async def test_what_was_more_than_five_minutes_ago_counts_no_more() -> None:
    engine = Engine()
    history = History(engine)
    run(engine, b"f", 60.0, fails=True)
    await look(history, MINUTE)
    run(engine, b"f", 2.0)
    await look(history, STEPS - MINUTE)
    assert success_ratio(recent(engine, history)) == 0.5
    await look(history, MINUTE)
    assert success_ratio(recent(engine, history)) == 1.0
    assert mean_s(recent(engine, history).running) == 2.0
    await look(history, MINUTE)
    assert success_ratio(recent(engine, history)) is None
    await history.stop()


async def test_what_a_function_does_after_a_long_rest_counts_from_there() -> None:
    engine = Engine()
    history = History(engine)
    for _ in range(100):
        run(engine, b"f", 60.0, fails=True)
    await look(history, 3 * STEPS)
    run(engine, b"f", 2.0)
    assert recent(engine, history).completed == 1, "before it is looked at"
    await history.look()
    found = recent(engine, history)
    assert (found.completed, found.failed, mean_s(found.running)) == (1, 0, 2.0)
    await history.stop()


async def test_a_function_that_was_dropped_and_came_back_counts_anew() -> None:
    engine = Engine()
    history = History(engine)
    for steps in (1, 3 * STEPS):  # while it is on the way, and after a rest
        for _ in range(5):
            run(engine, b"f", 60.0, fails=True)
        await look(history, steps)
        assert engine.functions.drop(b"f") == "dropped"
        await history.look()
        run(engine, b"f", 2.0)
        assert recent(engine, history)[:3] == (1, 0, 0)
        await history.look()
        assert recent(engine, history)[:3] == (1, 0, 0)
        assert engine.functions.drop(b"f") == "dropped"
        await look(history, 2 * STEPS)
    run(engine, b"f")
    await look(history, 3 * STEPS)
    assert engine.functions.drop(b"f") == "dropped"
    run(engine, b"f", 2.0, fails=True)
    await history.look()  # that did not see that it was away
    assert recent(engine, history)[:3] == (0, 1, 0)
    await history.stop()


async def test_a_job_from_the_future_is_no_comeback() -> None:
    """The clock was put back while the server was away: a sum of seconds shrinks."""
    engine = Engine()
    history = History(engine)
    run(engine, b"f", 60.0, fails=True)
    await look(history, 2 * STEPS)
    worker = able(engine, b"f").worker
    engine.submit(None, b"f", b"", b"").since_s += 30.0
    job = engine.grab(worker)
    assert job is not None
    engine.complete(worker, job.handle, b"")
    await look(history, MINUTE)
    assert recent(engine, history)[:3] == (1, 0, 0)
    await history.stop()


async def test_a_function_takes_little_memory_and_less_when_it_rests() -> None:
    engine = Engine()
    history = History(engine)
    names = [b"f%d" % number for number in range(2000)]
    for name in names:
        engine.functions.create(name)
    tracemalloc.start()
    try:
        await history.look()
        before_bytes, _ = tracemalloc.get_traced_memory()
        await look(history, MINUTE)
        idle_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
        for name in names:
            run(engine, name)
        before_bytes, _ = tracemalloc.get_traced_memory()
        await look(history, STEPS)
        active_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
        await look(history, MINUTE * 2)
        resting_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    finally:
        tracemalloc.stop()
    assert idle_bytes / len(names) < 10
    assert active_bytes / len(names) < 3000
    assert resting_bytes / len(names) < 900
    await history.stop()


async def test_a_look_lets_others_have_their_turn() -> None:
    engine = Engine()
    history = History(engine)
    for number in range(2000):
        run(engine, b"f%d" % number)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    for _ in range(MINUTE):  # the last one ends a piece of every function
        before = turns
        await history.look()
        assert turns - before >= 9
    task.cancel()
    await history.stop()


def test_examples() -> None:
    import gearpy.web.figures

    assert run_examples(gearpy.web.figures).failed == 0
