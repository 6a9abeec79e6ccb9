"""The Python packages gear and gearman3, beyond what all clients and workers do."""

from gearpy.testing.process import ServerProcess
from gearpy.version import VERSION

from .processes import output
from .programs import require, script
from .stage import Stage


def test_calls_of_gear(stage: Stage) -> None:
    require("gear")

    assert output(script("gear_calls.py", *stage.where)).splitlines() == [
        "option: True",
        f"version: OK {VERSION}",
        "status: . | later 2 0 0",
        "show jobs: . | FIRST 0 0 1 | SECOND 0 0 1",
        "show unique jobs: . | key 1 | key 2",
        "cancel job: OK",
        "cancel it again: ERR UNKNOWN_JOB",
        "status: . | later 1 0 0",
    ]


def test_calls_of_gearman3(server: ServerProcess, stage: Stage) -> None:
    require("gearman3")
    stage.start_our_worker("gearpy.")

    assert output(script("gearman3_peer.py", "calls", *stage.where)).splitlines() == [
        "several: COMPLETE cba",
        "several: COMPLETE fed",
        "several: COMPLETE key",
        "several: FAILED ",
        f"pid: OK {server.pid}",
        f"version: OK {VERSION}",
        "cancel: ERR UNKNOWN_JOB",
    ]
