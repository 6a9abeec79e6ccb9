"""What one world has and what it suffers from: every seed draws its own mixture.

A world that has everything at once has nothing often; so each seed leaves some features out and
turns others up (swarm testing).
"""

import math
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, TypeVar

from gearpy.engine.policy import Backoff, Cause, Delays, Exponential, Policy
from gearpy.errands.orders import HTTP_FUNCTION

T = TypeVar("T")

Durability = Literal["commit", "interval", "none"]

FUNCTIONS: Final = (b"resize", b"mail", b"index-page", b"a b")
SECRET: Final = "known to all who live in this world"
_CAUSES: Final[tuple[Cause, ...]] = ("lost", "timeout", "fail", "exception")


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Weights are from 0 (never) up; rates are per second of simulated time."""

    durability: Durability
    interval_s: float
    job_retries: int
    outbox_bytes: int
    budget_bytes: float
    strict: bool
    loses_writes: bool
    clock_put_back: bool  # at each start the server sees an earlier time of day, for its handles
    flood: int  # jobs of one client at the beginning, more than memory is for
    actions: int  # of each client
    busy_s: float  # how long clients send jobs
    functions: tuple[bytes, ...]  # that clients have jobs for
    callback_secret: str  # empty: no URL is told anything
    clients: int
    workers: int
    policies: dict[bytes, Policy]
    commit_s: float
    faults: dict[str, float] = field(default_factory=dict)  # rates
    clients_do: dict[str, float] = field(default_factory=dict)  # weights
    workers_do: dict[str, float] = field(default_factory=dict)  # chances
    operators_do: dict[str, float] = field(default_factory=dict)  # rates

    @property
    def workable(self) -> tuple[bytes, ...]:
        """The functions that there may be jobs for: clients' own, and the one that tells URLs."""
        return (*self.functions, HTTP_FUNCTION.encode()) if self.callback_secret else self.functions


def described(features: Features) -> str:
    """The mixture in a few lines, for whoever reads the story of a world."""
    lines = [
        f"durability {features.durability}, job retries {features.job_retries}, memory budget"
        f" {features.budget_bytes:g}, outbox {features.outbox_bytes} bytes, a commit takes"
        f" {features.commit_s:g} s, {features.clients} clients, {features.workers} workers"
    ]
    for what in ("faults", "clients_do", "workers_do", "operators_do"):
        weights: dict[str, float] = getattr(features, what)
        said = (f"{name} {weight:g}" for name, weight in weights.items() if weight)
        lines.append(f"{what.replace('_', ' ')}: {', '.join(said) or 'nothing'}")
    return "\n".join(lines)


def draw_features(rng: Random) -> Features:
    """The features of a world."""
    functions = FUNCTIONS[: rng.randint(1, len(FUNCTIONS))]
    durability: Durability = "commit"
    if rng.random() < 0.15:
        durability = rng.choice(("interval", "none"))
    return Features(
        durability=durability,
        interval_s=rng.choice((0.05, 1.0)),
        job_retries=rng.choice((-1, -1, -1, 0, 1, 3)),
        outbox_bytes=rng.choice((1 << 20, 1 << 20, 300)),
        budget_bytes=rng.choice((math.inf, math.inf, 0.0, 500.0)),
        strict=rng.random() < 0.2,
        loses_writes=rng.random() < 0.4,
        clock_put_back=durability == "commit" and rng.random() < 0.2,
        flood=300 if rng.random() < 0.03 else 0,
        actions=rng.choice((10, 25, 25, 60)),
        busy_s=rng.choice((2.0, 5.0, 15.0)),
        functions=functions,
        callback_secret=SECRET if rng.random() < 0.7 else "",
        clients=rng.randint(2, 4),
        workers=rng.randint(2, 5),
        policies=_draw_policies(rng, functions),
        commit_s=rng.choice((0.0005, 0.005, 0.05)),
        faults=_swarm(
            rng,
            {
                "crash": 0.4,
                "break": 1.0,
                "slow": 0.5,
                "stall the disk": 0.3,
                "fail a commit": 0.1,
                "fill the disk": 0.2,
            },
        ),
        clients_do={
            "submit": 6.0,
            "submit in the background": 10.0,
            **_swarm(
                rng,
                {
                    "submit with options": 4.0,
                    "submit with a callback": 4.0,
                    "submit for later": 1.5,
                    "submit with a reducer": 1.0,
                    "share uniques": 4.0,
                    "share keys": 0.3,
                    "ask": 2.0,
                    "cancel": 0.7,
                    "leave": 0.7,
                },
            ),
        },
        workers_do=_swarm(
            rng,
            {
                "die": 0.06,
                "hang": 0.04,
                "answer late": 0.05,
                "answer twice": 0.1,
                "answer for another": 0.1,
                "change abilities": 0.06,
                "fail": 0.2,
                "except": 0.15,
                "see it fail": 0.1,
                "report": 0.4,
                "ignore a wake-up": 0.15,
                "sleep on": 0.15,
                "grab twice": 0.1,
                "sleep at work": 0.05,
                "have timeouts": 0.3,
                "speak gearpy": 0.4,
                "submit": 0.2,
            },
        ),
        operators_do=_swarm(
            rng,
            {
                "cancel": 0.3,
                "pause": 0.2,
                "drain": 0.1,
                "retry": 0.5,
                "purge": 0.15,
                "change a policy": 0.3,
                "look": 0.3,
                "tell workers": 0.3,
            },
        ),
    )


def _swarm(rng: Random, weights: dict[str, float]) -> dict[str, float]:
    """Leaves some out, and turns some up."""
    return {
        name: 0.0 if rng.random() < 0.4 else weight * rng.choice((0.5, 1.0, 3.0))
        for name, weight in weights.items()
    }


def _draw_policies(rng: Random, functions: tuple[bytes, ...]) -> dict[bytes, Policy]:
    policies = {}
    for pattern in (*functions, b"*"):
        if rng.random() < 0.4:
            policies[pattern] = draw_policy(rng)
    return policies


def draw_policy(rng: Random) -> Policy:
    """A policy that says a few things."""

    def maybe(chance: float, *values: T) -> T | None:
        return rng.choice(values) if rng.random() < chance else None

    return Policy(
        attempts=maybe(0.5, 1, 2, 3, 7),
        retry_on=maybe(0.2, frozenset[Cause](), frozenset(rng.sample(_CAUSES, 2))),
        backoff=maybe(0.5, *_BACKOFFS),
        poison=maybe(0.3, 0, 1, 2),
        timeout_s=maybe(0.3, 0.3, 2.0),
        expires_s=maybe(0.2, 0.2, 3.0),
        delay_s=maybe(0.15, 0.1, 2.0),
        max_running=maybe(0.2, 1, 2),
        max_running_per_key=maybe(0.5, 1, 1, 2),
        rate_per_minute=maybe(0.1, 20, 60),
        max_queue=maybe(0.1, 3, 20),
        keep_s=maybe(0.3, 0.5, 30.0),
        keep_bytes=maybe(0.1, 0, 5000),
    )


_BACKOFFS: Final[tuple[Backoff, ...]] = (
    Delays(),
    Delays((0.1, 1.0)),
    Exponential(base_s=0.2, factor=3.0, cap_s=5.0, jitter=0.5),
    Exponential(),
)
