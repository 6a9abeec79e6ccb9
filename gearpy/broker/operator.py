"""The commands of the text protocol, carried out on the engine."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from gearpy.engine.functions import Drop
from gearpy.engine.queue import Maxqueue
from gearpy.engine.statistics import JobStatistics, QueueSizes
from gearpy.errors import RequestRefused, TooManyFunctions
from gearpy.protocol import admin
from gearpy.protocol.admin import Command
from gearpy.protocol.codec import decoded, leading_integer

if TYPE_CHECKING:
    from gearpy.broker.broker import Broker


@final
class Operator:
    """Answers command lines with the bytes to send."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._engine = broker.engine

    def answer(self, line: bytes, who: str) -> tuple[bytes, int]:
        """The reply to one command line, and the ticket of what has to be durable before.  ``who``
        asks, for people."""
        command = admin.parse(line)
        handler = COMMANDS.get(command.name)
        if handler is None:
            return admin.err_unknown_command(command.written), 0
        reply = handler(self, command)
        if command.name in _CHANGES:
            self._broker.host.operated(
                who,
                decoded(command.name),
                {"arguments": list(map(decoded, command.arguments))},
                decoded(reply.strip()),
                succeeded=reply.startswith(b"OK"),
            )
        return reply, self._broker.gate.written if command.name in _WRITTEN_DOWN else 0

    def version(self, _command: Command) -> bytes:
        return admin.ok(self._broker.facts.version.encode())

    def getpid(self, _command: Command) -> bytes:
        return admin.ok(b"%d" % self._broker.facts.pid)

    def verbose(self, _command: Command) -> bytes:
        return admin.ok(self._broker.facts.verbose.encode())

    def status(self, _command: Command) -> bytes:
        return admin.report(
            admin.StatusRow(queue.function, queue.total, queue.running, queue.workers)
            for queue in self._engine.functions.sizes()
        )

    def prioritystatus(self, _command: Command) -> bytes:
        return admin.report(map(_priority_row, self._engine.functions.sizes()))

    def workers(self, _command: Command) -> bytes:
        return admin.report(
            admin.WorkerRow(
                session.peer.fd,
                session.peer.address.encode(),
                session.client_id,
                session.functions,
            )
            for session in self._broker.sessions()
        )

    def show(self, command: Command) -> bytes:
        match command.arguments:
            case []:
                return admin.err_unknown_command(command.written)
            case [b"jobs"]:
                return admin.report(map(_job_row, self._engine.jobs()))
            case [b"unique", b"jobs"]:
                return admin.uniques_report(job.unique for job in self._engine.jobs())
            case [b"maxqueue"]:
                return admin.report(
                    admin.MaxqueueRow(function, *sizes)
                    for function, sizes in self._engine.functions.limits()
                )
            case _:
                return admin.ERR_UNKNOWN_SHOW

    def cancel(self, command: Command) -> bytes:
        match command.arguments:
            case [] | [_]:
                return admin.err_unknown_command(command.written)
            case [b"job", handle]:
                return admin.OK if self._engine.cancel(handle) else admin.ERR_UNKNOWN_JOB
            case _:
                return admin.ERR_UNKNOWN_ERROR

    def create(self, command: Command) -> bytes:
        match command.arguments:
            case [b"function", function]:
                return self._try(lambda: self._engine.functions.create(function))
            case _:
                return admin.err_incomplete(command.name)

    def drop(self, command: Command) -> bytes:
        match command.arguments:
            case [b"function", function]:
                return _DROPPED[self._engine.functions.drop(function)]
            case _:
                return admin.err_incomplete(command.name)

    def maxqueue(self, command: Command) -> bytes:
        match command.arguments:
            case [function]:
                sizes: Maxqueue = (0, 0, 0)
            case [function, size]:
                sizes = (_size(size), _size(size), _size(size))
            case [function, high, normal, low]:
                sizes = (_size(high), _size(normal), _size(low))
            case _:
                return admin.err_incomplete(command.name)
        return self._try(lambda: self._engine.functions.limit(function, sizes))

    def shutdown(self, command: Command) -> bytes:
        if not self._broker.limits.allow_shutdown:
            return admin.err_unknown_command(command.written)
        match command.arguments:
            case []:
                self._broker.host.shutdown(graceful=False)
                return admin.OK
            case [b"graceful"]:
                self._broker.host.shutdown(graceful=True)
                return admin.OK
            case _:
                return admin.err_incomplete(command.name)

    def _try(self, verb: Callable[[], None]) -> bytes:
        try:
            verb()
        except TooManyFunctions:
            return admin.ERR_TOO_MANY_FUNCTIONS
        except RequestRefused:
            return admin.ERR_FUNCTION_NAME
        return admin.OK


_DROPPED: Final[dict[Drop, bytes]] = {
    "dropped": admin.OK,
    "unknown": admin.ERR_NO_FUNCTION,
    "in use": admin.ERR_FUNCTION_IN_USE,
    "queued": admin.ERR_FUNCTION_QUEUED,
}


def _size(text: bytes) -> int:
    """A limit as gearmand reads it: what is no number, or negative, is no limit."""
    return max(0, leading_integer(text))


def _priority_row(queue: QueueSizes) -> admin.PriorityRow:
    critical, high, normal, low = queue.waiting
    # gearmand's report knows three priorities.
    return admin.PriorityRow(queue.function, critical + high, normal, low, queue.workers)


def _job_row(job: JobStatistics) -> admin.JobRow:
    return admin.JobRow(job.handle, job.losses, not job.wanted, job.background)


_WRITTEN_DOWN: Final = {b"cancel", b"drop"}  # whose effect a crash must not undo
_CHANGES: Final = {b"cancel", b"create", b"drop", b"maxqueue", b"shutdown"}

COMMANDS: Final[dict[bytes, Callable[[Operator, Command], bytes]]] = {
    b"version": Operator.version,
    b"getpid": Operator.getpid,
    b"verbose": Operator.verbose,
    b"status": Operator.status,
    b"prioritystatus": Operator.prioritystatus,
    b"workers": Operator.workers,
    b"show": Operator.show,
    b"cancel": Operator.cancel,
    b"create": Operator.create,
    b"drop": Operator.drop,
    b"maxqueue": Operator.maxqueue,
    b"shutdown": Operator.shutdown,
}
