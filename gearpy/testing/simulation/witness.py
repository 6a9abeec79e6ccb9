"""Who watches the server from outside, and speaks up the moment something does not hold."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, final

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.broker.session import Session
from gearpy.errors import PeerError
from gearpy.testing.simulation import (
    followups,
    heard,
    lives,
    recount,
    restarts,
    said,
    wakeups,
)
from gearpy.testing.simulation.books import Books, Seat
from gearpy.testing.simulation.disk import Disk
from gearpy.testing.simulation.features import Features
from gearpy.testing.simulation.story import Story

if TYPE_CHECKING:
    from gearpy.testing.simulation.machine import Machine

_TURNS_PER_RECOUNT: Final = 20


@final
class Witness:
    """Hears all that the server is told and says, and checks every rule as it happens.

    It also is the broker's host: a fault of the server's own breaks the rule that it has none.
    """

    def __init__(self, features: Features, story: Story, disk: Disk) -> None:
        self.books = Books(features, story, disk)
        self._machine: Machine
        self._turns = 0

    # ---- the machine

    def started(self, broker: Broker, machine: "Machine", refused: list[str]) -> None:
        """The server has restored what is on its disk."""
        self.books.broker = broker
        self.books.reading = lambda: machine.reading
        self._machine = machine
        restarts.started(self.books, refused)

    def died(self) -> None:
        """The server is gone."""
        restarts.died(self.books)

    def drained(self) -> None:
        """The server was told that it will stop."""
        followups.settled(self.books)
        followups.check_drained(self.books)

    def committed(self, seq: int) -> None:
        """Everything that had happened by then is on the disk."""
        if self.books.features.durability != "none":
            self.books.durable_seq = seq

    def time_passed(self) -> None:
        """The engine was told the time."""
        lives.time_passed(self.books)
        followups.settled(self.books)

    def turn_over(self) -> None:
        """A turn is over: all that was to be written was written."""
        books = self.books
        lives.check_states(books)
        followups.check_moment(books)
        wakeups.check_wakeups(books)
        idle = not self._machine.busy and not books.broker.gate.pending
        for seat in books.seats:
            if seat.session.outbox.empty:
                said.check_silence(books, seat)
            elif idle and not seat.full():
                books.broken("no held reply", f"{seat.name} waits, and no commit is in flight")
        self._turns += 1
        if self._turns % _TURNS_PER_RECOUNT == 0:
            self.recount()

    def recount(self) -> None:
        """Compares all reports with what happened."""
        lives.check_dead(self.books)
        recount.check_books(self.books)

    # ---- connections

    def seat(self, name: str, session: Session, full: Callable[[], bool]) -> Seat:
        """A new connection."""
        seat = Seat(name, session, full)
        self.books.seats[seat] = None
        return seat

    def hear(self, seat: Seat, number: int, body: bytes, act: Callable[[], None]) -> None:
        """The server is told a packet when ``act`` is called."""
        heard.hear(self.books, seat, number, body, act)
        followups.settled(self.books)

    def says(self, seat: Seat, data: bytes) -> None:
        """These bytes leave the server."""
        said.says(self.books, seat, data)

    def loses(self, seat: Seat, act: Callable[[], None]) -> None:
        """The server hears that a connection is gone when ``act`` is called."""
        books = self.books
        act()
        books.story.tell("server", f"loses {seat.name}")
        seat.open = False
        del books.seats[seat]
        for paper in list(books.unfinished.values()):
            if paper.holder is seat:
                lives.attempt_over(books, paper, "lost", told=False)
        for paper in list(books.unfinished.values()):
            if paper.watchers.pop(seat, 0) and not paper.wanted and paper.holder is None:
                lives.abandoned(books, paper)
        followups.settled(books)

    # ---- what the broker tells the program around it

    def refused(self, peer: Peer, error: PeerError) -> None:
        """A peer was answered with an ERROR."""

    def skipped(self, peer: Peer, handle: bytes, error: PeerError) -> None:
        """A report was too large."""

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        """A worker asked for less than a second."""

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        """A bug: handling a packet raised ``error``."""
        raise error

    def operated(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        """An operator changed something, or could not."""

    def shutdown(self, graceful: bool) -> None:
        """Nobody asks for that."""
