"""What is told once: for how long, and of how many."""

from gearpy.web.outcomes import _KEPT, _KEPT_S, Outcomes


def test_a_sentence_is_told_once() -> None:
    outcomes = Outcomes()
    first, second = outcomes.keep("one", 100.0), outcomes.keep("two", 100.0)
    assert outcomes.tell(second, 101.0) == "two"
    assert outcomes.tell(second, 101.0) == ""
    assert outcomes.tell(first, 101.0) == "one"
    assert outcomes.tell("guessed", 101.0) == ""


def test_who_comes_late_is_told_nothing() -> None:
    outcomes = Outcomes()
    key = outcomes.keep("one", 100.0)
    assert outcomes.tell(key, 100.0 + _KEPT_S + 1) == ""


def test_what_nobody_came_for_does_not_stay() -> None:
    outcomes = Outcomes()
    old = [outcomes.keep("old", 100.0) for _ in range(10)]
    new = outcomes.keep("new", 100.0 + _KEPT_S + 1)
    assert len(outcomes._sentences) == 1
    assert outcomes.tell(old[0], 100.0) == ""
    assert outcomes.tell(new, 100.0 + _KEPT_S + 1) == "new"


def test_there_are_so_many_at_most() -> None:
    outcomes = Outcomes()
    keys = [outcomes.keep(str(number), 100.0) for number in range(_KEPT + 5)]
    assert len(outcomes._sentences) == _KEPT
    assert outcomes.tell(keys[4], 100.0) == ""
    assert outcomes.tell(keys[5], 100.0) == "5"


def test_a_clock_that_was_put_back_keeps_nothing_for_ever() -> None:
    outcomes = Outcomes()
    outcomes.keep("of the future", 10_000.0)
    outcomes.keep("now", 100.0)
    assert len(outcomes._sentences) == 1
