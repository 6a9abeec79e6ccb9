"""The engine's verbs as coroutines: each returns once what it did is durable."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast, final

from gearpy.broker.broker import Broker, BrokerStatistics
from gearpy.broker.operations import CHANGES, VERBS
from gearpy.engine.cron import read_schedule
from gearpy.engine.job import DATA, EXCEPTION, RUNNING, Job, Outcome, Report
from gearpy.engine.options import read_options
from gearpy.engine.peers import Client
from gearpy.engine.policy import Policy
from gearpy.engine.policy_book import Origin, check_pattern
from gearpy.engine.statistics import KeptStatistics, QueueStatistics
from gearpy.errors import InvalidArgument, PayloadTooLarge, PeerError, ShuttingDown
from gearpy.protocol.codec import decoded, encoded, packed
from gearpy.server.audit import Audit
from gearpy.server.turns import Turns
from gearpy.web.asker import asker
from gearpy.web.history import History, Minutes
from gearpy.web.recent import Recent

Table = dict[str, object]

_KEPT: Final = 1000  # jobs of a function that are looked at, which takes a millisecond
_OWN_BYTES: Final = 1024  # of a packet with a payload beside it, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job that somebody wants done.

    ``options`` are those of SUBMIT_JOB_OPTIONS, by name; None stands for what is not said.
    """

    function: str
    payload: bytes
    unique: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: its handle, and what its worker gave, data that came before included."""

    handle: str
    outcome: Outcome
    result: bytes


@final
class NotInTime(Exception):
    """The job did not end in the time that its client wanted to wait.  ``runs`` says whether a
    worker is at it, and goes on."""

    def __init__(self, handle: str, *, runs: bool) -> None:
        super().__init__(handle)
        self.handle = handle
        self.runs = runs


@final
class ResultTooLarge(Exception):
    """The job gave more than is kept for its client."""

    def __init__(self, handle: str, bytes_max: int) -> None:
        super().__init__(f"the job gave more than {bytes_max:,} bytes: too much to keep")
        self.handle = handle


@final
class ClientGone(Exception):
    """Whoever waited for the job has hung up."""


@final
class Desk:
    """A broker for those who call it in its own event loop, without a connection of Gearman's."""

    def __init__(self, broker: Broker, turns: Turns, history: History, audit: Audit) -> None:
        self.audit = audit
        self.closing = asyncio.Event()  # nothing that lasts should begin or go on
        self._history = history
        self._broker = broker
        self._engine = broker.engine
        self._gate = broker.gate
        self._turns = turns

    # ---- to look at

    def now_s(self) -> float:
        """The engine's time."""
        return self._engine.now_s

    def statistics(self) -> BrokerStatistics:
        """Counters and sizes of everything."""
        self._turns.begin()
        return self._broker.statistics()

    def function(self, name: str) -> QueueStatistics | None:
        """A function as it is now, if it is known."""
        self._turns.begin()
        return self._engine.functions.get(_name("function", name))

    def names(self) -> list[bytes]:
        """The name of every function, in the order of first sight."""
        self._turns.begin()
        return list(self._engine.functions.names())

    def handle(self, number: int) -> str:
        """The handle that has this number."""
        return f"{decoded(self._engine.rules.handle_prefix)}:{number}"

    def minutes(self, name: str) -> Minutes:
        """The last minutes of a function."""
        return self._history.of(_name("function", name))

    def kept(self, name: str) -> KeptStatistics | None:
        """What its newest kept jobs and dead letters tell of how they ended."""
        return self._engine.functions.kept(_name("function", name), _KEPT)

    def recent(self, function: QueueStatistics) -> Recent:
        """What a function, which is as it is now, did in the last five minutes."""
        return self._history.recent(function)

    def policy_for(self, name: str) -> tuple[Origin, Policy] | None:
        """The policy for just this name or pattern, and where it comes from; None: there is none.
        What counts for a function may be more than that: see ``function``."""
        wanted = _name("function", name)
        for pattern, origin, policy in self._engine.functions.policies.items():
            if pattern == wanted:
                return origin, policy
        return None

    async def rest(self, seconds: float) -> None:
        """Waits so long, but not when it is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    # ---- to do

    def why_not_ready(self) -> str:
        """Why no job would be taken now; empty if jobs are."""
        if self._engine.draining:
            return "the server is shutting down"
        if self._engine.journal_full:
            return "the disk of the journal is nearly full"
        return ""

    async def operate(self, do: str, **fields: object) -> Table:
        """Does what an operator asks for: see ``broker.operations``.

        What changes something goes to the audit.  Raises what the operations raise.
        """
        self._turns.begin()
        try:
            answer, ticket = self._broker.operations.perform({"do": do, **fields})
        except PeerError as error:
            self.note(do, fields, str(error), succeeded=False)
            raise
        if do in CHANGES:  # what only looks may have much to tell
            self.note(do, fields, packed(answer).decode(), succeeded=True)
        await self._durable(ticket)
        return answer

    async def operate_part(self, do: str, **fields: object) -> Table:
        """The same for a part of what somebody asks for, who has the whole of it noted."""
        self._turns.begin()
        answer, ticket = self._broker.operations.perform({"do": do, **fields})
        await self._durable(ticket)
        return answer

    def note(self, do: str, fields: Table, outcome: str, *, succeeded: bool) -> None:
        """Has the audit know that somebody did something, if it changes anything."""
        if do in CHANGES:
            self.audit.add(asker.get(), do, fields, outcome, succeeded)

    def check(self, do: str, **fields: object) -> None:
        """Raises what ``operate`` has to say of these values, as far as they alone tell it."""
        for name, value in fields.items():
            VERBS[do].fields[name](name, value)
        if fields.get("policy") is not None:
            check_pattern(_name("function", str(fields["function"])))
        if fields.get("schedule") is not None:
            read_schedule(cast(Table, fields["schedule"]), self._engine.crontab.ticks)

    async def submit(self, order: Order) -> str:
        """Takes a background job and returns its handle.  Raises what ``Engine.submit`` raises."""
        self._turns.begin()
        job = self._take(None, order)
        await self._durable(job.ticket)
        return decoded(job.handle)

    async def submit_numbered(self, make: Callable[[int], Order]) -> int:
        """Takes a background job that may hold its own number, and returns that number."""
        self._turns.begin()
        number = self._engine.next_number
        job = self._take(None, make(number))
        assert job.number == number, "nobody came in between"
        await self._durable(job.ticket)
        return number

    async def run(self, order: Order, wait_s: float, until: Awaitable[object]) -> Ended:
        """Takes a foreground job and waits for its end.

        Raises NotInTime after ``wait_s`` seconds, ClientGone when ``until`` is there first,
        ShuttingDown when the server stops, ResultTooLarge if the job gives more than a packet may
        hold, and what ``Engine.submit`` raises.  Nobody waits for it then, and a job that is still
        queued is dropped.
        """
        self._turns.begin()
        watcher = _Watcher(self._broker.limits.payload_bytes_max)
        client = Client(watcher)
        job = self._take(client, order)
        handle = decoded(job.handle)
        gone = asyncio.ensure_future(until)
        stops = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait(
                (watcher.ended, gone, stops),
                timeout=wait_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if watcher.ended.done():
                return Ended(handle, watcher.ended.result(), bytes(watcher.result))
            if gone.done():
                raise ClientGone
            if stops.done():
                raise ShuttingDown
            raise NotInTime(handle, runs=job.state is RUNNING)
        finally:
            gone.cancel()
            stops.cancel()
            if client.watching:
                self._turns.begin()
                self._engine.leave(client)

    def _take(self, client: Client | None, order: Order) -> Job:
        if not order.function:
            raise InvalidArgument("the job has no function: say which one is to do it")
        self._check_size(order)
        options = read_options(packed(order.options))
        return self._engine.submit(
            client,
            _name("function", order.function),
            _name("unique", order.unique),
            order.payload,
            options.priority,
            options.due_s or 0.0,
            b"",
            options,
        )

    def _check_size(self, order: Order) -> None:
        """A worker must be able to take its assignment, and a client to submit what it gets."""
        limit_bytes = self._broker.limits.payload_bytes_max - _OWN_BYTES
        if len(order.payload) > limit_bytes:
            raise PayloadTooLarge(
                f"the data has {len(order.payload):,} bytes; this server takes {limit_bytes:,}"
            )

    async def _durable(self, ticket: int) -> None:
        if not self._gate.is_durable(ticket):
            receipt = _Receipt(ticket)
            self._gate.wait(receipt)
            await receipt.durable


def _name(what: str, value: str) -> bytes:
    try:
        return encoded(what, value)
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"{what} holds half a character, which nothing can stand for"
        ) from None


@final
class _Receipt:
    """Waits behind the gate."""

    def __init__(self, ticket: int) -> None:
        self._ticket = ticket
        self.durable = asyncio.get_running_loop().create_future()

    def release(self, durable: int) -> bool:
        if self._ticket > durable and not self.durable.done():
            return True
        if not self.durable.done():
            self.durable.set_result(None)
        return False


@final
class _Watcher:
    """A client that waits for one job, and takes so many bytes of what it gives."""

    def __init__(self, bytes_max: int) -> None:
        self.ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.result = bytearray()
        self._attempt = 1
        self._bytes_max = bytes_max

    def job_reported(self, job: Job, report: Report, data: bytes, copies: int) -> None:
        if report is DATA:
            self._begin(job)
            self._take(job, data)

    def job_ended(self, job: Job, outcome: Outcome, data: bytes, copies: int) -> None:
        self._begin(job)
        if outcome is EXCEPTION:
            self.result.clear()
        self._take(job, data)
        if not self.ended.done():
            self.ended.set_result(outcome)

    def _begin(self, job: Job) -> None:
        """What an attempt gave that failed is no part of the result."""
        if job.attempts != self._attempt:
            self._attempt = job.attempts
            self.result.clear()

    def _take(self, job: Job, data: bytes) -> None:
        if self.ended.done():
            return
        if len(self.result) + len(data) <= self._bytes_max:
            self.result += data
            return
        self.result.clear()
        self.ended.set_exception(ResultTooLarge(decoded(job.handle), self._bytes_max))
