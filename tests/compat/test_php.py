"""PHP's gearman extension, beyond what all clients and workers do."""

import pytest

from .processes import output
from .programs import CLIENTS, WORKERS, require, script
from .stage import Pipe, Stage

PHP_WORKER = next(worker for worker in WORKERS if worker.name == "php")
OUR_CLIENT = CLIENTS[0]


@pytest.fixture(autouse=True)
def _php() -> None:
    require("php")


def test_calls_that_wait(stage: Stage) -> None:
    stage.start_our_worker("gearpy.")
    stage.start_worker(PHP_WORKER)

    assert output(script("php_calls.php", *stage.where)).splitlines() == [
        "ping: true",
        "doNormal: lamron",
        "doHigh: hgih",
        "doLow: wol",
        "doNormal with a unique: key",
        "without one it makes one up: 36",
        "gearpy.report: complete onetwodone",
        "php.fail: fail",
        "php.raise: exception",
        "doStatus when nothing is under way: [0,0]",
    ]


def test_tasks_and_their_callbacks(stage: Stage) -> None:
    stage.start_our_worker("gearpy.")
    stage.start_worker(PHP_WORKER)

    assert output(script("php_tasks.php", *stage.where)).splitlines() == [
        "true",
        "background high: created",
        "background low: created",
        "background normal: created",
        "fail: created, fail",
        "high: created, complete fed context",
        "low: created, complete ihg context",
        "normal: created, complete cba context",
        "raise: created, exception boom",
        "report: created, data one, data two, warning careful, status 1/2, complete done context",
    ]
    assert stage.counts("later", "prioritystatus") == [1, 1, 1, 0]


def test_tasks_of_one_unique_are_one_job(stage: Stage) -> None:
    client = stage.start(script("php_shared.php", *stage.where, "shared"))
    created = {client.read_line(), client.read_line()}
    stage.start_substitute("shared")

    assert len(created) == 1
    assert client.wait().stdout == b"complete zyx\ncomplete zyx\n"


def test_the_status_of_a_job(stage: Stage, pipe: Pipe) -> None:
    submit = script("php_background.php", *stage.where)
    handle = stage.start([*submit, "gearpy.hold", "key", "high", str(pipe.path)]).read_line()
    look = script("php_status.php", *stage.where, handle, "key")

    def told(status: str) -> list[str]:
        calls = ["jobStatus", "jobStatusByUniqueKey", "addTaskStatus"]
        return [f"{call} {status}" for call in calls]

    assert output(look).splitlines() == told("[true,false,0,0]")

    stage.start_our_worker("gearpy.")
    stage.wait_for(lambda: output(look).splitlines(), told("[true,true,3,10]"))

    pipe.release()
    stage.wait_for(lambda: output(look).splitlines(), told("[false,false,0,0]"))


def test_calls_of_a_worker(stage: Stage) -> None:
    waiting = stage.start(OUR_CLIENT.command(stage.host, stage.port, "grabbed", "key"))
    waiting.tell(b"xyz")
    stage.wait_for(lambda: stage.counts("grabbed"), [1, 0, 0])
    worker = stage.start(script("php_worker_calls.php", *stage.where))

    assert worker.read_line() == "ping: true"
    assert worker.read_line() == "no job in time"
    assert worker.read_line() == "unregister"
    assert (stage.counts("left"), stage.counts("stays")) == ([0, 0, 0], [0, 0, 1])
    assert worker.ask() == "unregisterAll"
    stage.wait_for(lambda: stage.counts("stays"), [0, 0, 0])
    assert worker.ask() == "grabbed: grabbed key xyz"
    assert waiting.wait().stdout == b"complete by hand\n"
    assert worker.read_line() == "no job without waiting"
    assert stage.submit(OUR_CLIENT, "done", b"xyz") == b"complete done 3 context\n"
    assert worker.wait().exit_code == 0
