"""People and programs that look at a server over HTTP: ``python -m bench.onlookers URL``.

Two pages are open and kept up to date; functions and jobs are asked for twice a second over the
API; Prometheus comes every five seconds.  It goes on until it is stopped, and says ``here`` once
everybody has had a first answer.
"""

import asyncio
import sys
from typing import Final

import httpx

_PAGES: Final = ("/", "/jobs")
_API: Final = ("/api/functions", "/api/jobs", "/api/statistics")
_API_EVERY_S: Final = 0.5
_METRICS_EVERY_S: Final = 5.0


async def _watch(client: httpx.AsyncClient, path: str, seen: asyncio.Event) -> None:
    async with client.stream("GET", path, headers={"accept": "text/event-stream"}) as events:
        async for _ in events.aiter_lines():
            seen.set()


async def _ask(
    client: httpx.AsyncClient, paths: tuple[str, ...], every_s: float, seen: asyncio.Event
) -> None:
    while True:
        for path in paths:
            (await client.get(path)).raise_for_status()
        seen.set()
        await asyncio.sleep(every_s)


async def look_at(url: str) -> None:
    """Looks until it is cancelled.  Raises httpx.HTTPError if the server does not answer."""
    async with httpx.AsyncClient(base_url=url, timeout=None) as client, asyncio.TaskGroup() as all_:
        first = [asyncio.Event() for _ in range(len(_PAGES) + 2)]
        for path, seen in zip(_PAGES, first, strict=False):
            all_.create_task(_watch(client, path, seen))
        all_.create_task(_ask(client, _API, _API_EVERY_S, first[-2]))
        all_.create_task(_ask(client, ("/metrics",), _METRICS_EVERY_S, first[-1]))
        for seen in first:
            await seen.wait()
        print("here", flush=True)


if __name__ == "__main__":
    asyncio.run(look_at(sys.argv[1]))
