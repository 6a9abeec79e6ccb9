"""What is submitted, and what becomes of it: decided by chance, and by the payload alone."""

import json
import time
from random import Random
from typing import Final, Literal, NamedTuple
from zlib import crc32

from gearpy.priority import Priority
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from tests.crash.papers import SHARED, Receipt, digest, is_shared

PLAIN: Final = b"plain"
HYPHENS: Final = b"re-size.all-photos-"
LIMITED: Final = b"limited"  # three attempts, by the file of settings
BY_OPTION: Final = b"by-option"  # two attempts, by what its client asks for
FUNCTIONS: Final = (PLAIN, HYPHENS, LIMITED, BY_OPTION)

AFTER: Final = "after"  # what follows some jobs; nobody does these

ATTEMPTS: Final = {LIMITED.decode(): 3, BY_OPTION.decode(): 2}

SETTINGS: Final = f"""
[function."{LIMITED.decode()}"]
attempts = {ATTEMPTS[LIMITED.decode()]}
backoff = [0, 0.1]
"""

_BACKGROUND: Final = {
    Priority.HIGH: p.SUBMIT_JOB_HIGH_BG,
    Priority.NORMAL: p.SUBMIT_JOB_BG,
    Priority.LOW: p.SUBMIT_JOB_LOW_BG,
}


class Wish(NamedTuple):
    """A job to be submitted."""

    number: int
    function: bytes
    unique: bytes
    payload: bytes
    priority: Priority
    background: bool
    delay_s: float
    follows: str = ""

    @property
    def callback(self) -> dict[str, str] | None:
        """What is to follow its end."""
        return {"function": AFTER, "data": self.follows} if self.follows else None

    def packet(self) -> bytes:
        """The submit, on a connection that asked for gearpy's own packets."""
        if not self.background:
            return codec.request(p.SUBMIT_JOB, self.function, self.unique, self.payload)
        if self.function == BY_OPTION:
            options = {
                "background": True,
                "attempts": ATTEMPTS[BY_OPTION.decode()],
                "backoff": "none",
                "priority": self.priority.name.lower(),
                "delay_s": self.delay_s,
                "callback": self.callback,
            }
            said = json.dumps(options).encode()
            return codec.request(
                p.SUBMIT_JOB_OPTIONS, self.function, self.unique, said, self.payload
            )
        if self.delay_s:
            due = b"%d" % (time.time() + self.delay_s)
            return codec.request(p.SUBMIT_JOB_EPOCH, self.function, self.unique, due, self.payload)
        number = _BACKGROUND[self.priority]
        return codec.request(number, self.function, self.unique, self.payload)

    def receipt(self, connection: str, order: int, handle: str, submitted_s: float) -> Receipt:
        """What is written down of it."""
        due_s = 0.0
        if self.delay_s:
            due_s = submitted_s + self.delay_s
            if self.function != BY_OPTION:
                due_s = float(int(due_s))  # as SUBMIT_JOB_EPOCH has it
        return Receipt(
            connection,
            order,
            handle,
            self.function.decode(),
            self.unique.decode(),
            self.priority,
            self.number,
            digest(self.payload),
            self.background,
            due_s,
            self.follows,
        )


class Wishes:
    """The jobs of one client."""

    def __init__(self, client: str, random: Random, payload_bytes: int) -> None:
        self._client = client.encode()
        self._random = random
        self._payload_bytes = payload_bytes
        self._number = 0

    def next(self) -> Wish:
        random = self._random
        self._number += 1
        function = random.choices(FUNCTIONS, (6, 3, 1, 1))[0]
        # In the foreground there is no word for attempts, either.
        background = function == BY_OPTION or random.random() < 0.93
        priority, delay_s = Priority.NORMAL, 0.0
        if background:
            priority = random.choices(tuple(Priority), (1, 3, 6, 3))[0]
            if random.random() < 0.05:
                delay_s = random.uniform(0.5, 2.5)
        if function != BY_OPTION and (priority is Priority.CRITICAL or delay_s):
            priority = Priority.NORMAL  # these packets have no word for it
        unique = self._unique()
        # One that is shared has the callback of its first submit, and others are refused.
        alone = function == BY_OPTION and not is_shared(unique.decode())
        follows = f"{self._client.decode()}-{self._number}" if alone else ""
        return Wish(
            self._number,
            function,
            unique,
            self._payload(),
            priority,
            background,
            delay_s,
            follows,
        )

    def burst(self) -> list[Wish]:
        """What is submitted in one go: mostly a few jobs, sometimes a heap."""
        heap = self._random.random() < 0.04
        return [self.next() for _ in range(400 if heap else self._random.randrange(1, 25))]

    def _unique(self) -> bytes:
        """Mostly none, else its own, or "-", or one of few that all clients share."""
        kind = self._random.random()
        if kind < 0.7:
            return b""
        if kind < 0.8:
            return b"%b-%d" % (self._client, self._number)
        return b"-" if kind < 0.9 else b"%b%d" % (SHARED.encode(), self._random.randrange(20))

    def _payload(self) -> bytes:
        kind = self._random.random()
        if kind < 0.05:
            return b""
        if kind < 0.1:
            return bytes(self._random.randrange(1, 20))
        said = b"%b-%d\0-\0" % (self._client, self._number)
        return said + self._random.randbytes(self._random.randrange(self._payload_bytes))


Fate = Literal["complete", "fail", "exception"]


def fate(function: bytes, payload: bytes, attempt: int) -> Fate:
    """How an attempt ends.  Some jobs fail for ever, and some the first time, where the function
    has attempts; for others a failure would be the end of a job that nobody saw completed."""
    if function not in (LIMITED, BY_OPTION):
        return "complete"
    kind = crc32(payload) % 10
    if kind == 0:
        return "fail"
    if kind == 1:
        return "exception"
    return "fail" if kind == 2 and attempt == 1 else "complete"
