"""gearpy's tasks: arguments as JSON, checked; one background submit after the other."""

import sys
from typing import Final

from bench.libraries.job import PAYLOAD, done, marks
from gearpy.tasks import Tasks

COMMAND: Final = (sys.executable, "-m", "bench.libraries.gearpy_tasks_app")

tasks = Tasks("bench")


@tasks.task()
def noop(mark: str, payload: str) -> None:
    done(mark)


def submit(count: int) -> None:
    for mark in marks(count):
        noop.submit_background(mark, PAYLOAD)


def round_trips(count: int) -> None:
    for _ in range(count):
        noop.submit("", PAYLOAD).result()


if __name__ == "__main__":
    tasks.worker().run()
