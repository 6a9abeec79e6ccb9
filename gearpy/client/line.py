"""One connection of a blocking client: a ``ClientCore`` on a socket that never waits."""

from typing import final

from gearpy.address import Address, reason_of
from gearpy.client.core import ClientCore, Event
from gearpy.stream import Stream


@final
class SocketLine:
    """Moves what can be moved now.  ``gone`` once the connection is; then make a new one."""

    def __init__(self, address: Address, stream: Stream) -> None:
        self.address = address
        self.core = ClientCore()
        self._stream = stream
        self._unsent = memoryview(b"")

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def gone(self) -> bool:
        return self.core.gone is not None

    @property
    def has_unsent(self) -> bool:
        """Whether something waits until the server takes more."""
        return bool(self._unsent)

    def write(self) -> None:
        """Sends what the core has to say, as far as it goes."""
        if self.gone:
            return
        try:
            while True:
                if not self._unsent:
                    self._unsent = memoryview(self.core.take())
                if not self._unsent or not (sent := self._stream.send(self._unsent)):
                    return
                self._unsent = self._unsent[sent:]
        except OSError:
            # The server reads no more.  It may have said why: go on reading until the end.
            self._unsent = memoryview(b"")

    def read(self) -> list[Event]:
        """What has arrived, or that the connection is gone."""
        if self.gone:
            return []
        try:
            data = self._stream.receive()
        except OSError as error:
            return self.lose(f"the connection to {self.address} broke: {reason_of(error)}")
        if data is None:
            return []
        if not data:
            return self.lose(f"the server at {self.address} closed the connection")
        events = self.core.receive(data)
        if self.core.broken is not None:
            events += self.lose(f"{self.address} does not speak Gearman: {self.core.broken}")
        return events

    def lose(self, reason: str) -> list[Event]:
        """Ends the connection; what was waited for on it is lost for that reason."""
        if self.gone:
            return []
        self._stream.close()
        return self.core.lost(reason)
