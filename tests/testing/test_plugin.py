"""The fixtures, as a user's tests have them."""

import pytest

USERS_TESTS = """
import pytest
from gearpy import JobFailed

mails = []

def send(job):
    if job.data == b"bad":
        raise ValueError("no such address")
    mails.append(job.data)

def test_jobs_are_done_when_the_test_says_so(gearpy_server, gearpy_client, gearpy_worker):
    gearpy_worker.register("mail", send)
    gearpy_client.submit_background("mail", "now")
    gearpy_client.submit_background("mail", "later", delay_s=3600)
    assert gearpy_worker.drain() == 1
    gearpy_server.advance(3600)
    assert gearpy_worker.drain() == 1
    assert gearpy_worker.drain() == 0
    assert mails == [b"now", b"later"]

def test_a_job_fails_for_its_client(gearpy_client, gearpy_worker):
    gearpy_worker.register("mail", send)
    job = gearpy_client.submit("mail", "bad")
    assert gearpy_worker.drain() == 1
    with pytest.raises(JobFailed, match="no such address"):
        job.result()

def test_a_server_of_its_own(gearpy_server_process):
    assert gearpy_server_process.pid > 0
"""


def test_the_fixtures_are_there_once_gearpy_is_installed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(USERS_TESTS)
    pytester.runpytest_subprocess().assert_outcomes(passed=3)
