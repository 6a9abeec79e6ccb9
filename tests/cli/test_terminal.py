"""A terminal's keys, and the order that it is left in."""

import io
import pty
import sys
import termios
from collections.abc import Iterator

import pytest

from gearpy.cli import terminal
from gearpy.cli.terminal import SUSPEND_KEY, Keyboard, keys_of
from tests.cli.command import LIMIT_S
from tests.docstrings import run_examples


def test_examples_in_docstrings() -> None:
    assert run_examples(terminal).failed == 0


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"", ""),
        ("qé".encode(), "qé"),
        (b"\xffq", "\ufffdq"),
        (b"\x1b", ""),
        (b"\x1b[1;5Dq", "q"),
        (b"\x1a", SUSPEND_KEY),
    ],
)
def test_what_was_pressed(typed: bytes, keys: str) -> None:
    assert keys_of(typed) == keys


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.FileIO]:
    """The near end of a terminal, whose far end is standard input."""
    near, far = pty.openpty()
    with open(near, "r+b", buffering=0) as end, open(far) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield end


def test_keys_come_at_once_and_then_the_terminal_is_as_before(near: io.FileIO) -> None:
    before = termios.tcgetattr(sys.stdin)
    with Keyboard() as keyboard:
        assert termios.tcgetattr(sys.stdin) != before
        assert keyboard.read(-1.0) == ""  # none was pressed
        near.write(b"q\x1b[D\x1a")
        assert keyboard.read(LIMIT_S) == f"q{SUSPEND_KEY}"
    assert termios.tcgetattr(sys.stdin) == before


def test_a_terminal_that_is_gone(near: io.FileIO) -> None:
    with Keyboard() as keyboard:
        near.close()
        assert keyboard.read(LIMIT_S) is None


@pytest.mark.parametrize("stdin", [None, io.StringIO("q")])
def test_without_a_terminal_no_key_is_pressed(
    stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with Keyboard() as keyboard:
        assert keyboard.read(0.0) == ""
