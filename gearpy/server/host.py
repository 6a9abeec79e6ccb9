"""What the broker has to tell goes to the log, and its wish to stop to the server."""

import logging
from collections.abc import Callable, Mapping
from typing import Final, final

from gearpy.broker.ports import Peer
from gearpy.errors import PeerError
from gearpy.protocol.packets import PACKETS, TEXT
from gearpy.server.audit import Audit

log = logging.getLogger("gearpy.server")

_SHOWN_BYTES: Final = 200


@final
class LoggingHost:
    """The broker's Host port.  ``stop`` is called with whether to drain first."""

    def __init__(self, stop: Callable[[bool], None], audit: Audit) -> None:
        self._stop = stop
        self._audit = audit

    def refused(self, peer: Peer, error: PeerError) -> None:
        log.info("%s: answered %s: %s", peer.name, error.code.decode(), error)

    def skipped(self, peer: Peer, handle: bytes, error: PeerError) -> None:
        log.warning(
            "%s: job %s fails: %s (see --max-payload)",
            peer.name,
            handle.decode("utf-8", "backslashreplace"),
            error,
        )

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        log.warning(
            "%s: CAN_DO_TIMEOUT %s: %d ms is raised to 1000 ms; if the worker means seconds, start"
            " the server with --timeout-unit s",
            peer.name,
            function.decode("utf-8", "backslashreplace"),
            timeout_ms,
        )

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        packet = PACKETS.get(number)
        log.error(
            "%s: a bug in gearpy: handling %s of %d bytes %r failed; the connection is closed",
            peer.name,
            "a text command" if number == TEXT else packet.name if packet else number,
            len(body),
            body[:_SHOWN_BYTES],
            exc_info=error,
        )

    def operated(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        self._audit.add(who, did, fields, outcome, succeeded)

    def shutdown(self, graceful: bool) -> None:
        log.info("asked to stop by a text command%s", ", gracefully" if graceful else "")
        self._stop(graceful)
