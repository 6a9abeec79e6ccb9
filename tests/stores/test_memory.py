"""The store that forgets everything at exit, and how stores are opened."""

from pathlib import Path

import pytest

from gearpy.engine.records import Put
from gearpy.errors import SettingError
from gearpy.priority import Priority
from gearpy.stores.base import Store, open_store
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


def test_the_setting_that_names_it() -> None:
    store = open_store("memory:")
    job = Put(b"H:t:1", b"f", b"", b"", Priority.LOW, 0.0, b"")
    store.commit([job])
    assert list(store.load()) == [job]
    assert isinstance(store, MemoryStore)
    assert not list(open_store("memory:").load()), "each is a store of its own"


@pytest.mark.parametrize("url", ["", "memory", "Memory:", "memory:/tmp/x", "floppy:///dev/fd0"])
def test_there_is_no_other(url: str) -> None:
    with pytest.raises(SettingError, match="memory: is one") as caught:
        open_store(url)
    assert repr(url) in str(caught.value)
