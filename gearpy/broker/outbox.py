"""Bytes for one peer, in order, each with the ticket that it waits for."""

from collections import deque
from collections.abc import Callable
from typing import Protocol, final

from gearpy.broker.gate import CommitGate


class Link(Protocol):
    """The connection to a peer, as the shell has it."""

    def flush(self) -> None:
        """There is something in the outbox."""


@final
class _HeldPacket:
    """A packet that waits for its ticket, and what is sent instead if it is not true any more."""

    __slots__ = ("instead", "packet", "still_true", "ticket")

    def __init__(
        self,
        ticket: int,
        packet: bytes,
        still_true: Callable[[], bool] | None = None,
        instead: bytes = b"",
    ) -> None:
        self.ticket = ticket
        self.packet = packet
        self.still_true = still_true
        self.instead = instead


@final
class Outbox:
    """What one peer is still to be sent.

    ``put`` sends a packet at the end of the turn if the gate is past its ticket; otherwise it
    holds the packet, and everything put behind it, so that replies never change their order:
    clients match JOB_CREATED with their submits by order alone.

    An outbox that has something to say puts its link on the list that all outboxes share.
    """

    __slots__ = ("_dirty", "_gate", "_held", "_link", "_listed", "_open", "_packets", "size_bytes")

    def __init__(self, gate: CommitGate, dirty: list[Link], link: Link) -> None:
        self._gate = gate
        self._dirty = dirty
        self._link = link
        self._packets: list[bytes] = []
        self._held: deque[_HeldPacket] | None = None
        self._listed = False  # whether the link is on the list
        self._open = True
        self.size_bytes = 0  # of everything in here, held or not

    @property
    def empty(self) -> bool:
        """Whether there is nothing in here, held or not."""
        return not self._packets and not self._held

    @property
    def waits(self) -> bool:
        """Whether something in here is held, and so would be what is put now."""
        return bool(self._held)

    def holds(self, ticket: int) -> bool:
        """Whether a packet with this ticket would be held if it were put now."""
        return bool(self._held) or ticket > self._gate.durable

    def hold(
        self, packet: bytes, ticket: int, still_true: Callable[[], bool], instead: bytes
    ) -> None:
        """Sends a packet that ``holds`` said would be held, or ``instead`` if it is not
        ``still_true`` by then."""
        if not self._open:
            return
        self.size_bytes += len(packet)
        self._hold(_HeldPacket(ticket, packet, still_true, instead))

    def put(self, packet: bytes, ticket: int = 0) -> None:
        """Sends a packet, once everything up to ``ticket`` is durable."""
        if not self._open:
            return
        self.size_bytes += len(packet)
        if self._held or ticket > self._gate.durable:
            self._hold(_HeldPacket(ticket, packet))
        else:
            if not self._listed:
                self._listed = True
                self._dirty.append(self._link)
            self._packets.append(packet)

    def _hold(self, held: _HeldPacket) -> None:
        if self._held:
            self._held.append(held)
        else:
            self._held = deque([held])
            self._gate.wait(self)

    def release(self, durable: int) -> bool:
        """The gate is open up to ``durable``.  Returns whether something is still held."""
        held = self._held
        if not held:
            return False  # closed meanwhile
        if held[0].ticket <= durable and not self._listed:
            self._listed = True
            self._dirty.append(self._link)
        while held and held[0].ticket <= durable:
            first = held.popleft()
            packet = first.packet
            if first.still_true is not None and not first.still_true():
                self.size_bytes += len(first.instead) - len(packet)
                packet = first.instead
            self._packets.append(packet)
        return bool(held)

    def take(self) -> bytes:
        """The bytes to write now, which then are gone from here."""
        packets = self._packets
        self._listed = False
        data = packets[0] if len(packets) == 1 else b"".join(packets)
        self.size_bytes -= len(data)
        self._packets = []
        return data

    def leave(self) -> None:
        """Nothing is written now; the next packet puts the link on the list again."""
        self._listed = False

    def close(self) -> None:
        """The peer is gone: forgets everything, and stays silent from now on."""
        self._open = False
        self._packets = []
        self._held = None
        self.size_bytes = 0
