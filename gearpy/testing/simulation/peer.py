"""What clients and workers have in common: a connection that comes and goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from gearpy.protocol.packets import RES
from gearpy.protocol.parser import PacketParser
from gearpy.testing.simulation.clock import Clock
from gearpy.testing.simulation.features import Features
from gearpy.testing.simulation.network import Connection, Network
from gearpy.testing.simulation.story import Story


@dataclass(slots=True)
class Surroundings:
    """The world as a peer sees it."""

    clock: Clock
    rng: Random
    network: Network
    story: Story
    features: Features
    calm: bool = False  # no more faults, no more mischief
    gossip: list[bytes] = field(default_factory=list)  # handles that workers have heard of


class Peer:
    """Somebody who talks to the server, and comes back when the connection is lost."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self.around = around
        self.rng = around.rng
        self.connection: Connection | None = None
        self.stopped = False
        self._life = 0  # how many connections there were
        self._parser = PacketParser(RES)
        self.connect()

    def connect(self) -> None:
        """Tries to reach the server, until it is reached."""
        if self.stopped or self.connection is not None:
            return
        self.connection = self.around.network.connect(self.name, self)
        if self.connection is None:
            self.around.clock.after(0.02 + self.rng.random() * 0.2, self.connect)
            return
        self._life += 1
        self._parser = PacketParser(RES)
        self.greet()

    def send(self, data: bytes) -> None:
        """Writes to the server, if there is a connection."""
        if self.connection is not None:
            self.connection.up.write(data)

    def leave(self) -> None:
        """Hangs up without a word."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self.around.story.tell(self.name, "hangs up")
            self.around.network.hang_up(connection)
            self.forget()

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Does something in a while, if the connection lasts so long."""
        life = self._life

        def act_if_connected() -> None:
            if self.connection is not None and self._life == life:
                act()

        self.around.clock.after(delay_s, act_if_connected)

    # ---- the connection

    def received(self, data: bytes) -> None:
        """Bytes arrived."""
        life = self._life
        for number, body in self._parser.feed(data):
            if self.connection is not None and self._life == life:
                self.hear(number, body)

    def writable(self) -> None:
        """There is room for more."""

    def lost(self) -> None:
        """The connection is gone."""
        if self.connection is not None:
            self.connection = None
            self.forget()
            self.around.clock.after(self.rng.random() * 0.05, self.connect)

    # ---- who it is

    def greet(self) -> None:
        """The connection is new."""

    def hear(self, number: int, body: bytes) -> None:
        """A packet arrived.  Each kind of peer has its own answer."""
        raise NotImplementedError  # by those who derive from this

    def forget(self) -> None:
        """The connection is gone, and all that was under way on it."""
