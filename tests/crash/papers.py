"""What clients and workers write down, a line each, where no crash of the server can reach it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

SHARED: Final = "shared-"  # begins each unique that several clients use


def is_shared(unique: str) -> bool:
    """Whether several clients may use it."""
    return unique == "-" or unique.startswith(SHARED)


class Receipt(NamedTuple):
    """The server has the job."""

    connection: str  # over which it came, in no other file
    order: int  # on that connection
    handle: str
    function: str
    unique: str
    priority: int
    number: int  # of the payload, among those of its client
    digest: str  # of the payload
    background: bool
    due_s: float  # not to be begun before; 0: at once
    follows: str = ""  # the payload of the job that follows its end; empty: none does

    @property
    def alone(self) -> bool:
        """Whether no other client's submit can have made its job."""
        return not is_shared(self.unique)


class Assignment(NamedTuple):
    """A worker was given the job."""

    connection: str
    order: int
    handle: str
    function: str
    unique: str
    digest: str
    attempt: int  # 0: the server did not say
    now_s: float


class Ending(NamedTuple):
    """A worker is about to say how the job ended."""

    connection: str
    handle: str
    completed: bool


Record = Receipt | Assignment | Ending

_KINDS: Final[dict[str, type[Record]]] = {
    "receipt": Receipt,
    "assignment": Assignment,
    "ending": Ending,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def digest(payload: bytes) -> str:
    """Tells payloads apart.  An empty one is 0:00000000."""
    return f"{len(payload)}:{crc32(payload):08x}"


class Paper:
    """The file of one process.  Each line is with the kernel when ``write`` returns, so it outlives
    the process, and no line is ever cut unless the process is killed in the middle of it."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, record: Record) -> None:
        line = json.dumps([_NAMES[type(record)], *record])
        os.write(self._descriptor, line.encode() + b"\n")


class Papers:
    """All papers of a folder, read as they grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes: dict[Path, int] = {}

    def news(self) -> Iterator[Record]:
        """What was written since the last call.  A line that is not complete is left for later."""
        for path in sorted(self._folder.glob("*.paper")):
            start = self._read_bytes.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                text = file.read()
            lines = text[: text.rfind(b"\n") + 1]
            self._read_bytes[path] = start + len(lines)
            for line in lines.splitlines():
                kind, *values = json.loads(line)
                yield _KINDS[kind](*values)
