"""Every file in ``conversations/`` goes as it says; and a file that says otherwise is found out.

Those in ``conversations/recorded/`` ask what gearmand 1.1.20 was once asked on the wire.  The
answers are its own, byte for byte, but for handles, version and process id, and but for what a
line ``# differs:`` gives a reason for; it also says what gearmand answers.
"""

import re
from pathlib import Path

import pytest

from .conversation import Failed, play

FOLDER = Path(__file__).parent / "conversations"
FILES = sorted(FOLDER.rglob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_conversation(file: Path) -> None:
    try:
        play(file.read_text(), str(file))
    except Failed as failed:
        pytest.fail(str(failed), pytrace=False)


def test_every_conversation_says_what_it_shows() -> None:
    assert len(FILES) > 100
    for file in FILES:
        first, *rest = file.read_text().splitlines()
        assert re.fullmatch(r"# \S.*\.", first), file
        assert rest, file


SUBMITTED = r"""
client > SUBMIT_JOB_BG resize u1 photo
client < JOB_CREATED $h
"""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("c > ECHO_REQ a\nc < ECHO_RES b", r"file:2: expected\n    c < ECHO_RES b\n.*\n.*'a'"),
        ("c > ECHO_REQ a\nc < NOOP", r"file:2: expected\n    c < NOOP\n.*\n    ECHO_RES 'a'"),
        ("c > ECHO_REQ a\nc < ECHO_RES a b", r"file:2: .*"),
        ("c > ECHO_REQ a\nc < TEXT 'a'", r"file:2: .*"),
        ("c > TEXT 'version\\n'\nc < TEXT 'OK 1.2.4\\n'", r"file:2: .*\n.*\n.*\n.*'OK 1.2.3\\n'"),
        ("c > TEXT 'version\\n'\nc < NOOP", r"file:2: .*"),
        ("c > TEXT 'version\\n'\nc < TEXT 'OK '", r"file: end: .*c hears\n    TEXT '1.2.3\\n'"),
        ("c < NOOP", r"file:1: expected\n    c < NOOP\nbut what came is\n    nothing"),
        ("c > ECHO_REQ a\nc < nothing", r"file:2: .*"),
        ("c > ECHO_REQ a", r"file: end: before this, c hears\n    ECHO_RES 'a'"),
        ("c > ECHO_REQ a\nd > ECHO_REQ b", r"file:2: before this, c hears\n    ECHO_RES 'a'"),
        ("c > ECHO_REQ a\nclock + 1", r"file:2: before this, c hears.*"),
        ("c > ECHO_REQ a\nc ! leaves", r"file:2: before this, c hears.*"),
        ("c > ECHO_REQ\nc < ECHO_RES ''\nc < closed", r"file:3: .*\n    c < closed\n.*"),
        ("c > 99\nc < ERROR INVALID_COMMAND 'there is no packet type 99'", r"file: end: .*closed"),
        (SUBMITTED + "client < JOB_CREATED $h", r"file:4: .*where\n    \$h is b'H:localhost:1'"),
        (
            SUBMITTED + "client > SUBMIT_JOB_BG resize u1 photo\nclient < JOB_CREATED $other",
            r"file:5: expected\n    client < JOB_CREATED \$other.*",
        ),
        (
            SUBMITTED + "client > SUBMIT_JOB_BG resize u2 photo\nclient < JOB_CREATED $h",
            r"file:5: expected\n    client < JOB_CREATED \$h.*",
        ),
        ("broker durable=true\nc > SUBMIT_JOB_BG f '' ''", r"file: end: .*c still wait.*"),
        (
            "broker durable=true\nc > SUBMIT_JOB_BG f '' ''\ngate open\nc < JOB_CREATED $h",
            r"file: end: before this, the gate wrote\n    'PUT' 'H:localhost:1' 'f' '' ''",
        ),
        (
            "broker durable=true\nc > SUBMIT_JOB_BG f '' ''\ngate open\ngate < DONE $h",
            r"file:4: expected\n    gate < DONE \$h\nbut the gate wrote\n    'PUT' .*",
        ),
        ("statistics wakes=1", r"file:1: expected wakes=1, not 0"),
        ("statistics florp=1", r"file:1: expected florp=1, not None"),
        ("c > ECHO_REQ\nc < ECHO_RES ''\nbroker strict=true", r"file:3: the broker is already .*"),
        ("broker florp=1", r"file:1: a broker has no option florp"),
        ("c > FLORP", r"file:1: there is no packet FLORP"),
        ("c > GET_STATUS $h", r"file:1: nobody has heard of \$h yet"),
        ("c > ECHO_REQ 'no end", r"file:1: these are no words:.*'no end"),
        ("c says ECHO_REQ", r"file:1: nobody understands this line"),
        ("c ! leaves\nc < nothing", r"file:2: c is gone"),
    ],
)
def test_a_conversation_that_goes_otherwise_fails(text: str, complaint: str) -> None:
    with pytest.raises(Failed) as failed:
        play(text, "file")
    assert re.match(complaint, str(failed.value), re.DOTALL), str(failed.value)
