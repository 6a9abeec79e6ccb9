"""A lock beside a file, so that only one server at a time has it."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import final

from gearpy.errors import CannotOpenStore


@final
class LockFile:
    """Holds ``FILE.lock`` from construction until ``release``, or until the process ends however it
    does: the kernel's lock counts, not that the file is there.

    The file itself stays free for others to read.  Raises CannotOpenStore if another process (or
    this one) holds the lock, or if the lock file can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = self._lock(path)
        except OSError as error:
            raise CannotOpenStore(
                f"The journal {path} can't be opened: its lock file {self.path} can't be written "
                f"({error.strerror}).  The server needs a folder that it may write in."
            ) from None

    def release(self) -> None:
        """Lets others have it.  Again: does nothing."""
        if self._descriptor < 0:
            return
        with suppress(OSError):  # who has the lock looks whether the file is still the one there
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def _lock(self, path: Path) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(self.path, descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                    return descriptor
            except BlockingIOError:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise CannotOpenStore(
                    f"The journal {path} is in use by {holder}.  Stop that server, or give this "
                    "one a journal of its own."
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its last holder has just removed it: there is a newer one


def lock_itself(path: Path, descriptor: int) -> None:
    """Locks the file itself, too, as long as ``descriptor`` is open: it may be reached in other
    ways, such as a mount of this one file, where there is another file beside it.

    SQLite's own locks are of another kind, and not in the way.  Raises CannotOpenStore.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotOpenStore(
            f"The journal {path} is in use by another process, which knows it under another name.  "
            "Stop that server, or give this one a journal of its own."
        ) from None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    pid = os.pread(descriptor, 20, 0).strip()
    return f"process {int(pid)}" if pid.isdigit() else "another process"
