"""The last minutes of every function: how much waited, and how much went through."""

import asyncio
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple, final

from gearpy.engine.engine import Engine
from gearpy.engine.statistics import QueueFlow

STEP_S: Final = 5.0
STEPS: Final = 60  # five minutes

_SLICE: Final = 200  # functions, before others get their turn


class Minutes(NamedTuple):
    """One value for each step, the newest last; what is older than the server is 0."""

    unfinished: Sequence[int]  # jobs, at the end of the step
    ended: Sequence[int]  # jobs, in the step

    @property
    def rate_per_s(self) -> float:
        """Jobs that ended in a second, in the last minute."""
        steps = int(60 / STEP_S)
        return sum(self.ended[-steps:]) / 60


_NOTHING: Final = Minutes((0,) * STEPS, (0,) * STEPS)


@final
class History:
    """Looks at all functions every few seconds, a few of them at a time.

    What did nothing and had nothing to do for all that time has no place in here.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tracks: dict[bytes, _Track] = {}
        self._ended: dict[bytes, int] = {}  # jobs of each function, at the last look
        self._step = 0
        self._task = asyncio.create_task(self._run())

    def of(self, function: bytes) -> Minutes:
        """The last minutes of a function."""
        track = self._tracks.get(function)
        return _NOTHING if track is None else track.minutes(self._step)

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
        """Takes one step."""
        self._step += 1
        self._ended = {
            name: ended
            for name, ended in self._ended.items()
            if self._engine.flow(name) is not None
        }
        for number, name in enumerate(list(self._engine.function_names()), 1):
            flow = self._engine.flow(name)
            if flow is not None:
                self._note(flow)
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        self._forget()

    def _note(self, flow: QueueFlow) -> None:
        ended = self._ended.get(flow.function, 0)
        self._ended[flow.function] = flow.ended
        track = self._tracks.get(flow.function)
        if track is None:
            if not flow.unfinished and flow.ended == ended:
                return
            track = self._tracks[flow.function] = _Track()
        # A function may be dropped and come back, and counts from 0 then.
        track.note(self._step, flow.unfinished, max(0, flow.ended - ended))

    def _forget(self) -> None:
        silent = [name for name, track in self._tracks.items() if track.is_silent(self._step)]
        for name in silent:
            del self._tracks[name]


@final
class _Track:
    """Rings of a function's last steps."""

    def __init__(self) -> None:
        self._unfinished = array("Q", bytes(8 * STEPS))
        self._ended = array("Q", bytes(8 * STEPS))
        self._noted = 0  # the last step that was

    def note(self, step: int, unfinished: int, ended: int) -> None:
        at = step % STEPS
        self._unfinished[at] = unfinished
        self._ended[at] = ended
        self._noted = step

    def is_silent(self, step: int) -> bool:
        return self._noted < step or not (any(self._unfinished) or any(self._ended))

    def minutes(self, step: int) -> Minutes:
        at = (step + 1) % STEPS
        return Minutes(
            (*self._unfinished[at:], *self._unfinished[:at]), (*self._ended[at:], *self._ended[:at])
        )
