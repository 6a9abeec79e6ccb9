"""The text protocol: command lines in, reports out; and reports back into rows, for the CLI.

A command is one line of words; a report is lines that end with a line of one dot; everything else
is answered with one ``OK`` or ``ERR`` line.  The replies are gearmand's, byte for byte, uneven
line ends included, because scripts compare them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

OK: Final = b"OK\r\n"
END: Final = b".\n"

ERR_UNKNOWN_SHOW: Final = b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n"
ERR_UNKNOWN_JOB: Final = b"ERR UNKNOWN_JOB\r\n"
ERR_UNKNOWN_ERROR: Final = b"ERR UNKNOWN_ERROR\r\n"
ERR_NO_FUNCTION: Final = b"ERR function not found\r\n"
ERR_FUNCTION_IN_USE: Final = b"ERR there are still connected workers or executing clients\r\n"
ERR_FUNCTION_QUEUED: Final = b"ERR there are still jobs in the queue of this function\r\n"
ERR_FUNCTION_NAME: Final = b"ERR INVALID_ARGUMENTS This+function+name+is+not+allowed\r\n"
ERR_TOO_MANY_FUNCTIONS: Final = b"ERR TOO_MANY_FUNCTIONS\r\n"


@dataclass(frozen=True, slots=True)
class Command:
    """A line, understood: its first word in lower case, and as it was written; the other words."""

    name: bytes
    written: bytes
    arguments: tuple[bytes, ...]


def parse(line: bytes) -> Command:
    """Splits a command line.  What follows a NUL is not looked at, as in gearmand."""
    written, _, rest = line.partition(b"\0")[0].partition(b" ")
    return Command(written.lower(), written, tuple(rest.split()))


def ok(value: bytes) -> bytes:
    """The reply to a question with one answer."""
    return b"OK %b\n" % value


def err_unknown_command(written: bytes) -> bytes:
    """The reply to a command that nobody knows."""
    return b"ERR UNKNOWN_COMMAND Unknown+server+command%b\r\n" % printable(written)


def err_incomplete(name: bytes) -> bytes:
    """The reply to a command with too few, too many or the wrong words behind it."""
    return (
        b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+%b\r\n"
        % name
    )


def err_line_too_long(text: str) -> bytes:
    """The last words to a peer whose line has no end."""
    return b"ERR LINE_TOO_LONG %b\r\n" % text.replace(" ", "+").encode()


_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


def printable(name: bytes) -> bytes:
    r"""A name that can't break a report: control characters become ``\xNN``."""
    return _CONTROL.sub(lambda found: b"\\x%02x" % found[0][0], name)


class StatusRow(NamedTuple):
    """A line of ``status``: jobs in all (waiting, delayed and running), running, able workers."""

    function: bytes
    jobs: int
    running: int
    workers: int

    def line(self) -> bytes:
        return b"%b\t%d\t%d\t%d\n" % (printable(self.function), *self[1:])


class PriorityRow(NamedTuple):
    """A line of ``prioritystatus``: jobs that wait at each priority, able workers."""

    function: bytes
    high: int
    normal: int
    low: int
    workers: int

    def line(self) -> bytes:
        return b"%b\t%d\t%d\t%d\t%d\n" % (printable(self.function), *self[1:])


class MaxqueueRow(NamedTuple):
    """A line of ``show maxqueue``: the limits of a function at each priority, 0 for none."""

    function: bytes
    high: int
    normal: int
    low: int

    def line(self) -> bytes:
        return b"%b\t%d\t%d\t%d\n" % (printable(self.function), *self[1:])


class WorkerRow(NamedTuple):
    """A line of ``workers``: one connection and what it can do."""

    fd: int
    address: bytes
    client_id: bytes
    functions: tuple[bytes, ...]

    def line(self) -> bytes:
        names = b"".join(b" " + printable(name) for name in self.functions)
        return b"%d %b %b :%b\n" % (self.fd, self.address, printable(self.client_id), names)


class JobRow(NamedTuple):
    """A line of ``show jobs``: how often it was lost, whether nobody waits for it any more, and
    whether it is a background job."""

    handle: bytes
    losses: int
    ignored: bool
    background: bool

    def line(self) -> bytes:
        return b"%b\t%d\t%d\t%d\n" % (self.handle, self.losses, self.ignored, self.background)


Row = StatusRow | PriorityRow | MaxqueueRow | WorkerRow | JobRow


def report(rows: Iterable[Row]) -> bytes:
    """Lines, and the dot that ends them."""
    return b"".join(row.line() for row in rows) + END


def uniques_report(uniques: Iterable[bytes]) -> bytes:
    """The report of ``show unique jobs``: one unique to a line."""
    return b"".join(printable(unique) + b"\n" for unique in uniques) + END


def read_status(lines: Iterable[bytes]) -> list[StatusRow]:
    """The rows of a ``status`` report, of any Gearman server.

    Raises ValueError if a line is not one of that report.
    """
    rows = []
    for line in lines:
        function, jobs, running, workers = line.rsplit(b"\t", 3)
        rows.append(StatusRow(function, int(jobs), int(running), int(workers)))
    return rows


def read_workers(lines: Iterable[bytes]) -> list[WorkerRow]:
    """The rows of a ``workers`` report, of any Gearman server.

    A client id may hold spaces, so it ends at the first " :".
    Raises ValueError if a line is not one of that report.
    """
    rows = []
    for line in lines:
        fd, address, rest = line.split(b" ", 2)
        client_id, _, functions = rest.partition(b" :")
        rows.append(WorkerRow(int(fd), address, client_id, tuple(functions.split())))
    return rows
