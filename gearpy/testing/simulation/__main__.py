"""``python -m gearpy.testing.simulation --seeds 0-199``."""

import sys
from typing import Final

import click

from gearpy.testing.simulation.features import described
from gearpy.testing.simulation.world import Outcome, simulate

_LINES: Final = 60  # of the story of a world that failed


def seeds_of(text: str) -> list[int]:
    """The seeds that are meant: ``1234``, ``0-199``, or several of these with commas.

    Raises ValueError.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    return seeds


def report(outcome: Outcome, lines: int | None) -> str:
    """What to say of a world that failed: its story, what broke, and how to run it again."""
    return "\n".join(
        (
            *outcome.story.lines(lines),
            described(outcome.features),
            f"seed {outcome.seed}: {outcome.broken}",
            f"run it again: make simulate SEEDS={outcome.seed}",
        )
    )


@click.command()
@click.option(
    "--seeds", required=True, help="One seed (1234), a range (0-199), or several (1,5-9)."
)
@click.option("--story", is_flag=True, help="Print whole stories, also of worlds that went well.")
def main(seeds: str, story: bool) -> None:
    """Runs simulated worlds; exits with 1 if a promise was broken in one of them."""
    try:
        chosen = seeds_of(seeds)
    except ValueError:
        raise click.BadParameter(f"{seeds!r} is neither a seed nor a range of them") from None
    failed = []
    for seed in chosen:
        outcome = simulate(seed)
        if outcome.broken is not None:
            failed.append(seed)
            click.echo(report(outcome, None if story else _LINES) + "\n")
        elif story:
            click.echo("\n".join(outcome.story.lines()))
        if outcome.broken is None and len(chosen) == 1:
            click.echo(
                f"seed {seed}: all promises kept: {outcome.jobs} jobs, {outcome.followups} of them"
                f" followed others, {outcome.receipts} receipts, {outcome.starts} starts of the"
                f" server, {outcome.events} events;"
                f" story {outcome.story.fingerprint}"
            )
    click.echo(f"{len(chosen) - len(failed)} of {len(chosen)} worlds went well")
    if failed:
        click.echo(f"broken: {', '.join(map(str, failed))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
