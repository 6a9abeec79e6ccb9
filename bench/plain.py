"""gearpy-server in plain Python, also where its compiled form is installed beside the sources."""

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parent.parent / "gearpy"


def _finder(folder: str) -> FileFinder:
    """What looks for modules in a folder of gearpy: for sources only."""
    if not Path(folder).is_relative_to(_PACKAGE):
        raise ImportError
    return FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES))


if __name__ == "__main__":
    sys.path_hooks.insert(0, _finder)
    from gearpy.cli.serve import main

    main()
