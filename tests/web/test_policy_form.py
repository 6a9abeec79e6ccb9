"""Policies as a form: what is read from it, what it is filled with, and what it does."""

import html
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.policy import (
    CAUSES,
    FIELDS,
    Backoff,
    Delays,
    Exponential,
    Policy,
    read_policy,
)
from gearpy.web import policy_form
from gearpy.web.policy_form import Filled, filled, read
from tests.docstrings import run_examples
from tests.web.pages import act, asked_for, fields_of, submitted, text_of

counts = st.none() | st.integers(0, 10**9)
seconds = st.floats(0, 10**9, allow_nan=False)
backoffs: st.SearchStrategy[Backoff] = st.one_of(
    st.lists(seconds, max_size=5).map(lambda delays_s: Delays(tuple(delays_s))),
    st.builds(
        Exponential,
        base_s=st.floats(0, 10),
        factor=st.floats(1, 1000),
        cap_s=st.floats(10, 10**9),
        jitter=st.floats(0, 1),
    ),
)
policies = st.builds(
    Policy,
    attempts=st.none() | st.integers(1, 1_000_000),
    retry_on=st.none() | st.frozensets(st.sampled_from(CAUSES)),
    backoff=st.none() | backoffs,
    poison=counts,
    timeout_s=st.none() | seconds,
    expires_s=st.none() | seconds,
    delay_s=st.none() | seconds,
    max_running=counts,
    max_running_per_key=counts,
    rate_per_minute=counts,
    max_queue=counts,
    keep_s=st.none() | seconds,
    keep_bytes=counts,
)


def sent(form: Filled) -> list[tuple[str, str]]:
    """What a browser sends of a form that nobody changed."""
    names = [each.name for each in (*policy_form.ATTEMPTS, *policy_form.GROWTH)]
    names += [each.name for _, group in policy_form.GROUPS for each in group]
    fields = [(name, form.values.get(name, "")) for name in [*names, policy_form.DELAYS]]
    fields.append(("backoff", form.backoff))
    fields.append(("retry", "" if form.causes is None else policy_form.THESE))
    return fields + [("retry_on", cause) for cause in form.causes or ()]


@given(policies)
def test_a_form_that_nobody_changed_sends_the_policy_that_it_shows(policy: Policy) -> None:
    assert read_policy(read(sent(filled(policy))) or {}) == policy


def test_each_field_of_a_policy_has_its_place() -> None:
    names = {each.name for each in policy_form.ATTEMPTS}
    names |= {each.name for _, group in policy_form.GROUPS for each in group}
    assert names | {"retry_on", "backoff"} == set(FIELDS)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"attempts": "0"}, "attempts is 0; it must be"),
        ({"attempts": "many"}, "attempts is 'many'; it must be"),
        ({"max_running": "1.5"}, "max_running is 1.5; it must be"),
        ({"timeout_s": "nan"}, "timeout_s is nan; it must be"),
        ({"keep_s": "-1"}, "keep_s is -1; it must be"),
        ({"backoff": "delays", "delays": " , "}, "the list of delays is empty"),
        ({"backoff": "delays", "delays": "1, soon"}, "a delay of backoff is 'soon'"),
        ({"backoff": "exponential", "base_s": "9", "cap_s": "1"}, "base_s of backoff is 9"),
        ({"backoff": "never"}, "backoff is 'never'"),
        ({"retry": "these", "retry_on": "rain"}, "retry_on holds 'rain'"),
    ],
)
def test_what_is_no_policy_is_said_before_anybody_is_asked(
    fields: dict[str, str], says: str, shared_http: httpx.Client
) -> None:
    for confirmed in ({}, {"confirmed": "yes"}):
        answer = shared_http.post("/do/set-policy", data={"function": "f", **fields, **confirmed})
        page = text_of(answer, 400)
        assert "It was not set:" in page
        assert says in page


def test_what_was_typed_stays_typed(http: httpx.Client) -> None:
    typed = {
        "function": "image.*",
        "attempts": "3",
        "poison": "",
        "backoff": "delays",
        "delays": "1, soon",
        "retry": "these",
        "retry_on": "lost",
        "keep_s": "60",
    }
    page = asked_for(http, "set-policy", "/policies", **typed).text
    for name in ("function", "attempts", "poison", "delays", "keep_s"):
        assert value_of(page, name) == typed[name]
    assert checked_of(page) == {"retry-these", "backoff-delays", "lost"}
    asked = asked_for(http, "set-policy", "/policies", **{**typed, "delays": "1, 5"})
    assert "Really?" in text_of(asked)
    page = asked_for(http, "set-policy", "/policies", **fields_of(asked.text), change="yes").text
    assert value_of(page, "delays") == "1, 5"
    assert '"origin":"set"' not in http.get("/api/policies").text


@pytest.mark.parametrize("name", ["", "x" * 600])
def test_a_name_that_can_be_none_is_said_with_the_form(
    name: str, shared_http: httpx.Client
) -> None:
    page = asked_for(shared_http, "set-policy", "/policies", function=name, attempts="3")
    assert "function" in text_of(page, 400)
    assert value_of(page.text, "attempts") == "3"


def test_taking_back_is_asked_with_care_and_told(http: httpx.Client) -> None:
    http.put("/api/functions/mail/policy", json={"attempts": 3})
    asked = asked_for(http, "set-policy", "/policies", function="mail")
    assert re.search(
        r'<button class="danger">yes, take it back</button> *<a[^>]* autofocus>no</a>', asked.text
    )
    assert "The policy for mail was taken back." in act(http, "set-policy", function="mail")
    assert "The policy for mail stays as it is" in act(http, "set-policy", function="mail")


def test_policies_are_set_and_taken_back(http: httpx.Client) -> None:
    page = act(http, "set-policy", function="mail.*", attempts="7", timeout_s="", back="/policies")
    assert 'mail.* set {"attempts": 7} change' in page
    assert 'set-policy {"function":"mail.*","policy":{"attempts":7}}' in text_of(http.get("/audit"))
    asked = http.post("/do/set-policy", data={"function": "mail.*"})
    assert "mail.*: none, but for what the settings say" in text_of(asked)
    page = act(http, "set-policy", function="mail.*", attempts="", back="/policies")
    assert "mail.* set" not in page
    assert "no function is named" in text_of(
        http.post("/do/set-policy", data={"attempts": "1", "confirmed": "yes"}), 400
    )


def test_a_form_is_filled_with_what_is_said_of_just_this_function(http: httpx.Client) -> None:
    http.put("/api/functions/image.*/policy", json={"attempts": 9, "keep_s": 60})
    http.put(
        "/api/functions/image.resize/policy",
        json={"attempts": 3, "backoff": [1, 5], "retry_on": ["lost"]},
    )
    submitted(http, function="image.resize")
    page = http.get("/functions/image.resize").text
    assert value_of(page, "attempts") == "3"
    assert value_of(page, "keep_s") == ""
    assert value_of(page, "delays") == "1, 5"
    assert checked_of(page) == {"retry-these", "backoff-delays", "lost"}
    assert "How long finished jobs are kept. Now 60, by another policy." in text_of(
        http.get("/functions/image.resize")
    )
    page = http.get("/policies", params={"function": "image.*"}).text
    assert (value_of(page, "function"), value_of(page, "attempts")) == ("image.*", "9")
    assert checked_of(page) == {"retry-", "backoff-"}


def value_of(page: str, name: str) -> str:
    field = re.search(rf'<input id="{name}"[^>]*? value="([^"]*)"', page)
    assert field is not None, name
    return html.unescape(field[1])


def checked_of(page: str) -> set[str]:
    """The ids of the choices that are made, and the values of the boxes that are marked."""
    radios = re.findall(r'<input type="radio"[^>]*? id="([^"]*)"[^>]* checked>', page)
    return {*radios, *re.findall(r'<input type="checkbox"[^>]* value="([^"]*)" checked>', page)}


def test_examples() -> None:
    assert run_examples(policy_form).failed == 0
