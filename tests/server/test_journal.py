"""gearpy-server with a journal, as its user sees it: what it says, refuses and keeps."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gearpy import Client
from gearpy.protocol import packets as p
from gearpy.server.server import EXIT_COMMIT_FAILED
from tests.server.logs import LoggedServer
from tests.server.peer import WAIT_S, RawPeer
from tests.server.test_program import peer_of, run
from tests.stores.mounts import make_read_only, small_disk

HOUR_S = 3600


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "jobs.db"


@contextmanager
def serving(file: Path, *arguments: str) -> Iterator[LoggedServer]:
    with LoggedServer("--journal", str(file), *arguments) as server:
        yield server


@contextmanager
def served_once(file: Path, *arguments: str) -> Iterator[LoggedServer]:
    """A server that is killed in the end, as a loss of power would."""
    with serving(file, *arguments) as server:
        yield server
        server.kill()


def submit(
    peer: RawPeer, payload: bytes, unique: bytes = b"", number: int = p.SUBMIT_JOB_BG
) -> str:
    peer.send(number, b"resize", unique, payload)
    return peer.expect(p.JOB_CREATED)[0].decode()


def worker_of(server: LoggedServer, function: bytes = b"resize") -> RawPeer:
    """A worker that is told attempts."""
    peer = peer_of(server)
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.send(p.OPTION_REQ, b"gearpy")
    peer.expect(p.OPTION_RES)
    peer.send(p.CAN_DO, function)
    return peer


def grab(worker: RawPeer) -> tuple[str, bytes, int]:
    """Handle, payload and attempt of the worker's next job."""
    worker.send(p.GRAB_JOB)
    handle, _, _, options, payload = worker.expect(p.JOB_ASSIGN_OPTIONS)
    return handle.decode(), payload, json.loads(options)["attempt"]


def grab_none(worker: RawPeer) -> None:
    worker.send(p.GRAB_JOB)
    worker.expect(p.NO_JOB)


def operate(server: LoggedServer, verb: str, **fields: Any) -> dict[str, Any]:
    with Client(server.address) as client:
        return client.operate(verb, **fields)


def describe(server: LoggedServer, handle: str) -> dict[str, Any]:
    job: dict[str, Any] = operate(server, "job", handle=handle)["job"]
    return job


def execute(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a person does with the sqlite3 tool."""
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql).fetchall()


# ---- what it says


@pytest.mark.parametrize("durability", ["commit", "interval:50", "none"])
def test_the_start_line_names_journal_and_durability(file: Path, durability: str) -> None:
    with serving(file, "--durability", durability) as server:
        assert f"; journal {file}, durability {durability}; " in server.start_line
        facts = operate(server, "server")
        assert (facts["journal"], facts["durability"]) == (str(file), durability)


def test_commit_is_what_counts_if_nothing_is_said(file: Path) -> None:
    with serving(file) as server:
        assert f"; journal {file}, durability commit; " in server.start_line


def test_the_options_of_gearmand(file: Path) -> None:
    with LoggedServer("-q", "libsqlite3", "--libsqlite3-db", str(file)) as server:
        assert f"; journal {file}, durability commit; " in server.start_line
        with peer_of(server) as peer:
            submit(peer, b"kept")
    assert execute(file, "SELECT payload FROM jobs") == [(b"kept",)]


@pytest.mark.parametrize("durability", ["interval:50", "none"])
def test_a_clean_stop_writes_what_is_left(file: Path, durability: str) -> None:
    with serving(file, "--durability", durability) as server, peer_of(server) as peer:
        for _ in range(100):
            submit(peer, b"kept")
        assert server.stop() == 0
    assert execute(file, "SELECT count(*) FROM jobs") == [(100,)]


# ---- what it refuses


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--durability", "commit"], "--durability is given without --journal FILE"),
        (["--journal", "a.db", "--durability", "soon"], "commit, interval:MS"),
        (["--journal", "a.db", "--durability", "interval:0"], "commit, interval:MS"),
        (["-q", "libsqlite3"], "needs a file: say --libsqlite3-db FILE"),
        (["--libsqlite3-db", "a.db"], "without -q libsqlite3"),
        (["-q", "libsqlite3", "--libsqlite3-db", "a.db", "--journal", "b.db"], "name two files"),
        (["-q", "mysql"], "another queue would lose what you trust to it"),
    ],
)
def test_a_bad_combination_is_a_sentence(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gearpy-server: ")
    assert sentence in done.stderr


def refusal(file: Path) -> str:
    """The sentence with which a server does not start."""
    done = run("--listen", "127.0.0.1", "--port", "0", "--journal", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr
    return done.stderr


def test_a_second_server_on_one_file_does_not_start_and_harms_nobody(file: Path) -> None:
    with serving(file) as server, peer_of(server) as peer:
        first = submit(peer, b"1")
        assert f"is in use by process {server.pid}." in refusal(file)
        second = submit(peer, b"2")
        with worker_of(server) as worker:
            assert [grab(worker)[0], grab(worker)[0]] == [first, second]


def test_a_newer_journal_is_refused_and_left_alone(file: Path) -> None:
    with serving(file) as server, peer_of(server) as peer:
        submit(peer, b"kept")
    execute(file, "PRAGMA user_version = 99")
    before = file.read_bytes()
    assert "its tables are version 99" in refusal(file)
    assert file.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path / 'missing'}" in refusal(tmp_path / "missing" / "jobs.db")


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        make_read_only(disk)
        assert "Read-only file system" in refusal(disk / "jobs.db")


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        with serving(disk / "jobs.db", "--disk-reserve", "0") as server, peer_of(server) as peer:
            submit(peer, b"kept")
        make_read_only(disk)
        assert "Read-only file system" in refusal(disk / "jobs.db")


# ---- when the file fails it


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_file_that_was_removed_stops_it_before_the_next_receipt(file: Path, ending: str) -> None:
    with serving(file) as server, peer_of(server) as peer, peer_of(server) as other:
        submit(peer, b"kept")
        Path(f"{file}{ending}").unlink()
        peer.send(p.SUBMIT_JOB_BG, b"resize", b"", b"goes nowhere")
        assert peer.closed()
        assert other.closed()
        assert server.process.wait(WAIT_S) == EXIT_COMMIT_FAILED
        assert any("was removed or replaced while" in line for line in server.all_lines())


def test_a_folder_that_was_removed_stops_it_before_the_next_receipt(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with serving(folder / "jobs.db") as server, peer_of(server) as peer:
        submit(peer, b"kept")
        shutil.rmtree(folder)
        peer.send(p.SUBMIT_JOB_BG, b"resize", b"", b"goes nowhere")
        assert peer.closed()
        assert server.process.wait(WAIT_S) == EXIT_COMMIT_FAILED


def test_a_bad_row_is_set_aside_and_the_others_are_there(file: Path) -> None:
    with serving(file) as server, peer_of(server) as peer:
        first, second, third = (submit(peer, b"%d" % number) for number in range(3))
    execute(file, f"UPDATE jobs SET priority = 'urgent' WHERE handle = '{second}'")
    with serving(file) as server, worker_of(server) as worker:
        server.wait_for_line("1 rows could not be read; they are in its table unreadable")
        assert [grab(worker)[0], grab(worker)[0]] == [first, third]
        grab_none(worker)
    assert execute(file, "SELECT source, reason FROM unreadable") == [
        ("jobs", "the value of priority is not what its column takes")
    ]


# ---- when the disk fills up


@contextmanager
def serving_on(disk: Path) -> Iterator[LoggedServer]:
    with serving(disk / "jobs.db", "--disk-reserve", "32M") as server:
        yield server


def fill(peer: RawPeer) -> list[str]:
    """Submits until the server takes no more; the handles of what it took."""
    handles: list[str] = []
    while True:
        peer.send(p.SUBMIT_JOB_BG, b"resize", b"", os.urandom(500_000))
        number, fields = peer.receive()
        if number == p.ERROR:
            assert fields[0] == b"JOURNAL_FULL"
            return handles
        handles.append(fields[0].decode())


def complete(worker: RawPeer, count: int) -> None:
    for _ in range(count):
        handle, _, _ = grab(worker)
        worker.send(p.WORK_COMPLETE, handle.encode(), b"")
    worker.round_trip()


def refused(peer: RawPeer) -> bool:
    """Whether a background job is refused, and nothing else is wrong."""
    peer.send(p.SUBMIT_JOB_BG, b"resize", b"", b"")
    number, fields = peer.receive()
    assert number == p.JOB_CREATED or fields[0] == b"JOURNAL_FULL"
    return number == p.ERROR


def test_a_nearly_full_disk_is_for_what_finishes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 << 20) as disk, serving_on(disk) as server:
        with peer_of(server) as client, worker_of(server) as worker:
            handles = fill(client)
            assert len(handles) > 10
            server.wait_for_line("background jobs are refused")
            client.send(p.SUBMIT_JOB_HIGH, b"resize", b"", b"photo")
            (foreground,) = client.expect(p.JOB_CREATED)
            assert grab(worker)[0].encode() == foreground
            worker.send(p.WORK_COMPLETE, foreground, b"thumbnail")
            assert client.expect(p.WORK_COMPLETE) == [foreground, b"thumbnail"]
            complete(worker, len(handles))
            grab_none(worker)
        assert server.stop() == 0
        assert execute(disk / "jobs.db", "SELECT count(*) FROM jobs") == [(0,)]


def test_room_that_somebody_else_makes_is_noticed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 128 << 20) as disk:
        spare = disk / "spare"
        spare.write_bytes(bytes(64 << 20))
        with serving_on(disk) as server, peer_of(server) as client, worker_of(server) as worker:
            handles = fill(client)
            spare.unlink()
            server.wait_for_line("has room again: background jobs are taken")
            handles.append(submit(client, b"taken again"))
            assert [grab(worker)[0] for _ in handles] == handles


def test_room_that_finished_jobs_leave_is_used_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 128 << 20) as disk, serving_on(disk) as server:
        with peer_of(server) as client, worker_of(server) as worker:
            complete(worker, len(fill(client)))
            server.wait_for_line("has room again: background jobs are taken")
            assert not refused(client)


def test_a_server_that_finds_its_disk_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 << 20) as disk, serving_on(disk) as server:
        server.wait_for_line("background jobs are refused")
        with peer_of(server) as client:
            assert refused(client)
            submit(client, b"in the foreground", number=p.SUBMIT_JOB)


# ---- what it keeps


def test_order_priorities_and_payloads(file: Path) -> None:
    numbers = {
        p.SUBMIT_JOB_LOW_BG: b"low",
        p.SUBMIT_JOB_BG: b"normal",
        p.SUBMIT_JOB_HIGH_BG: b"high",
    }
    with served_once(file) as server, peer_of(server) as peer:
        for turn in range(20):
            for number, name in numbers.items():
                submit(peer, b"%b %d" % (name, turn), number=number)
    with serving(file) as server, worker_of(server) as worker:
        assert [grab(worker)[1] for _ in range(60)] == [
            b"%b %d" % (name, turn) for name in (b"high", b"normal", b"low") for turn in range(20)
        ]
        grab_none(worker)


def test_names_and_payloads_of_every_kind(file: Path) -> None:
    submits = [
        (b"", b""),
        (b"", b""),
        (b"", b"same"),
        (b"", b"same"),
        (b"-", b""),
        (b"-", b""),
        (b"-", b"same"),
        (b"-u-", b"with-hyphens"),
        (b"\xff\xfe", b"\0\xff\0"),
        (b"u" * 64, bytes(range(256))),
    ]
    with served_once(file) as server, peer_of(server) as peer:
        handles = [submit(peer, payload, unique) for unique, payload in submits]
        assert len(set(handles)) == len(submits)
    with serving(file) as server, peer_of(server) as worker:
        worker.send(p.CAN_DO, b"resize")
        for handle, (unique, payload) in zip(handles, submits, strict=True):
            worker.send(p.GRAB_JOB_UNIQ)
            assigned = worker.expect(p.JOB_ASSIGN_UNIQ)
            assert assigned == [handle.encode(), b"resize", unique, payload]
            worker.send(p.WORK_COMPLETE, handle.encode(), b"")
        worker.round_trip()
        assert server.stop() == 0
    assert execute(file, "SELECT count(*) FROM jobs") == [(0,)]


def test_a_unique_still_stands_for_its_job(file: Path) -> None:
    with served_once(file) as server, peer_of(server) as peer:
        handles = [submit(peer, b"photo", b"u1"), submit(peer, b"photo", b"-")]
    with serving(file) as server, peer_of(server) as peer:
        assert [submit(peer, b"photo", b"u1"), submit(peer, b"photo", b"-")] == handles


def test_handles_never_repeat(file: Path) -> None:
    with served_once(file) as server, peer_of(server) as peer:
        submit(peer, b"1")
    # As if so many had been used up, or the time of day had been put back.
    execute(file, f"UPDATE meta SET value = {10**17} WHERE name = 'mark'")
    with serving(file) as server, peer_of(server) as peer:
        for number in (p.SUBMIT_JOB_BG, p.SUBMIT_JOB):
            assert int(submit(peer, b"2", number=number).rpartition(":")[2]) >= 10**17


def test_due_times(file: Path) -> None:
    due_s = int(time.time()) + HOUR_S
    with served_once(file) as server, peer_of(server) as peer:
        peer.send(p.SUBMIT_JOB_EPOCH, b"resize", b"", b"%d" % due_s, b"later")
        later = peer.expect(p.JOB_CREATED)[0].decode()
        peer.send(p.SUBMIT_JOB_EPOCH, b"resize", b"", b"%d" % (time.time() + 2), b"soon")
        soon = peer.expect(p.JOB_CREATED)[0].decode()
    with serving(file) as server, worker_of(server) as worker:
        job = describe(server, later)
        assert (job["state"], job["due_s"]) == ("delayed", due_s)
        worker.send(p.PRE_SLEEP)
        worker.expect(p.NOOP)
        assert grab(worker) == (soon, b"soon", 1)
        grab_none(worker)


def test_attempts_retries_and_dead_letters(file: Path) -> None:
    policy = {"attempts": 2, "backoff": [HOUR_S]}
    with served_once(file) as server, peer_of(server) as peer, worker_of(server) as worker:
        operate(server, "set-policy", function="resize", policy=policy)
        dead = submit(peer, b"dead")
        assert grab(worker)[0] == dead
        worker.send(p.WORK_EXCEPTION, dead.encode(), b"no such photo")
        worker.round_trip()
        operate(server, "retry", handle=dead)
        assert grab(worker) == (dead, b"dead", 2)
        worker.send(p.WORK_EXCEPTION, dead.encode(), b"still no such photo")
        waits = submit(peer, b"waits")
        assert grab(worker)[0] == waits
        worker.send(p.WORK_FAIL, waits.encode())
        worker.round_trip()
        before = [describe(server, handle) for handle in (dead, waits)]
        submit(peer, b"and so all of this is on the disk")
    assert [job["state"] for job in before] == ["dead", "retrying"]
    with serving(file) as server, worker_of(server) as worker:
        assert [describe(server, handle) for handle in (dead, waits)] == before
        assert operate(server, "retry", handle=waits) == {"count": 1}
        grab(worker)
        assert grab(worker) == (waits, b"waits", 2)
        assert operate(server, "retry", handle=dead) == {"count": 1}
        assert grab(worker) == (dead, b"dead", 1)


def test_finished_jobs_that_are_kept(file: Path) -> None:
    with served_once(file) as server, peer_of(server) as peer, worker_of(server) as worker:
        operate(server, "set-policy", function="resize", policy={"keep_s": HOUR_S})
        handle = submit(peer, b"photo")
        grab(worker)
        worker.send(p.WORK_COMPLETE, handle.encode(), b"thumbnail")
        worker.round_trip()
        before = describe(server, handle)
        submit(peer, b"and so that is on the disk")
    with serving(file) as server:
        assert describe(server, handle) == before
        assert (before["state"], before["result"]) == ("completed", "thumbnail")


def test_what_an_operator_decided(file: Path) -> None:
    policy = {"attempts": 3, "backoff": [1, 5]}
    with served_once(file) as server:
        for function in ("resize", "crop", "rotate"):
            operate(server, "pause", function=function)
            operate(server, "set-policy", function=function, policy=policy)
        operate(server, "drain", function="crop")
        operate(server, "resume", function="rotate")
        operate(server, "set-policy", function="rotate", policy=None)
        with peer_of(server) as peer:
            submit(peer, b"and so all of this is on the disk")
    with serving(file) as server, peer_of(server) as peer, worker_of(server) as worker:
        found = {row["function"]: row for row in operate(server, "functions")["functions"]}
        assert found["resize"]["paused"]
        assert not found["resize"]["draining"]
        assert found["crop"]["draining"]
        assert "rotate" not in found or not found["rotate"]["paused"]
        policies = operate(server, "policies")["policies"]
        rows = [row for row in policies if row["origin"] != "own"]
        assert sorted(row["function"] for row in rows) == ["crop", "resize"]
        assert all((row["origin"], row["policy"]) == ("set", policy) for row in rows)
        grab_none(worker)
        peer.send(p.SUBMIT_JOB_BG, b"crop", b"", b"")
        assert peer.expect(p.ERROR)[0] == b"QUEUE_ERROR"
        operate(server, "resume", function="resize")
        grab(worker)


# ---- what ran when it went down


def test_what_ran_comes_first_and_its_attempt_counts(file: Path) -> None:
    with served_once(file) as server, peer_of(server) as peer, worker_of(server) as worker:
        handles = [submit(peer, b"%d" % number) for number in range(4)]
        assert [grab(worker)[0] for _ in range(2)] == handles[:2]
        handles.append(submit(peer, b"and so that is on the disk"))
    with serving(file) as server, worker_of(server) as worker:
        server.wait_for_line("from the journal: 5 jobs (5 queued, 0 delayed)")
        found = [grab(worker) for _ in range(5)]
        assert [handle for handle, _, _ in found] == handles
        assert [attempt for _, _, attempt in found] == [2, 2, 1, 1, 1]


def test_what_ran_and_has_no_attempt_left_is_a_dead_letter(file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "gearpy.toml"
    settings.write_text('[function."re*"]\nattempts = 1\n')
    with served_once(file, "--config-file", str(settings)) as server:
        with peer_of(server) as peer, worker_of(server) as worker:
            handle = submit(peer, b"photo")
            # Where attempts are limited the assignment itself waits for the disk.
            assert grab(worker) == (handle, b"photo", 1)
    with serving(file, "--config-file", str(settings)) as server, worker_of(server) as worker:
        server.wait_for_line("have no attempt left: 1 are dead letters, 0 failed for good")
        grab_none(worker)
        job = describe(server, handle)
        assert (job["state"], job["attempts"], job["error"]) == ("dead", 1, "the server went down")


def test_sigterm_keeps_what_runs(file: Path) -> None:
    with serving(file, "--drain-timeout", "0.1") as server:
        with peer_of(server) as peer, worker_of(server) as worker:
            handles = [submit(peer, b"runs"), submit(peer, b"waits")]
            grab(worker)
            assert server.stop() == 0
    with serving(file) as server, worker_of(server) as worker:
        assert [grab(worker), grab(worker)] == [(handles[0], b"runs", 2), (handles[1], b"waits", 1)]


def test_what_ends_during_the_drain_does_not_come_back(file: Path) -> None:
    with serving(file) as server, peer_of(server) as peer, worker_of(server) as worker:
        handles = [submit(peer, b"runs"), submit(peer, b"waits")]
        grab(worker)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_line("1 running jobs may finish")
        worker.send(p.WORK_COMPLETE, handles[0].encode(), b"")
        assert server.process.wait(WAIT_S) == 0
    with serving(file) as server, worker_of(server) as worker:
        assert grab(worker)[0] == handles[1]
        grab_none(worker)


def test_payloads_that_are_on_disk_only(file: Path) -> None:
    payloads = [b"%d " % number + os.urandom(1000) for number in range(2000)]
    with served_once(file, "--memory-budget", "64K") as server, peer_of(server) as peer:
        for payload in payloads:
            peer.send(p.SUBMIT_JOB_BG, b"resize", b"", payload)
        for _ in payloads:
            peer.expect(p.JOB_CREATED)
    with serving(file, "--memory-budget", "64K") as server, worker_of(server) as worker:
        for payload in payloads:
            worker.send(p.GRAB_JOB)
            number, fields = worker.receive()
            while number != p.JOB_ASSIGN_OPTIONS:  # it is being read
                worker.send(p.PRE_SLEEP)
                worker.expect(p.NOOP)
                worker.send(p.GRAB_JOB)
                number, fields = worker.receive()
            assert fields[-1] == payload
