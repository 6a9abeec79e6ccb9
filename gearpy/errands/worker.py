"""The worker that does errands, in processes of ``gearpy worker --http --exec``."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final, Self, final

from gearpy.callbacks import secret_key, signed_anew
from gearpy.errands.commands import Runner, read_allowed
from gearpy.errands.hosts import Hosts
from gearpy.errands.orders import (
    EXEC_FUNCTION,
    HTTP_FUNCTION,
    NotWell,
    Output,
    Request,
    Response,
    read_command,
    read_request,
)
from gearpy.errors import BadErrand
from gearpy.worker.aio import AsyncWorker
from gearpy.worker.functions import Job

if TYPE_CHECKING:
    from gearpy.errands.requests import Requester

VARIABLE: Final = "GEARPY_ERRANDS"
TARGET: Final = f"{__name__}:worker"
BYTES_MAX: Final = 1 << 20
CONCURRENCY: Final = 16
_LOOKUPS: Final = 4 * CONCURRENCY  # of names, at a time


@dataclass(frozen=True, slots=True)
class Allowance:
    """What errands may do: the hosts that requests may go to (see ``Hosts``), the commands (see
    ``read_allowed``), and how many bytes are kept of what each gives.  With the server's ``secret``
    each attempt to deliver a callback has a signature of its own."""

    hosts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    bytes_max: int = BYTES_MAX
    secret: str = ""

    def check(self) -> None:
        """Raises InvalidArgument for a host, a command or a secret that can't be one."""
        Hosts(self.hosts)
        read_allowed(self.commands)
        if self.secret:
            secret_key(self.secret)

    def environment(self) -> dict[str, str]:
        """How a process is told."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> Self:
        """What a process was told; nothing is allowed if it was not."""
        table = json.loads(environment.get(VARIABLE, "{}"))
        return cls(
            tuple(table.get("hosts", ())),
            tuple(table.get("commands", ())),
            int(table.get("bytes_max", BYTES_MAX)),
            str(table.get("secret", "")),
        )


@final
class Errands:
    """Does errands as far as they are allowed."""

    def __init__(self, allowance: Allowance) -> None:
        self._runner = Runner(read_allowed(allowance.commands), allowance.bytes_max)
        self._hosts = Hosts(allowance.hosts)
        self._bytes_max = allowance.bytes_max
        self._key = secret_key(allowance.secret) if allowance.secret else b""
        self._stack = AsyncExitStack()
        self._requester: Requester | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives back what it holds."""
        await self._stack.aclose()

    async def perform(self, function: str, payload: bytes, handle: str) -> Response | Output:
        """Does one.  Raises NotWell, BadErrand or FailJob, with sentences for people."""
        if function == HTTP_FUNCTION:
            return await (await self._opened()).perform(self._request(payload))
        if function == EXEC_FUNCTION:
            return await self._runner.perform(read_command(payload), handle)
        raise BadErrand(
            f"a job of {function} is no errand: those are jobs of {HTTP_FUNCTION} and"
            f" {EXEC_FUNCTION}"
        )

    def _request(self, payload: bytes) -> Request:
        request = read_request(payload)
        if not self._key or request.body is None:
            return request
        headers = signed_anew(self._key, request.headers, request.body, time.time())
        return replace(request, headers=headers)

    async def _opened(self) -> "Requester":
        if self._requester is None:
            try:
                from gearpy.errands.requests import Requester
            except ModuleNotFoundError as error:
                raise BadErrand(
                    f"requests need the package {error.name}: pip install 'gearpy[http]'"
                ) from None
            # A stranger's name may take half a minute, long after its request was given up.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_LOOKUPS, "lookup"))
            self._requester = await self._stack.enter_async_context(
                Requester(self._hosts, self._bytes_max)
            )
        return self._requester


def worker() -> AsyncWorker:
    """A worker for the kinds of errands of which something is allowed."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # URLs may hold what is secret
    allowance = Allowance.told(os.environ)
    errands = Errands(allowance)

    async def do(job: Job) -> bytes:
        try:
            return (await errands.perform(job.function, job.data, job.handle)).result()
        except NotWell as error:
            job.send_data(error.report.result())  # it is kept, as what went well is
            raise

    made = AsyncWorker(concurrency=CONCURRENCY)
    made.on_stop(errands.close)
    if allowance.hosts:
        made.register(HTTP_FUNCTION, do)
    if allowance.commands:
        made.register(EXEC_FUNCTION, do)
    return made
