"""Functions that run in processes of their own."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gearpy.worker import Job


def upper(job: Job) -> bytes:
    return job.data.upper()


def pid(job: Job) -> str:
    return str(os.getpid())


def twice(value: list[int], job: Job) -> list[object]:
    return [*value, *value, job.function]


def says(job: Job) -> str:
    job.progress(1, 2, "half")
    job.send_data(b"part")
    job.warn("careful")
    threads = [threading.Thread(target=job.send_data, args=(b"x",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "done"


def leaves_a_thread(job: Job) -> None:
    """Which goes on asking and talking as long as the process lives."""

    def ask() -> None:
        while True:
            job.cancelled  # noqa: B018  # what it is about
            job.send_data(b"late")

    threading.Thread(target=ask, daemon=True).start()


def endless(job: Job) -> None:
    job.send_data(str(os.getpid()))
    while True:
        time.sleep(60)  # until its process is killed


def busy(job: Job) -> None:
    while True:
        pass


async def later(job: Job) -> bytes:
    import asyncio

    await asyncio.sleep(0)
    if job.data == b"endless":
        await asyncio.Event().wait()
    return job.data


def crash(job: Job) -> None:
    if job.data == b"exit":
        sys.exit(7)
    os.kill(os.getpid(), signal.SIGSEGV)


def raises(job: Job) -> None:
    logging.getLogger("shop").warning("about to raise")
    raise KeyError(job.data)


def until_cancelled(job: Job) -> None:
    job.send_data(b"begun")
    while not job.cancelled:
        time.sleep(0.01)  # as a user's function asks
    Path(os.fsdecode(job.data)).write_text("cancelled")


def around(job: Job, call_next: Callable[[], Any]) -> Any:
    return b"<" + call_next() + b">"


opened: list[str] = []


def open_books() -> None:
    opened.append("open")


def close_books() -> None:
    Path(os.environ["BOOKS"], str(os.getpid())).write_text("closed")


def books(job: Job) -> str:
    return f"{os.getpid()} {opened}"


def cannot_open() -> None:
    raise FileNotFoundError("no books")
