"""A real HTTP server in threads, for requests and callbacks to arrive at."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

LIMIT_S: Final = 30.0


@dataclass(frozen=True)
class Asked:
    """A request as it came.  Names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What it is answered with.  ``endless``: the body is longer than what comes of it."""

    status: int = 200
    body: bytes = b"well"
    headers: Mapping[str, str] = field(default_factory=dict)
    endless: bool = False


def redirect(to: str, status: int = 302) -> Answer:
    """It is somewhere else."""
    return Answer(status, b"", {"location": to})


class Receiver:
    """Answers what ``answer`` says, and remembers what it was asked."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        host, self.port = str(server.server_address[0]), server.server_address[1]
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.answer: Callable[[Asked], Answer] = lambda asked: Answer()
        self._asked: list[Asked] = []
        self._more = threading.Condition()

    @property
    def asked(self) -> list[Asked]:
        """All requests so far."""
        with self._more:
            return list(self._asked)

    def answers(self, *answers: Answer) -> None:
        """Gives these, one after the other; the last one from then on."""
        left = list(answers)
        self.answer = lambda asked: left.pop(0) if len(left) > 1 else left[0]

    def wait_for(self, number: int) -> list[Asked]:
        """All requests, once there are so many."""
        with self._more:
            assert self._more.wait_for(lambda: len(self._asked) >= number, LIMIT_S), self._asked
            return list(self._asked)

    def take(self, asked: Asked) -> Answer:
        """Answers a request."""
        answer = self.answer(asked)
        with self._more:
            self._asked.append(asked)
            self._more.notify_all()
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    receiver: Receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """Somebody hung up."""


class _V6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = LIMIT_S
    server: _Server

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.receiver.take(Asked(self.command, self.path, headers, body))
        self.send_response(answer.status)
        size_bytes = len(answer.body) + answer.endless
        for name, value in {"content-length": str(size_bytes), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        if answer.endless:
            self.rfile.read(1)  # until whoever asked has had enough

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _do

    def log_message(self, *_: object) -> None:
        """Not in the output of tests."""


@contextmanager
def receiving(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver at a free port, with TLS or without, until the end of the block."""
    with (_V6Server if ":" in host else _Server)((host, 0), _Handler) as server:
        if context is not None:
            # The handshake is the threads' business: one that fails must not end the server.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        server.receiver = Receiver(server, "http" if context is None else "https")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.receiver
        finally:
            server.shutdown()
            thread.join(LIMIT_S)


@contextmanager
def silent() -> Iterator[str]:
    """The URL of one that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def saying(answer: bytes) -> Iterator[str]:
    """The URL of one that answers the first request with these bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(LIMIT_S)


def nobody() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
