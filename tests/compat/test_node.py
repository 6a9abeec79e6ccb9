"""GearmaNode, beyond what all clients and workers do."""

import pytest

from .processes import output
from .programs import CLIENTS, require, script
from .stage import Stage

OUR_CLIENT = CLIENTS[0]


@pytest.fixture(autouse=True)
def _node() -> None:
    require("node")


def test_calls(stage: Stage) -> None:
    stage.start_our_worker("gearpy.")

    assert output(script("node_calls.js", *stage.where)).splitlines() == [
        "echo: anybody there?",
        "LOW: complete key",
        "NORMAL: complete key",
        "HIGH: complete key",
        "side by side: complete cba, complete fed, complete ihg",
        "exception: failed",
    ]


def test_a_worker_changes_what_it_can_do(stage: Stage) -> None:
    worker = stage.start(script("node_worker_calls.js", *stage.where))

    def workers() -> dict[str, int]:
        return {name: stage.counts(name)[2] for name in ("one", "two", "three")}

    assert worker.ask("add") == "add"
    assert stage.submit(OUR_CLIENT, "two", b"abc") == b"complete ABC\n"

    assert worker.ask("remove") == "remove"
    stage.wait_for(workers, {"one": 1, "two": 0, "three": 1})
    assert stage.submit(OUR_CLIENT, "one", b"abc") == b"complete ABC\n"

    assert worker.ask("reset") == "reset"
    stage.wait_for(workers, {"one": 0, "two": 0, "three": 0})
