"""Which of several servers a job goes to, and which to leave alone for now.  Does no I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import final

from gearpy.address import Address
from gearpy.pauses import pause_s


@dataclass(slots=True)
class _Outage:
    failures: int
    until_s: float


@final
class Servers:
    """The servers of one client.

    A job with a unique key goes to the server that the key hashes to, from every client that has
    the same list, in whatever order: so jobs that are to share a server do.  Each server gets a
    score for the key, and the highest counts (rendezvous hashing, Thaler and Ravishankar 1998): one
    that is dead gives its keys to the others evenly, and moves no other key.  Jobs without a key go
    round.

    ``chance`` gives random numbers from 0 to 1.
    """

    def __init__(self, addresses: Sequence[Address], chance: Callable[[], float]) -> None:
        self._addresses = tuple(addresses)
        self._marks = {address: blake2b(str(address).encode()).digest() for address in addresses}
        self._chance = chance
        self._outages: dict[Address, _Outage] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def order(self, key: bytes, now_s: float) -> list[Address]:
        """All servers, the best one first; those that are to be left alone come last, the one that
        is due next before the others.  An empty ``key`` is none."""
        if len(self._addresses) == 1:
            return list(self._addresses)
        if key:
            ordered = sorted(self._addresses, key=lambda one: self._score(one, key), reverse=True)
        else:
            first, self._turn = self._turn, (self._turn + 1) % len(self._addresses)
            ordered = [*self._addresses[first:], *self._addresses[:first]]
        if self._outages:
            ordered.sort(key=lambda address: self._due_s(address, now_s))
        return ordered

    def failed(self, address: Address, now_s: float) -> None:
        """A server can't be reached, or went away."""
        outage = self._outages.setdefault(address, _Outage(0, now_s))
        if now_s < outage.until_s:
            return  # of several who tried at once, the first one counts
        outage.failures += 1
        outage.until_s = now_s + pause_s(outage.failures, self._chance())

    def worked(self, address: Address) -> None:
        """A server has answered."""
        self._outages.pop(address, None)

    def wait_s(self, now_s: float) -> float:
        """How long until there is a server that need not be left alone."""
        return min(self._due_s(address, now_s) for address in self._addresses)

    def _due_s(self, address: Address, now_s: float) -> float:
        outage = self._outages.get(address)
        return 0.0 if outage is None else max(outage.until_s - now_s, 0.0)

    def _score(self, address: Address, key: bytes) -> bytes:
        # Not hash(): that differs from process to process.
        return blake2b(key, key=self._marks[address], digest_size=8).digest()
