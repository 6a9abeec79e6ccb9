"""What the reference says about streams that are cut off or broken, and where."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpy.errors import (
    BadMagic,
    LineTooLong,
    MalformedPacket,
    PayloadTooLarge,
    UnexpectedPacket,
    UnknownPacket,
)
from gearpy.protocol.codec import request, response
from gearpy.protocol.packets import (
    CAN_DO,
    CLIENT,
    ECHO_REQ,
    GRAB_JOB,
    JOB_CREATED,
    PACKETS,
    REQ,
    SERVER,
    SUBMIT_JOB,
    WORK_COMPLETE,
    WORKER,
)
from gearpy.protocol.reference import (
    Broken,
    CutOff,
    ReadLine,
    ReadPacket,
    build_line,
    read_stream,
)


def test_pieces_have_their_places() -> None:
    stream = request(CAN_DO, b"resize") + b"status\r\n" + response(WORK_COMPLETE, b"h", b"r")

    first, line, last = read_stream(stream)

    assert isinstance(first, ReadPacket)
    assert (first.offset, first.size_bytes, first.fields) == (0, 18, {"function": b"resize"})
    assert line == ReadLine(18, b"status", 8)
    assert isinstance(last, ReadPacket)
    assert (last.offset, last.size_bytes) == (26, 15)
    assert last.fields == {"handle": b"h", "result": b"r"}
    assert first.flaws == last.flaws == ()


def test_cut_off_inside_a_header() -> None:
    assert list(read_stream(request(GRAB_JOB)[:7])) == [CutOff(0, 7, missing_bytes=5)]


def test_cut_off_inside_a_body() -> None:
    stream = request(GRAB_JOB) + request(SUBMIT_JOB, b"f", b"u", b"payload")[:-3]

    *_, last = read_stream(stream)

    assert last == CutOff(12, 20, missing_bytes=3, announced=(SUBMIT_JOB, 11))


def test_cut_off_inside_a_line() -> None:
    assert list(read_stream(b"stat")) == [CutOff(0, 4, missing_bytes=1, line=True)]


def test_a_packet_with_a_missing_field_is_passed_over() -> None:
    bad, good = read_stream(
        b"\0REQ\0\0\0\x07\0\0\0\x03f\0u" + request(SUBMIT_JOB, b"f", b"u", b"p")
    )

    assert isinstance(bad, ReadPacket)
    [flaw] = bad.flaws
    assert isinstance(flaw, MalformedPacket)
    assert str(flaw).endswith("this one ends without payload")
    assert isinstance(good, ReadPacket)
    assert good.flaws == ()


def test_a_packet_that_nobody_knows_is_passed_over() -> None:
    unknown, good = read_stream(b"\0REQ\0\0\0\x2b\0\0\0\x02xy" + request(GRAB_JOB))

    assert isinstance(unknown, ReadPacket)
    assert unknown.ignored == b"xy"
    [flaw] = unknown.flaws
    assert isinstance(flaw, UnknownPacket)
    assert isinstance(good, ReadPacket)


def test_wrong_direction() -> None:
    up, down = read_stream(request(JOB_CREATED, b"h") + response(SUBMIT_JOB, b"f", b"u", b"p"))

    assert isinstance(up, ReadPacket)
    assert isinstance(down, ReadPacket)
    assert [type(flaw) for flaw in up.flaws + down.flaws] == [UnexpectedPacket, UnexpectedPacket]


def test_direction_is_what_the_table_says() -> None:
    for number, packet in PACKETS.items():
        fields = [b""] * len(packet.fields)
        [up] = read_stream(request(number, *fields))
        [down] = read_stream(response(number, *fields))
        assert isinstance(up, ReadPacket)
        assert isinstance(down, ReadPacket)
        assert bool(up.flaws) is not bool(packet.senders & (CLIENT | WORKER))
        assert bool(down.flaws) is not bool(packet.senders & SERVER)


def test_bad_magic_ends_it() -> None:
    stream = request(GRAB_JOB) + b"\0XYZ\0\0\0\x01\0\0\0\0" + request(GRAB_JOB)

    *_, last = read_stream(stream)

    assert isinstance(last, Broken)
    assert last.offset == 12
    assert isinstance(last.error, BadMagic)
    assert "00 58 59 5a" in str(last.error)


def test_limits() -> None:
    [large] = read_stream(REQ + b"\0\0\0\x10\0\0\0\x0b", payload_bytes_max=10)
    [long] = read_stream(b"x" * 10, line_bytes_max=10)
    [late] = read_stream(b"x" * 10 + b"\n", line_bytes_max=10)

    assert isinstance(large, Broken)
    assert isinstance(large.error, PayloadTooLarge)
    assert isinstance(long, Broken)
    assert isinstance(long.error, LineTooLong)
    assert isinstance(late, Broken)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_lines_are_read_as_they_were_built(text: bytes) -> None:
    if text.startswith(b"\0") or text.endswith(b"\r") or b"\n" in text:
        with pytest.raises(ValueError, match="a text line"):
            build_line(text)
    else:
        assert list(read_stream(build_line(text))) == [ReadLine(0, text, len(text) + 1)]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_every_byte_is_told_of_and_nothing_raises(stream: bytes) -> None:
    end = 0
    for piece in read_stream(stream):
        assert piece.offset == end
        end = len(stream) if isinstance(piece, Broken) else end + piece.size_bytes
    assert end == len(stream)


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 130))
def test_missing_bytes_are_what_is_missing(payload: bytes, cut: int) -> None:
    stream = request(ECHO_REQ, payload)
    cut = cut % len(stream)
    pieces = list(read_stream(stream[:cut]))
    if cut == 0:
        assert pieces == []
        return
    [piece] = pieces
    assert isinstance(piece, CutOff)
    assert piece.missing_bytes == (12 if cut < 12 else len(stream)) - cut
