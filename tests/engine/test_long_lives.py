"""The engine and its model again, for longer and by plain chance: every rule at any time.

What hypothesis finds, it makes small; it seldom gets far into a life of retries and restarts.  A
seed that fails here fails again.
"""

import random

import pytest

from gearpy.engine.options import read_options
from gearpy.engine.policy import Policy
from gearpy.priority import Priority

from .test_against_model import OPTIONS, POLICIES, USAGES, EngineBesideModel
from .world import CLIENTS, WORKERS

SEEDS = 40
STEPS = 250
FUNCTIONS = (b"a", b"b", b"c")


class LongLife:
    """One world, and the chance that drives it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = EngineBesideModel()
        names = [self.chance.sample(FUNCTIONS, self.chance.randint(1, 3)) for _ in range(WORKERS)]
        self.world.begin(
            retries=self.chance.choice((-1, -1, 0, 1, 2)),
            wakes=self.chance.choice((1, 1, 2)),
            draw=self.chance.random(),
            from_file={function: self._policy() for function in FUNCTIONS},
            abilities=names,
        )

    def _policy(self) -> Policy:
        some = self.chance.sample(POLICIES, 3)
        return some[0].over(some[1]).over(some[2])

    def step(self) -> None:
        """Whatever happens next; what is common in life is common here."""
        verbs = [self._submit, self._work, self._time, self._operate, self._rare]
        self.chance.choices(verbs, weights=(30, 40, 20, 12, 4))[0]()
        self.world.everything_holds()

    def _submit(self) -> None:
        chance = self.chance
        if len(self.world.model.jobs) > 25:
            return
        asked = chance.choice((None, None, *OPTIONS))
        options = None if asked is None else read_options(asked)
        if chance.random() < 0.4:
            self.world.submit_some(chance.choice(FUNCTIONS), options, chance.randint(2, 4))
            return
        self.world.submit(
            number=chance.choice((None, None, *range(CLIENTS))),
            function=chance.choice(FUNCTIONS),
            unique=chance.choice((b"", b"", b"", b"u", b"v", b"-")),
            payload=chance.choice((b"", b"p", b"u")),
            priority=chance.choice(tuple(Priority)),
            delay_s=chance.choice((0.0, 0.0, 0.0, -1.0, 0.05, 0.5, 3.0)),
            asked=options,
        )

    def _work(self) -> None:
        chance = self.chance
        number, pick = chance.randrange(WORKERS), chance.randrange(60)
        data = chance.choice((b"", b"one", b"two"))
        what = chance.choice(("grab", "grab", "work", "end", "end", "report", "rest", "rest"))
        if what == "report":
            kind = chance.choice(("data", "warning", "status", "progress", "usage"))
            self.world.report(number, pick, kind, data, chance.choice(USAGES))
        elif what == "rest":
            self.world.rest(number, chance.choice(("one", "who is awake", "who was woken")))
        else:
            outcome = chance.choice(("completed", "failed", "failed", "exception"))
            self.world.work(number, what, pick, outcome, data)

    def _time(self) -> None:
        step_s = self.chance.choice((0.0, 0.03, 0.05, 0.1, 0.25, 0.5, 0.5, 1.0, 5.0, 60.0))
        self.world.advance(step_s, self.chance.random() < 0.3)

    def _operate(self) -> None:
        chance, world = self.chance, self.world
        what = chance.choice(("cancel", "retry", "retry", "purge", "leave", "able"))
        if what == "leave":
            world.leave(chance.choice(("client", "worker", "worker")), chance.randrange(WORKERS))
        elif what == "able":
            verb = chance.choice(("can do", "can do", "can do", "cannot do", "reset"))
            timeout_s = chance.choice((0.0, 0.05, 1.0, 3.0))
            number = chance.randrange(WORKERS)
            world.change_abilities(number, verb, chance.choice(FUNCTIONS), timeout_s)
        else:
            world.operate(what, chance.randrange(60), chance.randrange(60))

    def _rare(self) -> None:
        chance, world = self.chance, self.world
        function = chance.choice(FUNCTIONS)
        what = chance.choice(("steer", "decide", "restart", "limit", "create", "drop", "fill"))
        if what == "steer":
            world.steer(function, chance.random() < 0.3, chance.random() < 0.3)
        elif what == "decide":
            world.decide(function, self._policy() if chance.random() < 0.7 else None)
        else:
            sizes = chance.choice(((0, 0, 0), (0, 0, 0), (6, 4, 3)))
            pick = 1 if what == "restart" else chance.randrange(1, 9)
            world.seldom(what, pick, function, sizes)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_long_life(seed: int) -> None:
    life = LongLife(seed)
    for _ in range(STEPS):
        life.step()
    life.world.teardown()
