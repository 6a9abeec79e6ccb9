"""OpenTelemetry: one trace from the submit through the server to the worker.

A job carries the trace in its labels, as W3C Trace Context has it, so that a worker in another
language can go on with it, too:

    with submitting("resize") as labels:
        client.submit("resize", photo, labels=labels)

    worker.use(traced)                  # of an AsyncWorker: worker.use(traced_async)

A gearpy-server with ``--otlp URL`` adds what became of the job there: how long it waited, its
attempts, how it ended.  Where spans of clients and workers go is for their programs to decide, with
OpenTelemetry's SDK; without one nothing is recorded, and nothing fails.  Takes ``gearpy[otel]``.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gearpy.engine.options import LABEL_VALUE_MAX
from gearpy.errors import FailJob
from gearpy.version import VERSION
from gearpy.worker.functions import Job

_CONTEXT: Final = TraceContextTextMapPropagator()


@contextmanager
def submitting(function: str, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """A span around the submit of a job of ``function``.

    Gives the labels to submit it with: those given, and what leads back to this span.  Beside a
    submit that waits for the result, the span ends when the result is there.
    """
    with _tracer().start_as_current_span(
        f"submit {function}", kind=SpanKind.PRODUCER, attributes=attributes(function)
    ):
        yield {**(labels or {}), **_leading_here()}


def traced(job: Job, call_next: Callable[[], Any]) -> Any:
    """Middleware of a ``Worker``: a span around each job, in the trace in which it was submitted.

    What the function raises is recorded, and raised.
    """
    with _processing(job):
        return call_next()


async def traced_async(job: Job, call_next: Callable[[], Awaitable[Any]]) -> Any:
    """The same for an ``AsyncWorker``."""
    with _processing(job):
        return await call_next()


@contextmanager
def _processing(job: Job) -> Iterator[None]:
    said = attributes(job.function, job.handle) | {"gearpy.attempt": job.attempt}
    with _tracer().start_as_current_span(
        f"process {job.function}",
        _CONTEXT.extract(job.labels),
        kind=SpanKind.CONSUMER,
        attributes=said,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            _failed(span, error)
            raise


def _failed(span: Span, error: Exception) -> None:
    if not isinstance(error, FailJob):
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _leading_here() -> dict[str, str]:
    carrier: dict[str, str] = {}
    _CONTEXT.inject(carrier)
    return {name: text for name, text in carrier.items() if len(text) <= LABEL_VALUE_MAX}


def attributes(function: str, handle: str = "") -> dict[str, str | int]:
    """What OpenTelemetry's conventions for messaging have names for."""
    said: dict[str, str | int] = {
        "messaging.system": "gearman",
        "messaging.destination.name": function,
    }
    return said | {"messaging.message.id": handle} if handle else said


def _tracer() -> trace.Tracer:
    return trace.get_tracer("gearpy", VERSION)
