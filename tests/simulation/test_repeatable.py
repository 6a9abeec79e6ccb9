"""A seed tells the same story each time, wherever it is told."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gearpy.testing.simulation import simulate
from gearpy.testing.simulation.__main__ import main, report, seeds_of

from .sabotage import end_twice, needs_plain_python, sabotaged

SEEDS = (1, 7, 12)


def fingerprints(hash_seed: int) -> str:
    """The stories' fingerprints, from a process of its own."""
    program = (
        "from gearpy.testing.simulation import simulate\n"
        f"print(*(simulate(seed).story.fingerprint for seed in {SEEDS}))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    ).stdout


def test_the_same_seed_tells_the_same_story() -> None:
    assert simulate(3).story.lines() == simulate(3).story.lines()
    assert simulate(3).story.fingerprint != simulate(4).story.fingerprint


def test_whatever_the_hashes_are() -> None:
    assert fingerprints(1) == fingerprints(2)


def test_seeds_on_the_command_line() -> None:
    assert seeds_of("1234") == [1234]
    assert seeds_of("0-3, 9") == [0, 1, 2, 3, 9]
    with pytest.raises(ValueError, match="many"):
        seeds_of("many")


def test_the_command_says_how_it_went() -> None:
    one = CliRunner().invoke(main, ["--seeds", "5", "--story"])
    assert one.exit_code == 0
    assert "server       starts" in one.output
    assert "all promises kept" in one.output
    assert "1 of 1 worlds went well" in one.output
    assert CliRunner().invoke(main, ["--seeds", "x"]).exit_code == 2


@needs_plain_python
def test_a_failed_world_says_how_to_run_it_again() -> None:
    for seed in range(50):
        outcome = simulate(seed, sabotaged(end_twice))
        if outcome.broken is not None:
            break
    text = report(outcome, 5)
    assert "one ending" in text
    assert "BROKEN" in text
    assert f"make simulate SEEDS={outcome.seed}" in text
