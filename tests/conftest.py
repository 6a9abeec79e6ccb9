"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest

from gearpy.testing.process import ServerProcess


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A real gearpy-server on a free port."""
    with ServerProcess() as process:
        yield process
