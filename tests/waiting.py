"""Waiting for what cannot be waited for but by asking."""

import time
from collections.abc import Callable
from typing import Final

import pytest

LIMIT_S: Final = 30.0
PAUSE_S: Final = 0.02


def eventually(
    ask: Callable[[], object], answer: object, why: Callable[[], str] = lambda: ""
) -> None:
    """Asks until the answer is the one that is waited for.  Fails if it never is; ``why`` then
    says what else there is to know."""
    deadline_s = time.monotonic() + LIMIT_S
    while (given := ask()) != answer:
        if time.monotonic() > deadline_s:
            pytest.fail(f"still {given!r}, never {answer!r}; {why()}")
        time.sleep(PAUSE_S)  # between questions to what can only be asked
