"""What the engine knows of the two kinds of peers: clients that wait and workers that work.

One connection may be both.  Each holds the port through which its peer hears from the engine.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, final

from gearpy.engine.ports import Sleeper, Watcher

if TYPE_CHECKING:
    from gearpy.engine.job import Job
    from gearpy.engine.queue import FunctionQueue
    from gearpy.engine.timers import Timer


@final
class Client:
    """A client, and the jobs whose end it waits for."""

    __slots__ = ("port", "watching")

    def __init__(self, port: Watcher) -> None:
        self.port = port
        self.watching: dict[Job, None] = {}


@final
class Ability:
    """That a worker can do a function: how long it may take, and when it is the function's turn."""

    __slots__ = ("timeout_s", "turn")

    def __init__(self, timeout_s: float, turn: int) -> None:
        self.timeout_s = timeout_s  # 0: for ever
        self.turn = turn  # the function with the lowest number is served next


@final
class Worker:
    """A worker: what it can do, what it holds, whether it sleeps.

    ``abilities`` are in the order of their turns: the newest registration first, what was just
    served last (gearmand 2's round robin).  ``absent`` are those of them in whose ``idle`` it is
    not listed. ``called_for`` is the function that it was woken for, until it shows up or
    ``patience`` ends.  ``ticket`` is what its last assignment waits for: see ``Engine.grab``.
    """

    __slots__ = (
        "abilities",
        "absent",
        "asleep",
        "called_for",
        "first_turn",
        "jobs",
        "last_turn",
        "patience",
        "port",
        "ticket",
        "tickets",
    )

    def __init__(self, port: Sleeper) -> None:
        self.port = port
        self.abilities: OrderedDict[FunctionQueue, Ability] = OrderedDict()
        self.absent: dict[FunctionQueue, None] = {}
        self.jobs: dict[bytes, Job] = {}  # that it holds, by handle
        self.tickets: dict[Job, int] = {}  # what assignments of these wait for, if for anything
        self.asleep = False
        self.called_for: FunctionQueue | None = None
        self.patience: Timer | None = None
        self.first_turn = 0
        self.last_turn = 0
        self.ticket = 0
