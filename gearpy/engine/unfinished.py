"""The unfinished jobs by their handles, in blocks."""

from collections.abc import Iterator
from itertools import chain
from typing import Final, final

from gearpy.engine.job import Job

_DIGITS: Final = 4  # at the end of a handle: jobs that have all the others in common are a block


@final
class Unfinished:
    """Every job that did not end yet, by handle: oldest first, but for those that come back.

    One dictionary of a million jobs has to be laid out anew now and then as it grows, which takes
    it thirty milliseconds, and everybody waits.  A block has ten thousand jobs at most.  What is
    new stands in few of them, so that a submit finds its place in the processor's cache, too.
    """

    __slots__ = ("_blocks", "_count")

    def __init__(self) -> None:
        self._blocks: dict[bytes, dict[bytes, Job]] = {}
        self._count = 0

    def add(self, job: Job) -> None:
        """A job that was not in here is from now on."""
        handle = job.handle
        block = self._blocks.get(handle[:-_DIGITS])
        if block is None:
            block = self._blocks[handle[:-_DIGITS]] = {}
        block[handle] = job
        self._count += 1

    def get(self, handle: bytes) -> Job | None:
        """The job with this handle, or None."""
        block = self._blocks.get(handle[:-_DIGITS])
        return None if block is None else block.get(handle)

    def remove(self, job: Job) -> None:
        """A job that was in here is not any more.  Raises KeyError if it was not."""
        handle = job.handle
        block = self._blocks[handle[:-_DIGITS]]
        del block[handle]
        if not block:
            del self._blocks[handle[:-_DIGITS]]
        self._count -= 1

    def __iter__(self) -> Iterator[Job]:
        return chain.from_iterable(block.values() for block in self._blocks.values())

    def __reversed__(self) -> Iterator[Job]:
        return chain.from_iterable(
            reversed(block.values()) for block in reversed(self._blocks.values())
        )

    def __len__(self) -> int:
        return self._count
