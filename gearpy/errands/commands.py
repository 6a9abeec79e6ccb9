"""Does commands, as far as they are allowed: no shell, arguments as they are."""

import asyncio
import contextlib
import ctypes
import glob
import os
import shlex
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final, final

from gearpy.errands.orders import Command, NotWell, Output, excerpt
from gearpy.errors import BadErrand, FailJob, InvalidArgument
from gearpy.worker.exits import how_it_ended

_PRCTL: Final = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it
_SET_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
_GRACE_S: Final = 3.0  # between TERM and KILL; a worker that ends has 5 s for it
_LAST_S: Final = 1.0  # for what is still in the pipes, where somebody holds them open


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


def missing_programs(allowed: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """For each command that can't be started here, because its program is not there or may not be
    run: a sentence."""
    for name, (program, *_) in allowed.items():
        if shutil.which(program) is None:
            yield f"the command {name!r} can't be run: {_why_not(program)}"


def _why_not(program: str) -> str:
    if os.sep not in program:
        return f"no program {program!r} is in the PATH"
    if os.path.isdir(program):
        return f"{program} is a folder"
    return f"{program} {'may not be executed' if os.path.exists(program) else 'is not there'}"


@final
class Runner:
    """Runs these commands, and keeps at most so many bytes of what each of them writes."""

    def __init__(self, allowed: Mapping[str, tuple[str, ...]], bytes_max: int) -> None:
        self._allowed = allowed
        self._bytes_max = bytes_max

    async def perform(self, command: Command, handle: str) -> Output:
        """What the command gave, if it ended well.  It finds the job's handle in GEARPY_HANDLE.

        Raises NotWell if it ended with another code than 0 or did not end in time, and BadErrand or
        FailJob where it could not be run; their sentences are for people.
        """
        words = self._allowed.get(command.name)
        if words is None:
            raise BadErrand(
                f"the command {command.name[:80]!r} is not allowed here; no --allow-command has"
                " this name"
            )
        try:
            process, running = await self._start((*words, *command.arguments), handle)
        except (OSError, ValueError) as error:
            raise FailJob(f"{words[0]} can't be started: {error}") from None
        in_time = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(command.timeout_s):
                    _give(process, command.stdin)
                    await running.exited.wait()
                in_time = True
        finally:
            await _stop(process, running)
        code = process.get_returncode()
        assert code is not None, "it has exited"
        output = running.output(code)
        if not in_time:
            raise NotWell(
                f"{command.name} took longer than {command.timeout_s:g} s, and was stopped", output
            )
        if output.exit_code:
            how = f"{command.name} {how_it_ended(output.exit_code)}"
            raise NotWell(f"{how}{_complaint(output)}", output, how)
        return output

    async def _start(
        self, words: tuple[str, ...], handle: str
    ) -> tuple[asyncio.SubprocessTransport, "_Running"]:
        """It is cancelled once it has started: asyncio would wait for ever for what a command that
        is cancelled before has started itself."""
        starting = asyncio.ensure_future(
            asyncio.get_running_loop().subprocess_exec(
                partial(_Running, self._bytes_max),
                *words,
                env={**_environment(), "GEARPY_HANDLE": handle},
                start_new_session=True,  # to be stopped with all that it starts
                preexec_fn=partial(_end_with, os.getpid()),
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            while not starting.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                await _stop(*starting.result())
            raise


@final
class _Running(asyncio.SubprocessProtocol):
    """A command that runs, and what it has written so far.

    ``exited`` comes with its end, ``closed`` when nobody has its pipes any more.  (The process that
    asyncio has to offer comes to its end only then.)
    """

    def __init__(self, bytes_max: int) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._bytes_max = bytes_max
        self._written = {1: bytearray(), 2: bytearray()}
        self._cut: set[int] = set()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It is taken however much it is: a full pipe would stop who writes."""
        kept = self._written[fd]
        room_bytes = self._bytes_max - len(kept)
        kept += data[:room_bytes]
        if len(data) > room_bytes:
            self._cut.add(fd)

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()

    def output(self, exit_code: int) -> Output:
        """What it gave."""
        return Output(
            exit_code=exit_code,
            stdout=bytes(self._written[1]),
            stderr=bytes(self._written[2]),
            stdout_cut=1 in self._cut,
            stderr_cut=2 in self._cut,
        )


def _environment() -> dict[str, str]:
    """That of the worker, but for what is said to gearpy, which may be secret."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GEARPY_")}


def _end_with(worker: int) -> None:
    """In the new process: it is killed if its worker ends without stopping it."""
    if _PRCTL is not None:
        _PRCTL(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != worker:  # it has ended before that
            os._exit(1)


def _give(process: asyncio.SubprocessTransport, stdin: bytes) -> None:
    pipe = process.get_pipe_transport(0)
    assert isinstance(pipe, asyncio.WriteTransport), "it is open until then"
    pipe.write(stdin)
    pipe.close()  # behind what is written


async def _stop(process: asyncio.SubprocessTransport, running: _Running) -> None:
    """Ends a command, if it has not ended, and all that it started."""
    session = process.get_pid()
    try:
        if not running.exited.is_set():
            _signal(session, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await running.exited.wait()
    finally:
        _signal(session, signal.SIGKILL)
    await running.exited.wait()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await running.closed.wait()
    finally:
        process.close()


def _signal(session: int, number: signal.Signals) -> None:
    """To all processes of a session, whose first one has the same number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, number)
    for pid in _others(session):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _others(session: int) -> Iterator[int]:
    """Those that are not in its first group: timeout(1) makes one of its own, and so does a shell
    with job control."""
    for path in glob.iglob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(path, "rb") as stat:
            _, _, group, its_session, *_ = stat.read().rpartition(b")")[2].split()
            if int(its_session) == session and int(group) != session:
                yield int(path.split("/")[2])


def _complaint(output: Output) -> str:
    """The last thing that it complained about, behind how it ended."""
    lines = output.stderr.strip().splitlines()
    told = excerpt(lines[-1]) if lines else ""
    return f": {told}" if told else ""
