"""The servers of the race: how each is started, and the CPU time that it has used."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.generator import HOST, BenchError
from gearpy.testing.process import ServerProcess

GEARMAND_PACKAGE: Final = "gearman-job-server"
GEARMAND: Final = shutil.which("gearmand", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

_SQLITE_JOBS_MAX: Final = 3_000  # at some hundred a second
_START_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 10.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


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


@contextmanager
def _gearpy() -> Iterator[Running]:
    with ServerProcess("--verbose", "ERROR") as server:
        yield Running(server.port, server.pid)


def journal_flags(folder: str) -> tuple[str, ...]:
    """The flags of a gearpy-server that keeps its jobs in this folder."""
    return "--verbose", "ERROR", "--journal", f"{folder}/jobs.db"


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
            with _gearmand(*queue)() as running:
                yield Running(running.port, running.pid, Path(own))

    return Contestant("gearmand with its SQLite queue", start, _SQLITE_JOBS_MAX)


def _gearmand(*options: str) -> Callable[[], AbstractContextManager[Running]]:
    @contextmanager
    def start() -> Iterator[Running]:
        assert GEARMAND is not None, "asked for only where it is installed"
        port = free_port()
        with TemporaryDirectory() as folder:
            basics = ["-p", str(port), "-L", HOST, "-l", "none", "-P", f"{folder}/pid"]
            process = subprocess.Popen([GEARMAND, *basics, *options])
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

    return start


GEARPY: Final = Contestant("gearpy", _gearpy)
GEARMAND_IN_MEMORY: Final = Contestant("gearmand as Debian starts it", _gearmand())
RIVALS: Final = (
    GEARMAND_IN_MEMORY,
    Contestant("gearmand at its best", _gearmand("-t", "1", "--hashtable-buckets", "200000")),
)


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
            time.sleep(0.02)
        else:
            return
    limit = f"{_START_LIMIT_S:.0f} s"
    raise BenchError(f"{_name(process)} did not listen on port {port} within {limit}")


def _name(process: subprocess.Popen[bytes]) -> str:
    args = process.args
    return Path(str(args[0] if isinstance(args, list) else args)).name


def resident_bytes(pid: int) -> int:
    """The memory of a process that is in RAM (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.removesuffix("kB")) * 1024
    raise BenchError(f"process {pid} has no memory: it has ended")


def cpu_s(pid: int) -> float:
    """CPU time, user and system, of a process and all its descendants, threads included."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        # The program's name stands in parentheses and may hold anything.
        fields = text.rpartition(")")[2].split()
        child, parent = int(stat.parent.name), int(fields[1])
        children.setdefault(parent, []).append(child)
        ticks[child] = sum(map(int, fields[11:15]))  # its own, and of children that ended
    family = [pid]
    for member in family:
        family += children.get(member, ())
    return sum(ticks.get(member, 0) for member in family) / _TICKS_PER_S
