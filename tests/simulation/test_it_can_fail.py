"""The simulation notices what is broken: otherwise it would prove nothing."""

from random import Random

import pytest

from gearpy.testing.simulation import simulate
from gearpy.testing.simulation.features import draw_features

from .sabotage import SABOTAGES, Sabotage, gateless, needs_plain_python, sabotaged

SEEDS_MAX = 100


def test_without_the_gate_nearly_every_world_fails() -> None:
    demanding = [seed for seed in range(40) if draw_features(Random(seed)).durability == "commit"][
        :20
    ]
    outcomes = [simulate(seed, gateless) for seed in demanding]
    failed = [outcome for outcome in outcomes if outcome.broken is not None]
    assert len(failed) >= 18
    assert any("receipt" in str(outcome.broken) for outcome in failed)


@needs_plain_python
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.__name__)
def test_a_broken_server_is_noticed(sabotage: Sabotage) -> None:
    build = sabotaged(sabotage)
    assert any(simulate(seed, build).broken is not None for seed in range(SEEDS_MAX))
