"""What a job costs, where a loop's thread does others between its steps."""

import asyncio
import time

import pytest

from gearpy.worker.costs import Cost, measured, metered


def busy(seconds: float) -> None:
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


async def test_a_coroutine_costs_what_its_own_steps_cost() -> None:
    async def job() -> str:
        busy(0.02)
        await asyncio.sleep(0)
        busy(0.02)
        return "done"

    async def other() -> None:
        await asyncio.sleep(0)
        busy(0.2)

    cost = Cost()
    answer, _ = await asyncio.gather(metered(job(), cost), other())
    assert answer == "done"
    assert 0.04 <= cost.cpu_s < 0.2


async def test_what_is_raised_comes_through() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("no")

    with pytest.raises(KeyError):
        await metered(fails(), Cost())


async def test_cancelling_reaches_the_coroutine() -> None:
    entered, told = asyncio.Event(), list[str]()

    async def endless() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async def run() -> None:
        await metered(endless(), Cost())

    task = asyncio.create_task(run())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["cancelled"]


def test_memory_is_looked_up_where_it_matters() -> None:
    with measured() as cost:
        busy(0.002)
    assert cost.matters
    assert cost.memory_bytes is not None
    assert cost.memory_bytes > 1_000_000
    with measured() as cost:
        pass
    assert cost.memory_bytes is None or cost.matters
