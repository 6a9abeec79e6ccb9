"""Whose answer is whose: what comes from the servers goes to whoever waits for it.  Does no I/O.

An ``Answers`` collects what a few requests are answered; a ``JobNews`` collects what comes of one
job.  Both are bells: who waits leaves something to call in ``waiting``, once.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import final

from gearpy.client.core import (
    Answer,
    Completed,
    Data,
    Ending,
    Event,
    Failed,
    Lost,
    Progress,
    Request,
    Submission,
    Warned,
)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is: ``numerator`` of ``denominator``, and what its worker says of it."""

    numerator: int
    denominator: int
    text: str = ""


OnProgress = Callable[[int, int, str], object]
OnBytes = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a user wants to be called with on the way to the result."""

    on_progress: OnProgress | None = None
    on_data: OnBytes | None = None
    on_warning: OnBytes | None = None


class Bell:
    """Something that is waited for."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def ring(self) -> None:
        """Something happened: calls all who wait.  They look whether it is what they wait for."""
        waiting, self.waiting = self.waiting, []
        for wake in waiting:
            wake()


@final
class Answers(Bell):
    """The answers to some requests."""

    def __init__(self, requests: Iterable[Request]) -> None:
        super().__init__()
        self._answers: dict[Request, Answer | None] = dict.fromkeys(requests)
        self._left = len(self._answers)

    @property
    def complete(self) -> bool:
        return self._left == 0

    @property
    def requests(self) -> Iterable[Request]:
        return self._answers

    def take(self, request: Request, answer: Answer) -> None:
        self._answers[request] = answer
        self._left -= 1
        if self._left == 0:
            self.ring()

    def __getitem__(self, request: Request) -> Answer | None:
        return self._answers[request]


@final
class JobNews(Bell):
    """What has come of one foreground job, and what of that was not yet told to its callbacks."""

    def __init__(self, callbacks: Callbacks) -> None:
        super().__init__()
        self.submission: Submission | None = None
        self.parts: deque[bytes] = deque()  # of data, as they are for whoever iterates
        self.warnings: list[bytes] = []
        self.progress: JobProgress | None = None
        self.progress_count = 0
        self.ending: Ending | None = None
        self.wants_words = callbacks.on_progress is not None
        self._callbacks = callbacks
        self._untold: deque[Callable[[], object]] = deque()
        self._telling = False

    def hear(self, event: Event) -> bool:
        """Something came.  Returns whether there is a callback to call now."""
        callback = self._keep(event)
        self.ring()
        if callback is not None:
            self._untold.append(callback)
        return callback is not None

    def _keep(self, event: Event) -> Callable[[], object] | None:
        """Returns what is to be called, if there is a callback for it."""
        callbacks = self._callbacks
        match event:
            case Completed() | Failed() | Lost():
                self.ending = event
            case Progress(numerator=numerator, denominator=denominator, text=text):
                words = text.decode("utf-8", "replace")
                self.progress = JobProgress(numerator, denominator, words)
                self.progress_count += 1
                if callbacks.on_progress is not None:
                    return partial(callbacks.on_progress, numerator, denominator, words)
            case Data(data=data):
                if callbacks.on_data is not None:
                    return partial(callbacks.on_data, data)
                self.parts.append(data)
            case Warned(warning=warning):
                self.warnings.append(warning)
                if callbacks.on_warning is not None:
                    return partial(callbacks.on_warning, warning)
        return None

    def next_callback(self) -> Callable[[], object] | None:
        """What is to be called next; None if that is nothing, or another thread calls already.

        Say ``called_back`` after it.  A callback that waits for something lets further news in:
        they are told after it has returned, so that the callbacks of a job never run inside each
        other, nor at the same time.
        """
        if self._telling or not self._untold:
            return None
        self._telling = True
        return self._untold.popleft()

    def called_back(self) -> None:
        """The callback has returned, or raised."""
        self._telling = False


@final
class Desk:
    """The requests of a client that wait for an answer, and the jobs that it follows."""

    def __init__(self) -> None:
        self._asked: dict[Request, Answers] = {}
        self._jobs: dict[Submission, JobNews] = {}

    def expect(self, answers: Answers) -> None:
        for request in answers.requests:
            self._asked[request] = answers

    def give_up(self, answers: Answers) -> None:
        """Nobody waits for these any more."""
        for request in answers.requests:
            self._asked.pop(request, None)

    def follow(self, submission: Submission, news: JobNews) -> None:
        """What comes of a submission goes to ``news``, up to its end."""
        news.submission = submission
        self._jobs[submission] = news

    def unfollow(self, submission: Submission) -> None:
        self._jobs.pop(submission, None)

    def hear(self, events: Iterable[Event]) -> list[JobNews]:
        """Something came from a server.  Returns the jobs whose callbacks are to be told of it."""
        to_tell: list[JobNews] = []
        for event in events:
            request = event.request
            if isinstance(event, Answer) and (answers := self._asked.pop(request, None)):
                answers.take(request, event)
            elif isinstance(request, Submission) and (news := self._jobs.get(request)):
                if isinstance(event, Completed | Failed | Lost):
                    del self._jobs[request]
                if news.hear(event):
                    to_tell.append(news)
        return to_tell
