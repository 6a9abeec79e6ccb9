"""Perl's Gearman::Client and Gearman::Worker, beyond what all clients and workers do."""

import pytest

from .processes import output
from .programs import WORKERS, require, script
from .stage import Stage

PERL_WORKER = next(worker for worker in WORKERS if worker.name == "perl")


@pytest.fixture(autouse=True)
def _perl() -> None:
    require("perl")


def test_calls(stage: Stage) -> None:
    stage.start_our_worker("gearpy.")
    stage.start_worker(PERL_WORKER)

    assert output(script("perl_calls.pl", *stage.where)).splitlines() == [
        "do_task: cba",
        "do_task with a unique: key",
        "do_task that fails: undef",
        "do_task of an empty result: ''",
        "retries: 2",
        "set: gearpy.reverse complete tes",
        "set: perl.fail fail",
        "set: perl.reverse complete tes",
        "exception: fail, then ereht llits",
        "dispatch_background: a handle",
        "get_job_server_status: capable=0 queued=1 running=0",
    ]


def test_tasks_of_one_unique_are_one_job(stage: Stage) -> None:
    client = stage.start(script("perl_shared.pl", *stage.where, "shared"))
    created = {client.read_line(), client.read_line()}
    stage.start_substitute("shared")

    assert len(created) == 1
    assert client.wait().stdout == b"complete zyx\ncomplete zyx\n"


def test_a_prefix_is_parted_with_a_tab(stage: Stage) -> None:
    stage.start(script("perl_prefix.pl", "worker", *stage.where))

    assert output(script("perl_prefix.pl", "client", *stage.where)) == "cba\n"
    assert stage.report("status") == [r"app\x09reverse" + "\t0\t0\t1"]
