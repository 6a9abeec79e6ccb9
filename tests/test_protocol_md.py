"""``protocol.md`` says what the code does.

What stands between ``<!-- name: begin -->`` and ``<!-- name: end -->`` is made from the code,
and so is what stands beside the bytes of each ``packet`` block.  After a change of the code:

    python -m tests.test_protocol_md --write

Its ``conversation`` blocks are played against a broker.  The tables of errors and limits are
written by hand and compared with the code.
"""

import dataclasses
import re
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, get_args

import pytest

from gearpy import errors
from gearpy.broker import reports, session
from gearpy.broker.answers import function_table, whole_job_table, worker_table
from gearpy.broker.broker import Broker, Limits
from gearpy.broker.operations import LIMIT_MAX, REQUEST_BYTES_MAX, VERBS
from gearpy.broker.session import assign_options
from gearpy.cli.worker import run
from gearpy.engine import options, policy, rules
from gearpy.engine.job import DATA, DEAD, FINISHED, MOVES, UNFINISHED, Job, JobState
from gearpy.engine.life import Life
from gearpy.engine.peers import Worker
from gearpy.engine.policy import Delays, Exponential, Policy, read_policy
from gearpy.engine.policy_book import PATTERNS_MAX
from gearpy.engine.rules import Rules
from gearpy.errors import InvalidArgument
from gearpy.priority import Priority
from gearpy.protocol import admin
from gearpy.protocol.codec import unpacked
from gearpy.protocol.packets import (
    CLIENT,
    HEADER_BYTES,
    NUMBERS,
    PACKETS,
    REQ,
    RES,
    SERVER,
    WORKER,
    PacketType,
)
from gearpy.protocol.reference import ReadPacket, read_stream
from gearpy.server.settings import COMMIT, FIELDS, NONE, Settings, durability
from gearpy.stores.schema import VERSION, migration
from tests.broker.conversation import Failed, play

DOCUMENT: Final = Path(__file__).parent.parent / "protocol.md"
WRITE: Final = "python -m tests.test_protocol_md --write"

# ---- what is made from the code


def packets_table() -> str:
    """The table of packets."""
    rows = ["| type | name | sent by | fields | answer |", "|---:|---|---|---|---|"]
    for packet in PACKETS.values():
        cells = (str(packet.number), packet.name, _senders(packet), _fields(packet), packet.answer)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _senders(packet: PacketType) -> str:
    names = {CLIENT: "client", WORKER: "worker", SERVER: "server"}
    return ", ".join(name for sender, name in names.items() if packet.senders & sender)


def _fields(packet: PacketType) -> str:
    if not packet.fields:
        return "-"
    *leading, last = packet.fields
    if packet.payload:
        last = f"*{last}*"
    if packet.optional:
        last = f"[{last}]"
    return ", ".join([*leading, last])


def moves_picture() -> str:
    """The states of a job and the moves between them."""
    moves: dict[tuple[str, str], list[str]] = {}
    for name, move in MOVES.items():
        for before, after in move.items():
            moves.setdefault((before, after), []).append(name)
    states = [*UNFINISHED, *FINISHED, DEAD]
    lines = [
        f"    {before} --> {after}: {', '.join(moves[before, after])}"
        for before in states
        for after in states
        if (before, after) in moves
    ]
    return "\n".join(
        [
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> queued: submit",
            "    [*] --> delayed: submit, due later",
            *lines,
            *(f"    {state} --> [*]" for state in FINISHED),
            f"    {DEAD} --> [*]: purge",
            "```",
        ]
    )


def schema() -> str:
    """The tables of a journal, as its file has them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for version in range(1, VERSION + 1):
            connection.executescript(migration(version))
        made = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return "\n".join(["```sql", *(f"{sql};" for (sql,) in made), "```"])


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "packets": packets_table,
    "moves": moves_picture,
    "schema": schema,
}


def _around(document: str, name: str) -> tuple[str, str]:
    """What stands before and after the generated part with this name."""
    before, begin, rest = document.partition(f"<!-- {name}: begin -->\n")
    _, end, after = rest.partition(f"\n<!-- {name}: end -->")
    assert begin, f"protocol.md has no begin of {name}"
    assert end, f"protocol.md has no end of {name}"
    return before + begin, end + after


_BLOCK: Final = re.compile(r"^```(packet|conversation)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEX: Final = re.compile(r"[0-9a-f]{2}(?: [0-9a-f]{2})*(?=  |$)")
_ROW_BYTES: Final = 12
_MEANING_COLUMN: Final = 3 * _ROW_BYTES + 1


def blocks(document: str, kind: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks of a kind: the number of their first line, and what is in them."""
    for block in _BLOCK.finditer(document):
        if block[1] == kind:
            yield document.count("\n", 0, block.start(2)) + 1, block[2]


def read_example(block: str) -> ReadPacket:
    """The packet whose bytes are in the left column of a block."""
    rows = [_HEX.match(line) for line in block.splitlines()]
    data = bytes.fromhex(" ".join(row[0] for row in rows if row))
    [packet] = read_stream(data)
    assert isinstance(packet, ReadPacket), f"{packet} in\n{block}"
    assert packet.flaws == (), f"{packet.flaws} in\n{block}"
    return packet


def write_example(packet: ReadPacket) -> str:
    """A block: the bytes of a packet, and beside them what they mean."""
    kind = PACKETS[packet.number]
    lines = [
        *_row(packet.magic, f'NUL "{packet.magic[1:].decode()}"'),
        *_row(packet.number.to_bytes(4, "big"), f"type {packet.number}: {kind.name}"),
        *_row(
            len(packet.body).to_bytes(4, "big"),
            "1 byte follows" if len(packet.body) == 1 else f"{len(packet.body)} bytes follow",
        ),
    ]
    for name, value in packet.fields.items():
        shown = repr(value)[1:] if value else "empty"
        if '"' not in shown:
            shown = shown.replace("'", '"')
        last = name == kind.fields[-1]
        lines += _row(value if last else value + b"\0", f"{name}: {shown}{'' if last else ', NUL'}")
    return "".join(line.rstrip() + "\n" for line in lines)


def _row(data: bytes, meaning: str) -> list[str]:
    rows = [data[start : start + _ROW_BYTES].hex(" ") for start in range(0, len(data), _ROW_BYTES)]
    first, *rest = rows or [""]
    return [f"{first:<{_MEANING_COLUMN}}{meaning}", *rest]


def rewritten(document: str) -> str:
    """The document as the code would have it."""
    for name in GENERATED:
        before, after = _around(document, name)
        document = before + GENERATED[name]() + after
    return _BLOCK.sub(
        lambda found: (
            f"```packet\n{write_example(read_example(found[2]))}```"
            if found[1] == "packet"
            else found[0]
        ),
        document,
    )


# ---- the tests


@pytest.fixture(scope="module")
def document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_parts_are_those_of_the_code(document: str, name: str) -> None:
    before, after = _around(document, name)

    assert document == before + GENERATED[name]() + after, f"run: {WRITE}"


def test_examples_mean_what_is_said_beside_them(document: str) -> None:
    for line, block in blocks(document, "packet"):
        assert block == write_example(read_example(block)), f"protocol.md:{line}; run: {WRITE}"


def test_every_packet_has_an_example_in_each_direction(document: str) -> None:
    examples = {
        (packet.number, packet.magic)
        for packet in (read_example(block) for _, block in blocks(document, "packet"))
    }
    expected = {
        (number, magic)
        for number, packet in PACKETS.items()
        for magic, senders in ((REQ, CLIENT | WORKER), (RES, SERVER))
        if packet.senders & senders and packet.name != "UNUSED"
    }

    assert examples == expected


def test_every_packet_has_a_heading(document: str) -> None:
    headings = re.findall(r"^### (.*)$", document, re.MULTILINE)
    named = [word for heading in headings for word in re.findall(r"\b[A-Z][A-Z_]{3,}\b", heading)]

    assert sorted(named) == sorted(set(NUMBERS) - {"UNUSED"})


@pytest.mark.parametrize("file", ["protocol.md", "README.md"])
def test_links_lead_to_headings(document: str, file: str) -> None:
    text = (DOCUMENT.parent / file).read_text(encoding="utf-8")
    here = document if file == "protocol.md" else text
    for where, anchor in re.findall(r"\]\(([\w./]*)#([^)]*)\)", text):
        headings = re.findall(r"^#+ (.*)$", document if where == "protocol.md" else here, re.M)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{file} has a link to #{anchor}"


CONVERSATIONS: Final = list(blocks(DOCUMENT.read_text(encoding="utf-8"), "conversation"))


@pytest.mark.parametrize(
    ("line", "block"), CONVERSATIONS, ids=[f"line {n}" for n, _ in CONVERSATIONS]
)
def test_conversations_go_as_they_are_written(line: int, block: str) -> None:
    try:
        play("\n" * (line - 1) + block, "protocol.md")
    except Failed as failed:
        pytest.fail(str(failed), pytrace=False)


RECORDED: Final = DOCUMENT.parent / "tests" / "broker" / "conversations" / "recorded"


def test_every_recorded_difference_is_told(document: str) -> None:
    _, _, told = document.partition("\n## Where gearpy differs from gearmand\n")
    rows = [row for row in told.splitlines() if row.startswith("|")]
    named = {name for row in rows for name in re.findall(r"\b[A-Z]\d\d[a-z]?\b", row)}
    differing = {
        file.name.partition("_")[0]
        for file in RECORDED.glob("*.txt")
        if "# differs" in file.read_text(encoding="utf-8")
    }

    assert differing
    assert named == differing


def section(document: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its kind."""
    _, found, rest = document.partition(f"\n{heading}\n")
    assert found, f"protocol.md has no heading {heading}"
    level, _, _ = heading.partition(" ")
    return rest.partition(f"\n{level} ")[0]


def tables_under(document: str, heading: str) -> list[list[list[str]]]:
    """The rows of the tables under a heading, without their heads."""
    tables = re.findall(r"(?:^\|.*\|\n)+", section(document, heading), re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
        for table in tables
    ]


def table_under(document: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    return tables_under(document, heading)[0]


def keys(rows: Sequence[Sequence[str]], column: int = 0) -> list[str]:
    """The names in a column of a table."""
    return [name for row in rows for name in re.findall(r"`([\w-]+)`", row[column])]


def test_error_codes_are_those_of_the_code(document: str) -> None:
    stated = [(code.strip("`"), fate) for code, _, fate in table_under(document, "## ERROR codes")]
    actual = []
    for error in _leaves(errors.PeerError):
        ends = errors.RemoteProtocolError | errors.TooManyConnections | errors.WorkerDropped
        closed = issubclass(error, ends)
        actual.append((error.code.decode(), "closed" if closed else "goes on"))

    assert sorted(stated) == sorted(actual)


def _leaves(error: type[errors.PeerError]) -> Iterator[type[errors.PeerError]]:
    derived = error.__subclasses__()
    if not derived:
        yield error
    for each in derived:
        yield from _leaves(each)


def test_text_errors_are_those_of_the_code(document: str) -> None:
    stated = {
        reply.strip("`").replace("\\r\\n", "\r\n").encode()
        for reply, _ in table_under(document, "### Errors of the text protocol")
    }
    actual = {
        value
        for name, value in vars(admin).items()
        if name.startswith("ERR_") and isinstance(value, bytes)
    }
    actual |= {
        admin.err_unknown_command(b"WORD"),
        admin.err_incomplete(b"WORD"),
        admin.err_line_too_long("SENTENCE"),
    }

    assert stated == actual


def test_limits_are_those_of_the_code(document: str) -> None:
    rows = table_under(document, "## Limits")
    stated = {name: int(value.replace(",", "")) for name, value, *_ in rows}
    limits, defaults, settings = Limits(), Rules(), Settings()

    assert stated == {
        "body of a packet": limits.payload_bytes_max,
        "text line": limits.line_bytes_max,
        "function name, reducer": rules.FUNCTION_BYTES_MAX,
        "unique": rules.UNIQUE_BYTES_MAX,
        "client id": session.CLIENT_ID_BYTES_MAX,
        "handle": rules.HANDLE_BYTES_MAX,
        "shortest timeout": rules.TIMEOUT_MS_MIN,
        "patience with a woken worker": round(defaults.wake_patience_s * 1000),
        "functions": defaults.functions_max,
        "functions of a connection": defaults.worker_functions_max,
        "submissions of a connection that wait for one job": defaults.copies_max,
        "replies before a peer's requests wait": limits.outbox_bytes,
        "replies before a peer is closed": settings.max_output,
        "stall of a peer that does not read": round(settings.stall_timeout),
        "options of a job": options.OPTIONS_BYTES_MAX,
        "key of a job": options.KEY_BYTES_MAX,
        "labels of a job": options.LABELS_MAX,
        "name of a label": options.LABEL_NAME_MAX,
        "value of a label": options.LABEL_VALUE_MAX,
        "text of WORK_PROGRESS": session.PROGRESS_TEXT_BYTES_MAX,
        "what a job cost, a worker says of itself, or is told": reports.REPORT_BYTES_MAX,
        "name of a worker's group": reports.TEXT_BYTES_MAX,
        "request of OPERATE": REQUEST_BYTES_MAX,
        "jobs, functions or workers in one answer to OPERATE": LIMIT_MAX,
        "policies, of the file and set by operators": PATTERNS_MAX,
        "delays in a backoff": policy.DELAYS_MAX,
        "attempts that are remembered with a job": Life().log.maxlen,
        "payloads of journalled jobs in memory": settings.memory_budget,
        "free bytes of the journal's disk": settings.disk_reserve,
        "connections": settings.max_connections,
        "end of running jobs when the server stops": round(settings.drain_timeout),
    }
    assert limits.payload_bytes_max == settings.max_payload


def test_every_state_is_explained(document: str) -> None:
    explained = re.findall(
        r"^- \*\*(\w+)\*\*: ", section(document, "## How jobs live"), re.MULTILINE
    )

    assert explained[: len(UNFINISHED)] == ["delayed", "queued", "running", "retrying"]
    assert sorted(explained) == sorted(get_args(JobState))


def stated_policy(document: str, table: int) -> dict[str, list[str]]:
    return {keys([row])[0]: row for row in tables_under(document, "## Policies")[table]}


def at_most(row: Sequence[str]) -> int:
    return int(row[2].replace(",", ""))


def test_policy_fields_are_those_of_the_code(document: str) -> None:
    fields, backoff = stated_policy(document, 0), stated_policy(document, 1)

    assert list(fields) == list(policy.FIELDS)
    assert list(backoff) == [field.name for field in dataclasses.fields(Exponential)]


def test_limits_of_policies_are_those_of_the_code(document: str) -> None:
    for name, row in stated_policy(document, 0).items():
        if row[2]:
            read_policy({name: at_most(row)})
            with pytest.raises(InvalidArgument):
                read_policy({name: at_most(row) + 1})
    for name, row in stated_policy(document, 1).items():
        table = {"cap_s": policy.SECONDS_MAX, name: at_most(row)}
        read_policy({"backoff": table})
        with pytest.raises(InvalidArgument):
            read_policy({"backoff": table | {name: at_most(row) + 1}})


def test_defaults_of_policies_are_those_of_the_code(document: str) -> None:
    fields = {name: row[3] for name, row in stated_policy(document, 0).items()}
    backoff = {name: row[3] for name, row in stated_policy(document, 1).items()}

    assert fields["attempts"].split()[0] == f"{policy.DEFAULT_ATTEMPTS}"
    assert fields["poison"] == f"{policy.DEFAULT_POISON}"
    assert fields["keep_bytes"] == f"{policy.DEFAULT_KEEP_BYTES:,}"
    assert Exponential() == policy.DEFAULT_BACKOFF
    assert fields["backoff"].startswith("exponential if ")
    assert {name: float(value) for name, value in backoff.items()} == dataclasses.asdict(
        Exponential()
    )


def test_the_example_of_policies_can_be_read(document: str) -> None:
    [text] = re.findall(r"^```toml\n(.*?)^```$", section(document, "## Policies"), re.M | re.S)
    policies = {name: read_policy(table) for name, table in tomllib.loads(text)["function"].items()}

    assert policies["mail"].backoff == Delays((1.0, 5.0, 30.0))
    assert policies["image.*"] == Policy(max_running=4, keep_s=3600.0)


def test_options_are_those_of_the_code(document: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        options.read_options(b'{"none of them": 1}')
    _, _, names = str(refused.value).partition("its options are ")

    assert sorted(keys(table_under(document, "### SUBMIT_JOB_OPTIONS"))) == sorted(
        names.split(", ")
    )
    assert set(options.POLICY_FIELDS) < set(keys(table_under(document, "### SUBMIT_JOB_OPTIONS")))


EVERYTHING: Final = (
    b'{"background": true, "delay_s": 1, "attempts": 2, "retry_on": ["fail", "exception"],'
    b' "backoff": [9], "timeout_s": 5, "expires_s": 99, "key": "k", "labels": {"a": "b"},'
    b' "callback": {"function": "g"}}'
)


class Everything:
    """A broker with a job that has everything that a job can have, attempt by attempt."""

    def __init__(self) -> None:
        self.engine = Broker().engine
        self.engine.functions.set_policy(b"f", Policy(keep_s=60.0))
        self.worker = Worker(Nobody())
        self.engine.can_do(self.worker, b"f")
        asked = options.read_options(EVERYTHING)
        self.job = self.engine.submit(
            None, b"f", b"u", b"\0", Priority.HIGH, reducer=b"r", options=asked
        )

    def begin(self, now_s: float) -> None:
        """The next attempt begins."""
        self.engine.advance(now_s)
        assert self.engine.grab(self.worker) is self.job

    def keys(self) -> set[str]:
        """What an operator is told of the job now."""
        return set(whole_job_table(self.engine.describe(self.job)))


class Nobody:
    """A worker's port; it does not listen."""

    name = "nobody"

    def wake(self) -> None:
        pass

    def job_cancelled(self, job: Job) -> None:
        pass


def test_terms_of_assignments_are_those_of_the_code(document: str) -> None:
    world = Everything()
    world.begin(1.0)
    packet = assign_options(world.job, world.engine)
    _handle, _function, _unique, terms, _payload = packet[HEADER_BYTES:].split(b"\0", 4)

    assert keys(table_under(document, "### JOB_ASSIGN_OPTIONS")) == list(unpacked("terms", terms))


def test_what_workers_tell_is_what_the_code_reads(document: str) -> None:
    assert keys(table_under(document, "### WORK_USAGE")) == list(reports.USAGE)
    assert keys(table_under(document, "### WORKER_STATE")) == list(reports.STATE)
    assert f"nested more than {reports.DEPTH_MAX} deep" in document
    assert reports.NUMBER_MAX == 10**15


def test_keys_of_jobs_and_functions_are_those_of_the_code(document: str) -> None:
    _verbs, _arguments, job, function, worker = tables_under(document, "### OPERATE, OPERATE_RES")
    world = Everything()
    engine, handle = world.engine, world.job.handle
    world.begin(1.0)
    engine.progress(world.worker, handle, 1, 2, b"1\x002", b"half of it")
    engine.report(world.worker, handle, DATA, b"\0")
    told = world.keys()
    engine.exception(world.worker, handle, b"no such photo")
    told |= world.keys()
    world.begin(10.0)
    engine.lose(world.worker)
    told |= world.keys()
    # Text instead of base64, and what is too long or not in memory.
    told |= {"payload", "payload_cut", "payload_on_disk", "result", "result_cut"}
    row = next(engine.functions.all())

    assert set(keys(job)) == told
    assert sorted(keys(function)) == sorted(function_table(row, 0.0))
    nobody = reports.WorkerStatistics(
        connection=1,
        address="",
        peer="",
        client_id=b"",
        name="",
        functions=(),
        running=(),
        state=None,
    )
    assert keys(worker) == list(worker_table(nobody, 0.0))


def test_verbs_of_operators_are_those_of_the_code(document: str) -> None:
    verbs, arguments, *_ = tables_under(document, "### OPERATE, OPERATE_RES")
    stated = {keys([row])[0]: keys([row], 1) for row in verbs}

    assert sorted(stated) == sorted(VERBS)
    for name, verb in VERBS.items():
        assert stated[name] == list(verb.fields), name
    assert set(keys(arguments)) == {field for verb in VERBS.values() for field in verb.fields}


def test_kinds_of_durability_are_those_of_the_code(document: str) -> None:
    rows = table_under(document, "### What a receipt promises")
    stated = [row[0].split("`")[1].replace("MS", "50") for row in rows]

    assert stated == [durability(kind) for kind in stated]
    assert stated[0] == COMMIT == Settings().durability
    assert "(default)" in rows[0][0]
    assert stated[-1] == NONE


def test_settings_that_are_named_exist(document: str) -> None:
    known = {
        flag for declaration in FIELDS.values() for flag in "/".join(declaration.flags).split("/")
    }
    of_workers = {flag for option in run.params for flag in option.opts}
    named = set(re.findall(r"`(--[a-z-]+)", document))

    assert named <= known | of_workers | {"--write", "--config-file"}
    assert "--timeout-unit" in named


def test_header_size_is_said(document: str) -> None:
    assert f"{HEADER_BYTES} bytes" in document


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {WRITE}")
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
