"""One trace for a job: its submit, its stay in the server, its work."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from gearpy import AsyncWorker, Client, FailJob, Job, JobFailed, Worker
from gearpy.testing.process import ServerProcess
from gearpy.tracing import submitting, traced, traced_async

from .collector import Collector, collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def recorded() -> InMemorySpanExporter:
    """What this process records; OpenTelemetry takes one provider for good."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(recorded: InMemorySpanExporter) -> InMemorySpanExporter:
    """The same, empty."""
    recorded.clear()
    return recorded


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the server tells its spans."""
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def server(collector: Collector) -> Iterator[ServerProcess]:
    """A server that traces."""
    with ServerProcess("--otlp", collector.url, "--http", "127.0.0.1:0") as process:
        yield process


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """A worker in a thread of its own."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def worker_for(server: ServerProcess) -> Worker:
    def double(job: Job) -> bytes:
        return job.data * 2

    def fail(job: Job) -> bytes:
        raise FailJob("no such photo")

    def crash(job: Job) -> bytes:
        raise ValueError("a bug")

    worker = Worker(server.address)
    worker.use(traced)
    worker.register("double", double)
    worker.register("fail", fail)
    worker.register("break", crash)
    return worker


def said(span: Span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_one_trace_leads_from_the_submit_through_the_server_to_the_worker(
    server: ServerProcess, collector: Collector, spans: InMemorySpanExporter
) -> None:
    with working(worker_for(server)), Client(server.address) as client:
        with submitting("double", {"user": "ann"}) as labels:
            assert labels["user"] == "ann"
            job = client.submit("double", b"x", labels=labels)
            assert job.result(30) == b"xx"
        theirs = collector.next()
    found = by_name(spans)
    submit, process = found["submit double"], found["process double"]
    assert submit.context is not None
    assert process.context is not None
    assert process.parent is not None
    assert process.context.trace_id == submit.context.trace_id
    assert process.parent.span_id == submit.context.span_id
    assert int.from_bytes(theirs.trace_id, "big") == submit.context.trace_id
    assert int.from_bytes(theirs.parent_span_id, "big") == submit.context.span_id
    assert theirs.name == "job double"
    assert said(theirs) == {
        "messaging.system": "gearman",
        "messaging.destination.name": "double",
        "messaging.message.id": job.handle,
        "gearpy.state": "completed",
        "gearpy.reason": "",
        "gearpy.priority": "normal",
        "gearpy.attempts": 1,
    } | {"gearpy.reason": 0}  # an empty text is neither
    (event,) = theirs.events
    assert theirs.start_time_unix_nano <= event.time_unix_nano <= theirs.end_time_unix_nano
    assert process.attributes is not None
    assert process.attributes["messaging.message.id"] == job.handle


@pytest.mark.parametrize(
    ("function", "sentence", "events"),
    [("fail", "no such photo", 0), ("break", "a bug", 1)],
)
def test_a_job_that_fails_is_marked(
    server: ServerProcess,
    collector: Collector,
    spans: InMemorySpanExporter,
    function: str,
    sentence: str,
    events: int,
) -> None:
    with working(worker_for(server)), Client(server.address) as client:
        with submitting(function) as labels:
            handle = client.submit_background(function, b"", labels=labels)
        theirs = collector.next()
    process = by_name(spans)[f"process {function}"]
    assert process.status.status_code is StatusCode.ERROR
    assert process.status.description == sentence
    assert len(process.events) == events, "what was to be expected needs no traceback"
    assert said(theirs)["messaging.message.id"] == handle
    assert said(theirs)["gearpy.state"] == "failed"
    assert sentence in theirs.status.message


def test_a_worker_in_an_event_loop_goes_on_with_the_trace(
    server: ServerProcess, collector: Collector, spans: InMemorySpanExporter
) -> None:
    async def run() -> bytes:
        worker = AsyncWorker(server.address)
        worker.use(traced_async)

        async def name(job: Job) -> str:
            return f"{trace.get_current_span().get_span_context().trace_id:032x}"

        worker.register("name", name)
        task = asyncio.create_task(worker.run())
        try:
            with Client(server.address) as client:
                labels = {"traceparent": PARENT}
                job = await asyncio.to_thread(client.submit, "name", b"", labels=labels)
                return await asyncio.to_thread(job.result, 30)
        finally:
            worker.stop()
            await task

    assert asyncio.run(run()).decode() == TRACE, "what the function records belongs to it, too"
    assert collector.next().trace_id.hex() == TRACE


def test_a_cancelled_job_is_told_without_a_worker(
    server: ServerProcess, collector: Collector
) -> None:
    with Client(server.address) as client:
        handle = client.submit_background("nobody", b"", labels={"traceparent": PARENT})
        client.cancel(handle)
    theirs = collector.next()
    assert said(theirs)["gearpy.state"] == "cancelled"
    assert not theirs.events


def test_the_trace_of_a_request_is_that_of_its_job(
    server: ServerProcess, collector: Collector
) -> None:
    with httpx.Client(base_url=server.http_url) as http, Client(server.address) as client:
        for headers, kept in (({"traceparent": PARENT}, True), ({"traceparent": "x"}, False)):
            answer = http.post("/api/jobs", json={"function": "nobody"}, headers=headers)
            job = client.job(answer.json()["handle"])["job"]
            assert ("labels" in job) is kept
            client.cancel(job["handle"])
    assert collector.next().trace_id.hex() == TRACE
    assert collector.spans.empty()


@pytest.mark.parametrize("labels", [{}, {"traceparent": "nonsense"}, {"user": "ann"}])
def test_jobs_without_a_trace_are_told_to_nobody(
    server: ServerProcess, collector: Collector, labels: dict[str, str]
) -> None:
    with Client(server.address) as client:
        client.cancel(client.submit_background("nobody", b"", labels=labels))
        # The next one comes behind it: what would have been told was told by then.
        client.cancel(client.submit_background("marker", b"", labels={"traceparent": PARENT}))
    names = [collector.next().name]
    if labels.get("traceparent"):
        assert names == ["job nobody"]  # a trace of its own
        names = [collector.next().name]
    assert names == ["job marker"]


def test_a_collector_that_is_not_there_costs_no_job(spans: InMemorySpanExporter) -> None:
    with ServerProcess("--otlp", "http://127.0.0.1:9") as server:
        with working(worker_for(server)), Client(server.address) as client:
            labels = {"traceparent": PARENT}
            assert client.submit("double", b"x", labels=labels).result(30) == b"xx"
            with pytest.raises(JobFailed):
                client.submit("fail", b"", labels=labels).result(30)


def test_what_is_not_sent_yet_is_sent_when_the_server_stops(collector: Collector) -> None:
    with ServerProcess("--otlp", collector.url) as server, Client(server.address) as client:
        client.cancel(client.submit_background("late", b"", labels={"traceparent": PARENT}))
    assert collector.next().name == "job late"
