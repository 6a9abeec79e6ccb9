"""The blocking worker: in a thread, in the main thread, and as a process that gets signals."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from gearpy.client import Client, ClientJob
from gearpy.errors import (
    CannotConnect,
    ConnectionLost,
    InvalidArgument,
    JobFailed,
    ServerError,
    SettingError,
)
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.worker.program import WorkerProcess

LIMIT_S = 30.0
PARTS, PART_BYTES = 4, 4 << 20  # more than a socket takes at once


def run_in_thread(worker: Worker) -> Callable[[], BaseException | None]:
    """Runs it in a thread.  What is returned waits for the end and gives what it raised."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join() -> BaseException | None:
        thread.join(LIMIT_S)
        assert raised, "the worker did not return"
        return raised[0]

    return join


def test_several_functions_and_none(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)
    with pytest.raises(InvalidArgument, match="register a function before run"):
        worker.run()
    worker.register("upper", lambda job: job.data.upper())
    worker.register("lower", lambda job: job.data.lower(), timeout=1.5)
    worker.register("lower", lambda job: job.data.lower() + b"!", timeout=60)
    join = run_in_thread(worker)
    with Client(server.address) as client:
        assert client.submit("upper", "Ab").result(LIMIT_S) == b"AB"
        assert client.submit("lower", "Ab").result(LIMIT_S) == b"ab!"
    worker.stop()
    assert join() is None


def test_stop_lets_the_running_job_finish_and_takes_no_other(server: ServerProcess) -> None:
    entered, going = threading.Event(), threading.Event()

    def held(job: Job) -> bytes:
        entered.set()
        assert going.wait(LIMIT_S)
        return job.data

    worker = Worker(server.address, reconnect=False)
    worker.register("held", held)
    with Client(server.address) as client:
        first, second = client.submit("held", "1"), client.submit("held", "2")
        join = run_in_thread(worker)
        assert entered.wait(LIMIT_S)
        worker.stop()
        going.set()
        assert join() is None
        assert first.result(LIMIT_S) == b"1"
        status = client.status(second.handle)
        assert (status.known, status.running) == (True, False)
        # The same worker may run again, and finds what it left.
        join = run_in_thread(worker)
        assert second.result(LIMIT_S) == b"2"
        worker.stop()
        assert join() is None


def test_a_function_may_stop_its_worker(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)

    def last(job: Job) -> str:
        worker.stop()
        return "the last one"

    worker.register("last", last)
    with Client(server.address) as client:
        jobs = [client.submit("last") for _ in range(2)]
        for job in jobs:
            worker.run()
            assert job.result(LIMIT_S) == b"the last one"


def test_stop_wakes_a_worker_that_sleeps(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)
    worker.register("f", lambda job: None)
    with Client(server.address) as client:
        for echoes in range(20):  # so that each comes a little later than the one before
            join = run_in_thread(worker)
            client.submit("f").result(LIMIT_S)
            for _ in range(echoes):
                client.echo()
            worker.stop()
            assert join() is None


def test_stopped_before_it_runs(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)
    worker.register("f", lambda job: None)
    worker.stop()
    worker.run()


def test_a_large_last_result_arrives(server: ServerProcess) -> None:
    result = bytes(range(256)) * (32 << 12)
    worker = Worker(server.address, reconnect=False)

    def last(job: Job) -> bytes:
        worker.stop()
        return result

    worker.register("last", last)
    with Client(server.address) as client:
        job = client.submit("last")
        worker.run()
        assert job.result(LIMIT_S) == result


def test_reports_from_several_threads_do_not_mix(server: ServerProcess) -> None:
    def busy(job: Job) -> None:
        def report(letter: bytes) -> None:
            for _ in range(PARTS):
                job.send_data(letter * PART_BYTES)

        threads = [threading.Thread(target=report, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)

    parts: list[bytes] = []
    worker = Worker(server.address, reconnect=False)
    worker.register("busy", busy)
    join = run_in_thread(worker)
    with Client(server.address) as client:
        assert client.submit("busy", on_data=parts.append).result(LIMIT_S) == b""
    worker.stop()
    assert join() is None
    assert sorted(parts) == sorted([letter * PART_BYTES for letter in (b"a", b"b", b"c")] * PARTS)


def test_a_result_that_comes_too_late_harms_nobody() -> None:
    """The job was cancelled; a strict server answers its result with ERROR."""
    entered, going = threading.Event(), threading.Event()

    def held(job: Job) -> bytes:
        entered.set()
        assert going.wait(LIMIT_S)
        return job.data

    with ServerProcess("--strict") as server, Client(server.address) as client:
        worker = Worker(server.address, reconnect=False)
        worker.register("held", held)
        join = run_in_thread(worker)
        job = client.submit("held", "1")
        assert entered.wait(LIMIT_S)
        with socket.create_connection((server.host, server.port), LIMIT_S) as operator:
            operator.sendall(f"cancel job {job.handle}\n".encode())
            assert operator.recv(100) == b"OK\r\n"
        with pytest.raises(JobFailed):
            job.result(LIMIT_S)
        going.set()
        assert client.submit("held", "2").result(LIMIT_S) == b"2"
        worker.stop()
        assert join() is None


# ---- when it does not work out


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    worker = Worker(f"127.0.0.1:{port}", reconnect=False)
    worker.register("f", lambda job: None)
    with pytest.raises(CannotConnect, match=f"127.0.0.1:{port}"):
        worker.run()


def test_an_address_that_makes_no_sense() -> None:
    with pytest.raises(SettingError, match="host:port"):
        Worker("1:2:3")


def test_the_server_stops_under_a_sleeping_worker(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)
    worker.register("f", lambda job: None)
    join = run_in_thread(worker)
    with Client(server.address) as client:
        client.submit("f").result(LIMIT_S)
    server.stop()
    error = join()
    assert isinstance(error, ConnectionLost)
    assert server.address in str(error)


def test_the_server_is_killed_in_the_middle_of_a_job(server: ServerProcess) -> None:
    reported: list[BaseException] = []

    def hopeful(job: Job) -> bytes:
        server.kill()
        for _ in range(2):
            try:
                for _ in range(1000):  # the first of them may still go into the void
                    job.progress(1, 2)
            except ConnectionLost as error:
                reported.append(error)
        return b"for nobody"

    worker = Worker(server.address, reconnect=False)
    worker.register("hopeful", hopeful)
    join = run_in_thread(worker)
    with Client(server.address) as client:
        client.submit_background("hopeful")
        assert isinstance(join(), ConnectionLost)
    assert len(reported) == 2


def test_a_refused_function_ends_the_worker(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)
    worker.register("line\nbreak", lambda job: None)
    with pytest.raises(ServerError) as refusal:
        worker.run()
    assert refusal.value.code == "INVALID_ARGUMENT"


def test_a_server_that_is_full_is_quoted() -> None:
    with ServerProcess("--max-connections", "1") as server, Client(server.address) as client:
        client.echo()
        worker = Worker(server.address, reconnect=False)
        worker.register("f", lambda job: None)
        with pytest.raises(ServerError, match="TOO_MANY_CONNECTIONS"):
            worker.run()


def test_what_is_no_gearman_server_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example.org ESMTP\r\n")
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        worker = Worker(f"127.0.0.1:{listener.getsockname()[1]}", reconnect=False)
        worker.register("f", lambda job: None)
        with pytest.raises(ConnectionLost, match="does not speak Gearman: it sent text: b'220"):
            worker.run()
        thread.join(LIMIT_S)


# ---- signals in the main thread of this process


@pytest.fixture
def main_thread() -> Iterator[None]:
    """The main thread runs a worker here: if that hangs, the test ends all the same."""
    timer = threading.Timer(
        LIMIT_S, signal.pthread_kill, (threading.main_thread().ident, signal.SIGALRM)
    )
    on_alarm = signal.signal(signal.SIGALRM, _too_long)
    # A test run that was started in the background ignores SIGINT.
    on_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    yield
    timer.cancel()
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGINT, on_interrupt)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise AssertionError("the signal was missed: the worker still waits")


@pytest.mark.usefixtures("main_thread")
def test_no_signal_is_missed_whenever_it_comes(server: ServerProcess) -> None:
    """Each arrives somewhere between the end of a job and the wait for the next one."""
    worker = Worker(server.address, reconnect=False)
    worker.register("f", lambda job: None)
    handlers = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    with Client(server.address) as client:
        for number in range(60):
            job = client.submit("f")
            thread = threading.Thread(target=_signal_after, args=(job, number))
            thread.start()
            worker.run()
            thread.join(LIMIT_S)
    assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == handlers
    assert signal.set_wakeup_fd(-1) == -1


def _signal_after(job: ClientJob, turns: int) -> None:
    job.result(LIMIT_S)
    for _ in range(turns * 50):
        pass  # so that each comes a little later than the one before
    os.kill(os.getpid(), signal.SIGINT if turns % 2 else signal.SIGTERM)


@pytest.mark.usefixtures("main_thread")
def test_an_ignored_signal_stays_ignored(server: ServerProcess) -> None:
    worker = Worker(server.address, reconnect=False)
    handled: list[object] = []

    def last(job: Job) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        handled.append(signal.getsignal(signal.SIGINT))
        worker.stop()

    worker.register("last", last)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Client(server.address) as client:
            job = client.submit("last")
            worker.run()
            assert job.result(LIMIT_S) == b""
        assert handled == [signal.SIG_IGN]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("main_thread")
def test_a_second_interrupt_does_not_wait_and_the_job_goes_to_another(
    server: ServerProcess,
) -> None:
    reached: list[str] = []

    def endless(job: Job) -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("after the first")
        signal.raise_signal(signal.SIGINT)
        reached.append("after the second")

    worker = Worker(server.address, reconnect=False)
    worker.register("f", endless)
    with Client(server.address) as client:
        job = client.submit("f")
        with pytest.raises(KeyboardInterrupt):
            worker.run()
        assert reached == ["after the first"]
        worker.register("f", lambda job: b"by another")
        join = run_in_thread(worker)
        assert job.result(LIMIT_S) == b"by another"
        worker.stop()
        assert join() is None


# ---- signals to a worker process

PROGRAM = """
import sys
from gearpy.errors import GearpyError
from gearpy.worker import Worker

def held(job):
    print("started", job.data.decode(), flush=True)
    sys.stdin.readline()
    return b"finished " + job.data

worker = Worker(sys.argv[1], reconnect=False)
worker.register("held", held)
try:
    worker.run()
except GearpyError as error:
    print(type(error).__name__, flush=True)
    sys.exit(3)
except KeyboardInterrupt:
    print("KeyboardInterrupt", flush=True)
    sys.exit(4)
print("returned", flush=True)
"""


@pytest.fixture
def process(tmp_path: Path, server: ServerProcess) -> Iterator[WorkerProcess]:
    process = WorkerProcess(PROGRAM, tmp_path, server)
    yield process
    process.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_job_finish(
    server: ServerProcess, process: WorkerProcess, number: signal.Signals
) -> None:
    with Client(server.address) as client:
        first, second = client.submit("held", "1"), client.submit("held", "2")
        assert process.said() == "started 1"
        process.process.send_signal(number)
        process.go_on()
        assert first.result(LIMIT_S) == b"finished 1"
        assert process.said() == "returned"
        assert process.process.wait(LIMIT_S) == 0
        assert client.status(second.handle).known
        assert not client.status(second.handle).running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_that_has_nothing_to_do(
    server: ServerProcess, process: WorkerProcess, number: signal.Signals
) -> None:
    with Client(server.address) as client:
        job = client.submit("held", "1")
        process.go_on()
        assert job.result(LIMIT_S) == b"finished 1"
        process.process.send_signal(number)
        assert process.process.wait(LIMIT_S) == 0


def test_a_killed_worker_loses_its_job_to_another(
    server: ServerProcess, process: WorkerProcess
) -> None:
    with Client(server.address) as client:
        job = client.submit("held", "1")
        assert process.said() == "started 1"
        process.process.kill()
        worker = Worker(server.address, reconnect=False)
        worker.register("held", lambda job: b"by another")
        join = run_in_thread(worker)
        assert job.result(LIMIT_S) == b"by another"
        worker.stop()
        assert join() is None


def test_the_server_is_killed_under_a_process(
    server: ServerProcess, process: WorkerProcess
) -> None:
    with Client(server.address) as client:
        client.submit_background("held", "1")
        assert process.said() == "started 1"
        server.kill()
        process.go_on()
        assert process.said() == "ConnectionLost"
        assert process.process.wait(LIMIT_S) == 3
