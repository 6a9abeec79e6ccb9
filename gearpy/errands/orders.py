"""What stands in the payloads of errands, and in their results: JSON that anybody may write.

A request: ``{"url": "https://example.org/import", "method": "POST", "params": {"id": 7}}``
A command: ``{"command": "resize", "arguments": ["photo.jpg", "800"]}``
"""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from gearpy.errors import BadErrand, FailJob, MalformedPacket
from gearpy.protocol.codec import packed, unpacked
from gearpy.protocol.content import content, read_content

HTTP_FUNCTION: Final = "gearpy.http"
EXEC_FUNCTION: Final = "gearpy.exec"

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TIMEOUT_S: Final = 60.0  # where an order says none
TIMEOUT_S_MAX: Final = 86_400.0
ARGUMENTS_MAX: Final = 1_000

Scalar = str | int | float | bool
Params = Mapping[str, Scalar | list[Scalar]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request over HTTP.

    ``params`` go into the query of a GET, HEAD or DELETE, and into the body of any other, as a
    form; ``body`` is the body itself.  It fails if it is not answered within ``timeout_s`` seconds.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float = TIMEOUT_S

    def payload(self) -> bytes:
        """As it stands in a job."""
        table: dict[str, object] = {"url": self.url, "method": self.method}
        if self.headers:
            table["headers"] = dict(self.headers)
        if self.params:
            table["params"] = dict(self.params)
        if self.body is not None:
            table |= content("body", self.body, len(self.body))
        return packed({**table, "timeout_s": self.timeout_s})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command by the name under which a worker may know it, with arguments that it is given as
    they are, and what it can read from its standard input.  It is stopped after ``timeout_s``
    seconds."""

    name: str
    arguments: tuple[str, ...] = ()
    stdin: bytes = b""
    timeout_s: float = TIMEOUT_S

    def payload(self) -> bytes:
        """As it stands in a job."""
        table: dict[str, object] = {"command": self.name, "arguments": list(self.arguments)}
        if self.stdin:
            table |= content("stdin", self.stdin, len(self.stdin))
        return packed({**table, "timeout_s": self.timeout_s})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a request was answered with.  ``cut``: the body had more than is kept."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes

    def result(self) -> bytes:
        """As it stands in the result of a job."""
        table: dict[str, object] = {
            "status": self.status,
            "url": self.url,
            "headers": dict(self.headers),
        }
        return packed(table | content("body", self.body, len(self.body)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command gave.  ``exit_code`` is minus the number of the signal that ended it.
    ``stdout_cut`` and ``stderr_cut``: it wrote more than is kept."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    stdout_cut: bool = False
    stderr_cut: bool = False

    def result(self) -> bytes:
        """As it stands in the result of a job."""
        table: dict[str, object] = {"exit_code": self.exit_code}
        for name in ("stdout", "stderr"):
            written: bytes = getattr(self, name)
            table |= content(name, written, len(written))
            if getattr(self, f"{name}_cut"):
                table[f"{name}_cut"] = True
        return packed(table)


@final
class NotWell(FailJob):
    """The errand was done, but did not go well; ``report`` is what it gave nevertheless."""

    def __init__(self, message: str, report: Response | Output) -> None:
        super().__init__(message)
        self.report = report


def read_request(payload: bytes) -> Request:
    """The request in a payload.  Raises BadErrand with a sentence."""
    table = _table(payload, ("url", "method", "headers", "params", "body", "body_base64"))
    method = _text(table, "method", "GET").upper()
    if method not in METHODS:
        raise BadErrand(f"method is {method[:40]!r}, and not one of {', '.join(METHODS)}")
    headers, params = _object(table, "headers"), _object(table, "params")
    for name, value in headers.items():
        if not isinstance(value, str) or not (name + value).isprintable():
            raise BadErrand(f"the header {name[:80]!r} is not printable text")
    for name, value in params.items():
        if not all(isinstance(each, Scalar) for each in _each(value)):
            raise BadErrand(f"the parameter {name[:80]!r} is no text or number, nor a list of them")
    url = _text(table, "url")
    if not url.lower().startswith(("http://", "https://")):
        raise BadErrand(f"url is {url[:200]!r}, and not like https://example.org/import")
    body = _bytes(table, "body")
    if body is not None and params and method not in IN_QUERY:
        raise BadErrand("body and params both say what is sent; give one of them")
    return Request(
        url=url,
        method=method,
        headers=headers,
        params=params,
        body=body,
        timeout_s=_timeout_s(table),
    )


IN_QUERY: Final = ("GET", "HEAD", "DELETE", "OPTIONS")  # there the params are


def read_command(payload: bytes) -> Command:
    """The command in a payload.  Raises BadErrand with a sentence."""
    table = _table(payload, ("command", "arguments", "stdin", "stdin_base64"))
    arguments = table.get("arguments") or []
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise BadErrand("arguments is no list of texts")
    if len(arguments) > ARGUMENTS_MAX:
        raise BadErrand(
            f"a command has at most {ARGUMENTS_MAX:,} arguments, not {len(arguments):,}"
        )
    if any("\0" in each for each in arguments):
        raise BadErrand("an argument holds a NUL, which none can")
    return Command(
        name=_text(table, "command"),
        arguments=tuple(arguments),
        stdin=_bytes(table, "stdin") or b"",
        timeout_s=_timeout_s(table),
    )


def split_command(line: str) -> tuple[str, tuple[str, ...]]:
    """The name and the arguments in a line as shells have it: quotes keep words together, and
    nothing else has a meaning.  Raises BadErrand.

    >>> split_command("resize 'my photo.jpg' $HOME")
    ('resize', ('my photo.jpg', '$HOME'))
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadErrand(f"the command {line[:80]!r} can't be split into words: {error}") from None
    if not words:
        raise BadErrand("the command is empty")
    return words[0], tuple(words[1:])


# ---- fields


def _table(payload: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        table = unpacked("the payload", payload)
    except MalformedPacket as error:
        raise BadErrand(str(error)) from None
    for name in table:
        if name not in (*names, "timeout_s"):
            raise BadErrand(
                f"the payload has a field {name[:80]!r}; its fields are {', '.join(names)} and"
                " timeout_s"
            )
    return {name: value for name, value in table.items() if value is not None}


def _text(table: Mapping[str, Any], name: str, default: str = "") -> str:
    value = table.get(name, default)
    if not isinstance(value, str) or not value:
        raise BadErrand(f"the payload needs the field {name}, a text")
    return value


def _object(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = table.get(name) or {}  # PHP writes an empty object as []
    if not isinstance(value, dict):
        raise BadErrand(f"{name} is no object of names and values, but {json.dumps(value)[:80]}")
    return value


def _bytes(table: Mapping[str, Any], name: str) -> bytes | None:
    try:
        return read_content(name, table)
    except MalformedPacket as error:
        raise BadErrand(str(error)) from None


def _timeout_s(table: Mapping[str, Any]) -> float:
    value = table.get("timeout_s", TIMEOUT_S)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadErrand(f"timeout_s is {json.dumps(value)[:80]}, and no number of seconds")
    if not 0 < value <= TIMEOUT_S_MAX:
        raise BadErrand(f"timeout_s is {value:g}; it is above 0, and at most {TIMEOUT_S_MAX:,.0f}")
    return float(value)


def _each(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
