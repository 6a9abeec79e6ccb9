"""RQ, with the worker that its documentation starts: it forks for each job."""

import os
from typing import Final

from redis import Redis
from rq import Queue

from bench.libraries.job import PAYLOAD, done, marks

COMMAND: Final = ("rq", "worker", "--quiet", "--url", os.environ.get("BENCH_REDIS", ""))


def noop(mark: str, payload: str) -> None:
    done(mark)


def submit(count: int) -> None:
    queue = Queue(connection=Redis.from_url(os.environ["BENCH_REDIS"]))
    for mark in marks(count):
        queue.enqueue(noop, mark, PAYLOAD)
