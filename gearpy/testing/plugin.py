"""Fixtures for pytest.  They are there once gearpy is installed.

def test_a_mail_is_sent(gearpy_client, gearpy_worker):
    gearpy_worker.register("mail", send)
    gearpy_client.submit_background("mail", b"letter")
    assert gearpy_worker.drain() == 1
"""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from gearpy.client.sync import Client
from gearpy.testing.inline import InlineClient
from gearpy.testing.process import ServerProcess
from gearpy.testing.server import LocalServer
from gearpy.testing.worker import HandWorker


@pytest.fixture
def gearpy_server() -> Iterator[LocalServer]:
    """A server in this process, in memory; its time moves when the test says so (``advance``)."""
    with LocalServer() as server:
        yield server


@pytest.fixture
def gearpy_server_process() -> Iterator[ServerProcess]:
    """A server as a process of its own, as in production; in memory."""
    with ServerProcess() as server:
        yield server


@pytest.fixture
def gearpy_client(gearpy_server: LocalServer) -> Iterator[Client]:
    """A client of ``gearpy_server``."""
    with Client(gearpy_server.address) as client:
        yield client


@pytest.fixture
def gearpy_inline() -> Iterator[Callable[..., InlineClient]]:
    """Makes a client without any server, whose jobs are done at once: ``gearpy_inline(worker)``,
    ``gearpy_inline(tasks, policies=...)``; see ``InlineClient``."""
    with contextlib.ExitStack() as stack:
        yield lambda work, **more: stack.enter_context(InlineClient(work, **more))


@pytest.fixture
def gearpy_worker(gearpy_server: LocalServer) -> HandWorker:
    """A worker of ``gearpy_server``, which works when ``drain`` is called."""
    return HandWorker(gearpy_server.address)
