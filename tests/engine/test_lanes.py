"""A lane: first in, first out, and early leavers that cost no memory."""

from hypothesis import given
from hypothesis import strategies as st

from gearpy.engine.job import CANCELLED, QUEUED, Job
from gearpy.engine.queue import FunctionQueue, Lane
from gearpy.priority import Priority

GHOSTS_MAX = 65  # beside as many as there are jobs


def new_job(number: int) -> Job:
    return Job(b"H:t:%d" % number, FunctionQueue(b"f"), b"", b"", Priority.NORMAL, True, 0.0)


def leave(lane: Lane, job: Job) -> None:
    job.state = CANCELLED
    lane.discard(job)


def test_first_in_first_out() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(5)]
    for job in jobs:
        lane.push(job)
    assert lane.count == 5
    assert [lane.pop() for _ in range(5)] == jobs
    assert lane.count == len(lane) == 0


def test_who_left_is_skipped() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(5)]
    for job in jobs:
        lane.push(job)
    for gone in (0, 1, 3):
        leave(lane, jobs[gone])
    assert lane.count == 2
    assert [lane.pop() for _ in range(2)] == [jobs[2], jobs[4]]


def test_an_empty_lane_keeps_nothing() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(40)]
    for job in jobs:
        lane.push(job)
    for job in jobs:
        leave(lane, job)
    assert len(lane) == 0, "a payload may have 64 MiB"


def test_memory_stays_bounded_when_the_last_ones_leave_and_the_first_are_served() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(1000)]
    for job in jobs:
        lane.push(job)
    for job in jobs[600:]:
        leave(lane, job)
    for job in jobs[:600]:
        assert lane.pop() is job
        assert len(lane) <= 2 * lane.count + GHOSTS_MAX
    assert len(lane) == 0


def test_memory_stays_bounded_behind_a_job_that_nobody_fetches() -> None:
    lane = Lane()
    first = new_job(0)
    lane.push(first)
    for n in range(1, 10_000):
        job = new_job(n)
        lane.push(job)
        leave(lane, job)
        assert len(lane) <= 2 * lane.count + GHOSTS_MAX
    assert lane.pop() is first


def test_who_comes_back_stands_where_its_number_puts_it() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(1, 7)]
    for job in jobs:
        lane.push(job)
    taken = [lane.pop() for _ in range(4)]
    for place in (2, 0, 3, 1):
        lane.put_back(taken[place])
    assert lane.count == 6
    assert [lane.pop() for _ in range(6)] == jobs


def test_who_left_and_comes_again_is_met_once() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(3)]
    for job in jobs:
        lane.push(job)
    leave(lane, jobs[1])
    lane.sweep()
    jobs[1].state = QUEUED
    lane.push(jobs[1])
    assert list(lane) == [jobs[0], jobs[2], jobs[1]]
    assert len(lane) == lane.count == 3


def test_payloads_on_disk_only_are_counted() -> None:
    lane = Lane()
    jobs = [new_job(n) for n in range(6)]
    for job in jobs[::2]:
        job.payload = None
    for job in jobs:
        lane.push(job)
    assert lane.bare == 3
    leave(lane, jobs[2])
    leave(lane, jobs[3])
    assert lane.bare == 2
    assert lane.pop() is jobs[0]
    assert lane.bare == 1
    lane.put_back(jobs[0])
    assert lane.bare == 2
    assert [lane.bare_at(place) for place in (0, 1, 99)] == [True, False, False]


@given(st.lists(st.tuples(st.sampled_from(["push", "push", "pop", "leave"]), st.integers(0, 99))))
def test_like_a_list(steps: list[tuple[str, int]]) -> None:
    lane = Lane()
    jobs: list[Job] = []
    for number, (what, place) in enumerate(steps):
        if what == "push":
            jobs.append(new_job(number))
            lane.push(jobs[-1])
        elif what == "pop" and jobs:
            assert lane.pop() is jobs.pop(0)
        elif what == "leave" and jobs:
            leave(lane, jobs.pop(place % len(jobs)))
        assert lane.count == len(jobs)
        assert len(lane) <= 2 * lane.count + GHOSTS_MAX
