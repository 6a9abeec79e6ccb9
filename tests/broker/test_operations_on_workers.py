"""What operators ask about workers, and tell them."""

import json
from typing import Any

import pytest

from gearpy.broker.answers import BYTES_MAX
from gearpy.broker.reports import REPORT_BYTES_MAX
from gearpy.errors import ArgumentTooLarge, WorkerNotFound
from gearpy.protocol import packets as p
from tests.broker.shop import NOW_S, Shop
from tests.broker.test_broker import Wire


class Floor:
    """A shop and the connections of its workers."""

    def __init__(self) -> None:
        self.shop = Shop()
        self._fds = 0

    def connect(self, *functions: bytes, **state: Any) -> Wire:
        self._fds += 1
        wire = Wire(self.shop.broker, self._fds)
        for function in functions:
            wire.send(p.CAN_DO, function)
        if state:
            say(wire, **state)
        return wire

    def workers(self, **fields: Any) -> list[dict[str, Any]]:
        rows = self.shop.ask("workers", **fields)["workers"]
        assert isinstance(rows, list)
        return rows

    def connections(self, **fields: Any) -> list[int]:
        return [row["connection"] for row in self.workers(**fields)]


def say(wire: Wire, **state: Any) -> None:
    wire.send(p.WORKER_STATE, json.dumps(state).encode())


def test_a_worker_from_its_first_word_to_its_last() -> None:
    floor = Floor()
    shop = floor.shop
    wire = floor.connect()
    assert shop.ask("workers") == {"now_s": NOW_S, "workers": [], "next": None}

    wire.send(p.SET_CLIENT_ID, b"box\xff")
    wire.send(p.CAN_DO, b"g\xff")
    wire.send(p.CAN_DO, b"f")
    row = {
        "connection": 1,
        "address": "127.0.0.1",
        "peer": "127.0.0.1:1",
        "client_id": "box\udcff",
        "worker": "box\udcff (127.0.0.1:1)",
        "functions": ["f", "g\udcff"],
        "running": [],
        "state": None,
        "state_age_s": None,
        "missed": False,
    }
    assert floor.workers() == [row]

    first, second = shop.submit(b"f"), shop.submit(b"g\xff")
    wire.send(p.GRAB_JOB)
    shop.later(5)
    wire.send(p.GRAB_JOB)
    running = [
        {"handle": first, "function": "f", "since_s": NOW_S},
        {"handle": second, "function": "g\udcff", "since_s": NOW_S + 5},
    ]
    assert floor.workers() == [row | {"running": running}]

    say(wire, pid=7, interval_s=10)
    shop.later(30)
    (row,) = floor.workers()
    assert (row["state"], row["state_age_s"], row["missed"]) == (
        {"pid": 7, "interval_s": 10},
        30,
        False,
    )
    shop.later(1)
    assert floor.workers()[0]["missed"] is True
    say(wire, jobs_done=1)
    (row,) = floor.workers()
    assert (row["state"], row["state_age_s"], row["missed"]) == ({"jobs_done": 1}, 0, False)

    wire.send(p.RESET_ABILITIES)
    wire.send(p.WORK_COMPLETE, first.encode(), b"")
    assert [job["handle"] for job in floor.workers()[0]["running"]] == [second]
    wire.session.lost()
    assert floor.workers() == []


def test_who_is_a_worker() -> None:
    floor = Floor()
    floor.connect()
    floor.connect(b"f")
    floor.connect(pid=1)
    holder = floor.connect(b"g")
    floor.shop.submit(b"g")
    holder.send(p.GRAB_JOB)
    holder.send(p.CANT_DO, b"g")
    former = floor.connect(b"f")
    former.send(p.CANT_DO, b"f")
    former.send(p.PRE_SLEEP)
    assert floor.connections() == [2, 3, 4]


def test_what_was_said_before_stays_where_the_next_makes_no_sense() -> None:
    floor = Floor()
    wire = floor.connect(pid=1)
    say(wire, pid="one")
    ((number, body),) = wire.read()
    assert number == p.ERROR
    assert body.startswith(b"INVALID_ARGUMENT\0pid is 'one'; it must be a whole number")
    assert wire.session.closing is None
    assert floor.workers()[0]["state"] == {"pid": 1}


def test_workers_by_group() -> None:
    floor = Floor()
    for group in ("mail", "mail-2", "größe", None):
        floor.connect(b"f", group=group)
    floor.connect(b"f")
    assert floor.connections(group="mail") == [1]
    assert floor.connections(group="mail*") == [1, 2]
    assert floor.connections(group="gr*e") == [3]
    assert floor.connections(group="*") == [1, 2, 3, 4]
    assert floor.connections() == [1, 2, 3, 4, 5]
    assert floor.connections(group="nobody") == []


def test_workers_slice_by_slice_while_others_leave() -> None:
    floor = Floor()
    wires = [floor.connect(b"f") for _ in range(10)]
    answer = floor.shop.ask("workers", limit=4)
    assert [row["connection"] for row in answer["workers"]] == [1, 2, 3, 4]
    for wire in (wires[0], wires[2], wires[4]):
        wire.session.lost()
    floor.connect(b"f")
    answer = floor.shop.ask("workers", limit=4, offset=answer["next"])
    assert [row["connection"] for row in answer["workers"]] == [6, 7, 8, 9]
    answer = floor.shop.ask("workers", limit=4, offset=answer["next"])
    assert ([row["connection"] for row in answer["workers"]], answer["next"]) == ([10, 11], None)


def test_an_answer_about_workers_is_bounded() -> None:
    floor = Floor()
    filling = "x" * 16_000
    for _ in range(100):
        floor.connect(group_state={"filling": filling})
    met, offset, slices = [], 0, 0
    while offset is not None:
        answer = floor.shop.ask("workers", offset=offset)
        assert len(json.dumps(answer)) < BYTES_MAX * 1.2
        met += [row["connection"] for row in answer["workers"]]
        offset = answer["next"]
        slices += 1
    assert met == list(range(1, 101))
    assert slices == 2
    many = Floor()
    for number in range(3):
        many.connect(*(b"%d-%d-%b" % (number, name, b"x" * 240) for name in range(3000)))
    answer = many.shop.ask("workers")
    assert (len(answer["workers"]), answer["next"]) == (2, 3)


def supervisor(floor: Floor, group: str | None, **state: Any) -> Wire:
    wire = floor.connect(group=group, **{"supervisor": True, **state})
    wire.send(p.OPTION_REQ, b"gearpy")
    assert [number for number, _ in wire.read()] == [p.OPTION_RES]
    return wire


def told(floor: Floor, group: str, **command: Any) -> int:
    answer = floor.shop.ask("tell-workers", group=group, command=command)
    assert list(answer) == ["told"]
    return int(answer["told"])


def test_supervisors_are_told() -> None:
    floor = Floor()
    mail, second, thumbs = (supervisor(floor, name) for name in ("mail", "mail", "thumbs"))
    nameless = supervisor(floor, None)

    def heard() -> list[list[bytes]]:
        packets = [wire.read() for wire in (mail, second, thumbs, nameless)]
        assert {number for heard in packets for number, _ in heard} <= {p.WORKER_COMMAND}
        return [[body for _, body in heard] for heard in packets]

    assert told(floor, "mail", scale=4, why="größe") == 2
    command = b'{"scale":4,"why":"gr\\u00f6\\u00dfe"}'
    assert heard() == [[command], [command], [], []]
    assert told(floor, "[mt]*", stop=True) == 3
    assert heard() == [[b'{"stop":true}']] * 3 + [[]]
    assert told(floor, "*") == 4
    assert heard() == [[b"{}"]] * 4
    assert told(floor, "Mail", scale=4) == 0
    assert heard() == [[]] * 4


def test_who_is_not_told() -> None:
    floor = Floor()
    never_asked = floor.connect(group="mail", supervisor=True)
    worker = supervisor(floor, "mail", supervisor=False)
    former = supervisor(floor, "mail")
    say(former, group="mail")
    gone = supervisor(floor, "mail")
    gone.session.lost()
    closing = supervisor(floor, "mail")
    closing.send(p.WORK_USAGE, b"a field is missing")
    closing.read()
    assert closing.session.closing is not None
    silent = floor.connect()
    silent.send(p.OPTION_REQ, b"gearpy")
    silent.read()
    assert told(floor, "*", scale=4) == 0
    for wire in (never_asked, worker, former, gone, closing, silent):
        assert wire.read() == []


def test_a_command_has_a_size() -> None:
    floor = Floor()
    room = REPORT_BYTES_MAX - len('{"x":""}')
    wire = supervisor(floor, "mail")
    assert told(floor, "mail", x="y" * room) == 1
    ((number, body),) = wire.read()
    assert (number, len(body)) == (p.WORKER_COMMAND, REPORT_BYTES_MAX)
    with pytest.raises(ArgumentTooLarge, match="a command is told in at most 16,384 bytes"):
        told(floor, "mail", x="y" * (room + 1))
    assert wire.read() == []


def test_a_worker_that_is_dropped_gives_its_jobs_back_at_once() -> None:
    floor = Floor()
    shop = floor.shop
    first, second = floor.connect(b"f"), floor.connect(b"f")
    handle = shop.submit()
    first.send(p.GRAB_JOB)
    first.read()
    assert shop.ask("drop-worker", peer="127.0.0.1:1") == {"peer": "127.0.0.1:1"}
    assert floor.connections() == [2]
    assert shop.ask("job", handle=handle)["job"]["state"] != "running"
    ((number, body),) = first.read()
    assert (number, body.split(b"\0")[0]) == (p.ERROR, b"WORKER_DROPPED")
    assert first.session.closing is not None
    first.send(p.WORK_COMPLETE, handle.encode(), b"late")
    assert shop.ask("job", handle=handle)["job"]["state"] != "completed"
    first.session.lost()
    assert second.session.closing is None


def test_only_a_worker_that_is_there_is_dropped() -> None:
    floor = Floor()
    client = floor.connect()
    for peer in ("127.0.0.1:1", "127.0.0.1:9", "127.0.0.1"):
        with pytest.raises(WorkerNotFound, match="no worker at"):
            floor.shop.ask("drop-worker", peer=peer)
    assert client.session.closing is None
