"""What a store is."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from gearpy.engine.records import Batch, Record


class Store(Protocol):
    """Keeps the accepted jobs that are not done, and what operators decided.

    Only one call is made at a time, but the calls may come from different threads.
    ``gearpy.testing.stores.check_store`` checks everything that is said here.
    """

    def load(self) -> Iterable[Record]:
        """Everything that is kept: the Mark, if there is one; every FunctionChange and
        PolicyChange; then each job's Put, in the order of their numbers, and right behind it the
        job's Change, if there is one.

        Each record comes back equal to what was committed, to the last byte and to the last bit
        of its times.  Loading changes nothing that can be read.  Nothing else may be called before
        the last record is taken.  Raises CannotOpenStore, also on the way, if what is kept can't
        be read.
        """

    def commit(self, batch: Batch) -> None:
        """Takes a batch, all of it or, if it raises, nothing.

        A Put adds a job; its number is new to the store.  A Change replaces the one before of the
        job with its number, which was put before, or is in the same batch.  A done forgets the job
        with this number and its Change; if there is none, it changes nothing.  Two jobs may be
        alike in everything but number and handle.  Later notes about the same thing replace
        earlier ones; those that say "nothing" forget it.

        When this returns, the batch is as durable as this store can make it.  It may block.
        Raises StoreFailed; then nothing may follow but ``close``.
        """

    def payloads(self, numbers: Sequence[int], bytes_max: int) -> dict[int, bytes]:
        """The payloads of some jobs that are kept: those at the beginning of ``numbers`` whose
        payloads together have at most ``bytes_max`` bytes, but at least the first that is kept.
        Numbers of jobs that are not kept are passed over, and a number stands there only once.
        Raises StoreFailed."""

    def free_bytes(self) -> int | None:
        """How many bytes there is room for; None where that can't be said."""

    def close(self) -> None:
        """Gives back what the store holds.  Closing again does nothing; nothing else may follow.

        A store that outlives its process has, when it is opened again, what was committed.
        """
