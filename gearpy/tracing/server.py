"""What became of a job in the server, as a span of the trace in which it was submitted."""

import logging
import threading
from typing import Final, final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gearpy.engine.job import COMPLETED
from gearpy.engine.statistics import JobStatistics
from gearpy.protocol.codec import decoded
from gearpy.tracing import attributes
from gearpy.version import VERSION

_PATH: Final = "/v1/traces"  # of OTLP over HTTP
_TIMEOUT_S: Final = 5
_DELAY_MS: Final = 1000  # in which spans are gathered
_QUEUED_MAX: Final = 16_384  # spans that wait to be sent; more are dropped
_BATCH: Final = 2_048
_CLOSE_S: Final = 5.0
_SILENCE_S: Final = 60.0
_PARENT: Final = "traceparent"
_CONTEXT: Final = TraceContextTextMapPropagator()


@final
class Spans:
    """Tells an OTLP collector of each job that has ended and that carries a trace.

    They are sent by a thread, in batches; what a collector does not take in time is dropped, and
    that is logged, at most once a minute.
    """

    def __init__(self, url: str) -> None:
        for name in ("opentelemetry.sdk", "opentelemetry.exporter"):
            logger = logging.getLogger(name)
            logger.handlers = logging.getLogger("gearpy").handlers
            logger.propagate = False
        endpoint = url if url.endswith(_PATH) else url.rstrip("/") + _PATH
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT_S)
        resource = Resource.create({"service.name": "gearpy-server", "service.version": VERSION})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=_QUEUED_MAX,
                schedule_delay_millis=_DELAY_MS,
                max_export_batch_size=_BATCH,
            )
        )
        self._errors = _OnceAMinute()
        for handler in logging.getLogger("gearpy").handlers:
            handler.addFilter(self._errors)
        self._tracer = self._provider.get_tracer("gearpy", VERSION)

    def ended(self, job: JobStatistics) -> None:
        """A job that has labels is over."""
        labels = dict(job.labels)
        if _PARENT not in labels:
            return
        function = decoded(job.function).encode("utf-8", "replace").decode()
        span = self._tracer.start_span(
            f"job {function}",
            _CONTEXT.extract(labels),
            kind=SpanKind.SERVER,
            attributes={
                **attributes(function, decoded(job.handle)),
                "gearpy.state": job.state,
                "gearpy.reason": job.reason,
                "gearpy.priority": job.priority.name.lower(),
                "gearpy.attempts": job.attempts,
            },
            start_time=_ns(job.created_s),
        )
        if job.started_s:
            span.add_event("given to a worker", timestamp=_ns(job.started_s))
        if job.state != COMPLETED:
            span.set_status(Status(StatusCode.ERROR, job.error.decode("utf-8", "replace")[:1000]))
        span.end(_ns(job.since_s))

    def close(self) -> None:
        """Sends what was not sent yet, for a few seconds."""
        # A collector may take its time in a way that no timeout of the exporter ends.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_CLOSE_S)


@final
class _OnceAMinute(logging.Filter):
    """Lets few of OpenTelemetry's own records through: it has one for every attempt to send."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry."):
            return True
        if record.created < self._next_s:
            return False
        self._next_s = record.created + _SILENCE_S
        return True


def _ns(time_s: float) -> int:
    return int(time_s * 1_000_000_000)
