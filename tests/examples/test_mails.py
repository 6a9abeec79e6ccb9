"""The mail example, with a mail server that has its moods."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from examples import mails
from gearpy.testing.inline import InlineClient
from gearpy.testing.process import ServerProcess
from tests.examples.programs import EXAMPLES
from tests.workers import running

LETTER = "Good news\nDear {name},\n\nit is summer.\n"


class Postman:
    """Takes letters, but for those to "later" the first time, and never to "nobody"."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str, str]] = []
        self.refused: list[str] = []

    async def handle_RCPT(  # aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such person"
        if address.startswith("later") and address not in self.refused:
            self.refused.append(address)
            return "450 too busy"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        letter = message_from_bytes(envelope.content)
        text = str(letter.get_payload()).replace("\r\n", "\n")
        self.letters.append((envelope.rcpt_tos[0], str(letter["Subject"]), text))
        return "250 OK"


@pytest.fixture
def postman(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postman]:
    postman = Postman()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(postman, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", str(port))
    yield postman
    controller.stop()


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    path.write_text("address,name\nann@there,Ann\nlater@there,Bob\nnobody@there,Eve\n")
    return path


def test_letters_are_sent_once_and_tried_again(postman: Postman, customers: Path) -> None:
    with InlineClient(mails.tasks) as client:
        ann, bob, eve = mails.submit(customers, LETTER)
        assert ann.result() == "sent"
        assert eve.result() == "refused: no such person"
        assert not bob.done
        assert client.advance(9) == 0
        assert client.advance(1) == 1
        assert bob.result() == "sent"
    assert postman.letters == [
        ("ann@there", "Good news", "Dear Ann,\n\nit is summer.\n"),
        ("later@there", "Good news", "Dear Bob,\n\nit is summer.\n"),
    ]


def test_the_program(
    postman: Postman, customers: Path, tmp_path: Path, server: ServerProcess
) -> None:
    customers.write_text("address,name\nann@there,Ann\nnobody@there,Eve\n")
    letter = tmp_path / "letter.txt"
    letter.write_text(LETTER)
    command: list[str | Path] = [sys.executable, EXAMPLES / "mails.py", customers]
    command += ["--letter", letter]
    worker = mails.tasks.worker()
    worker.adapt(servers=server.address)
    with running(worker):
        done = subprocess.run(
            command,
            env={"GEARPY_SERVERS": server.address},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert "sent\nrefused: no such person\n" in done.stdout
    done = subprocess.run(
        [*command[:2], tmp_path / "none.csv", "--letter", letter],
        env={"GEARPY_SERVERS": server.address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mails: ")
