"""The broker alone: bytes in, bytes out, no sockets, one core.

What a server adds to these figures is what its event loop and the kernel cost.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, final

from rich import box
from rich.table import Table

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import PacketParser

PACKETS_PER_READ: Final = 20
PACKETS_PER_S_AIM: Final = 300_000

_FUNCTION: Final = b"bench"
_PAYLOAD: Final = b"x" * 100
_GRAB: Final = codec.request(p.GRAB_JOB_UNIQ)
_SUBMIT: Final = codec.request(p.SUBMIT_JOB, _FUNCTION, b"", _PAYLOAD)
_SUBMIT_BG: Final = codec.request(p.SUBMIT_JOB_BG, _FUNCTION, b"", _PAYLOAD)


@dataclass(slots=True)
class Lap:
    """How many packets a broker was sent, and how long it took over them."""

    packets: int = 0
    elapsed_s: float = 0.0

    @property
    def packets_per_s(self) -> float:
        """The rate."""
        return self.packets / self.elapsed_s


@final
class Bench:
    """A broker with one client and one worker, and a clock that runs only inside it."""

    def __init__(self) -> None:
        self.lap = Lap()
        self._broker = Broker()
        self._client = _Pipe(self._broker)
        self._worker = _Pipe(self._broker)
        self._worker.session.receive(codec.request(p.CAN_DO, _FUNCTION))

    def to_client(self, data: bytes, packets: int) -> None:
        """The client sends these packets; a turn follows."""
        self._turn(self._client, data, packets)

    def to_worker(self, data: bytes, packets: int) -> None:
        """The worker sends these packets; a turn follows."""
        self._turn(self._worker, data, packets)

    def take_handles(self) -> list[bytes]:
        """The jobs that the worker was assigned since the last call."""
        return self._worker.take_handles()

    def check_answers(self, count: int) -> None:
        """The client must have been sent this many packets since the last call."""
        heard = self._client.take_packets()
        if len(heard) != count:
            raise RuntimeError(f"the client heard {len(heard)} packets where {count} were due")

    def _turn(self, sender: "_Pipe", data: bytes, packets: int) -> None:
        start_s = time.perf_counter()
        sender.session.receive(data)
        for link in self._broker.take_dirty():
            link.flush()
        self.lap.elapsed_s += time.perf_counter() - start_s
        self.lap.packets += packets


@final
class _Pipe:
    """A connection that keeps what it is sent."""

    def __init__(self, broker: Broker) -> None:
        self.session = broker.connect(Peer(0, "bench", "bench"), self)
        self._parser = PacketParser(p.RES)
        self._sent: list[bytes] = []

    def flush(self) -> None:
        self._sent.append(self.session.outbox.take())

    def take_packets(self) -> list[tuple[int, bytes]]:
        data = b"".join(self._sent)
        self._sent.clear()
        return self._parser.feed(data)

    def take_handles(self) -> list[bytes]:
        return [
            codec.split(number, body)[0]
            for number, body in self.take_packets()
            if number == p.JOB_ASSIGN_UNIQ
        ]


def submit(jobs: int) -> Lap:
    """Background submits."""
    bench = Bench()
    for _ in range(jobs // PACKETS_PER_READ):
        bench.to_client(_SUBMIT_BG * PACKETS_PER_READ, PACKETS_PER_READ)
        bench.check_answers(PACKETS_PER_READ)
    return bench.lap


def grab_and_complete(jobs: int) -> Lap:
    """The result of a job and the next grab, two packets a job, until the queue is empty."""
    bench = Bench()
    at_once = PACKETS_PER_READ // 2
    for _ in range(jobs // PACKETS_PER_READ):
        bench.to_client(_SUBMIT_BG * PACKETS_PER_READ, PACKETS_PER_READ)
    bench.to_worker(_GRAB * at_once, at_once)
    bench.lap = Lap()
    while handles := bench.take_handles():
        results = [codec.request(p.WORK_COMPLETE, handle, b"ok") + _GRAB for handle in handles]
        bench.to_worker(b"".join(results), len(results) * 2)
    return bench.lap


def foreground(jobs: int) -> Lap:
    """Submit, grab, complete: three packets in and four out for each job."""
    bench = Bench()
    for _ in range(jobs // PACKETS_PER_READ):
        bench.to_client(_SUBMIT * PACKETS_PER_READ, PACKETS_PER_READ)
        bench.to_worker(_GRAB * PACKETS_PER_READ, PACKETS_PER_READ)
        results = [codec.request(p.WORK_COMPLETE, h, b"ok") for h in bench.take_handles()]
        bench.to_worker(b"".join(results), len(results))
        bench.check_answers(2 * PACKETS_PER_READ)
    return bench.lap


PATTERNS: Final[Sequence[tuple[str, Callable[[int], Lap]]]] = (
    ("submit in the background", submit),
    ("grab and complete", grab_and_complete),
    ("foreground: submit, grab, complete", foreground),
)


def measure(rounds: int, jobs: int) -> Table:
    """Runs each pattern ``rounds`` times over ``jobs`` jobs; the table holds the medians."""
    result = Table(box=box.MARKDOWN)
    result.add_column("the broker alone")
    result.add_column("packets/s", justify="right")
    result.add_column("us a packet", justify="right")
    laps: dict[str, list[Lap]] = {title: [] for title, _ in PATTERNS}
    for _ in range(rounds):
        for title, pattern in PATTERNS:
            laps[title].append(pattern(jobs))
    for title, _ in PATTERNS:
        _add(result, title, median(lap.packets_per_s for lap in laps[title]))
    overall = []
    for together in zip(*laps.values(), strict=True):
        packets = sum(lap.packets for lap in together)
        overall.append(packets / sum(lap.elapsed_s for lap in together))
    _add(result, f"overall (the aim is {PACKETS_PER_S_AIM:,})", median(overall))
    return result


def _add(result: Table, title: str, packets_per_s: float) -> None:
    result.add_row(title, f"{packets_per_s:,.0f}", f"{1e6 / packets_per_s:.2f}")
