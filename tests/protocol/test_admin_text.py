"""The text protocol: commands understood, reports written and read back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpy.protocol import admin
from gearpy.protocol.admin import (
    Command,
    JobRow,
    MaxqueueRow,
    PriorityRow,
    StatusRow,
    WorkerRow,
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"status", Command(b"status", b"status", ())),
        (b"STATUS", Command(b"status", b"STATUS", ())),
        (b"", Command(b"", b"", ())),
        (b" status", Command(b"", b"", (b"status",))),
        (b"status and more", Command(b"status", b"status", (b"and", b"more"))),
        (b"maxqueue  resize   10 ", Command(b"maxqueue", b"maxqueue", (b"resize", b"10"))),
        (b"Cancel job H:vm:1", Command(b"cancel", b"Cancel", (b"job", b"H:vm:1"))),
        (b"ver\0sion", Command(b"ver", b"ver", ())),
        (b"create function a\0b c", Command(b"create", b"create", (b"function", b"a"))),
    ],
)
def test_parse(line: bytes, command: Command) -> None:
    assert admin.parse(line) == command


def test_replies_of_one_line() -> None:
    assert admin.ok(b"1.0") == b"OK 1.0\n"
    assert admin.err_unknown_command(b"foo") == (
        b"ERR UNKNOWN_COMMAND Unknown+server+commandfoo\r\n"
    )
    assert admin.err_incomplete(b"maxqueue") == (
        b"ERR INVALID_ARGUMENTS"
        b" An+incomplete+set+of+arguments+was+sent+to+this+command+maxqueue\r\n"
    )
    assert admin.err_line_too_long("it has no end") == b"ERR LINE_TOO_LONG it+has+no+end\r\n"


def test_an_unknown_command_cannot_forge_a_line() -> None:
    reply = admin.err_unknown_command(b"x\rOK\x1b")

    assert reply == b"ERR UNKNOWN_COMMAND Unknown+server+commandx\\x0dOK\\x1b\r\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"resize", b"resize"),
        (b"a\tb\nc", b"a\\x09b\\x0ac"),
        (b"\0\x1f\x7f", b"\\x00\\x1f\\x7f"),
        (b"gr\xc3\xb6\xc3\x9fe ~", b"gr\xc3\xb6\xc3\x9fe ~"),
    ],
)
def test_printable(name: bytes, shown: bytes) -> None:
    assert admin.printable(name) == shown


def test_rows_as_they_are_written() -> None:
    assert StatusRow(b"f", 3, 1, 2).line() == b"f\t3\t1\t2\n"
    assert PriorityRow(b"f", 1, 2, 3, 4).line() == b"f\t1\t2\t3\t4\n"
    assert MaxqueueRow(b"f", 1, 2, 3).line() == b"f\t1\t2\t3\n"
    assert WorkerRow(33, b"127.0.0.1", b"-", (b"a", b"b")).line() == b"33 127.0.0.1 - : a b\n"
    assert WorkerRow(33, b"127.0.0.1", b"-", ()).line() == b"33 127.0.0.1 - :\n"
    assert JobRow(b"H:vm:1", 2, True, False).line() == b"H:vm:1\t2\t1\t0\n"


def test_reports_end_with_a_dot() -> None:
    assert admin.report([]) == b".\n"
    assert admin.report([StatusRow(b"f", 0, 0, 1)]) == b"f\t0\t0\t1\n.\n"
    assert admin.uniques_report([]) == b".\n"
    assert admin.uniques_report([b"u1", b"", b"a\nb"]) == b"u1\n\na\\x0ab\n.\n"


def lines_of(report: bytes) -> list[bytes]:
    assert report.endswith(admin.END)
    lines = report.split(b"\n")
    assert lines[-2:] == [b".", b""]
    return lines[:-2]


counts = st.integers(0, 10**12)
names = st.binary(max_size=20)
words = (
    st.binary(min_size=1, max_size=20).filter(lambda word: len(word.split()) == 1).map(bytes.strip)
)


@settings(deadline=None)
@given(st.lists(st.builds(StatusRow, names, counts, counts, counts), max_size=5))
def test_status_is_read_as_it_was_written(rows: list[StatusRow]) -> None:
    read = admin.read_status(lines_of(admin.report(rows)))

    assert read == [row._replace(function=admin.printable(row.function)) for row in rows]


client_ids = names.filter(lambda name: b" :" not in name)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            WorkerRow,
            counts,
            st.sampled_from([b"127.0.0.1", b"::1", b"unix"]),
            client_ids,
            st.lists(words, max_size=5).map(tuple),
        ),
        max_size=5,
    )
)
def test_workers_are_read_as_they_were_written(rows: list[WorkerRow]) -> None:
    read = admin.read_workers(lines_of(admin.report(rows)))

    assert read == [
        row._replace(
            client_id=admin.printable(row.client_id),
            functions=tuple(map(admin.printable, row.functions)),
        )
        for row in rows
    ]


@pytest.mark.parametrize("line", [b"", b"f", b"f\t1\t2", b"f\t1\t2\tx"])
def test_a_line_of_another_report_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        admin.read_status([line])
