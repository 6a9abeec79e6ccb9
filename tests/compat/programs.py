"""Which programs there are, how each is started, and what each can say and hear.

A *client* is started with HOST PORT FUNCTION UNIQUE, reads the payload from standard input, and
prints what happens to its job, an event to a line.  A *worker* is started with HOST PORT PREFIX,
and offers, under this prefix, the functions of ``says``; ``hang``, which never ends; and ``slow``,
which never ends either and is registered with a timeout of a second.
"""

import functools
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from .processes import run

HERE: Final = Path(__file__).parent
SCRIPTS: Final = HERE / "scripts"

Event = tuple[bytes, bytes]  # what kind it is of, and what came with it


def script(name: str, *arguments: str) -> list[str]:
    """The command that runs one of our scripts."""
    interpreter = {".php": "php", ".pl": "perl", ".js": "node", ".py": sys.executable}
    path = SCRIPTS / name
    return [interpreter[path.suffix], str(path), *arguments]


# ---- what is installed


def _runs(*command: str) -> bool:
    return shutil.which(command[0]) is not None and run(command).exit_code == 0


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


_INSTALLED: Final[Mapping[str, tuple[Callable[[], bool], str]]] = {
    "tools": (
        lambda: shutil.which("gearman") is not None and shutil.which("gearadmin") is not None,
        "gearman and gearadmin are not installed: they are in the Debian package gearman-tools",
    ),
    "php": (
        lambda: _runs("php", "-r", 'exit(extension_loaded("gearman") ? 0 : 1);'),
        "PHP's gearman extension is not installed: Debian packages php-cli and php-gearman",
    ),
    "perl": (
        lambda: _runs("perl", "-MGearman::Client", "-MGearman::Worker", "-e", "1"),
        "Perl's Gearman::Client is not installed: Debian package libgearman-client-perl",
    ),
    "node": (
        lambda: _runs("node", "-e", f"require.resolve('{HERE}/node_modules/gearmanode')"),
        "GearmaNode is not installed: npm package gearmanode (npm install in tests/compat)",
    ),
    "gear": (lambda: _has_module("gear"), "gear is not installed: pip install gear"),
    "gearman3": (lambda: _has_module("gearman"), "gearman3 is not installed: pip install gearman3"),
}


@functools.cache
def _missing(name: str) -> str | None:
    installed, sentence = _INSTALLED[name]
    return None if installed() else sentence


def require(name: str) -> None:
    """Skips the test, with a sentence that says what to install, if a program is missing.

    Where CI=true it fails instead: a missing program would hide all that its tests look at.
    """
    if name not in _INSTALLED or (sentence := _missing(name)) is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{sentence}; tests/compat/install.sh installs it")
    pytest.skip(f"{sentence}; or run tests/compat/install.sh")


# ---- clients


def _lines(events: Sequence[Event]) -> bytes:
    return b"".join(kind + b" " * bool(data) + data + b"\n" for kind, data in events)


def _tool_output(events: Sequence[Event]) -> bytes:
    """The gearman tool prints what came, and what it says itself only at its end."""
    parts = [data for kind, data in events if kind in (b"data", b"complete")]
    for kind, data in events:
        if kind == b"status":
            numerator, denominator = map(int, data.split(b"/"))
            parts.append(b"%d%% Complete\n" % (100 * numerator // denominator))
    return b"".join(parts)


@dataclass(frozen=True, kw_only=True)
class Client:
    name: str
    command: Callable[[str, int, str, str], Sequence[str]]
    hears_exceptions: bool = True
    reads_large_packets: bool = True
    prints: Callable[[Sequence[Event]], bytes] = _lines

    def expects(self, events: Sequence[Event]) -> bytes:
        """What it prints when a worker says this."""
        return self.prints([self._heard(event) for event in events])

    def _heard(self, event: Event) -> Event:
        # A client that did not ask for exceptions is told that the job failed.
        if event[0] == b"exception" and not self.hears_exceptions:
            return b"fail", b""
        return event


def _client(
    name: str, *command: str, hears_exceptions: bool = True, reads_large_packets: bool = True
) -> Client:
    def with_arguments(host: str, port: int, function: str, unique: str) -> Sequence[str]:
        return script(*command, host, str(port), function, unique)

    return Client(
        name=name,
        command=with_arguments,
        hears_exceptions=hears_exceptions,
        reads_large_packets=reads_large_packets,
    )


def _tool_client(host: str, port: int, function: str, unique: str) -> Sequence[str]:
    return ["gearman", "-h", host, "-p", str(port), "-f", function, "-u", unique]


CLIENTS: Final = (
    _client("gearpy", "gearpy_peer.py", "client"),
    _client("php", "php_client.php"),
    _client("perl", "perl_client.pl"),
    # GearmaNode loses its place in a packet that comes in several parts, now and then.
    _client("node", "node_client.js", reads_large_packets=False),
    _client("gear", "gear_peer.py", "client"),
    _client("gearman3", "gearman3_peer.py", "client", hears_exceptions=False),
    Client(name="tools", command=_tool_client, prints=_tool_output),
)

# Clients that can submit in the background and then ask for the job's status.
BACKGROUND: Final[Mapping[str, Sequence[str]]] = {
    "gearpy": script("gearpy_peer.py", "background"),
    "php": script("php_background.php"),
    "perl": script("perl_background.pl"),
    "node": script("node_background.js"),
    "gear": script("gear_peer.py", "background"),
    "gearman3": script("gearman3_peer.py", "background"),
}

# ---- workers

SAYS: Final[Mapping[str, Sequence[Event]]] = {
    "report": (
        (b"data", b"one"),
        (b"data", b"two"),
        (b"warning", b"careful"),
        (b"status", b"1/2"),
        (b"complete", b"done"),
    ),
    "reverse": ((b"complete", b"zyx"),),  # of "xyz"
    "unique": ((b"complete", b"key"),),  # of a job submitted with the unique "key"
    "fail": ((b"fail", b""),),
    "raise": ((b"exception", b"boom"),),
}


@dataclass(frozen=True, kw_only=True)
class Worker:
    name: str
    commands: Callable[[str, int, str], Sequence[Sequence[str]]]
    says: Mapping[str, Sequence[Event]]
    sends_binary: bool = True
    has_timeouts: bool = True
    has_id: bool = True


def _worker(
    name: str,
    *command: str,
    raises: bytes = b"boom",
    cannot: str = "",
    sends_binary: bool = True,
    has_timeouts: bool = True,
    has_id: bool = True,
) -> Worker:
    def with_arguments(host: str, port: int, prefix: str) -> Sequence[Sequence[str]]:
        return [script(*command, host, str(port), prefix)]

    says = {**SAYS, "raise": ((b"exception", raises),)}
    says.pop(cannot, None)
    return Worker(
        name=name,
        commands=with_arguments,
        says=says,
        sends_binary=sends_binary,
        has_timeouts=has_timeouts,
        has_id=has_id,
    )


def _tool_worker(host: str, port: int, prefix: str) -> Sequence[Sequence[str]]:
    """The tool runs one program for all its functions, so each function gets its own worker."""
    tool = ("gearman", "-h", host, "-p", str(port), "-w", "-f")
    reverse = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    return [
        [*tool, prefix + "reverse", "--", sys.executable, "-c", reverse],
        [*tool, prefix + "fail", "--", "false"],
        [*tool, prefix + "hang", "--", "sleep", "600"],
    ]


WORKERS: Final = (
    _worker(
        "gearpy",
        "gearpy_peer.py",
        "worker",
        cannot="fail",
        raises=b"ValueError: boom",
        has_id=False,
    ),
    _worker("php", "php_worker.php"),
    # Perl's worker sends what was thrown as Storable freezes it: type, length, text.
    _worker("perl", "perl_worker.pl", cannot="unique", raises=b"\x05\x0b\n\x05boom\n"),
    _worker("node", "node_worker.js", sends_binary=False),  # it makes text of all that it sends
    _worker("gear", "gear_peer.py", "worker"),
    _worker("gearman3", "gearman3_peer.py", "worker", has_timeouts=False),
    Worker(
        name="tools",
        commands=_tool_worker,
        says={function: SAYS[function] for function in ("reverse", "fail")},
        has_timeouts=False,
        has_id=False,
    ),
)


def name_of(case: object) -> str | None:
    """The name of a case in pytest's report."""
    return case.name if isinstance(case, Client | Worker) else None
