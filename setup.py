"""The compiled form of gearpy.

With ``GEARPY_COMPILE=1`` in the environment of pip the modules of the packet path (pyproject.toml
lists them) are compiled to C by mypyc, from the same sources; that takes a C compiler and a minute
or two.  Without it gearpy is installed as it is, and does the same, slower.
"""

import os
import tomllib
from pathlib import Path

from setuptools import setup

_REQUIREMENTS = ["mypy>=1.19"]


def _sources() -> list[str]:
    patterns = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["gearpy"]["compiled"]
    found = (path for pattern in patterns for path in sorted(Path().glob(pattern)))
    return [str(path) for path in found if path.name != "__init__.py"]


def _setup() -> None:
    if not os.environ.get("GEARPY_COMPILE"):
        setup()
        return
    try:
        from mypyc.build import mypycify
    except ModuleNotFoundError:
        setup(setup_requires=_REQUIREMENTS)  # pip first asks what building takes
        return
    setup(
        ext_modules=mypycify(_sources(), group_name="gearpy.compiled"),
        setup_requires=_REQUIREMENTS,
    )


_setup()
