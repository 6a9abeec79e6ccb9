"""What stands in the payloads of errands, and what may not."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpy.errands import orders
from gearpy.errands.orders import (
    ARGUMENTS_MAX,
    LINE_CHARACTERS_MAX,
    METHODS,
    Command,
    Output,
    Request,
    Response,
    excerpt,
    read_command,
    read_request,
    split_command,
)
from gearpy.errors import BadErrand
from gearpy.protocol.content import content, read_content
from tests.docstrings import run_examples

URL = "https://example.org/"


def test_the_examples_in_its_docstrings_are_true() -> None:
    assert run_examples(orders).failed == 0
    strange = "\N{REPLACEMENT CHARACTER}" * 2
    assert excerpt(b" no such\nphoto \x1b[2J\x9b\xff") == f"no such photo [2J{strange}"
    assert len(excerpt(b"x" * 10_000)) == 200


# ---- what can't be read


@pytest.mark.parametrize("read", [read_request, read_command])
@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "the payload is no JSON"),
        (b"{", "the payload is no JSON"),
        (b"\xff", "the payload is no JSON"),
        (b'{"url": "http://a/" "x"}', "the payload is no JSON"),
        (b"[]", "the payload is no JSON object"),
        (b'"text"', "the payload is no JSON object"),
        (b"null", "the payload is no JSON object"),
        (b"[" * 100_000, "the payload is no JSON"),
        (b'{"a":' * 100_000, "the payload is no JSON"),
        (b'{"timeout_s": NaN}', "NaN is no number"),
        (b'{"timeout_s": -Infinity}', "-Infinity is no number"),
        (b'{"timeout_s": ' + b"9" * 5000 + b"}", "the payload is no JSON"),
        (b'{"colour": 1}', "the payload has a field 'colour'; its fields are"),
        (b'{"colour": null}', "the payload has a field 'colour'"),
        (b"{}", "the payload needs the field"),
    ],
)
def test_what_is_no_order_at_all_is_a_sentence(read: Any, payload: bytes, says: str) -> None:
    with pytest.raises(BadErrand) as caught:
        read(payload)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


def json_of(table: dict[str, Any]) -> bytes:
    return json.dumps(table).encode()


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"url": None}, "the payload needs the field url"),
        ({"url": ""}, "the payload needs the field url"),
        ({"url": 7}, "the payload needs the field url"),
        ({"url": [URL]}, "the payload needs the field url"),
        ({"url": "example.org"}, "url is 'example.org', and not like"),
        ({"url": "ftp://example.org/"}, "not like https"),
        ({"url": "file:///etc/passwd"}, "not like https"),
        ({"url": " https://example.org/"}, "not like https"),
        ({"url": "https://example.org/\r\nhost: evil"}, "not like https"),
        ({"url": "https://example.org/\x9b2J"}, "not like https"),
        ({"url": "https://example.org/\ud800"}, "not like https"),
        ({"method": "TRACE"}, "method is 'TRACE', and not one of GET"),
        ({"method": "CONNECT"}, "and not one of"),
        ({"method": "GET / HTTP/1.1\r\nx: y"}, "and not one of"),
        ({"method": 7}, "the payload needs the field method, a text"),
        ({"method": ""}, "the payload needs the field method, a text"),
        ({"headers": "x: y"}, "headers is no object"),
        ({"headers": ""}, "headers is no object"),
        ({"headers": 0}, "headers is no object"),
        ({"headers": False}, "headers is no object"),
        ({"headers": ["x"]}, "headers is no object"),
        ({"headers": {"x": 7}}, "the header 'x' is no word with printable ASCII"),
        ({"headers": {"x": None}}, "the header 'x'"),
        ({"headers": {"x": "a\r\nhost: evil"}}, "the header 'x'"),
        ({"headers": {"x": "größe"}}, "the header 'x'"),
        ({"headers": {"": "a"}}, "the header ''"),
        ({"headers": {"ho st": "a"}}, "the header 'ho st'"),
        ({"headers": {"host:": "a"}}, "the header 'host:'"),
        ({"headers": {"größe": "a"}}, "the header 'größe'"),
        ({"headers": {"x\0": "a"}}, "the header"),
        ({"params": "a=b"}, "params is no object"),
        ({"params": 1}, "params is no object"),
        ({"params": ["a"]}, "params is no object"),
        ({"params": {"a": {}}}, "the parameter 'a' is no text or number"),
        ({"params": {"a": None}}, "the parameter 'a'"),
        ({"params": {"a": [None]}}, "the parameter 'a'"),
        ({"params": {"a": [["b"]]}}, "the parameter 'a'"),
        ({"params": {"a": "\ud800"}}, "the parameter 'a'"),
        ({"params": {"\ud800": "a"}}, "the parameter"),
        ({"body": 7}, "body is text"),
        ({"body": {}}, "body is text"),
        ({"body": "\ud800"}, "body can't be read"),
        ({"body_base64": "&"}, "body can't be read"),
        ({"body_base64": "größe"}, "body can't be read"),
        ({"body_base64": 7}, "body_base64 is base64"),
        ({"body": "a", "body_base64": "YQ=="}, "say the same thing twice"),
        ({"method": "POST", "params": {"a": 1}, "body": ""}, "body and params both"),
        ({"timeout_s": "60"}, 'timeout_s is "60", and no number'),
        ({"timeout_s": True}, "timeout_s is true, and no number"),
        ({"timeout_s": [1]}, "timeout_s is [1], and no number"),
        ({"timeout_s": 0}, "timeout_s is 0; it is above 0, and at most 86,400"),
        ({"timeout_s": -1}, "timeout_s is -1; it is above 0"),
        ({"timeout_s": 86_401}, "timeout_s is 86401; it is above 0"),
        ({"timeout_s": 10**400}, "it is above 0, and at most 86,400"),
        ({"timeout_s": -(10**4000)}, "it is above 0, and at most 86,400"),
    ],
)
def test_a_request_that_can_not_be_one_is_a_sentence(field: dict[str, Any], says: str) -> None:
    with pytest.raises(BadErrand) as caught:
        read_request(json_of({"url": URL, **field}))
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"command": None}, "the payload needs the field command"),
        ({"command": ""}, "the payload needs the field command"),
        ({"command": ["resize"]}, "the payload needs the field command"),
        ({"arguments": "a b"}, "arguments is no list of texts"),
        ({"arguments": ""}, "arguments is no list of texts"),
        ({"arguments": {}}, "arguments is no list of texts"),
        ({"arguments": 0}, "arguments is no list of texts"),
        ({"arguments": [1]}, "arguments is no list of texts"),
        ({"arguments": [None]}, "arguments is no list of texts"),
        ({"arguments": [["a"]]}, "arguments is no list of texts"),
        ({"command": "a\0"}, "the command holds a NUL"),
        ({"arguments": ["a", "b\0c"]}, "the command holds a NUL"),
        ({"arguments": ["\ud800"]}, "half a character"),
        ({"command": "\ud800"}, "half a character"),
        ({"arguments": ["a"] * (ARGUMENTS_MAX + 1)}, "at most 1,000 arguments, not 1,001"),
        ({"stdin": 7}, "stdin is text"),
        ({"stdin": "\ud800"}, "stdin can't be read"),
        ({"stdin_base64": "YQ"}, "stdin can't be read"),
        ({"stdin": "a", "stdin_base64": "YQ=="}, "say the same thing twice"),
        ({"timeout_s": 1e9}, "it is above 0"),
        ({"url": URL}, "the payload has a field 'url'; its fields are command, arguments"),
    ],
)
def test_a_command_that_can_not_be_one_is_a_sentence(field: dict[str, Any], says: str) -> None:
    with pytest.raises(BadErrand) as caught:
        read_command(json_of({"command": "resize", **field}))
    assert says in str(caught.value)


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_is_none_is_no_parameter_and_no_timeout(number: str) -> None:
    with pytest.raises(BadErrand, match="the parameter 'a'"):
        read_request(f'{{"url": "{URL}", "params": {{"a": {number}}}}}'.encode())
    with pytest.raises(BadErrand, match=r"timeout_s is -?Infinity; it is above 0"):
        read_request(f'{{"url": "{URL}", "timeout_s": {number}}}'.encode())


@pytest.mark.parametrize("name", ["headers", "params", "timeout_s", "body", "url", "method"])
def test_what_is_nested_deeply_is_a_sentence(name: str) -> None:
    """Also where it is just not too deep to be read."""
    for depth in (10, *range(800, 1000)):
        nested = "[" * depth + "]" * depth
        fields = json.dumps({"url": URL, name: 0}).replace(": 0", f": {nested}")
        with pytest.raises(BadErrand):
            read_request(fields.encode())


# ---- what can


def test_what_is_not_said_has_a_value() -> None:
    assert read_request(json_of({"url": URL})) == Request(url=URL)
    assert read_command(json_of({"command": "resize"})) == Command(name="resize")
    nothing = {"method": None, "headers": None, "params": None, "body": None, "timeout_s": None}
    assert read_request(json_of({"url": URL, **nothing})) == Request(url=URL)


def test_php_writes_nothing_as_an_empty_list() -> None:
    assert read_request(json_of({"url": URL, "headers": [], "params": []})) == Request(url=URL)
    assert read_command(json_of({"command": "c", "arguments": []})) == Command(name="c")


def test_methods_and_schemes_may_be_written_in_any_case() -> None:
    assert read_request(json_of({"url": "HTTP://a/", "method": "pOsT"})).method == "POST"


def test_a_body_goes_with_parameters_that_stand_in_the_query() -> None:
    read = read_request(json_of({"url": URL, "params": {"a": 1}, "body": "x", "method": "DELETE"}))
    assert (read.params, read.body) == ({"a": 1}, b"x")


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = TEXT | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.floats(0, orders.TIMEOUT_S_MAX, exclude_min=True)
HEADER_NAMES = st.text("abcXYZ019-_!~", min_size=1)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126))

REQUESTS = st.builds(
    Request,
    url=st.text(st.characters(min_codepoint=33, max_codepoint=126)).map(URL.__add__),
    method=st.sampled_from(METHODS),
    headers=st.dictionaries(HEADER_NAMES, HEADER_VALUES),
    params=st.dictionaries(TEXT, SCALARS | st.lists(SCALARS)),
    timeout_s=TIMES,
) | st.builds(
    Request,
    url=st.just(URL),
    method=st.sampled_from(METHODS),
    body=st.none() | st.binary() | TEXT.map(str.encode),
    timeout_s=TIMES,
)
COMMANDS = st.builds(
    Command,
    name=TEXT.map(lambda text: text.replace("\0", "")).filter(bool),
    # Arguments may be any bytes but NUL, as the names of files may.
    arguments=st.lists(
        st.binary().map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
    ).map(tuple),
    stdin=st.binary() | TEXT.map(str.encode),
    timeout_s=TIMES,
)


@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(request: Request) -> None:
    assert read_request(request.payload()) == request


@given(COMMANDS)
def test_a_command_is_read_as_it_was_written(command: Command) -> None:
    assert read_command(command.payload()) == command


@given(st.recursive(st.none() | SCALARS, lambda each: st.lists(each) | st.dictionaries(TEXT, each)))
def test_anything_else_is_read_or_refused(value: Any) -> None:
    names = ("url", "method", "headers", "params", "body", "body_base64", "timeout_s")
    for name in names:
        try:
            read = read_request(json_of({"url": URL, name: value}))
        except BadErrand:
            continue
        assert read_request(read.payload()) == read


@given(st.binary() | TEXT.map(str.encode), st.integers(0, 20))
def test_bytes_in_json_are_the_same_bytes(data: bytes, most: int) -> None:
    whole = json.loads(json.dumps(content("x", data, len(data))))
    assert read_content("x", whole) == data
    cut = content("x", data, most)
    kept = read_content("x", cut)
    assert kept is not None
    assert data.startswith(kept)
    assert most - 4 < len(kept) <= most or kept == data
    assert ("x_cut" in cut) == (len(data) > most)


def test_results_are_json_that_says_everything() -> None:
    response = Response(status=404, url=URL, headers={"etag": "7"}, body=b"no\n")
    assert json.loads(response.result()) == {
        "status": 404,
        "url": URL,
        "headers": {"etag": "7"},
        "body": "no\n",
    }
    output = Output(exit_code=-9, stdout=b"\xff\0", stderr="größe".encode(), stdout_cut=True)
    assert json.loads(output.result()) == {
        "exit_code": -9,
        "stdout_base64": base64.b64encode(b"\xff\0").decode(),
        "stdout_cut": True,
        "stderr": "größe",
    }


# ---- a command in one line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("resize", ["resize"]),
        ("  resize\ta \n b  ", ["resize", "a", "b"]),
        ("resize 'my photo.jpg' \"a 'b'\"", ["resize", "my photo.jpg", "a 'b'"]),
        (r"resize my\ photo \$HOME", ["resize", "my photo", "$HOME"]),
        ("resize $HOME `id` $(id) *.jpg ~ a;b a&b a|b >x #x", None),
        ("resize '' \"\"", ["resize", "", ""]),
        ("größe ü", ["größe", "ü"]),
    ],
)
def test_a_line_is_split_as_shells_do_and_nothing_else(line: str, words: list[str] | None) -> None:
    name, arguments = split_command(line)
    assert [name, *arguments] == (line.split() if words is None else words)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "the command is empty"),
        (" \t\n", "the command is empty"),
        ("resize 'my photo", "can't be split into words: No closing quotation"),
        ("resize \\", "can't be split into words: No escaped character"),
        ("x" * (LINE_CHARACTERS_MAX + 1), "at most 100,000 characters, not 100,001"),
    ],
)
def test_a_line_that_is_no_command_is_a_sentence(line: str, says: str) -> None:
    with pytest.raises(BadErrand) as caught:
        split_command(line)
    assert says in str(caught.value)
