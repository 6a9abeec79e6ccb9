"""The package gear as a peer.

    gear_peer.py worker HOST PORT NAME
    gear_peer.py client HOST PORT NAME UNIQUE
    gear_peer.py background HOST PORT NAME UNIQUE PRIORITY PAYLOAD

A worker registers its functions under the prefix NAME and works until it is killed.  A client
submits standard input to the function NAME and prints what happens to the job.  With ``background``
it prints the job's handle, and then the job's status for each line that it reads.
"""

import sys
import threading
from collections.abc import Callable

import gear


def work(host: str, port: int, prefix: str) -> None:
    worker = gear.Worker(prefix + "worker")
    worker.addServer(host, port)
    worker.waitForServer()
    for name in ("reverse", "report", "fail", "raise", "unique", "hang"):
        worker.registerFunction(prefix + name)
    worker.registerFunction(prefix + "slow", b"1000")
    while True:
        job = worker.getJob()
        perform(job, job.name.removeprefix(prefix))


def perform(job: gear.WorkerJob, name: str) -> None:
    match name:
        case "reverse":
            job.sendWorkComplete(job.arguments[::-1])
        case "report":
            job.sendWorkData(b"one")
            job.sendWorkData(b"two")
            job.sendWorkWarning(b"careful")
            job.sendWorkStatus(1, 2)
            job.sendWorkComplete(b"done")
        case "fail":
            job.sendWorkFail()
        case "raise":
            job.sendWorkException(b"boom")
        case "unique":
            job.sendWorkComplete(job.unique)


def say(kind: bytes, data: bytes | None = None) -> None:
    sys.stdout.buffer.write(kind + (b"" if data is None else b" " + data) + b"\n")


class Client(gear.Client):  # type: ignore[misc]  # gear has no types
    """Prints each packet about its job."""

    def __init__(self) -> None:
        super().__init__("gear-client")
        self.ended = threading.Event()
        self.told = threading.Event()

    def handleWorkData(self, packet: gear.Packet) -> None:
        super().handleWorkData(packet)
        say(b"data", packet.getArgument(1, True))

    def handleWorkWarning(self, packet: gear.Packet) -> None:
        super().handleWorkWarning(packet)
        say(b"warning", packet.getArgument(1, True))

    def handleWorkStatus(self, packet: gear.Packet) -> None:
        job = super().handleWorkStatus(packet)
        say(b"status", job.numerator + b"/" + job.denominator)

    def handleStatusRes(self, packet: gear.Packet) -> None:
        super().handleStatusRes(packet)
        self.told.set()

    def handleWorkComplete(self, packet: gear.Packet) -> None:
        super().handleWorkComplete(packet)
        say(b"complete", packet.getArgument(1, True))
        self.ended.set()

    def handleWorkException(self, packet: gear.Packet) -> None:
        job = super().handleWorkException(packet)
        say(b"exception", job.exception)
        self.ended.set()

    def handleWorkFail(self, packet: gear.Packet) -> None:
        super().handleWorkFail(packet)
        say(b"fail")
        self.ended.set()


def connect(host: str, port: int) -> Client:
    client = Client()
    client.addServer(host, port)
    client.waitForServer()
    return client


def submit(host: str, port: int, function: str, unique: str) -> None:
    client = connect(host, port)
    client.setOption("exceptions")
    job = gear.Job(function, sys.stdin.buffer.read(), unique or None)
    client.submitJob(job)
    client.ended.wait()
    client.shutdown()


PRECEDENCE = {
    "low": gear.PRECEDENCE_LOW,
    "normal": gear.PRECEDENCE_NORMAL,
    "high": gear.PRECEDENCE_HIGH,
}


def background(
    host: str, port: int, function: str, unique: str, priority: str, payload: str
) -> None:
    client = connect(host, port)
    job = gear.Job(function, payload.encode(), unique or None)
    client.submitJob(job, background=True, precedence=PRECEDENCE[priority])
    print(job.handle.decode(), flush=True)
    for _ in sys.stdin:
        client.told.clear()
        job.connection.sendPacket(
            gear.Packet(gear.constants.REQ, gear.constants.GET_STATUS, job.handle)
        )
        client.told.wait()
        done, of = job.numerator.decode(), job.denominator.decode()
        print(int(job.known), int(job.running), done, of, flush=True)
    client.shutdown()


if __name__ == "__main__":
    role, host, port, *more = sys.argv[1:]
    roles: dict[str, Callable[..., None]] = {
        "worker": work,
        "client": submit,
        "background": background,
    }
    roles[role](host, int(port), *more)
