"""Fixtures of the tests with other people's programs."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gearpy.testing.process import ServerProcess

from .stage import Pipe, Stage


@pytest.fixture
def stage(server: ServerProcess) -> Iterator[Stage]:
    """A server of this test alone."""
    with ExitStack() as programs:
        yield Stage(server, programs)


@pytest.fixture(scope="module")
def shared_stage() -> Iterator[Stage]:
    """A server for all tests of a module, with the workers that they employ."""
    with ServerProcess() as server, ExitStack() as programs:
        yield Stage(server, programs)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()
