"""The load: clients and workers of all kinds in one process, on one epoll loop.

The generator must never be what is measured, so it does as little as it can: packets are made
before the clock starts, answers are counted by their header and not taken apart, everything that
one read brings is answered with one write.  The same code drives every server.

The sockets block, which costs a system call less than asking first: they are read only when epoll
says so, and what is in flight is far smaller than the kernel's buffers.  Paced clients may have
more in flight, so they keep what the server does not take yet, and go on reading.
"""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from typing import Final, Protocol, final

from bench.latencies import Latencies
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser

HOST: Final = "127.0.0.1"
SILENCE_S: Final = 60.0  # this long without a byte: something is stuck
_READ_BYTES: Final = 32 << 10  # Python allocates so much for each read, and larger costs more
_MAGIC_AND_NUMBER_BYTES: Final = 8
_TICK_S: Final = 0.001  # of paced clients

_header = struct.Struct(">4xII").unpack_from

_PRE_SLEEP: Final = codec.request(p.PRE_SLEEP)
_RESULT: Final = b"ok"
_ASSIGNMENTS: Final = (p.JOB_ASSIGN_UNIQ, p.JOB_ASSIGN)


class BenchError(Exception):
    """The workload could not be run to its end."""


@dataclass(slots=True)
class Tally:
    """What all connections of a workload count together."""

    awaited: int = 0  # answers until the workload is over


class Source(Protocol):
    """Where clients take what they submit."""

    def take(self, count: int) -> memoryview:
        """The bytes of the next packets: ``count`` of them, or as many as there are."""


@final
class Supply:
    """What all clients of a workload are still to submit: a packet for each job, all of one
    size."""

    def __init__(self, packets: Sequence[bytes]) -> None:
        self.left = len(packets)
        self._packet_bytes = len(packets[0])
        self._packets = memoryview(b"".join(packets))

    def take(self, count: int) -> memoryview:
        """The bytes of the next packets: ``count`` of them, or as many as there are."""
        self.left -= min(count, self.left)
        size = count * self._packet_bytes
        taken, self._packets = self._packets[:size], self._packets[size:]
        return taken


@final
class Endless:
    """The same packet for ever: for clients that are there to keep the server busy."""

    def __init__(self, packet: bytes, count_max: int) -> None:
        """``count_max`` is how many are taken at a time, at most."""
        self._packet_bytes = len(packet)
        self._packets = memoryview(packet * count_max)

    def take(self, count: int) -> memoryview:
        return self._packets[: count * self._packet_bytes]


class Connection(Protocol):
    """A client or a worker."""

    sock: socket.socket

    def start(self) -> None:
        """The clock runs: sends the first packets."""

    def receive(self, data: bytes) -> None:
        """Bytes arrived: counts answers, sends what follows."""


def mark(number: int) -> bytes:
    """How every packet of this type begins that a server sends."""
    return codec.response(number)[:_MAGIC_AND_NUMBER_BYTES]


@final
class Client:
    """Keeps jobs in flight until all are submitted and answered.

    ``answer`` is how what ends a job for this client begins: the ``mark`` of JOB_CREATED in the
    background, of WORK_COMPLETE in the foreground.  ``latencies`` hears how long each one took,
    from just before its submit was written (or should have been: see ``submit_due``) until its
    answer was read.  It takes answers to come in the order of the submits.  WORK_COMPLETE does so
    with one job in flight; with more of them it is the mean that is right, and percentiles
    are as good as several workers keep the order.
    """

    def __init__(
        self,
        sock: socket.socket,
        supply: Source,
        answer: bytes,
        in_flight: int,
        tally: Tally,
        latencies: Latencies | None = None,
    ) -> None:
        """With 0 ``in_flight`` it submits only what ``submit_due`` tells it to."""
        self.sock = sock
        self._latencies = latencies
        self._submitted: deque[tuple[float, int]] = deque()  # when, how many; oldest first
        self._supply = supply
        self._in_flight = in_flight
        self._unsent = bytearray()  # of what is due
        self._answer = answer
        self._tail = b""  # may be the beginning of a header
        self._tally = tally

    def start(self) -> None:
        self._submit(self._in_flight)

    def receive(self, data: bytes) -> None:
        data = self._tail + data
        self._tail = data[1 - len(self._answer) :]
        # No payload of ours holds a header, so every one that is found starts a packet.
        count = data.count(self._answer)
        if count:
            if self._latencies is not None:
                self._note(self._latencies, count)
            self._tally.awaited -= count
            if self._in_flight:
                self._submit(count)

    def submit_due(self, due_s: Sequence[float]) -> None:
        """Submits one job for each of these times of ``perf_counter``, when it was due."""
        assert self._latencies is not None, "nobody paces clients whose answers are not timed"
        self._submitted.extend((each_s, 1) for each_s in due_s)
        self._unsent += self._supply.take(len(due_s))
        self.send_more()

    def send_more(self) -> bool:
        """Sends of what is due as much as the server takes; returns whether there is more."""
        if self._unsent:
            try:
                sent = self.sock.send(self._unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            del self._unsent[:sent]
        return bool(self._unsent)

    def _submit(self, count: int) -> None:
        packets = self._supply.take(count)
        if packets:
            if self._latencies is not None:
                self._submitted.append((time.perf_counter(), count))
            self.sock.sendall(packets)

    def _note(self, latencies: Latencies, count: int) -> None:
        now_s = time.perf_counter()
        while count:
            submitted_s, waiting = self._submitted.popleft()
            answered = min(count, waiting)
            latencies.add(now_s - submitted_s, answered)
            count -= answered
            if waiting > answered:
                self._submitted.appendleft((submitted_s, waiting - answered))


@final
class Worker:
    """Does one job after the other: its result and the next ``grab`` travel in one write.

    With ``sleeps`` it does on NO_JOB what real workers do: PRE_SLEEP, and another grab when the
    server says NOOP.  Without, the first NO_JOB is the last answer that it waits for.  With
    ``jobs`` it stops after so many, and each of them is an answer that is waited for; then it
    sleeps, too: a server that reads the next payloads from its disk has no job for a moment.
    ``latencies`` hears how long each job took to come, from just before it was asked for.
    """

    def __init__(
        self,
        sock: socket.socket,
        sleeps: bool,
        tally: Tally,
        jobs: int | None = None,
        latencies: Latencies | None = None,
        grab: int = p.GRAB_JOB_UNIQ,
    ) -> None:
        self.sock = sock
        self._grab = codec.request(grab)
        self._sleeps = sleeps
        self._jobs = jobs
        self._held = bytearray()  # an incomplete packet
        self._needed = 0  # bytes to hold before another look is worth while
        self._tally = tally
        self._latencies = latencies
        self._asked_s = 0.0

    def start(self) -> None:
        # Who sleeps waits for its NOOP.
        if self._jobs or (self._jobs is None and not self._sleeps):
            self._send(self._grab)

    def receive(self, data: bytes) -> None:
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return
            data, self._held = bytes(self._held), bytearray()
        replies = b""
        start, size = 0, len(data)
        while start + p.HEADER_BYTES <= size:
            number, length = _header(data, start)
            body = start + p.HEADER_BYTES
            self._needed = p.HEADER_BYTES + length
            if body + length > size:
                break
            if number in _ASSIGNMENTS:
                if self._latencies is not None:
                    self._latencies.add(time.perf_counter() - self._asked_s)
                handle = data[body : data.index(0, body)]
                replies += codec.request(p.WORK_COMPLETE, handle, _RESULT)
                if self._jobs is None or self._goes_on(self._jobs - 1):
                    replies += self._grab
            elif number == p.NOOP:
                replies += self._grab
            elif number != p.NO_JOB:
                raise BenchError(f"a worker was sent {data[start : body + length]!r}")
            elif self._sleeps or self._jobs is not None:
                replies += _PRE_SLEEP
            else:
                self._tally.awaited -= 1
            start = body + length
        if start < size:
            self._held += memoryview(data)[start:]
            if size - start < p.HEADER_BYTES:
                self._needed = p.HEADER_BYTES
        if replies:
            self._send(replies)

    def _send(self, packets: bytes) -> None:
        if self._latencies is not None:
            self._asked_s = time.perf_counter()
        self.sock.sendall(packets)

    def _goes_on(self, left: int) -> bool:
        """Counts a job of those that it was to do; whether it wants another one."""
        self._jobs = left
        self._tally.awaited -= 1
        return left > 0


def connect(port: int) -> socket.socket:
    """A connection to the server on this port."""
    sock = socket.create_connection((HOST, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def settle(sock: socket.socket) -> None:
    """Returns once the server has handled everything that was sent on this connection."""
    # Every server knows this packet; gear's does not know ECHO_REQ.
    sock.sendall(codec.request(p.GET_STATUS, b"settled"))
    parser = PacketParser(p.RES)
    while all(number != p.STATUS_RES for number, _ in parser.feed(receive_some(sock))):
        pass


def receive_some(sock: socket.socket) -> bytes:
    """The next bytes.  Raises BenchError when the server has closed the connection."""
    data = sock.recv(_READ_BYTES)
    if not data:
        raise BenchError("the server closed a connection")
    return data


@final
class Pace:
    """When clients submit, whatever became of their earlier jobs: at a steady rate.

    Each millisecond a batch of jobs is due, and each client submits its share of them with one
    write.  Single jobs would keep the generator busier than the server.
    """

    def __init__(self, clients: Sequence[Client], rate_per_s: float, jobs: int) -> None:
        self._clients = clients
        self._turns = cycle(clients)
        self._batch = rate_per_s * _TICK_S
        self._jobs = jobs
        self._submitted = 0
        self._start_s = 0.0

    def start(self) -> None:
        """The clock runs."""
        self._start_s = time.perf_counter()

    def keep(self) -> float:
        """Submits what is due by now; returns in how many seconds it must be called again."""
        ticks = int((time.perf_counter() - self._start_s) / _TICK_S)
        first, self._submitted = self._submitted, min(self._jobs, ceil((ticks + 1) * self._batch))
        share = max(1, ceil((self._submitted - first) / len(self._clients)))
        for start in range(first, self._submitted, share):
            stop = min(start + share, self._submitted)
            next(self._turns).submit_due([self._due_s(number) for number in range(start, stop)])
        waiting = sum(client.send_more() for client in self._clients)
        if waiting:
            return _TICK_S
        if self._submitted == self._jobs:
            return 1.0
        return max(0.0, self._due_s(self._submitted) - time.perf_counter())

    def _due_s(self, number: int) -> float:
        return self._start_s + int(number / self._batch) * _TICK_S


def receive_until(sock: socket.socket, end: bytes) -> bytes:
    """A text answer with its end.  Raises BenchError when the server has closed the connection."""
    heard = b""
    while not heard.endswith(end):
        heard += receive_some(sock)
    return heard


def _poll_paced(epoll: select.epoll, pace: Pace) -> list[tuple[int, int]]:
    """Which connections have something to read; submits what is due until one has.

    For few connections: ``select`` takes no descriptor above 1023.
    """
    give_up_s = time.perf_counter() + SILENCE_S
    while time.perf_counter() < give_up_s:
        # Not with epoll's own waiting, which counts whole milliseconds.
        select.select([epoll], [], [], pace.keep())
        if ready := epoll.poll(0):
            return ready
    return []


def run(connections: Sequence[Connection], tally: Tally, pace: Pace | None = None) -> None:
    """Starts every connection and serves them until all answers are there.

    Raises BenchError when the server hangs up or falls silent.
    """
    by_fd = {connection.sock.fileno(): connection for connection in connections}
    with select.epoll() as epoll:
        for fd in by_fd:
            epoll.register(fd, select.EPOLLIN)
        for connection in connections:
            connection.start()
        if pace is not None:
            pace.start()
        while tally.awaited > 0:
            ready = epoll.poll(SILENCE_S) if pace is None else _poll_paced(epoll, pace)
            if not ready:
                raise BenchError(
                    f"the server said nothing for {SILENCE_S:.0f} s;"
                    f" {tally.awaited:,} answers were still to come"
                )
            for fd, _ in ready:
                connection = by_fd[fd]
                connection.receive(receive_some(connection.sock))
