"""The package gearman3 as a peer.

    gearman3_peer.py worker HOST PORT NAME
    gearman3_peer.py client HOST PORT NAME UNIQUE
    gearman3_peer.py background HOST PORT NAME UNIQUE PRIORITY PAYLOAD
    gearman3_peer.py calls HOST PORT

A worker registers its functions under the prefix NAME and works until it is killed.  A client
submits standard input to the function NAME and prints what happens to the job.  With ``background``
it prints the job's handle, and then the job's status for each line that it reads.
With ``calls`` it calls what is left, and prints what comes back; our worker does its jobs.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import gearman
import gearman.connection


class Connection(gearman.connection.GearmanConnection):  # type: ignore[misc]  # gearman3 has no types
    """Reads as gearman3 does, which calls array.fromstring; Python 3.9 took that away."""

    def read_data_from_socket(self, bytes_to_read: int = 4096) -> int:
        received = self.gearman_socket.recv(bytes_to_read)
        if not received:
            self.throw_exception(message="remote disconnected")
        self._incoming_buffer.frombytes(received)
        return len(self._incoming_buffer)


class Failed(Exception):
    """Raised in a function: end the job with WORK_FAIL alone."""


class Worker(gearman.GearmanWorker):  # type: ignore[misc]  # gearman3 has no types
    connection_class = Connection

    def on_job_exception(self, job: gearman.job.GearmanJob, info: Any) -> bool:
        if info[0] is Failed:
            self.send_job_failure(job)
        else:
            self.send_job_exception(job, str(info[1]))  # sends WORK_FAIL too
        return True


class Client(gearman.GearmanClient):  # type: ignore[misc]  # gearman3 has no types
    connection_class = Connection


class Admin(gearman.GearmanAdminClient):  # type: ignore[misc]  # gearman3 has no types
    connection_class = Connection


def reverse(_: Worker, job: gearman.job.GearmanJob) -> bytes:
    payload: bytes = job.data
    return payload[::-1]


def report(worker: Worker, job: gearman.job.GearmanJob) -> bytes:
    worker.send_job_data(job, b"one")
    worker.send_job_data(job, b"two")
    worker.send_job_warning(job, b"careful")
    worker.send_job_status(job, 1, 2)
    return b"done"


def fail(_: Worker, job: gearman.job.GearmanJob) -> bytes:
    raise Failed


def explode(_: Worker, job: gearman.job.GearmanJob) -> bytes:
    raise ValueError("boom")


def unique(_: Worker, job: gearman.job.GearmanJob) -> bytes:
    key: bytes = job.unique
    return key


def hang(_: Worker, job: gearman.job.GearmanJob) -> bytes:
    time.sleep(600)  # until the test kills it
    return b""


def work(address: str, prefix: str) -> None:
    worker = Worker([address])
    worker.set_client_id(prefix + "worker")
    functions = {"reverse": reverse, "report": report, "fail": fail, "unique": unique}
    for name, function in {**functions, "raise": explode, "hang": hang}.items():
        worker.register_task((prefix + name).encode(), function)
    worker.work()


def say(kind: bytes, data: bytes) -> None:
    sys.stdout.buffer.write(kind + b" " + data + b"\n")


def submit(address: str, function: str, unique: str) -> None:
    client = Client([address])
    request = client.submit_job(function, sys.stdin.buffer.read(), unique=unique)
    for data in request.data_updates:
        say(b"data", data)
    for data in request.warning_updates:
        say(b"warning", data)
    if request.status:
        done, of = request.status["numerator"], request.status["denominator"]
        say(b"status", b"%d/%d" % (done, of))
    if request.state == gearman.JOB_COMPLETE:
        say(b"complete", request.result)
    else:
        print("fail")


PRIORITY = {
    "low": gearman.PRIORITY_LOW,
    "normal": gearman.PRIORITY_NONE,
    "high": gearman.PRIORITY_HIGH,
}


def background(address: str, function: str, unique: str, priority: str, payload: str) -> None:
    client = Client([address])
    request = client.submit_job(
        function,
        payload,
        unique=unique,
        priority=PRIORITY[priority],
        background=True,
        wait_until_complete=False,
    )
    print(request.job.handle.decode(), flush=True)
    for _ in sys.stdin:
        status = client.get_job_status(request).status
        print(status["numerator"], status["denominator"], flush=True)


def calls(address: str) -> None:
    jobs = [
        {"task": "gearpy.reverse", "data": b"abc", "priority": gearman.PRIORITY_LOW},
        {"task": "gearpy.reverse", "data": b"def", "priority": gearman.PRIORITY_HIGH},
        {"task": "gearpy.unique", "data": b"", "unique": b"key"},
        {"task": "gearpy.raise", "data": b""},
    ]
    for request in Client([address]).submit_multiple_jobs(jobs):
        print("several:", request.state, (request.result or b"").decode())

    # The rest of its administration does not work in Python 3.
    admin = Admin([address])
    print("pid:", admin.get_pid().decode())
    print("version:", admin.get_version().decode())
    print("cancel:", admin.cancel_job("H:none:1").decode().rstrip())


if __name__ == "__main__":
    role, host, port, *more = sys.argv[1:]
    roles: dict[str, Callable[..., None]] = {
        "worker": work,
        "client": submit,
        "background": background,
        "calls": calls,
    }
    roles[role](f"{host}:{port}", *more)
