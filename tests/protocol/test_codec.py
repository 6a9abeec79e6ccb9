"""Encoders and splitting: golden bytes for every packet type, and the reference as an oracle."""

import ctypes
import re
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gearpy.errors import MalformedPacket
from gearpy.protocol import codec
from gearpy.protocol.packets import NUMBERS, PACKETS, REQ, RES
from gearpy.protocol.reference import ReadPacket, build, read_stream

# Type, size and body as they travel behind the magic, and the fields in them.
GOLDEN: Final[dict[str, tuple[bytes, tuple[bytes, ...]]]] = {
    "CAN_DO": (b"\0\0\0\x01\0\0\0\x06resize", (b"resize",)),
    "CANT_DO": (b"\0\0\0\x02\0\0\0\x06resize", (b"resize",)),
    "RESET_ABILITIES": (b"\0\0\0\x03\0\0\0\0", ()),
    "PRE_SLEEP": (b"\0\0\0\x04\0\0\0\0", ()),
    "UNUSED": (b"\0\0\0\x05\0\0\0\0", ()),
    "NOOP": (b"\0\0\0\x06\0\0\0\0", ()),
    "SUBMIT_JOB": (b"\0\0\0\x07\0\0\0\x0bresize\0u1\0p", (b"resize", b"u1", b"p")),
    "JOB_CREATED": (b"\0\0\0\x08\0\0\0\x06H:vm:1", (b"H:vm:1",)),
    "GRAB_JOB": (b"\0\0\0\x09\0\0\0\0", ()),
    "NO_JOB": (b"\0\0\0\x0a\0\0\0\0", ()),
    "JOB_ASSIGN": (
        b"\0\0\0\x0b\0\0\0\x11H:vm:1\0resize\0p\0q",
        (b"H:vm:1", b"resize", b"p\0q"),
    ),
    "WORK_STATUS": (b"\0\0\0\x0c\0\0\0\x0bH:vm:1\x003\x0010", (b"H:vm:1", b"3", b"10")),
    "WORK_COMPLETE": (b"\0\0\0\x0d\0\0\0\x08H:vm:1\0r", (b"H:vm:1", b"r")),
    "WORK_FAIL": (b"\0\0\0\x0e\0\0\0\x06H:vm:1", (b"H:vm:1",)),
    "GET_STATUS": (b"\0\0\0\x0f\0\0\0\x06H:vm:1", (b"H:vm:1",)),
    "ECHO_REQ": (b"\0\0\0\x10\0\0\0\x03a\0b", (b"a\0b",)),
    "ECHO_RES": (b"\0\0\0\x11\0\0\0\x03a\0b", (b"a\0b",)),
    "SUBMIT_JOB_BG": (b"\0\0\0\x12\0\0\0\x09resize\0\0p", (b"resize", b"", b"p")),
    "ERROR": (b"\0\0\0\x13\0\0\0\x08CODE\0why", (b"CODE", b"why")),
    "STATUS_RES": (
        b"\0\0\0\x14\0\0\0\x0fH:vm:1\x001\x001\x003\x0010",
        (b"H:vm:1", b"1", b"1", b"3", b"10"),
    ),
    "SUBMIT_JOB_HIGH": (b"\0\0\0\x15\0\0\0\x0bresize\0u1\0p", (b"resize", b"u1", b"p")),
    "SET_CLIENT_ID": (b"\0\0\0\x16\0\0\0\x04host", (b"host",)),
    "CAN_DO_TIMEOUT": (b"\0\0\0\x17\0\0\0\x0bresize\x001500", (b"resize", b"1500")),
    "ALL_YOURS": (b"\0\0\0\x18\0\0\0\0", ()),
    "WORK_EXCEPTION": (b"\0\0\0\x19\0\0\0\x0aH:vm:1\0why", (b"H:vm:1", b"why")),
    "OPTION_REQ": (b"\0\0\0\x1a\0\0\0\x0aexceptions", (b"exceptions",)),
    "OPTION_RES": (b"\0\0\0\x1b\0\0\0\x0aexceptions", (b"exceptions",)),
    "WORK_DATA": (b"\0\0\0\x1c\0\0\0\x08H:vm:1\0d", (b"H:vm:1", b"d")),
    "WORK_WARNING": (b"\0\0\0\x1d\0\0\0\x08H:vm:1\0w", (b"H:vm:1", b"w")),
    "GRAB_JOB_UNIQ": (b"\0\0\0\x1e\0\0\0\0", ()),
    "JOB_ASSIGN_UNIQ": (
        b"\0\0\0\x1f\0\0\0\x12H:vm:1\0resize\0u1\0p",
        (b"H:vm:1", b"resize", b"u1", b"p"),
    ),
    "SUBMIT_JOB_HIGH_BG": (b"\0\0\0\x20\0\0\0\x0bresize\0u1\0p", (b"resize", b"u1", b"p")),
    "SUBMIT_JOB_LOW": (b"\0\0\0\x21\0\0\0\x0bresize\0u1\0p", (b"resize", b"u1", b"p")),
    "SUBMIT_JOB_LOW_BG": (b"\0\0\0\x22\0\0\0\x0bresize\0u1\0p", (b"resize", b"u1", b"p")),
    "SUBMIT_JOB_SCHED": (
        b"\0\0\0\x23\0\0\0\x14resize\0u1\x0030\x004\0\0\x001\0p",
        (b"resize", b"u1", b"30", b"4", b"", b"", b"1", b"p"),
    ),
    "SUBMIT_JOB_EPOCH": (
        b"\0\0\0\x24\0\0\0\x16resize\0u1\x001767225600\0p",
        (b"resize", b"u1", b"1767225600", b"p"),
    ),
    "SUBMIT_REDUCE_JOB": (
        b"\0\0\0\x25\0\0\0\x11resize\0u1\0sum\x000\0p",
        (b"resize", b"u1", b"sum", b"0", b"p"),
    ),
    "SUBMIT_REDUCE_JOB_BACKGROUND": (
        b"\0\0\0\x26\0\0\0\x11resize\0u1\0sum\x000\0p",
        (b"resize", b"u1", b"sum", b"0", b"p"),
    ),
    "GRAB_JOB_ALL": (b"\0\0\0\x27\0\0\0\0", ()),
    "JOB_ASSIGN_ALL": (
        b"\0\0\0\x28\0\0\0\x16H:vm:1\0resize\0u1\0sum\0p",
        (b"H:vm:1", b"resize", b"u1", b"sum", b"p"),
    ),
    "GET_STATUS_UNIQUE": (b"\0\0\0\x29\0\0\0\x02u1", (b"u1",)),
    "STATUS_RES_UNIQUE": (
        b"\0\0\0\x2a\0\0\0\x0du1\x001\x001\x003\x0010\x002",
        (b"u1", b"1", b"1", b"3", b"10", b"2"),
    ),
    "SUBMIT_JOB_OPTIONS": (
        b'\0\0\x1c\x85\0\0\0\x1cresize\0u1\0{"attempts":3}\0p\0q',
        (b"resize", b"u1", b'{"attempts":3}', b"p\0q"),
    ),
    "JOB_ASSIGN_OPTIONS": (
        b'\0\0\x1c\x86\0\0\0\x20H:vm:1\0resize\0u1\0{"attempt":1}\0p',
        (b"H:vm:1", b"resize", b"u1", b'{"attempt":1}', b"p"),
    ),
    "CANCEL_JOB": (b"\0\0\x1c\x87\0\0\0\x06H:vm:1", (b"H:vm:1",)),
    "CANCEL_RES": (b"\0\0\x1c\x88\0\0\0\x08H:vm:1\x001", (b"H:vm:1", b"1")),
    "OPERATE": (b'\0\0\x1c\x89\0\0\0\x0f{"do":"server"}', (b'{"do":"server"}',)),
    "OPERATE_RES": (b'\0\0\x1c\x8a\0\0\0\x0b{"count":1}', (b'{"count":1}',)),
    "WORK_PROGRESS": (
        b"\0\0\x1c\x8b\0\0\0\x13H:vm:1\x003\x0010\0reading",
        (b"H:vm:1", b"3", b"10", b"reading"),
    ),
    "WORK_USAGE": (
        b'\0\0\x1c\x8c\0\0\0\x14H:vm:1\0{"cpu_s":1.5}',
        (b"H:vm:1", b'{"cpu_s":1.5}'),
    ),
    "WORKER_STATE": (b'\0\0\x1c\x8d\0\0\0\x0b{"pid":123}', (b'{"pid":123}',)),
    "WORKER_COMMAND": (b'\0\0\x1c\x8e\0\0\0\x0b{"scale":4}', (b'{"scale":4}',)),
    "WORK_FAILURE": (
        b"\0\0\x1c\x8f\0\0\0\x13H:vm:1\0lost\0SIGSEGV",
        (b"H:vm:1", b"lost", b"SIGSEGV"),
    ),
}


def test_golden_bytes_know_every_packet() -> None:
    assert list(GOLDEN) == list(NUMBERS)
    assert list(NUMBERS.values()) == [*range(1, 43), *range(7301, 7312)]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    number = NUMBERS[name]
    tail, fields = GOLDEN[name]

    assert codec.request(number, *fields) == b"\0REQ" + tail
    assert codec.response(number, *fields) == b"\0RES" + tail
    assert build(REQ, number, fields) == b"\0REQ" + tail
    assert build(RES, number, fields) == b"\0RES" + tail
    assert codec.split(number, tail[8:]) == list(fields)


@pytest.mark.parametrize("magic", [REQ, RES])
@pytest.mark.parametrize("name", GOLDEN)
def test_reference_reads_golden_bytes(name: str, magic: bytes) -> None:
    number = NUMBERS[name]
    tail, fields = GOLDEN[name]

    [packet] = read_stream(magic + tail)

    assert isinstance(packet, ReadPacket)
    assert (packet.number, packet.magic) == (number, magic)
    assert packet.fields == dict(zip(PACKETS[number].fields, fields, strict=True))


@pytest.mark.parametrize("size_bytes", [0, 1, 989, 990, 991, 992, 1023, 1024, 1025, 70_000])
def test_what_is_written_out_is_the_plain_response_at_every_size(size_bytes: int) -> None:
    data, handle = b"d" * size_bytes, b"H:vm:1"
    response = codec.response
    assert codec.echo_res(data) == response(NUMBERS["ECHO_RES"], data)
    assert codec.job_created(data) == response(NUMBERS["JOB_CREATED"], data)
    assert codec.work(NUMBERS["WORK_DATA"], handle, data) == response(
        NUMBERS["WORK_DATA"], handle, data
    )
    assert codec.job_assign_uniq(handle, b"resize", b"u", data) == response(
        NUMBERS["JOB_ASSIGN_UNIQ"], handle, b"resize", b"u", data
    )


def test_replies_that_are_written_out() -> None:
    number = NUMBERS["WORK_DATA"]

    assert b"\0RES" + GOLDEN["NOOP"][0] == codec.NOOP_PACKET
    assert b"\0RES" + GOLDEN["NO_JOB"][0] == codec.NO_JOB_PACKET
    assert codec.job_created(b"H:vm:1") == b"\0RES" + GOLDEN["JOB_CREATED"][0]
    assert codec.echo_res(b"a\0b") == b"\0RES" + GOLDEN["ECHO_RES"][0]
    assert codec.work(number, b"H:vm:1", b"d") == b"\0RES" + GOLDEN["WORK_DATA"][0]
    assert codec.error(b"CODE", "why") == b"\0RES" + GOLDEN["ERROR"][0]


@settings(deadline=None)
@given(st.sampled_from(list(PACKETS)), st.binary(max_size=60))
@example(NUMBERS["SUBMIT_JOB"], b"f\0u")
@example(NUMBERS["GRAB_JOB"], b"junk")
def test_split_agrees_with_reference(number: int, body: bytes) -> None:
    stream = REQ + number.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body
    [packet] = read_stream(stream)
    assert isinstance(packet, ReadPacket)
    if packet.malformed is None:
        assert codec.split(number, body) == list(packet.fields.values())
    else:
        with pytest.raises(MalformedPacket):
            codec.split(number, body)


@settings(deadline=None)
@given(st.sampled_from(list(PACKETS)), st.data())
def test_what_is_sent_is_what_is_split(number: int, data: st.DataObject) -> None:
    names = PACKETS[number].fields
    fields = [
        data.draw(st.binary(max_size=20).map(lambda value: value.replace(b"\0", b"")), name)
        for name in names[:-1]
    ] + [data.draw(st.binary(max_size=20), name) for name in names[-1:]]

    sent = codec.request(number, *fields)

    assert sent == build(REQ, number, fields)
    assert codec.split(number, sent[12:]) == fields


def test_the_sentence_about_missing_fields() -> None:
    with pytest.raises(MalformedPacket) as caught:
        codec.split(NUMBERS["SUBMIT_JOB"], b"resize\0u1")

    assert str(caught.value) == (
        "SUBMIT_JOB needs 3 arguments separated by NUL (function, unique, payload); this one has 2"
    )


@pytest.mark.parametrize("name", ["WORK_DATA", "WORK_WARNING", "WORK_COMPLETE", "WORK_EXCEPTION"])
def test_a_bare_handle_is_enough_for_what_a_worker_reports(name: str) -> None:
    assert codec.split(NUMBERS[name], b"H:vm:1") == [b"H:vm:1", b""]


def test_build_refuses_what_cannot_be_read_back() -> None:
    submit = NUMBERS["SUBMIT_JOB"]
    with pytest.raises(ValueError, match="SUBMIT_JOB has 3 fields, not 2"):
        build(REQ, submit, [b"f", b"u"])
    with pytest.raises(ValueError, match="only the last field"):
        build(REQ, submit, [b"f\0", b"u", b"p"])


@pytest.mark.parametrize(
    ("name", "trimmed"),
    [
        (b"resize\0", b"resize"),
        (b"resize", b"resize"),
        (b"a\0\0", b"a\0"),
        (b"\0", b""),
        (b"", b""),
    ],
)
def test_trimmed(name: bytes, trimmed: bytes) -> None:
    assert codec.trimmed(name) == trimmed


NAMES = st.binary(max_size=10).map(codec.decoded)


@given(st.dictionaries(NAMES, NAMES | st.integers() | st.booleans() | st.none(), max_size=4))
def test_what_is_packed_is_what_is_unpacked(values: dict[str, object]) -> None:
    text = codec.packed(values)
    assert text.isascii()
    assert b"\0" not in text, "it stands in front of another field"
    assert codec.unpacked("it", text) == values


def test_packed() -> None:
    assert codec.packed({"key": codec.decoded(b"\xff"), "n": 0.5}) == b'{"key":"\\udcff","n":0.5}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.packed({"due_s": float("nan")})
    with pytest.raises(TypeError, match="bytes is not JSON"):
        codec.packed({"key": b"k"})


def test_unpacked_bytes_that_are_no_utf8() -> None:
    assert codec.unpacked("it", b'{"key":"\xff"}') == {"key": "\udcff"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is no JSON: Expecting value"),
        (b"{", "it is no JSON"),
        (b'{"a":NaN}', "it is no JSON: NaN is no number"),
        (b"{}{}", "it is no JSON: Extra data"),
        (b"[" * 100_000, "it is no JSON: maximum recursion"),
        (b"[1]", "it is no JSON object, but b'[1]'"),
    ],
    ids=["empty", "cut off", "NaN", "two", "deep", "a list"],
)
def test_unpacked_wants_an_object(text: bytes, why: str) -> None:
    with pytest.raises(MalformedPacket, match=re.escape(why)):
        codec.unpacked("it", text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"12abc", 12),
        (b"abc", 0),
        (b"-3", -3),
        (b"+3", 3),
        (b"+-3", 0),
        (b" \t\n42", 42),
        (b"", 0),
        (b"-", 0),
        (b"7\x008", 7),
        (b"1.9", 1),
        (b"007", 7),
        (b"\xd9\xa3", 0),  # an Arabic three is not a digit
        (b"9" * 20, 99_999_999_999_999_999_999),
        (b"9" * 5000, 99_999_999_999_999_999_999),
    ],
)
def test_leading_integer(text: bytes, number: int) -> None:
    assert codec.leading_integer(text) == number


_strtol = ctypes.CDLL(None).strtol
_strtol.restype = ctypes.c_long
_strtol.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]


@settings(deadline=None)
@given(st.text("0123456789+- \tx\0", max_size=17).map(str.encode) | st.binary(max_size=17))
def test_leading_integer_is_strtol(text: bytes) -> None:
    assert codec.leading_integer(text) == _strtol(text, None, 10)
