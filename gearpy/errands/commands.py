"""Does commands, as far as they are allowed: no shell, arguments as they are."""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Iterable, Mapping
from typing import Final, final

from gearpy.errands.orders import Command, NotWell, Output
from gearpy.errors import BadErrand, FailJob, InvalidArgument

_GRACE_S: Final = 5.0  # between TERM and KILL
_PART_BYTES: Final = 64 << 10


def read_allowed(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What ``--allow-command NAME=ARGV...`` says: the words in front of a job's own arguments.

    Raises InvalidArgument with a sentence.

    >>> read_allowed(["resize=/usr/bin/convert -resize"])
    {'resize': ('/usr/bin/convert', '-resize')}
    """
    allowed: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, sign, line = text.partition("=")
        if not sign or not name:
            raise InvalidArgument(f"{text!r} is no command: write NAME=/path/to/program")
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            raise InvalidArgument(f"{text!r} can't be split into words: {error}") from None
        if not words:
            raise InvalidArgument(f"{text!r} names no program: write {name}=/path/to/program")
        if name in allowed:
            raise InvalidArgument(f"the command {name!r} is allowed twice")
        allowed[name] = words
    return allowed


@final
class Runner:
    """Runs these commands, and keeps at most so many bytes of what each of them writes."""

    def __init__(self, allowed: Mapping[str, tuple[str, ...]], bytes_max: int) -> None:
        self._allowed = allowed
        self._bytes_max = bytes_max

    async def perform(self, command: Command, handle: str) -> Output:
        """What the command gave, if it ended well.  It finds the job's handle in GEARPY_HANDLE.

        Raises NotWell if it ended with another code than 0, and BadErrand or FailJob where it
        could not be run to its end; their sentences are for people.
        """
        words = self._allowed.get(command.name)
        if words is None:
            raise BadErrand(
                f"the command {command.name[:80]!r} is not allowed here; this worker was not given"
                " an --allow-command of this name"
            )
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                *command.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "GEARPY_HANDLE": handle},
                start_new_session=True,  # to be stopped with all that it starts
            )
        except (OSError, ValueError) as error:
            raise FailJob(f"{words[0]} can't be started: {error}") from None
        try:
            async with asyncio.timeout(command.timeout_s):
                output = await self._finish(process, command.stdin)
        except TimeoutError:
            raise FailJob(
                f"{command.name} took longer than {command.timeout_s:g} s, and was stopped"
            ) from None
        finally:
            await _stop(process)
        if output.exit_code:
            raise NotWell(_how_it_ended(command.name, output), output)
        return output

    async def _finish(self, process: asyncio.subprocess.Process, stdin: bytes) -> Output:
        assert process.stdout is not None, "it is a pipe"
        assert process.stderr is not None, "it is a pipe"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_write(process, stdin))
            out = tasks.create_task(self._read(process.stdout))
            error = tasks.create_task(self._read(process.stderr))
            code = await process.wait()
            # What it left behind may have its pipes, and would keep them open for ever.
            _signal(process.pid, signal.SIGKILL)
        (stdout, stdout_cut), (stderr, stderr_cut) = out.result(), error.result()
        return Output(
            exit_code=code,
            stdout=stdout,
            stderr=stderr,
            stdout_cut=stdout_cut,
            stderr_cut=stderr_cut,
        )

    async def _read(self, pipe: asyncio.StreamReader) -> tuple[bytes, bool]:
        """To the end, however much it is: a full pipe would stop who writes."""
        kept, cut = bytearray(), False
        while part := await pipe.read(_PART_BYTES):
            room_bytes = self._bytes_max - len(kept)
            kept += part[:room_bytes]
            cut = cut or len(part) > room_bytes
        return bytes(kept), cut


async def _write(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    assert process.stdin is not None, "it is a pipe"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it reads no further
        process.stdin.write(stdin)
        await process.stdin.drain()
    process.stdin.close()


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ends a command that was not run to its end, and all that it started."""
    if process.returncode is not None:
        return
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _how_it_ended(name: str, output: Output) -> str:
    code = output.exit_code
    how = f"with exit code {code}" if code > 0 else f"by {signal.Signals(-code).name}"
    lines = output.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"{name} ended {how}{f': {lines[-1][:200]}' if lines else ''}"
