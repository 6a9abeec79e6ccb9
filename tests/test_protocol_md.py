"""``protocol.md`` says what the code does.

What stands between ``<!-- name: begin -->`` and ``<!-- name: end -->`` is made from the code,
and so is what stands beside the bytes of each ``packet`` block.  After a change of the code:

    python -m tests.test_protocol_md --write

Its ``conversation`` blocks are played against a broker.  The tables of errors and limits are
written by hand and compared with the code.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from gearpy import errors
from gearpy.broker import session
from gearpy.broker.broker import Limits
from gearpy.engine import policy
from gearpy.engine.job import DELAYED, ENDED, MOVES, QUEUED, RUNNING
from gearpy.engine.policy import Rules
from gearpy.protocol import admin
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
from gearpy.server.settings import FIELDS, Settings
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
    states = [DELAYED, QUEUED, RUNNING, ENDED]
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
            f"    [*] --> {QUEUED}: submit",
            f"    [*] --> {DELAYED}: submit, due later",
            *lines,
            f"    {ENDED} --> [*]",
            "```",
        ]
    )


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "packets": packets_table,
    "moves": moves_picture,
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
        shown = repr(value)[1:].replace("'", '"') if value else "empty"
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


def table_under(document: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    _, found, rest = document.partition(f"\n{heading}\n")
    assert found, f"protocol.md has no heading {heading}"
    table = re.search(r"(?:^\|.*\|\n)+", rest, re.MULTILINE)
    assert table is not None
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in table[0].splitlines()[2:]
    ]


def test_error_codes_are_those_of_the_code(document: str) -> None:
    stated = [(code.strip("`"), fate) for code, _, fate in table_under(document, "## ERROR codes")]
    actual = []
    for error in _leaves(errors.PeerError):
        closed = issubclass(error, errors.RemoteProtocolError | errors.TooManyConnections)
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
    limits, rules, settings = Limits(), Rules(), Settings()

    assert stated == {
        "body of a packet": limits.payload_bytes_max,
        "text line": limits.line_bytes_max,
        "function name, reducer": policy.FUNCTION_BYTES_MAX,
        "unique": policy.UNIQUE_BYTES_MAX,
        "client id": session.CLIENT_ID_BYTES_MAX,
        "handle": policy.HANDLE_BYTES_MAX,
        "shortest timeout": policy.TIMEOUT_MS_MIN,
        "patience with a woken worker": round(rules.wake_patience_s * 1000),
        "functions": rules.functions_max,
        "functions of a connection": rules.worker_functions_max,
        "submissions of a connection that wait for one job": rules.copies_max,
        "replies before a peer's requests wait": limits.outbox_bytes,
        "replies before a peer is closed": settings.max_output,
        "stall of a peer that does not read": round(settings.stall_timeout),
        "connections": settings.max_connections,
        "end of running jobs when the server stops": round(settings.drain_timeout),
    }
    assert limits.payload_bytes_max == settings.max_payload


def test_settings_that_are_named_exist(document: str) -> None:
    known = {
        flag for declaration in FIELDS.values() for flag in "/".join(declaration.flags).split("/")
    }
    named = set(re.findall(r"`(--[a-z-]+)", document))

    assert named <= known | {"--write"}
    assert "--timeout-unit" in named


def test_header_size_is_said(document: str) -> None:
    assert f"{HEADER_BYTES} bytes" in document


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {WRITE}")
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
