"""Histograms count each duration where it belongs, whatever came before."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.statistics import BOUNDS_S, Histogram

near_bounds = st.sampled_from(BOUNDS_S).flatmap(
    lambda bound: st.sampled_from(
        (bound, math.nextafter(bound, 0.0), math.nextafter(bound, math.inf))
    )
)
durations_s = st.one_of(near_bounds, st.floats(0.0, 200_000.0), st.sampled_from((0.0, -0.001)))


@given(st.lists(durations_s))
def test_each_duration_counts_in_the_bucket_of_the_least_bound_that_it_does_not_exceed(
    durations: list[float],
) -> None:
    histogram = Histogram()
    expected = [0] * (len(BOUNDS_S) + 1)
    for duration_s in durations:
        histogram.add(duration_s)
        expected[sum(bound < duration_s for bound in BOUNDS_S)] += 1
    found = histogram.snapshot()
    assert list(found.counts) == expected
    assert found.sum_s == sum(durations)
