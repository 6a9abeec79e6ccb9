"""Jobs on their way, as all skins have them.  Does no I/O."""

from collections import deque
from collections.abc import Iterator
from typing import final

from gearpy.address import Address
from gearpy.client.desk import Callbacks, JobNews, JobProgress
from gearpy.client.wishes import Wish
from gearpy.errors import InvalidArgument
from gearpy.protocol.codec import decoded


@final
class JobCall:
    """A foreground job on its way: what was wished, where it is, what has come of it."""

    __slots__ = ("address", "news", "wish")

    def __init__(self, wish: Wish, callbacks: Callbacks) -> None:
        self.wish = wish
        self.news = JobNews(callbacks)
        self.address: Address | None = None  # of the server that has it

    @property
    def handle(self) -> str:
        submission = self.news.submission
        return "" if submission is None else decoded(submission.handle)


@final
class MapCall:
    """A map on its way: what is still to be submitted, and the jobs whose results are to come."""

    __slots__ = ("error", "in_flight", "under_way", "wishes")

    def __init__(self, wishes: Iterator[Wish], in_flight: int) -> None:
        if in_flight < 1:
            raise InvalidArgument(f"in_flight is a number of jobs from 1 on, not {in_flight}")
        self.wishes = wishes
        self.in_flight = in_flight
        self.under_way: deque[JobCall] = deque()
        self.error: Exception | None = None  # why nothing more is submitted


class FollowedJob:
    """What is known of a foreground job without asking or waiting: its ``function``, its ``unique``
    and the rest."""

    def __init__(self, job: JobCall) -> None:
        self.function = decoded(job.wish.function)
        self.unique = decoded(job.wish.unique)
        self._job = job

    @property
    def handle(self) -> str:
        """The server's name for the job."""
        return self._job.handle

    @property
    def done(self) -> bool:
        """Whether the end of the job has been read.  A blocking client reads only while it waits
        for something."""
        return self._job.news.ending is not None

    @property
    def last_progress(self) -> JobProgress | None:
        """How far the job is, as far as that has been read; None if its worker said nothing."""
        return self._job.news.progress

    @property
    def warnings(self) -> list[bytes]:
        """The worker's warnings, as far as they have been read."""
        return list(self._job.news.warnings)
