"""Functions in order: which come first, and what is kept of that."""

from collections.abc import AsyncIterator

import pytest

from gearpy.broker.broker import Broker
from gearpy.engine.engine import Engine
from gearpy.server.audit import Audit
from gearpy.server.clock import SystemClock
from gearpy.server.turns import Turns
from gearpy.web.desk import Desk
from gearpy.web.history import History
from gearpy.web.ranking import Order, Part, Ranking
from tests.engine.recorders import able


class Rank:
    def __init__(self, broker: Broker, desk: Desk) -> None:
        self.engine: Engine = broker.engine
        self.desk = desk
        self.ranking = Ranking(desk)

    def submit(self, function: bytes, number: int = 1) -> None:
        for _ in range(number):
            self.engine.submit(None, function, b"", b"")

    async def names(self, asked: str, order: Order | None = None, offset: int = 0) -> list[str]:
        return (await self.ranking.part(asked, order, offset, 50)).names


@pytest.fixture
async def rank() -> AsyncIterator[Rank]:
    broker, clock = Broker(), SystemClock()
    history = History(broker.engine)
    yield Rank(broker, Desk(broker, Turns(broker, clock), history, Audit(clock)))
    await history.stop()


async def test_a_page_is_full_however_far_its_functions_are_apart(rank: Rank) -> None:
    for number in range(25_000):
        rank.engine.functions.create(b"crowd%d" % number)
        if number % 5_000 == 0:
            rank.engine.functions.create(b"needle%d" % number)
    wanted = [f"needle{number}" for number in range(0, 25_000, 5_000)]
    assert await rank.ranking.part("needle", None, 0, 5) == Part(wanted, None)
    assert await rank.ranking.part("needle", None, 0, 3) == Part(wanted[:3], 3)
    assert await rank.ranking.part("needle", None, 3, 3) == Part(wanted[3:], None)
    assert await rank.names("crowd24999") == ["crowd24999"]
    assert (await rank.names("crowd", Order("name", True)))[0] == "crowd9999"


async def test_the_most_come_first_of_all_that_there_are(rank: Rank) -> None:
    for number in range(300):
        rank.submit(b"f%03d" % number)
    rank.submit(b"f250", 5)
    able(rank.engine, b"f120", b"f123")
    assert (await rank.names("", Order("queued")))[0] == "f250"
    assert (await rank.names("", Order("workers")))[:3] == ["f120", "f123", "f000"]
    assert (await rank.names("*", Order("queued", True)))[:2] == ["f000", "f001"]
    part = await rank.ranking.part("", Order("queued"), 295, 50)
    assert part == Part([f"f{number}" for number in range(295, 300)], None)


async def test_the_one_with_that_very_name_is_first_and_only_there(rank: Rank) -> None:
    for name in (b"mailing", b"mail", b"email"):
        rank.submit(name)
    rank.submit(b"email", 3)
    for order in (None, Order("name"), Order("queued"), Order("queued", True)):
        pages = [await rank.ranking.part("mail", order, offset, 1) for offset in range(3)]
        assert pages[0] == Part(["mail"], 1)
        assert {pages[1].names[0], pages[2].names[0]} == {"email", "mailing"}
        assert pages[2].next is None


async def test_numbers_are_kept_for_a_while_and_the_shown_ones_are_new(rank: Rank) -> None:
    rank.ranking = Ranking(rank.desk, kept_times=1e9)
    for name, number in ((b"a", 1), (b"b", 2), (b"c", 3)):
        rank.submit(name, number)
    assert await rank.names("", Order("queued")) == ["c", "b", "a"]
    rank.submit(b"a", 5)
    rank.submit(b"new", 9)
    assert await rank.names("", Order("queued")) == ["new", "a", "c", "b"]
    part = await rank.ranking.part("", Order("queued"), 0, 2)
    assert part.names == ["c", "b"], "the first two of what was taken before"


async def test_they_are_taken_anew_after_that(rank: Rank) -> None:
    rank.ranking = Ranking(rank.desk, kept_times=0)
    rank.submit(b"a", 1)
    rank.submit(b"b", 2)
    assert (await rank.ranking.part("", Order("queued"), 0, 1)).names == ["b"]
    rank.submit(b"a", 5)
    assert (await rank.ranking.part("", Order("queued"), 0, 1)).names == ["a"]


async def test_what_waits_for_longest_is_the_oldest(rank: Rank) -> None:
    rank.submit(b"old")
    rank.engine.functions.create(b"idle")
    rank.engine.advance(rank.engine.now_s + 60)
    rank.submit(b"young")
    assert await rank.names("", Order("oldest")) == ["old", "young", "idle"]


async def test_the_rate_is_one_of_the_last_minute(rank: Rank) -> None:
    for name, number in ((b"slow", 1), (b"fast", 3)):
        rank.submit(name, number)
        worker = able(rank.engine, name).worker
        for _ in range(number):
            job = rank.engine.grab(worker)
            assert job is not None
            rank.engine.complete(worker, job.handle, b"")
    await rank.desk._history.look()
    assert await rank.names("", Order("rate")) == ["fast", "slow"]
    assert await rank.names("", Order("rate", True)) == ["slow", "fast"]
