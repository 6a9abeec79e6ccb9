"""When a worker tries a server again."""

from itertools import pairwise

import pytest

from gearpy.address import Address
from gearpy.pauses import LONGEST_S
from gearpy.worker.places import Place


def test_pauses_grow_as_long_as_it_is_not_there() -> None:
    place, waits_s = Place(Address("a")), []
    for _ in range(10):
        place.failed(1000.0)
        waits_s.append(place.due_s - 1000.0)
    assert waits_s[0] <= 0.5
    # Chance takes up to a quarter off, and each pause is twice as long as the one before.
    assert all(early < late for early, late in pairwise(waits_s[:7]))
    assert LONGEST_S * 0.75 <= waits_s[-1] <= LONGEST_S
    assert place.failures == 10


def test_who_was_there_is_looked_for_soon() -> None:
    place = Place(Address("a"), failures=7)
    place.failed(1000.0, was_there=True)
    assert place.due_s == pytest.approx(1000.0, abs=0.05)
    assert place.failures == 1
