"""What follows the ends of jobs, in worlds where that is in danger: with callbacks, and crashes."""

from random import Random

import pytest

from gearpy.engine.job import CANCELLED, COMPLETED, DEAD, EXPIRED, FAILED
from gearpy.testing.simulation import World, simulate
from gearpy.testing.simulation.__main__ import report
from gearpy.testing.simulation.features import draw_features

from .sabotage import HASTY_SABOTAGES, Sabotage, needs_plain_python, sabotaged


def danger(seed: int) -> float:
    """How many callbacks are asked for there, and how many crashes they must survive."""
    features = draw_features(Random(seed))
    if features.durability != "commit":
        return 0.0
    return features.clients_do["submit with a callback"] * features.faults["crash"]


DANGEROUS = sorted(range(400), key=danger, reverse=True)[:100]
SOME = 15


def test_every_kind_of_end_is_followed() -> None:
    """A world in which one of them does not come about proves nothing of it."""
    followed: set[str] = set()
    for seed in DANGEROUS[:SOME]:
        world = World(seed)
        outcome = world.run()
        assert outcome.broken is None, "\n" + report(outcome, 60)
        for paper in world.witness.books.papers.values():
            debt = paper.follows
            if debt is not None:
                followed.add(debt.how or "in a restart, and not kept")
                followed.add("at once" if debt.at_once else "a moment later")
                followed.add("a URL" if debt.callback.url else "a job")
            if len(paper.followers) > 1:
                followed.add("again")
    assert followed >= {
        *(COMPLETED, FAILED, DEAD, CANCELLED, EXPIRED),
        *("at once", "a moment later", "a URL", "a job", "again"),
    }


@needs_plain_python
@pytest.mark.parametrize("sabotage", HASTY_SABOTAGES, ids=lambda sabotage: sabotage.__name__)
def test_a_crash_shows_what_is_not_in_one_batch(sabotage: Sabotage) -> None:
    build = sabotaged(sabotage)
    assert any(simulate(seed, build).broken is not None for seed in DANGEROUS)
