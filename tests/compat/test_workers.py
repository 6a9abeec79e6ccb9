"""Other people's workers: how the server knows them, and what becomes of jobs that they lose."""

import pytest

from .processes import Started
from .programs import CLIENTS, WORKERS, Worker, name_of
from .stage import Stage

OUR_CLIENT = CLIENTS[0]


@pytest.mark.parametrize("worker", [worker for worker in WORKERS if worker.has_id], ids=name_of)
def test_a_worker_is_listed_with_its_id_and_functions(stage: Stage, worker: Worker) -> None:
    stage.start_worker(worker)
    functions = {f"{worker.name}.{function}" for function in (*worker.says, "hang")}

    def listed() -> bool:
        return any(
            row.split()[2] == f"{worker.name}.worker" and functions <= set(row.split()[4:])
            for row in stage.report("workers")
        )

    stage.wait_for(listed, True)


def begin(stage: Stage, worker: Worker, function: str) -> tuple[list[Started], Started]:
    """The worker's processes, and a client whose job one of them has begun."""
    processes = stage.start_worker(worker)
    client = stage.start(OUR_CLIENT.command(stage.host, stage.port, function, ""))
    client.tell(b"xyz")
    stage.wait_for(lambda: stage.counts(function), [1, 1, 1])
    return processes, client


@pytest.mark.parametrize("worker", WORKERS, ids=name_of)
def test_the_job_of_a_killed_worker_is_done_by_another(stage: Stage, worker: Worker) -> None:
    function = f"{worker.name}.hang"
    processes, client = begin(stage, worker, function)

    for process in processes:
        process.kill()
    stage.start_substitute(function)

    assert client.wait().stdout == b"complete zyx\n"


@pytest.mark.parametrize(
    "worker", [worker for worker in WORKERS if worker.has_timeouts], ids=name_of
)
def test_a_job_that_takes_too_long_is_done_by_another(stage: Stage, worker: Worker) -> None:
    function = f"{worker.name}.slow"
    _, client = begin(stage, worker, function)

    stage.start_substitute(function)

    assert client.wait().stdout == b"complete zyx\n"
