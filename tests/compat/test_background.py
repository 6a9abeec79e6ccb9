"""Clients that submit in the background, and ask how their jobs are."""

import pytest

from .programs import BACKGROUND, require
from .stage import Pipe, Stage


@pytest.mark.parametrize("client", BACKGROUND)
def test_a_background_job_and_its_status(stage: Stage, pipe: Pipe, client: str) -> None:
    require(client)
    # gearman3 compares bytes with str: to it no job is ever known.
    first = 2 if client == "gearman3" else 0

    def status() -> list[str]:
        return submitter.ask().split()

    submitter = stage.start(
        [*BACKGROUND[client], *stage.where, "gearpy.hold", "key", "normal", str(pipe.path)]
    )
    handle = submitter.read_line()

    assert stage.counts("gearpy.hold", "prioritystatus") == [0, 1, 0, 0]
    assert stage.report("show jobs") == [f"{handle}\t0\t0\t1"]
    assert stage.report("show unique jobs") == ["key"]
    assert status() == ["1", "0", "0", "0"][first:]

    stage.start_our_worker("gearpy.")
    stage.wait_for(status, ["1", "1", "3", "10"][first:])

    pipe.release()
    stage.wait_for(status, ["0", "0", "0", "0"][first:])
    assert stage.counts("gearpy.hold") == [0, 0, 1]


@pytest.mark.parametrize("client", BACKGROUND)
def test_priorities_of_background_jobs(shared_stage: Stage, client: str) -> None:
    require(client)
    command = [*BACKGROUND[client], *shared_stage.where, f"{client}.urgent"]

    for key, priority in [("1", "low"), ("2", "high"), ("3", "high")]:
        shared_stage.start([*command, key, priority, "payload"]).read_line()

    assert shared_stage.counts(f"{client}.urgent", "prioritystatus") == [2, 0, 1, 0]


@pytest.mark.parametrize("client", BACKGROUND)
def test_submissions_with_one_unique_are_one_job(shared_stage: Stage, client: str) -> None:
    require(client)
    command = [*BACKGROUND[client], *shared_stage.where, f"{client}.same"]

    first = shared_stage.start([*command, "key", "normal", "payload"]).read_line()
    second = shared_stage.start([*command, "key", "normal", "payload"]).read_line()

    assert first == second
    assert shared_stage.counts(f"{client}.same") == [1, 0, 0]
