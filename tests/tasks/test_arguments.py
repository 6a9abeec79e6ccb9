"""Arguments as JSON, and back as what the annotations say."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from gearpy.tasks.arguments import Arguments


class Colour(Enum):
    RED = "red"


@dataclass
class Size:
    width: int
    height: int = 1


def draw(
    path: Path,
    width: int = 100,
    *rest: str,
    when: datetime | None = None,
    sizes: "list[Size] | None" = None,
    **more: float,
) -> Size:
    return Size(width)


def plain(a, b=2): ...  # type: ignore[no-untyped-def]  # as some write them


def kinds(
    text: str, data: bytes, colour: Colour, pair: tuple[int, str], maybe: int | None, more: Any
) -> None: ...


MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "payload"),
    [
        (draw, (Path("a.jpg"),), {}, b'{"path":"a.jpg"}'),
        (draw, (Path("a"), 7, "x", "y"), {}, b'{"path":"a","width":7,"rest":["x","y"]}'),
        (
            draw,
            (),
            {"path": Path("a"), "when": MOMENT, "sizes": [Size(1, 2)], "dpi": 1.5},
            b'{"path":"a","when":"2026-01-01T12:00:00Z","sizes":[{"width":1,"height":2}],'
            b'"more":{"dpi":1.5}}',
        ),
        (plain, (1, [None, {"x": "ü"}]), {}, '{"a":1,"b":[null,{"x":"ü"}]}'.encode()),
        (
            kinds,
            ("t", b"\0\xff", Colour.RED, (1, "a"), None, 1.5),
            {},
            b'{"text":"t","data":"AP8=","colour":"red","pair":[1,"a"],"maybe":null,"more":1.5}',
        ),
    ],
)
def test_a_call_there_and_back(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], payload: bytes
) -> None:
    arguments = Arguments("shop.f", function)
    assert arguments.encode(args, kwargs) == payload
    call = arguments.decode(payload)
    for given, value in zip(args, call.args, strict=False):
        assert given == value
    for name, value in kwargs.items():
        assert call.arguments.get(name, call.arguments.get("more", {}).get(name)) == value


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "sentence"),
    [
        (draw, (), {}, "shop.f(): missing a required argument: 'path'"),
        (draw, (7,), {}, "shop.f(): the argument 'path': expected Path, got int"),
        (draw, ("a", "wide"), {}, "shop.f(): the argument 'width': expected int, got str"),
        (draw, ("a", 1, 2), {}, "shop.f(): the argument 'rest': expected str, got int at [0]"),
        (draw, ("a",), {"dpi": "x"}, "the argument 'more': expected float, got str"),
        (
            draw,
            ("a",),
            {"sizes": [{"width": 1}, {"width": "1"}]},
            "shop.f(): the argument 'sizes': expected int, got str at [1].width",
        ),
        (draw, ("a",), {"when": "soon"}, "shop.f(): the argument 'when': invalid RFC3339"),
        (plain, (1, 2, 3), {}, "shop.f(): too many positional arguments"),
        (plain, (1,), {"c": 1}, "shop.f(): got an unexpected keyword argument 'c'"),
        (plain, (object(),), {}, "shop.f(): the argument 'a' can't travel as JSON: object"),
    ],
)
def test_a_call_that_can_not_be_is_refused(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError) as raised:
        Arguments("shop.f", function).encode(args, kwargs)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("payload", "error", "sentence"),
    [
        (b"{", ValueError, "the payload is to be a JSON object with the arguments by name"),
        (b"[1]", ValueError, "expected object, got array"),
        (b"\xff", ValueError, "JSON object"),
        (b"", TypeError, "the argument 'path' is missing"),
        (b'{"width":1}', TypeError, "the argument 'path' is missing"),
        (b'{"path":"a","widht":1}', TypeError, "there is no argument 'widht'; it has path, width"),
        (b'{"path":"a","width":"1"}', TypeError, "the argument 'width': expected int, got str"),
    ],
)
def test_a_payload_that_makes_no_sense(
    payload: bytes, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as raised:
        Arguments("shop.draw", draw).decode(payload)
    assert str(raised.value).startswith("shop.draw(): ")
    assert sentence in str(raised.value)


def test_results_travel_too() -> None:
    arguments = Arguments("shop.draw", draw)
    assert arguments.encode_result(Size(1, 2)) == b'{"width":1,"height":2}'
    assert arguments.decode_result(b'{"width":1,"height":2}') == Size(1, 2)
    with pytest.raises(TypeError, match=r"shop\.draw\(\): the result: expected int, got str"):
        arguments.decode_result(b'{"width":"1"}')
    with pytest.raises(TypeError, match="the result can't travel as JSON"):
        arguments.encode_result(object())
    assert Arguments("plain", plain).decode_result(b"[1, null]") == [1, None]


def test_an_annotation_that_can_not_travel_is_refused_at_once() -> None:
    def bad(a: int, b: list[int] | tuple[str, ...]) -> None: ...

    with pytest.raises(TypeError, match=r"bad\(\): the argument 'b' can't travel as JSON"):
        Arguments("bad", bad)


def test_a_type_that_is_not_known_can_not_travel() -> None:
    def strange(a: complex) -> None: ...

    with pytest.raises(TypeError, match="the argument 'a' can't travel as JSON: complex is none"):
        Arguments("strange", strange).encode((2j,), {})
    with pytest.raises(TypeError, match="the argument 'a': expected complex, got int"):
        Arguments("strange", strange).decode(b'{"a":2}')


def test_an_annotation_may_name_what_comes_later() -> None:
    arguments = Arguments("later", later)
    assert arguments.encode((Later(1),), {}) == b'{"a":{"x":1}}'
    assert arguments.decode(b'{"a":{"x":1}}').args == (Later(1),)


def later(a: "Later") -> None: ...


@dataclass
class Later:
    x: int


# What is wrong with it is under test.
def undefined(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821  # as is meant


def test_an_annotation_of_what_there_is_not() -> None:
    arguments = Arguments("undefined", undefined)
    with pytest.raises(NameError, match="Nowhere"):
        arguments.encode((1,), {})
