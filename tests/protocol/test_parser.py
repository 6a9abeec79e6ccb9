"""The fast parser against the reference, which shares no code with it."""

from itertools import pairwise
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gearpy.errors import BadMagic, LineTooLong, PayloadTooLarge
from gearpy.protocol.codec import request, response
from gearpy.protocol.packets import (
    CAN_DO,
    ECHO_REQ,
    GRAB_JOB,
    HEADER_BYTES,
    NOOP,
    PACKETS,
    REQ,
    RES,
    SKIPPED,
    SUBMIT_JOB,
    TEXT,
    WORK_COMPLETE,
    WORK_DATA,
    WRONG_MAGIC,
)
from gearpy.protocol.parser import (
    LINE_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SKIPPED_BYTES,
    Packet,
    PacketParser,
)
from gearpy.protocol.reference import (
    Broken,
    CutOff,
    ReadLine,
    ReadPacket,
    build,
    build_line,
    read_stream,
)

# Small limits, so that streams reach them.
PAYLOAD_MAX: Final = 100
LINE_MAX: Final = 40
HELD_MAX: Final = HEADER_BYTES + PAYLOAD_MAX - 1


def packed(magic: bytes, number: int, body: bytes, announced: int | None = None) -> bytes:
    size = len(body) if announced is None else announced
    return magic + number.to_bytes(4, "big") + size.to_bytes(4, "big") + body


magics = st.sampled_from([REQ, RES])
numbers = st.sampled_from(list(PACKETS)) | st.integers(0, 2**32 - 1)
bodies = st.binary(max_size=PAYLOAD_MAX)
some_packet = st.builds(packed, magics, numbers, bodies)
some_line = (
    st.binary(min_size=1, max_size=LINE_MAX - 3)
    .filter(lambda text: text[0] != 0 and b"\n" not in text)
    .flatmap(lambda text: st.sampled_from([text + b"\n", text + b"\r\n", b"\n", b"\r\n"]))
)
bad_magic = st.builds(
    lambda magic, rest: b"\0" + magic + rest,
    st.binary(min_size=3, max_size=3).filter(lambda magic: magic not in (REQ[1:], RES[1:])),
    st.binary(min_size=8, max_size=30),
)
too_large = st.builds(packed, magics, numbers, bodies, st.integers(PAYLOAD_MAX + 1, 2**32 - 1))
endless_line = st.binary(min_size=LINE_MAX, max_size=2 * LINE_MAX).map(
    lambda text: b"x" + text.replace(b"\n", b"y")
)
sound_streams = st.lists(some_packet | some_line, max_size=8).map(b"".join)
# Whatever follows a break must not come out, so that is put there as well.
streams = (
    sound_streams
    | st.builds(lambda stream, cut: stream[: len(stream) - cut], sound_streams, st.integers(0, 60))
    | st.builds(
        lambda before, broken, after: before + broken + after,
        sound_streams,
        bad_magic | too_large | endless_line,
        sound_streams,
    )
    | st.binary(max_size=200)
)
cuts = st.lists(st.integers(0, 400), max_size=30)


def chunked(stream: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place for place in at if place < len(stream)), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(places)]


def small_parser(expects: bytes = REQ) -> PacketParser:
    return PacketParser(expects, PAYLOAD_MAX, LINE_MAX)


def by_reference(
    stream: bytes, expects: bytes
) -> tuple[list[Packet], CutOff | None, Broken | None]:
    packets: list[Packet] = []
    cut_off, broken = None, None
    for piece in read_stream(stream, PAYLOAD_MAX, LINE_MAX):
        match piece:
            case ReadPacket():
                number = piece.number if piece.magic == expects else WRONG_MAGIC
                packets.append((number, piece.body))
            case ReadLine():
                packets.append((TEXT, piece.text))
            case CutOff():
                cut_off = piece
            case Broken():
                broken = piece
    return packets, cut_off, broken


@settings(deadline=None)
@given(streams, cuts, magics)
@example(b"\0REQ", [], REQ)
@example(b"x" * (LINE_MAX - 1) + b"\n", [LINE_MAX - 1], REQ)
@example(b"x" * LINE_MAX + b"\n", [LINE_MAX], REQ)
@example(packed(REQ, ECHO_REQ, b"x" * PAYLOAD_MAX), [HEADER_BYTES], REQ)
def test_parser_agrees_with_reference(stream: bytes, at: list[int], expects: bytes) -> None:
    packets, cut_off, broken = by_reference(stream, expects)
    parser = small_parser(expects)

    parsed = [packet for chunk in chunked(stream, at) for packet in parser.feed(chunk)]

    assert parsed == packets
    assert type(parser.broken) is (type(broken.error) if broken else type(None))
    assert parser.held_bytes == (cut_off.size_bytes if cut_off else 0)


@settings(deadline=None)
@given(streams, cuts)
def test_chunks_do_not_matter(stream: bytes, at: list[int]) -> None:
    whole, pieces, bytewise = small_parser(), small_parser(), small_parser()

    packets = whole.feed(stream)

    assert [p for chunk in chunked(stream, at) for p in pieces.feed(chunk)] == packets
    assert [p for byte in stream for p in bytewise.feed(bytes([byte]))] == packets
    assert type(whole.broken) is type(pieces.broken) is type(bytewise.broken)


@settings(deadline=None)
@given(streams, cuts)
def test_what_is_held_is_bounded(stream: bytes, at: list[int]) -> None:
    parser = small_parser()
    for chunk in chunked(stream, at):
        parser.feed(chunk)
        assert parser.held_bytes <= HELD_MAX


def test_text_and_binary_alternate() -> None:
    stream = b"".join(
        (
            request(ECHO_REQ, b"x"),
            b"version\r\n",
            request(GRAB_JOB),
            b"status\n",
            b"\n",
            request(SUBMIT_JOB, b"resize", b"", b"a line\nin a payload\0"),
            b"workers with words \r\r\n",
        )
    )
    expected = [
        (ECHO_REQ, b"x"),
        (TEXT, b"version"),
        (GRAB_JOB, b""),
        (TEXT, b"status"),
        (TEXT, b""),
        (SUBMIT_JOB, b"resize\0\0a line\nin a payload\0"),
        (TEXT, b"workers with words \r"),
    ]

    assert PacketParser().feed(stream) == expected


def test_a_reply_is_not_what_a_server_reads() -> None:
    parser = PacketParser(REQ)

    assert parser.feed(response(NOOP) + request(CAN_DO, b"f")) == [
        (WRONG_MAGIC, b""),
        (CAN_DO, b"f"),
    ]
    assert parser.broken is None


def test_a_request_is_not_what_a_client_reads() -> None:
    parser = PacketParser(RES)

    assert parser.feed(request(CAN_DO, b"f") + response(NOOP)) == [(WRONG_MAGIC, b"f"), (NOOP, b"")]
    assert parser.broken is None


@pytest.mark.parametrize("magic", [b"\0XXX", b"\0req", b"\0REP", b"\0\0\0\0"])
def test_bad_magic_breaks(magic: bytes) -> None:
    parser = PacketParser()
    good = request(ECHO_REQ, b"x")

    packets = parser.feed(good + packed(magic, ECHO_REQ, b"test") + good)

    assert packets == [(ECHO_REQ, b"x")]
    assert isinstance(parser.broken, BadMagic)
    assert parser.feed(good) == []


def test_too_large_payload_is_told_before_a_byte_of_it_is_stored() -> None:
    parser = PacketParser()
    header = packed(REQ, SUBMIT_JOB, b"", PAYLOAD_BYTES_MAX + 1)
    for byte in header[:-1]:
        assert parser.feed(bytes([byte])) == []
    assert parser.broken is None

    assert parser.feed(header[-1:]) == []

    assert isinstance(parser.broken, PayloadTooLarge)
    assert "67,108,865 bytes" in str(parser.broken)
    assert parser.held_bytes == 0
    assert parser.feed(b"payload") == []
    assert parser.held_bytes == 0


SKIPS: Final = frozenset((WORK_COMPLETE, WORK_DATA))
large_bodies = st.binary(min_size=PAYLOAD_MAX + 1, max_size=3 * PAYLOAD_MAX)


@given(
    st.lists(
        st.builds(packed, st.just(REQ), st.sampled_from([ECHO_REQ, WORK_COMPLETE]), bodies)
        | st.builds(packed, st.just(REQ), st.sampled_from([*SKIPS]), large_bodies),
        max_size=8,
    ),
    st.integers(0, 60),
    cuts,
)
def test_packets_that_are_skipped_are_told_by_their_beginning(
    sent: list[bytes], cut: int, at: list[int]
) -> None:
    parser = PacketParser(REQ, PAYLOAD_MAX, LINE_MAX, SKIPS)
    expected: list[Packet] = [
        (int.from_bytes(packet[4:8], "big"), packet[HEADER_BYTES:])
        if len(packet) <= HEADER_BYTES + PAYLOAD_MAX
        else (SKIPPED, packet[: HEADER_BYTES + SKIPPED_BYTES])
        for packet in sent
    ]
    stream = b"".join(sent)
    early = stream[: len(stream) - cut]

    told = [p for chunk in chunked(early, at) for p in parser.feed(chunk)]

    assert told == expected[: len(told)]
    assert parser.held_bytes <= HEADER_BYTES + PAYLOAD_MAX
    assert told + parser.feed(stream[len(early) :]) == expected
    assert parser.held_bytes == 0
    assert parser.broken is None


def test_what_is_skipped_is_not_kept() -> None:
    parser = PacketParser(REQ, PAYLOAD_MAX, LINE_MAX, SKIPS)
    left = 2**32 - 1
    header = packed(REQ, WORK_DATA, b"", left)
    assert parser.feed(header) == []
    beginning = b"H:vm:1\0".ljust(SKIPPED_BYTES, b"x")
    assert parser.feed(beginning) == [(SKIPPED, header + beginning)]
    left -= SKIPPED_BYTES
    piece = bytes(64 << 20)
    while left >= len(piece):
        assert parser.feed(piece) == []
        assert parser.held_bytes == 0
        left -= len(piece)

    assert parser.feed(bytes(left) + request(ECHO_REQ, b"goes on")) == [(ECHO_REQ, b"goes on")]


@pytest.mark.parametrize(
    "packet",
    [packed(RES, WORK_DATA, b"", PAYLOAD_MAX + 1), packed(REQ, ECHO_REQ, b"", PAYLOAD_MAX + 1)],
)
def test_only_what_may_be_skipped_is(packet: bytes) -> None:
    parser = PacketParser(REQ, PAYLOAD_MAX, LINE_MAX, SKIPS)
    assert parser.feed(packet + bytes(PAYLOAD_MAX + 1)) == []
    assert isinstance(parser.broken, PayloadTooLarge)


def test_longest_line() -> None:
    line = b"x" * (LINE_BYTES_MAX - 1)
    parser = PacketParser()

    assert parser.feed(line) == []
    assert parser.feed(b"\n") == [(TEXT, line)]


def test_line_that_is_too_long_breaks_before_it_ends() -> None:
    parser = PacketParser()
    assert parser.feed(b"x" * (LINE_BYTES_MAX - 1)) == []
    assert parser.broken is None

    assert parser.feed(b"x") == []

    assert isinstance(parser.broken, LineTooLong)
    assert parser.held_bytes == 0


def test_payload_byte_by_byte() -> None:
    payload = bytes(range(256)) * 400
    parser = PacketParser()
    stream = request(ECHO_REQ, payload)

    packets = [packet for byte in stream for packet in parser.feed(bytes([byte]))]

    assert packets == [(ECHO_REQ, payload)]
    assert parser.held_bytes == 0


def test_largest_payload_in_small_pieces() -> None:
    # Were the pieces joined anew each time, this would copy half a terabyte.
    piece = bytes(range(256)) * 16
    count = PAYLOAD_BYTES_MAX // len(piece)
    parser = PacketParser()
    assert parser.feed(packed(REQ, ECHO_REQ, b"", count * len(piece))) == []
    for fed in range(1, count):
        assert parser.feed(piece) == []
        assert parser.held_bytes == HEADER_BYTES + fed * len(piece)

    packets = parser.feed(piece)

    assert [(number, len(body)) for number, body in packets] == [(ECHO_REQ, PAYLOAD_BYTES_MAX)]
    assert packets[0][1] == piece * count


fields_of: Final = {
    number: st.tuples(
        *(
            st.binary(max_size=20).map(lambda value: value.replace(b"\0", b""))
            for _ in packet.fields[1:]
        ),
        st.binary(max_size=20)
        if packet.payload
        else st.binary(max_size=20).map(lambda value: value.replace(b"\0", b"")),
    )
    if packet.fields
    else st.just(())
    for number, packet in PACKETS.items()
}
typed_packets = st.sampled_from(list(PACKETS)).flatmap(
    lambda number: st.tuples(st.just(number), fields_of[number])
)
clean_lines = st.binary(min_size=1, max_size=20).map(
    lambda text: b"x" + text.replace(b"\n", b"").rstrip(b"\r")
)


@settings(deadline=None)
@given(st.lists(typed_packets | clean_lines, max_size=10), cuts)
def test_what_the_reference_builds_comes_out(
    sent: "list[tuple[int, tuple[bytes, ...]] | bytes]", at: list[int]
) -> None:
    stream, expected = b"", []
    for piece in sent:
        if isinstance(piece, bytes):
            stream += build_line(piece)
            expected.append((TEXT, piece))
        else:
            number, fields = piece
            stream += build(REQ, number, fields)
            expected.append((number, b"\0".join(fields)))
    parser = PacketParser()

    assert [p for chunk in chunked(stream, at) for p in parser.feed(chunk)] == expected
    assert parser.held_bytes == 0
