"""The README tells the truth: its table of settings is the one in the code, its programs run.

``python -m tests.test_readme --write`` writes the table anew.
"""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gearpy.server.settings import FIELDS, Settings
from gearpy.testing.process import ServerProcess

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: begin (made by: python -m tests.test_readme --write) -->\n"
END = "<!-- settings: end -->\n"


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


def programs(server: ServerProcess, folder: Path) -> tuple[Path, Path]:
    """The README's worker and client, talking to this server."""
    worker, client = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for name, source in (("worker.py", worker), ("client.py", client)):
        assert "localhost:4730" in source
        (folder / name).write_text(source.replace("localhost:4730", server.address))
    return folder / "worker.py", folder / "client.py"


def test_its_worker_and_its_client_work(server: ServerProcess, tmp_path: Path) -> None:
    worker, client = programs(server, tmp_path)
    working = subprocess.Popen([sys.executable, worker])
    try:
        printed = subprocess.run(
            [sys.executable, client], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    finally:
        working.terminate()
        assert working.wait(60) == 0
    result, background = printed.splitlines()
    assert result == "b'PHOTO'"
    assert re.fullmatch(r"H:\S+:\d+ JobStatus\(known=\w+, .*\)", background)


@pytest.mark.parametrize("command", ["status", "workers"])
def test_its_commands_work(server: ServerProcess, command: str) -> None:
    assert f"gearpy {command} " in README.read_text()
    run = [sys.executable, "-m", "gearpy.cli.main", command, "--server", server.address]
    subprocess.run(run, check=True, timeout=60)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
