"""Very many jobs at one moment: nobody waits for all of them, and no rule is bent."""

from gearpy.engine.engine import Engine
from gearpy.engine.options import read_options

from .recorders import able

CROWD = 5_000


def test_jobs_that_are_due_together_come_bit_by_bit() -> None:
    engine = Engine()
    worker = able(engine, b"f").worker
    for _ in range(CROWD):
        engine.submit(None, b"f", b"", b"", due_s=60.0)
    assert engine.advance(60.0) == 60.0, "there is more to do at this moment"
    queued = engine.statistics().queued
    assert 0 < queued < CROWD
    while engine.advance(60.0) == 60.0:
        pass
    assert engine.statistics().queued == CROWD
    for number in range(1, CROWD + 1):
        job = engine.grab(worker)
        assert job is not None
        assert job.number == number


def test_what_expires_together_is_not_given_out_meanwhile() -> None:
    engine = Engine()
    worker = able(engine, b"f").worker
    options = read_options(b'{"background": true, "expires_s": 60}')
    for _ in range(CROWD):
        engine.submit(None, b"f", b"", b"", options=options)
    last = engine.submit(None, b"f", b"", b"")
    assert engine.advance(60.0) == 60.0
    assert engine.statistics().expired < CROWD
    assert engine.grab(worker) is last
    assert engine.statistics().expired == CROWD
    assert engine.advance(60.0) > 60.0
