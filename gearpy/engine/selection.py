"""Which jobs an operator means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from gearpy.engine.job import DEAD, FINISHED, JobState
from gearpy.engine.policy_book import matcher

if TYPE_CHECKING:
    from gearpy.engine.job import Job

JobOrder = Literal["oldest", "newest"]
ORDERS: Final[tuple[JobOrder, ...]] = get_args(JobOrder)

_ENDED: Final = frozenset((*FINISHED, DEAD))
_EXAMINED_MAX: Final = 10_000  # jobs at a time, so that others get their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Jobs in some states, by function (a shell pattern), unique and age.

    The age of a finished job counts from its end, that of another one from its submit.
    """

    states: frozenset[JobState]
    function: bytes | None = None
    unique: bytes | None = None
    older_than_s: float | None = None
    younger_than_s: float | None = None

    @property
    def unfinished(self) -> bool:
        """Whether unfinished jobs may be meant."""
        return not self.states <= _ENDED

    @property
    def ended(self) -> bool:
        """Whether dead letters or kept finished jobs may be meant."""
        return not self.states.isdisjoint(_ENDED)


class Matcher:
    """A selection at a moment."""

    def __init__(self, selection: Selection, now_s: float) -> None:
        self._states = selection.states
        self._is_named = None if selection.function is None else matcher(selection.function)
        self._unique = selection.unique
        self._before_s = _ago(now_s, selection.older_than_s)
        self._after_s = _ago(now_s, selection.younger_than_s)

    def __call__(self, job: "Job") -> bool:
        """Whether this job is meant."""
        if job.state not in self._states:
            return False
        if self._unique is not None and job.unique != self._unique:
            return False
        if self._is_named is not None and not self._is_named(job.queue.name):
            return False
        if self._before_s is None and self._after_s is None:
            return True
        age_from_s = job.since_s if job.state in _ENDED else job.created_s
        return (self._before_s is None or age_from_s <= self._before_s) and (
            self._after_s is None or age_from_s >= self._after_s
        )


class Selected(NamedTuple):
    """Some of the selected jobs, and where to go on; None: that is all."""

    jobs: "list[Job]"
    next_offset: int | None


def select(
    jobs: "Iterable[Job]", matches: "Callable[[Job], bool]", offset: int, count: int
) -> Selected:
    """At most ``count`` of the jobs that match, beginning with the one at ``offset``."""
    found: list[Job] = []
    for examined, job in enumerate(islice(jobs, offset, None)):
        if len(found) == count or examined == _EXAMINED_MAX:
            return Selected(found, offset + examined)
        if matches(job):
            found.append(job)
    return Selected(found, None)


def _ago(now_s: float, age_s: float | None) -> float | None:
    return None if age_s is None else now_s - age_s
