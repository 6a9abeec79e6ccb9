"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from gearpy.testing.process import ServerProcess

pytest_plugins = ["pytester"]


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A real gearpy-server on a free port."""
    with ServerProcess() as process:
        yield process


# How long an example takes says more about the neighbours than about the code.
settings.register_profile("gearpy", deadline=None, print_blob=True)
settings.load_profile("gearpy")
