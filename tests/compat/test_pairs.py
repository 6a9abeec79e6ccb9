"""Every client with every worker, through our server."""

import pytest

from .programs import CLIENTS, WORKERS, Client, Worker, name_of
from .stage import Stage

OUR_CLIENT = CLIENTS[0]
OUR_WORKER = WORKERS[0]

EVERYBODY = [(client, worker) for client in CLIENTS for worker in WORKERS]
WITH_US = [pair for pair in EVERYBODY if OUR_CLIENT in pair or OUR_WORKER in pair]
ENDINGS = [
    (client, worker, function)
    for client, worker in WITH_US
    for function in worker.says
    if function != "report"  # everybody does that with everybody
]
# Everything but the end of a line, which is what ends an event in a client's output.
BINARY = bytes(byte for byte in range(256) if byte != ord("\n"))


@pytest.mark.parametrize(("client", "worker"), EVERYBODY, ids=name_of)
def test_everybody_works_for_everybody(shared_stage: Stage, client: Client, worker: Worker) -> None:
    shared_stage.employ(worker)
    function = "report" if "report" in worker.says else "reverse"

    printed = shared_stage.submit(client, f"{worker.name}.{function}", b"xyz")

    assert printed == client.expects(worker.says[function])


@pytest.mark.parametrize(("client", "worker", "function"), ENDINGS, ids=name_of)
def test_endings(shared_stage: Stage, client: Client, worker: Worker, function: str) -> None:
    shared_stage.employ(worker)

    printed = shared_stage.submit(client, f"{worker.name}.{function}", b"xyz", unique="key")

    assert printed == client.expects(worker.says[function])


@pytest.mark.parametrize(
    ("client", "worker"), [pair for pair in WITH_US if pair[1].sends_binary], ids=name_of
)
def test_binary_payloads(shared_stage: Stage, client: Client, worker: Worker) -> None:
    shared_stage.employ(worker)
    payload = BINARY * (1000 if client.reads_large_packets else 10)

    printed = shared_stage.submit(client, f"{worker.name}.reverse", payload)

    assert printed == client.expects([(b"complete", payload[::-1])])
