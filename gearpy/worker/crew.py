"""The processes of a supervisor: which to start, which to stop, and when.  Does no I/O.

crew.advance(now_s) -> actions      what is to be done now; call again at ``next_due_s`` at the
                                    latest, and after each of the following
crew.started(pid), crew.ended(pid, crashed)
crew.scale(number), crew.retire(pid), crew.renew(), crew.stop(), crew.kill()
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, final

from gearpy.errors import InvalidArgument
from gearpy.pauses import pause_s

PROCESSES_MAX: Final = 1_000

# A process that ends badly sooner than this counts as one that can't start.
_SETTLED_S: Final = 10.0


class Phase(Enum):
    """Where a process is: it runs, was asked to finish what it does, or is being killed."""

    RUNNING = auto()
    STOPPING = auto()
    KILLED = auto()


@dataclass(slots=True)
class Process:
    """One process of the crew."""

    pid: int
    since_s: float
    retire_at_s: float = math.inf  # then it has lived long enough
    phase: Phase = Phase.RUNNING
    stop_by_s: float = math.inf  # then it is killed


@dataclass(frozen=True, slots=True)
class Start:
    """Start one more process, and say ``started``."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a process to finish its jobs and end (SIGTERM)."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End a process that did not do so by itself (SIGKILL)."""

    pid: int


Action = Start | Ask | Kill


@final
class Crew:
    """As many processes as are wanted, each replaced when it ends.

    ``stop_s`` is how many seconds a process gets to finish what it does, ``life_s`` after how many
    it is replaced: those that were started together up to a tenth earlier, not all at a time.  One
    that crashes is replaced at once; if it had hardly begun, after a pause that grows with each
    such crash.  ``chance`` gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        wanted: int,
        stop_s: float,
        chance: Callable[[], float],
        life_s: float = math.inf,
    ) -> None:
        self.processes: dict[int, Process] = {}
        self.crashes = 0
        self.stop_s = stop_s
        self._life_s = life_s
        self._chance = chance
        self._now_s = 0.0
        self._starting = 0
        self._failures = 0  # crashes in a row of processes that had hardly begun
        self._start_from_s = -math.inf
        self._stopped = False
        self._to_ask: list[int] = []
        self.wanted = 0
        self.scale(wanted)

    # ---- what happens

    def scale(self, number: int) -> None:
        """From now on so many processes.  Raises InvalidArgument for a number that can't be."""
        if not 0 <= number <= PROCESSES_MAX:
            raise InvalidArgument(f"there can be 0 to {PROCESSES_MAX} processes, not {number}")
        self.wanted = number

    def started(self, pid: int) -> None:
        """A process was started."""
        self._starting -= 1
        life_s = self._life_s * (1 - self._chance() / 10)
        self.processes[pid] = Process(pid, self._now_s, self._now_s + life_s)

    def not_started(self) -> None:
        """It could not be started."""
        self._starting -= 1
        self._fail()

    def ended(self, pid: int, crashed: bool) -> None:
        """A process has ended: because it was done, or asked to; or by a crash."""
        process = self.processes.pop(pid)
        if not crashed or process.phase is not Phase.RUNNING:
            self._failures = 0
            return
        self.crashes += 1
        if self._now_s - process.since_s < _SETTLED_S:
            self._fail()
        else:
            self._failures = 0

    def retire(self, pid: int) -> None:
        """Replaces one of them when it has finished its jobs."""
        self._ask(self.processes[pid])

    def renew(self) -> None:
        """Replaces all processes, each when it has finished its jobs."""
        for process in self.processes.values():
            self._ask(process)
        self._failures = 0
        self._start_from_s = -math.inf

    def stop(self) -> None:
        """No more processes: those that there are finish their jobs, or are killed when their time
        is up."""
        self._stopped = True

    def kill(self) -> None:
        """No more processes, and those that there are end now."""
        self._stopped = True
        for process in self.processes.values():
            if process.phase is not Phase.KILLED:
                process.phase = Phase.STOPPING
                process.stop_by_s = -math.inf

    @property
    def gone(self) -> bool:
        """Whether it was stopped and nobody is left."""
        return self._stopped and not self.processes and not self._starting

    # ---- what is to be done

    def advance(self, now_s: float) -> list[Action]:
        """Time has passed: what to do now."""
        self._now_s = now_s
        wanted = 0 if self._stopped else self.wanted
        running = [one for one in self.processes.values() if one.phase is Phase.RUNNING]
        for process in running[wanted:]:  # the youngest go first
            self._ask(process)
        for process in running:
            if process.retire_at_s <= now_s:
                self._ask(process)
        kills = []
        for process in self.processes.values():
            if process.phase is Phase.STOPPING and process.stop_by_s <= now_s:
                process.phase = Phase.KILLED
                kills.append(Kill(process.pid))
        actions: list[Action] = [*map(Ask, self._to_ask), *kills]
        self._to_ask.clear()
        if self._failures and self._trial_until_s <= now_s:
            self._failures = 0
        if now_s >= self._start_from_s:
            # Those that stop count as long as they are there: replaced one by one, they never
            # take more memory than as many as are wanted.
            missing = wanted - len(self.processes) - self._starting
            starts = max(0, missing)
            if self._failures:
                # What crashes at once is not started in numbers, but one on trial.
                on_trial = self._starting or self._trial_until_s < math.inf
                starts = 0 if on_trial else min(starts, 1)
            self._starting += starts
            actions += [Start()] * starts
        return actions

    @property
    def _trial_until_s(self) -> float:
        """After crashes at once: when one that was started since will have settled."""
        begun_s = [
            process.since_s
            for process in self.processes.values()
            if process.phase is Phase.RUNNING and process.since_s >= self._start_from_s
        ]
        return min(begun_s, default=math.inf) + _SETTLED_S

    def _ask(self, process: Process) -> None:
        if process.phase is Phase.RUNNING:
            process.phase = Phase.STOPPING
            process.stop_by_s = self._now_s + self.stop_s
            self._to_ask.append(process.pid)

    def _fail(self) -> None:
        self._failures += 1
        self._start_from_s = self._now_s + pause_s(self._failures, self._chance())

    def next_due_s(self) -> float:
        """When to call ``advance`` again at the latest."""
        deadlines = [
            process.stop_by_s
            for process in self.processes.values()
            if process.phase is Phase.STOPPING
        ]
        deadlines += [
            process.retire_at_s
            for process in self.processes.values()
            if process.phase is Phase.RUNNING
        ]
        if self._start_from_s > self._now_s and not self._stopped:
            deadlines.append(self._start_from_s)
        if self._failures and not self._stopped:
            deadlines.append(self._trial_until_s)
        return min(deadlines, default=math.inf)
