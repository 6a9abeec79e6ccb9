"""The disk below the journal: what it is, how often it synced, and what one fdatasync costs."""

import os
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from bench.latencies import Latencies

BLOCK_BYTES: Final = 4096
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})  # filesystems on which nothing is durable

_FLUSHES: Final = 18  # the field of /proc/diskstats that counts flush requests


def filesystem(folder: Path) -> str:
    """The type of the filesystem that holds the folder, as the kernel names it."""
    place = folder.resolve()
    found, depth = "unknown", -1
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted, kind, *_ = line.split(" ")
        point = Path(mounted.encode().decode("unicode_escape"))  # a space is written as \040
        # Of two mounts on one point the later one hides the other.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def syncs(folder: Path) -> int | None:
    """How often the folder's disk was told to make everything durable, by anybody, since the
    machine started; None when the kernel does not count it (tmpfs, overlay)."""
    device = os.stat(folder).st_dev
    wanted = [str(os.major(device)), str(os.minor(device))]
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if fields[:2] == wanted and len(fields) > _FLUSHES:
            return int(fields[_FLUSHES])
    return None


def time_syncs(folder: Path, count: int) -> Latencies:
    """Appends so many blocks of 4 kB to a new file, each with an fdatasync, and times each."""
    block = b"x" * BLOCK_BYTES
    latencies = Latencies()
    with TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(count):
            start_s = time.perf_counter()
            file.write(block)
            os.fdatasync(file.fileno())
            latencies.add(time.perf_counter() - start_s)
    return latencies
