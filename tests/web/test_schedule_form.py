"""Schedules as a form: what is read from it, what it is filled with, and what it does."""

import base64
import html
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.cron import NoTicks, Schedule, read_schedule, schedule_table
from gearpy.web import schedule_form
from gearpy.web.schedule_form import Filled, filled, read
from tests.docstrings import run_examples
from tests.web.pages import act, asked_for, fields_of, text_of


class Daily(NoTicks):
    def next_s(self, cron: str, timezone: str, after_s: float) -> float:
        return after_s + 86400


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=9)
options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(schedule_form.PRIORITIES),
        "attempts": st.integers(1, 100),
        "timeout_s": st.floats(0, 1000),
        "expires_s": st.integers(0, 1000),
        "backoff": st.just([1, 5]),
        "labels": st.dictionaries(words, words, max_size=2),
        "key": words,
    },
)
tables = st.fixed_dictionaries(
    {"cron": words, "function": words},
    optional={
        "timezone": words,
        "unique": words,
        "data_base64": (st.binary(max_size=40) | st.text(max_size=40).map(str.encode)).map(
            lambda payload: base64.b64encode(payload).decode()
        ),
        "options": options,
        "missed": st.sampled_from(["once", "skip"]),
        "overlap": st.booleans(),
    },
)


def as_browsers_send(text: str) -> str:
    """Its line ends are CR LF, whatever they were; a NUL gets lost on the way."""
    return re.sub("\r\n|\n|\r", "\r\n", text).replace("\0", "\ufffd")


def sent(form: Filled) -> list[tuple[str, str]]:
    """What a browser sends of a form that nobody changed."""
    fields = [(name, as_browsers_send(text)) for name, text in form.values.items()]
    fields += [("name", "nightly"), ("missed", form.missed)]
    marks = {"encoded": form.encoded, "overlap": form.overlap}
    return fields + [(name, "yes") for name, marked in marks.items() if marked]


@given(tables)
def test_a_form_that_nobody_changed_sends_the_schedule_that_it_shows(
    table: dict[str, object],
) -> None:
    schedule: Schedule = read_schedule(table, Daily())
    again = read(sent(filled(schedule_table(schedule))))
    assert again is not None
    assert schedule_table(read_schedule(again, Daily())) == schedule_table(schedule)


def test_base64_may_have_lines() -> None:
    said = read([("cron", "* * * * *"), ("encoded", "yes"), ("data", " eHh4\r\neA==\r\n")])
    assert said is not None
    assert said["data_base64"] == "eHh4eA=="


def test_a_form_of_nothing_says_what_is_so_if_nothing_is_said() -> None:
    said = read(sent(filled()))
    assert said is not None
    made = read_schedule({**said, "cron": "0 0 * * *", "function": "f"}, Daily())
    assert made == Schedule(cron="0 0 * * *", function=b"f")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"attempts": "many"}, "attempts is 'many'; it must be"),
        ({"options": "{"}, "what stands under further options is no JSON"),
        ({"options": '{"delay_s": NaN}'}, "NaN is no number of JSON"),
        ({"options": "[" * 5000}, "what stands under further options is no JSON"),
        ({"options": "[1]"}, "further options are an object of JSON"),
        ({"options": '{"colour": "red"}'}, "'colour'"),
        ({"attempts": "3", "options": '{"attempts": 4}'}, "attempts has a field of its own"),
        ({"cron": " "}, "a schedule needs the field cron"),
        ({"cron": "often"}, "cron is"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"function": ""}, "a schedule needs the field function"),
        ({"missed": "twice"}, "missed is 'twice'"),
        ({"data": "&", "encoded": "yes"}, "data_base64 is '&'"),
        ({"cron": "61 * * * *"}, "cron is '61 * * * *'"),
        ({"cron": "0 0 30 2 *"}, "cron is '0 0 30 2 *'"),
        ({"name": "a/b"}, "no slash"),
        ({"name": ""}, "name"),
    ],
)
@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "yes"}], ids=["asked", "confirmed"])
def test_what_is_no_schedule_is_said_before_anybody_is_asked(
    fields: dict[str, str], says: str, confirmed: dict[str, str], shared_http: httpx.Client
) -> None:
    form = {"name": "s", "cron": "0 8 * * *", "function": "f", **fields, **confirmed}
    page = text_of(shared_http.post("/do/set-schedule", data=form), 400)
    assert "It was not set:" in page
    assert says in page
    assert shared_http.get("/api/schedules").json()["schedules"] == []


def test_what_was_typed_stays_typed(http: httpx.Client) -> None:
    typed = {
        "name": "nightly",
        "cron": "61 * * * *",
        "timezone": "Europe/Berlin",
        "function": 'a "quoted" <name>',
        "data": "\r\ntwo lines & <b>",
        "unique": "u1",
        "missed": "skip",
        "overlap": "yes",
        "priority": "high",
        "attempts": "3",
        "timeout_s": "",
        "expires_s": "60",
        "options": '{"labels": {"team": "billing"}}',
    }
    refused = asked_for(http, "set-schedule", "/schedules", **typed)
    assert "cron is '61 * * * *'" in text_of(refused, 400)
    fields = Page(refused.text).fields()
    assert fields == typed
    asked = asked_for(http, "set-schedule", "/schedules", **{**fields, "cron": "1 * * * *"})
    assert "From now on the schedule nightly is:" in text_of(asked)
    changed = asked_for(http, "set-schedule", "/schedules", **fields_of(asked.text), change="yes")
    assert "not set" not in text_of(changed)
    assert Page(changed.text).fields() == {**typed, "cron": "1 * * * *"}
    assert http.get("/api/schedules").json()["schedules"] == []


class Page:
    """A page's form as a browser sees it."""

    def __init__(self, text: str) -> None:
        self._form = text[
            text.index('action="/do/set-schedule?back=%2Fschedules" class="policy"') :
        ]

    def fields(self) -> dict[str, str]:
        fields = {}
        for tag, name in re.findall(r'(<input[^>]*? name="(\w+)"[^>]*>)', self._form):
            value = re.search(r' value="([^"]*)"', tag)
            if 'type="checkbox"' not in tag or " checked" in tag:
                fields[name] = html.unescape(value[1]) if value else ""
        for name, inside in re.findall(
            r'<select[^>]*? name="(\w+)"[^>]*>(.*?)</select>', self._form
        ):
            chosen = re.search(r'<option(?: value="(\w*)")? selected>(\w+)', inside)
            fields[name] = (chosen[1] or chosen[2]) if chosen else ""
        for name, text in re.findall(
            r'<textarea[^>]*? name="(\w+)"[^>]*>\n(.*?)</textarea>', self._form, re.DOTALL
        ):
            fields[name] = as_browsers_send(html.unescape(text))
        return fields


@pytest.mark.parametrize(
    "table",
    [
        {"cron": "0 8 * * 1-5", "function": "digest"},
        {
            "cron": "*/5 * * * *",
            "timezone": "Europe/Berlin",
            "function": 'a "quoted" <name>',
            "data": "\n two lines,\n the first one empty & <b>\n",
            "unique": "u1",
            "options": {"priority": "high", "attempts": 3, "labels": {"team": "billing"}},
            "missed": "skip",
            "overlap": False,
        },
        {"cron": "0 0 * * *", "function": "f", "data": "a\r\nb\rc\0"},
        {
            "cron": "0 0 * * *",
            "function": "f",
            "data_base64": "AP8=",
            "options": {"timeout_s": 0.5},
        },
    ],
)
def test_a_schedule_is_shown_in_a_form_and_changed(
    table: dict[str, Any], http: httpx.Client
) -> None:
    assert http.put("/api/schedules/nightly", json=table).status_code == 200
    before = http.get("/api/schedules/nightly").json()["schedule"]["schedule"]

    fields = Page(http.get("/schedules", params={"name": "nightly"}).text).fields()
    act(http, "set-schedule", "/schedules", **fields)
    assert http.get("/api/schedules/nightly").json()["schedule"]["schedule"] == before

    page = act(http, "set-schedule", "/schedules", **{**fields, "cron": "1 2 3 4 *"})
    assert "1 2 3 4 *" in page
    assert http.get("/api/schedules/nightly").json()["schedule"]["schedule"] == {
        **before,
        "cron": "1 2 3 4 *",
    }


def test_a_schedule_that_there_is_not_can_not_be_changed(shared_http: httpx.Client) -> None:
    assert "no schedule" in text_of(shared_http.get("/schedules?name=nightly"), 404)


def test_examples() -> None:
    assert run_examples(schedule_form).failed == 0
