"""The tools gearman and gearadmin print against gearpy-server what they print against gearmand.

The transcripts say where that is not so, and why.
"""

import os
from pathlib import Path
from typing import Final

import pytest

from gearpy.testing.process import ServerProcess

from .processes import Finished, run
from .programs import HERE, require
from .stage import Stage
from .transcript import replay

# The commands in the transcripts don't say which server they are for.
_WITH_SERVER: Final = """\
gearman() { command gearman -h "$SERVER_HOST" -p "$SERVER_PORT" "$@"; }
gearadmin() { command gearadmin -h "$SERVER_HOST" -p "$SERVER_PORT" "$@"; }
"""


@pytest.mark.parametrize("name", ["gearadmin", "gearman"])
def test_a_transcript(server: ServerProcess, stage: Stage, tmp_path: Path, name: str) -> None:
    require("tools")
    environment = {
        **os.environ,
        "SERVER_HOST": server.host,
        "SERVER_PORT": str(server.port),
        "SERVER_PID": str(server.pid),
        "TMP": str(tmp_path),
        "HANDLES": "s/H:[^:]+:[0-9]+/H:HOST:N/",
    }

    def command(line: str) -> list[str]:
        return ["sh", "-c", _WITH_SERVER + line]

    def run_line(line: str) -> Finished:
        return run(command(line), environment=environment)

    transcript = (HERE / "transcripts" / f"{name}.txt").read_text()
    printed = replay(transcript, run_line, lambda line: stage.start(command(line), environment))

    assert list(printed) == transcript.splitlines()
