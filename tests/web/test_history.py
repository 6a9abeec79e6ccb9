"""The last minutes of functions, looked at by hand."""

from gearpy.engine.engine import Engine
from gearpy.web.history import STEPS, History
from tests.engine.recorders import able


def done(engine: Engine, function: bytes, count: int) -> None:
    worker = able(engine, function)
    for _ in range(count):
        engine.submit(None, function, b"", b"")
        job = engine.grab(worker.worker)
        assert job is not None
        engine.complete(worker.worker, job.handle, b"")


async def test_each_step_shows_what_was_and_what_ended_in_it() -> None:
    engine = Engine()
    history = History(engine)
    done(engine, b"f", 3)
    await history.look()
    engine.submit(None, b"f", b"", b"")
    done(engine, b"f", 0)
    await history.look()
    minutes = history.of(b"f")
    assert (len(minutes.ended), len(minutes.unfinished)) == (STEPS, STEPS)
    assert (list(minutes.ended[-3:]), list(minutes.unfinished[-3:])) == ([0, 3, 0], [0, 0, 1])
    assert minutes.rate_per_s == 3 / 60
    assert set(history.of(b"unknown").ended) == {0}
    await history.stop()


async def test_a_function_that_did_nothing_for_long_shows_nothing() -> None:
    engine = Engine()
    history = History(engine)
    done(engine, b"f", 1000)
    for _ in range(3 * STEPS):
        await history.look()
        shown = sum(history.of(b"f").ended)
    assert shown == 0
    done(engine, b"f", 2)
    await history.look()
    assert history.of(b"f").ended[-1] == 2
    await history.stop()
