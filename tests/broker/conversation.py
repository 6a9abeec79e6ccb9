r"""Conversations: text files in which connections talk with a broker.

    # what the file shows
    worker  > CAN_DO resize
    client1 > SUBMIT_JOB resize u1 photo
    client1 < JOB_CREATED $h
    worker  > GRAB_JOB
    worker  < JOB_ASSIGN $h resize photo
    worker  > WORK_COMPLETE $h 'small photo'
    client1 < WORK_COMPLETE $h 'small photo'

Lines, with ``#`` before a comment:

    broker strict=true job_retries=2    options of Limits, Rules and Broker; comes first
    name > PACKET field ...             sends a packet; fields are joined by NUL
    name > RES PACKET field ...         the same with the magic of a reply
    name > TEXT 'status\n'              sends text; its words are joined by nothing
    name > RAW '\0REQ' ...              sends bytes; the same
    name < PACKET field ...             hears a packet: the next one, and exactly this
    name < TEXT 'OK\r\n'                hears text
    name < nothing                      there is nothing to hear
    name < closed                       the server closes the connection
    name ! leaves                       the connection is lost
    clock + 1.5                         seconds pass
    gate open                           all that was written down becomes durable
    gate < PUT $h function unique payload                   which was this; or one of
           CHANGE $h state attempts
           DONE $h
    drain                               the server is about to stop
    policy resize attempts=3            the policy of a function, or of those that match a pattern
    statistics wakes=1 stale=0          what the broker counted

A field is a bare word, a literal such as 'a\0b' or 'u'*64, or a name such as $h. A name takes the
value that stands in its place when it is first heard, and stands for that value from then on;
different names stand for different values.  A packet's name is one of the table of packets, or a
number that the table does not know.

A connection comes into being when it is first named, and again when it speaks after it was closed
or left.  While a connection speaks, everything that it causes waits; all of that must be heard
before anybody else speaks, leaves, or time passes, and before the file ends.
"""

import ast
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Final, NamedTuple, NoReturn

from gearpy.broker.broker import Broker, Facts, Limits
from gearpy.broker.ports import Peer
from gearpy.engine.policy import read_assignments, read_policy
from gearpy.engine.records import Batch
from gearpy.engine.rules import Rules
from gearpy.errors import PeerError
from gearpy.protocol.packets import HEADER_BYTES, NUMBERS, PACKETS, REQ, RES

FACTS: Final = Facts(version="1.2.3", pid=4242)

_header: Final = struct.Struct(">4sII")
_TOKEN: Final = re.compile(
    r"""
    \s* (?:
        (?P<literal> '(?:[^'\\]|\\.)*' ) (?:\*(?P<times>\d+))?
      | \$(?P<name>\w+)
      | (?P<bare>[^\s\#'$][^\s']*)
      | (?P<end>\#.*|$)
    ) (?=\s|$)
    """,
    re.VERBOSE,
)


class Failed(AssertionError):
    """A conversation went otherwise than its file says."""


class Name(NamedTuple):
    """``$h``: a value that is captured where it is first heard."""

    text: str


Word = bytes | Name


class Strict:
    """A host that takes no excuses: a bug of the broker's ends the conversation."""

    def refused(self, peer: Peer, error: PeerError) -> None:
        pass

    def skipped(self, peer: Peer, handle: bytes, error: PeerError) -> None:
        pass

    def short_timeout(self, peer: Peer, function: bytes, timeout_ms: int) -> None:
        pass

    def operated(
        self, who: str, did: str, fields: Mapping[str, object], outcome: str, succeeded: bool
    ) -> None:
        pass

    def shutdown(self, graceful: bool) -> None:
        pass

    def fault(self, peer: Peer, number: int, body: bytes, error: Exception) -> None:
        raise error


class Connection:
    """The server's end of a connection, and what its peer has not heard yet."""

    def __init__(self, broker: Broker, peer: Peer) -> None:
        self.session = broker.connect(peer, self)
        self.gone = False
        self.unheard = b""
        self._outbox_bytes = broker.limits.outbox_bytes

    def flush(self) -> None:
        """The broker says that there is something in the outbox."""
        self.unheard += self.session.outbox.take()
        if self.session.choked and self.session.outbox.size_bytes <= self._outbox_bytes:
            self.session.resume()


def play(text: str, file: str = "conversation") -> None:
    """Plays a conversation.  Raises Failed, with file and line, where it goes otherwise."""
    conversation = _Conversation(file)
    for number, line in enumerate(text.splitlines(), start=1):
        conversation.line(number, line)
    conversation.end()


class _Conversation:
    def __init__(self, file: str) -> None:
        self._place = file
        self._file = file
        self._line = ""
        self._now_s = 0.0
        self._broker: Broker | None = None
        self._connections: dict[bytes, Connection] = {}
        self._met = 0
        self._records: list[list[bytes]] = []
        self._values: dict[str, bytes] = {}
        self._speaker: bytes | None = None

    # ---- lines

    def line(self, number: int, line: str) -> None:
        self._place, self._line = f"{self._file}:{number}", line.strip()
        words = self._words(line)
        match words:
            case []:
                pass
            case [b"broker", *options]:
                self._configure(self._values_of(options))
            case [b"clock", b"+", bytes(seconds)]:
                self._act(None, lambda: self._pass(float(seconds)))
            case [b"gate", b"open"]:
                self._act(None, self._commit)
            case [b"gate", b"<", *record]:
                self._hear_record(record)
            case [b"drain"]:
                self._act(None, self.broker.drain)
            case [b"policy", bytes(pattern), *texts]:
                table = read_assignments(word.decode() for word in self._values_of(texts))
                self.broker.engine.functions.set_policy(pattern, read_policy(table))
            case [b"statistics", *counts]:
                self._count(self._values_of(counts))
            case [bytes(name), b"!", b"leaves"]:
                connection = self._known(name)
                self._act(None, lambda: self._lose(connection))
            case [bytes(name), b">", *said] if said:
                data = self._encode(said)
                session = self._connection(name).session
                self._act(name, lambda: session.receive(data))
            case [bytes(name), b"<", b"nothing"]:
                if self._known(name).unheard:
                    self._fail(self._known(name))
            case [bytes(name), b"<", b"closed"]:
                self._hear_close(self._known(name))
            case [bytes(name), b"<", b"TEXT", *text]:
                self._hear_text(self._known(name), b"".join(self._values_of(text)))
            case [bytes(name), b"<", bytes(packet), *packet_fields]:
                self._hear_packet(self._known(name), packet.decode(), packet_fields)
            case _:
                self._misread("nobody understands this line")

    def end(self) -> None:
        """Nothing may be left to be heard, by anybody."""
        self._place, self._line = f"{self._file}: end", ""
        self._all_heard()
        for name, connection in self._connections.items():
            if not connection.session.outbox.empty:
                raise Failed(f"{self._place}: replies to {name.decode()} still wait at the gate")

    # ---- words

    def _words(self, line: str) -> list[Word]:
        words: list[Word] = []
        place = 0
        while (token := _TOKEN.match(line, place)) is not None and token["end"] is None:
            if token["name"] is not None:
                words.append(Name(token["name"]))
            elif token["bare"] is not None:
                words.append(token["bare"].encode())
            else:
                literal = ast.literal_eval("b" + token["literal"])
                words.append(literal * int(token["times"] or 1))
            place = token.end()
        if token is None:
            self._misread(f"these are no words: {line[place:]}")
        return words

    def _values_of(self, words: list[Word]) -> list[bytes]:
        return [word if isinstance(word, bytes) else self._value(word) for word in words]

    def _value(self, name: Name) -> bytes:
        if name.text not in self._values:
            self._misread(f"nobody has heard of ${name.text} yet")
        return self._values[name.text]

    def _encode(self, said: list[Word]) -> bytes:
        kind, *rest = self._values_of(said)
        if kind in (b"TEXT", b"RAW"):
            return b"".join(rest)
        magic = REQ
        if kind == b"RES":
            magic, (kind, *rest) = RES, rest
        body = b"\0".join(rest)
        return _header.pack(magic, self._number(kind.decode()), len(body)) + body

    def _number(self, packet: str) -> int:
        if packet.isdigit() and int(packet) not in PACKETS:
            return int(packet)
        if packet not in NUMBERS:
            self._misread(f"there is no packet {packet}")
        return NUMBERS[packet]

    # ---- what happens

    @property
    def broker(self) -> Broker:
        if self._broker is None:
            self._configure([])
        assert self._broker is not None
        return self._broker

    def _configure(self, options: list[bytes]) -> None:
        if self._broker is not None:
            self._misread("the broker is already there")
        values = dict(option.decode().split("=", 1) for option in options)

        def take(defaults: dict[str, Any]) -> dict[str, Any]:
            return {
                name: _convert(values.pop(name), default)
                for name, default in defaults.items()
                if name in values
            }

        limits = Limits(**take({field.name: field.default for field in fields(Limits)}))
        rules = Rules(**take({field.name: field.default for field in fields(Rules)}))
        others = take({"durable": False, "now_s": 0.0, "first_number": 1})
        if values:
            self._misread(f"a broker has no option {', '.join(values)}")
        self._broker = Broker(limits=limits, rules=rules, facts=FACTS, host=Strict(), **others)
        self._now_s = self._broker.engine.now_s

    def _act(self, speaker: bytes | None, act: Callable[[], None]) -> None:
        """Something happens, and the turn that it belongs to ends."""
        if speaker is None or speaker != self._speaker:
            self._all_heard()
        self._speaker = speaker
        self.broker.advance(self._now_s)
        act()
        self._turn()

    def _turn(self) -> None:
        self.broker.advance(self._now_s)
        while dirty := self.broker.take_dirty():
            for link in dirty:
                link.flush()

    def _pass(self, seconds: float) -> None:
        end_s = self._now_s + seconds
        while (due_s := self.broker.advance(self._now_s)) <= end_s:
            self._now_s = due_s
        self._now_s = end_s

    def _commit(self) -> None:
        work = self.broker.gate.take_work()
        if work is not None:
            if work.batch is not None:
                self._records += _written(work.batch, self.broker.engine.rules.handle_prefix)
            self.broker.gate.open(work.ticket)

    def _lose(self, connection: Connection) -> None:
        connection.gone = True
        connection.session.lost()

    def _known(self, name: bytes) -> Connection:
        connection = self._connections.get(name)
        if connection is None:
            return self._connection(name)
        if connection.gone:
            self._misread(f"{name.decode()} is gone")
        return connection

    def _connection(self, name: bytes) -> Connection:
        """The connection with this name, made if there is none, or none any more."""
        connection = self._connections.get(name)
        if connection is None or connection.gone:
            self._met += 1
            peer = Peer(self._met, "127.0.0.1", f"127.0.0.1:{50000 + self._met}")
            connection = self._connections[name] = Connection(self.broker, peer)
        return connection

    # ---- what is heard

    def _all_heard(self) -> None:
        for name, connection in self._connections.items():
            said = _describe(connection.unheard)
            if said:
                raise Failed(f"{self._place}: before this, {name.decode()} hears\n{said}")
            if not connection.gone and connection.session.closing is not None:
                reason = connection.session.closing
                raise Failed(f"{self._place}: before this, {name.decode()} is closed: {reason}")
        if self._records:
            said = "\n".join(map(_describe_record, self._records))
            raise Failed(f"{self._place}: before this, the gate wrote\n{said}")

    def _hear_text(self, connection: Connection, text: bytes) -> None:
        if not text or not connection.unheard.startswith(text):
            self._fail(connection)
        connection.unheard = connection.unheard[len(text) :]

    def _hear_packet(self, connection: Connection, packet: str, expected: list[Word]) -> None:
        number = self._number(packet)
        if not connection.unheard.startswith(RES):
            self._fail(connection)
        _magic, came, size_bytes = _header.unpack_from(connection.unheard)
        body = connection.unheard[HEADER_BYTES : HEADER_BYTES + size_bytes]
        if came != number or not self._same(expected, _split(came, body)):
            self._fail(connection)
        connection.unheard = connection.unheard[HEADER_BYTES + size_bytes :]

    def _hear_close(self, connection: Connection) -> None:
        if connection.unheard or connection.session.closing is None:
            self._fail(connection)
        self._lose(connection)
        self._turn()

    def _hear_record(self, expected: list[Word]) -> None:
        if not self._records or not self._same(expected, self._records[0]):
            came = "\n".join(map(_describe_record, self._records)) or "    nothing"
            raise Failed(f"{self._place}: expected\n    {self._line}\nbut the gate wrote\n{came}")
        del self._records[0]

    def _same(self, expected: list[Word], came: list[bytes]) -> bool:
        """Whether these fields came; names that are new take their values."""
        if len(expected) != len(came):
            return False
        values = dict(self._values)
        for word, field in zip(expected, came, strict=True):
            if isinstance(word, Name):
                if word.text not in values and field in values.values():
                    return False
                word = values.setdefault(word.text, field)
            if word != field:
                return False
        self._values = values
        return True

    def _count(self, expected: list[bytes]) -> None:
        statistics = self.broker.statistics()
        counts = {**asdict(statistics.engine), **asdict(statistics)}
        for count in expected:
            name, _, value = count.decode().partition("=")
            if str(counts.get(name)) != value:
                raise Failed(f"{self._place}: expected {name}={value}, not {counts.get(name)}")

    def _fail(self, connection: Connection) -> NoReturn:
        came = _describe(connection.unheard) or "    nothing"
        if connection.session.closing is not None:
            came += f"\n    closed, because {connection.session.closing}"
        known = "".join(f"\n    ${name} is {value!r}" for name, value in self._values.items())
        raise Failed(
            f"{self._place}: expected\n    {self._line}\nbut what came is\n{came}"
            + (f"\nwhere{known}" if known else "")
        )

    def _misread(self, why: str) -> NoReturn:
        raise Failed(f"{self._place}: {why}")


def _split(number: int, body: bytes) -> list[bytes]:
    """The fields of a body, by the table; of what the table does not know, one."""
    count = len(PACKETS[number].fields) if number in PACKETS else 1
    return body.split(b"\0", count - 1) if count else [body] * bool(body)


def _convert(text: str, default: object) -> object:
    """An option's value, of the type that its default has."""
    match default:
        case bool():
            return {"true": True, "false": False}[text]
        case bytes():
            return text.encode()
        case int():
            return int(text)
        case float():
            return float(text)
        case _:
            return text


def _describe(said: bytes) -> str:
    """Bytes as the lines of a conversation."""
    lines = []
    while said:
        if said.startswith(RES) and len(said) >= HEADER_BYTES:
            _magic, number, size_bytes = _header.unpack_from(said)
            body, said = said[HEADER_BYTES:][:size_bytes], said[HEADER_BYTES + size_bytes :]
            name = PACKETS[number].name if number in PACKETS else str(number)
            lines.append(" ".join(["   ", name, *map(_quoted, _split(number, body))]))
        else:
            end = said.find(b"\n") + 1 or len(said)
            lines.append(f"    TEXT {_quoted(said[:end])}")
            said = said[end:]
    return "\n".join(lines)


def _quoted(field: bytes) -> str:
    return repr(field)[1:]


def _written(batch: Batch, handle_prefix: bytes) -> list[list[bytes]]:
    """What a batch says of jobs; which numbers are in use is the journal's business."""

    def handle(number: int) -> bytes:
        return b"%b:%d" % (handle_prefix, number)

    return [
        *([b"PUT", put.handle, put.function, put.unique, put.payload] for put in batch.puts),
        *(
            [b"CHANGE", handle(change.number), change.state.encode(), b"%d" % change.attempts]
            for change in batch.changes
        ),
        *([b"DONE", handle(number)] for number in batch.dones),
    ]


def _describe_record(record: list[bytes]) -> str:
    return " ".join(["   ", *map(_quoted, record)])
