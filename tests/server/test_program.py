"""gearpy-server as a program: start line, flags, signals, drain, daemon, log."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gearpy.protocol import packets as p
from gearpy.testing.process import ServerProcess
from gearpy.version import version_and_form
from tests.server.logs import LoggedServer
from tests.server.peer import WAIT_S, RawPeer

SERVE = [sys.executable, "-m", "gearpy.cli.serve"]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs gearpy-server to its end."""
    return subprocess.run(
        [*SERVE, *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env=os.environ | variables,
        check=False,
    )


def peer_of(server: ServerProcess) -> RawPeer:
    return RawPeer((server.host, server.port))


def hold_a_job(server: ServerProcess, client: RawPeer, worker: RawPeer) -> bytes:
    """A foreground job that the worker holds; returns its handle."""
    client.send(p.SUBMIT_JOB, b"resize", b"", b"photo")
    (handle,) = client.expect(p.JOB_CREATED)
    worker.send(p.CAN_DO, b"resize")
    worker.send(p.GRAB_JOB)
    assert worker.expect(p.JOB_ASSIGN) == [handle, b"resize", b"photo"]
    return handle


def test_the_start_line_tells_version_addresses_journal_and_limits(tmp_path: Path) -> None:
    with ServerProcess("--unix", str(tmp_path / "s"), "--max-payload", "1M") as server:
        assert server.start_line == (
            f"gearpy-server {version_and_form()} on 127.0.0.1:{server.port}, unix://{tmp_path}/s;"
            " no journal: jobs are kept in memory only; limits: payload 1,048,576 bytes,"
            " 10,000 connections, 268,435,456 bytes waiting for a peer\n"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_an_idle_server_with_0(number: int) -> None:
    with ServerProcess() as server, peer_of(server) as peer:
        peer.round_trip()
        assert server.stop(number) == 0
        assert peer.closed()


def test_a_drain_lets_running_jobs_finish_and_takes_no_new_ones() -> None:
    with LoggedServer() as server, peer_of(server) as client, peer_of(server) as worker:
        handle = hold_a_job(server, client, worker)
        client.send(p.SUBMIT_JOB_BG, b"resize", b"", b"left behind")
        client.expect(p.JOB_CREATED)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_line("1 running jobs may finish within 10 s")

        client.send(p.SUBMIT_JOB_BG, b"resize", b"", b"too late")
        assert client.expect(p.ERROR)[0] == b"SHUTTING_DOWN"
        worker.send(p.GRAB_JOB)
        worker.expect(p.NO_JOB)
        with pytest.raises(ConnectionRefusedError):
            peer_of(server)

        worker.send(p.WORK_COMPLETE, handle, b"thumbnail")
        assert client.expect(p.WORK_COMPLETE) == [handle, b"thumbnail"]
        assert client.closed()
        assert server.process.wait(WAIT_S) == 0
        assert any("1 unfinished jobs (1 queued" in line for line in server.all_lines())


def test_a_drain_ends_when_its_time_is_up() -> None:
    with LoggedServer("--drain-timeout", "0.1") as server:
        with peer_of(server) as client, peer_of(server) as worker:
            hold_a_job(server, client, worker)
            assert server.stop() == 0
        assert any("(0 queued, 0 delayed, 1 running)" in line for line in server.all_lines())


def test_a_second_signal_stops_at_once() -> None:
    with LoggedServer("--drain-timeout", "1000") as server:
        with peer_of(server) as client, peer_of(server) as worker:
            hold_a_job(server, client, worker)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_line("running jobs may finish")
            assert server.stop() == 0


def test_a_second_signal_ends_the_wait_for_last_bytes() -> None:
    with LoggedServer() as server, RawPeer((server.host, server.port), 4096) as deaf:
        deaf.send(p.ECHO_REQ, bytes(30 << 20))
        deaf.sock.recv(1, socket.MSG_PEEK)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises((ConnectionRefusedError, ConnectionResetError)):
            while True:  # until it no longer listens
                peer_of(server).sock.close()
        assert server.stop() == 0


def test_a_log_that_can_not_be_written_harms_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with ServerProcess("--log-file", str(folder / "log")) as server, peer_of(server) as peer:
        shutil.rmtree(folder)
        peer.send(p.SUBMIT_JOB, b"f", bytes(65).replace(b"\0", b"u"), b"")
        assert peer.expect(p.ERROR)[0] == b"ARGUMENT_TOO_LARGE"
        server.process.send_signal(signal.SIGHUP)
        peer.round_trip()
        assert server.stop() == 0


def test_the_text_command_shutdown_only_where_it_is_allowed(server: ServerProcess) -> None:
    with peer_of(server) as operator:
        operator.send_text(b"shutdown\n")
        assert operator.line() == b"ERR UNKNOWN_COMMAND Unknown+server+commandshutdown"
        operator.round_trip()


def test_shutdown_stops_at_once() -> None:
    with ServerProcess("--allow-shutdown", "--drain-timeout", "1000") as server:
        with peer_of(server) as client, peer_of(server) as worker, peer_of(server) as operator:
            hold_a_job(server, client, worker)
            operator.send_text(b"shutdown\r\n")
            assert operator.line() == b"OK"
            assert server.process.wait(WAIT_S) == 0


def test_shutdown_graceful_drains() -> None:
    with ServerProcess("--allow-shutdown", "--drain-timeout", "1000") as server:
        with peer_of(server) as client, peer_of(server) as worker, peer_of(server) as operator:
            handle = hold_a_job(server, client, worker)
            operator.send_text(b"shutdown graceful\n")
            assert operator.line() == b"OK"
            worker.send(p.WORK_COMPLETE, handle, b"done")
            assert client.expect(p.WORK_COMPLETE) == [handle, b"done"]
            assert server.process.wait(WAIT_S) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--port", "x"], 2, "--port is 'x'; it must be a whole number from 0 to 65535"),
        (["--config-file", "/nowhere.toml"], 2, "can't read the settings in /nowhere.toml"),
        (["--listen", "1.2.3.4:x"], 2, "'1.2.3.4:x' is not an address"),
        (["--listen", "192.0.2.1"], 1, "can't listen on 192.0.2.1 port 4730"),
        (["--user", "nobody-at-all", "-L", "127.0.0.1", "-p", "0"], 2, "there is no user"),
        (["--log-file", "/nowhere/x"], 2, "can't write to /nowhere/x: No such file"),
        (["--pid-file", "/nowhere/x", "-L", "127.0.0.1", "-p", "0"], 2, "can't write to /nowhere"),
        (["--no-such-flag"], 2, "No such option"),
        (["--listen", "..x"], 1, "can't listen on ..x"),
        (["--listen", "127.0.0.1:\u00b2"], 2, "is not an address"),
        (["--unix", "/etc/passwd/x", "-L", "127.0.0.1", "-p", "0"], 1, "Not a directory"),
    ],
)
def test_what_can_not_be_is_a_sentence_and_an_exit_code(
    arguments: list[str], code: int, sentence: str
) -> None:
    ended = run(*arguments)
    assert ended.returncode == code
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.skipif(Path("/dev/log").exists(), reason="syslog is there")
def test_a_syslog_that_is_not_there() -> None:
    ended = run("--syslog", "-L", "127.0.0.1", "-p", "0")
    assert ended.returncode == 2
    assert "can't reach syslog at /dev/log" in ended.stderr


def test_a_port_that_is_taken(server: ServerProcess) -> None:
    ended = run("--listen", server.host, "--port", str(server.port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"gearpy-server: can't listen on 127.0.0.1 port {server.port}: Address already in use\n"
    )


def test_variables_and_the_file_reach_the_server(tmp_path: Path) -> None:
    file = tmp_path / "gearpy.toml"
    file.write_text('job-handle-prefix = "H:toml"\n')
    environment = os.environ | {"GEARPY_CONFIG_FILE": str(file), "GEARPY_STRICT": "yes"}
    with ServerProcess(environment=environment) as server, peer_of(server) as peer:
        peer.send(p.SUBMIT_JOB_BG, b"f", b"", b"")
        assert peer.expect(p.JOB_CREATED)[0].startswith(b"H:toml:")
        peer.send(p.WORK_FAIL, b"H:toml:1")
        assert peer.expect(p.ERROR)[0] == b"JOB_NOT_FOUND"


def test_handles_of_a_server_that_starts_later_are_higher() -> None:
    numbers = []
    for _ in range(2):
        with ServerProcess() as server, peer_of(server) as peer:
            peer.send(p.SUBMIT_JOB_BG, b"f", b"", b"")
            (handle,) = peer.expect(p.JOB_CREATED)
            assert len(handle) <= 63
            numbers.append(int(handle.rpartition(b":")[2]))
    assert numbers[0] < numbers[1]


def test_gearmand_s_flags_without_a_meaning_are_named_in_the_log() -> None:
    with LoggedServer("-t", "8", "--hashtable-buckets", "5", "-R") as server:
        server.wait_for_line("--threads is accepted and does nothing")
        server.wait_for_line("--hashtable-buckets is accepted and does nothing")
        server.wait_for_line("--round-robin is accepted and does nothing")


def test_the_log_as_json() -> None:
    with LoggedServer("--log-format", "json") as server, peer_of(server) as peer:
        peer.send_text(b"\0BAD" + bytes(8))
        assert peer.expect(p.ERROR)[0] == b"INVALID_MAGIC"
        line = json.loads(server.wait_for_line("INVALID_MAGIC"))
        assert line["level"] == "INFO"
        assert line["message"].startswith("127.0.0.1:")
        assert time.time() - line["time_s"] < 3600


def test_the_log_file_is_reopened(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ServerProcess("--log-file", str(log), "-t", "2") as server, peer_of(server) as peer:
        assert "--threads" in log.read_text()
        log.rename(tmp_path / "old")
        server.process.send_signal(signal.SIGHUP)
        peer.send_text(b"\0BAD" + bytes(8))
        peer.expect(p.ERROR)
        assert "INVALID_MAGIC" in log.read_text()


def test_level_names_are_gearmand_s() -> None:
    with LoggedServer("--verbose", "error", "-t", "8") as server, peer_of(server) as peer:
        peer.send_text(b"verbose\n")
        assert peer.line() == b"OK ERROR"
        server.stop()
        assert server.all_lines() == []


def test_a_daemon_is_there_when_the_command_returns(tmp_path: Path) -> None:
    pid_file, log = tmp_path / "pid", tmp_path / "log"
    started = run("--daemon", "-L", "127.0.0.1", "-p", "0", "-P", str(pid_file), "-l", str(log))
    assert started.returncode == 0, started.stderr
    pid = int(pid_file.read_text())
    assert pid != os.getpid()
    port = int(started.stdout.partition("127.0.0.1:")[2].partition(";")[0])
    with RawPeer(("127.0.0.1", port)) as peer:
        peer.send_text(b"getpid\n")
        assert peer.line() == b"OK %d" % pid
        os.kill(pid, signal.SIGTERM)
        assert peer.closed()
    # The process is nobody's child here: its last act is to remove the file.
    deadline_s = time.monotonic() + WAIT_S
    while pid_file.exists():
        assert time.monotonic() < deadline_s
        os.sched_yield()


def test_a_daemon_that_can_not_start_says_so(server: ServerProcess) -> None:
    ended = run("--daemon", "-L", server.host, "-p", str(server.port))
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_becomes_the_user_once_it_listens(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with LoggedServer("--user", "nobody", "--pid-file", str(pid_file)) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        (uids,) = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
        assert set(uids) == {str(pwd.getpwnam("nobody").pw_uid)}
        tmp_path.chmod(0o755)
        assert server.stop() == 0
        # It may not remove what root wrote, and says so.
        assert any(f"can't remove {pid_file}" in line for line in server.all_lines())


def test_ipv6_and_several_addresses() -> None:
    with ServerProcess("--listen", "::1") as server:
        assert f"127.0.0.1:{server.port}, [::1]:{server.port};" in server.start_line
        with RawPeer(("::1", server.port)) as peer:
            peer.round_trip()
            peer.send_text(b"workers\n")
            assert peer.report()[0].split()[1] == b"::1"


def test_a_unix_socket_of_a_dead_server_is_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with ServerProcess("--unix", path) as dead:
        dead.kill()
    with ServerProcess("--unix", path) as server, RawPeer(path) as peer:
        peer.round_trip()
        ended = run("--unix", path, "-L", "127.0.0.1", "-p", "0")
        assert ended.returncode == 1
        assert "another server listens there" in ended.stderr
        peer.round_trip()
        assert server.stop() == 0
    assert not Path(path).exists()
    Path(path).write_text("precious")
    ended = run("--unix", path, "-L", "127.0.0.1", "-p", "0")
    assert "there is a file that is not a socket" in ended.stderr
    assert Path(path).read_text() == "precious"


def test_small_packets_leave_at_once_and_keepalive_is_on() -> None:
    """Both are options of the listening socket that connections inherit."""
    from gearpy.server import listeners
    from gearpy.server.settings import Settings

    settings = Settings(listen=("127.0.0.1",), port=0, keepalive_idle=77)
    (listener,) = listeners.bind(settings)
    try:
        listener.sock.listen()
        with socket.create_connection(listener.sock.getsockname()):
            listener.sock.settimeout(WAIT_S)
            accepted, _ = listener.sock.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
    finally:
        listener.close()
