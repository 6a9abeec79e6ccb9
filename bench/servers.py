"""The servers of the race: how each is started, and what it has used."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import beanstalk
from bench.generator import HOST, BenchError
from bench.scene import SetScene
from bench.workloads import WITH_PLAIN_GRABS
from gearpy.testing.process import ServerProcess
from gearpy.version import is_compiled

GEARMAND_PACKAGE: Final = "gearman-job-server"
PERL_PACKAGE: Final = "gearman-server"
BEANSTALKD_PACKAGE: Final = "beanstalkd"

_CROWD: Final = 11_000  # connections, where a workload has very many
_SLOW_JOBS_MAX: Final = 10_000  # for servers that do some thousands a second
_SQLITE_JOBS_MAX: Final = 3_000  # at some hundred a second
_SYNCED_JOBS_MAX: Final = 3_000
_START_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 10.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def _find(name: str, script: bool) -> str | None:
    """The program with this name; Debian has two gearmands, one of them a Perl script."""
    folders = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin".split(":")
    for folder in dict.fromkeys(folders):
        found = shutil.which(name, path=folder)
        if found is not None:
            with open(found, "rb") as file:
                if (file.read(2) == b"#!") is script:
                    return found
    return None


GEARMAND: Final = _find("gearmand", script=False)
PERL: Final = _find("gearmand", script=True)
BEANSTALKD: Final = _find("beanstalkd", script=False)
GEARD: Final = shutil.which("geard", path=str(Path(sys.executable).parent))


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    port: int
    pid: int
    folder: Path | None = None  # on the disk, where it keeps its jobs


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server as the race names and starts it."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]
    jobs_max: int | None = None  # in one workload: a slow one gets fewer, and rates are compared
    missing: str | None = None  # a sentence: why it can't take part
    # For one that speaks another language, or less of ours: the workloads that it can do.
    scenes: Mapping[str, SetScene] | None = field(default=None, hash=False)


def _gearpy(*flags: str, program: Sequence[str] | None = None) -> Contestant:
    @contextmanager
    def start() -> Iterator[Running]:
        with ServerProcess("--verbose", "ERROR", *flags, program=program) as server:
            yield Running(server.port, server.pid)

    return Contestant("gearpy", start)


def journal_flags(folder: str) -> tuple[str, ...]:
    """The flags of a gearpy-server that keeps its jobs in this folder."""
    return "--verbose", "ERROR", "--journal", f"{folder}/jobs.db"


@contextmanager
def _looked_at() -> Iterator[Running]:
    with ServerProcess("--verbose", "ERROR", "--http", "127.0.0.1:0") as server:
        command = [sys.executable, "-m", "bench.onlookers", server.http_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as others:
            try:
                if others.stdout is None or not others.stdout.readline():
                    raise BenchError("those who look at the server over HTTP ended at once")
                yield Running(server.port, server.pid)
                if others.poll() is not None:
                    raise BenchError("those who look at the server over HTTP did not stay")
            finally:
                others.kill()


def gearpy_durable(folder: Path) -> Contestant:
    """gearpy with a new journal, in a new folder inside this one."""

    @contextmanager
    def start() -> Iterator[Running]:
        with (
            TemporaryDirectory(dir=folder) as own,
            ServerProcess(*journal_flags(own)) as server,
        ):
            yield Running(server.port, server.pid, Path(own))

    return Contestant("gearpy with its journal", start)


def gearmand_durable(folder: Path) -> Contestant:
    """gearmand with a new SQLite queue, in a new folder inside this one."""

    @contextmanager
    def start() -> Iterator[Running]:
        with TemporaryDirectory(dir=folder) as own:
            queue = ["-q", "libsqlite3", "--libsqlite3-db", f"{own}/queue.db"]
            with _gearmand("", *queue).start() as running:
                yield Running(running.port, running.pid, Path(own))

    return Contestant("gearmand with its SQLite queue", start, _SQLITE_JOBS_MAX, _NO_GEARMAND)


def beanstalkd_durable(folder: Path) -> Contestant:
    """beanstalkd with a new log in a new folder inside this one, and an fsync for every job."""

    @contextmanager
    def start() -> Iterator[Running]:
        with TemporaryDirectory(dir=folder) as own, _beanstalkd("-b", own, "-f", "0") as running:
            yield Running(running.port, running.pid, Path(own))

    return Contestant(
        "beanstalkd, -b -f 0", start, _SYNCED_JOBS_MAX, _NO_BEANSTALKD, beanstalk.SCENES
    )


@contextmanager
def _process(command: Sequence[str], port: int) -> Iterator[Running]:
    """A program that listens on this port, until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(process, port)
        yield Running(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _missing(found: str | None, what: str, package: str) -> str | None:
    if found is not None:
        return None
    return f"{what} is not installed ({package}), so it does not take part"


_NO_GEARMAND: Final = _missing(GEARMAND, "gearmand", f"Debian package {GEARMAND_PACKAGE}")
_NO_PERL: Final = _missing(PERL, "the Perl server", f"Debian package {PERL_PACKAGE}")
_NO_GEARD: Final = _missing(GEARD, "gear's server", "pip install gear")
_NO_BEANSTALKD: Final = _missing(BEANSTALKD, "beanstalkd", f"Debian package {BEANSTALKD_PACKAGE}")


def _gearmand(name: str, *options: str) -> Contestant:
    @contextmanager
    def start() -> Iterator[Running]:
        port = free_port()
        with TemporaryDirectory() as folder:
            basics = ["-p", str(port), "-L", HOST, "-l", "none", "-P", f"{folder}/pid"]
            with _process([str(GEARMAND), *basics, *options], port) as running:
                yield running

    return Contestant(name, start, missing=_NO_GEARMAND)


@contextmanager
def _perl() -> Iterator[Running]:
    port = free_port()
    with _process([str(PERL), f"--port={port}", f"--listen={HOST}"], port) as running:
        yield running


_QUIET: Final = """
[loggers]
keys=root
[handlers]
keys=stderr
[formatters]
keys=
[logger_root]
level=ERROR
handlers=stderr
[handler_stderr]
class=StreamHandler
args=(sys.stderr,)
"""


@contextmanager
def _geard() -> Iterator[Running]:
    port = free_port()
    with TemporaryDirectory() as folder:
        quiet = Path(folder, "log.ini")
        quiet.write_text(_QUIET)  # else it writes lines for every packet
        flags = ["-d", "-p", str(port), "--listen-address", HOST, "--pidfile", f"{folder}/pid"]
        flags += ["--log-config", str(quiet)]
        with _process([str(GEARD), *flags], port) as running:
            yield running


@contextmanager
def _beanstalkd(*options: str) -> Iterator[Running]:
    port = free_port()
    with _process([str(BEANSTALKD), "-l", HOST, "-p", str(port), *options], port) as running:
        yield running


_BEST: Final = ("-t", "1", "--hashtable-buckets", "200000")

GEARPY: Final = _gearpy()
# The same sources, not compiled.
PLAIN: Final = Contestant(
    "gearpy in plain Python",
    _gearpy(program=[sys.executable, "-m", "bench.plain"]).start,
    missing=None
    if is_compiled()
    else "gearpy itself runs in plain Python: `make compile` brings the compiled form",
)
GEARMAND_IN_MEMORY: Final = _gearmand("gearmand as Debian starts it")
GEARMAND_AT_ITS_BEST: Final = _gearmand("gearmand at its best", *_BEST)
LOOKED_AT: Final = Contestant("gearpy, looked at", _looked_at)
RIVALS: Final = (GEARMAND_IN_MEMORY, GEARMAND_AT_ITS_BEST, PLAIN)

CROWDED: Final = _gearpy("--max-connections", str(_CROWD))
CROWDED_RIVALS: Final = (
    _gearmand("gearmand as Debian starts it", "--file-descriptors", str(_CROWD)),
    _gearmand("gearmand at its best", *_BEST, "--file-descriptors", str(_CROWD)),
)
# It can be told to wake one worker for a job: what then goes wrong if that one does not come is no
# question of speed.
WAKING_ONE: Final = _gearmand("gearmand at its best, -w 1", *_BEST, "-w", "1")

PEERS: Final = (
    Contestant("Gearman::Server (Perl)", _perl, _SLOW_JOBS_MAX, _NO_PERL, WITH_PLAIN_GRABS),
    Contestant("gear (Python)", _geard, _SLOW_JOBS_MAX, _NO_GEARD),
    Contestant("beanstalkd", _beanstalkd, missing=_NO_BEANSTALKD, scenes=beanstalk.SCENES),
)


def present(contestants: Iterable[Contestant]) -> list[Contestant]:
    """Those that can take part."""
    return [each for each in contestants if each.missing is None]


def missing(contestants: Iterable[Contestant]) -> Iterator[str]:
    """A sentence for each that can't."""
    yield from dict.fromkeys(each.missing for each in contestants if each.missing is not None)


def free_port() -> int:
    """One of the loopback interface that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
    return port


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Returns once the process listens there.  Raises BenchError if it does not."""
    give_up_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < give_up_s:
        if process.poll() is not None:
            raise BenchError(f"{_name(process)} ended at once, with status {process.returncode}")
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)  # not every program says that it listens
        else:
            return
    limit = f"{_START_LIMIT_S:.0f} s"
    raise BenchError(f"{_name(process)} did not listen on port {port} within {limit}")


def _name(process: subprocess.Popen[bytes]) -> str:
    args = process.args
    return Path(str(args[0] if isinstance(args, list) else args)).name


def resident_bytes(pid: int) -> int:
    """The memory of a process and all its descendants that is in RAM (VmRSS)."""
    return sum(map(_resident_bytes, _family(pid)))


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.removesuffix("kB")) * 1024
    raise BenchError(f"process {pid} has no memory: it has ended")


def cpu_s(pid: int) -> float:
    """CPU time, user and system, of a process and all its descendants, threads included."""
    return sum(map(_cpu_s, _family(pid)))


def _cpu_s(pid: int) -> float:
    """Of one process, and of its children that ended.

    The scheduler's books count nanoseconds, for each thread that lives (no server here ends one
    while it is measured); those of children that ended count ticks.
    """
    try:
        threads = sum(
            int((task / "schedstat").read_text().split()[0])
            for task in Path(f"/proc/{pid}/task").iterdir()
        )
        return threads / 1e9 + sum(_ticks(pid)[2:]) / _TICKS_PER_S
    except (FileNotFoundError, ProcessLookupError):
        # A kernel without these books, or something ended meanwhile.
        return sum(_ticks(pid)) / _TICKS_PER_S


def _ticks(pid: int) -> list[int]:
    """User and system time of a process, then of its children that ended."""
    return list(map(int, _fields(pid)[11:15]))


def _fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 20  # ended meanwhile
    # The program's name stands in parentheses and may hold anything.
    return text.rpartition(")")[2].split()


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        child = int(folder.name)
        children.setdefault(int(_fields(child)[1]), []).append(child)
    family = [pid]
    for member in family:
        family += children.get(member, ())
    return family
