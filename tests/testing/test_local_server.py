"""A server in the process of the test."""

import resource
import signal
import socket
import threading
from pathlib import Path

import pytest

from gearpy.client import Client
from gearpy.errors import CannotListen, InvalidArgument, JobFailed, SettingError
from gearpy.testing.server import LocalServer
from tests.workers import Held, upper, working

LIMIT_S = 30.0


def state(client: Client, handle: str) -> str:
    return str(client.job(handle)["job"]["state"])


def test_real_clients_and_workers_talk_to_it() -> None:
    with LocalServer() as server, working(server.address, upper=upper):
        with Client(server.address) as client:
            assert client.submit("upper", "photo").result(LIMIT_S) == b"PHOTO"
        assert server.statistics().engine.jobs == 0
        assert server.address == f"{server.host}:{server.port}"


def test_time_passes_when_it_is_told_to() -> None:
    with LocalServer() as server, Client(server.address) as client:
        began_s = server.now_s
        handle = client.submit_background("mail", delay_s=60)
        server.advance(59.5)
        assert state(client, handle) == "delayed"
        server.advance(0.5)
        assert state(client, handle) == "queued"
        assert server.now_s == began_s + 60
        with pytest.raises(ValueError, match="goes forward only"):
            server.advance(-1)


def test_what_is_due_one_after_the_other_happens_in_one_go() -> None:
    """Timeout, backoff, next attempt: each at its moment, without a worker that takes part."""
    policies = {"mail": {"attempts": 3, "timeout_s": 10, "backoff": [60], "keep_s": 1_000}}
    held = Held()
    with LocalServer(policies=policies) as server, Client(server.address) as client:
        with working(server.address, mail=held):
            handle = client.submit_background("mail")
            held.wait_entered()
            server.advance(9)
            assert state(client, handle) == "running"
            server.advance(1)
            assert state(client, handle) == "retrying"
            server.advance(59)
            assert state(client, handle) == "retrying"
            server.advance(1)
            assert state(client, handle) == "queued"
            held.going.release()
            held.wait_entered()  # the second attempt
            server.advance(100)
            assert state(client, handle) == "queued"
            held.going.release(2)
            held.wait_entered()


def test_a_job_expires() -> None:
    with LocalServer() as server, Client(server.address) as client:
        job = client.submit("mail", expires_s=3600)
        server.advance(3601)
        with pytest.raises(JobFailed):
            job.result(LIMIT_S)


def test_settings_are_those_of_the_server(tmp_path: Path) -> None:
    journal = str(tmp_path / "jobs.db")
    with LocalServer(journal=journal) as server, Client(server.address) as client:
        handle = client.submit_background("mail", "letter")
    with LocalServer(journal=journal) as server, Client(server.address) as client:
        assert state(client, handle) == "queued"
        server.stop()
        server.stop()


def test_what_it_can_not_start_with_is_raised() -> None:
    with pytest.raises(SettingError, match="--port is 'x'"):
        LocalServer(port="x")
    with pytest.raises(InvalidArgument, match="a policy has no field 'tries'"):
        LocalServer(policies={"mail": {"tries": 3}})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(CannotListen, match="already in use"):
            LocalServer(port=taken.getsockname()[1]).start()


def test_the_process_is_left_as_it_was() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    threads = threading.active_count()
    with LocalServer():
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
    assert threading.active_count() == threads
