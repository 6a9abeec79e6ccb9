"""How the processes of the load hear that it is over: their standard input ends."""

import sys
import threading
from collections.abc import Callable


class Stop(threading.Event):
    """Set once standard input ends, which it does even if whoever started us is killed.

    ``then`` is called after that, in a thread of its own.
    """

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._then = then
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        sys.stdin.buffer.read()
        self.set()
        self._then()
