"""One connection of a blocking worker: a ``WorkerCore`` on a socket, for several threads."""

import contextlib
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, final

from gearpy.address import Address, reason_of
from gearpy.errors import ConnectionLost
from gearpy.stream import Stream
from gearpy.worker.core import Assignment, WorkerCore

_FAREWELL_S: Final = 5.0  # how long a server may take to hang up


@final
class WorkerLine:
    """What jobs report may come from any thread.  ``arrived`` are jobs that were read and not yet
    taken; ``lost`` says why the connection is gone, once it is.

    ``reads_itself`` is for a worker whose only thread is in a job's function: then the question
    whether it is cancelled has to look for what has arrived.
    """

    def __init__(
        self, address: Address, stream: Stream, timeout_s: float | None, *, reads_itself: bool
    ) -> None:
        self.address = address
        self.core = WorkerCore()
        self.arrived: deque[Assignment] = deque()
        self.lost: str | None = None
        self.lock = threading.RLock()  # for the core and the socket
        self._stream = stream
        self._timeout_s = timeout_s
        self._reads_itself = reads_itself

    def fileno(self) -> int:
        return self._stream.fileno()

    # ---- what a job reports, sent at once

    def progress(self, handle: bytes, numerator: int, denominator: int, text: bytes) -> None:
        self._say(lambda: self.core.progress(handle, numerator, denominator, text))

    def data(self, handle: bytes, data: bytes) -> None:
        self._say(lambda: self.core.data(handle, data))

    def warning(self, handle: bytes, warning: bytes) -> None:
        self._say(lambda: self.core.warning(handle, warning))

    def cancelled(self, handle: bytes) -> bool:
        if self._reads_itself:
            with self.lock:
                # Of a job that is over, so that its stragglers take nothing from the next one.
                if self.core.holds(handle):
                    self.read()
        return self.core.is_cancelled(handle)

    async def drained(self) -> None:
        """What is reported was sent when that returned."""

    def _say(self, put: Callable[[], None]) -> None:
        with self.lock:
            put()
            self.write()
            if self.lost is not None:
                raise ConnectionLost(self.lost)

    # ---- bytes

    def write(self) -> None:
        """Sends what the core has to say; waits until the server has taken all of it."""
        with self.lock:
            unsent = memoryview(self.core.take()) if self.lost is None else memoryview(b"")
            try:
                while unsent:
                    sent = self._stream.send(unsent)
                    unsent = unsent[sent:]
                    if unsent and not sent and not self._wait_to_write():
                        # A packet is cut off, so nothing that makes sense can follow.
                        self.lose(
                            f"the server at {self.address} takes nothing, for {self._timeout_s} s"
                            " now"
                        )
                        return
            except OSError as error:
                self._break(error)

    def _wait_to_write(self) -> bool:
        poll = select.poll()
        poll.register(self._stream, select.POLLOUT)
        return bool(poll.poll(None if self._timeout_s is None else self._timeout_s * 1000))

    def _break(self, error: OSError) -> None:
        """The connection is gone; but the server may have said why, just before."""
        reason = f"the connection to {self.address} broke: {reason_of(error)}"
        with contextlib.suppress(OSError):
            self.core.receive(self._stream.receive() or b"")
        self.lose(reason)

    def read(self) -> None:
        """Takes what has arrived, without waiting."""
        with self.lock:
            if self.lost is not None:
                return
            try:
                data = self._stream.receive()
            except OSError as error:
                self.lose(f"the connection to {self.address} broke: {reason_of(error)}")
                return
            if data is None:
                return
            if not data:
                self.lose(f"the server at {self.address} closed the connection")
                return
            self.arrived.extend(self.core.receive(data))
            if self.core.broken is not None:
                self.lose(f"{self.address} does not speak Gearman: {self.core.broken}")

    def lose(self, reason: str) -> None:
        """Gives the connection up.  Any thread may; the one that selects hears of it and closes."""
        if self.lost is None:
            self.lost = reason
            self._stream.cut()

    def close(self) -> None:
        """Gives the socket back.  Nothing selects on it any more."""
        self._stream.close()

    def finish(self) -> None:
        """Ends the connection so that the last result surely arrives.

        Closing a socket with something unread in it resets the connection, and then what the
        server did not yet take is thrown away.  So: say that this was all, and read to the end.
        """
        if self.lost is not None:
            return
        self._stream.end()
        poll = select.poll()
        poll.register(self._stream, select.POLLIN)
        with contextlib.suppress(OSError):
            while poll.poll(_FAREWELL_S * 1000):
                if self._stream.receive() == b"":
                    break
