"""Celery, with one process that does jobs."""

import os
from typing import Final

from celery import Celery

from bench.libraries.job import PAYLOAD, done, marks

COMMAND: Final = (
    *("celery", "-A", "bench.libraries.celery_app", "worker", "--concurrency", "1"),
    *("--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"),
)

app = Celery("bench", broker=os.environ.get("BENCH_REDIS"), backend=os.environ.get("BENCH_REDIS"))
app.conf.broker_connection_retry_on_startup = True


@app.task(ignore_result=True)
def noop(mark: str, payload: str) -> None:
    done(mark)


@app.task
def answer(payload: str) -> None:
    """Whose result is waited for."""


def submit(count: int) -> None:
    for mark in marks(count):
        noop.delay(mark, PAYLOAD)


def round_trips(count: int) -> None:
    for _ in range(count):
        answer.delay(PAYLOAD).get()
