"""Which jobs a worker takes and begins, without any connection."""

from gearpy.protocol import packets as p
from gearpy.protocol.codec import request, response
from gearpy.worker.core import WorkerCore
from gearpy.worker.costs import Cost
from gearpy.worker.functions import Returned, registration
from gearpy.worker.roster import Done, Roster, Work

OPTION = request(p.OPTION_REQ, b"gearpy")
GRAB = request(p.GRAB_JOB_UNIQ)
SLEEP = request(p.PRE_SLEEP)
NO_JOB = response(p.NO_JOB)


def assign(handle: bytes, function: bytes = b"f") -> bytes:
    return response(p.JOB_ASSIGN_UNIQ, handle, function, b"", b"")


class Played:
    """A roster with some servers, which say what the test says."""

    def __init__(self, slots: int, servers: int = 1, **limits: int | None) -> None:
        functions = [
            registration(name, lambda job: None, None, limit)
            for name, limit in (limits or {"f": None}).items()
        ]
        self.roster = Roster({one.name: one for one in functions}, slots)
        self.cores = [WorkerCore() for _ in range(servers)]
        for core in self.cores:
            self.roster.join(core)
            core.take()

    def say(self, core: WorkerCore, data: bytes) -> None:
        self.roster.received(core, core.receive(data))

    def asked(self) -> list[bytes]:
        self.roster.deal()
        return [core.take() for core in self.cores]

    def begin(self) -> Work:
        work = self.roster.next_work()
        assert work is not None
        return work

    def finish(self, work: Work, elapsed_s: float = 1.0) -> None:
        self.roster.finished(Done(work, Returned(b""), Cost(elapsed_s)))


def test_it_asks_for_as_many_as_there_is_room_for() -> None:
    played = Played(2)
    [core] = played.cores
    assert played.asked() == [GRAB]
    assert played.asked() == [b""]
    played.say(core, assign(b"H:1"))
    assert played.asked() == [GRAB]
    played.say(core, assign(b"H:2"))
    assert played.asked() == [b""]
    first, _ = played.begin(), played.begin()
    assert played.roster.next_work() is None
    played.finish(first)
    assert played.asked() == [request(p.WORK_COMPLETE, b"H:1", b"") + GRAB]
    played.say(core, NO_JOB)
    assert played.asked() == [SLEEP]


def test_with_one_slot_one_server_is_asked_at_a_time() -> None:
    played = Played(1, servers=3)
    first, second, third = played.cores
    assert played.asked() == [GRAB, b"", b""]
    played.say(first, NO_JOB)
    assert played.asked() == [SLEEP, GRAB, b""]
    played.say(second, assign(b"H:1"))
    assert played.asked() == [b"", b"", b""]
    played.finish(played.begin())
    assert played.asked() == [b"", request(p.WORK_COMPLETE, b"H:1", b""), GRAB]
    played.say(third, NO_JOB)
    assert played.asked() == [b"", GRAB, SLEEP]


def test_where_jobs_are_short_the_next_ones_are_fetched_ahead() -> None:
    """As many as take two milliseconds together, and eight at most."""
    for elapsed_s, ahead in ((0.0001, 8), (0.0009, 2), (0.0011, 1), (0.0021, 0)):
        played = Played(1)
        [core] = played.cores
        for number in range(1000):
            played.asked()
            played.say(core, assign(b"H:%d" % number))
            played.finish(played.begin(), elapsed_s)
        played.asked()
        assert core.asking == min(1 + ahead, 8)
        assert not played.roster.hurries
        played.say(core, b"".join(assign(b"H:a%d" % number) for number in range(core.asking)))
        work = played.begin()
        assert played.roster.hurries is (ahead > 0)
        assert played.roster.next_work() is None
        played.asked()
        assert core.load == 1 + ahead
        played.finish(work, 0.1)  # no longer short
        assert played.roster.ahead == 0
        assert not played.roster.hurries
        if ahead:
            played.begin()


def test_who_has_no_job_is_asked_one_at_a_time() -> None:
    played = Played(8)
    [core] = played.cores
    assert played.asked() == [GRAB]
    played.say(core, assign(b"H:1"))
    assert played.asked() == [GRAB * 2]
    played.say(core, assign(b"H:2") + NO_JOB)
    assert played.asked() == [SLEEP]
    played.say(core, response(p.NOOP))
    assert played.asked() == [GRAB]


def test_a_function_at_its_limit_is_taken_back_and_comes_again() -> None:
    played = Played(3, servers=2, f=1, g=None)
    one, two = played.cores
    played.asked()
    played.say(one, assign(b"H:1"))
    asked = played.asked()
    assert asked[0] == request(p.CANT_DO, b"f") + GRAB
    assert asked[1] == request(p.CANT_DO, b"f")
    # What came from the other one meanwhile waits its turn.
    played.say(two, assign(b"H:2"))
    work = played.begin()
    assert played.roster.next_work() is None
    played.say(one, NO_JOB)
    assert played.asked()[0] == SLEEP
    played.finish(work)
    later = played.begin()
    played.finish(later)
    assert played.asked()[0].endswith(request(p.CAN_DO, b"f") + GRAB)


def test_a_connection_that_is_gone_takes_its_jobs_along() -> None:
    played = Played(1, servers=2, f=2)
    one, two = played.cores
    played.asked()
    played.say(one, assign(b"H:1"))
    running = played.begin()
    played.roster.leave(one)
    played.roster.leave(one)
    assert running.lost
    assert not played.roster.stopped
    assert not played.roster.finished(Done(running, Returned(b""), Cost(1.0)))
    assert played.asked()[1] == GRAB
    assert not two.stopped


def test_the_same_job_again_makes_the_first_try_void() -> None:
    played = Played(2)
    [core] = played.cores
    for _ in range(2):
        played.asked()
        played.say(core, assign(b"H:1"))
    first, second = played.begin(), played.begin()
    assert (first.lost, second.lost) == (False, False) or first.lost
    played = Played(2)
    [core] = played.cores
    played.asked()
    played.say(core, assign(b"H:1"))
    first = played.begin()
    played.asked()
    played.say(core, assign(b"H:1"))
    assert first.lost
    assert not played.begin().lost


def test_a_job_that_was_cancelled_before_it_began_is_not_begun() -> None:
    played = Played(2)
    [core] = played.cores
    played.asked()
    played.say(core, response(p.OPTION_RES, b"gearpy") + assign(b"H:1"))
    played.say(core, response(p.CANCEL_JOB, b"H:1"))
    assert played.roster.next_work() is None
    assert core.load == 0


def test_it_stops_when_all_that_it_holds_is_done() -> None:
    played = Played(1, servers=2)
    one, two = played.cores
    played.asked()
    played.say(one, assign(b"H:1"))
    work = played.begin()
    played.roster.stop()
    assert two.stopped
    assert not played.roster.stopped
    played.finish(work)
    assert played.roster.stopped
    late = WorkerCore()
    played.roster.join(late)
    assert late.stopped


def test_a_function_that_overruns_its_time_is_told_and_makes_room() -> None:
    played = Played(1)
    [core] = played.cores
    played.asked()
    played.say(core, response(p.OPTION_RES, b"gearpy") + assign(b"H:1"))
    work = played.begin()
    played.roster.overran(work)
    text = b"TimeoutError: f took longer than its 0 s, and was stopped"
    assert played.asked() == [request(p.WORK_FAILURE, b"H:1", b"timeout", text) + GRAB]
    assert played.roster.running == {}


def test_with_limits_there_is_one_question_at_a_time() -> None:
    played = Played(8, f=4, g=None)
    [core] = played.cores
    for number in range(3):
        assert played.asked() == [GRAB]
        played.say(core, assign(b"H:%d" % number))
    assert core.asking == 0


def test_a_function_that_overruns_its_time_says_nothing_of_a_job_that_is_elsewhere() -> None:
    played = Played(2)
    [core] = played.cores
    played.asked()
    played.say(core, response(p.OPTION_RES, b"gearpy") + assign(b"H:1"))
    work = played.begin()
    core.take()
    played.say(core, NO_JOB)
    core.wake()
    core.grab()
    core.take()
    played.say(core, assign(b"H:1"))  # again: for the server its time was up
    played.roster.overran(work)
    assert core.take() == b""
    assert core.holds(b"H:1")
