"""What the broker tells the program around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gearpy.errors import PeerError


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection comes from, as the reports and the log show it."""

    fd: int
    address: str
    name: str  # address and port, for the log


class Host(Protocol):
    """The program around a broker.  Nothing here is called on a hot path."""

    def refused(self, peer: Peer, error: PeerError) -> None:
        """The peer was answered with an ERROR."""

    def skipped(self, peer: Peer, handle: bytes, error: PeerError) -> None:
        """What a worker said of a job is too large: it is left out, and the job has failed."""

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        """A worker asked for less than a second; it probably meant seconds."""

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        """A bug of ours: handling this packet raised ``error``.  The connection is closed."""

    def operated(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        """An operator changed something over a connection of Gearman's, or could not."""

    def shutdown(self, graceful: bool) -> None:
        """An operator asks the server to stop."""


class NobodyHost:
    """For a broker that stands alone."""

    def refused(self, peer: Peer, error: PeerError) -> None:
        pass

    def skipped(self, peer: Peer, handle: bytes, error: PeerError) -> None:
        pass

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        pass

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        pass

    def operated(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        pass

    def shutdown(self, graceful: bool) -> None:
        pass
