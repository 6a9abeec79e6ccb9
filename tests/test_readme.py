"""The README tells the truth: its table of settings is the one in the code, its programs run.

``python -m tests.test_readme --write`` writes the table anew.
"""

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gearpy import Worker
from gearpy.cli.main import gearpy
from gearpy.client import Client
from gearpy.engine.policy import FIELDS as POLICY_FIELDS
from gearpy.server.settings import FIELDS, Settings, load
from gearpy.testing.process import ServerProcess

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: begin (made by: python -m tests.test_readme --write) -->\n"
END = "<!-- settings: end -->\n"
GEARPY = (sys.executable, "-m", "gearpy.cli.main")


def table() -> str:
    """A row for each setting, in the order of their declarations."""
    rows = ["| flag | default | what it does |", "|---|---|---|"]
    defaults = {item.name: item.default for item in dataclasses.fields(Settings)}
    for name, declaration in FIELDS.items():
        flags = ", ".join(f"`{flag}`" for flag in declaration.flags)
        value = f" {declaration.metavar}" if declaration.metavar else ""
        says = declaration.says
        if declaration.ignored:
            says += f" It does nothing: {declaration.ignored}."
        rows.append(f"| {flags}{value} | {_shown(defaults[name])} | {says} |")
    return "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    if default in ("", ()):
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:,}" if isinstance(default, int) and default >= 1 << 16 else f"{default}"


def current() -> str:
    return README.read_text().partition(BEGIN)[2].partition(END)[0]


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    assert current() == table(), "run: python -m tests.test_readme --write"


NAMES = (
    "worker.py",
    "client.py",
    "async_client.py",
    "more_worker.py",
    "async_worker.py",
    "shop.py",
    "shop_worker.py",
    "test_later.py",
    "later.py",
    "called_back.py",
    "receiver.py",
    "in_trace.py",
)


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def programs(server: ServerProcess, folder: Path) -> list[Path]:
    """The README's workers, clients and client with options, talking to this server."""
    files = []
    for name, source in zip(NAMES, blocks("python"), strict=True):
        assert "localhost:4730" in source or name in ("test_later.py", "receiver.py")
        files.append(folder / name)
        files[-1].write_text(source.replace("localhost:4730", server.address))
    return files


def output(program: Path) -> list[str]:
    """What it prints."""
    run: list[str | Path] = [sys.executable, program]
    return subprocess.check_output(run, text=True, timeout=60).splitlines()


def test_its_worker_and_its_client_work(server: ServerProcess, tmp_path: Path) -> None:
    worker, client, async_client, *_ = programs(server, tmp_path)
    working = subprocess.Popen([sys.executable, worker])
    try:
        progress, result, background, *mapped = output(client)
        assert output(async_client) == ["[b'ONE', b'TWO', b'THREE']"]
    finally:
        working.terminate()
        assert working.wait(60) == 0
    assert progress.strip() == "1 of 2"
    assert result == "b'PHOTO'"
    assert re.fullmatch(r"H:\S+:\d+ JobStatus\(known=\w+, .*\)", background)
    assert mapped == ["b'ONE'", "b'TWO'", "b'THREE'"]


def test_its_tasks_work(server: ServerProcess, tmp_path: Path) -> None:
    worker = programs(server, tmp_path)[6]
    client = tmp_path / "client_of_shop.py"
    client.write_text('import shop\nprint(shop.resize.submit("a.jpg", width=200).result(60))')
    working = subprocess.Popen([sys.executable, worker])
    try:
        assert output(client) == ["a.jpg at 200"]
    finally:
        working.terminate()
        assert working.wait(60) == 0


def test_its_worker_with_more_works(server: ServerProcess, tmp_path: Path) -> None:
    working = subprocess.Popen([sys.executable, programs(server, tmp_path)[3]])
    try:
        with Client(server.address) as client:
            assert client.submit("add", "[1, 2]").result(60) == b"3"
    finally:
        working.terminate()
        assert working.wait(60) == 0


def test_its_worker_in_an_event_loop_works(server: ServerProcess, tmp_path: Path) -> None:
    working = subprocess.Popen([sys.executable, programs(server, tmp_path)[4]])
    try:
        with Client(server.address) as client:
            assert client.submit("fetch", "x").result(60) == b"X"
    finally:
        working.terminate()
        assert working.wait(60) == 0


def test_its_test_passes(server: ServerProcess, tmp_path: Path) -> None:
    test = programs(server, tmp_path)[7]
    subprocess.run([sys.executable, "-m", "pytest", "-q", test], check=True, timeout=60)


def test_its_options_work(server: ServerProcess, tmp_path: Path) -> None:
    handle, cancelled = output(programs(server, tmp_path)[8])
    assert re.fullmatch(r"H:\S+:\d+", handle)
    assert cancelled == "True"


SERVES = 'HTTPServer(("localhost", 8080), Receiver).serve_forever()'
SERVES_ON_FREE_PORT = (
    'server = HTTPServer(("localhost", 0), Receiver);'
    " print(server.server_port, flush=True); server.serve_forever()"
)


def test_its_receiver_is_called_back(tmp_path: Path) -> None:
    secret = re.findall(r"whsec_[^\"]+", README.read_text())[0]
    with ServerProcess("--callback-secret", secret) as server:
        client, receiver = (program.read_text() for program in programs(server, tmp_path)[9:11])
        assert receiver.count(SERVES) == 1
        receiving = subprocess.Popen(
            [sys.executable, "-c", receiver.replace(SERVES, SERVES_ON_FREE_PORT)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert receiving.stdout is not None
        client = client.replace("8080", receiving.stdout.readline().strip())
        allowed = ("--allow-host", "localhost", "--servers", server.address, "--processes", "1")
        calling = subprocess.Popen([*GEARPY, "worker", "--http", *allowed])
        try:
            subprocess.run([sys.executable, "-c", client], check=True, timeout=60)
            worker = Worker(server.address)
            worker.register("resize", lambda job: b"small " + job.data)
            worker.run(burst=True)
            assert receiving.stdout.readline().endswith(" completed small photo\n")
            with Client(server.address) as asked:
                (follows,) = asked.operate("peek", function="index")["jobs"]
                assert follows["payload"] == "cat.jpg"
        finally:
            calling.terminate()
            receiving.terminate()
            receiving.communicate(timeout=60)
            assert calling.wait(60) == 0


def test_its_traced_program_works(server: ServerProcess, tmp_path: Path) -> None:
    assert output(programs(server, tmp_path)[11]) == []


def test_its_settings_file_can_be_read(tmp_path: Path) -> None:
    text = "\n".join(blocks("toml"))
    (tmp_path / "gearpy.toml").write_text(text)
    settings = load({}, {}, str(tmp_path / "gearpy.toml"))
    assert settings.journal == "jobs.db"
    assert list(settings.policies) == [b"mail", b"image.*"]
    said = {
        name
        for policy in settings.policies.values()
        for name in POLICY_FIELDS
        if getattr(policy, name) is not None
    }
    assert len(said) == 8  # each line counts
    assert settings.schedules["digest"].timezone == "Europe/Berlin"


COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in blocks("sh")
    for line in block.splitlines()
    if line.startswith("gearpy ")
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_its_commands_can_be_read(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "capture.bin").touch()
    command: click.Command = gearpy
    context = click.Context(gearpy, info_name="gearpy")
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("command", ["status", "workers", "jobs"])
def test_its_commands_work(server: ServerProcess, command: str) -> None:
    assert f"gearpy {command} " in README.read_text()
    run = [*GEARPY, command, "--server", server.address]
    subprocess.run(run, check=True, timeout=60)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
