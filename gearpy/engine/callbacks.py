"""What follows a job: another one, which is submitted in the moment in which it ends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, final
from urllib.parse import urlsplit

from gearpy.engine.payloads import payload_fields, read_name, read_payload
from gearpy.engine.policy import refusal, shown
from gearpy.engine.rules import check_function
from gearpy.errors import InvalidArgument

if TYPE_CHECKING:
    from gearpy.engine.options import Options
    from gearpy.engine.statistics import JobStatistics

URL_CHARACTERS_MAX: Final = 2_000
TELLING_BYTES_MAX: Final = 1 << 20  # of the payload that tells a URL

CALLBACK_FIELDS: Final = ("function", "data", "data_base64")


class Callback(NamedTuple):
    """``url`` is told how the job ended; or, where it is empty, ``function`` gets ``payload``."""

    url: str = ""
    function: bytes = b""
    payload: bytes = b""


class Ending(NamedTuple):
    """The end of a job that has a callback; ``given`` is how what it gave begins."""

    callback: Callback
    job: "JobStatistics"
    given: bytes


class Following(NamedTuple):
    """The background job that follows another one."""

    function: bytes
    payload: bytes
    options: "Options"


class Caller(Protocol):
    """Who knows how a URL is told.  May not call back, nor fail."""

    def function(self) -> bytes:
        """The function that tells URLs.  Raises InvalidArgument if none is told anything here, with
        the reason."""

    def telling(self, ending: Ending, handle: bytes) -> Following:
        """The job with this handle, which tells a URL how another one ended."""


@final
class NoCaller:
    """For an engine that is on its own."""

    def function(self) -> bytes:
        raise InvalidArgument("nobody here calls URLs")

    def telling(self, ending: Ending, handle: bytes) -> Following:
        raise AssertionError("it was checked")


def read_callback(field: str, value: object) -> Callback:
    """What stands in the options of a job: a URL, or an object with ``function`` and ``data``.

    Raises InvalidArgument whose sentence says what is wrong with it.

    >>> read_callback("callback", "https://example.org/done").url
    'https://example.org/done'
    >>> read_callback("callback", {"function": "index", "data": "4711"}).payload
    b'4711'
    """
    if isinstance(value, str):
        return Callback(url=_url(field, value))
    if not isinstance(value, Mapping):
        raise refusal(field, value, "a URL, or an object with function and data")
    for name in value:
        if name not in CALLBACK_FIELDS:
            raise InvalidArgument(
                f"{field} has no field {shown(name)}; its fields are {', '.join(CALLBACK_FIELDS)}"
            )
    function = read_name(f"{field}.function", value.get("function", ""))
    if not function:
        raise InvalidArgument(f"{field} needs the field function, or is a URL")
    check_function(function)
    return Callback(function=function, payload=read_payload(value))


def callback_table(callback: Callback) -> object:
    """The same the other way round."""
    if callback.url:
        return callback.url
    function = callback.function.decode("utf-8", "surrogateescape")
    return {"function": function, **payload_fields(callback.payload)}


def _url(field: str, text: str) -> str:
    if len(text) > URL_CHARACTERS_MAX:
        raise InvalidArgument(
            f"{field} is a URL of {len(text):,} characters; it has at most {URL_CHARACTERS_MAX:,}"
        )
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise refusal(field, text, "a URL: ASCII, without spaces")
    try:
        parts = urlsplit(text)
        _ = parts.port  # it is looked at only now
    except ValueError as error:
        raise InvalidArgument(f"{field} is {shown(text)}, which is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise refusal(field, text, "a URL like https://example.org/done")
    if "@" in parts.netloc:
        raise InvalidArgument(
            f"{field} holds a user or a password, which everybody who looks at the job would see"
        )
    return text
