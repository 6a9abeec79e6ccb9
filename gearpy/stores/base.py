"""What a store is, and how one is opened."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from gearpy.engine.records import Put, Record
from gearpy.errors import SettingError
from gearpy.stores.memory import MemoryStore


class Store(Protocol):
    """Keeps the accepted jobs that have not ended.

    Only one call is made at a time, but the calls may come from different threads.
    ``gearpy.testing.stores.check_store`` checks everything that is said here.
    """

    def load(self) -> Iterable[Put]:
        """The jobs that are accepted and not done, in the order in which they were committed.

        Each record comes back equal to what was committed, to the last byte and to the last bit
        of its time.  Loading changes nothing.
        """

    def commit(self, batch: Sequence[Record]) -> None:
        """Takes a batch, all of it or, if it raises, nothing; the order inside a batch counts.

        A Put adds a job; its handle is new to the store.  A Done removes the job with its handle;
        if there is none, it changes nothing.  Two jobs may be alike in everything but the handle.

        When this returns, the batch is as durable as this store can make it.  It may block.
        """

    def close(self) -> None:
        """Gives back what the store holds.  Closing again does nothing; nothing else may follow.

        A store that outlives its process has, when it is opened again, what was committed.
        """


def open_store(url: str) -> Store:
    """Opens the store that a setting names: ``memory:``.

    Raises SettingError if there is no such store.
    """
    if url == "memory:":
        return MemoryStore()
    raise SettingError(f"there is no store {url!r}; memory: is one, it forgets jobs at exit")
