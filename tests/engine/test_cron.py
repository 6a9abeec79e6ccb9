"""Schedules of an engine, with ticks every so many seconds, through restarts."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.cron import SCHEDULES_MAX, Schedule, read_schedule, schedule_table
from gearpy.engine.engine import Engine
from gearpy.engine.policy import read_policy
from gearpy.errors import InvalidArgument
from tests.engine.journals import KeptJournal


class Every:
    """The cron expression is a number of seconds; 0 never comes."""

    def next_s(self, cron: str, timezone: str, after_s: float) -> float:
        try:
            step_s = int(cron)
        except ValueError:
            raise InvalidArgument("no number") from None
        return (after_s // step_s + 1) * step_s if step_s else math.inf


def schedule(cron: str = "60", **fields: Any) -> Schedule:
    return read_schedule({"cron": cron, "function": "digest", "data": "x", **fields}, Every())


class Servers:
    """One server after the other, with one journal."""

    def __init__(self, now_s: float = 1000.0, **from_file: Schedule) -> None:
        self.journal = KeptJournal()
        self.from_file = from_file
        self.engine: Engine
        self.start(now_s)

    def start(self, now_s: float) -> list[str]:
        """Another server takes over; what the last one was told by its journal is all it knows."""
        records = list(self.journal.records())
        self.engine = Engine(
            None, self.journal, now_s, ticks=Every(), schedules=self.from_file, first_number=1
        )
        refused = self.engine.restore(records)
        self.advance(now_s)
        return refused

    def advance(self, now_s: float) -> None:
        """Goes through each moment at which something is due."""
        while (due_s := self.engine.next_due_s()) < now_s:
            self.engine.advance(max(due_s, self.engine.now_s))
        self.engine.advance(now_s)

    @property
    def fired(self) -> int:
        """How many jobs there are; nobody does them."""
        return self.engine.statistics().jobs

    def error(self, name: str = "s") -> str:
        found = self.engine.crontab.get(name)
        assert found is not None
        return found.error


def test_it_submits_what_it_says_at_each_tick() -> None:
    servers = Servers()
    wanted = schedule(unique="u", options={"priority": "high", "attempts": 7}, data="letter")
    servers.engine.crontab.set("s", wanted)
    servers.advance(1019.0)
    assert servers.fired == 0
    servers.advance(1020.0)
    found = servers.engine.crontab.get("s")
    assert found is not None
    job = servers.engine.find(found.handle)
    assert job is not None
    assert (job.queue.name, job.unique, job.payload) == (b"digest", b"u", b"letter")
    assert (job.priority.name, job.background) == ("HIGH", True)
    assert servers.engine.attempts_max(job) == 7
    assert (found.last_s, found.next_s[:2]) == (1020.0, (1080.0, 1140.0))


def test_each_tick_fires_once() -> None:
    servers = Servers()
    servers.engine.crontab.set("s", schedule())
    servers.engine.crontab.set("t", schedule("30"))
    servers.advance(1000.0 + 600)
    assert servers.fired == 10 + 20


@given(st.lists(st.tuples(st.floats(0.0, 50.0), st.booleans()), max_size=30), st.integers(1, 50))
def test_no_tick_is_lost_or_fires_twice_whenever_a_server_starts_anew(
    steps: list[tuple[float, bool]], every_s: int
) -> None:
    """Nobody is away for longer than a minute."""
    servers = Servers(of_file=schedule(str(every_s)))
    servers.engine.crontab.set("s", schedule(str(every_s)))
    now_s = 1000.0
    expected = 0
    for step_s, restarts in steps:
        before_s, now_s = now_s, now_s + step_s
        ticks = now_s // every_s - before_s // every_s
        if restarts:
            ticks = min(ticks, 1)  # all that were missed are one
            servers.start(now_s)
        else:
            servers.advance(now_s)
        expected += 2 * int(ticks)
    assert servers.fired == expected


@pytest.mark.parametrize(("missed", "fires"), [("once", 1), ("skip", 0)])
def test_what_was_missed_fires_once_or_not_at_all(missed: str, fires: int) -> None:
    servers = Servers()
    servers.engine.crontab.set("s", schedule("3600", missed=missed))
    servers.start(100_000.0)
    assert servers.fired == fires
    assert ("missed" in servers.error()) is not bool(fires)
    servers.start(100_001.0)
    assert servers.fired == fires
    servers.advance(100_800.0)
    assert servers.fired == fires + 1
    assert servers.error() == ""


def test_a_tick_within_a_minute_was_not_missed() -> None:
    servers = Servers()
    servers.engine.crontab.set("s", schedule("3600", missed="skip"))
    servers.start(3600.0 + 59)
    assert servers.fired == 1
    servers.start(7200.0 + 61)
    assert servers.fired == 1


def test_without_overlap_it_waits_for_its_last_job() -> None:
    servers = Servers()
    servers.engine.crontab.set("s", schedule(overlap=False))
    servers.advance(1020.0)
    servers.advance(1090.0)
    assert servers.fired == 1
    assert "not finished" in servers.error()
    servers.start(1150.0)
    assert servers.fired == 1, "the journal knows the last job"
    found = servers.engine.crontab.get("s")
    assert found is not None
    servers.engine.cancel(found.handle)
    servers.advance(1200.0)
    assert (servers.fired, servers.error()) == (1, "")


def test_a_paused_one_does_not_fire_nor_catch_up() -> None:
    servers = Servers(s=schedule())
    assert servers.engine.crontab.pause("s", True)
    servers.start(5000.0)
    servers.advance(6000.0)
    found = servers.engine.crontab.get("s")
    assert found is not None
    assert (servers.fired, found.paused, found.next_s) == (0, True, ())
    servers.engine.crontab.pause("s", False)
    servers.advance(6060.0)
    assert servers.fired == 1
    assert not servers.engine.crontab.pause("unknown", True)


def test_it_runs_at_once_beside_its_ticks() -> None:
    servers = Servers(s=schedule("3600"))
    handle = servers.engine.crontab.run("s")
    assert handle is not None
    assert servers.engine.find(handle) is not None
    servers.advance(3600.0)
    assert servers.fired == 2
    assert servers.engine.crontab.run("unknown") is None


def test_what_is_set_hides_what_the_settings_say() -> None:
    servers = Servers(s=schedule("60"))
    servers.engine.crontab.set("s", schedule("7"))
    servers.start(1000.0)
    found = servers.engine.crontab.get("s")
    assert found is not None
    assert (found.origin, found.schedule.cron) == ("set", "7")
    assert servers.engine.crontab.set("s", None)
    assert not servers.engine.crontab.set("s", None)
    servers.start(1000.0)
    found = servers.engine.crontab.get("s")
    assert found is not None
    assert (found.origin, found.schedule.cron) == ("file", "60")
    servers.advance(1020.0)
    assert servers.fired == 1


def test_what_is_taken_back_stays_paused_and_knows_its_last_job() -> None:
    servers = Servers(s=schedule("60", overlap=False))
    servers.engine.crontab.set("s", schedule("7"))
    handle = servers.engine.crontab.run("s")
    servers.engine.crontab.pause("s", True)
    assert servers.engine.crontab.set("s", None)
    servers.start(1000.0)
    found = servers.engine.crontab.get("s")
    assert found is not None
    assert (found.origin, found.paused, found.handle) == ("file", True, handle)


def test_what_left_the_settings_is_forgotten() -> None:
    servers = Servers(s=schedule())
    servers.advance(1020.0)
    assert servers.journal.schedules
    servers.from_file = {}
    servers.start(1030.0)
    assert servers.engine.crontab.names() == []
    assert not servers.journal.schedules
    assert servers.engine.crontab.set("t", schedule())
    assert servers.engine.crontab.set("t", None)
    assert not servers.journal.schedules


def test_a_job_that_is_not_taken_is_submitted_again() -> None:
    servers = Servers()
    servers.engine.functions.set_policy(b"digest", read_policy({"max_queue": 1}))
    first = servers.engine.submit(None, b"digest", b"", b"")
    servers.engine.crontab.set("s", schedule("3600"))
    servers.engine.crontab.set("t", schedule("3600", missed="skip"))
    servers.advance(3605.0)
    assert servers.fired == 1
    assert "full" in servers.error("s")
    servers.advance(3600.0 + 300)
    servers.engine.functions.set_policy(b"digest", None)
    servers.engine.cancel(first.handle)
    servers.advance(3600.0 + 320)
    assert servers.fired == 1, "one tick was missed by now"
    assert (servers.error("s"), "full" in servers.error("t")) == ("", True)


def test_records_that_make_no_sense_are_said() -> None:
    servers = Servers()
    servers.engine.crontab.set("s", schedule())
    for schedule_text, state in (
        (b"{", b'{"last_s": 1}'),
        (b"{}", b'{"last_s": 1}'),
        (b'{"cron":"60","function":"f"}', b"{}"),
        (b'{"cron":"60","function":"f"}', b"[]"),
    ):
        record = servers.journal.schedules["s"]._replace(schedule=schedule_text, state=state)
        servers.journal.schedules["s"] = record
        (sentence,) = servers.start(1000.0)
        assert "the schedule 's' can't be read" in sentence


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cron": None}, "needs the field cron"),
        ({"function": None}, "needs the field function"),
        ({"function": ""}, "name of a function"),
        ({"function": "a\nb"}, "control characters"),
        ({"cron": "x"}, "no number"),
        ({"cron": "0"}, "never comes"),
        ({"cron": 5}, "cron is 5"),
        ({"colour": 1}, "no field 'colour'"),
        ({"missed": "twice"}, "one of once, skip"),
        ({"overlap": 1}, "true or false"),
        ({"data": 1}, "data is 1"),
        ({"data_base64": "eA=="}, "give one of them"),
        ({"data": None, "data_base64": "%"}, "base64"),
        ({"options": []}, "an object"),
        ({"options": {"attempts": 0}}, "attempts"),
        ({"options": {"background": True}}, "background"),
        ({"options": {"due_s": 1}}, "due at its ticks"),
        ({"options": {"labels": {"a": math.nan}}}, "JSON"),
        ({"data": "x" * 40_000}, "bytes in all"),
    ],
)
def test_a_bad_schedule_is_a_sentence(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        schedule(**{"cron": "60"} | fields)


def test_a_schedule_is_the_same_read_again() -> None:
    for fields in ({}, {"data": None, "data_base64": "/w=="}, {"options": {"key": "k"}}):
        made = schedule(**fields)
        assert read_schedule(schedule_table(made), Every()) == made


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "x" * 65, "\ud800"])
def test_a_name_can_be_printed(name: str) -> None:
    with pytest.raises(InvalidArgument, match="schedule's name"):
        Servers().engine.crontab.set(name, schedule())


def test_there_are_not_too_many() -> None:
    engine = Servers().engine
    for number in range(SCHEDULES_MAX):
        engine.crontab.set(str(number), schedule())
    engine.crontab.set("0", schedule("61"))
    with pytest.raises(InvalidArgument, match="at most"):
        engine.crontab.set("one more", schedule())
