"""Functions as a look has them, made up."""

from typing import Any

from gearpy.cli.top_looks import Function


def function(name: str, **facts: Any) -> Function:
    return Function(**{"name": name, "queued": 0, "running": 0, "workers": 0, **facts})
