"""What operators ask for, on a broker without I/O: schedules."""

from typing import Any

import pytest

from gearpy.broker.broker import Broker
from gearpy.engine.records import CronChange
from gearpy.errors import InvalidArgument, ScheduleNotFound
from gearpy.server.ticks import CronTicks
from tests.broker.shop import NOW_S, Shop

HOURLY: dict[str, Any] = {"cron": "0 * * * *", "function": "digest", "data": "all"}


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    assert shop.ask("set-schedule", name="s", schedule=HOURLY) == {"name": "s", "changed": True}
    return shop


def test_a_schedule_is_told_with_what_comes_next(shop: Shop) -> None:
    found = shop.ask("schedule", name="s")["schedule"]
    said = {"timezone": "UTC", "missed": "once", "overlap": True}
    assert found["schedule"] == HOURLY | said
    assert (found["name"], found["origin"], found["paused"]) == ("s", "set", False)
    first_s = (NOW_S // 3600 + 1) * 3600
    assert found["next_s"] == [first_s + 3600 * number for number in range(5)]
    assert (found["handle"], found["error"]) == ("", "")


def test_schedules_are_told_in_slices(shop: Shop) -> None:
    for name in ("b", "a", "c"):
        shop.ask("set-schedule", name=name, schedule=HOURLY)
    told = shop.ask("schedules", limit=3)
    assert [row["name"] for row in told["schedules"]] == ["a", "b", "c"]
    rest = shop.ask("schedules", offset=told["next"])
    assert ([row["name"] for row in rest["schedules"]], rest["next"]) == (["s"], None)


def test_it_is_run_paused_and_resumed(shop: Shop) -> None:
    handle = shop.ask("run-schedule", name="s")["handle"]
    assert shop.ask("job", handle=handle)["job"]["payload"] == "all"
    assert shop.ask("pause-schedule", name="s") == {"name": "s", "paused": True}
    shop.later(7200)
    assert len(shop.handles()) == 1
    shop.ask("resume-schedule", name="s")
    shop.later(3600)
    assert len(shop.handles()) == 2
    assert shop.ask("schedule", name="s")["schedule"]["handle"] == shop.handles()[1]


def test_it_is_taken_back(shop: Shop) -> None:
    assert shop.ask("set-schedule", name="s", schedule=None) == {"name": "s", "changed": True}
    assert shop.ask("set-schedule", name="s", schedule=None) == {"name": "s", "changed": False}
    for verb in ("schedule", "run-schedule", "pause-schedule", "resume-schedule"):
        with pytest.raises(ScheduleNotFound, match="no schedule 's'"):
            shop.ask(verb, name="s")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": 1, "schedule": HOURLY}, "name is 1"),
        ({"name": "a/b", "schedule": HOURLY}, "no slash"),
        ({"name": "s", "schedule": "hourly"}, "an object with cron"),
        ({"name": "s", "schedule": HOURLY | {"cron": "often"}}, "cron is 'often'"),
        ({"name": "s", "schedule": HOURLY | {"timezone": "Mars"}}, "timezone is 'Mars'"),
        ({"name": "s"}, "needs the field schedule"),
    ],
)
def test_what_is_bad_is_said(fields: dict[str, Any], says: str, shop: Shop) -> None:
    with pytest.raises(InvalidArgument, match=says):
        shop.ask("set-schedule", **fields)


def test_that_it_fired_and_its_job_are_committed_together() -> None:
    broker = Broker(durable=True, now_s=NOW_S, ticks=CronTicks())
    broker.operations.perform({"do": "set-schedule", "name": "s", "schedule": HOURLY})
    work = broker.gate.take_work()
    assert work is not None
    broker.gate.open(work.ticket)
    broker.advance(NOW_S + 3600)
    work = broker.gate.take_work()
    assert work is not None
    assert work.batch is not None
    (put,), note = work.batch.puts, work.batch.notes[-1]
    assert isinstance(note, CronChange)
    assert put.handle.decode() in note.state.decode()


def test_a_schedule_whose_jobs_would_be_refused_is_refused(shop: Shop) -> None:
    asked = HOURLY | {"options": {"callback": "https://example.org/done"}}
    with pytest.raises(InvalidArgument, match="calls URLs"):
        shop.ask("set-schedule", name="t", schedule=asked)
    shop.ask(
        "set-schedule", name="t", schedule=HOURLY | {"options": {"callback": {"function": "f"}}}
    )
