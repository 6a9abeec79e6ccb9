"""A collector of OpenTelemetry's, as far as tests need one."""

import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

LIMIT_S: Final = 30.0


class Collector:
    """Takes spans over HTTP; ``spans`` has them in the order in which they came."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: Queue[Span] = Queue()

    def next(self) -> Span:
        """The next span."""
        return self.spans.get(timeout=LIMIT_S)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            request = ExportTraceServiceRequest()
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            request.ParseFromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        collector.spans.put(span)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
