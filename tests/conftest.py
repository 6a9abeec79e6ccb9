"""Fixtures for all tests."""

import faulthandler
import threading
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import settings

from gearpy.testing.process import ServerProcess
from gearpy.version import version_and_form

pytest_plugins = ["pytester"]

LIMIT_S: Final = 30.0
_EXIT_LIMIT_S: Final = 60.0


def pytest_report_header() -> str:
    return f"gearpy {version_and_form()}"


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """A thread that outlives its test disturbs the next ones, and may keep Python from ending."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT_S)
        assert not thread.is_alive(), f"{thread} goes on after its test"


def pytest_unconfigure() -> None:
    """Python that does not end tells where it hangs, and ends then."""
    faulthandler.dump_traceback_later(_EXIT_LIMIT_S, exit=True, file=2)


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A real gearpy-server on a free port."""
    with ServerProcess() as process:
        yield process


# How long an example takes says more about the neighbours than about the code.
settings.register_profile("gearpy", deadline=None, print_blob=True)
settings.load_profile("gearpy")
