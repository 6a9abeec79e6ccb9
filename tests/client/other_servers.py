"""Servers that are not gearpy's, as far as a test needs one: each packet has its answer."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gearpy.protocol import packets as p
from gearpy.protocol.codec import response
from gearpy.protocol.parser import Packet, PacketParser

LIMIT_S: Final = 30.0

Answer = Callable[[bytes], bytes]
Answers = Mapping[int, Answer]

UNKNOWN_OPTION: Final = response(
    p.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option"
)


def _option(body: bytes) -> bytes:
    return response(p.OPTION_RES, body) if body == b"exceptions" else UNKNOWN_OPTION


def says(data: bytes) -> Answer:
    """The same answer each time."""
    return lambda _body: data


SILENT: Final[Answers] = {
    p.OPTION_REQ: says(b""),
    p.ECHO_REQ: lambda body: response(p.ECHO_RES, body),
    p.GET_STATUS: lambda body: response(p.STATUS_RES, body, b"0", b"0", b"", b""),
    p.CAN_DO: says(b""),
    p.PRE_SLEEP: says(b""),
    p.GRAB_JOB_UNIQ: says(response(p.NO_JOB)),
    p.SUBMIT_JOB: says(response(p.JOB_CREATED, b"H:1")),
    p.SUBMIT_JOB_BG: says(response(p.JOB_CREATED, b"H:2")),
    p.SUBMIT_JOB_EPOCH: says(response(p.JOB_CREATED, b"H:3")),
}
"""Says nothing about options."""

LIKE_GEARMAND: Final[Answers] = {**SILENT, p.OPTION_REQ: _option}
"""Answers UNKNOWN_OPTION, and hangs up on packets that it does not know."""


@dataclass
class Scripted:
    """A server at ``address``, and every packet that it has ``heard`` from its one peer."""

    address: str
    heard: list[Packet] = field(default_factory=list)

    def bodies(self, number: int) -> list[bytes]:
        return [body for heard, body in self.heard if heard == number]


@contextlib.contextmanager
def scripted(answers: Answers) -> Iterator[Scripted]:
    """Serves one connection.  A packet without an answer ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(f"127.0.0.1:{listener.getsockname()[1]}")
        listener.settimeout(LIMIT_S)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(LIMIT_S)
                parser = PacketParser()
                while data := connection.recv(1 << 16):
                    for number, body in parser.feed(data):
                        server.heard.append((number, body))
                        if number not in answers:
                            return
                        connection.sendall(answers[number](body))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            thread.join(LIMIT_S)
