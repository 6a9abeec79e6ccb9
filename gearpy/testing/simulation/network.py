"""Connections that cut, delay and lose what travels over them, but never change its order."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final, Protocol, final

from gearpy.testing.simulation.clock import Clock, Event

WINDOW_BYTES: Final = 500  # more than that is not under way before the other side takes some


class End(Protocol):
    """Whoever sits at one end of a connection."""

    def received(self, data: bytes) -> None:
        """Bytes arrived."""

    def writable(self) -> None:
        """What was written before has been taken: there is room for more."""

    def lost(self) -> None:
        """Nothing comes any more, and nothing that is written arrives."""


@final
class Pipe:
    """One direction of a connection."""

    def __init__(self, clock: Clock, rng: Random, latency_s: float) -> None:
        self.end: End  # where it leads to
        self.writer: End
        self.slow = 1.0  # how many times as long as usual everything takes
        self._clock = clock
        self._rng = rng
        self._latency_s = latency_s
        self._under_way: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._last_s = 0.0
        self._closed = False
        self._loss: Event | None = None  # when its end is told that nothing comes any more

    @property
    def full(self) -> bool:
        """Whether the writer should wait until some of it has been taken."""
        return self._bytes > WINDOW_BYTES

    def write(self, data: bytes) -> None:
        """Sends bytes, in chunks of any size, each some time later."""
        if self._closed:
            return
        rng = self._rng
        start = 0
        while start < len(data):
            size = len(data) - start
            if rng.random() < 0.4:
                size = rng.randint(1, size)
            self._send(data[start : start + size])
            start += size

    def _send(self, chunk: bytes) -> None:
        # Several chunks may arrive in one instant, as they do in one read of a real server.
        pause_s = 0.0 if self._rng.random() < 0.3 else self._rng.random() * self._latency_s
        earliest_s = max(self._last_s, self._clock.now_s + self._latency_s * 0.2 * self.slow)
        self._last_s = earliest_s + pause_s * self.slow
        self._bytes += len(chunk)
        event = self._clock.at(self._last_s, lambda: self._arrive(chunk))
        self._under_way.append((event, len(chunk)))

    def _arrive(self, chunk: bytes) -> None:
        self._under_way.popleft()
        was_full = self.full
        if not self._closed:  # else the writer never hears that there is room again
            self._bytes -= len(chunk)
        self.end.received(chunk)
        if was_full and not self.full:
            self.writer.writable()

    def close(self, kept: float, later_s: float) -> None:
        """Nothing more is sent.  This part of what is under way still arrives, and then its end
        is told, ``later_s`` after the last byte."""
        if self._closed:
            return
        self._closed = True
        keep = round(len(self._under_way) * kept)
        while len(self._under_way) > keep:
            self._under_way.pop()[0].cancel()
        due_s = max(self._last_s, self._clock.now_s) if keep else self._clock.now_s
        self._loss = self._clock.at(due_s + later_s, lambda: self.end.lost())

    def stop(self) -> None:
        """Nobody is left at its end: what is under way arrives nowhere."""
        self._closed = True
        if self._loss is not None:
            self._loss.cancel()
        while self._under_way:
            self._under_way.pop()[0].cancel()


@final
class Connection:
    """Two pipes: ``up`` leads to the server, ``down`` to its peer."""

    def __init__(self, name: str, up: Pipe, down: Pipe) -> None:
        self.name = name
        self.up = up
        self.down = down


class Port(Protocol):
    """Where a server listens."""

    def accept(self, connection: Connection) -> End | None:
        """A peer knocks; None: nobody is at home."""


@final
class Network:
    """Makes connections, and breaks them."""

    def __init__(
        self, clock: Clock, rng: Random, port: Port, tell: Callable[[str, str], None]
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._port = port
        self._tell = tell
        self._open: dict[Connection, None] = {}
        self._count = 0
        self.latency_s = 0.001

    def connect(self, name: str, peer: End) -> Connection | None:
        """A way to the server, or None if it does not run."""
        self._count += 1
        latency_s = self.latency_s * self._rng.choice((0.1, 1.0, 1.0, 5.0))
        up = Pipe(self._clock, self._rng, latency_s)
        down = Pipe(self._clock, self._rng, latency_s)
        connection = Connection(f"{name}#{self._count}", up, down)
        server = self._port.accept(connection)
        if server is None:
            return None
        up.end = down.writer = server
        down.end = up.writer = peer
        self._open[connection] = None
        return connection

    def hang_up(self, connection: Connection) -> None:
        """The peer leaves: the server hears of it behind some of what the peer had sent."""
        self._open.pop(connection, None)
        connection.down.stop()
        connection.up.close(self._rng.choice((1.0, 1.0, self._rng.random())), self._later_s())

    def refuse(self, connection: Connection) -> None:
        """The server closes it: the peer hears of it behind what the server had sent."""
        self._open.pop(connection, None)
        connection.up.stop()
        connection.down.close(1.0, self._later_s())

    def break_some(self) -> None:
        """One connection breaks: the sides hear of it at different times."""
        if self._open:
            connection = self._rng.choice(list(self._open))
            self._tell("network", f"{connection.name} breaks")
            self._break(connection)

    def slow_some(self) -> None:
        """One peer becomes slow in taking what it is sent, for a while."""
        if self._open:
            connection = self._rng.choice(list(self._open))
            pipe = connection.down
            pipe.slow = self._rng.choice((20.0, 200.0, 2000.0))
            self._tell("network", f"{connection.name} becomes slow")
            self._clock.after(self._rng.random() * 3.0, lambda: setattr(pipe, "slow", 1.0))

    def server_died(self) -> None:
        """All connections break; the server itself does not hear of it any more."""
        for connection in list(self._open):
            del self._open[connection]
            connection.up.stop()
            connection.down.close(self._rng.random(), self._later_s())

    def _break(self, connection: Connection) -> None:
        del self._open[connection]
        for pipe in (connection.up, connection.down):
            pipe.close(self._rng.random(), self._later_s())

    def _later_s(self) -> float:
        return self._rng.choice((0.0, 0.001, 0.05, 1.0)) * self._rng.random()
