"""The server is killed under load, again and again, and nothing that it promised is lost."""

import os

from tests.crash.run import Plan, run, small_memory


def _seed() -> int:
    """A new one each time: say GEARPY_CRASH_SEED=N to have the moments of an earlier run."""
    return int(os.environ.get("GEARPY_CRASH_SEED", int.from_bytes(os.urandom(3), "big")))


def test_twenty_kills() -> None:
    run(Plan(_seed(), kills=20))


def test_kills_with_payloads_on_disk_only() -> None:
    run(small_memory(Plan(_seed(), kills=5, life_s=0.6)))
