"""``gearpy worker``: real processes that are started, replaced, counted and stopped."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from gearpy.client import Client, ClientJob
from gearpy.errors import JobFailed
from gearpy.testing.process import ServerProcess
from tests.cli.command import gearpy, printed, start
from tests.waiting import eventually
from tests.workers import working

LIMIT_S: Final = 30.0

PROGRAM = """
import os, sys, time
from pathlib import Path
from gearpy.tasks import Tasks
from gearpy.worker import AsyncWorker, Worker

worker = Worker()
ballast = []

@worker.function("pid")
def pid(job):
    return str(os.getpid())

@worker.function("held")
def held(job):
    job.send_data(str(os.getpid()))
    while not Path(job.data.decode()).exists():
        time.sleep(0.01)  # as a user's function asks
    return "let go"

@worker.function("eat")
def eat(job):
    ballast.append(os.urandom(80 << 20))
    return str(os.getpid())

@worker.function("crash")
def crash(job):
    os.abort()

def at_once():
    return AsyncWorker()

later = AsyncWorker()
@later.function("where")
async def where(job):
    return str(os.getpid())

later.register("held", held)
later.register("pid", pid)

tasks = Tasks("shop")
@tasks.task()
def add(a: int, b: int) -> int:
    return a + b

apart = Worker(processes=True)
apart.register("crash", crash)
apart.register("pid", pid)

number = 7
"""


class Crew:
    """A supervisor and its processes."""

    def __init__(self, folder: Path, server: ServerProcess, *arguments: str) -> None:
        self._folder = folder
        self._server = server
        self._log = folder / "log"
        program = folder / "shop.py"
        if not program.exists():
            program.write_text(PROGRAM)
        self.client = Client(server.address)
        with self._log.open("wb") as log:
            self.process = start("worker", *arguments, stderr=log.fileno(), folder=folder)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def supervisor(self) -> dict[str, Any] | None:
        """What it last said of its processes."""
        workers = self.client.operate("workers")["workers"]
        states = [each["state"] for each in workers if (each["state"] or {}).get("supervisor")]
        return states[0]["group_state"] if states else None

    def counts(self) -> tuple[int, int, int] | None:
        """How many are wanted, how many run, and how many there are at the server."""
        said = self.supervisor()
        workers = self.client.operate("workers")["workers"]
        there = sum(bool(each["functions"]) for each in workers)
        return None if said is None else (said["wanted"], said["running"], there)

    def wait_for(self, number: int) -> None:
        eventually(self.counts, (number, number, number), lambda: self.log)

    def wait_for_crashes(self, number: int) -> None:
        eventually(lambda: (self.supervisor() or {}).get("crashes"), number, lambda: self.log)

    def held(self, note: str) -> tuple[ClientJob, int]:
        """A job that waits for a file, and the process that does it."""
        job = self.client.submit("held", str(self._folder / note))
        return job, int(next(job.data(LIMIT_S)))

    def let_go(self, note: str) -> None:
        (self._folder / note).touch()

    def pid(self) -> int:
        return int(self.client.submit("pid").result(LIMIT_S))


@contextmanager
def crew(folder: Path, server: ServerProcess, *arguments: str) -> Iterator[Crew]:
    """A supervisor for the block, which must end well after it."""
    made = Crew(folder, server, *arguments)
    try:
        yield made
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(LIMIT_S) == 0, made.log
    finally:
        made.process.kill()
        made.process.communicate()
        made.client.close()


@pytest.fixture(autouse=True)
def their_server(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEARPY_SERVERS", server.address)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_as_many_processes_as_are_wanted(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "3") as made:
        made.wait_for(3)
        pids = {made.held(f"note{number}")[1] for number in range(3)}
        assert len(pids) == 3
        for number in range(3):
            made.let_go(f"note{number}")
    assert not any(map(is_there, pids))


def test_it_is_scaled_by_command_and_by_signal(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "2", "--group", "shop") as made:
        made.wait_for(2)
        out, _ = printed("worker", "scale", "4", "shop", server=server.address)
        assert out == "Told 1 supervisor.\n"
        made.wait_for(4)
        printed("worker", "scale", "-1", "sh*", server=server.address)
        made.wait_for(3)
        made.process.send_signal(signal.SIGTTIN)
        made.wait_for(4)
        made.process.send_signal(signal.SIGTTOU)
        made.wait_for(3)
        out, _ = printed("workers", server=server.address)
        assert "supervisor, 3 of 3 up" in out
        made.client.operate("tell-workers", group="shop", command={"scale": 10_000})
        made.client.operate("tell-workers", group="shop", command={"dance": True})
        made.client.operate("tell-workers", group="shop", command={"scale": "+" + 5000 * "9"})
        made.client.operate("tell-workers", group="shop", command={"scale": 1})
        made.wait_for(1)
        assert "there can be 0 to 1000 processes, not 10000; it stays at 3" in made.log
        assert "an operator wants something that is not understood: {'dance': True}" in made.log
    done = gearpy("worker", "scale", "4", "shop", server=server.address)
    assert done.returncode == 1
    assert b"no `gearpy worker` of the group shop is connected to" in done.stderr


def test_scaling_down_loses_no_job(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "2") as made:
        made.wait_for(2)
        jobs = [made.held("note")[0] for _ in range(2)]
        printed("worker", "scale", "0", "shop:worker", server=server.address)
        eventually(lambda: (made.supervisor() or {}).get("stopping"), 2, lambda: made.log)
        made.let_go("note")
        assert [job.result(LIMIT_S) for job in jobs] == [b"let go"] * 2
        made.wait_for(0)


def test_one_that_crashes_is_replaced(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "1") as made:
        made.client.operate("set-policy", function="crash", policy={"attempts": 1})
        made.client.submit_background("crash")
        made.wait_for(1)
        before = made.pid()
        os.kill(before, signal.SIGKILL)
        assert made.pid() != before
        made.wait_for_crashes(2)
        assert "was ended by SIGABRT" in made.log
        assert f"process {before} was ended by SIGKILL" in made.log


@pytest.mark.parametrize(
    ("target", "concurrency"), [("shop:worker", "1"), ("shop:worker", "2"), ("shop:later", "2")]
)
def test_a_job_that_takes_too_long_fails_and_its_process_is_replaced(
    server: ServerProcess, tmp_path: Path, target: str, concurrency: str
) -> None:
    more = ("--processes", "1", "--concurrency", concurrency, "--timeout", "0.5")
    with crew(tmp_path, server, target, *more) as made:
        made.client.operate("set-policy", function="held", policy={"keep_s": 60})
        job, pid = made.held("never")
        with pytest.raises(JobFailed, match=r"TimeoutError: held took longer than its 0\.5 s"):
            job.result(LIMIT_S)
        assert made.client.job(job.handle)["job"]["reason"] == "timeout"
        assert made.pid() != pid
        eventually(lambda: is_there(pid), False, lambda: made.log)
        made.wait_for_crashes(0)
    assert "this process ends" in made.log


def test_processes_are_replaced_after_so_many_jobs(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "1", "--max-jobs", "3") as made:
        pids = [made.pid() for _ in range(9)]
        assert len(set(pids)) == 3
        made.wait_for_crashes(0)


def test_a_process_with_too_much_memory_is_replaced(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "1", "--max-memory", "70M") as made:
        before = int(made.client.submit("eat").result(LIMIT_S))
        eventually(lambda: is_there(before), False, lambda: made.log)
        assert made.pid() != before
        assert f"process {before} is replaced: it has" in made.log


def test_processes_are_replaced_after_their_time(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "1", "--max-runtime", "1s") as made:
        before = made.pid()
        eventually(lambda: is_there(before), False, lambda: made.log)
        assert made.pid() != before


def test_all_are_replaced_by_command_and_by_signal(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "1") as made:
        made.wait_for(1)
        before = made.pid()
        printed("worker", "restart", "shop:worker", server=server.address)
        eventually(lambda: is_there(before), False, lambda: made.log)
        before = made.pid()
        made.process.send_signal(signal.SIGHUP)
        eventually(lambda: is_there(before), False, lambda: made.log)
        assert made.pid() != before


def test_a_changed_program_is_loaded_again(server: ServerProcess, tmp_path: Path) -> None:
    with crew(tmp_path, server, "shop:worker", "--processes", "1", "--reload") as made:
        made.wait_for(1)
        program = tmp_path / "shop.py"

        def change() -> bytes:
            program.write_text(PROGRAM.replace("return str(os.getpid())", "return 'changed'", 1))
            return made.client.submit("pid").result(LIMIT_S)

        eventually(change, b"changed", lambda: made.log)
        assert f"{program} has changed" in made.log


@pytest.mark.parametrize(
    ("target", "submit", "result"),
    [
        ("shop:later", lambda client: client.submit("where"), None),
        ("shop:tasks", lambda client: client.submit("shop.add", '{"a":1,"b":2}'), b"3"),
    ],
)
def test_what_a_target_may_be(
    server: ServerProcess,
    tmp_path: Path,
    target: str,
    submit: Callable[[Client], ClientJob],
    result: bytes | None,
) -> None:
    with crew(tmp_path, server, target, "--processes", "1", "--concurrency", "2") as made:
        found = submit(made.client).result(LIMIT_S)
        assert result is None or found == result


def test_jobs_in_processes_of_their_own_below(server: ServerProcess, tmp_path: Path) -> None:
    """Then one that crashes takes none of the supervisor's along."""
    with crew(tmp_path, server, "shop:apart", "--processes", "1") as made:
        before = made.pid()
        with pytest.raises(JobFailed, match="was ended by SIGABRT"):
            made.client.submit("crash").result(LIMIT_S)
        assert made.pid() != before
        made.wait_for_crashes(0)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("shop", "'shop' names no worker: write it as \"module:name\""),
        ("shop:wroker", "the module 'shop' has no 'wroker'"),
        ("shp:worker", "there is no module 'shp' to import 'shp:worker' from"),
        ("shop:number", "'shop:number' is int, and no Worker, AsyncWorker, Tasks"),
        ("broken:worker", "ModuleNotFoundError: No module named 'nothing_like_it'"),
    ],
)
def test_a_target_that_is_not_there_is_said_once(tmp_path: Path, target: str, why: str) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    (tmp_path / "broken.py").write_text("import nothing_like_it\n")
    process = start("worker", target, "--processes", "3", folder=tmp_path)
    if target.startswith("broken"):
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(b"ModuleNotFoundError"):
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
        assert (line.decode().strip(), process.returncode) == (why, 0)
        return
    _, stderr = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert stderr.decode().count(why) == 1
    assert stderr.decode().endswith(f"gearpy: no process can run '{target}'\n")


def test_a_second_interrupt_ends_all_at_once(server: ServerProcess, tmp_path: Path) -> None:
    made = Crew(tmp_path, server, "shop:worker", "--processes", "1")
    job, pid = made.held("never")
    made.process.send_signal(signal.SIGINT)
    eventually(lambda: (made.supervisor() or {}).get("stopping"), 1, lambda: made.log)
    made.process.send_signal(signal.SIGINT)
    assert made.process.wait(LIMIT_S) == 0
    eventually(lambda: is_there(pid), False)
    with working(server.address, held=lambda job: f"attempt {job.attempt}"):
        assert job.result(LIMIT_S) == b"attempt 2"
    made.client.close()
    made.process.communicate()


def test_processes_end_with_their_supervisor(server: ServerProcess, tmp_path: Path) -> None:
    """Even if it is killed: they finish what they do."""
    made = Crew(tmp_path, server, "shop:worker", "--processes", "2")
    job, _ = made.held("note")
    made.process.kill()
    made.process.wait(LIMIT_S)
    made.let_go("note")
    assert job.result(LIMIT_S) == b"let go"
    eventually(lambda: made.client.operate("workers")["workers"], [])
    made.client.close()
    made.process.communicate()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["shop:worker", "--processes", "-1"], "-1 is not in the range 0<=x<=1000"),
        (["shop:worker", "--max-memory", "much"], "'much' is not a size from"),
        (["shop:worker", "--max-runtime", "ever"], "'ever' is no duration"),
        (["shop:worker", "--servers", "a:b"], "a:b"),
        (["scale", "four", "shop"], "'four' is no number: write 4, +1 or -1"),
        ([], "Usage: gearpy worker"),
    ],
)
def test_bad_usage_is_exit_2(arguments: list[str], why: str) -> None:
    done = gearpy("worker", *arguments)
    assert done.returncode == 2
    assert why in done.stderr.decode()
