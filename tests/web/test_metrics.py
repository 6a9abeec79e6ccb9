"""What Prometheus is told, by a real server, and of servers that are made up."""

import socket
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gearpy.broker.broker import Broker
from gearpy.engine.statistics import BOUNDS_S, Histogram
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request
from gearpy.testing.process import ServerProcess
from gearpy.web.meter import told
from gearpy.web.metrics import Snapshot, _label, text
from gearpy.worker import Job, Worker
from tests.docstrings import run_examples
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(told: str) -> Samples:
    """Every sample by its name and labels; each may be there once."""
    found: Samples = {}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_jobs_are_counted(web: ServerProcess, http: httpx.Client) -> None:
    def work(job: Job) -> bytes:
        if job.data == b"bad":
            raise ValueError
        return b""

    for data in ("good", "good", "good", "bad"):
        http.post("/api/jobs", json={"function": "f", "data": data})
    worker = Worker(web.address)
    worker.register("f", work)
    worker.run(burst=True)
    http.post("/api/jobs", json={"function": "f"})
    http.post("/api/jobs", json={"function": "f", "delay_s": 60})
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = parsed(answer.text)
    assert of(samples, "gearpy_jobs", function="f", state="queued") == 1
    assert of(samples, "gearpy_jobs", function="f", state="delayed") == 1
    assert of(samples, "gearpy_jobs_submitted_total", function="f") == 6
    assert of(samples, "gearpy_jobs_completed_total", function="f") == 3
    assert of(samples, "gearpy_jobs_failed_total", function="f") == 1
    assert of(samples, "gearpy_success_ratio", function="f") == 0.75
    assert of(samples, "gearpy_job_running_seconds_count", function="f") == 4
    assert of(samples, "gearpy_job_running_seconds_bucket", function="f", le="+Inf") == 4
    assert of(samples, "gearpy_oldest_queued_seconds", function="f") >= 0
    assert of(samples, "process_resident_memory_bytes") > 0


def test_commits_are_counted_where_there_is_a_journal(tmp_path: Path) -> None:
    flags = ("--http", "127.0.0.1:0", "--journal", str(tmp_path / "jobs.db"))
    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            before = parsed(http.get("/metrics").text)
            http.post("/api/jobs", json={"function": "f"})
            after = parsed(http.get("/metrics").text)
    name = "gearpy_commit_seconds"
    assert of(after, f"{name}_count") == of(before, f"{name}_count") + 1
    assert of(after, f"{name}_sum") > of(before, f"{name}_sum")


def snapshot_of(broker: Broker) -> Snapshot:
    functions = list(broker.engine.functions.all())
    return Snapshot(broker.statistics(), functions, 5.0, None, Histogram().snapshot())


def test_any_name_of_a_function_can_be_told() -> None:
    broker = Broker()
    for name in (b'quo"te', b"back\\slash", b"\xff", b"\xfe", rb"\xff", "naïve".encode()):
        broker.engine.submit(None, name, b"", b"")
    samples = parsed(text(snapshot_of(broker)).decode())
    names = {dict(labels)["function"] for name, labels in samples if name == "gearpy_jobs"}
    assert names == {'quo"te', "back\\slash", "\\xff", "\\xfe", "\\\\xff", "naïve"}
    assert "gearpy_commit_seconds_count" not in {name for name, _ in samples}


pieces = st.sampled_from([b"\\", b"x", b"ff", b"c3", b"\xff", b"\xc3", b"\xa4", b"\\xff", b"a"])


@given(st.sets(st.binary(max_size=6) | st.lists(pieces, max_size=6).map(b"".join), max_size=50))
def test_no_two_names_have_one_label(names: set[bytes]) -> None:
    assert len({_label(name).encode() for name in names}) == len(names)


@pytest.mark.parametrize("duration_s", [0.0, 0.001, 0.5, 86_400.0, 1e6])
def test_a_bucket_counts_what_is_in_those_below_it(duration_s: float) -> None:
    lag = Histogram()
    lag.add(duration_s)
    snapshot = snapshot_of(Broker())._replace(lag=lag.snapshot())
    samples = parsed(text(snapshot).decode())
    for bound_s in BOUNDS_S:
        found = of(samples, "gearpy_loop_lag_seconds_bucket", le=str(bound_s))
        assert found == (duration_s <= bound_s)
    assert of(samples, "gearpy_loop_lag_seconds_bucket", le="+Inf") == 1
    assert of(samples, "gearpy_loop_lag_seconds_sum") == duration_s


def test_functions_in_trouble_have_numbers_though_nobody_submits_to_them() -> None:
    broker = Broker()
    engine = broker.engine
    engine.functions.create(b"never")
    never = engine.functions.get(b"never")
    assert never is not None
    functions = [replace(never, dead=5)]  # as after a restart: its counters are at their beginning
    for number in range(60):
        engine.cancel(engine.submit(None, b"often.%d" % number, b"", b"").handle)
        functions.append(replace(never, function=b"deep.%d" % number, queued=(0, 0, 9, 0)))
    functions += [each for each in engine.functions.all() if each.function != b"never"]
    names = [each.function for each in told(functions, 30)]
    assert len(names) == len(set(names)) == 30
    assert b"never" in names
    assert sum(name.startswith(b"deep") for name in names) >= 10
    assert sum(name.startswith(b"often") for name in names) >= 10
    assert told(functions, 200) == functions


def test_what_is_left_out_is_in_the_sums() -> None:
    broker = Broker()
    for number in range(4):
        broker.engine.submit(None, b"f.%d" % number, b"", b"")
    snapshot = snapshot_of(broker)
    samples = parsed(text(snapshot._replace(functions=snapshot.functions[:1])).decode())
    assert of(samples, "gearpy_functions_left_out") == 3
    assert of(samples, "gearpy_all_jobs", state="queued") == 4
    assert of(samples, "gearpy_journal_full") == 0
    assert (
        of(parsed(text(snapshot._replace(journal_full=True)).decode()), "gearpy_journal_full") == 1
    )


def test_workers_that_missed_their_heartbeat_are_counted(
    web: ServerProcess, http: httpx.Client
) -> None:
    with socket.create_connection((web.host, web.port), LIMIT_S) as worker:
        worker.sendall(request(p.OPTION_REQ, b"gearpy") + request(p.CAN_DO, b"f"))
        worker.sendall(request(p.WORKER_STATE, b'{"pid": 7, "interval_s": 0.01}'))

        def unhealthy() -> float:
            return of(parsed(http.get("/metrics").text), "gearpy_workers_unhealthy")

        eventually(unhealthy, 1)
    eventually(unhealthy, 0)


def test_examples() -> None:
    import gearpy.web.metrics

    assert run_examples(gearpy.web.metrics).failed == 0
