"""The blocking client against a real server, with real workers in threads."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from gearpy.client import Client, JobStatus
from gearpy.errors import (
    CannotConnect,
    ConnectionLost,
    InvalidArgument,
    JobFailed,
    ServerError,
    SettingError,
    WaitTimeout,
)
from gearpy.priority import Priority
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job, Worker
from tests.workers import Held, upper, working

LIMIT_S = 30.0  # by which everything that a test waits for has happened


def test_a_job_there_and_back(server: ServerProcess) -> None:
    with working(server.address, upper=upper), Client(server.address) as client:
        job = client.submit("upper", "photo", unique="u7")
        assert (job.function, job.unique) == ("upper", "u7")
        assert job.handle.startswith("H:")
        assert job.result(LIMIT_S) == b"PHOTO"
        assert job.done
        assert job.result(0) == b"PHOTO"


def test_str_is_utf8_and_bytes_are_bytes(server: ServerProcess) -> None:
    seen: list[tuple[str, str, bytes]] = []

    def keep(job: Job) -> str:
        seen.append((job.function, job.unique, job.data))
        return "größe"

    with working(server.address, größe=keep), Client(server.address) as client:
        assert client.submit("größe", "höhe", unique="ü").result(LIMIT_S) == "größe".encode()
        assert client.submit("größe".encode(), b"\0\xff", unique=b"\xff").result(LIMIT_S)
    assert seen == [("größe", "ü", "höhe".encode()), ("größe", "\udcff", b"\0\xff")]


def test_large_payloads_there_and_back(server: ServerProcess) -> None:
    payload = bytes(range(256)) * (48 << 12)  # 48 MiB
    with working(server.address, same=lambda job: job.data), Client(server.address) as client:
        assert client.submit("same", payload).result(LIMIT_S) == payload
        assert client.echo(payload) == payload


def test_results_are_waited_for_in_any_order(server: ServerProcess) -> None:
    with working(server.address, upper=upper), Client(server.address) as client:
        jobs = [client.submit("upper", f"job {number}") for number in range(50)]
        for number in [*range(49, 24, -1), *range(25)]:
            assert jobs[number].result(LIMIT_S) == b"JOB %d" % number


def test_what_the_worker_tells_on_the_way_comes_in_order(server: ServerProcess) -> None:
    def chatty(job: Job) -> str:
        job.progress(1, 2)
        job.send_data(b"part\0one")
        job.warn("careful")
        job.progress(2, 2)
        return "whole"

    told: list[object] = []
    with working(server.address, chatty=chatty), Client(server.address) as client:
        job = client.submit(
            "chatty",
            on_progress=lambda *progress: told.append(progress),
            on_data=told.append,
            on_warning=lambda warning: told.append(warning.decode()),
        )
        assert job.result(LIMIT_S) == b"whole"
        assert told == [(1, 2, ""), b"part\0one", "careful", (2, 2, "")]
        assert client.submit("chatty").result(LIMIT_S) == b"whole"


def test_news_are_sent_while_the_function_runs(server: ServerProcess) -> None:
    answered = threading.Event()

    def asks(job: Job) -> bytes:
        job.progress(1, 2)
        assert answered.wait(LIMIT_S)
        return b"thanks"

    with working(server.address, asks=asks), Client(server.address) as client:
        job = client.submit("asks", on_progress=lambda *_: answered.set())
        assert job.result(LIMIT_S) == b"thanks"


def test_submissions_of_one_connection_that_share_a_job(server: ServerProcess) -> None:
    gate = threading.Event()

    def parts(job: Job) -> bytes:
        assert gate.wait(LIMIT_S)
        for part in (b"1", b"2", b"3"):
            job.send_data(part)
            job.progress(int(part), 3)
        return job.data

    told: list[list[object]] = [[], [], []]

    with working(server.address, parts=parts), Client(server.address) as client:
        jobs = [
            client.submit(
                "parts",
                f"payload {number}",
                unique="same",
                on_data=told[number].append,
                on_progress=lambda *progress, told=told[number]: told.append(progress),
            )
            for number in range(3)
        ]
        assert len({job.handle for job in jobs}) == 1
        gate.set()
        assert [job.result(LIMIT_S) for job in jobs] == [b"payload 0"] * 3
    assert told == [[b"1", (1, 3, ""), b"2", (2, 3, ""), b"3", (3, 3, "")]] * 3


def test_a_job_whose_worker_raises_fails_with_type_and_message(server: ServerProcess) -> None:
    def fails(job: Job) -> bytes:
        raise ValueError("no such photo")

    with working(server.address, fails=fails, upper=upper), Client(server.address) as client:
        job = client.submit("fails")
        for _ in range(2):
            with pytest.raises(JobFailed, match="failed: ValueError: no such photo") as failure:
                job.result(LIMIT_S)
            assert failure.value.exception == b"ValueError: no such photo"
            assert failure.value.handle == job.handle
        assert client.submit("upper", "and on").result(LIMIT_S) == b"AND ON"


def test_waiting_may_be_given_up_and_taken_up_again(server: ServerProcess) -> None:
    held = Held()
    with working(server.address, held=held), Client(server.address) as client:
        job = client.submit("held")
        held.wait_entered()
        for timeout in (0, 0.01):
            with pytest.raises(WaitTimeout, match=rf"result of job {job.handle} did not come"):
                job.result(timeout)
        assert not job.done
        held.going.release()
        assert job.result(LIMIT_S) == b"let go"


def test_status_from_queued_to_forgotten(server: ServerProcess) -> None:
    held = Held()

    def halfway(job: Job) -> bytes:
        job.progress(5, 10)
        return held(job)

    with Client(server.address) as client:
        handle = client.submit_background("halfway", "x")
        assert client.status(handle) == JobStatus(True, False, 0, 0)
        with working(server.address, halfway=halfway):
            held.wait_entered()
            assert client.status(handle) == JobStatus(True, True, 5, 10)
            held.going.release()
        assert client.status(handle) == JobStatus(False, False, 0, 0)


def test_priorities(server: ServerProcess) -> None:
    order: list[bytes] = []

    def keep(job: Job) -> None:
        order.append(job.data)

    with Client(server.address) as client:
        client.submit_background("keep", "low", priority=Priority.LOW)
        client.submit_background("keep", "normal")
        client.submit_background("keep", "high", priority=Priority.HIGH)
        last = client.submit("keep", "last", priority=Priority.LOW)
        first = client.submit("keep", "first of all", priority=Priority.HIGH)
        with working(server.address, keep=keep):
            last.result(LIMIT_S)
            first.result(LIMIT_S)
    assert order == [b"high", b"first of all", b"normal", b"low", b"last"]


def test_background_jobs_coalesce_too(server: ServerProcess) -> None:
    with Client(server.address) as client:
        handle = client.submit_background("f", "1", unique="u")
        assert client.submit_background("f", "2", unique="u") == handle
        assert client.submit("f", "3", unique="u").handle == handle
        assert client.submit_background("f", "4") != handle


def test_a_callback_may_ask_for_more(server: ServerProcess) -> None:
    def chatty(job: Job) -> bytes:
        job.progress(1, 2)
        job.progress(2, 2)
        return b"done"

    results: list[bytes] = []
    with working(server.address, chatty=chatty, upper=upper), Client(server.address) as client:
        job = client.submit(
            "chatty",
            on_progress=lambda n, *_: results.append(
                client.submit("upper", f"{n}").result(LIMIT_S)
            ),
        )
        assert job.result(LIMIT_S) == b"done"
    assert results == [b"1", b"2"]


def test_what_makes_the_jobs_may_ask_the_client(server: ServerProcess) -> None:
    with Client(server.address) as client:

        def echoed() -> Iterator[bytes]:
            for number in range(10):
                yield client.echo(str(number))

        assert len(set(client.submit_many_background("f", echoed()))) == 10


def test_what_a_callback_raises_comes_out_and_harms_nothing(server: ServerProcess) -> None:
    def chatty(job: Job) -> bytes:
        job.progress(1, 1)
        return b"done"

    def complain(*_: object) -> None:
        raise LookupError("not this")

    with working(server.address, chatty=chatty), Client(server.address) as client:
        job = client.submit("chatty", on_progress=complain)
        with pytest.raises(LookupError, match="not this"):
            job.result(LIMIT_S)
        assert job.result(LIMIT_S) == b"done"


def test_a_refused_submit_says_why_and_the_client_goes_on(server: ServerProcess) -> None:
    with Client(server.address) as client:
        with pytest.raises(ServerError) as refusal:
            client.submit("f", unique="u" * 65)
        assert refusal.value.code == "ARGUMENT_TOO_LARGE"
        assert client.echo("still there") == b"still there"


def test_mistakes_are_told_before_anything_is_sent(server: ServerProcess) -> None:
    with Client(server.address) as client:
        with pytest.raises(TypeError, match="data must be bytes or str, not dict"):
            client.submit("f", {})  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(TypeError, match="function must be bytes or str, not NoneType"):
            client.submit_background(None)  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(InvalidArgument, match="NUL"):
            client.submit("a\0b")
        assert client.echo(b"well") == b"well"


# ---- when it does not work out


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CannotConnect, match=f"127.0.0.1:{port}"):
        Client(f"127.0.0.1:{port}")


def test_an_address_that_makes_no_sense() -> None:
    with pytest.raises(SettingError, match="host:port"):
        Client("1:2:3")


def test_the_server_is_killed_under_a_waiting_client(server: ServerProcess) -> None:
    held = Held()
    errors: list[type[Exception]] = []
    worker = Worker(server.address, reconnect=False)
    worker.register("held", held)
    with Client(server.address) as client:
        job, early = client.submit("held"), client.submit("early")
        thread = threading.Thread(target=lambda: errors.append(_error_of(worker.run)))
        thread.start()
        held.wait_entered()
        killer = threading.Thread(target=server.kill)
        killer.start()
        with pytest.raises(ConnectionLost, match=f"how job {job.handle} ended is not known"):
            job.result(LIMIT_S)
        killer.join(LIMIT_S)
        held.going.release()
        thread.join(LIMIT_S)
        assert errors == [ConnectionLost]
        with pytest.raises(ConnectionLost, match=f"how job {early.handle} ended"):
            early.result(0)
        for ask in (client.echo, lambda: client.submit("f"), lambda: client.status(job.handle)):
            with pytest.raises(CannotConnect, match="no Gearman server answers"):
                ask()


def _error_of(run: Callable[[], None]) -> type[Exception]:
    try:
        run()
    except Exception as error:
        return type(error)
    raise AssertionError("it ended well")


def test_a_result_that_came_before_the_loss_is_kept(server: ServerProcess) -> None:
    with working(server.address, upper=upper), Client(server.address) as client:
        first, second = client.submit("upper", "1"), client.submit("upper", "2")
        assert second.result(LIMIT_S) == b"2"
    assert first.result(0) == b"1"


def test_a_closed_client_says_so(server: ServerProcess) -> None:
    with Client(server.address) as client:
        job = client.submit("nobody")
    client.close()
    with pytest.raises(ConnectionLost, match="closed by this client"):
        client.echo()
    with pytest.raises(ConnectionLost, match="closed by this client"):
        job.result()


def test_a_server_that_is_full_is_quoted() -> None:
    with ServerProcess("--max-connections", "1") as server, Client(server.address) as first:
        first.echo()
        with (
            Client(server.address) as second,
            pytest.raises(CannotConnect, match="TOO_MANY_CONNECTIONS"),
        ):
            second.echo()


@contextlib.contextmanager
def peer(greeting: bytes) -> Iterator[str]:
    """Something that is no Gearman server: it says its greeting and then listens for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(LIMIT_S)


def test_what_is_no_gearman_server_is_noticed() -> None:
    with (
        peer(b"SSH-2.0-OpenSSH_9\r\n") as address,
        Client(address) as client,
        pytest.raises(ConnectionLost, match=r"does not speak Gearman: it sent text: b'SSH-2\.0"),
    ):
        client.submit("f")


def test_a_server_that_does_not_answer() -> None:
    with peer(b"") as address, Client(address, timeout=0.05) as client:
        with pytest.raises(WaitTimeout, match=r"did not answer within 0\.05 s"):
            client.submit("f")
        with pytest.raises(WaitTimeout, match="did not answer"):
            client.echo()


def test_a_late_answer_is_not_taken_for_the_next_one(server: ServerProcess) -> None:
    """A stopped server answers nothing in time; afterwards everything is in order again."""
    with Client(server.address, timeout=0.05) as client:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(WaitTimeout):
                client.submit("f", "given up")
            with pytest.raises(WaitTimeout):
                client.echo("given up")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        for number in range(int(LIMIT_S / 0.05)):
            with contextlib.suppress(WaitTimeout):
                assert client.echo(f"try {number}") == b"try %d" % number
                break
        else:
            pytest.fail("the server does not answer any more")


def test_over_a_unix_socket(tmp_path: object) -> None:
    path = f"{tmp_path}/gearpy.sock"
    with ServerProcess("--unix", path), Client(f"unix://{path}") as client:
        assert client.echo("hi") == b"hi"
