"""gearpy itself as a peer.

    gearpy_peer.py worker HOST PORT NAME
    gearpy_peer.py substitute HOST PORT NAME
    gearpy_peer.py client HOST PORT NAME UNIQUE
    gearpy_peer.py background HOST PORT NAME UNIQUE PRIORITY PAYLOAD

A worker registers its functions under the prefix NAME and works until it is killed; a substitute
does the function NAME alone, by reversing.  A client submits standard input to the function NAME
and prints what happens to the job.  With ``background`` it prints the job's handle, and then the
job's status for each line that it reads.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from gearpy import Client, Job, JobFailed, Priority, Worker


def reverse(job: Job) -> bytes:
    return job.data[::-1]


def report(job: Job) -> str:
    job.send_data("one")
    job.send_data("two")
    job.warn("careful")
    job.progress(1, 2)
    return "done"


def explode(job: Job) -> None:
    raise ValueError("boom")


def unique(job: Job) -> str:
    return job.unique


def hold(job: Job) -> str:
    """Tells how far it is, and then waits for a line in the pipe that is its payload."""
    job.progress(3, 10)
    with Path(job.data.decode()).open() as pipe:
        return pipe.readline()


def hang(_: Job) -> None:
    time.sleep(600)  # until the test kills it


def work(address: str, prefix: str) -> None:
    worker = Worker(address)
    worker.register(prefix + "reverse", reverse)
    worker.register(prefix + "report", report)
    worker.register(prefix + "raise", explode)
    worker.register(prefix + "unique", unique)
    worker.register(prefix + "hold", hold)
    worker.register(prefix + "hang", hang)
    worker.register(prefix + "slow", hang, timeout=1)
    worker.run()


def substitute(address: str, name: str) -> None:
    worker = Worker(address)
    worker.register(name, reverse)
    worker.run()


def say(kind: bytes, data: bytes) -> None:
    sys.stdout.buffer.write(kind + b" " + data + b"\n")


def submit(address: str, function: str, unique: str) -> None:
    with Client(address) as client:
        job = client.submit(
            function,
            sys.stdin.buffer.read(),
            unique=unique,
            on_data=lambda data: say(b"data", data),
            on_warning=lambda warning: say(b"warning", warning),
            on_progress=lambda done, of, _: say(b"status", b"%d/%d" % (done, of)),
        )
        try:
            say(b"complete", job.result())
        except JobFailed as failure:
            if failure.exception is None:
                print("fail")
            else:
                say(b"exception", failure.exception)


def background(address: str, function: str, unique: str, priority: str, payload: str) -> None:
    with Client(address) as client:
        handle = client.submit_background(
            function, payload, unique=unique, priority=Priority[priority.upper()]
        )
        print(handle, flush=True)
        for _ in sys.stdin:
            status = client.status(handle)
            print(
                int(status.known),
                int(status.running),
                status.numerator,
                status.denominator,
                flush=True,
            )


if __name__ == "__main__":
    role, host, port, *more = sys.argv[1:]
    roles: dict[str, Callable[..., None]] = {
        "worker": work,
        "substitute": substitute,
        "client": submit,
        "background": background,
    }
    roles[role](f"{host}:{port}", *more)
