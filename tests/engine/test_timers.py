"""The heap of timers."""

import gc
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.timers import Timer, Timers


def timers_in_memory() -> int:
    return sum(isinstance(thing, Timer) for thing in gc.get_objects())


def test_timers_ring_in_order_of_time_and_then_as_they_were_set() -> None:
    rung: list[object] = []
    timers = Timers()
    for due_s, name in ((2.0, "c"), (1.0, "a"), (2.0, "d"), (1.0, "b"), (3.0, "late")):
        timers.set(due_s, rung.append, name)
    timers.ring_due(2.0)
    assert rung == ["a", "b", "c", "d"]
    assert timers.next_due_s() == 3.0
    assert len(timers) == 1


def test_nothing_to_wait_for_is_infinity() -> None:
    timers = Timers()
    assert timers.next_due_s() == math.inf
    timers.cancel(timers.set(1.0, print, None))
    assert timers.next_due_s() == math.inf
    assert len(timers) == 0


def test_a_timer_rings_at_its_time_and_not_before() -> None:
    rung: list[object] = []
    timers = Timers()
    timers.set(1.0, rung.append, "a")
    timers.ring_due(math.nextafter(1.0, 0.0))
    assert not rung
    timers.ring_due(1.0)
    timers.ring_due(1.0)
    assert rung == ["a"]


@pytest.mark.parametrize("again", [1, 2])
def test_a_cancelled_timer_does_not_ring(again: int) -> None:
    rung: list[object] = []
    timers = Timers()
    kept = timers.set(1.0, rung.append, "kept")
    for _ in range(again):
        timers.cancel(timers.set(1.0, rung.append, "cancelled"))
    timers.ring_due(5.0)
    assert rung == ["kept"]
    timers.cancel(kept)  # it rang already: nothing happens
    assert len(timers) == 0


def test_who_is_rung_may_cancel_and_set_others() -> None:
    rung: list[object] = []
    timers = Timers()

    def ring(name: object) -> None:
        rung.append(name)
        if name == "first":
            timers.cancel(victim)
            timers.set(1.0, ring, "at once")
            timers.set(9.0, ring, "later")

    timers.set(1.0, ring, "first")
    victim = timers.set(1.0, ring, "victim")
    timers.ring_due(2.0)
    assert rung == ["first", "at once"]
    assert timers.next_due_s() == 9.0


def test_cancelled_long_timers_do_not_accumulate() -> None:
    timers = Timers()
    live = [timers.set(1e9 + n, print, None) for n in range(100)]
    before = timers_in_memory()
    for n in range(10_000):
        timers.cancel(timers.set(1e9 - n, print, None))
    assert len(timers) == len(live)
    assert timers_in_memory() - before <= 2 * len(live)
    assert timers.next_due_s() == 1e9


def test_a_cancelled_timer_lets_its_subject_go() -> None:
    timers = Timers()
    timer = timers.set(1e9, print, "a job of 64 MiB")
    timers.cancel(timer)
    assert timer.subject is None


operations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 200)),
        st.tuples(st.just("ring"), st.integers(0, 20)),
    ),
    max_size=200,
)


@given(operations)
def test_like_a_sorted_list(steps: list[tuple[str, int]]) -> None:
    timers = Timers()
    rung: list[object] = []
    made: list[tuple[float, int, Timer]] = []
    waiting: list[tuple[float, int, Timer]] = []
    for what, number in steps:
        if what == "set":
            timer = timers.set(float(number), rung.append, len(made))
            made.append((float(number), len(made), timer))
            waiting.append(made[-1])
        elif what == "cancel" and made:
            entry = made[number % len(made)]
            timers.cancel(entry[2])
            if entry in waiting:
                waiting.remove(entry)
        elif what == "ring":
            due = sorted(entry[:2] for entry in waiting if entry[0] <= number)
            waiting = [entry for entry in waiting if entry[0] > number]
            rung.clear()
            timers.ring_due(float(number))
            assert rung == [name for _, name in due]
        assert len(timers) == len(waiting)
        assert timers.next_due_s() == min((entry[0] for entry in waiting), default=math.inf)


def test_very_many_at_one_moment_ring_in_parts() -> None:
    timers = Timers()
    rung: list[object] = []
    for number in range(10_000):
        timers.set(1.0, rung.append, number)
    parts = 0
    while timers.ring_due(1.0) == 1.0:
        parts += 1
    assert rung == list(range(10_000))
    assert parts > 1
