"""Servers with HTTP, and clients for it."""

from collections.abc import Iterator

import httpx
import pytest

from gearpy.testing.process import ServerProcess

LIMIT_S = 30.0


@pytest.fixture
def web() -> Iterator[ServerProcess]:
    """A server that keeps its jobs in memory, with HTTP on a free port."""
    with ServerProcess("--http", "127.0.0.1:0") as process:
        yield process


@pytest.fixture(scope="module")
def shared() -> Iterator[ServerProcess]:
    """The same for tests that leave nothing behind."""
    with ServerProcess("--http", "127.0.0.1:0") as process:
        yield process


@pytest.fixture(scope="module")
def shared_http(shared: ServerProcess) -> Iterator[httpx.Client]:
    """A client of that one."""
    with httpx.Client(base_url=shared.http_url, timeout=LIMIT_S) as client:
        yield client


@pytest.fixture
def http(web: ServerProcess) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=web.http_url, timeout=LIMIT_S) as client:
        yield client
