"""Slices of a selection, while what they are made of changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.engine import Engine
from gearpy.engine.job import DEAD, FINISHED, UNFINISHED, Job, JobState
from gearpy.engine.policy import Policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.selection import Selection

from .recorders import able

KEPT = Policy(attempts=1, keep_s=1e9)


def engine_with(count: int) -> tuple[Engine, list[Job]]:
    """Jobs of two functions in turn, one each second."""
    engine = Engine(policies=PolicyBook({b"*": KEPT}))
    jobs = []
    for n in range(count):
        engine.advance(float(n))
        jobs.append(engine.submit(None, b"fg"[n % 2 : n % 2 + 1], b"", b""))
    return engine, jobs


def die(engine: Engine, jobs: list[Job]) -> None:
    worker = able(engine, b"f", b"g")
    for _ in jobs:
        given = engine.grab(worker.worker)
        assert given is not None
        engine.fail(worker.worker, given.handle)


def selection(*states: JobState, **wanted: bytes | float) -> Selection:
    return Selection(states=frozenset(states), **wanted)  # type: ignore[arg-type]  # by name


def slices(engine: Engine, wanted: Selection, count: int) -> list[Job]:
    """All that is selected, slice by slice, when nothing changes."""
    found: list[Job] = []
    offset: int | None = 0
    while offset is not None:
        jobs, offset = engine.select(wanted, offset, count)
        assert len(jobs) <= count
        found += jobs
    return found


def test_functions_states_and_ages() -> None:
    engine, jobs = engine_with(10)
    engine.cancel(jobs[1].handle)
    engine.advance(20.0)
    engine.cancel(jobs[0].handle)
    everything = (*UNFINISHED, *FINISHED, DEAD)
    for wanted, expected in (
        (selection("queued"), jobs[2:]),
        (selection("running"), []),
        (selection(*everything), [*jobs[2:], jobs[1], jobs[0]]),
        (selection("cancelled"), [jobs[1], jobs[0]]),
        (selection("queued", function=b"f"), jobs[2::2]),
        (selection("queued", function=b"[gh]"), jobs[3::2]),
        (selection("queued", older_than_s=15.0), jobs[2:6]),
        (selection("queued", younger_than_s=15.0), jobs[5:]),
        (selection("queued", older_than_s=15.0, younger_than_s=16.0), jobs[4:6]),
        (selection("cancelled", older_than_s=5.0), [jobs[1]]),
        (selection("cancelled", younger_than_s=5.0), [jobs[0]]),
    ):
        for count in (1, 3, 100):
            assert slices(engine, wanted, count) == expected


def test_the_newest_come_first_where_that_is_wanted() -> None:
    engine, jobs = engine_with(6)
    engine.cancel(jobs[1].handle)
    engine.cancel(jobs[0].handle)
    everything = selection(*UNFINISHED, *FINISHED, DEAD)
    newest = [*reversed(jobs[2:]), jobs[0], jobs[1]]
    assert engine.select(everything, order="newest") == (newest, None)
    assert engine.select(everything, 3, 2, "newest") == (newest[3:5], 5)
    assert engine.select(selection("cancelled"), order="newest") == ([jobs[0], jobs[1]], None)


def test_by_unique() -> None:
    engine, _ = engine_with(3)
    jobs = [engine.submit(None, function, b"u", b"") for function in (b"f", b"g")]
    engine.submit(None, b"f", b"u2", b"")
    assert slices(engine, selection("queued", unique=b"u"), 1) == jobs
    assert slices(engine, selection("queued", unique=b"u", function=b"g"), 9) == jobs[1:]
    assert slices(engine, selection("queued", unique=b"u", older_than_s=5.0), 9) == []


def test_a_slice_looks_at_a_bounded_number_of_jobs() -> None:
    engine, jobs = engine_with(0)
    jobs = [engine.submit(None, b"f", b"", b"") for _ in range(20_001)]
    wanted = selection("running")
    assert engine.select(wanted) == ([], 10_000)
    assert engine.select(wanted, 10_000) == ([], 20_000)
    assert engine.select(wanted, 20_000) == ([], None)
    assert engine.select(selection("queued"), 19_999, 5) == (jobs[19_999:], None)


@given(data=st.data(), count=st.integers(1, 7))
def test_what_is_cancelled_slice_by_slice(data: st.DataObject, count: int) -> None:
    engine, jobs = engine_with(20)
    met: list[Job] = []
    offset: int | None = 0
    while offset is not None:
        selected = engine.select(selection(*UNFINISHED, function=b"f"), offset, count)
        taken = [job for job in selected.jobs if data.draw(st.booleans())]
        met += selected.jobs
        assert all(engine.cancel(job.handle) for job in taken)
        offset = selected.next_offset
        if offset is not None:
            offset -= len(taken)
    assert met == jobs[::2]


@given(data=st.data(), count=st.integers(1, 7), what=st.sampled_from(["retry", "purge"]))
def test_what_is_retried_or_purged_slice_by_slice(
    data: st.DataObject, count: int, what: str
) -> None:
    engine, jobs = engine_with(20)
    die(engine, jobs)
    ended = [engine.find(each.handle) for each in jobs]
    order = slices(engine, selection(DEAD), 100)
    assert sorted(map(id, order)) == sorted(map(id, ended))
    met: list[Job] = []
    offset: int | None = 0
    while offset is not None:
        selected = engine.select(selection(DEAD, function=b"g"), offset, count)
        taken = [job for job in selected.jobs if data.draw(st.booleans())]
        met += selected.jobs
        for job in taken:
            assert engine.retry(job.handle) if what == "retry" else engine.purge(job.handle)
        offset = selected.next_offset
        if offset is not None:
            offset -= len(taken)
    assert met == [job for job in order if job.queue.name == b"g"]


@given(data=st.data(), count=st.integers(1, 7))
def test_what_changes_sides_in_a_selection_of_both(data: st.DataObject, count: int) -> None:
    """What is retried leaves the one side before the offset for the other side, before it too."""
    engine, jobs = engine_with(12)
    die(engine, jobs)
    dead = slices(engine, selection(DEAD), 100)
    delayed = [engine.submit(None, b"f", b"", b"", due_s=1e6) for _ in range(5)]
    met: list[Job] = []
    offset: int | None = 0
    while offset is not None:
        selected = engine.select(selection("delayed", DEAD), offset, count)
        met += selected.jobs
        for job in selected.jobs:
            if data.draw(st.booleans()):
                assert engine.retry(job.handle)
        offset = selected.next_offset
    assert met == [*delayed, *dead]


@pytest.mark.parametrize("count", [1, 4, 1000])
def test_all_dead_letters_are_retried_and_all_jobs_cancelled(count: int) -> None:
    engine, jobs = engine_with(30)
    die(engine, jobs)
    for states, verb in (((DEAD,), engine.retry), (UNFINISHED, engine.cancel)):
        offset: int | None = 0
        while offset is not None:
            selected = engine.select(selection(*states), offset, count)
            assert all(verb(job.handle) for job in selected.jobs)
            offset = selected.next_offset
            if offset is not None:
                offset -= len(selected.jobs)
        assert not engine.select(selection(*states)).jobs
    assert engine.statistics().kept == 30
