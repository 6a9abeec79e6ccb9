"""Policies: what follows a bad end, how they are read and written, and which one counts."""

import json
from dataclasses import fields
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.policy import (
    ATTEMPTS_MAX,
    CAUSES,
    COUNT_MAX,
    DEFAULT_ATTEMPTS,
    DEFAULT_BACKOFF,
    DEFAULT_POISON,
    DELAYS_MAX,
    FIELDS,
    KEEP_BYTES_MAX,
    SECONDS_MAX,
    Cause,
    Delays,
    Exponential,
    Policy,
    Verdict,
    attempts_max,
    backoff_s,
    decide,
    policy_table,
    read_assignments,
    read_policy,
)
from gearpy.engine.policy_book import matcher
from gearpy.engine.rules import FOR_EVER
from gearpy.errors import InvalidArgument

seconds = st.floats(0, SECONDS_MAX)
counts = st.integers(0, COUNT_MAX)
draws = st.floats(0, 1, exclude_max=True)
attempt_numbers = st.integers(2, 40) | st.integers(2, 10**400)

exponentials = st.builds(
    lambda ends, factor, jitter: Exponential(min(ends), factor, max(ends), jitter),
    st.tuples(seconds, seconds),
    st.floats(1, 1000),
    st.floats(0, 1),
)
delays = st.builds(Delays, st.lists(seconds, max_size=5).map(tuple))
backoffs = exponentials | delays | st.just(Exponential())

policies = st.builds(
    Policy,
    attempts=st.none() | st.integers(1, ATTEMPTS_MAX),
    retry_on=st.none() | st.frozensets(st.sampled_from(CAUSES)),
    backoff=st.none() | backoffs,
    poison=st.none() | counts,
    timeout_s=st.none() | seconds,
    expires_s=st.none() | seconds,
    delay_s=st.none() | seconds,
    max_running=st.none() | counts,
    max_running_per_key=st.none() | counts,
    rate_per_minute=st.none() | counts,
    max_queue=st.none() | counts,
    keep_s=st.none() | seconds,
    keep_bytes=st.none() | st.integers(0, KEEP_BYTES_MAX),
)


# Backoff.


@given(exponentials, attempt_numbers, draws)
def test_an_exponential_backoff_stays_within_its_cap_and_jitter(
    backoff: Exponential, attempt: int, draw: float
) -> None:
    middle_s = backoff_s(backoff, attempt, 0.5)
    assert 0 <= middle_s <= backoff.cap_s
    spread_s = middle_s * backoff.jitter * (1 + 1e-9) + 1e-12 * backoff.cap_s  # floats round
    assert abs(backoff_s(backoff, attempt, draw) - middle_s) <= spread_s
    assert backoff_s(backoff, attempt, draw) >= 0


@given(exponentials, st.lists(attempt_numbers, min_size=2), draws)
def test_an_exponential_backoff_never_shrinks(
    backoff: Exponential, attempts: list[int], draw: float
) -> None:
    waits_s = [backoff_s(backoff, attempt, draw) for attempt in sorted(attempts)]
    assert all(before <= after for before, after in pairwise(waits_s))


@given(exponentials, attempt_numbers, draws, draws)
def test_the_draw_moves_a_backoff_up(
    backoff: Exponential, attempt: int, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    assert backoff_s(backoff, attempt, low) <= backoff_s(backoff, attempt, high)


def test_jitter_reaches_from_less_to_more() -> None:
    backoff = Exponential(base_s=100.0, jitter=0.25)
    assert backoff_s(backoff, 2, 0.0) == 75
    assert backoff_s(backoff, 2, 0.5) == 100
    assert 124.9 < backoff_s(backoff, 2, 0.999_999) < 125


@given(delays, attempt_numbers, draws)
def test_a_list_of_delays_counts_as_it_stands(backoff: Delays, attempt: int, draw: float) -> None:
    expected = (backoff.delays_s or (0.0,))[: attempt - 1][-1]
    assert backoff_s(backoff, attempt, draw) == expected


def test_an_exponential_backoff_grows_to_its_cap() -> None:
    backoff = Exponential(base_s=2.0, factor=3.0, cap_s=50.0, jitter=0.1)
    assert [backoff_s(backoff, attempt, 0.5) for attempt in range(2, 7)] == [2, 6, 18, 50, 50]


def test_backoff_without_growth_and_without_base() -> None:
    assert backoff_s(Exponential(base_s=7.0, factor=1.0), 10**9, 0.5) == 7
    assert backoff_s(Exponential(base_s=0.0, factor=1000.0), 10**9, 0.5) == 0


# What follows a bad end.


def decided(
    policy: Policy,
    cause: Cause,
    attempts: int = 1,
    losses: int = 1,
    crashes: int = 1,
    job_retries: int = FOR_EVER,
) -> float | Verdict:
    return decide(policy, cause, attempts, losses, crashes, job_retries, 0.5)


@pytest.mark.parametrize("policy", [Policy(), Policy(timeout_s=9.0, max_running=1, keep_s=60.0)])
def test_a_policy_that_says_nothing_of_retries_changes_nothing(policy: Policy) -> None:
    for cause in CAUSES[:2]:
        assert decided(policy, cause, attempts=1000, losses=1000) == 0
        assert decided(policy, cause, job_retries=0) == "final"
        assert decided(policy, cause, losses=2, job_retries=2) == 0
        assert decided(policy, cause, losses=3, job_retries=2) == "final"
    for cause in CAUSES[2:]:
        assert decided(policy, cause) == "final"
    assert attempts_max(policy, FOR_EVER) is None
    assert attempts_max(policy, 0) == 1
    assert CAUSES == ("lost", "timeout", "fail", "exception")


@pytest.mark.parametrize(
    "policy",
    [Policy(attempts=5), Policy(retry_on=frozenset(CAUSES)), Policy(backoff=Exponential())],
)
@pytest.mark.parametrize("cause", CAUSES)
def test_saying_one_thing_of_retries_gives_the_rest_a_default(policy: Policy, cause: Cause) -> None:
    assert decided(policy, cause, attempts=1, job_retries=0) == 1.0
    assert decided(policy, cause, attempts=4, losses=4, job_retries=0) == 8.0
    assert decided(policy, cause, attempts=5, losses=5) == "used up"
    assert attempts_max(policy, 0) == DEFAULT_ATTEMPTS == 5
    assert Exponential() == DEFAULT_BACKOFF


def test_a_cause_that_is_not_named_is_final() -> None:
    policy = Policy(retry_on=frozenset({"timeout", "fail"}), backoff=Delays())
    assert [decided(policy, cause) for cause in CAUSES] == ["final", 0, 0, "final"]
    nothing = Policy(retry_on=frozenset())
    assert [decided(nothing, cause) for cause in CAUSES] == ["final"] * 4
    assert attempts_max(nothing, FOR_EVER) == 1


def test_the_backoff_of_the_next_attempt_counts() -> None:
    policy = Policy(attempts=4, backoff=Delays((1.0, 5.0, 30.0)))
    waits = [decided(policy, "fail", attempts) for attempts in (1, 2, 3, 4, 5)]
    assert waits == [1, 5, 30, "used up", "used up"]


def test_one_attempt_is_none_after_it() -> None:
    assert decided(Policy(attempts=1), "lost") == "used up"


def test_a_job_is_poison_when_it_took_enough_workers_in_a_row() -> None:
    assert decided(Policy(), "lost", crashes=DEFAULT_POISON - 1) == 0
    assert decided(Policy(), "lost", crashes=DEFAULT_POISON) == "poison"
    assert decided(Policy(poison=2), "lost", crashes=2) == "poison"
    assert decided(Policy(poison=2), "lost", crashes=3) == "poison"
    assert decided(Policy(poison=0), "lost", crashes=1000) == 0
    for cause in CAUSES[1:]:
        assert decided(Policy(poison=2, attempts=9), cause, crashes=2) == 1.0


def test_poison_counts_before_everything_else() -> None:
    assert decided(Policy(poison=3, attempts=3), "lost", 3, crashes=3) == "poison"
    assert decided(Policy(poison=1, retry_on=frozenset()), "lost") == "poison"
    assert decided(Policy(poison=1), "lost", job_retries=0) == "poison"


@given(policies, st.sampled_from(CAUSES), st.integers(1, 10), st.integers(-1, 10), draws)
def test_attempts_end_where_attempts_max_says(
    policy: Policy, cause: Cause, attempts: int, job_retries: int, draw: float
) -> None:
    """With every attempt lost; other causes end no later."""
    ending = decide(policy, cause, attempts, attempts, 0, job_retries, draw)
    most = attempts_max(policy, job_retries)
    if isinstance(ending, float):
        assert ending >= 0
        assert most is None or attempts < most
    elif ending == "used up":
        assert most is not None
        assert attempts >= most


# Policies over others.


@given(policies, policies)
def test_over_is_field_by_field(first: Policy, second: Policy) -> None:
    merged = first.over(second)
    for name in FIELDS:
        mine = getattr(first, name)
        assert getattr(merged, name) == (getattr(second, name) if mine is None else mine)


@given(policies, policies, policies)
def test_over_may_be_grouped_as_one_likes(a: Policy, b: Policy, c: Policy) -> None:
    assert a.over(b).over(c) == a.over(b.over(c))
    assert a.over(None) == a.over(Policy()) == Policy().over(a) == a


def test_zero_is_something_said() -> None:
    assert Policy(poison=0, timeout_s=0.0).over(Policy(poison=3, timeout_s=9.0)) == Policy(
        poison=0, timeout_s=0.0
    )
    assert Policy().says_nothing
    assert not Policy(poison=0).says_nothing
    assert not Policy(retry_on=frozenset()).says_nothing


# Reading and writing.


@given(policies)
def test_a_policy_survives_its_table_and_json(policy: Policy) -> None:
    table = policy_table(policy)
    assert read_policy(json.loads(json.dumps(table, allow_nan=False))) == policy
    assert set(table) == {name for name in FIELDS if getattr(policy, name) is not None}
    dashed = {name.replace("_", "-"): value for name, value in table.items()}
    assert read_policy(dashed) == policy


def test_every_field_can_be_read() -> None:
    table = dict.fromkeys(FIELDS, 1) | {"retry_on": ["lost"], "backoff": "none"}
    assert not [name for name in FIELDS if getattr(read_policy(table), name) is None]
    assert {item.name for item in fields(Policy)} == set(FIELDS)


@pytest.mark.parametrize(
    ("value", "backoff", "written"),
    [
        ("none", Delays(), "none"),
        ([], Delays(), "none"),
        ("exponential", Exponential(), "exponential"),
        ({}, Exponential(), "exponential"),
        ([1, 5, 30.5], Delays((1.0, 5.0, 30.5)), [1, 5, 30.5]),
        ([0], Delays((0.0,)), [0]),
        (
            {"base-s": 2, "jitter": 0},
            Exponential(2.0, 2.0, 600.0, 0.0),
            {"base_s": 2, "factor": 2, "cap_s": 600, "jitter": 0},
        ),
        ({"base_s": None}, Exponential(), "exponential"),
    ],
)
def test_ways_to_say_a_backoff(value: object, backoff: object, written: object) -> None:
    assert read_policy({"backoff": value}).backoff == backoff
    assert policy_table(read_policy({"backoff": value})) == {"backoff": written}


def test_causes_are_written_in_one_order() -> None:
    assert policy_table(Policy(retry_on=frozenset(CAUSES))) == {"retry_on": list(CAUSES)}
    assert read_policy({"retry-on": ["fail", "lost", "fail"]}).retry_on == frozenset(
        ("lost", "fail")
    )


def test_none_is_not_said() -> None:
    assert read_policy({"attempts": None, "timeout-s": None, "backoff": None}).says_nothing


def refusal(table: object) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read_policy(table)
    str(caught.value).encode()  # it must be possible to send
    return str(caught.value)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"attempts": 0}, "attempts is 0; it must be a whole number from 1 to 1,000,000"),
        ({"attempts": 1_000_001}, "attempts is 1000001; it must be a whole number from 1"),
        ({"attempts": True}, "attempts is true; it must be a whole number"),
        ({"attempts": "5"}, "attempts is '5'; it must be a whole number"),
        ({"attempts": 5.0}, "attempts is 5.0; it must be a whole number"),
        ({"poison": -1}, "poison is -1; it must be a whole number from 0 to 1,000,000,000"),
        ({"max-queue": 10**5000}, "max-queue is a very long int; it must be a whole number"),
        ({"keep_bytes": "16M"}, "keep_bytes is '16M'; it must be a whole number of bytes from 0"),
        ({"timeout-s": -1}, "timeout-s is -1; it must be a number of seconds from 0 to"),
        ({"timeout_s": -0.001}, "timeout_s is -0.001; it must be a number of seconds"),
        ({"timeout_s": False}, "timeout_s is false; it must be a number of seconds"),
        ({"timeout_s": float("nan")}, "timeout_s is nan; it must be a number of seconds"),
        ({"expires_s": float("inf")}, "expires_s is inf; it must be a number of seconds"),
        ({"expires_s": 10**400}, "expires_s is 1000000"),
        ({"keep_s": 1_000_000_001}, "from 0 to 1,000,000,000"),
        ({"delay_s": [1]}, "delay_s is [1]; it must be a number of seconds"),
        ({"retry_on": "lost"}, "retry_on is 'lost'; it must be a list of some of lost, timeout"),
        ({"retry-on": ["lost", "lots"]}, "retry-on holds 'lots'; it must be a list of some of"),
        ({"retry-on": [["lost"]]}, "retry-on holds ['lost']; it must be"),
        ({"backoff": "linear"}, 'backoff is \'linear\'; it must be "none", "exponential", a list'),
        ({"backoff": 5}, "backoff is 5; it must be"),
        ({"backoff": [1, -5]}, "a delay of backoff is -5; it must be a number of seconds"),
        ({"backoff": [True]}, "a delay of backoff is true; it must be a number of seconds"),
        ({"backoff": [1] * (DELAYS_MAX + 1)}, "backoff has 101 delays; it must have 100 at most"),
        ({"backoff": {"base": 1}}, "backoff has no field 'base'; its fields are base_s, factor"),
        ({"backoff": {"factor": 0.5}}, "factor is 0.5; it must be a number from 1 to 1,000"),
        ({"backoff": {"jitter": 1.5}}, "jitter is 1.5; it must be a number from 0 to 1"),
        ({"backoff": {"base_s": 700}}, "base_s of backoff is 700; it must be at most cap_s, which"),
        ({"backoff": {"cap_s": 0.5}}, "base_s of backoff is 1; it must be at most cap_s, which is"),
        (
            {"attempt": 5},
            "a policy has no field 'attempt'; its fields are attempts, retry_on, back",
        ),
        ({"\ud800": 5}, "a policy has no field '\\ud800'; its fields are"),
        ({"timeout-s": 1, "timeout_s": 1}, "a policy has timeout_s twice"),
        ({"timeout-s": None, "timeout_s": 1}, "a policy has timeout_s twice"),
        ({"retry_on": "x" * 1000}, "retry_on is 'xxxxx"),
        ([], "a policy must be a table of its fields, not []"),
        (None, "a policy must be a table of its fields, not None"),
    ],
)
def test_a_bad_policy_is_a_sentence(table: object, sentence: str) -> None:
    assert sentence in refusal(table)
    assert len(refusal(table)) < 300


def test_brackets_without_end_are_a_sentence() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert "attempts is a very long list; it must be" in refusal({"attempts": deep})


# Assignments of a command line.


@given(policies)
def test_numbers_can_be_assigned(policy: Policy) -> None:
    table = {
        name: value
        for name, value in policy_table(policy).items()
        if name not in ("retry_on", "backoff")
    }
    words = [f"{name.replace('_', '-')}={value}" for name, value in table.items()]
    assert read_assignments(words) == table


@pytest.mark.parametrize(
    ("word", "policy"),
    [
        ("backoff=none", Policy(backoff=Delays())),
        ("backoff=5", Policy(backoff=Delays((5.0,)))),
        ("backoff= 1, 5 ,30", Policy(backoff=Delays((1.0, 5.0, 30.0)))),
        ("backoff=exponential", Policy(backoff=Exponential())),
        (
            "backoff=exponential,base-s=2,factor=3,cap-s=60,jitter=0",
            Policy(backoff=Exponential(2.0, 3.0, 60.0, 0.0)),
        ),
        ("retry-on=lost", Policy(retry_on=frozenset({"lost"}))),
        ("retry_on=timeout, fail", Policy(retry_on=frozenset({"timeout", "fail"}))),
        ("retry-on=none", Policy(retry_on=frozenset())),
        ("max-running=3", Policy(max_running=3)),
        ("keep-s=1e3", Policy(keep_s=1000.0)),
        ("keep-s=", Policy()),
    ],
)
def test_an_assignment(word: str, policy: Policy) -> None:
    assert read_policy(read_assignments([word])) == policy


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["attempts"], "'attempts' is no assignment; write it like attempts=5"),
        (["=5"], "'=5' is no assignment"),
        (["timeout-s=1", "timeout_s=2"], "'timeout_s' is assigned twice"),
        (["attempts=many"], "attempts is 'many'; it must be a whole number"),
        (["timeout-s=nan"], "timeout_s is nan; it must be a number of seconds"),
        (["timeout-s=5min"], "timeout_s is '5min'; it must be a number of seconds"),
        (["backoff=soon"], "backoff is 'soon'; it must be"),
        (["backoff=1,soon"], "a delay of backoff is 'soon'; it must be a number of seconds"),
        (["backoff=exponential,2"], "'2' is no assignment"),
        (["backoff=exponential,base=2"], "backoff has no field 'base'"),
        (["retry-on=lost,x"], "retry_on holds 'x'; it must be"),
        (["retries=5"], "a policy has no field 'retries'; its fields are attempts"),
    ],
)
def test_a_bad_assignment_is_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_policy(read_assignments(words))
    assert sentence in str(caught.value)


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "means", "not_meant"),
    [
        (b"*", [b"", b"a", b"image.resize", b"two\nlines", b"\xff\xfe"], []),
        (b"image.*", [b"image.", b"image.resize"], [b"image", b"Image.x", b"ximage.x", b"images"]),
        (b"?", [b"a", b"\xff", b"\n"], [b"", b"ab"]),
        (b"[a-c]x", [b"ax", b"cx"], [b"dx", b"Ax"]),
        (b"[!a]x", [b"bx"], [b"ax"]),
        (b"[*]", [b"*"], [b"a", b"[*]"]),
        (b"a[b", [b"a[b"], [b"ab"]),
        (b"a+b.c(d|e)^$", [b"a+b.c(d|e)^$"], [b"aab.cd"]),
        (b"plain", [b"plain"], [b"Plain", b"plain2"]),
    ],
)
def test_what_a_pattern_means(pattern: bytes, means: list[bytes], not_meant: list[bytes]) -> None:
    matches = matcher(pattern)
    assert [name for name in means if not matches(name)] == []
    assert [name for name in not_meant if matches(name)] == []
