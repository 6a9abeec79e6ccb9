"""gearpy: pipelined background submits, each answered when its job is on the disk."""

import sys
from collections.abc import Iterator
from typing import Final

from bench.libraries.job import PAYLOAD, done, marks
from gearpy import Client, Job, Worker

COMMAND: Final = (sys.executable, "-m", "bench.libraries.gearpy_app")

worker = Worker()


@worker.function("noop")
def noop(job: Job) -> bytes:
    done(job.data[100:].decode())
    return b""


def submit(count: int) -> None:
    def payloads() -> Iterator[str]:
        return (PAYLOAD + mark for mark in marks(count))

    with Client() as client:
        client.submit_many_background("noop", payloads())


def round_trips(count: int) -> None:
    with Client() as client:
        for _ in range(count):
            client.submit("noop", PAYLOAD).result()


if __name__ == "__main__":
    worker.run()
