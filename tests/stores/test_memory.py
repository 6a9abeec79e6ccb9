"""The store that forgets everything at exit."""

from pathlib import Path

import pytest

from gearpy.stores.base import Store
from gearpy.stores.memory import MemoryStore
from gearpy.testing.stores import CHECKS, Check, check_store


def open_memory(_directory: Path) -> Store:
    return MemoryStore()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_every_promise_of_a_store(check: Check, tmp_path: Path) -> None:
    check(open_memory, tmp_path)


def test_it_passes_the_suite() -> None:
    check_store(open_memory, persistent=False)


def test_it_does_not_outlive_close() -> None:
    with pytest.raises(AssertionError, match="opened again"):
        check_store(open_memory)
