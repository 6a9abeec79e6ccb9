"""Huey, with one process that does jobs."""

import os
from typing import Final

from huey import RedisHuey

from bench.libraries.job import PAYLOAD, done, marks

COMMAND: Final = (
    *("huey_consumer", "bench.libraries.huey_app.huey", "--workers", "1"),
    *("--worker-type", "process", "--quiet"),
)

huey = RedisHuey("bench", url=os.environ.get("BENCH_REDIS", "redis://"), results=True)


@huey.task()
def noop(mark: str, payload: str) -> None:
    done(mark)


@huey.task()
def answer(payload: str) -> int:
    """Whose result is waited for."""
    return 1


def submit(count: int) -> None:
    for mark in marks(count):
        noop(mark, PAYLOAD)


def round_trips(count: int) -> None:
    for _ in range(count):
        answer(PAYLOAD)(blocking=True)
