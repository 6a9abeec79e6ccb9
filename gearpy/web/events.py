"""Server-sent events: something is looked at again and again, and sent when it has changed."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, final

from fastapi.responses import Response, StreamingResponse

from gearpy.web.desk import Desk

MEDIA_TYPE: Final = "text/event-stream"

_EVERY_S: Final = 1.0  # a look whether there is something new
_PAUSE_TIMES: Final = 20  # as long as the look took: many who look at much must not hold up jobs
_SILENCE_S: Final = 15.0  # then something is sent, to find out whether anybody is still there
_LINE_END: Final = re.compile(r"\r\n|\r|\n")  # all that is one in a stream of events
_STREAMS_MAX: Final = 50  # at a time
_HEADERS: Final = {"Cache-Control": "no-store", "Vary": "Accept"}


class Seen(NamedTuple):
    """What one look saw, as text, and whether it was the last one."""

    text: str
    last: bool = False


Look = Callable[[], Awaitable[Seen | None]]  # None: what is looked at is gone


@final
class Streams:
    """All streams of a server: not too many, and none that outlives it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open = 0

    def stream(self, event: str, look: Look, full: str = "") -> Response:
        """Sends what is seen as events of this name, and ``gone`` at its end.

        Beyond a limit of streams there is no content, which tells a browser not to ask again; or
        just an event of the name ``full``, for pages that have a word for it, and ask later.
        """
        if self._open >= _STREAMS_MAX and full:
            return Response(_event(full, ""), media_type=MEDIA_TYPE, headers=_HEADERS)
        if self._open >= _STREAMS_MAX:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return StreamingResponse(self._events(event, look), media_type=MEDIA_TYPE, headers=_HEADERS)

    async def _events(self, event: str, look: Look) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            before = None
            silent_s = 0.0
            time_s = asyncio.get_running_loop().time
            yield b": here\n\n"
            while not self._desk.closing.is_set():
                begun_s = time_s()
                seen = await look()
                pause_s = max(_EVERY_S, _PAUSE_TIMES * (time_s() - begun_s))
                if seen is not None and seen.text != before:
                    yield _event(event, seen.text)
                    before, silent_s = seen.text, 0.0
                if seen is None or seen.last:
                    yield _event("gone", "")
                    return
                if silent_s >= _SILENCE_S:
                    yield b": still here\n\n"
                    silent_s = 0.0
                await self._desk.rest(pause_s)
                silent_s += pause_s
        finally:
            self._open -= 1


def _event(name: str, text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"event: {name}\n{lines}\n".encode()
