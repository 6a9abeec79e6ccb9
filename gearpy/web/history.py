"""The last minutes of every function: how much waited, how much went through, and how it went."""

import asyncio
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple, final

from gearpy.engine.engine import Engine
from gearpy.engine.statistics import QueueFlow, QueueStatistics
from gearpy.web.recent import NOTHING, PIECES, Recent, Recently, since

STEP_S: Final = 5.0
STEPS: Final = 60  # five minutes

_SLICE: Final = 200  # functions, before others get their turn
_PIECE: Final = 12  # steps: a minute


class Minutes(NamedTuple):
    """One value for each step, the newest last; what is older than the server is 0."""

    unfinished: Sequence[int]  # jobs, at the end of the step
    ended: Sequence[int]  # jobs, in the step

    @property
    def rate_per_s(self) -> float:
        """Jobs that ended in a second, in the last minute."""
        steps = int(60 / STEP_S)
        return sum(self.ended[-steps:]) / 60


_STILL: Final = Minutes((0,) * STEPS, (0,) * STEPS)


@final
class History:
    """Looks at all functions every few seconds, a few of them at a time.

    What did nothing and had nothing to do for all that time has a track no more, but for what it
    had counted by then: it may have something to do again.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tracks: dict[bytes, _Track] = {}
        self._bases: dict[bytes, array[float]] = {}  # of functions without a track
        self._ended: dict[bytes, int] = {}  # jobs of each function, at the last look
        self._step = 0
        self._task = asyncio.create_task(self._run())

    def of(self, function: bytes) -> Minutes:
        """The last minutes of a function."""
        track = self._tracks.get(function)
        return _STILL if track is None else track.minutes()

    def recent(self, function: QueueStatistics) -> Recent:
        """What a function, which is as it is now, did in the last five minutes.

        It is told to the minute: what ended up to a minute before may be in it, too.
        """
        track = self._tracks.get(function.function)
        if track is None:
            return since(self._bases.get(function.function, NOTHING), function.counters)
        return track.recently.until(function.counters)

    async def stop(self) -> None:
        """Looks no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            await self.look()

    async def look(self) -> None:
        """Takes one step.  What is not met, because it was dropped, is forgotten."""
        self._step += 1
        tracks: dict[bytes, _Track] = {}
        bases: dict[bytes, array[float]] = {}
        ended: dict[bytes, int] = {}
        for number, name in enumerate(list(self._engine.functions.names()), 1):
            flow = self._engine.functions.flow(name)
            if flow is not None:
                ended[name] = flow.ended
                track = self._track(flow)
                if track is not None:
                    tracks[name] = track
                elif base := self._base(name):
                    bases[name] = base
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        self._tracks, self._bases, self._ended = tracks, bases, ended

    def _track(self, flow: QueueFlow) -> "_Track | None":
        """The track of a function with this step on it; None: it did nothing for long."""
        ended = flow.ended - self._ended.get(flow.function, 0)
        if ended < 0:  # it was dropped and came back, and counts from 0 on
            ended = flow.ended
        track = self._tracks.get(flow.function)
        if track is None:
            if not flow.unfinished and not ended:
                return None
            track = _Track(self._step, self._bases.get(flow.function, NOTHING))
        track.note(self._step, flow.unfinished, ended)
        if track.ends_piece(self._step):
            function = self._engine.functions.get(flow.function)
            assert function is not None, "its flow was there"
            track.recently.cut(function.counters)
        return None if track.is_still(self._step) else track

    def _base(self, name: bytes) -> "array[float] | None":
        """What a function without a track had counted; None: nothing."""
        track = self._tracks.get(name)
        return self._bases.get(name) if track is None else track.recently.base


@final
class _Track:
    """Rings of a function's last steps, and what it did in them."""

    __slots__ = ("_active", "_at", "_begun", "_ended", "_unfinished", "recently")

    def __init__(self, step: int, base: "array[float]") -> None:
        self._unfinished = array("I", bytes(4 * STEPS))
        self._ended = array("I", bytes(4 * STEPS))
        self._begun = step
        self._active = step  # the last one in which it did something, or had something to do
        self._at = 0  # in the rings, behind the newest
        self.recently = Recently(base)

    def note(self, step: int, unfinished: int, ended: int) -> None:
        self._unfinished[self._at] = unfinished
        self._ended[self._at] = ended
        self._at = (self._at + 1) % STEPS
        if unfinished or ended:
            self._active = step

    def ends_piece(self, step: int) -> bool:
        return (step - self._begun + 1) % _PIECE == 0

    def is_still(self, step: int) -> bool:
        """Whether there is nothing on it any more, nor in the pieces of what it did."""
        return step - self._active > (PIECES + 1) * _PIECE

    def minutes(self) -> Minutes:
        at = self._at
        return Minutes(
            (*self._unfinished[at:], *self._unfinished[:at]), (*self._ended[at:], *self._ended[:at])
        )
