"""gearpy-server with --http, as its users meet it: what the README says, and what goes wrong."""

import os
import re
import shlex
import signal
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gearpy.testing.process import ServerProcess
from tests.server.logs import LoggedServer
from tests.waiting import eventually
from tests.web.conftest import LIMIT_S

README = Path(__file__).parents[2] / "README.md"

WITHOUT_FASTAPI = """
import sys
sys.modules["fastapi"] = None
from gearpy.cli.serve import main
main()
"""


# Its Python may live where only root comes: what it takes later on is there before.
PREPARED = """
import encodings.unicode_escape
from gearpy.cli.serve import main
main()
"""


def commands() -> list[str]:
    """The README's calls of curl."""
    section = README.read_text().partition("## Over HTTP")[2].partition("\n## ")[0]
    return re.findall(r"^curl .*", section, re.MULTILINE)


def test_the_readmes_commands_work_as_printed(web: ServerProcess) -> None:
    assert len(commands()) > 5
    for line in commands():
        assert "localhost:4780" in line
        command = shlex.split(line.replace("http://localhost:4780", web.http_url))
        command = [word.replace("localhost:4780", web.http_url) for word in command]
        done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_it_says_where_it_serves(web: ServerProcess) -> None:
    assert f"; {web.http_url}; no journal" in web.start_line


def started(*flags: str, program: tuple[str, ...] = ("-m", "gearpy.cli.serve")) -> str:
    """What a server that does not start says; its exit code is that of a bad setting or address."""
    command = [sys.executable, *program, "--listen", "127.0.0.1", "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode in (1, 2), done.stderr
    assert done.stdout == ""
    return done.stderr


def test_without_its_libraries_it_says_what_to_install() -> None:
    program = ("-c", WITHOUT_FASTAPI)
    assert "pip install 'gearpy[web]'" in started("--http", "127.0.0.1:0", program=program)


def test_nothing_of_it_is_imported_unasked() -> None:
    code = (
        "import sys, gearpy.cli.serve, gearpy.server.server;"
        "print([name for name in ('fastapi', 'uvicorn', 'prometheus_client', 'gearpy.web')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_an_address_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"can't listen on 127.0.0.1 port {port}" in started("--http", f"127.0.0.1:{port}")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_certificate_is_said(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    if content is not None:
        file.write_text(content)
    assert "--http-cert" in started("--http", "127.0.0.1:0", "--http-cert", str(file))


def pem_files(folder: Path) -> tuple[Path, Path, Path]:
    """A certificate for 127.0.0.1, its key, and whom to trust for it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key, ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    ca.write_bytes(authority.cert_pem.bytes())
    return cert, key, ca


def test_a_key_of_another_certificate_is_said(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, _, _ = pem_files(tmp_path)
    _, key, _ = pem_files(tmp_path / "other")
    said = started("--http", "127.0.0.1:0", "--http-cert", str(cert), "--http-key", str(key))
    assert f"a certificate in {cert} and its key in {key}" in said


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    cert, key, _ = pem_files(tmp_path)
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    said = started("--http", "127.0.0.1:0", "--http-cert", str(cert), "--http-key", str(key))
    assert f"--http-key: the key in {key} has a passphrase" in said


@pytest.mark.parametrize(
    ("host", "token", "with_cert", "warns"),
    [
        ("127.0.0.1", "", False, ""),
        ("0.0.0.0", "secret", True, ""),
        ("0.0.0.0", "secret", False, "HTTP: the token and all data travel as they are"),
        ("0.0.0.0", "", True, "HTTP: a certificate keeps nobody out"),
    ],
)
def test_what_is_less_than_it_seems_is_warned_of(
    host: str, token: str, with_cert: bool, warns: str, tmp_path: Path
) -> None:
    flags = ["--http", f"{host}:0"]
    if with_cert:
        cert, key, _ = pem_files(tmp_path)
        flags += ["--http-cert", str(cert), "--http-key", str(key)]
    if token:
        flags += ["--http-token", token]
    with LoggedServer(*flags) as server:
        assert server.stop() == 0
    warnings = [line for line in server.all_lines() if "WARNING HTTP: " in line]
    assert len(warnings) == bool(warns)
    assert not warns or warns in warnings[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_key_that_only_root_may_read_is_read_before_root_is_given_up(tmp_path: Path) -> None:
    cert, key, ca = pem_files(tmp_path)
    key.chmod(0o600)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    flags = ("--user", "nobody", "--http-cert", str(cert), "--http-key", str(key))
    program = (sys.executable, "-c", PREPARED)
    with ServerProcess("--http", "127.0.0.1:0", *flags, program=program) as server:
        trust = ssl.create_default_context(cafile=ca)
        assert httpx.get(f"{server.http_url}/healthz", verify=trust).json() == {"status": "ok"}
        assert httpx.get(f"{server.http_url}/", verify=trust).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_with_requests_under_way(number: int) -> None:
    with ServerProcess("--http", "127.0.0.1:0") as server:
        waiting = socket.create_connection(("127.0.0.1", int(server.http_url.rpartition(":")[2])))
        body = b'{"function": "f", "wait_s": 1000}'
        waiting.sendall(
            b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        eventually(lambda: submitted(server), 1)
        assert server.stop(number) == 0
        waiting.settimeout(LIMIT_S)
        said = b""
        while part := waiting.recv(4096):
            said += part
        waiting.close()
        assert said.startswith(b"HTTP/1.1 503")
        assert b"SHUTTING_DOWN" in said


def submitted(server: ServerProcess) -> int:
    found: int = httpx.get(f"{server.http_url}/api/statistics").json()["statistics"]["submitted"]
    return found


def test_while_it_drains_it_is_not_ready(tmp_path: Path) -> None:
    with ServerProcess("--http", "127.0.0.1:0", "--drain-timeout", "30") as server:
        with socket.create_connection((server.host, server.port)) as worker:
            worker.sendall(b"\0REQ\0\0\0\x01\0\0\0\x01f\0REQ\0\0\0\x09\0\0\0\0")
            with httpx.Client(base_url=server.http_url) as http:
                http.post("/api/jobs", json={"function": "f"})
                worker.sendall(b"\0REQ\0\0\0\x09\0\0\0\0")
                eventually(lambda: http.get("/api/statistics").json()["statistics"]["running"], 1)
                server.process.send_signal(signal.SIGTERM)
                eventually(lambda: http.get("/readyz").status_code, 503)
                assert "shutting down" in http.get("/readyz").json()["status"]
                assert http.get("/healthz").status_code == 200
                refused = http.post("/api/jobs", json={"function": "f"})
                assert (refused.status_code, refused.json()["code"]) == (503, "SHUTTING_DOWN")
        assert server.process.wait(LIMIT_S) == 0
