"""Two hundred worlds in which everything goes wrong, and every promise is kept."""

import pytest

from gearpy.testing.simulation import simulate
from gearpy.testing.simulation.__main__ import report

SEEDS = 200
BLOCK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_promises_are_kept(first: int) -> None:
    for seed in range(first, first + BLOCK):
        outcome = simulate(seed)
        assert outcome.broken is None, "\n" + report(outcome, 60)


def test_worlds_are_troubled() -> None:
    """A world in which nothing happens proves nothing."""
    outcomes = [simulate(seed) for seed in range(BLOCK)]
    assert sum(outcome.jobs for outcome in outcomes) > 50 * BLOCK
    assert sum(outcome.receipts for outcome in outcomes) > 30 * BLOCK
    assert sum(outcome.followups for outcome in outcomes) > 3 * BLOCK
    assert sum(outcome.starts for outcome in outcomes) > 2 * BLOCK
