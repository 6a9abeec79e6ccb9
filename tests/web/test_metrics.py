"""What Prometheus is told, by a real server, and of servers that are made up."""

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gearpy.broker.broker import Broker
from gearpy.engine.statistics import BOUNDS_S, Histogram
from gearpy.testing.process import ServerProcess
from gearpy.web.metrics import Snapshot, _label, text
from gearpy.worker import Job, Worker
from tests.docstrings import run_examples
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


def test_examples() -> None:
    import gearpy.web.metrics

    assert run_examples(gearpy.web.metrics).failed == 0
