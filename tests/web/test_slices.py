"""What is done to many: counted, added up, and noted once."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from gearpy.broker.broker import Broker
from gearpy.errors import InvalidArgument
from gearpy.server.audit import Audit
from gearpy.server.clock import SystemClock
from gearpy.server.turns import Turns
from gearpy.web import slices
from gearpy.web.actions import Wish
from gearpy.web.desk import Desk
from gearpy.web.history import History
from gearpy.web.slices import Counted


class Office(NamedTuple):
    desk: Desk
    broker: Broker

    def submit(self, number: int, function: bytes = b"f", **more: bytes) -> list[str]:
        engine = self.broker.engine
        return [
            engine.submit(None, function, more.get("unique", b""), b"").handle.decode()
            for _ in range(number)
        ]

    def audit(self) -> list[tuple[str, str, bool]]:
        return [(each.did, each.outcome, each.succeeded) for each in self.desk.audit.entries()]


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    broker, clock = Broker(), SystemClock()
    history = History(broker.engine)
    yield Office(Desk(broker, Turns(broker, clock), history, Audit(clock)), broker)
    await history.stop()


ALL: dict[str, object] = {"function": "*", "states": ["queued"]}


async def test_counting_goes_on_through_slices_and_has_an_end(office: Office) -> None:
    office.submit(20_001)
    assert await slices.count(office.desk, ALL) == Counted(20_001)
    assert await slices.count(office.desk, ALL, slices_max=2) == Counted(20_000, False)
    assert await slices.count(office.desk, {**ALL, "function": "g"}) == Counted(0)
    assert office.audit() == []


def test_what_was_not_counted_to_the_end_is_said() -> None:
    wish = Wish("cancel", [("states", "queued"), ("function", "f"), ("younger_than_s", "5m")])
    said = wish._how_many(Counted(20_000, False))
    assert said == "all queued jobs of f that are younger than 5m (at least 20,000)"


async def test_slices_are_added_up(office: Office) -> None:
    office.submit(2_500)
    assert await slices.do_all(office.desk, "cancel", ALL) == {"count": 2_500}
    assert office.audit() == [("cancel", '{"count":2500}', True)]


async def test_functions_are_counted_too(office: Office) -> None:
    for number in range(1_100):
        office.submit(1, b"f%d" % number)
    wish = Wish("pause", [("function", "*"), ("confirmed", "yes")])
    assert await wish.fulfil(office.desk) == "1,100 functions were paused."
    assert office.audit() == [("pause", '{"functions":1100}', True)]


async def test_it_stops_where_the_server_stops_and_says_so(office: Office) -> None:
    office.submit(10)
    office.desk.closing.set()
    wish = Wish("clear", [("function", "f")])
    assert await wish.fulfil(office.desk) == (
        "No job was cancelled. There may be more: the server began to stop."
    )
    assert office.audit() == [("cancel", '{"next":0}', True)]


async def test_what_was_refused_is_noted_once(office: Office) -> None:
    with pytest.raises(InvalidArgument, match="states holds 'tired'"):
        await slices.do_all(office.desk, "cancel", {**ALL, "states": ["tired"]})
    ((did, outcome, succeeded),) = office.audit()
    assert (did, succeeded) == ("cancel", False)
    assert "'tired'" in outcome


async def test_marked_jobs_of_which_some_are_gone_are_noted_once(office: Office) -> None:
    first, second, third = office.submit(3)
    await office.desk.operate("cancel", handle=second)
    with pytest.raises(InvalidArgument, match="not done with 1 of 3 jobs: there is no job"):
        await slices.do_each(office.desk, "cancel", [first, second, third])
    assert [each.succeeded for each in office.desk.audit.entries()] == [False, True]
    assert office.broker.engine.statistics().jobs == 0


async def test_those_that_were_passed_over_are_told(office: Office) -> None:
    engine = office.broker.engine
    await office.desk.operate("set-policy", function="f", policy={"keep_s": 600})
    for _ in range(2):
        office.submit(1, unique=b"u")
        await office.desk.operate("cancel", function="f")
    assert engine.statistics().kept == 2
    wish = Wish("retry", [("states", "cancelled"), ("function", "f"), ("confirmed", "yes")])
    assert await wish.fulfil(office.desk) == (
        "1 job was queued again. 1 job was passed over: unfinished ones have the same unique."
    )
