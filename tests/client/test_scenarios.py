"""What a client does, through each of its skins, with real servers and real workers."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpy.errors import (
    CannotConnect,
    ConnectionLost,
    InvalidArgument,
    JobFailed,
    NotAllSubmitted,
    ServerError,
    WaitTimeout,
)
from gearpy.priority import Priority
from gearpy.protocol import packets as p
from gearpy.protocol.codec import response
from gearpy.testing.process import ServerProcess
from gearpy.worker import Job
from tests.client.other_servers import LIKE_GEARMAND, scripted
from tests.client.skins import LIMIT_S, Skin, skin
from tests.proxy import proxy
from tests.tls import tls_front
from tests.workers import Held, upper, working


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which skin a test goes through."""
    return str(request.param)


@pytest.fixture
def client(kind: str, server: ServerProcess) -> Iterator[Skin]:
    """A client of the server."""
    with skin(kind, server.address) as made:
        yield made


def closed_address() -> str:
    """Where nobody listens."""
    with ServerProcess() as gone:
        return gone.address


# ---- one job


def test_a_job_there_and_back(server: ServerProcess, client: Skin) -> None:
    with working(server.address, upper=upper):
        job = client.submit("upper", "photo", unique="u1", priority=Priority.HIGH)
        assert job.result(LIMIT_S) == b"PHOTO"
        assert job.done
        assert job.result() == b"PHOTO"


def test_a_job_that_fails_says_why(server: ServerProcess, client: Skin) -> None:
    def fails(job: Job) -> bytes:
        raise ValueError("no such photo")

    with working(server.address, fails=fails):
        job = client.submit("fails")
        for _ in range(2):
            with pytest.raises(JobFailed, match="ValueError: no such photo"):
                job.result(LIMIT_S)
        with pytest.raises(JobFailed):
            list(client.submit("fails").data(LIMIT_S))
        with pytest.raises(JobFailed):
            list(client.submit("fails").progress(LIMIT_S))


def test_a_result_that_does_not_come_in_time(server: ServerProcess, client: Skin) -> None:
    job = client.submit("upper", "late")
    for timeout in (0, 0.01):
        with pytest.raises(WaitTimeout, match=f"result of job {job.handle} did not come within"):
            job.result(timeout)
    with working(server.address, upper=upper):
        assert job.result(LIMIT_S) == b"LATE"


def test_data_streams_while_the_job_runs(server: ServerProcess, client: Skin) -> None:
    heard = threading.Semaphore(0)

    def streams(job: Job) -> str:
        for number in range(3):
            job.send_data(f"part {number}")
            assert heard.acquire(timeout=LIMIT_S)
        job.warn("nearly done")
        return "whole"

    with working(server.address, streams=streams):
        job, parts = client.submit("streams"), []
        for part in job.data(LIMIT_S):
            parts.append(part)
            heard.release()
        assert parts == [b"part 0", b"part 1", b"part 2"]
        assert job.result(LIMIT_S) == b"whole"
        assert job.warnings == [b"nearly done"]
        assert list(job.data()) == []


def test_progress_comes_with_its_words(server: ServerProcess, client: Skin) -> None:
    heard = threading.Semaphore(0)

    def counts(job: Job) -> None:
        for number in range(1, 4):
            job.progress(number, 3, f"page {number}")
            assert heard.acquire(timeout=LIMIT_S)

    with working(server.address, counts=counts):
        told: list[tuple[object, ...]] = []

        def tell(*progress: object) -> None:
            told.append(progress)
            heard.release()

        job = client.submit("counts", on_progress=tell)
        assert job.result(LIMIT_S) == b""
        assert told == [(1, 3, "page 1"), (2, 3, "page 2"), (3, 3, "page 3")]
        assert job.last_progress is not None
        assert job.last_progress.text == "page 3"

        seen = []
        for progress in client.submit("counts").progress(LIMIT_S):
            seen.append((progress.numerator, progress.denominator, progress.text))
            heard.release()
        assert seen == told


def test_who_iterates_seldom_gets_the_newest_progress(server: ServerProcess, client: Skin) -> None:
    def hurries(job: Job) -> None:
        for number in range(100):
            job.progress(number, 99)

    with working(server.address, hurries=hurries):
        job = client.submit("hurries")
        job.result(LIMIT_S)
        assert [progress.numerator for progress in job.progress()] == [99]


def test_callbacks_are_told_all_in_order(server: ServerProcess, client: Skin) -> None:
    def chatty(job: Job) -> str:
        for number in range(200):
            job.send_data(f"{number}")
            job.progress(number, 200)
            job.warn(f"w{number}")
        return "whole"

    told: list[object] = []
    with working(server.address, chatty=chatty):
        job = client.submit(
            "chatty",
            on_progress=lambda done, of, words: told.append(done),
            on_data=told.append,
            on_warning=told.append,
        )
        assert job.result(LIMIT_S) == b"whole"
    assert told == [news for n in range(200) for news in (f"{n}".encode(), n, f"w{n}".encode())]


def test_a_job_is_looked_at_and_ended(server: ServerProcess, client: Skin) -> None:
    held = Held()
    with working(server.address, held=held):
        job = client.submit("held")
        held.wait_entered()
        assert job.status().running
        assert client.job(job.handle)["job"]["state"] == "running"
        assert job.cancel()
        with pytest.raises(JobFailed):
            job.result(LIMIT_S)
        assert not job.cancel()
        assert not client.status(job.handle).known
        with pytest.raises(ServerError, match="JOB_NOT_FOUND"):
            client.job("H:nobody:1")
        held.going.release()


def test_options_of_one_job(server: ServerProcess, client: Skin) -> None:
    handle = client.submit_background(
        "f",
        "x",
        delay_s=3600,
        attempts=3,
        expires_s=7200,
        key="k",
        labels={"a": "b"},
        priority=Priority.CRITICAL,
    )
    job = client.job(handle)["job"]
    assert job["state"] == "delayed"
    assert job["labels"] == {"a": "b"}
    assert client.cancel(handle)


def test_what_makes_no_sense_is_refused_before_it_is_sent(client: Skin) -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        client.submit("a\0b")
    with pytest.raises(InvalidArgument, match=r"Priority\.HIGH"):
        client.submit("f", priority=9)
    with pytest.raises(InvalidArgument, match="resubmit=True takes a unique key"):
        client.submit("f", resubmit=True)
    with pytest.raises(TypeError, match="data must be bytes or str"):
        client.submit("f", 7)
    with pytest.raises(InvalidArgument, match="in_flight"):
        list(client.map("f", [b""], in_flight=0))


# ---- many jobs


def test_many_jobs_keep_their_order(server: ServerProcess, client: Skin) -> None:
    texts = [f"job {number}" for number in range(2_500)]
    with working(server.address, upper=upper):
        jobs = client.submit_many("upper", texts)
        assert client.gather(jobs, LIMIT_S) == [text.upper().encode() for text in texts]
        assert len({job.handle for job in jobs}) == len(texts)


def test_many_background_jobs_have_their_handles(server: ServerProcess, client: Skin) -> None:
    handles = client.submit_many_background("f", [b"x"] * 2_500)
    assert len(set(handles)) == 2_500
    assert client.submit_many_background("f", []) == []
    same = client.submit_many_background("f", ["a", "b", "a"], unique=lambda data: data)
    assert same[0] == same[2] != same[1]


def test_a_map_reads_no_further_than_it_may(server: ServerProcess, client: Skin) -> None:
    read: list[int] = []

    def numbers() -> Iterator[str]:
        for number in range(50):
            read.append(number)
            yield str(number)

    with working(server.address, upper=upper):
        results = client.map("upper", numbers(), in_flight=4, timeout=LIMIT_S)
        assert next(results) == b"0"
        assert len(read) == 4
        assert list(results) == [str(number).encode() for number in range(1, 50)]
        assert list(client.map("upper", [])) == []


def test_a_map_ends_at_the_job_that_fails(server: ServerProcess, client: Skin) -> None:
    def picky(job: Job) -> bytes:
        if job.data == b"bad":
            raise ValueError("bad data")
        return job.data

    with working(server.address, picky=picky):
        results = client.map("picky", ["1", "2", "bad", "3"], timeout=LIMIT_S)
        assert [next(results), next(results)] == [b"1", b"2"]
        with pytest.raises(JobFailed, match="bad data"):
            next(results)


def test_of_many_jobs_one_is_refused(kind: str) -> None:
    with ServerProcess() as server, skin(kind, server.address) as client:
        client.operate("set-policy", function="f", policy={"max_queue": 3})
        with pytest.raises(NotAllSubmitted, match=r"3 jobs were submitted.*QUEUE") as raised:
            client.submit_many_background("f", ["a", "b", "c", "d", "e"])
        submitted = raised.value.submitted
        assert [handle is None for handle in submitted] == [False, False, False, True, True]
        assert isinstance(raised.value.error, ServerError)


def test_what_the_user_gives_may_end_in_an_error(server: ServerProcess, client: Skin) -> None:
    def datas() -> Iterator[str]:
        yield from (str(number) for number in range(1_000))
        raise LookupError("no more")

    with pytest.raises(NotAllSubmitted, match="no more") as raised:
        client.submit_many_background("f", datas())
    assert len(raised.value.submitted) == 1_000
    with pytest.raises(TypeError, match="data must be bytes or str"):
        client.submit_many_background("f", [7])


# ---- connections that are not as they should be


def test_an_idle_connection_that_was_cut_is_made_again(kind: str, server: ServerProcess) -> None:
    with proxy(server.host, server.port) as between, skin(kind, between.address) as client:
        assert client.echo("1") == b"1"
        between.cut()
        _until_noticed(client)
        assert client.echo("2") == b"2"
        assert between.connections == 2


def _until_noticed(client: Skin) -> None:
    """A call that hits the end of a connection is lost with it; the next one makes a new one."""
    with contextlib.suppress(ConnectionLost):
        client.echo()


def test_bytes_that_come_in_pieces(kind: str, server: ServerProcess) -> None:
    with (
        working(server.address, upper=upper),
        proxy(server.host, server.port, piece_bytes=3) as between,
        skin(kind, between.address) as client,
    ):
        assert client.submit("upper", "photo").result(LIMIT_S) == b"PHOTO"


def test_a_connection_that_is_slow(kind: str, server: ServerProcess) -> None:
    with proxy(server.host, server.port) as between:
        with skin(kind, between.address, timeout=0.05) as client:
            between.hold()
            with pytest.raises(WaitTimeout, match=r"did not answer within 0\.05 s"):
                client.submit("f")
            between.go_on()
        with skin(kind, between.address) as client:
            assert client.echo("there") == b"there"


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_job_whose_connection_ends(kind: str, server: ServerProcess, how: str) -> None:
    with proxy(server.host, server.port) as between, skin(kind, between.address) as client:
        job = client.submit("nobody")
        getattr(between, how)()
        with pytest.raises(ConnectionLost, match=f"how job {job.handle} ended is not known"):
            job.result(LIMIT_S)
        with pytest.raises(ConnectionLost):
            list(job.data(LIMIT_S))


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_job_that_is_submitted_again(kind: str, server: ServerProcess, how: str) -> None:
    held = Held()
    with (
        working(server.address, held=held),
        proxy(server.host, server.port) as between,
        skin(kind, between.address) as client,
    ):
        job = client.submit("held", unique="u", resubmit=True)
        held.wait_entered()
        getattr(between, how)()
        held.going.release(2)  # whether it goes on or begins anew
        assert job.result(LIMIT_S) == b"let go"


def test_a_server_that_is_killed_and_comes_back(kind: str, tmp_path: Path) -> None:
    with ServerProcess() as server:
        port = server.port
        with skin(kind, server.address) as client:
            job = client.submit("upper", "again", unique="u", resubmit=True)
            server.kill()
            waiting = threading.Thread(target=lambda: results.append(job.result(LIMIT_S)))
            results: list[bytes] = []
            waiting.start()
            with ServerProcess("--port", str(port)) as again, working(again.address, upper=upper):
                waiting.join(LIMIT_S)
                assert results == [b"AGAIN"]


def test_a_server_that_stays_away_uses_up_the_time(kind: str) -> None:
    with ServerProcess() as server, skin(kind, server.address) as client:
        job = client.submit("f", unique="u", resubmit=True)
        server.kill()
        with pytest.raises(WaitTimeout, match=r"within 0\.2 s: no Gearman server answers"):
            job.result(0.2)


def test_no_server_is_there(kind: str) -> None:
    address = closed_address()
    with pytest.raises(CannotConnect, match="no Gearman server answers at"):
        with skin(kind, address):
            pass
    with pytest.raises(CannotConnect, match="no server of the list can be used"):
        with skin(kind, [address, closed_address()]):
            pass


def test_through_tls(kind: str, server: ServerProcess, tmp_path: Path) -> None:
    payload = b"x" * 1_000_000
    with (
        working(server.address, upper=upper),
        tls_front(tmp_path, server.host, server.port) as front,
    ):
        with skin(kind, front.url) as client:
            assert client.submit("upper", payload).result(LIMIT_S) == payload.upper()
        with pytest.raises(CannotConnect, match="certificate is not accepted"):
            with skin(kind, front.distrusted):
                pass


def test_over_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "gearpy.sock"
    with ServerProcess("--unix", str(path)), skin(kind, f"unix://{path}") as client:
        assert client.echo("there") == b"there"


# ---- several servers


def test_a_key_has_its_server_and_the_rest_goes_round(kind: str) -> None:
    with ServerProcess() as one, ServerProcess() as two:
        both = [one.address, two.address]
        with skin(kind, both) as client, skin(kind, both[::-1]) as other:
            keys = [f"key {number}" for number in range(20)]
            for key in keys:
                assert client.submit_background("f", unique=key) == other.submit_background(
                    "f", unique=key
                )
            for _ in range(10):
                client.submit_background("g")
        counts = {"f": [0, 0], "g": [0, 0]}
        for place, server in enumerate((one, two)):
            with skin(kind, server.address) as single:
                for row in single.operate("functions")["functions"]:
                    counts[row["function"]][place] = row["queued"]
        assert sum(counts["f"]) == 20
        assert min(counts["f"]) > 0
        assert counts["g"] == [5, 5]


def test_a_dead_server_fails_no_call(kind: str) -> None:
    with ServerProcess() as one, ServerProcess() as two:
        with skin(kind, f"{one.address},{two.address}") as client:
            handles = {client.submit_background("f") for _ in range(4)}
            one.kill()
            _until_noticed(client)
            handles |= {client.submit_background("f") for _ in range(4)}
            handles |= {client.submit_background("f", unique=str(n)) for n in range(10)}
            handles |= set(client.submit_many_background("f", ["x"] * 10))
            assert len(handles) == 28
            assert client.status(max(handles, key=lambda handle: handle)).known in (True, False)
            with working(two.address, upper=upper):
                assert list(client.map("upper", ["a", "b"], timeout=LIMIT_S)) == [b"A", b"B"]


def test_a_job_is_found_on_the_server_that_has_it(kind: str) -> None:
    with ServerProcess() as one, ServerProcess() as two:
        with skin(kind, [one.address, two.address]) as client:
            handles = [client.submit_background("f") for _ in range(4)]
            assert all(client.status(handle).known for handle in handles)
            assert all(client.job(handle)["job"]["handle"] == handle for handle in handles)
            assert all(client.cancel(handle) for handle in handles)
            assert not client.cancel(handles[0])


def test_a_job_moves_to_the_server_that_is_left(kind: str) -> None:
    with ServerProcess() as one, ServerProcess() as two:
        with skin(kind, [one.address, two.address]) as client:
            jobs = [
                client.submit("upper", f"job {number}", unique=f"{number}", resubmit=True)
                for number in range(10)
            ]
            one.kill()
            with working(two.address, upper=upper):
                assert client.gather(jobs, LIMIT_S) == [b"JOB %d" % n for n in range(10)]


def test_a_server_that_is_full_leaves_the_job_to_another(kind: str) -> None:
    with ServerProcess("--max-connections", "1") as full, ServerProcess() as free:
        with skin(kind, full.address), skin(kind, [full.address, free.address]) as client:
            for _ in range(4):
                client.submit_background("f")
        with skin(kind, free.address) as client:
            [row] = client.operate("functions")["functions"]
            assert row["queued"] == 4


def test_a_server_that_goes_down_leaves_the_job_to_another(kind: str) -> None:
    held = Held()
    with ServerProcess("--drain-timeout", "30") as one, ServerProcess() as two:
        with (
            working(one.address, held=held),
            skin(kind, one.address) as witness,
            skin(kind, [one.address, two.address]) as client,
        ):
            last = witness.submit("held")
            held.wait_entered()
            client.submit_many_background("f", ["x"] * 2)  # so it is connected to both
            stopping = threading.Thread(target=one.stop)
            stopping.start()
            while not _refuses(witness):
                pass
            client.submit_many_background("f", ["x"] * 4)
            for _ in range(4):
                client.submit_background("f")
            held.going.release()
            assert last.result(LIMIT_S) == b"let go"
            stopping.join(LIMIT_S)
        with skin(kind, two.address) as client:
            [row] = client.operate("functions")["functions"]
            assert row["queued"] == 9


def _refuses(client: Skin) -> bool:
    try:
        client.submit_background("nothing")
    except ServerError:
        return True
    return False


# ---- other servers


def test_another_server_has_numbers_without_words(kind: str) -> None:
    answers = {
        **LIKE_GEARMAND,
        p.SUBMIT_JOB: lambda _: (
            response(p.JOB_CREATED, b"H:1")
            + response(p.WORK_STATUS, b"H:1", b"1", b"2")
            + response(p.WORK_COMPLETE, b"H:1", b"done")
        ),
    }
    told: list[object] = []
    with scripted(answers) as server, skin(kind, server.address) as client:
        job = client.submit("f", on_progress=lambda *progress: told.append(progress))
        assert job.result(LIMIT_S) == b"done"
    assert told == [(1, 2, "")]
