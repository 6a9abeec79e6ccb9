"""What clients ask for one job: good and bad JSON, limits, and what is kept of it."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gearpy.engine.options import (
    DUE_S_MAX,
    KEY_BYTES_MAX,
    LABEL_NAME_MAX,
    LABEL_VALUE_MAX,
    LABELS_MAX,
    OPTIONS_BYTES_MAX,
    POLICY_FIELDS,
    Options,
    kept_options,
    read_options,
)
from gearpy.engine.policy import Delays, Policy, policy_table
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from tests.engine.test_policy import policies

printable = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
keys = st.binary(max_size=KEY_BYTES_MAX).filter(lambda key: not set(key) & {*range(32), 127})
labels = st.dictionaries(
    st.text(printable, min_size=1, max_size=8), st.text(printable, max_size=8), max_size=4
)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, object]:
    said = policy_table(draw(policies))
    table = {name: value for name, value in said.items() if name in POLICY_FIELDS}
    own = {
        "background": st.booleans(),
        "priority": st.sampled_from(["critical", "high", "normal", "low"]),
        draw(st.sampled_from(["due_s", "delay_s"])): st.floats(0, 1e9),
        "key": keys.map(lambda key: key.decode("utf-8", "surrogateescape")),
        "labels": labels,
    }
    return table | draw(st.fixed_dictionaries({}, optional=own))


def options_of(table: object) -> Options:
    return read_options(json.dumps(table).encode())


def refusal(text: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read_options(text)
    str(caught.value).encode()  # it must be possible to send
    assert len(str(caught.value)) < 300
    return str(caught.value)


def test_every_option() -> None:
    options = options_of(
        {
            "background": True,
            "priority": "critical",
            "delay_s": 1.5,
            "attempts": 3,
            "retry_on": ["fail"],
            "backoff": [1, 5],
            "poison": 0,
            "timeout_s": 30,
            "expires_s": 3600,
            "key": "Köln",
            "labels": {"user": "ann", "order": "17"},
        }
    )
    assert options == Options(
        background=True,
        priority=Priority.CRITICAL,
        delay_s=1.5,
        policy=Policy(
            attempts=3,
            retry_on=frozenset({"fail"}),
            backoff=Delays((1.0, 5.0)),
            poison=0,
            timeout_s=30.0,
            expires_s=3600.0,
        ),
        key="Köln".encode(),
        labels=(("order", "17"), ("user", "ann")),
        text=options.text,
    )
    assert options.text == (
        b'{"attempts":3,"backoff":[1,5],"expires_s":3600,"key":"K\\u00f6ln",'
        b'"labels":{"order":"17","user":"ann"},"poison":0,"retry_on":["fail"],"timeout_s":30}'
    )


@pytest.mark.parametrize("text", [b"", b"{}", b' {"attempts": null, "key": null} ', b'{"key": ""}'])
def test_nothing_asked_for_is_nothing_kept(text: bytes) -> None:
    assert read_options(text) == Options()
    assert kept_options(text) == Options(text=text)


def test_what_a_job_has_fields_for_is_not_kept_twice() -> None:
    options = options_of({"background": True, "priority": "low", "due_s": DUE_S_MAX})
    assert options == Options(background=True, priority=Priority.LOW, due_s=float(DUE_S_MAX))
    assert options.text == b""


@given(tables())
def test_what_is_kept_says_the_same_again(table: dict[str, object]) -> None:
    options = options_of(table)
    bare = replace(options, background=False, priority=Priority.NORMAL, due_s=None, delay_s=None)
    assert kept_options(options.text) == bare
    assert read_options(options.text) == bare
    assert options.text.isascii()


@given(tables())
def test_the_same_options_are_kept_as_the_same_text(table: dict[str, object]) -> None:
    assert options_of(dict(reversed(table.items()))) == options_of(table)


def test_a_key_may_be_any_bytes() -> None:
    key = b"\xff\xfe caf\xe9"
    options = options_of({"key": key.decode("utf-8", "surrogateescape")})
    assert options.key == key
    assert kept_options(options.text).key == key


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"no", "the options of a job must be JSON in UTF-8: Expecting value"),
        (b'{"key": "\xff"}', "the options of a job must be JSON in UTF-8: "),
        ('{"key": "x"}'.encode("utf-16"), "the options of a job must be JSON in UTF-8: "),
        (b'\xef\xbb\xbf{"key": "x"}', "the options of a job must be JSON in UTF-8: "),
        (b'{"attempts": 5', "the options of a job must be JSON in UTF-8: "),
        (b"[]", "the options of a job must be one JSON object"),
        (b"null", "the options of a job must be one JSON object"),
        (b'{"atempts": 5}', "a job has no option 'atempts'; its options are background, priority"),
        (b'{"\\ud800": 5}', "a job has no option '\\ud800'; its options are"),
        (b'{"max_queue": 5}', "a job has no option 'max_queue'"),
        (b'{"key": "a", "key": "a"}', "the options of a job have 'key' twice in one object"),
        (b'{"labels": {"a": "1", "a": "2"}}', "the options of a job have 'a' twice"),
        (b'{"delay_s": NaN}', "the options of a job hold NaN, which is no number of JSON"),
        (b'{"delay_s": -Infinity}', "the options of a job hold -Infinity, which is no number"),
        (b'{"delay_s": 1e999}', "delay_s is inf; it must be a number of seconds from 0 to"),
        (b'{"delay_s": -1}', "delay_s is -1; it must be a number of seconds"),
        (b'{"delay_s": true}', "delay_s is true; it must be a number of seconds"),
        (b'{"due_s": "now"}', "due_s is 'now'; it must be seconds since the epoch, from 0 to"),
        (b'{"due_s": 253402300800}', "due_s is 253402300800; it must be seconds since the epoch"),
        (b'{"due_s": 1, "delay_s": 1}', "due_s and delay_s both say when a job is due"),
        (b'{"background": 1}', "background is 1; it must be true or false"),
        (b'{"priority": "urgent"}', "priority is 'urgent'; it must be one of critical, high, norm"),
        (b'{"priority": 1}', "priority is 1; it must be one of critical"),
        (b'{"priority": ["high"]}', "priority is ['high']; it must be one of critical"),
        (b'{"attempts": 0}', "attempts is 0; it must be a whole number from 1"),
        (b'{"timeout_s": -1}', "timeout_s is -1; it must be a number of seconds"),
        (b'{"retry_on": ["x"]}', "retry_on holds 'x'; it must be a list of some of"),
        (b'{"backoff": {"base": 1}}', "backoff has no field 'base'"),
        (b'{"key": 5}', "key is 5; it must be text"),
        (b'{"key": "a\\u0000b"}', "a key may not hold control characters"),
        (b'{"key": "\\ud800"}', "key is '\\ud800'; it must be text that can be written as UTF-8"),
        (b'{"labels": []}', "labels is []; it must be an object of names and texts"),
        (b'{"labels": {"a": 1}}', "label 'a' is 1; it must be text"),
        (b'{"labels": {"a": null}}', "label 'a' is None; it must be text"),
        (b'{"labels": {"": "x"}}', "the name of a label has 1 to 64 characters; '' has 0"),
        (b'{"labels": {"a\\n": "x"}}', "label 'a\\n' may not hold control characters"),
        (b'{"labels": {"a": "\\u009b31m"}}', "label 'a' may not hold control characters"),
        (b'{"labels": {"a": "\\u2028"}}', "label 'a' may not hold control characters"),
        (b'{"labels": {"a": "\\udcff"}}', "label 'a' may not hold control characters"),
    ],
)
def test_bad_options_are_a_sentence(text: bytes, sentence: str) -> None:
    assert sentence in refusal(text)


@pytest.mark.parametrize(
    ("most", "too_much", "sentence"),
    [
        ({"key": "k" * KEY_BYTES_MAX}, {"key": "ü" * 128}, "a key has at most 255 bytes; this"),
        (
            {"labels": {"ü" * LABEL_NAME_MAX: "x"}},
            {"labels": {"n" * (LABEL_NAME_MAX + 1): "x"}},
            "has 1 to 64 characters; ",
        ),
        (
            {"labels": {"n": "ü" * LABEL_VALUE_MAX}},
            {"labels": {"n": "v" * (LABEL_VALUE_MAX + 1)}},
            "the value of a label has at most 256 characters; that of 'n' has 257",
        ),
        (
            {"labels": {str(number): "x" for number in range(LABELS_MAX)}},
            {"labels": {str(number): "x" for number in range(LABELS_MAX + 1)}},
            "a job has at most 32 labels; this one has 33",
        ),
    ],
)
def test_limits(most: object, too_much: object, sentence: str) -> None:
    options = options_of(most)
    assert kept_options(options.text) == options
    assert sentence in refusal(json.dumps(too_much).encode())


def test_the_largest_options() -> None:
    padding = b" " * (OPTIONS_BYTES_MAX - 2)
    assert read_options(b"{" + padding + b"}") == Options()
    assert "have at most 8,192 bytes; these have 8,193" in refusal(b"{" + padding + b" }")


@pytest.mark.parametrize("bomb", [b"[" * 8000, b'{"attempts":' + b"[" * 8000, b'{"a":' * 1600])
def test_depth_is_no_way_to_the_end_of_the_stack(bomb: bytes) -> None:
    refusal(bomb)


def test_depth_that_can_be_read_is_no_number_either() -> None:
    deep = b"[" * 4000 + b"]" * 4000
    refusal(deep)
    refusal(b'{"attempts":' + deep + b"}")
    refusal(b'{"backoff":[' + deep + b"]}")
    refusal(b'{"labels":{"a":' + deep + b"}}")


def test_a_number_of_thousands_of_digits() -> None:
    assert "must be JSON in UTF-8" in refusal(b'{"attempts": ' + b"9" * 8000 + b"}")
    assert "delay_s is 99999" in refusal(b'{"delay_s": ' + b"9" * 4000 + b"}")


@given(st.binary(max_size=60) | tables().map(lambda table: json.dumps(table).encode()[:-2]))
@example(b"{" * 5)
def test_nothing_but_invalid_argument_is_raised(text: bytes) -> None:
    for read in (read_options, kept_options):
        try:
            assert isinstance(read(text), Options)
        except InvalidArgument as error:
            str(error).encode()


def test_what_a_newer_version_kept_is_passed_over() -> None:
    text = b'{"attempts":2,"colour":"red","delay_s":"x"}'
    assert kept_options(text) == Options(policy=Policy(attempts=2), text=text)


@pytest.mark.parametrize("text", [b"x", b"[]", b'{"attempts":0}', b'{"labels":1}', b"[" * 10**5])
def test_nonsense_that_was_kept_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgument):
        kept_options(text)
