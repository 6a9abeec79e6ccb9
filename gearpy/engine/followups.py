"""Has jobs followed by others, once they have ended, exactly as that was promised."""

from collections import deque
from collections.abc import Callable
from typing import Final, final

from gearpy.engine.callbacks import TELLING_BYTES_MAX, Callback, Caller, Ending, Following
from gearpy.engine.functions import Functions
from gearpy.engine.options import following_options
from gearpy.engine.timers import Timers

_AT_ONCE: Final = 100  # that are made in one go, so that nobody waits for long
_PAUSE_S: Final = 0.01  # and then the others get their turn


@final
class Followups:
    """The jobs that follow others.

    ``accept`` takes one, whatever limits say: it was promised when the first one was taken.
    ``next_handle`` is the handle that it will have.
    """

    def __init__(
        self,
        timers: Timers,
        functions: Functions,
        caller: Caller,
        next_handle: Callable[[], bytes],
        accept: Callable[[Following], None],
    ) -> None:
        self.at_once = False  # nothing is left for later
        self._timers = timers
        self._functions = functions
        self._caller = caller
        self._next_handle = next_handle
        self._accept = accept
        self._owed: deque[Ending] = deque()

    def function(self, callback: Callback) -> bytes:
        """That of the job that would follow.  Raises InvalidArgument if none can."""
        return self._caller.function() if callback.url else callback.function

    def promise(self, callback: Callback) -> int:
        """Something will follow a job: makes its function known, and returns how many bytes it will
        take in the journal, at most.

        Raises InvalidArgument or TooManyFunctions.
        """
        self._functions.create(self.function(callback))
        return TELLING_BYTES_MAX if callback.url else len(callback.payload)

    def ended(self, ending: Ending, journalled: bool) -> None:
        """A job has ended that something follows.

        What follows one that is journalled becomes durable together with its end.  For others there
        is time: very many may end in one moment, when their client hangs up.
        """
        if self.at_once or journalled:
            self._follow(ending)
            return
        if not self._owed:
            self._timers.set(self._timers.now_s, self._pay_some, None)
        self._owed.append(ending)

    def pay(self) -> None:
        """All that is owed."""
        while self._owed:
            self._follow(self._owed.popleft())

    def _pay_some(self, _: object) -> None:
        for _number in range(min(_AT_ONCE, len(self._owed))):
            self._follow(self._owed.popleft())
        if self._owed:
            self._timers.set(self._timers.now_s + _PAUSE_S, self._pay_some, None)

    def _follow(self, ending: Ending) -> None:
        callback, job = ending.callback, ending.job
        if callback.url:
            self._accept(self._caller.telling(ending, self._next_handle()))
        else:
            options = following_options(job.handle, job.labels)
            self._accept(Following(callback.function, callback.payload, options))
