"""Dramatiq, with one process of the eight threads that it has by itself."""

import os
from typing import Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.libraries.job import PAYLOAD, done, marks

COMMAND: Final = ("dramatiq", "bench.libraries.dramatiq_app", "--processes", "1")

dramatiq.set_broker(RedisBroker(url=os.environ.get("BENCH_REDIS", "redis://")))


@dramatiq.actor
def noop(mark: str, payload: str) -> None:
    done(mark)


def submit(count: int) -> None:
    for mark in marks(count):
        noop.send(mark, PAYLOAD)
