"""The unfinished jobs: found by handle, listed oldest first, in blocks that come and go."""

import pytest

from gearpy.engine.job import Job
from gearpy.engine.queue import FunctionQueue
from gearpy.engine.unfinished import Unfinished
from gearpy.priority import Priority

QUEUE = FunctionQueue(b"f")


def job(number: int) -> Job:
    return Job(b"H:t:%d" % number, QUEUE, b"", b"", Priority.NORMAL, True, 0.0)


def test_jobs_are_found_and_listed_across_blocks() -> None:
    jobs = [job(number) for number in range(9_990, 30_010)]
    unfinished = Unfinished()
    for each in jobs:
        unfinished.add(each)
    assert len(unfinished) == len(jobs)
    assert list(unfinished) == jobs
    assert list(reversed(unfinished)) == jobs[::-1]
    assert all(unfinished.get(each.handle) is each for each in jobs)
    for each in jobs[1:]:
        unfinished.remove(each)
    assert list(unfinished) == jobs[:1]
    assert unfinished.get(jobs[1].handle) is None


@pytest.mark.parametrize("handle", [b"", b"x", b"H:t:1", b"H:t:99999", b"H:t:10001 "])
def test_a_handle_of_no_job_finds_none(handle: bytes) -> None:
    unfinished = Unfinished()
    unfinished.add(job(10_000))
    assert unfinished.get(handle) is None


def test_what_is_not_in_it_can_not_be_removed() -> None:
    unfinished = Unfinished()
    with pytest.raises(KeyError):
        unfinished.remove(job(1))
    unfinished.add(job(1))
    with pytest.raises(KeyError):
        unfinished.remove(job(2))
    assert len(unfinished) == 1


def test_a_job_that_comes_back_is_found_again() -> None:
    old, new = job(1), job(20_000)
    unfinished = Unfinished()
    unfinished.add(old)
    unfinished.add(new)
    unfinished.remove(old)
    unfinished.add(old)
    assert unfinished.get(old.handle) is old
    assert set(unfinished) == {old, new}
