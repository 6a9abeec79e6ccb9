"""A terminal whose keys are read as they are pressed, and which is put in order afterwards."""

import contextlib
import os
import re
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

SUSPEND_KEY: Final = "\x1a"  # Ctrl-Z
_ESCAPED: Final = re.compile(r"\x1b(?:[\[O][0-?]*[ -/]*[@-~]|.?)", re.DOTALL)  # arrows, Alt-x


class Keyboard:
    """Keys as they are pressed, from ``with`` to the end of the block.

    However the block ends, the terminal is as it was before; so the signals that would end the
    process on the spot end the block, too.  Without a terminal no key is ever pressed.
    """

    def __init__(self) -> None:
        self._terminal: int | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Keyboard":
        if sys.stdin is not None and sys.stdin.isatty():
            with contextlib.ExitStack() as stack:
                self._terminal = sys.stdin.fileno()
                stack.enter_context(_ending_orderly())
                stack.enter_context(_key_by_key(self._terminal))
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, timeout_s: float) -> str | None:
        """The keys that are pressed next, at most so late.  None if nobody can press any more."""
        if self._terminal is None:
            time.sleep(max(timeout_s, 0.0))  # there are no keys to wait for
            return ""
        if not select.select([self._terminal], [], [], max(timeout_s, 0.0))[0]:
            return ""
        try:
            typed = os.read(self._terminal, 1024)
        except OSError:  # so Linux says that the terminal is gone
            typed = b""
        return keys_of(typed) if typed else None


def keys_of(typed: bytes) -> str:
    r"""The keys of what came from a terminal.

    An arrow is several characters, and none of them is a key that somebody pressed.

    >>> keys_of(b"q\x1b[D\x1b[1;5Dn\x1bOqr\x1bx")
    'qnr'
    """
    return _ESCAPED.sub("", typed.decode("utf-8", "replace"))


def suspend() -> None:
    """Stops this process, as Ctrl-Z does, until it is to go on."""
    # As the terminal itself does it: with whatever stands with it in a pipeline.
    os.killpg(os.getpgrp(), signal.SIGTSTP)


@contextlib.contextmanager
def _key_by_key(terminal: int) -> Iterator[None]:
    """A terminal that shows no keys, and gives each of them at once; then as it was before."""
    before = termios.tcgetattr(terminal)
    changed = termios.tcgetattr(terminal)
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    # Ctrl-Z comes as a key: before it stops, the terminal is to be put in order.
    changed[6][termios.VSUSP] = bytes([os.fpathconf(terminal, "PC_VDISABLE")])
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, changed)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(terminal, termios.TCSANOW, before)


@contextlib.contextmanager
def _ending_orderly() -> Iterator[None]:
    """Signals that would end the process without a word raise SystemExit instead."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)  # as shells have it

    ends = (signal.SIGTERM, signal.SIGHUP)
    changed = [each for each in ends if signal.getsignal(each) is signal.SIG_DFL]
    for each in changed:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in changed:
            signal.signal(each, signal.SIG_DFL)
