"""The migration page tells the truth: what stands under "now" runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gearpy.cli.main import gearpy
from gearpy.client import Client
from gearpy.testing.process import ServerProcess

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WORKERS = [program for program in PROGRAMS if "worker.run()" in program]
CLIENTS = [program for program in PROGRAMS if "Client(" in program]


@pytest.mark.parametrize("number", [0, 1], ids=["python-gearman", "gear"])
def test_worker_and_client_now(server: ServerProcess, tmp_path: Path, number: int) -> None:
    paths = []
    for name, program in (("worker", WORKERS[number]), ("client", CLIENTS[number])):
        paths.append(tmp_path / f"{name}.py")
        here = program.replace('"localhost:4730"', repr(server.address))
        paths[-1].write_text(here.replace('"localhost"', repr(server.address)))
    worker = subprocess.Popen([sys.executable, paths[0]])
    try:
        printed = subprocess.check_output([sys.executable, paths[1]], text=True, timeout=60)
    finally:
        worker.terminate()
        assert worker.wait(60) == 0
    assert printed.startswith("b'PHOTO'\n")


def test_tasks_now(tmp_path: Path, server: ServerProcess) -> None:
    [program] = [program for program in PROGRAMS if "tasks.task(" in program]
    program = program.replace("localhost:4730", server.address)
    (tmp_path / "shop.py").write_text(
        program + "\nif __name__ == '__main__':\n    tasks.worker().run()"
    )
    worker = subprocess.Popen([sys.executable, tmp_path / "shop.py"])
    try:
        with Client(server.address) as client:
            job = client.submit("shop.resize", '{"path": "a.jpg"}')
            assert job.result(60) == b'"a.jpg at 100"'
    finally:
        worker.terminate()
        assert worker.wait(60) == 0


def test_its_commands_are_there() -> None:
    for name in re.findall(r"`gearpy ([a-z]+)", PAGE):
        assert name in gearpy.commands
