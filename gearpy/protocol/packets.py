"""THE table of packets: number, name, who sends it, its fields, what comes back.

The codec, the sessions, the reference, the conversations of the tests and the table in
``protocol.md`` all read it.  Numbers and names are those of the Gearman protocol.
"""

from dataclasses import dataclass
from enum import Flag, auto
from typing import Final

HEADER_BYTES: Final = 12
REQ: Final = b"\0REQ"
RES: Final = b"\0RES"

# What the parser reports beside the numbers of the table.
TEXT: Final = -1  # a line of the text protocol
WRONG_MAGIC: Final = -2  # a well-formed packet that travels in the wrong direction
SKIPPED: Final = -3  # the beginning of one beyond the limit, of which the rest is left out

CAN_DO: Final = 1
CANT_DO: Final = 2
RESET_ABILITIES: Final = 3
PRE_SLEEP: Final = 4
UNUSED: Final = 5
NOOP: Final = 6
SUBMIT_JOB: Final = 7
JOB_CREATED: Final = 8
GRAB_JOB: Final = 9
NO_JOB: Final = 10
JOB_ASSIGN: Final = 11
WORK_STATUS: Final = 12
WORK_COMPLETE: Final = 13
WORK_FAIL: Final = 14
GET_STATUS: Final = 15
ECHO_REQ: Final = 16
ECHO_RES: Final = 17
SUBMIT_JOB_BG: Final = 18
ERROR: Final = 19
STATUS_RES: Final = 20
SUBMIT_JOB_HIGH: Final = 21
SET_CLIENT_ID: Final = 22
CAN_DO_TIMEOUT: Final = 23
ALL_YOURS: Final = 24
WORK_EXCEPTION: Final = 25
OPTION_REQ: Final = 26
OPTION_RES: Final = 27
WORK_DATA: Final = 28
WORK_WARNING: Final = 29
GRAB_JOB_UNIQ: Final = 30
JOB_ASSIGN_UNIQ: Final = 31
SUBMIT_JOB_HIGH_BG: Final = 32
SUBMIT_JOB_LOW: Final = 33
SUBMIT_JOB_LOW_BG: Final = 34
SUBMIT_JOB_SCHED: Final = 35
SUBMIT_JOB_EPOCH: Final = 36
SUBMIT_REDUCE_JOB: Final = 37
SUBMIT_REDUCE_JOB_BACKGROUND: Final = 38
GRAB_JOB_ALL: Final = 39
JOB_ASSIGN_ALL: Final = 40
GET_STATUS_UNIQUE: Final = 41
STATUS_RES_UNIQUE: Final = 42

# gearpy's own.  A connection asks for them with OPTION_REQ "gearpy".  They are far from what the
# standard uses, and from what it may use next.
SUBMIT_JOB_OPTIONS: Final = 7301
JOB_ASSIGN_OPTIONS: Final = 7302
CANCEL_JOB: Final = 7303
CANCEL_RES: Final = 7304
OPERATE: Final = 7305
OPERATE_RES: Final = 7306
WORK_PROGRESS: Final = 7307
WORK_USAGE: Final = 7308
WORKER_STATE: Final = 7309
WORKER_COMMAND: Final = 7310
WORK_FAILURE: Final = 7311


class Sender(Flag):
    """Who sends a packet.  What only SERVER sends is refused when it arrives there."""

    CLIENT = auto()
    WORKER = auto()
    SERVER = auto()


@dataclass(frozen=True, slots=True)
class PacketType:
    """One row of the table.

    ``fields`` are separated by NUL.  The last one runs to the end of the packet; if ``payload`` is
    true it may hold anything, NULs included, otherwise it is a name or a number.  If ``optional``
    is true it may be left out together with its NUL, and is empty then.
    """

    number: int
    name: str
    senders: Sender
    fields: tuple[str, ...]
    payload: bool
    optional: bool
    answer: str


CLIENT = Sender.CLIENT
WORKER = Sender.WORKER
SERVER = Sender.SERVER
ANYONE = Sender.CLIENT | Sender.WORKER

PACKETS: Final[dict[int, PacketType]] = {}


def _packet(number: int, name: str, senders: Sender, fields: str, answer: str = "-") -> None:
    names = tuple(fields.replace("*", "").replace("?", "").split())
    PACKETS[number] = PacketType(number, name, senders, names, "*" in fields, "?" in fields, answer)


_CREATED = "JOB_CREATED, or ERROR"
_CRON = "function unique minute hour day_of_month month day_of_week *payload"

# A star marks a last field that may hold anything; a question mark one that may be left out:
# Perl's worker sends a bare handle when it has nothing to say.
_packet(CAN_DO, "CAN_DO", WORKER, "function")
_packet(CANT_DO, "CANT_DO", WORKER, "function")
_packet(RESET_ABILITIES, "RESET_ABILITIES", WORKER, "")
_packet(PRE_SLEEP, "PRE_SLEEP", WORKER, "", "NOOP, now or once a job waits")
_packet(UNUSED, "UNUSED", SERVER, "")
_packet(NOOP, "NOOP", SERVER, "")
_packet(SUBMIT_JOB, "SUBMIT_JOB", CLIENT, "function unique *payload", _CREATED)
_packet(JOB_CREATED, "JOB_CREATED", SERVER, "handle")
_packet(GRAB_JOB, "GRAB_JOB", WORKER, "", "JOB_ASSIGN, or NO_JOB")
_packet(NO_JOB, "NO_JOB", SERVER, "")
_packet(JOB_ASSIGN, "JOB_ASSIGN", SERVER, "handle function *payload")
_packet(WORK_STATUS, "WORK_STATUS", WORKER | SERVER, "handle numerator denominator")
_packet(WORK_COMPLETE, "WORK_COMPLETE", WORKER | SERVER, "handle *?result")
_packet(WORK_FAIL, "WORK_FAIL", WORKER | SERVER, "handle")
_packet(GET_STATUS, "GET_STATUS", CLIENT, "handle", "STATUS_RES")
_packet(ECHO_REQ, "ECHO_REQ", ANYONE, "*payload", "ECHO_RES")
_packet(ECHO_RES, "ECHO_RES", SERVER, "*payload")
_packet(SUBMIT_JOB_BG, "SUBMIT_JOB_BG", CLIENT, "function unique *payload", _CREATED)
_packet(ERROR, "ERROR", SERVER, "code *text")
_packet(STATUS_RES, "STATUS_RES", SERVER, "handle known running numerator denominator")
_packet(SUBMIT_JOB_HIGH, "SUBMIT_JOB_HIGH", CLIENT, "function unique *payload", _CREATED)
_packet(SET_CLIENT_ID, "SET_CLIENT_ID", ANYONE, "client_id")
_packet(CAN_DO_TIMEOUT, "CAN_DO_TIMEOUT", WORKER, "function timeout")
_packet(ALL_YOURS, "ALL_YOURS", WORKER, "")
_packet(WORK_EXCEPTION, "WORK_EXCEPTION", WORKER | SERVER, "handle *?exception")
_packet(OPTION_REQ, "OPTION_REQ", ANYONE, "option", "OPTION_RES, or ERROR")
_packet(OPTION_RES, "OPTION_RES", SERVER, "option")
_packet(WORK_DATA, "WORK_DATA", WORKER | SERVER, "handle *?data")
_packet(WORK_WARNING, "WORK_WARNING", WORKER | SERVER, "handle *?warning")
_packet(GRAB_JOB_UNIQ, "GRAB_JOB_UNIQ", WORKER, "", "JOB_ASSIGN_UNIQ, or NO_JOB")
_packet(JOB_ASSIGN_UNIQ, "JOB_ASSIGN_UNIQ", SERVER, "handle function unique *payload")
_packet(SUBMIT_JOB_HIGH_BG, "SUBMIT_JOB_HIGH_BG", CLIENT, "function unique *payload", _CREATED)
_packet(SUBMIT_JOB_LOW, "SUBMIT_JOB_LOW", CLIENT, "function unique *payload", _CREATED)
_packet(SUBMIT_JOB_LOW_BG, "SUBMIT_JOB_LOW_BG", CLIENT, "function unique *payload", _CREATED)
_packet(SUBMIT_JOB_SCHED, "SUBMIT_JOB_SCHED", CLIENT, _CRON, _CREATED)
_packet(SUBMIT_JOB_EPOCH, "SUBMIT_JOB_EPOCH", CLIENT, "function unique due *payload", _CREATED)
_packet(
    SUBMIT_REDUCE_JOB,
    "SUBMIT_REDUCE_JOB",
    CLIENT,
    "function unique reducer aggregate *payload",
    _CREATED,
)
_packet(
    SUBMIT_REDUCE_JOB_BACKGROUND,
    "SUBMIT_REDUCE_JOB_BACKGROUND",
    CLIENT,
    "function unique reducer aggregate *payload",
    _CREATED,
)
_packet(
    GRAB_JOB_ALL,
    "GRAB_JOB_ALL",
    WORKER,
    "",
    "JOB_ASSIGN_ALL (the job has a reducer), JOB_ASSIGN_UNIQ, or NO_JOB",
)
_packet(JOB_ASSIGN_ALL, "JOB_ASSIGN_ALL", SERVER, "handle function unique reducer *payload")
_packet(GET_STATUS_UNIQUE, "GET_STATUS_UNIQUE", CLIENT, "unique", "STATUS_RES_UNIQUE")
_packet(
    STATUS_RES_UNIQUE,
    "STATUS_RES_UNIQUE",
    SERVER,
    "unique known running numerator denominator waiting",
)
_packet(
    SUBMIT_JOB_OPTIONS, "SUBMIT_JOB_OPTIONS", CLIENT, "function unique options *payload", _CREATED
)
_packet(JOB_ASSIGN_OPTIONS, "JOB_ASSIGN_OPTIONS", SERVER, "handle function unique options *payload")
_packet(CANCEL_JOB, "CANCEL_JOB", CLIENT | SERVER, "handle", "CANCEL_RES, or ERROR")
_packet(CANCEL_RES, "CANCEL_RES", SERVER, "handle cancelled")
_packet(OPERATE, "OPERATE", CLIENT, "*request", "OPERATE_RES, or ERROR")
_packet(OPERATE_RES, "OPERATE_RES", SERVER, "*answer")
_packet(WORK_PROGRESS, "WORK_PROGRESS", WORKER | SERVER, "handle numerator denominator *text")
_packet(WORK_USAGE, "WORK_USAGE", WORKER, "handle *usage")
_packet(WORKER_STATE, "WORKER_STATE", WORKER, "*state")
_packet(WORKER_COMMAND, "WORKER_COMMAND", SERVER, "*command")
_packet(WORK_FAILURE, "WORK_FAILURE", WORKER, "handle cause *text")

NUMBERS: Final[dict[str, int]] = {packet.name: number for number, packet in PACKETS.items()}
