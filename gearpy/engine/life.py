"""What only some jobs have: options, a key, attempts that are written down, an end that is kept."""

import json
from collections import deque
from typing import TYPE_CHECKING, Final, final

from gearpy.engine.callbacks import Callback
from gearpy.engine.statistics import AttemptStatistics, Usage

if TYPE_CHECKING:
    from gearpy.engine.policy import Policy
    from gearpy.engine.timers import Timer

_LOGGED_MAX: Final = 50  # attempts of one job; the newest count
NO_USAGE: Final = Usage()

# A worker may send megabytes as its exception.  Who waits gets all of them; what is kept of them is
# for people, and is written into the journal with every change: only how they begin.
ATTEMPT_ERROR_BYTES_MAX: Final = 4 << 10  # of each attempt that is remembered: there may be 50
GIVEN_BYTES_MAX: Final = (64 << 10) + 1  # for a URL; one more than it is told, to know of more
ERROR_BYTES_MAX: Final = 64 << 10  # of the last one, in which a whole traceback finds room


@final
class Attempt:
    """One attempt of a job."""

    __slots__ = ("ended_s", "error", "number", "outcome", "started_s", "usage", "worker")

    def __init__(self, number: int, started_s: float, worker: str) -> None:
        self.number = number
        self.started_s = started_s
        self.ended_s = 0.0  # it lasts
        self.worker = worker
        self.outcome = ""
        self.error = b""
        self.usage = NO_USAGE

    def end(self, now_s: float, outcome: str, error: bytes) -> None:
        """It is over."""
        self.ended_s = now_s
        self.outcome = outcome
        self.error = error[:ATTEMPT_ERROR_BYTES_MAX]


@final
class Life:
    """The part of a job that most jobs do without."""

    __slots__ = (
        "callback",
        "crashes",
        "error",
        "expire_s",
        "expiry",
        "given",
        "key",
        "labels",
        "log",
        "options",
        "output",
        "output_bytes",
        "output_unwritten",
        "parked",
        "place",
        "policy",
        "reason",
        "reducer",
        "started_s",
        "text",
    )

    def __init__(self) -> None:
        self.options = b""  # what its client asked for, as it is journalled
        self.policy: Policy | None = None  # the same, as far as it is a policy
        self.key = b""
        self.labels: tuple[tuple[str, str], ...] = ()
        self.callback: Callback | None = None  # what follows its end
        self.given = b""  # how what it gave begins, where a URL is told that
        self.reducer = b""
        self.expire_s = 0.0  # not to be started after this; 0: never mind
        self.expiry: Timer | None = None
        self.started_s = 0.0  # its last attempt
        self.parked = False  # waits for the end of another job with its key
        self.place = 0  # in its queue, once it is not where its number puts it
        self.crashes = 0  # workers that went away with it, in a row
        self.text = ""  # what its worker says beside numerator and denominator
        self.reason = ""
        self.error = b""
        self.log: deque[Attempt] = deque(maxlen=_LOGGED_MAX)
        self.output: list[bytes] = []  # what it gave, part by part, where that is kept
        self.output_bytes = 0
        self.output_unwritten = False  # there was no room for it in the journal when the job ended

    def fail(self, error: bytes) -> None:
        """The last that went wrong."""
        self.error = error[:ERROR_BYTES_MAX]

    @property
    def is_told(self) -> bool:
        """Whether somebody is to be told of its end."""
        return self.callback is not None or bool(self.labels)

    def give(self, data: bytes) -> None:
        """It gave a part of its result."""
        if self.callback is not None and self.callback.url:
            self.given += data[: GIVEN_BYTES_MAX - len(self.given)]

    def drop_output(self) -> None:
        """Forgets what an attempt gave and how far it said it was: the next one begins anew."""
        self.output, self.output_bytes = [], 0
        self.given = b""
        self.text = ""

    def use(self, usage: Usage) -> None:
        """What the attempt that lasts has cost, if it is written down.  What is not told now stays
        as it was told before."""
        if self.log and not self.log[-1].outcome:
            attempt = self.log[-1]
            cpu_s = attempt.usage.cpu_s if usage.cpu_s is None else usage.cpu_s
            memory_bytes = usage.memory_bytes
            if memory_bytes is None:
                memory_bytes = attempt.usage.memory_bytes
            attempt.usage = Usage(cpu_s, memory_bytes)

    def end_attempt(self, now_s: float, outcome: str, error: bytes) -> None:
        """The attempt that lasts is over, if it is written down."""
        if self.log and not self.log[-1].outcome:
            self.log[-1].end(now_s, outcome, error)


def snapshot(log: "deque[Attempt]") -> tuple[AttemptStatistics, ...]:
    """The attempts as they are now."""
    return tuple(
        AttemptStatistics(
            each.number,
            each.started_s,
            each.ended_s,
            each.worker,
            each.outcome,
            each.error,
            each.usage,
        )
        for each in log
    )


def written(log: "deque[Attempt]", text: str) -> bytes:
    """The attempts and the last progress text as they are journalled: JSON, or nothing."""
    if not log and not text:
        return b""
    rows = [
        [
            each.number,
            each.started_s,
            each.ended_s,
            each.worker,
            each.outcome,
            each.error.decode("utf-8", "surrogateescape"),
        ]
        for each in log
    ]
    table: dict[str, object] = {"attempts": rows, "text": text}
    # Beside the rows and not in them, so that whoever knows rows only can still read those.
    if any(each.usage != NO_USAGE for each in log):
        table["usage"] = [each.usage for each in log]
    return json.dumps(table).encode()


def read(life: Life, journalled: bytes) -> None:
    """Takes up what ``written`` gave.  What can't be read is left out: it is for people only."""
    if not journalled:
        return
    try:
        table = json.loads(journalled)
        rows = table["attempts"]
        usages = table.get("usage") or [NO_USAGE] * len(rows)
        for row, (cpu_s, memory_bytes) in zip(rows, usages, strict=True):
            number, started_s, ended_s, worker, outcome, error = row
            attempt = Attempt(int(number), float(started_s), str(worker))
            attempt.end(float(ended_s), str(outcome), str(error).encode("utf-8", "surrogateescape"))
            if (cpu_s, memory_bytes) != NO_USAGE:
                attempt.usage = Usage(
                    None if cpu_s is None else float(cpu_s),
                    None if memory_bytes is None else int(memory_bytes),
                )
            life.log.append(attempt)
        life.text = str(table["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        life.log.clear()
