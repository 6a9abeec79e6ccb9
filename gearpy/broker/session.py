"""One connection's conversation: a table of packet handlers.

A handler is given the packet's fields, split as the table of packets says; it calls one verb of the
engine and puts one reply.  What it raises is answered at one place, ``Session._handle``.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, final

from gearpy.broker.outbox import Outbox
from gearpy.broker.ports import Peer
from gearpy.broker.reports import (
    RunningJob,
    WorkerState,
    WorkerStatistics,
    read_cause,
    read_state,
    read_usage,
)
from gearpy.engine.engine import Engine
from gearpy.engine.job import (
    DATA,
    EXCEPTION,
    PROGRESS,
    RUNNING,
    STATUS,
    SUCCESS,
    WARNING,
    Job,
    Outcome,
    Report,
)
from gearpy.engine.options import read_options
from gearpy.engine.peers import Client, Worker
from gearpy.engine.rules import check_printable, is_short, timeout_s
from gearpy.engine.schedule import read_due_s, read_minute
from gearpy.engine.statistics import JobStatistics
from gearpy.errors import (
    JobNotFound,
    LineTooLong,
    PayloadTooLarge,
    PeerError,
    RemoteProtocolError,
    RequestRefused,
    UnexpectedMagic,
    UnexpectedPacket,
    UnknownOption,
    UnknownPacket,
    WorkerDropped,
)
from gearpy.priority import Priority
from gearpy.protocol import admin, codec
from gearpy.protocol import packets as p
from gearpy.protocol.parser import Packet, PacketParser

if TYPE_CHECKING:
    from gearpy.broker.broker import Broker

NO_CLIENT_ID: Final = b"-"
CLIENT_ID_BYTES_MAX: Final = 127  # longer ones are cut, as in gearmand
PROGRESS_TEXT_BYTES_MAX: Final = 1000  # longer ones are cut, too

_STATUS_UNKNOWN: Final = (b"0", b"0", b"0", b"0")
_RESULT_NOT_FOUND: Final = "Job given in work result not found"
_JOB_DOES_NOT_EXIST: Final = "Job does not exist on server"
_EXCEPTION_NOT_FOUND: Final = "An exception was received for a job that does not exist"
_REPORTS: Final[dict[Report, int]] = {
    DATA: p.WORK_DATA,
    WARNING: p.WORK_WARNING,
    STATUS: p.WORK_STATUS,
    PROGRESS: p.WORK_PROGRESS,
}
# Of these one that is too large is skipped, and its job has failed: were the connection closed, the
# next worker would be given the job, and do and say the same.
_SKIPS: Final = frozenset(
    (p.WORK_DATA, p.WORK_WARNING, p.WORK_COMPLETE, p.WORK_EXCEPTION, p.WORK_FAILURE)
)
_BROKEN: Final = -4  # stands behind the last sound packet of a stream that makes no sense any more


@final
class Session:
    """What one connection says and hears.

    After ``receive`` look at ``closing``: once it is a sentence, send what is in the outbox and
    close. If ``choked`` is true the peer takes too little of what it is sent: stop reading from
    it, and call ``resume`` when it has taken more.  Call ``lost`` once when the connection is
    gone.
    """

    __slots__ = (
        "_backlog",
        "_broker",
        "_client",
        "_engine",
        "_exceptions",
        "_extended",
        "_full_bytes",
        "_parser",
        "_state",
        "_worker",
        "client_id",
        "closing",
        "number",
        "outbox",
        "peer",
    )

    def __init__(self, broker: "Broker", number: int, peer: Peer, outbox: Outbox) -> None:
        self.number = number  # later connections have higher ones
        self.peer = peer
        self.outbox = outbox
        self.client_id = NO_CLIENT_ID
        self.closing: str | None = None
        self._broker = broker
        self._engine = broker.engine
        self._parser = PacketParser(
            p.REQ, broker.limits.payload_bytes_max, broker.limits.line_bytes_max, _SKIPS
        )
        self._exceptions = broker.limits.exceptions
        self._extended = False  # it asked for gearpy's own packets
        self._full_bytes = broker.limits.outbox_bytes
        self._client: Client | None = None
        self._worker: Worker | None = None
        self._state: WorkerState | None = None
        self._backlog: list[Packet] = []  # packets that came while the outbox was full

    # ---- the connection

    def receive(self, data: bytes) -> None:
        """Bytes arrived: handles every packet that is complete by now."""
        if self.closing is not None:
            return
        packets = self._parser.feed(data)
        if self._parser.broken is not None:
            packets.append((_BROKEN, b""))
        if self.choked:
            self._backlog.extend(packets)
        else:
            self._handle(packets)

    @property
    def choked(self) -> bool:
        """Whether the peer has too much in its outbox, or waits for a disk that has too much to do;
        what it sends waits in here meanwhile.

        Who waits for the disk has something in its outbox that leaves when the gate opens: that
        is when it goes on.
        """
        outbox = self.outbox
        return (
            bool(self._backlog)
            or outbox.size_bytes > self._full_bytes
            or (self._broker.gate.crowded and outbox.waits)
        )

    def resume(self) -> None:
        """The peer has taken some of its outbox: goes on with what it sent before."""
        backlog, self._backlog = self._backlog, []
        self._handle(backlog)

    def lost(self) -> None:
        """The connection is gone: its jobs go back, its waiting ends."""
        self._broker.forget(self)
        self._backlog.clear()
        self.outbox.close()
        self.closing = self.closing or "the connection is gone"
        # Taken off here, so that nothing is left that only the cyclic collector could free.
        worker, self._worker = self._worker, None
        client, self._client = self._client, None
        if worker is not None:
            self._engine.lose(worker)
        if client is not None:
            self._engine.leave(client)

    @property
    def functions(self) -> tuple[bytes, ...]:
        """What this connection can do, in the order in which it will be served."""
        return tuple(queue.name for queue in self._worker.abilities) if self._worker else ()

    def missed(self, now_s: float) -> bool:
        """Whether it is a worker that should have said by now how it is."""
        return self._state is not None and self._state.missed(now_s)

    def worker_statistics(self) -> WorkerStatistics | None:
        """Its worker as it is now; None if it has none."""
        worker, state = self._worker, self._state
        functions, jobs = self.functions, () if worker is None else worker.jobs.values()
        if state is None and not jobs and not functions:
            return None
        return WorkerStatistics(
            connection=self.peer.fd,
            address=self.peer.address,
            peer=self.peer.name,
            client_id=self.client_id,
            name=self.name,
            functions=functions,
            running=tuple(RunningJob(job.handle, job.queue.name, job.since_s) for job in jobs),
            state=state,
        )

    def _handle(self, packets: Iterable[Packet]) -> None:
        outbox, full_bytes, gate = self.outbox, self._full_bytes, self._broker.gate
        packets = iter(packets)
        for number, body in packets:
            try:
                route = ROUTES.get(number)
                if route is None:
                    raise UnknownPacket(f"there is no packet type {number}")
                handler, separators = route
                if separators < 0:
                    handler(self)
                elif separators == 0:
                    handler(self, body)
                else:
                    fields = body.split(b"\0", separators)
                    if len(fields) <= separators:
                        fields = codec.split(number, body)
                    if separators == 1:  # compiled, a call with a star takes twice as long
                        handler(self, fields[0], fields[1])
                    elif separators == 2:
                        handler(self, fields[0], fields[1], fields[2])
                    else:
                        handler(self, *fields)
            except RequestRefused as error:
                self._answer(error)
            except RemoteProtocolError as error:
                self._answer(error)
                self.closing = str(error)
                # The parser keeps it, and it would keep this frame: a cycle, and nobody comes back
                # to look for cycles among what lives.
                error.__traceback__ = None
                return
            except Exception as error:
                self._broker.fault(self.peer, number, body, error)
                self.closing = "handling its packet failed"
                return
            if outbox.size_bytes > full_bytes or (gate.crowded and outbox.waits):
                self._backlog.extend(packets)
                break

    def _answer(self, error: PeerError) -> None:
        if isinstance(error, LineTooLong):
            self.outbox.put(admin.err_line_too_long(str(error)))
        else:
            self.outbox.put(codec.error(error.code, str(error)))
        self._broker.refused(self.peer, error)

    # ---- what the engine calls, and operators

    @property
    def name(self) -> str:
        """Who it is as a worker, for people."""
        if self.client_id == NO_CLIENT_ID:
            return self.peer.name
        return f"{codec.decoded(self.client_id)} ({self.peer.name})"

    def wake(self) -> None:
        self.outbox.put(codec.NOOP_PACKET)

    def job_cancelled(self, job: Job) -> None:
        if self._extended:
            self.outbox.put(codec.response(p.CANCEL_JOB, job.handle))

    def tell(self, is_meant: Callable[[bytes], bool], command: bytes) -> bool:
        """Tells a command to a supervisor whose group is meant; returns whether this is one."""
        state = self._state
        if not (self._extended and state is not None and state.supervisor):
            return False
        if self.closing is not None or not is_meant(state.group):
            return False
        self.outbox.put(codec.response(p.WORKER_COMMAND, command))
        return True

    def drop(self) -> None:
        """Ends the connection for an operator: what its worker holds goes back at once, whether or
        not the worker takes note."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._engine.lose(worker)
        self._backlog.clear()
        error = WorkerDropped()
        self.outbox.put(codec.error(error.code, str(error)))
        self.closing = "an operator dropped it"

    def job_reported(self, job: Job, report: Report, data: bytes, copies: int) -> None:
        if report is PROGRESS and not self._extended:
            report, data = STATUS, b"\0".join(data.split(b"\0", 2)[:2])  # without the text
        packet = codec.work(_REPORTS[report], job.handle, data)
        for _ in range(copies):
            self.outbox.put(packet)

    def job_ended(self, job: Job, outcome: Outcome, data: bytes, copies: int) -> None:
        if outcome is SUCCESS:
            packet = codec.work(p.WORK_COMPLETE, job.handle, data)
        elif outcome is EXCEPTION and self._exceptions:
            packet = codec.work(p.WORK_EXCEPTION, job.handle, data)
        else:
            # A client that did not ask for exceptions must still hear of the end.
            packet = codec.response(p.WORK_FAIL, job.handle)
        for _ in range(copies):
            self.outbox.put(packet)

    # ---- clients

    @property
    def _as_client(self) -> Client:
        if self._client is None:
            self._client = Client(self)
        return self._client

    def on_submit_epoch(self, function: bytes, unique: bytes, due: bytes, payload: bytes) -> None:
        job = self._engine.submit(None, function, unique, payload, Priority.NORMAL, read_due_s(due))
        self.outbox.put(codec.job_created(job.handle), job.ticket)

    def on_submit_sched(self, function: bytes, unique: bytes, *when: bytes) -> None:
        *fields, payload = when
        due_s = read_minute(*fields).next_time_s(self._engine.now_s, self._broker.calendar)
        job = self._engine.submit(None, function, unique, payload, Priority.NORMAL, due_s)
        self.outbox.put(codec.job_created(job.handle), job.ticket)

    def on_submit_options(
        self, function: bytes, unique: bytes, options: bytes, payload: bytes
    ) -> None:
        asked = read_options(options)
        client = None if asked.background else self._as_client
        job = self._engine.submit(
            client, function, unique, payload, asked.priority, asked.due_s or 0.0, b"", asked
        )
        self.outbox.put(codec.job_created(job.handle), job.ticket)

    def on_cancel(self, handle: bytes) -> None:
        handle = codec.trimmed(handle)
        cancelled = self._engine.cancel(handle)
        answer = codec.response(p.CANCEL_RES, handle, b"%d" % cancelled)
        self.outbox.put(answer, self._broker.gate.written)

    def on_get_status(self, handle: bytes) -> None:
        handle = codec.trimmed(handle)
        status = _status_fields(self._engine.status(handle))
        self.outbox.put(codec.response(p.STATUS_RES, handle, *status))

    def on_get_status_unique(self, unique: bytes) -> None:
        unique = codec.trimmed(unique)
        job = self._engine.status_by_unique(unique)
        waiting = b"%d" % (job.waiting if job else 0)
        self.outbox.put(codec.response(p.STATUS_RES_UNIQUE, unique, *_status_fields(job), waiting))

    def on_option(self, option: bytes) -> None:
        wish = codec.trimmed(option).lower()
        if wish == b"exceptions":
            self._exceptions = True
        elif wish == b"gearpy":
            self._extended = True
        else:
            raise UnknownOption
        self.outbox.put(codec.response(p.OPTION_RES, option))

    def on_echo(self, payload: bytes) -> None:
        self.outbox.put(codec.echo_res(payload))

    def on_set_client_id(self, client_id: bytes) -> None:
        client_id = codec.trimmed(client_id)
        check_printable("a client id", client_id)
        self.client_id = client_id[:CLIENT_ID_BYTES_MAX]

    # ---- workers

    @property
    def _as_worker(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(self)
        return self._worker

    def on_can_do(self, function: bytes) -> None:
        self._engine.can_do(self._as_worker, codec.trimmed(function))

    def on_can_do_timeout(self, function: bytes, timeout: bytes) -> None:
        number, unit = codec.leading_integer(timeout), self._broker.limits.timeout_unit
        self._engine.can_do(self._as_worker, function, timeout_s(number, unit))
        if is_short(number, unit):
            self._broker.short_timeout(self.peer, function, number)

    def on_cant_do(self, function: bytes) -> None:
        self._engine.cannot_do(self._as_worker, codec.trimmed(function))

    def on_reset_abilities(self) -> None:
        self._engine.reset_abilities(self._as_worker)

    def on_all_yours(self) -> None:
        """The worker has no other server.  There is nothing that we would do differently."""

    def on_pre_sleep(self) -> None:
        self._engine.sleep(self._as_worker)

    def on_grab(self) -> None:
        self._assign(_assign_plain)

    def on_grab_uniq(self) -> None:
        self._assign(_assign_uniq)

    def on_grab_all(self) -> None:
        self._assign(_assign_all)

    def _assign(self, packet: Callable[[Job], bytes]) -> None:
        worker = self._as_worker
        job = self._engine.grab(worker)
        if job is None:
            self.outbox.put(codec.NO_JOB_PACKET)
            return
        assignment = assign_options(job, self._engine) if self._extended else packet(job)
        if self.outbox.holds(worker.ticket):
            still_held = partial(_is_held, job, worker, job.place)
            self.outbox.hold(assignment, worker.ticket, still_held, codec.NO_JOB_PACKET)
        else:
            self.outbox.put(assignment)

    def on_work_data(self, handle: bytes, data: bytes) -> None:
        if not self._engine.report(self._worker, handle, DATA, data):
            self._stale(_JOB_DOES_NOT_EXIST)

    def on_work_warning(self, handle: bytes, warning: bytes) -> None:
        if not self._engine.report(self._worker, handle, WARNING, warning):
            self._stale(_JOB_DOES_NOT_EXIST)

    def on_work_status(self, handle: bytes, numerator: bytes, denominator: bytes) -> None:
        known = self._engine.progress(
            self._worker,
            handle,
            codec.leading_integer(numerator),
            codec.leading_integer(denominator),
            numerator + b"\0" + denominator,
        )
        if not known:
            self._stale(_RESULT_NOT_FOUND)

    def on_work_progress(
        self, handle: bytes, numerator: bytes, denominator: bytes, text: bytes
    ) -> None:
        known = self._engine.progress(
            self._worker,
            handle,
            codec.leading_integer(numerator),
            codec.leading_integer(denominator),
            numerator + b"\0" + denominator,
            text[:PROGRESS_TEXT_BYTES_MAX],
        )
        if not known:
            self._stale(_RESULT_NOT_FOUND)

    def on_work_usage(self, handle: bytes, usage: bytes) -> None:
        if not self._engine.usage(self._worker, handle, read_usage(usage)):
            self._stale(_RESULT_NOT_FOUND)

    def on_worker_state(self, state: bytes) -> None:
        self._state = read_state(state, self._engine.now_s)

    def on_work_complete(self, handle: bytes, result: bytes) -> None:
        if not self._engine.complete(self._worker, handle, result):
            self._stale(_RESULT_NOT_FOUND)

    def on_work_fail(self, handle: bytes) -> None:
        if not self._engine.fail(self._worker, codec.trimmed(handle)):
            self._stale(_RESULT_NOT_FOUND)

    def on_work_exception(self, handle: bytes, exception: bytes) -> None:
        if not self._engine.exception(self._worker, handle, exception):
            self._stale(_EXCEPTION_NOT_FOUND)

    def on_work_failure(self, handle: bytes, cause: bytes, text: bytes) -> None:
        if not self._engine.failure(self._worker, handle, read_cause(cause), text):
            self._stale(_RESULT_NOT_FOUND)

    def on_skipped(self, beginning: bytes) -> None:
        number, size_bytes = codec.header(beginning)
        error = PayloadTooLarge(
            f"{p.PACKETS[number].name} has {size_bytes:,} bytes;"
            f" this server takes {self._broker.limits.payload_bytes_max:,}"
        )
        handle, separator, _ = beginning[p.HEADER_BYTES :].partition(b"\0")
        if not separator:
            raise error  # whatever it is, it is no report about a job
        if self._engine.exception(self._worker, handle, str(error).encode()):
            self._broker.host.skipped(self.peer, handle, error)
        else:
            self._stale(_RESULT_NOT_FOUND)

    def _stale(self, text: str) -> None:
        # gearmand answers ERROR.  Perl's worker sends WORK_FAIL behind each WORK_EXCEPTION and
        # takes that ERROR for the answer to its next request, so it is sent only where it is
        # asked for.
        if self._broker.limits.strict:
            raise JobNotFound(text)

    # ---- operators

    def on_operate(self, request: bytes) -> None:
        answer, ticket = self._broker.operations.answer(request, self.name)
        self.outbox.put(codec.response(p.OPERATE_RES, answer), ticket)

    # ---- all of them

    def on_text(self, line: bytes) -> None:
        self.outbox.put(*self._broker.operator.answer(line, self.name))

    def on_wrong_magic(self, _body: bytes) -> None:
        raise UnexpectedMagic

    def on_broken(self, _body: bytes) -> None:
        assert self._parser.broken is not None, "it is put behind the last sound packet"
        raise self._parser.broken

    def on_unexpected(self, _body: bytes) -> None:
        raise UnexpectedPacket


def _submit(priority: Priority, background: bool) -> Callable[[Session, bytes, bytes, bytes], None]:
    def on_submit(session: Session, function: bytes, unique: bytes, payload: bytes) -> None:
        client = None if background else session._as_client
        job = session._engine.submit(client, function, unique, payload, priority)
        session.outbox.put(codec.job_created(job.handle), job.ticket)

    return on_submit


def _submit_reduce(background: bool) -> Callable[..., None]:
    def on_submit_reduce(
        session: Session,
        function: bytes,
        unique: bytes,
        reducer: bytes,
        _aggregate: bytes,
        payload: bytes,
    ) -> None:
        client = None if background else session._as_client
        job = session._engine.submit(
            client, function, unique, payload, Priority.NORMAL, 0.0, reducer
        )
        session.outbox.put(codec.job_created(job.handle), job.ticket)

    return on_submit_reduce


def _is_held(job: Job, worker: Worker, place: int) -> bool:
    """Whether the worker still has the job from when it had this place in its queue; whenever it
    comes back there, it gets a new one."""
    return job.worker is worker and job.place == place


def _payload(job: Job) -> bytes:
    assert job.payload is not None, "it was read back before its turn"
    return job.payload


def _assign_plain(job: Job) -> bytes:
    return codec.response(p.JOB_ASSIGN, job.handle, job.queue.name, _payload(job))


def _assign_uniq(job: Job) -> bytes:
    return codec.job_assign_uniq(job.handle, job.queue.name, job.unique, _payload(job))


def _assign_all(job: Job) -> bytes:
    # gearmand: only a job with a reducer is assigned with JOB_ASSIGN_ALL.
    if job.life is None or not job.life.reducer:
        return _assign_uniq(job)
    return codec.response(
        p.JOB_ASSIGN_ALL, job.handle, job.queue.name, job.unique, job.life.reducer, _payload(job)
    )


def assign_options(job: Job, engine: Engine) -> bytes:
    """The assignment for a worker that asked for gearpy's own packets."""
    allowed = engine.attempts_max(job)
    options: dict[str, object] = {
        "attempt": job.attempts,
        "attempts": allowed,
        "deadline_s": None if job.timer is None else job.timer.due_s,
        "priority": job.priority.name.lower(),
        "created_s": job.created_s,
    }
    life = job.life
    if life is not None:
        if life.key:
            options["key"] = codec.decoded(life.key)
        if life.labels:
            options["labels"] = dict(life.labels)
        if life.reducer:
            options["reducer"] = codec.decoded(life.reducer)
    return codec.response(
        p.JOB_ASSIGN_OPTIONS,
        job.handle,
        job.queue.name,
        job.unique,
        codec.packed(options),
        _payload(job),
    )


def _status_fields(job: JobStatistics | None) -> tuple[bytes, ...]:
    """known, running, numerator, denominator."""
    if job is None:
        return _STATUS_UNKNOWN
    running = b"%d" % (job.state is RUNNING)
    return b"1", running, b"%d" % job.numerator, b"%d" % job.denominator


_HANDLERS: Final[dict[int, Callable[..., None]]] = {
    p.CAN_DO: Session.on_can_do,
    p.CANT_DO: Session.on_cant_do,
    p.RESET_ABILITIES: Session.on_reset_abilities,
    p.PRE_SLEEP: Session.on_pre_sleep,
    p.SUBMIT_JOB: _submit(Priority.NORMAL, background=False),
    p.GRAB_JOB: Session.on_grab,
    p.WORK_STATUS: Session.on_work_status,
    p.WORK_COMPLETE: Session.on_work_complete,
    p.WORK_FAIL: Session.on_work_fail,
    p.GET_STATUS: Session.on_get_status,
    p.ECHO_REQ: Session.on_echo,
    p.SUBMIT_JOB_BG: _submit(Priority.NORMAL, background=True),
    p.SUBMIT_JOB_HIGH: _submit(Priority.HIGH, background=False),
    p.SET_CLIENT_ID: Session.on_set_client_id,
    p.CAN_DO_TIMEOUT: Session.on_can_do_timeout,
    p.ALL_YOURS: Session.on_all_yours,
    p.WORK_EXCEPTION: Session.on_work_exception,
    p.OPTION_REQ: Session.on_option,
    p.WORK_DATA: Session.on_work_data,
    p.WORK_WARNING: Session.on_work_warning,
    p.GRAB_JOB_UNIQ: Session.on_grab_uniq,
    p.SUBMIT_JOB_HIGH_BG: _submit(Priority.HIGH, background=True),
    p.SUBMIT_JOB_LOW: _submit(Priority.LOW, background=False),
    p.SUBMIT_JOB_LOW_BG: _submit(Priority.LOW, background=True),
    p.SUBMIT_JOB_SCHED: Session.on_submit_sched,
    p.SUBMIT_JOB_EPOCH: Session.on_submit_epoch,
    p.SUBMIT_REDUCE_JOB: _submit_reduce(background=False),
    p.SUBMIT_REDUCE_JOB_BACKGROUND: _submit_reduce(background=True),
    p.GRAB_JOB_ALL: Session.on_grab_all,
    p.GET_STATUS_UNIQUE: Session.on_get_status_unique,
    p.SUBMIT_JOB_OPTIONS: Session.on_submit_options,
    p.CANCEL_JOB: Session.on_cancel,
    p.OPERATE: Session.on_operate,
    p.WORK_PROGRESS: Session.on_work_progress,
    p.WORK_USAGE: Session.on_work_usage,
    p.WORK_FAILURE: Session.on_work_failure,
    p.WORKER_STATE: Session.on_worker_state,
}

# Packet number -> its handler and how many NULs separate its fields: -1 for none at all, 0 for a
# body that is one field.
ROUTES: Final[dict[int, tuple[Callable[..., None], int]]] = {
    number: (_HANDLERS[number], len(packet.fields) - 1)
    if number in _HANDLERS
    else (Session.on_unexpected, 0)
    for number, packet in p.PACKETS.items()
} | {
    p.TEXT: (Session.on_text, 0),
    p.WRONG_MAGIC: (Session.on_wrong_magic, 0),
    p.SKIPPED: (Session.on_skipped, 0),
    _BROKEN: (Session.on_broken, 0),
}
