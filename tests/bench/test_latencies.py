"""Percentiles of many answers."""

import pytest

from bench.latencies import Latencies, Percentiles


def test_percentiles_of_a_hundred_answers() -> None:
    latencies = Latencies()
    for number in range(100, 0, -1):
        latencies.add(float(number))
    assert latencies.percentiles() == Percentiles(50.0, 99.0, 100.0, 100.0)
    assert latencies.percentile_s(1) == 100.0


def test_answers_that_came_together_count_each() -> None:
    latencies = Latencies()
    latencies.add(0.5, 97)
    latencies.add(7.0, 3)
    assert latencies.count == 100
    assert latencies.total_s() == pytest.approx(69.5)
    assert latencies.percentiles() == Percentiles(0.5, 7.0, 7.0, 7.0)


def test_a_single_answer_is_all_percentiles() -> None:
    latencies = Latencies()
    latencies.add(0.25)
    assert latencies.percentiles() == Percentiles(0.25, 0.25, 0.25, 0.25)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Latencies().percentiles()
