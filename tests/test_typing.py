"""Types as users check them: over programs that use the public names, with gearpy installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_migrating import PROGRAMS
from tests.test_readme import NAMES, blocks

ROOT = Path(__file__).parents[1]
PYRIGHT = ROOT / "tests" / "compat" / "node_modules" / ".bin" / "pyright"

# Written for people who do not annotate.
UNTYPED = ("worker.py", "more_worker.py", "async_worker.py", "test_later.py")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python in which gearpy is installed as from a registry, beside what the examples need."""
    folder = tmp_path_factory.mktemp("user")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site, others = (
        Path(subprocess.check_output([each, "-c", script], text=True).strip())
        for each in (python, sys.executable)
    )
    install: list[str | Path]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    subprocess.run([*install, ROOT], check=True)
    (site / "others.pth").write_text(f"{others}\n")
    return python


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A user's folder: the examples, and what README and the migration page show."""
    for path in (ROOT / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
    for name, program in zip(NAMES, blocks("python"), strict=True):
        if name not in UNTYPED:
            (tmp_path / name).write_text(program)
    for number, program in enumerate(PROGRAMS):
        (tmp_path / f"migrated{number}.py").write_text(program)
    return tmp_path


def test_mypy_strict(programs: Path, python: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".cache"]
    command += ["--python-executable", python, "."]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_pyright(programs: Path, python: Path) -> None:
    if not PYRIGHT.exists():
        sentence = "needs pyright: sh tests/compat/install.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    command: list[str | Path] = [PYRIGHT, "--outputjson", "--pythonpath", python, "."]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = [f"{Path(each['file']).name}: {each['message']}" for each in found]
    assert errors == []
