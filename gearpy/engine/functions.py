"""The functions that the engine knows, and what operators decide about them."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, final

from gearpy.engine.archive import Archive
from gearpy.engine.dispatch import Dispatch
from gearpy.engine.ledger import policy_change
from gearpy.engine.policy import Policy
from gearpy.engine.policy_book import PolicyBook, matcher
from gearpy.engine.ports import Journal
from gearpy.engine.queue import UNLIMITED, FunctionQueue, Maxqueue
from gearpy.engine.records import FunctionChange
from gearpy.engine.rules import Rules, check_function
from gearpy.engine.snapshots import kept_statistics, queue_flow, queue_sizes, queue_statistics
from gearpy.engine.statistics import KeptStatistics, QueueFlow, QueueSizes, QueueStatistics
from gearpy.errors import TooManyFunctions

Drop = Literal["dropped", "unknown", "in use", "queued"]


@final
class Functions:
    """All functions of an engine, by name, oldest first.

    A function is known from the first submit, worker or decision on, until it is dropped.
    ``queues`` is for the engine alone.
    """

    def __init__(
        self,
        rules: Rules,
        policies: PolicyBook,
        journal: Journal,
        dispatch: Dispatch,
        archive: Archive,
    ) -> None:
        self.policies: Final = policies
        self.queues: Final[dict[bytes, FunctionQueue]] = {}
        self._rules = rules
        self._journal = journal
        self._dispatch = dispatch
        self._archive = archive
        self._maxqueues: dict[bytes, Maxqueue] = {}  # limits that wait for their function

    def __len__(self) -> int:
        return len(self.queues)

    # ---- making them known

    def queue(self, function: bytes) -> FunctionQueue:
        """The function with this name, made known if need be.

        Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions.
        """
        queue = self.queues.get(function)
        if queue is not None:
            return queue
        check_function(function)
        if function not in self._maxqueues:
            self._check_room()
        return self.promised_queue(function)

    def promised_queue(self, function: bytes) -> FunctionQueue:
        """The same for a job that was taken before: no limit counts, and nothing is wrong with the
        name."""
        queue = self.queues.get(function)
        if queue is None:
            queue = self.restored_queue(function)
            maxqueue = self._maxqueues.pop(function, None)
            if maxqueue is not None:
                queue.maxqueue = maxqueue
            if maxqueue is not None or queue.policy is not None:
                self._fit(queue)
        return queue

    def restored_queue(self, function: bytes) -> FunctionQueue:
        """The same while the journal is read: what was decided about it counts from ``restored``
        on."""
        queue = self.queues.get(function)
        if queue is None:
            queue = self.queues[function] = FunctionQueue(function, self.policies.of(function))
        return queue

    def restored(self) -> None:
        """All policies are known by now."""
        self._fit_all(self.queues.values(), restored=True)

    def create(self, function: bytes) -> None:
        """Makes a function known.  Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions."""
        self.queue(function)

    def drop(self, function: bytes) -> Drop:
        """Forgets a function, unless that would lose jobs or surprise workers."""
        queue = self.queues.get(function)
        if queue is None:
            return "unknown"
        if queue.workers or queue.running:
            return "in use"
        if queue.total or queue.dead or queue.kept:
            return "queued"  # gearmand drops it, and loses its jobs
        self.steer(function, paused=False, draining=False)
        del self.queues[function]
        return "dropped"

    # ---- looking at them

    def get(self, function: bytes) -> QueueStatistics | None:
        """The function with this name, or None."""
        queue = self.queues.get(function)
        return None if queue is None else queue_statistics(queue)

    def all(self) -> Iterator[QueueStatistics]:
        """Every function."""
        return map(queue_statistics, self.queues.values())

    def sizes(self) -> Iterator[QueueSizes]:
        """The same in short."""
        return map(queue_sizes, self.queues.values())

    def flow(self, function: bytes) -> QueueFlow | None:
        """What goes through a function, or None."""
        queue = self.queues.get(function)
        return None if queue is None else queue_flow(queue)

    def kept(self, function: bytes, count: int) -> KeptStatistics | None:
        """What a function's newest kept jobs and dead letters tell, at most ``count`` of each; None
        if it is not known."""
        queue = self.queues.get(function)
        return None if queue is None else kept_statistics(queue, count)

    def names(self) -> Iterator[bytes]:
        """The name of every function."""
        return iter(self.queues)

    # ---- deciding about them

    def steer(self, function: bytes, *, paused: bool, draining: bool) -> None:
        """``paused``: no job is given out.  ``draining``: no new job is taken.

        Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions.
        """
        queue = self.queue(function)
        if (queue.paused, queue.draining) == (paused, draining):
            return
        queue.paused, queue.draining = paused, draining
        self._fit(queue)
        self._journal.note(FunctionChange(function, paused, draining))
        self._dispatch.call(queue)

    def limit(self, function: bytes, maxqueue: Maxqueue) -> None:
        """Sets how many unfinished jobs a function may have when a job of high, normal or low
        priority is submitted; 0 for no limit.  It also counts for a function that comes later.

        Raises ArgumentTooLarge, InvalidArgument or TooManyFunctions.
        """
        queue = self.queues.get(function)
        if queue is not None:
            queue.maxqueue = maxqueue
            self._fit(queue)
        elif maxqueue == UNLIMITED:
            self._maxqueues.pop(function, None)
        else:
            check_function(function)
            if function not in self._maxqueues:
                self._check_room()
            self._maxqueues[function] = maxqueue

    def limits(self) -> Iterator[tuple[bytes, Maxqueue]]:
        """The functions that have a limit, those that wait for their function included."""
        for queue in self.queues.values():
            if queue.maxqueue != UNLIMITED:
                yield queue.name, queue.maxqueue
        yield from self._maxqueues.items()

    def set_policy(self, pattern: bytes, policy: Policy | None) -> bool:
        """Sets the policy of a function, or of all that match a shell pattern; None takes it back.

        Returns whether that changed anything.  Raises InvalidArgument if there are too many.
        """
        if policy is None:
            if not self.policies.take_back(pattern):
                return False
        else:
            self.policies.set(pattern, policy)
        self._journal.note(policy_change(pattern, policy))
        matches = matcher(pattern)
        self._fit_all([queue for queue in self.queues.values() if matches(queue.name)])
        return True

    def _fit_all(self, queues: Iterable[FunctionQueue], restored: bool = False) -> None:
        """These functions find out anew which policy they have."""
        changed = []
        for queue in queues:
            policy = self.policies.of(queue.name)
            if restored or policy != queue.policy:
                queue.policy = policy
                self._fit(queue)
                changed.append(queue)
        for queue in changed:
            self._archive.sweep_later(queue)
            self._dispatch.call(queue)

    def _fit(self, queue: FunctionQueue) -> None:
        """Something was decided about the function."""
        queue.fit()
        self._dispatch.fit(queue)

    def _check_room(self) -> None:
        if len(self.queues) + len(self._maxqueues) >= self._rules.functions_max:
            raise TooManyFunctions(
                f"this server knows {self._rules.functions_max:,} functions, and that is its limit"
            )
