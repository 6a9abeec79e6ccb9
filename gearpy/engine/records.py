"""What is made durable.  A store knows these, and nothing of jobs' rules.

A job has one ``Put`` from its acceptance until a ``Done`` with its number, and at most one
``Change``, which replaces the one before.  What a job was submitted with never changes, and is
written once; what becomes of it is small, and is written as often as it changes.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, get_args

from gearpy.engine.job import JobState
from gearpy.priority import Priority

STATES: Final[tuple[JobState, ...]] = get_args(JobState)  # that a Change may have


class Put(NamedTuple):
    """A job as it was accepted.  ``number`` is the one at the end of its handle: no two jobs of a
    store ever have the same, and later jobs have higher ones."""

    number: int
    handle: bytes
    function: bytes
    unique: bytes
    payload: bytes
    priority: Priority
    created_s: float
    due_s: float  # 0: at once
    expire_s: float  # not to be started after this; 0: never mind
    reducer: bytes
    options: bytes  # what its client asked for beyond that, as JSON; empty: nothing


class Change(NamedTuple):
    """What became of a job since.  A job without one waits as it was submitted."""

    number: int
    state: JobState
    place: int  # in its queue: jobs with lower places come first; at first it is the number
    attempts: int  # how often it was given to a worker
    losses: int  # how often a worker went away or ran out of time with it
    crashes: int  # workers that went away with it, in a row
    due_s: float  # when it is tried again; 0: now
    since_s: float  # in this state
    reason: bytes  # why it is in this state, in a word or a few; empty where that is plain
    error: bytes  # what its last worker said of the failure
    log: bytes  # its attempts, as JSON; empty: not kept
    result: bytes  # what it gave, where that is kept


class FunctionChange(NamedTuple):
    """What an operator decided about a function.  Replaces the one before; all False: nothing."""

    function: bytes
    paused: bool
    draining: bool


class PolicyChange(NamedTuple):
    """The policy that an operator set for a pattern, as JSON; empty: it was taken back."""

    pattern: bytes
    policy: bytes


class CronChange(NamedTuple):
    """How far a schedule has come, as JSON, and what an operator set it to; an empty ``schedule``
    stands for what the settings say.  Replaces the one before; both empty: it is forgotten."""

    name: str
    schedule: bytes
    state: bytes


class Mark(NamedTuple):
    """No job has a number this high or higher, until the next mark is durable."""

    number: int


Note = FunctionChange | PolicyChange | CronChange | Mark
Record = Put | Change | Note


@dataclass(slots=True)
class Batch:
    """What one commit makes durable.

    In this order: puts, changes, and then ``dones``, the numbers of jobs to be forgotten.  A number
    stands in ``dones`` at most once, and then neither in ``puts`` nor in ``changes``.  The other
    records are few, and stand in ``notes`` in the order in which they were written.
    """

    puts: list[Put] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    dones: list[int] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
