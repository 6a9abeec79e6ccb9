"""The broker: an engine, its sessions, and the gate between them and the disk."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from gearpy.broker.gate import CommitGate
from gearpy.broker.operations import Operations
from gearpy.broker.operator import Operator
from gearpy.broker.outbox import Link, Outbox
from gearpy.broker.ports import Host, NobodyHost, Peer
from gearpy.broker.session import Session
from gearpy.engine.callbacks import Caller
from gearpy.engine.cron import Schedule, Ticks
from gearpy.engine.engine import Engine
from gearpy.engine.policy_book import PolicyBook
from gearpy.engine.ports import NoJournal, Observer
from gearpy.engine.rules import Rules, TimeoutUnit
from gearpy.engine.schedule import Calendar, UtcCalendar
from gearpy.engine.statistics import EngineStatistics
from gearpy.errors import PeerError
from gearpy.protocol.parser import LINE_BYTES_MAX, PAYLOAD_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a broker talks with its peers."""

    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    line_bytes_max: int = LINE_BYTES_MAX
    outbox_bytes: int = 1 << 20  # beyond it no more packets of that peer are handled
    timeout_unit: TimeoutUnit = "ms"  # of CAN_DO_TIMEOUT
    strict: bool = False  # answer stale results with ERROR
    exceptions: bool = False  # every client gets WORK_EXCEPTION, asked for or not
    allow_shutdown: bool = False  # as a text command


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the text protocol tells of the program."""

    version: str = "0"
    pid: int = 0
    verbose: str = "INFO"
    durability: str | None = None  # of receipts; None: there is no journal
    journal: str | None = None  # where it is


@dataclass(frozen=True, slots=True)
class BrokerStatistics:
    """The broker as it is now, and what it counted since its start."""

    engine: EngineStatistics
    sessions: int
    refused: int
    faults: int
    short_timeouts: int


@final
class Broker:
    """Everything that a job server is, but for bytes that come and go and time that passes."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        rules: Rules | None = None,
        facts: Facts | None = None,
        host: Host | None = None,
        calendar: Calendar | None = None,
        durable: bool = False,
        holds: bool = True,
        now_s: float = 0.0,
        first_number: int = 1,
        policies: PolicyBook | None = None,
        draw: Callable[[], float] = lambda: 0.5,
        budget_bytes: float = math.inf,
        ticks: Ticks | None = None,
        schedules: Mapping[str, Schedule] | None = None,
        caller: Caller | None = None,
        observer: Observer | None = None,
    ) -> None:
        """``now_s`` and what stands behind it are the engine's.

        ``durable`` says that somebody does the gate's work; otherwise nothing is journalled and
        nobody waits.  ``holds`` says whether receipts wait until they are durable.
        """
        self.limits = limits or Limits()
        self.facts = facts or Facts()
        self.calendar = calendar or UtcCalendar()
        self.host: Host = host or NobodyHost()
        self.gate = CommitGate(holds, max(budget_bytes, _CROWD_BYTES_MIN))
        self.engine = Engine(
            rules,
            self.gate if durable else NoJournal(),
            now_s,
            first_number,
            policies,
            draw,
            budget_bytes,
            ticks,
            schedules,
            caller,
            observer,
        )
        self.operator = Operator(self)
        self.operations = Operations(self)
        self._dirty: list[Link] = []
        self._sessions: dict[Session, None] = {}
        self._connected = 0
        self._refused = 0
        self._faults = 0
        self._short_timeouts: set[bytes] = set()
        self._short_timeout_count = 0

    def connect(self, peer: Peer, link: Link) -> Session:
        """A new connection.  Its ``link`` is told when its outbox has something to say."""
        self._connected += 1
        session = Session(self, self._connected, peer, Outbox(self.gate, self._dirty, link))
        self._sessions[session] = None
        return session

    def advance(self, now_s: float) -> float:
        """Time has passed; returns when to call again at the latest."""
        return self.engine.advance(now_s)

    def next_due_s(self) -> float:
        """When to call ``advance`` at the latest, as things stand now."""
        return self.engine.next_due_s()

    def take_dirty(self) -> list[Link]:
        """The links whose outboxes got something to say since the last call."""
        dirty = self._dirty[:]
        self._dirty.clear()
        return dirty

    def concerns_only(self, link: Link) -> bool:
        """Whether nobody else has something to say since the last ``take_dirty``, and nobody waits
        for the disk."""
        dirty = self._dirty
        others = len(dirty) > 1 or (len(dirty) == 1 and dirty[0] is not link)
        return not others and not self.gate.urgent

    def drain(self) -> None:
        """From now on takes no new jobs and hands none out; what runs may finish."""
        self.engine.drain()

    def sessions(self) -> Iterable[Session]:
        """Every connection, oldest first."""
        return self._sessions

    def unhealthy(self, now_s: float) -> int:
        """How many workers missed their heartbeat."""
        return sum(session.missed(now_s) for session in self._sessions)

    def statistics(self) -> BrokerStatistics:
        """Counters and sizes."""
        return BrokerStatistics(
            engine=self.engine.statistics(),
            sessions=len(self._sessions),
            refused=self._refused,
            faults=self._faults,
            short_timeouts=self._short_timeout_count,
        )

    # ---- for sessions

    def forget(self, session: Session) -> None:
        """The session's connection is gone."""
        del self._sessions[session]

    def refused(self, peer: Peer, error: PeerError) -> None:
        """The peer was answered with an ERROR."""
        self._refused += 1
        self.host.refused(peer, error)

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        """A bug of ours."""
        self._faults += 1
        self.host.fault(peer, number, body, error)

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        """A worker asked for a timeout that looks like seconds; said once for each function."""
        self._short_timeout_count += 1
        if function not in self._short_timeouts and len(self._short_timeouts) < _WARNED_MAX:
            self._short_timeouts.add(function)
            self.host.short_timeout(peer, function, timeout_ms)


_CROWD_BYTES_MIN: Final = 16 << 20  # of jobs on their way to the disk, however small the budget
_WARNED_MAX: Final = 1000  # names come from strangers
