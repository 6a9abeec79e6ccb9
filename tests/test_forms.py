"""The two forms of the packet path: plain Python, and compiled from the same sources.

All tests run on whichever form is there; these say that it is one form, and the sources' own.
"""

import tomllib
from pathlib import Path

import gearpy
from gearpy.version import is_compiled

ROOT = Path(gearpy.__file__).parent.parent
PACKET_PATH = [
    source
    for pattern in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["gearpy"][
        "compiled"
    ]
    for source in ROOT.glob(pattern)
    if source.name != "__init__.py"
]


def compiled_of(source: Path) -> list[Path]:
    return list(source.parent.glob(f"{source.stem}.*.so"))


def test_the_whole_packet_path_has_one_form() -> None:
    assert len(PACKET_PATH) > 30
    for source in PACKET_PATH:
        assert bool(compiled_of(source)) is is_compiled(), source


def test_the_compiled_form_is_that_of_these_sources() -> None:
    """Else whoever changes a source tests the one before: ``make compile``, or ``make pure``."""
    for source in PACKET_PATH:
        for compiled in compiled_of(source):
            changed_s, compiled_s = source.stat().st_mtime, compiled.stat().st_mtime
            assert changed_s <= compiled_s, f"{source} was changed since it was compiled"
