"""Kills a server for hours: python -m tests.crash.soak --hours 2, or --kills 1000.

It goes in rounds, each with a journal and a seed of its own, and in the end of each everything must
be accounted for.  Every second round has next to no memory for payloads.
"""

import sys
import time
from typing import Final

import click

from tests.crash.run import CrashFailure, Plan, run, small_memory

_KILLS: Final = 50  # in a round


@click.command()
@click.option("--hours", type=float, default=0.0, help="Go on for so long.")
@click.option("--kills", type=int, default=0, help="Go on until the server died so often.")
@click.option("--seed", type=int, default=None, help="Of the first round.  Default: the time.")
@click.option("--life", "life_s", default=3.0, help="Seconds that a server lives, at most.")
def soak(hours: float, kills: int, seed: int | None, life_s: float) -> None:
    """Kills a gearpy-server under load, until the time is over or it died often enough."""
    if not hours and not kills:
        raise click.UsageError("say for how long: --hours 2, or --kills 1000")
    ends_s = time.monotonic() + hours * 3600 if hours else 0.0
    first = int(time.time()) if seed is None else seed
    killed = rounds = 0
    while time.monotonic() < ends_s or killed < kills:
        count = min(_KILLS, kills - killed) if kills > killed else _KILLS
        plan = Plan(first + rounds, count, life_s)
        try:
            run(small_memory(plan) if rounds % 2 else plan, lambda line: print(line, flush=True))
        except CrashFailure as error:
            sys.exit(str(error))
        killed, rounds = killed + count, rounds + 1
    print(f"{killed} kills in {rounds} rounds, from seed {first}: all accounted for")


if __name__ == "__main__":
    soak()
