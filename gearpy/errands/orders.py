"""What stands in the payloads of errands, and in their results: JSON that anybody may write.

A request: ``{"url": "https://example.org/import", "method": "POST", "params": {"id": 7}}``
A command: ``{"command": "resize", "arguments": ["photo.jpg", "800"]}``
"""

import json
import math
import re
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
IN_QUERY: Final = ("GET", "HEAD", "DELETE", "OPTIONS")  # there the params are
REDIRECTS_MAX: Final = 5
TIMEOUT_S: Final = 60.0  # where an order says none
TIMEOUT_S_MAX: Final = 86_400.0
ARGUMENTS_MAX: Final = 1_000
LINE_CHARACTERS_MAX: Final = 100_000

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET: Final = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)
_SHOWN_CHARACTERS: Final = 200

Scalar = str | int | float | bool
Params = Mapping[str, Scalar | list[Scalar]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request over HTTP.

    ``params`` go into the query with the methods ``IN_QUERY``, and into the body with any other, as
    a form; ``body`` is the body itself.  It fails if it is not answered within ``timeout_s``
    seconds, or is redirected more than ``redirects`` times.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float = TIMEOUT_S
    redirects: int = REDIRECTS_MAX

    def payload(self) -> bytes:
        """As it stands in a job."""
        table: dict[str, object] = {"url": self.url, "method": self.method}
        if self.redirects != REDIRECTS_MAX:
            table["redirects"] = self.redirects
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
    """What a request was answered with."""

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
    """The errand was done, but did not go well; ``report`` is what it gave nevertheless.  ``brief``
    is the message for who sees that besides."""

    def __init__(self, message: str, report: Response | Output, brief: str = "") -> None:
        super().__init__(message)
        self.report = report
        self.brief = brief or message


def read_request(payload: bytes) -> Request:
    """The request in a payload.  Raises BadErrand with a sentence."""
    names = ("url", "method", "headers", "params", "body", "body_base64", "redirects")
    table = _table(payload, names)
    method = _text(table, "method", "GET").upper()
    if method not in METHODS:
        raise BadErrand(f"method is {method[:40]!r}, and not one of {', '.join(METHODS)}")
    headers, params = _object(table, "headers"), _object(table, "params")
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not _is_header_value(value):
            raise BadErrand(
                f"the header {name[:80]!r} is no word with printable ASCII for its value"
            )
    for name, value in params.items():
        if not all(map(_is_scalar, (name, *each_of(value)))):
            raise BadErrand(f"the parameter {name[:80]!r} is no text or number, nor a list of them")
    url = _text(table, "url")
    if not url.isprintable() or not url.lower().startswith(("http://", "https://")):
        raise BadErrand(f"url is {shown_url(url)!r}, and not like https://example.org/import")
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
        redirects=_redirects(table),
    )


def read_command(payload: bytes) -> Command:
    """The command in a payload.  Raises BadErrand with a sentence."""
    table = _table(payload, ("command", "arguments", "stdin", "stdin_base64"))
    arguments = table.get("arguments", [])
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise BadErrand("arguments is no list of texts")
    if len(arguments) > ARGUMENTS_MAX:
        raise BadErrand(
            f"a command has at most {ARGUMENTS_MAX:,} arguments, not {len(arguments):,}"
        )
    name = _text(table, "command")
    if any("\0" in each for each in (name, *arguments)):
        raise BadErrand("the command holds a NUL, which none can")
    if not all(map(_is_whole, (name, *arguments))):
        raise BadErrand("the command holds half a character, which nothing can stand for")
    return Command(
        name=name,
        arguments=tuple(arguments),
        stdin=_bytes(table, "stdin") or b"",
        timeout_s=_timeout_s(table),
    )


def split_command(line: str) -> tuple[str, tuple[str, ...]]:
    """The name and the arguments in a line as shells have it: quotes and backslashes keep words
    together, and nothing else has a meaning.  Raises BadErrand.

    >>> split_command("resize 'my photo.jpg' $HOME")
    ('resize', ('my photo.jpg', '$HOME'))
    """
    if len(line) > LINE_CHARACTERS_MAX:
        raise BadErrand(
            f"a command has at most {LINE_CHARACTERS_MAX:,} characters, not {len(line):,}"
        )
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadErrand(f"the command {line[:80]!r} can't be split into words: {error}") from None
    if not words:
        raise BadErrand("the command is empty")
    return words[0], tuple(words[1:])


def excerpt(said: bytes) -> str:
    """What a stranger said, for a sentence: its beginning, on one line, with nothing that could
    command a terminal.

    >>> excerpt(b" no such\\nphoto \\x1b[2J")
    'no such photo [2J'
    """
    text = said[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def shown_url(url: str) -> str:
    """A URL for a sentence that many may read: without what may be secret.

    >>> shown_url("https://ann:secret@example.org/import?token=secret")
    'https://example.org/import'
    """
    return _SECRET.sub("", url)[:_SHOWN_CHARACTERS]


def each_of(value: Scalar | list[Scalar]) -> list[Scalar]:
    """The values of a parameter."""
    return value if isinstance(value, list) else [value]


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
    value = table.get(name, {})
    if value == []:  # so PHP writes an empty object
        return {}
    if not isinstance(value, dict):
        raise BadErrand(f"{name} is no object of names and values, but {_shown(value)}")
    return value


def _bytes(table: Mapping[str, Any], name: str) -> bytes | None:
    try:
        return read_content(name, table)
    except MalformedPacket as error:
        raise BadErrand(str(error)) from None


def _timeout_s(table: Mapping[str, Any]) -> float:
    value = table.get("timeout_s", TIMEOUT_S)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadErrand(f"timeout_s is {_shown(value)}, and no number of seconds")
    if not 0 < value <= TIMEOUT_S_MAX:
        raise BadErrand(
            f"timeout_s is {_shown(value)}; it is above 0, and at most {TIMEOUT_S_MAX:,.0f}"
        )
    return float(value)


def _redirects(table: Mapping[str, Any]) -> int:
    value = table.get("redirects", REDIRECTS_MAX)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= REDIRECTS_MAX:
        raise BadErrand(f"redirects is {_shown(value)}; it is a number from 0 to {REDIRECTS_MAX}")
    return value


def _is_header_value(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return _is_whole(value, "strict")
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_whole(text: str, errors: str = "surrogateescape") -> bool:
    """Whether bytes can stand for a text."""
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    """The beginning of what was said, for a sentence."""
    try:
        return json.dumps(value)[:80]
    except RecursionError:
        return "very deep"
