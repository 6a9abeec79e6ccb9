"""``gearpy dissect``: what it prints, how it reads, how it exits."""

from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpy.cli.dissect import dissect, read_hex
from gearpy.protocol.codec import request, response
from gearpy.protocol.packets import (
    ECHO_REQ,
    GRAB_JOB,
    JOB_CREATED,
    PACKETS,
    STATUS_RES,
    SUBMIT_JOB,
    WORK_COMPLETE,
)


def run(data: bytes, *arguments: str) -> Result:
    return CliRunner().invoke(dissect, arguments, input=data)


SOUND: Final = (
    request(SUBMIT_JOB, b"resize", b"u1", b"a\0b\xff\n")
    + response(JOB_CREATED, b"H:vm:1")
    + b"status\r\n"
    + request(WORK_COMPLETE, b"H:vm:1", b"")
)
EXPLAINED: Final = r"""@0 REQ SUBMIT_JOB(7) from client, 12+15 bytes
    function = "resize"
    unique = "u1"
    payload = "a\x00b\xff\n"
@27 RES JOB_CREATED(8) from server, 12+6 bytes
    handle = "H:vm:1"
@45 TEXT, 8 bytes
    line = "status"
@53 REQ WORK_COMPLETE(13) from worker, 12+7 bytes
    handle = "H:vm:1"
    result = ""
sound: 3 packets, 1 text line, 72 bytes
"""


def test_sound_stream() -> None:
    result = run(SOUND)

    assert result.output == EXPLAINED
    assert result.exit_code == 0


def test_file_and_standard_input_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "captured"
    file.write_bytes(SOUND)

    assert run(b"", str(file)).output == EXPLAINED
    assert run(SOUND, "-").output == EXPLAINED


def test_nothing_is_sound() -> None:
    result = run(b"")

    assert result.output == "sound: 0 packets, 0 text lines, 0 bytes\n"
    assert result.exit_code == 0


def test_long_values_are_cut_and_their_size_told() -> None:
    result = run(request(ECHO_REQ, b"x" * 5000) + request(ECHO_REQ, b"y" * 64))

    assert f'    payload = "{"x" * 64}"... (5,000 bytes)\n' in result.output
    assert f'    payload = "{"y" * 64}"\n' in result.output


def test_values_are_escaped() -> None:
    result = run(request(ECHO_REQ, b'a"b\\c\td\r\x00\x7f\xc3\xb6'))

    assert r'payload = "a\"b\\c\td\r\x00\x7f\xc3\xb6"' in result.output


def test_body_of_a_packet_without_fields() -> None:
    result = run(request(GRAB_JOB, b"junk"))

    assert result.output == (
        '@0 REQ GRAB_JOB(9) from worker, 12+4 bytes\n    ignored = "junk"\n'
        "sound: 1 packet, 0 text lines, 16 bytes\n"
    )


@pytest.mark.parametrize(
    ("stream", "place", "sentence"),
    [
        (
            request(GRAB_JOB) + b"\0REQ\0\0\0\x07\0\0\0\x09resize\0u1",
            "@12 REQ SUBMIT_JOB(7) from client, 12+9 bytes",
            "SUBMIT_JOB has 3 fields separated by NUL (function, unique, payload);"
            " this one ends without payload",
        ),
        (
            b"\0REQ\0\0\0\x63\0\0\0\x02hi",
            "@0 REQ UNKNOWN(99) from client or worker, 12+2 bytes",
            "nobody knows packet type 99",
        ),
        (
            request(JOB_CREATED, b"H:vm:1"),
            "@0 REQ JOB_CREATED(8) from client or worker, 12+6 bytes",
            "only a server sends JOB_CREATED; its magic is REQ",
        ),
        (
            response(GRAB_JOB),
            "@0 RES GRAB_JOB(9) from server, 12+0 bytes",
            "a server does not send GRAB_JOB; its magic is RES",
        ),
        (
            b"status\n\0XYZ\0\0\0\x10\0\0\0\x04test",
            "@7 NOT GEARMAN",
            "the magic is 00 58 59 5a; a packet starts with 00 52 45 51 (NUL REQ) or"
            " 00 52 45 53 (NUL RES), a text line with anything but NUL;"
            " where the next packet begins can't be told",
        ),
        (
            request(GRAB_JOB) + request(SUBMIT_JOB, b"f", b"u", b"payload")[:-3],
            "@12 CUT OFF, 20 bytes",
            "the stream ends inside SUBMIT_JOB(7), which announces 11 bytes: 3 bytes missing",
        ),
        (
            request(GRAB_JOB)[:11],
            "@0 CUT OFF, 11 bytes",
            "the stream ends inside a header, which has 12 bytes: 1 byte missing",
        ),
        (
            b"status\nstat",
            "@7 CUT OFF, 4 bytes",
            "the stream ends inside a text line: at least 1 byte is missing, its line end",
        ),
        (
            b"\0REQ\0\0\0\x10\xff\xff\xff\xffabc",
            "@0 CUT OFF, 15 bytes",
            "the stream ends inside ECHO_REQ(16), which announces 4,294,967,295 bytes, more than"
            " the 67,108,864 that gearpy-server takes unless told otherwise:"
            " 4,294,967,292 bytes missing",
        ),
    ],
    ids=[
        "missing field",
        "unknown type",
        "reply as request",
        "request as reply",
        "bad magic",
        "cut in a body",
        "cut in a header",
        "cut in a line",
        "cut far too early",
    ],
)
def test_what_is_wrong_and_where(stream: bytes, place: str, sentence: str) -> None:
    result = run(stream)
    lines = result.output.splitlines()

    assert place in lines
    assert f"    broken: {sentence}" in lines[lines.index(place) :]
    assert lines[-1].startswith("broken in 1 place: ")
    assert result.exit_code == 1


def test_it_goes_on_behind_a_packet_that_is_wrong() -> None:
    result = run(b"\0REQ\0\0\0\x63\0\0\0\0" + request(ECHO_REQ, b"behind"))

    assert '    payload = "behind"' in result.output.splitlines()
    assert result.output.endswith("broken in 1 place: 2 packets, 0 text lines, 30 bytes\n")


# What xxd and hexdump -C print of an ECHO_REQ of "ab  | 00 cd" and 100 zeros.
DUMPED: Final = request(ECHO_REQ, b"ab  | 00 cd" + b"\0" * 100)
XXD: Final = b"""\
00000000: 0052 4551 0000 0010 0000 006f 6162 2020  .REQ.......oab
00000010: 7c20 3030 2063 6400 0000 0000 0000 0000  | 00 cd.........
00000020: 0000 0000 0000 0000 0000 0000 0000 0000  ................
00000030: 0000 0000 0000 0000 0000 0000 0000 0000  ................
00000040: 0000 0000 0000 0000 0000 0000 0000 0000  ................
00000050: 0000 0000 0000 0000 0000 0000 0000 0000  ................
00000060: 0000 0000 0000 0000 0000 0000 0000 0000  ................
00000070: 0000 0000 0000 0000 0000 00              ...........
"""
HEXDUMP_C: Final = b"""\
00000000  00 52 45 51 00 00 00 10  00 00 00 6f 61 62 20 20  |.REQ.......oab  |
00000010  7c 20 30 30 20 63 64 00  00 00 00 00 00 00 00 00  || 00 cd.........|
00000020  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
00000070  00 00 00 00 00 00 00 00  00 00 00                 |...........|
0000007b
"""


@pytest.mark.parametrize(
    "text",
    [
        DUMPED.hex().encode(),
        DUMPED.hex(" ").upper().encode(),
        DUMPED.hex("\n", 4).encode() + b"\r\n",
        b"0x" + DUMPED.hex().encode(),
        b", ".join(b"0x%02x" % byte for byte in DUMPED),
        b"".join(b"\\x%02x" % byte for byte in DUMPED),
        XXD,
        HEXDUMP_C,
    ],
    ids=["plain", "spaces", "lines", "0x", "array", "escapes", "xxd", "hexdump-C"],
)
def test_hex_is_recognised(text: bytes) -> None:
    assert read_hex(text) == DUMPED
    assert run(text).output == run(DUMPED, "--raw").output
    assert run(text, "--hex").output == run(DUMPED, "--raw").output


def test_dump_that_does_not_begin_at_the_begin() -> None:
    assert read_hex(b"\n".join(XXD.splitlines()[1:3])) == DUMPED[16:48]


def test_raw_bytes_that_look_like_hex() -> None:
    assert '    line = "cafe"' in run(b"cafe\n", "--raw").output.splitlines()
    assert "NOT GEARMAN" not in run(b"cafe\n").output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"00 52\n45 5", 'line 2 holds "5", which is not pairs of digits'),
        (b"00 5g", 'line 1 holds "5g", which is not pairs of digits'),
        (b"\0REQ", 'line 1 holds "\\x00REQ", which is not pairs of digits'),
        (
            XXD.replace(b"00000020:", b"00000030:"),
            "line 3 has the offset 0x30, but 0x20 comes next",
        ),
        (
            HEXDUMP_C.replace(b"00000070", b"ffffffff"),
            "line 5 has the offset 0xffffffff: that is too far away",
        ),
        (XXD + b"end\n", "line 9 is none of a dump as xxd or hexdump -C print it"),
    ],
    ids=["odd digits", "no digits", "raw bytes", "wrong offset", "far offset", "other lines"],
)
def test_bad_hex_is_told(text: bytes, sentence: str) -> None:
    result = run(text, "--hex")

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_usage() -> None:
    both = run(b"", "--hex", "--raw")
    absent = run(b"", "no such file")

    assert (both.exit_code, absent.exit_code) == (2, 2)
    assert "--hex and --raw exclude each other" in both.stderr
    assert "no such file" in absent.stderr


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_hex_is_read_back(data: bytes) -> None:
    assert read_hex(data.hex(" ").encode()) == data


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_nothing_raises(data: bytes) -> None:
    result = run(data)

    assert result.exit_code in (0, 1)
    assert result.output.splitlines()[-1].startswith(("sound: ", "broken in "))
    assert result.output.isascii()


def test_every_packet_is_explained_by_its_fields() -> None:
    for number, packet in PACKETS.items():
        output = run(response(number, *(b"1" for _ in packet.fields))).output
        assert f"RES {packet.name}({number}) from " in output
        for name in packet.fields:
            assert f'    {name} = "1"\n' in output
    assert len(PACKETS[STATUS_RES].fields) == 5
