"""The store that forgets everything at exit."""

from collections.abc import Iterable, Sequence
from typing import final

from gearpy.engine.records import Put, Record


@final
class MemoryStore:
    """Commits at once, into a dict."""

    def __init__(self) -> None:
        self._jobs: dict[bytes, Put] = {}

    def load(self) -> Iterable[Put]:
        """The jobs that are accepted and not done, in order."""
        return list(self._jobs.values())

    def commit(self, batch: Sequence[Record]) -> None:
        """Takes a batch, all of it or, if reading it raises, nothing."""
        for record in list(batch):
            if isinstance(record, Put):
                self._jobs[record.handle] = record
            else:
                self._jobs.pop(record.handle, None)

    def close(self) -> None:
        """Forgets everything."""
        self._jobs = {}
