"""Nothing is unbounded, and no peer harms another: over real sockets."""

import os
import resource
import selectors
import socket
import time
from pathlib import Path

import pytest

from gearpy import Client, JobFailed
from gearpy.protocol import codec
from gearpy.protocol import packets as p
from gearpy.testing.process import ServerProcess
from tests.server.logs import LoggedServer
from tests.server.peer import WAIT_S, RawPeer

MIB = 1 << 20


def peer_of(server: ServerProcess, receive_buffer_bytes: int = 0) -> RawPeer:
    return RawPeer((server.host, server.port), receive_buffer_bytes)


def rss_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_payload_beyond_the_limit_is_refused_before_it_is_stored(server: ServerProcess) -> None:
    with peer_of(server) as peer, peer_of(server) as other:
        other.round_trip()
        before_bytes = rss_bytes(server.pid)
        peer.sock.sendall(b"\0REQ" + p.SUBMIT_JOB.to_bytes(4) + (0xFFFFFFFF).to_bytes(4))
        code, text = peer.expect(p.ERROR)
        assert code == b"ARGUMENT_TOO_LARGE"
        assert b"this server takes 67,108,864" in text
        assert peer.closed()
        assert rss_bytes(server.pid) - before_bytes < 16 * MIB
        other.round_trip()


def test_a_result_beyond_the_limit_fails_its_job_and_its_worker_goes_on() -> None:
    with (
        LoggedServer("--max-payload", "1M") as server,
        Client(server.address) as client,
        peer_of(server) as worker,
    ):
        jobs = [client.submit("resize", b"photo"), client.submit("resize", b"other")]
        worker.send(p.CAN_DO, b"resize")
        worker.send(p.GRAB_JOB)
        handle = worker.expect(p.JOB_ASSIGN)[0]
        before_bytes = rss_bytes(server.pid)
        worker.send(p.WORK_COMPLETE, handle, bytes(64 * MIB))
        with pytest.raises(
            JobFailed, match=r"WORK_COMPLETE has 67,\d+,\d+ bytes; this server takes"
        ):
            jobs[0].result(WAIT_S)
        server.wait_for_line(f"job {handle.decode()} fails: WORK_COMPLETE has 67,")
        worker.send(p.GRAB_JOB)
        worker.send(p.WORK_COMPLETE, worker.expect(p.JOB_ASSIGN)[0], b"thumbnail")
        assert jobs[1].result(WAIT_S) == b"thumbnail"
        assert rss_bytes(server.pid) - before_bytes < 16 * MIB


def test_64_mib_in_small_pieces(server: ServerProcess) -> None:
    """Linear time: were each piece joined to what came before, this would copy half a terabyte."""
    payload = os.urandom(1 << 16) * 1023
    with peer_of(server) as client, peer_of(server) as worker:
        packet = codec.request(p.SUBMIT_JOB, b"resize", b"", payload)
        for start in range(0, len(packet), 4096):
            client.sock.sendall(packet[start : start + 4096])
        (handle,) = client.expect(p.JOB_CREATED)
        worker.send(p.CAN_DO, b"resize")
        worker.send(p.GRAB_JOB)
        assert worker.expect(p.JOB_ASSIGN) == [handle, b"resize", payload]
        worker.send(p.WORK_COMPLETE, handle, payload)
        assert client.expect(p.WORK_COMPLETE) == [handle, payload]


def test_a_text_line_without_an_end(server: ServerProcess) -> None:
    with peer_of(server) as peer:
        peer.send_text(b"x" * 8192)
        assert peer.line().startswith(b"ERR LINE_TOO_LONG ")
        assert peer.closed()


def test_connections_beyond_the_limit_are_told_so_and_closed() -> None:
    with LoggedServer("--max-connections", "2") as server:
        with peer_of(server) as first, peer_of(server) as second:
            first.round_trip()
            second.round_trip()
            for _ in range(3):
                with peer_of(server) as third:
                    assert third.expect(p.ERROR)[0] == b"TOO_MANY_CONNECTIONS"
                    assert third.closed()
            first.round_trip()
            server.wait_for_line("there are 2 already, which is the limit")
            second.sock.close()
            # There is room again once the server has noticed.
            while True:
                with peer_of(server) as third:
                    third.send(p.ECHO_REQ, b"room?")
                    if third.receive()[0] == p.ECHO_RES:
                        break
        assert server.stop() == 0
        lines = [line for line in server.all_lines() if "which is the limit" in line]
        assert len(lines) <= 2


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_running_out_of_descriptors_costs_no_cpu_and_no_connection(
    loop: str, tmp_path: Path
) -> None:
    if loop == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with ServerProcess(environment=environment) as server, peer_of(server) as old:
        old.round_trip()
        descriptors = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (descriptors + 1, descriptors + 100))
        news = [socket.create_connection((server.host, server.port)) for _ in range(10)]
        old.round_trip()
        before_s = cpu_s(server.pid)
        # A job that becomes due is the event to wait for; a server that spins would burn all
        # of that time.
        old.send(p.CAN_DO, b"later")
        due_s = int(time.time()) + 3
        old.send(p.SUBMIT_JOB_EPOCH, b"later", b"", b"%d" % due_s, b"")
        old.expect(p.JOB_CREATED)
        old.send(p.PRE_SLEEP)
        old.expect(p.NOOP)
        assert cpu_s(server.pid) - before_s < 1.0
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (descriptors + 100, descriptors + 100))
        for sock in news:
            sock.close()
        with peer_of(server) as fresh:
            fresh.round_trip()


def test_a_peer_that_never_reads_is_closed_with_a_log_line() -> None:
    with LoggedServer("--stall-timeout", "0.5") as server:
        with peer_of(server, 4096) as deaf, peer_of(server) as other:
            packet = codec.request(p.ECHO_REQ, bytes(MIB))
            # Sends until the server, which stopped reading long ago, closes.
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                for _ in range(256):
                    deaf.sock.sendall(packet)
            other.round_trip()
            server.wait_for_line("it took nothing of what it was sent for 0.5 s")
            other.round_trip()


def test_results_for_a_client_that_does_not_read_end_at_a_limit() -> None:
    """Reading less from a client does not help when others send to it."""
    with LoggedServer(
        "--max-output", "4M", "--max-payload", "2M", "--stall-timeout", "1000"
    ) as server:
        with peer_of(server, 4096) as deaf, peer_of(server) as worker:
            deaf.send(p.SUBMIT_JOB, b"flood", b"", b"")
            (handle,) = deaf.expect(p.JOB_CREATED)
            worker.send(p.CAN_DO, b"flood")
            worker.send(p.GRAB_JOB)
            worker.expect(p.JOB_ASSIGN)
            for _ in range(64):
                worker.send(p.WORK_DATA, handle, bytes(MIB))
            worker.round_trip()
            server.wait_for_line("more than 4,194,304 bytes wait for it")
            worker.send(p.WORK_COMPLETE, handle, b"")
            worker.round_trip()
            assert rss_bytes(server.pid) < 400 * MIB


def test_a_pipeline_of_reports_is_answered_as_it_is_read() -> None:
    """Without a limit, 3,000 commands in one packet would build 600 MB of answers at once."""
    with ServerProcess() as server, peer_of(server, 4096) as peer:
        for number in range(2000):
            peer.send(p.SUBMIT_JOB_BG, b"f%0100d" % number, b"", b"")
            peer.expect(p.JOB_CREATED)
        before_bytes = rss_bytes(server.pid)
        reports = 300
        peer.send_text(b"status\n" * reports)
        for _ in range(reports):
            assert len(peer.report()) == 2000
        assert rss_bytes(server.pid) - before_bytes < 40 * MIB


def test_a_half_closed_peer_still_gets_its_answers(server: ServerProcess) -> None:
    with peer_of(server) as peer:
        peer.send(p.ECHO_REQ, b"last words")
        peer.send_text(b"version\n")
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.expect(p.ECHO_RES) == [b"last words"]
        assert peer.line().startswith(b"OK ")
        assert peer.closed()


def test_a_half_close_counts_as_leaving(server: ServerProcess) -> None:
    with peer_of(server) as client, peer_of(server) as operator:
        client.send(p.SUBMIT_JOB, b"resize", b"", b"")
        client.expect(p.JOB_CREATED)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.closed()
        operator.send_text(b"status\n")
        assert operator.report() == [b"resize\t0\t0\t0"]


def test_garbage_ends_one_connection_and_harms_no_other() -> None:
    with LoggedServer() as server, peer_of(server) as other:
        for garbage in (
            b"\0XXX" + bytes(20),
            codec.request(p.SUBMIT_JOB, b"only a function"),
            b"\0REQ" + (0x80000000).to_bytes(4) + bytes(4),
            b"\0REQ" + (0xFFFFFFFF).to_bytes(4) + bytes(4),
            codec.request(p.CAN_DO_TIMEOUT, b"no NUL"),
        ):
            with peer_of(server) as peer:
                peer.sock.sendall(garbage)
                peer.expect(p.ERROR)
                assert peer.closed()
            other.round_trip()
        server.wait_for_line("answered INVALID_MAGIC")
        server.stop()
        assert not any("Traceback" in line for line in server.all_lines())


def test_two_thousand_idle_workers_and_one_job_make_one_wake_up() -> None:
    with ServerProcess() as server:
        workers = [peer_of(server) for _ in range(2000)]
        try:
            for worker in workers:
                worker.sock.sendall(codec.request(p.CAN_DO, b"resize") + codec.request(p.PRE_SLEEP))
            for worker in workers:
                worker.round_trip()
            with peer_of(server) as client:
                client.send(p.SUBMIT_JOB_BG, b"resize", b"", b"")
                client.expect(p.JOB_CREATED)
            first = first_to_hear(workers)
            first.expect(p.NOOP)
            first.send(p.GRAB_JOB)
            first.expect(p.JOB_ASSIGN)
            woken = 1
            for worker in workers:
                worker.send(p.ECHO_REQ, b"any news?")
                if worker.receive()[0] == p.NOOP:
                    woken += 1
                    worker.expect(p.ECHO_RES)
            # Another is woken for each 100 ms in which this slow test let the job wait.
            assert woken < 50
        finally:
            for worker in workers:
                worker.sock.close()


def first_to_hear(peers: list[RawPeer]) -> RawPeer:
    """The first of these that the server sends something."""
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer.sock, selectors.EVENT_READ, peer)
        ((key, _), *_) = selector.select(WAIT_S)
        assert isinstance(key.data, RawPeer)
        return key.data
