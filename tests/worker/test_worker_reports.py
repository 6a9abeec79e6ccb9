"""The worker's core: what it tells of itself and of its jobs' cost, and the commands it gets."""

import math

import pytest

from gearpy.broker.broker import Broker
from gearpy.broker.ports import Peer
from gearpy.engine.policy import Policy
from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response
from gearpy.worker.core import WorkerCore

GEARPY_SET = response(p.OPTION_RES, b"gearpy")
UNKNOWN = response(p.ERROR, b"UNKNOWN_OPTION", b"Server does not recognize given option")
ASSIGNED = response(p.JOB_ASSIGN_OPTIONS, b"H:1", b"f", b"", b"{}", b"data")


def working(answer: bytes = GEARPY_SET) -> WorkerCore:
    """A core that holds H:1, on a server that answered so."""
    core = WorkerCore()
    core.start()
    core.grab()
    core.receive(answer + ASSIGNED)
    core.take()
    return core


@pytest.mark.parametrize(
    ("cpu_s", "memory_bytes", "told"),
    [
        (1.5, 80_000_000, b'{"cpu_s":1.5,"memory_bytes":80000000}'),
        (0.0, None, b'{"cpu_s":0.0}'),
        (None, 0, b'{"memory_bytes":0}'),
    ],
)
def test_what_a_job_cost_comes_before_its_end(
    cpu_s: float | None, memory_bytes: int | None, told: bytes
) -> None:
    core = working()
    core.usage(b"H:1", cpu_s, memory_bytes)
    core.complete(b"H:1", b"done")
    assert core.take() == (
        request(p.WORK_USAGE, b"H:1", told) + request(p.WORK_COMPLETE, b"H:1", b"done")
    )


def test_nothing_is_told_that_nobody_knows_or_wants() -> None:
    core = working()
    core.usage(b"H:1")
    assert core.take() == b""
    core.receive(response(p.CANCEL_JOB, b"H:1"))
    core.usage(b"H:1", 1.5, 7)
    assert core.take() == b""
    for answer in (UNKNOWN, b""):
        core = working(answer)
        core.usage(b"H:1", 1.5, 7)
        core.tell_state({"pid": 7})
        assert core.take() == b""


def test_what_ended_a_function_that_did_not_end_by_itself() -> None:
    core = working()
    core.failure(b"H:1", "lost", b"SIGSEGV")
    assert core.take() == request(p.WORK_FAILURE, b"H:1", b"lost", b"SIGSEGV")
    assert not core.holds(b"H:1")
    core = working(UNKNOWN)
    core.failure(b"H:1", "timeout", b"too long")
    assert core.take() == request(p.WORK_EXCEPTION, b"H:1", b"too long")
    assert not core.holds(b"H:1")


def test_how_it_is_it_says_at_any_time_to_who_listens() -> None:
    core = WorkerCore()
    core.take()
    core.tell_state({"pid": 7})
    assert core.take() == b"", "it is not known yet who listens"
    core.receive(GEARPY_SET)
    core.tell_state({"group": "gr\udcf6\udcdfe", "supervisor": True})
    assert core.take() == request(p.WORKER_STATE, rb'{"group":"gr\udcf6\udcdfe","supervisor":true}')
    with pytest.raises(ValueError, match="float"):
        core.tell_state({"memory_bytes": math.inf})
    assert core.take() == b""


def test_commands_wait_until_they_are_taken() -> None:
    core = WorkerCore()
    commands = (b'{"scale":4}', b"[]", b"nonsense", b"\xff", b"[" * 9999, b'{"stop":true}')
    assert core.receive(b"".join(response(p.WORKER_COMMAND, each) for each in commands)) == []
    assert core.broken is None
    assert list(core.commands) == [{"scale": 4}, {"stop": True}]
    assert core.commands.popleft() == {"scale": 4}
    for number in range(1000):
        core.receive(response(p.WORKER_COMMAND, b'{"scale":%d}' % number))
    assert len(core.commands) == 100
    assert core.commands[-1] == {"scale": 999}


class Silent:
    def flush(self) -> None:
        pass


def test_a_server_understands_all_of_it() -> None:
    broker = Broker()
    session = broker.connect(Peer(1, "127.0.0.1", "worker"), Silent())
    core = WorkerCore()
    core.can_do(b"f")
    core.start()

    def exchange() -> list[bytes]:
        if core.wants_job:
            core.grab()
        session.receive(core.take())
        return [job.handle for job in core.receive(session.outbox.take())]

    broker.engine.functions.set_policy(b"f", Policy(keep_s=60))
    job = broker.engine.submit(None, b"f", b"", b"")
    assert exchange() == [job.handle]
    core.usage(job.handle, 1.5, 80_000_000)
    core.tell_state({"group": "mail", "supervisor": True})
    core.complete(job.handle, b"")
    assert exchange() == []
    (attempt,) = broker.engine.describe(job).log
    assert attempt.usage == (1.5, 80_000_000)
    answer, _ = broker.operations.answer(
        b'{"do": "tell-workers", "group": "m*", "command": {"scale": 4}}', "ann"
    )
    assert answer == b'{"told":1}'
    exchange()
    assert list(core.commands) == [{"scale": 4}]
    assert core.refusal is None


@pytest.mark.parametrize("code", [b"JOB_NOT_FOUND", b"job_not_found", b"not_worker"])
def test_an_answer_to_a_late_result_is_no_refusal(code: bytes) -> None:
    core = working()
    core.complete(b"H:1", b"late")
    core.receive(response(p.ERROR, code, b"whatever"))
    assert core.refusal is None


def test_who_answers_as_a_server_does_may_be_there_again() -> None:
    core = WorkerCore()
    core.receive(GEARPY_SET)
    assert not core.was_well  # it may say the same to everybody
    core = working()
    assert core.was_well
    core.receive(response(p.ERROR, b"TOO_MANY_CONNECTIONS", b""))
    assert not core.was_well
    core = working()
    core.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert not core.was_well
