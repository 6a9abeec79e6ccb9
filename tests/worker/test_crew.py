"""Which processes a supervisor starts and stops, without any process."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.errors import InvalidArgument
from gearpy.worker.crew import Action, Ask, Crew, Kill, Phase, Start


class Played:
    """A crew whose actions are carried out at once."""

    def __init__(self, wanted: int, stop_s: float = 30.0, life_s: float = math.inf) -> None:
        self.crew = Crew(wanted, stop_s, lambda: 0.0, life_s)
        self.now_s = 1_000.0
        self.next_pid = 1
        self.advance()

    def advance(self, seconds: float = 0.0) -> list[Action]:
        self.now_s += seconds
        actions = self.crew.advance(self.now_s)
        for action in actions:
            if isinstance(action, Start):
                self.crew.started(self.next_pid)
                self.next_pid += 1
        return actions

    def end(self, pid: int, crashed: bool = False, after_s: float = 0.0) -> list[Action]:
        self.advance(after_s)
        self.crew.ended(pid, crashed)
        return self.advance()

    @property
    def pids(self) -> list[int]:
        return list(self.crew.processes)


def test_as_many_as_are_wanted() -> None:
    played = Played(3)
    assert played.pids == [1, 2, 3]
    assert played.advance() == []
    assert played.crew.next_due_s() == math.inf


def test_one_that_is_done_is_replaced_at_once() -> None:
    played = Played(2)
    assert played.end(1) == [Start()]
    assert played.pids == [2, 3]
    assert played.crew.crashes == 0


def test_one_that_crashes_later_is_replaced_at_once() -> None:
    played = Played(2)
    assert played.end(1, crashed=True, after_s=10.0) == [Start()]
    assert played.crew.crashes == 1


def test_one_that_crashes_at_once_is_replaced_after_pauses_that_grow() -> None:
    played = Played(3)
    waits = []
    for pid in (1, 4, 5, 6, 7, 8, 9, 10):
        assert played.end(pid, crashed=True, after_s=1.0) == []
        waits.append(played.crew.next_due_s() - played.now_s)
        assert played.advance(waits[-1] - 0.01) == []
        assert played.advance(0.01) == [Start()]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_what_crashes_at_once_is_started_one_at_a_time() -> None:
    played = Played(3)
    for pid in (1, 2, 3):
        played.crew.ended(pid, crashed=True)
    assert played.advance() == []
    assert played.advance(60) == [Start()]
    assert played.advance(9.9) == []
    assert played.crew.next_due_s() == pytest.approx(played.now_s + 0.1)
    assert played.advance(0.2) == [Start(), Start()]  # it has settled, so they can
    for pid in (4, 5, 6):
        played.crew.ended(pid, crashed=True)
    assert played.advance(60) == [Start()]
    assert played.end(7) == [Start(), Start(), Start()]  # it ended well


def test_one_that_can_not_be_started_is_a_crash_too() -> None:
    crew = Crew(1, 30.0, lambda: 0.0)
    assert crew.advance(0.0) == [Start()]
    assert crew.advance(0.0) == []  # that one is on its way
    crew.not_started()
    assert crew.advance(0.4) == []
    assert crew.advance(0.5) == [Start()]


def test_scaling_up_and_down() -> None:
    played = Played(2)
    played.crew.scale(4)
    assert played.advance() == [Start(), Start()]
    played.crew.scale(1)
    assert played.advance() == [Ask(2), Ask(3), Ask(4)]
    assert played.advance() == []
    assert played.end(3) == []
    played.crew.scale(3)
    # Those that still stop count: there are never more than were wanted at a time.
    assert played.advance() == []
    assert played.end(2) == [Start()]
    assert played.pids == [1, 4, 5]
    for number in (-1, 1_001):
        with pytest.raises(InvalidArgument, match="0 to 1000 processes"):
            played.crew.scale(number)


def test_renewing_replaces_each_as_it_ends() -> None:
    played = Played(2)
    played.crew.renew()
    assert played.advance() == [Ask(1), Ask(2)]
    assert played.end(2) == [Start()]
    assert played.end(1, crashed=True) == [Start()]  # it was asked to end: no crash
    assert played.pids == [3, 4]
    assert played.crew.crashes == 0


def test_one_that_does_not_stop_in_time_is_killed_once() -> None:
    played = Played(2, stop_s=5.0)
    played.crew.scale(1)
    assert played.advance() == [Ask(2)]
    assert played.crew.next_due_s() == played.now_s + 5
    assert played.advance(4.9) == []
    assert played.advance(0.1) == [Kill(2)]
    assert played.crew.processes[2].phase is Phase.KILLED
    assert played.advance(100) == []
    assert played.end(2, crashed=True) == []
    assert played.crew.crashes == 0


def test_stopping_ends_all() -> None:
    played = Played(2, stop_s=5.0)
    played.crew.stop()
    assert played.advance() == [Ask(1), Ask(2)]
    assert not played.crew.gone
    assert played.end(1) == []
    assert played.advance(5) == [Kill(2)]
    played.end(2, crashed=True)
    assert played.crew.gone
    assert played.crew.next_due_s() == math.inf


def test_stopping_now_kills_all() -> None:
    played = Played(2)
    played.crew.stop()
    played.advance()
    played.crew.kill()
    assert played.advance() == [Kill(1), Kill(2)]
    played.crew.kill()
    assert played.advance() == []


def test_stopping_in_a_pause_starts_nobody() -> None:
    played = Played(1)
    played.end(1, crashed=True)
    played.crew.stop()
    assert played.crew.gone
    assert played.advance(100) == []


def test_those_that_lived_long_enough_are_replaced() -> None:
    played = Played(2, life_s=100.0)
    assert played.crew.next_due_s() == played.now_s + 100.0
    assert played.advance(99.9) == []
    assert played.advance(0.1) == [Ask(1), Ask(2)]
    assert played.end(1) == [Start()]
    assert played.crew.processes[3].retire_at_s == played.now_s + 100.0


def test_one_is_replaced_by_name() -> None:
    played = Played(2)
    played.crew.retire(2)
    played.crew.retire(2)
    assert played.advance() == [Ask(2)]
    assert played.end(2) == [Start()]


@given(
    st.lists(
        st.tuples(st.sampled_from(["scale", "end", "crash", "renew", "wait"]), st.integers(0, 9)),
        max_size=60,
    )
)
def test_never_more_than_were_wanted_and_in_the_end_as_many(steps: list[tuple[str, int]]) -> None:
    played, most = Played(3), 3
    for what, number in steps:
        if what == "scale":
            played.crew.scale(number)
            most = max(most, number)
        elif what == "renew":
            played.crew.renew()
        elif what == "wait":
            played.advance(number)
        elif played.pids:
            played.end(played.pids[number % len(played.pids)], what == "crash", number / 2)
        played.advance()
        assert len(played.pids) <= most
    for _ in range(100):
        played.advance(31)
        for pid, process in list(played.crew.processes.items()):
            if process.phase is not Phase.RUNNING:
                played.end(pid)
    assert len(played.pids) == played.crew.wanted
