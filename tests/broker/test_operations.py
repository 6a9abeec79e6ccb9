"""What operators ask for, on a broker without I/O: the server, functions and policies."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from gearpy.broker.broker import Broker, Facts
from gearpy.broker.operations import REQUEST_BYTES_MAX, VERBS
from gearpy.engine.policy import Policy, read_policy
from gearpy.engine.policy_book import PolicyBook
from gearpy.errors import ArgumentTooLarge, InvalidArgument, JobNotFound
from gearpy.protocol import packets as p
from tests.broker.shop import ALL_STATES, KEPT, NOW_S, Shop
from tests.broker.test_broker import Wire

# ---- over a connection


def test_requests_and_answers_travel_in_packets() -> None:
    shop = Shop()
    wire = Wire(shop.broker)
    handle = shop.submit()

    wire.send(p.OPERATE, b'{"do": "cancel", "handle": "%b"}' % handle.encode())
    wire.send(p.OPERATE, b'{"do": "cancel", "handle": "%b"}' % handle.encode())
    wire.send(p.OPERATE, b"nonsense")
    wire.send(p.ECHO_REQ, b"alive")

    answer, gone, nonsense, echo = wire.read()
    assert answer == (p.OPERATE_RES, b'{"count":1}')
    assert gone == (
        p.ERROR,
        b"JOB_NOT_FOUND\0there is no job '%b' to cancel: it ended, or it never was"
        % handle.encode(),
    )
    assert nonsense[0] == p.ERROR
    assert nonsense[1].startswith(b"INVALID_ARGUMENT\0the request is no JSON")
    assert echo == (p.ECHO_RES, b"alive")


# ---- what is refused

REFUSED: Final = [
    (b"", "no JSON"),
    (b"[]", "no JSON object"),
    (b'"jobs"', "no JSON object"),
    (b"{" * 60_000, "no JSON"),
    (b'{"do":' + b"[" * 60_000, "no JSON"),
    (b'{"do": "jobs", "limit": NaN}', "NaN"),
    (b'{"do": "jobs", "limit": ' + b"9" * 5000 + b"}", "no JSON"),
    (b"{}", '"do" is one of server, functions, jobs'),
    (b'{"do": null}', '"do" is one of'),
    (b'{"do": ["jobs"]}', "nobody can do ['jobs']"),
    (b'{"do": "erase"}', "nobody can do 'erase'"),
    (b'{"do": "server", "x": 1}', "server has no field 'x'; its fields are: none"),
    (b'{"do": "jobs", "handle": "H:1"}', "jobs has no field 'handle'; its fields are: function"),
    (b'{"do": "jobs", "\\u001b[2J": 1}', "jobs has no field '\\x1b[2J'"),
    (b'{"do": "jobs", "limit": 0}', "limit is 0; it must be a whole number from 1 to 1,000"),
    (b'{"do": "jobs", "limit": 1001}', "limit is 1001"),
    (b'{"do": "jobs", "limit": 1.5}', "limit is 1.5"),
    (b'{"do": "jobs", "limit": true}', "limit is true"),
    (b'{"do": "jobs", "limit": null}', "limit is None"),
    (b'{"do": "jobs", "offset": -1}', "offset is -1"),
    (b'{"do": "jobs", "offset": 1e400}', "offset is inf"),
    (b'{"do": "jobs", "offset": 99999999999999999999}', "offset is 999"),
    (b'{"do": "jobs", "function": ""}', "function is ''; it must be the name of a function"),
    (b'{"do": "jobs", "function": 5}', "function is 5"),
    (b'{"do": "jobs", "function": "\\ud800"}', "can be written as UTF-8"),
    (b'{"do": "jobs", "function": "' + b"f" * 256 + b'"}', "function has 256 bytes"),
    (b'{"do": "jobs", "states": "dead"}', "states is 'dead'; it must be a list of some of queued"),
    (b'{"do": "jobs", "states": []}', "states is []"),
    (b'{"do": "jobs", "states": ["asleep"]}', "states holds 'asleep'"),
    (b'{"do": "jobs", "states": [["dead"]]}', "states holds ['dead']"),
    (b'{"do": "jobs", "older_than_s": -1}', "older_than_s is -1; it must be a number of seconds"),
    (b'{"do": "jobs", "younger_than_s": "7d"}', "younger_than_s is '7d'"),
    (b'{"do": "count", "limit": 5}', "count has no field 'limit'"),
    (b'{"do": "job"}', "job needs the field handle"),
    (b'{"do": "job", "handle": ""}', "handle is ''; it must be a job's handle"),
    (b'{"do": "job", "handle": "' + b"H" * 64 + b'"}', "handle has 64 bytes"),
    (
        b'{"do": "workers", "function": "f"}',
        "workers has no field 'function'; its fields are: group",
    ),
    (b'{"do": "workers", "group": ""}', "group is ''; it must be the name of a group"),
    (b'{"do": "workers", "group": "' + b"g" * 256 + b'"}', "group has 256 bytes"),
    (b'{"do": "tell-workers", "command": {}}', "tell-workers needs the field group"),
    (b'{"do": "tell-workers", "group": "g"}', "tell-workers needs the field command"),
    (b'{"do": "tell-workers", "group": "g", "command": null}', "command is None; it must be an"),
    (
        b'{"do": "tell-workers", "group": "g", "command": [1]}',
        "command is [1]; it must be an object",
    ),
    (b'{"do": "tell-workers", "group": "g", "command": {"x": 1e400}}', "without infinite numbers"),
    (
        b'{"do": "tell-workers", "group": "g", "command": {"x": %b}}' % (b"[" * 16 + b"]" * 16),
        "command is nested more than 16 deep",
    ),
    (b'{"do": "peek"}', "peek needs the field function"),
    (b'{"do": "cancel"}', "cancel needs to know which jobs: give some of handle, function, states"),
    (b'{"do": "purge", "limit": 5}', "purge needs to know which jobs"),
    (b'{"do": "retry", "offset": 0}', "retry needs to know which jobs"),
    (b'{"do": "cancel", "handle": null}', "handle is None"),
    (b'{"do": "cancel", "handle": "H:1", "limit": 1}', "cancel is given a handle, which says all"),
    (b'{"do": "cancel", "states": ["dead"]}', "states holds 'dead'; it must be a list of some of"),
    (b'{"do": "retry", "states": ["completed"]}', "states holds 'completed'"),
    (b'{"do": "retry", "states": ["running"]}', "states holds 'running'"),
    (b'{"do": "purge", "states": ["queued"]}', "states holds 'queued'"),
    (b'{"do": "job", "handle": "H:1", "payloads": 0}', "payloads is 0; it must be true or false"),
    (b'{"do": "jobs", "order": 1}', "order is 1; it must be one of oldest, newest"),
    (b'{"do": "pause"}', "pause needs the field function"),
    (b'{"do": "resume", "function": "a\\nb"}', "control characters"),
    (b'{"do": "drain", "handle": "H:1"}', "drain has no field 'handle'"),
    (b'{"do": "policies", "function": "f"}', "policies has no field 'function'"),
    (b'{"do": "policy"}', "policy needs the field function"),
    (b'{"do": "set-policy", "function": "f"}', "set-policy needs the field policy"),
    (b'{"do": "set-policy", "policy": null}', "set-policy needs the field function"),
    (b'{"do": "set-policy", "function": "f", "policy": 5}', "a policy must be a table"),
    (
        b'{"do": "set-policy", "function": "f", "policy": {"attempts": 0}}',
        "attempts is 0; it must be a whole number from 1",
    ),
    (b'{"do": "set-policy", "function": "f", "policy": {"x": 0}}', "a policy has no field 'x'"),
    (b'{"do": "set-policy", "function": "a\\nb", "policy": {}}', "control characters"),
]


@pytest.mark.parametrize(("request_", "words"), REFUSED, ids=lambda each: repr(each)[:40])
def test_refused(request_: bytes, words: str) -> None:
    shop = Shop()
    before = (shop.engine.statistics(), list(shop.engine.functions.policies.items()))
    with pytest.raises(InvalidArgument) as refused:
        shop.broker.operations.answer(request_, "ann")
    sentence = str(refused.value)
    assert words in sentence
    assert sentence.isprintable()
    assert len(sentence) < 500
    assert (shop.engine.statistics(), list(shop.engine.functions.policies.items())) == before


def test_a_request_that_is_too_long() -> None:
    shop = Shop()
    request = b'{"do": "policies"' + b" " * (REQUEST_BYTES_MAX - 18) + b"}"
    assert shop.broker.operations.answer(request, "ann")[0] == (
        b'{"policies":[{"function":"f*","origin":"set","policy":{"attempts":2,'
        b'"retry_on":["exception"],"backoff":[5000],"keep_s":100000}}]}'
    )
    with pytest.raises(ArgumentTooLarge, match="at most 65,536 bytes; this one has 65,537"):
        shop.broker.operations.answer(request + b" ", "ann")


@pytest.mark.parametrize("verb", ["job", "cancel", "retry", "purge"])
def test_a_handle_that_nobody_knows(verb: str) -> None:
    shop = Shop()
    with pytest.raises(JobNotFound, match=r"there is no job 'H:a\\x1bb:7'"):
        shop.ask(verb, handle="H:a\x1bb:7")


def test_a_job_that_can_not_be_retried() -> None:
    shop = Shop()
    for state in ("queued", "running", "completed"):
        with pytest.raises(InvalidArgument, match=state):
            shop.ask("retry", handle=shop.make(state))
    with pytest.raises(JobNotFound):
        shop.ask("purge", handle=shop.make("queued"))
    with pytest.raises(JobNotFound):
        shop.ask("cancel", handle=shop.make("dead"))


# ---- the server and its functions


def test_server() -> None:
    shop = Shop()
    shop.submit()
    answer = shop.ask("server")
    statistics = answer.pop("statistics")
    assert answer == {
        "version": "1.2.3",
        "pid": 42,
        "now_s": NOW_S,
        "durability": None,
        "journal": None,
        "journal_full": False,
    }
    assert (statistics["submitted"], statistics["queued"], statistics["dead"]) == (1, 1, 0)


def test_server_with_a_journal() -> None:
    broker = Broker(facts=Facts(durability="interval:50", journal="/srv/jobs.db"))
    broker.engine.journal_full = True
    answer = json.loads(broker.operations.answer(b'{"do": "server"}', "ann")[0])
    assert (answer["durability"], answer["journal"], answer["journal_full"]) == (
        "interval:50",
        "/srv/jobs.db",
        True,
    )


def test_functions() -> None:
    shop = Shop()
    shop.make("dead")
    shop.later(10)
    for state in ALL_STATES:
        shop.make(state)
    shop.later(5)
    shop.engine.functions.create(b"gr\xf6\xdfe")
    f, other = shop.ask("functions")["functions"]
    assert f == {
        "function": "f",
        "queued": 1,
        "delayed": 1,
        "running": 1,
        "retrying": 1,
        "dead": 2,
        "kept": 4,
        "workers": 1,
        "paused": False,
        "draining": False,
        "oldest_queued_s": 7,  # 2 seconds of the others are those of the one that expired
        "oldest_dead_s": 17,
        "counts": {
            "submitted": 10,
            "started": 8,
            "completed": 1,
            "failed": 1,
            "retried": 3,
            "timed_out": 0,
            "dead": 2,
            "cancelled": 1,
            "expired": 1,
        },
        "policy": KEPT,
    }
    assert other["function"] == "gr\udcf6\udcdfe"
    assert (other["policy"], other["oldest_queued_s"], other["oldest_dead_s"]) == (None,) * 3


def test_functions_by_name_and_slice() -> None:
    shop = Shop()
    for number in range(25):
        shop.engine.functions.create(b"f%d" % number)
    shop.engine.functions.create(b"g[1]")

    def names(**fields: Any) -> tuple[list[str], int | None]:
        answer = shop.ask("functions", **fields)
        return [row["function"] for row in answer["functions"]], answer["next"]

    assert names(function="f1") == (["f1"], None)
    assert names(function="f1", offset=1) == ([], None)
    assert names(function="nobody") == ([], None)
    assert names(function="f1?") == ([f"f1{digit}" for digit in range(10)], None)
    assert names(function="f?", limit=8) == ([f"f{digit}" for digit in range(8)], 8)
    assert names(function="f?", limit=8, offset=8) == (["f8", "f9"], None)
    assert names(function="g[[]1]") == (["g[1]"], None)
    assert len(names()[0]) == 26


def test_pause_resume_drain() -> None:
    shop = Shop()
    for name in (b"fa", b"fb", b"g"):
        shop.engine.functions.create(name)

    def marks() -> dict[str, tuple[bool, bool]]:
        rows = shop.ask("functions")["functions"]
        return {row["function"]: (row["paused"], row["draining"]) for row in rows}

    assert shop.ask("pause", function="f*") == {"functions": ["fa", "fb"], "next": None}
    assert shop.ask("drain", function="fb") == {"functions": ["fb"], "next": None}
    assert marks() == {"fa": (True, False), "fb": (True, True), "g": (False, False)}
    assert shop.ask("drain", function="fa") == {"functions": ["fa"], "next": None}
    assert shop.ask("pause", function="fb")["functions"] == ["fb"]  # and it goes on draining
    assert shop.ask("pause", function="new") == {"functions": ["new"], "next": None}
    assert marks() == {
        "fa": (True, True),
        "fb": (True, True),
        "g": (False, False),
        "new": (True, False),
    }
    assert shop.ask("resume", function="f?") == {"functions": ["fa", "fb"], "next": None}
    assert shop.ask("pause", function="z*") == {"functions": [], "next": None}
    assert marks() == {
        "fa": (False, False),
        "fb": (False, False),
        "g": (False, False),
        "new": (True, False),
    }
    assert shop.ask("pause", function="*", limit=3) == {
        "functions": ["fa", "fb", "g"],
        "next": 3,
    }
    assert shop.ask("pause", function="*", limit=3, offset=3)["functions"] == ["new"]


def test_steering_looks_at_a_bounded_number_of_functions() -> None:
    shop = Shop()
    for number in range(10_001):
        shop.engine.functions.create(b"%d" % number)
    assert shop.ask("pause", function="*1000[0]") == {"functions": [], "next": 10_000}
    assert shop.ask("pause", function="*1000[0]", offset=10_000)["functions"] == ["10000"]


# ---- policies


def test_what_a_policy_hides_is_told() -> None:
    said = {b"mail": Policy(attempts=3, keep_s=86400), b"m*": Policy(poison=2)}
    broker = Broker(policies=PolicyBook(said))

    def ask(policy: dict[str, object] | None) -> object:
        request = {"do": "set-policy", "function": "mail", "policy": policy}
        return json.loads(broker.operations.answer(json.dumps(request).encode(), "ann")[0])["hides"]

    assert ask({"max_running": 4}) == {"attempts": 3, "keep_s": 86400}
    assert ask({"max_running": 4, "attempts": 5}) == {"keep_s": 86400}
    assert ask(None) == {}


def test_policies() -> None:
    shop = Shop()
    table = {"attempts": 9, "backoff": {"base_s": 2, "factor": 2, "cap_s": 60, "jitter": 0.1}}
    assert shop.ask("policy", function="g") == {"policy": None}
    assert shop.ask("set-policy", function="fa", policy=table) == {
        "function": "fa",
        "changed": True,
        "hides": {},
    }
    assert shop.ask("policies") == {
        "policies": [
            {"function": "f*", "origin": "set", "policy": KEPT},
            {"function": "fa", "origin": "set", "policy": table},
        ]
    }
    assert shop.ask("policy", function="fa") == {"policy": KEPT | table}
    assert shop.ask("policy", function="fb") == {"policy": KEPT}
    shop.engine.functions.create(b"fa")
    assert shop.engine.functions.policies.of(b"fa") == read_policy(KEPT | table)
    assert shop.ask("set-policy", function="fa", policy=None)["changed"] is True
    assert shop.ask("set-policy", function="fa", policy=None)["changed"] is False
    assert shop.ask("policy", function="fa") == {"policy": KEPT}


def test_a_policy_counts_at_once() -> None:
    shop = Shop()
    shop.submit(b"g")
    shop.ask("set-policy", function="g", policy={"max-queue": 1})
    (row,) = shop.ask("functions", function="g")["functions"]
    assert row["policy"] == {"max_queue": 1}
    assert shop.engine.functions.policies.of(b"g") == Policy(max_queue=1)


def test_every_verb_is_tried() -> None:
    files = Path(__file__).parent.glob("test_operations*.py")
    text = "".join(file.read_text() for file in files)
    for verb in VERBS:
        assert f'ask("{verb}"' in text
