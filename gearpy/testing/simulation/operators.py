"""Operators: they cancel, pause, drain, have dead letters run again, purge, and change policies."""

from collections.abc import Callable
from typing import Final, final

from gearpy.engine.policy import policy_table
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.simulation.features import draw_policy
from gearpy.testing.simulation.peer import Peer, Surroundings

ACTIONS: Final = 5  # of a verb of rate 1, in a world

_EVERYTHING: Final = "*"


@final
class Operator(Peer):
    """Does now one thing, now another.  It knows handles from what workers say to each other."""

    def __init__(self, name: str, around: Surroundings) -> None:
        super().__init__(name, around)
        verbs = {
            "cancel": self._cancel,
            "pause": self._pause,
            "drain": self._drain,
            "retry": self._retry,
            "purge": self._purge,
            "change a policy": self._set_policy,
            "look": self._look,
            "tell workers": self._tell_workers,
        }
        for verb, act in verbs.items():
            rate = around.features.operators_do[verb] * ACTIONS / around.features.busy_s
            if rate:
                self._repeat(rate, act)

    def _repeat(self, rate: float, act: Callable[[], None]) -> None:
        def again() -> None:
            if not self.around.calm:
                act()
                self._repeat(rate, act)

        self.around.clock.after(self.rng.expovariate(rate), again)

    def greet(self) -> None:
        self.send(codec.request(p.OPTION_REQ, b"gearpy"))
        if self.around.calm:
            self.end_pauses()

    def hear(self, number: int, body: bytes) -> None:
        """The witness knows already what it is told."""

    def end_pauses(self) -> None:
        """Ends what would keep jobs from running for ever."""
        self._ask("resume", function=_EVERYTHING)

    def retry_dead_letters(self) -> None:
        """Has them run once more: whatever was wrong with their workers is over."""
        self._ask("retry", function=_EVERYTHING)

    def _ask(self, verb: str, **fields: object) -> None:
        self.send(codec.request(p.OPERATE, codec.packed({"do": verb, **fields})))

    def _function(self) -> str:
        return codec.decoded(self.rng.choice(self.around.features.workable))

    def _some(self) -> str:
        return self.rng.choice((self._function(), self._function(), _EVERYTHING))

    def _handle(self) -> str:
        gossip = self.around.gossip
        return codec.decoded(self.rng.choice(gossip)) if gossip else "H:nobody:1"

    def _cancel(self) -> None:
        if self.rng.random() < 0.7:
            self._ask("cancel", handle=self._handle())
        else:
            states = self.rng.sample(("queued", "delayed", "retrying", "running"), 2)
            self._ask("cancel", function=self._function(), states=states)

    def _pause(self) -> None:
        self._ask(self.rng.choice(("pause", "resume")), function=self._some())

    def _drain(self) -> None:
        self._ask(self.rng.choice(("drain", "resume")), function=self._some())

    def _retry(self) -> None:
        chance = self.rng.random()
        if chance < 0.3:
            self._ask("retry", handle=self._handle())
        elif chance < 0.7:
            self._ask("retry", function=self._some())
        else:
            self._ask("retry", function=self._some(), states=["delayed", "retrying"])

    def _purge(self) -> None:
        if self.rng.random() < 0.5:
            self._ask("purge", handle=self._handle())
        else:
            self._ask("purge", function=self._some(), states=["dead", "completed"])

    def _set_policy(self) -> None:
        pattern = self.rng.choice((self._function(), _EVERYTHING, "[a-m]*"))
        policy = None if self.rng.random() < 0.3 else policy_table(draw_policy(self.rng))
        self._ask("set-policy", function=pattern, policy=policy)

    def _look(self) -> None:
        self._ask("functions")
        self._ask("count", function=self._some())
        self._ask("workers")

    def _tell_workers(self) -> None:
        group = self.rng.choice((_EVERYTHING, "worker[12]"))
        self._ask("tell-workers", group=group, command={"scale": self.rng.randrange(10)})
