"""Who is let in over HTTP, and with how much."""

import asyncio
import base64
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from gearpy.testing.process import ServerProcess
from gearpy.web.guard import Guard, _without_port
from gearpy.web.serving import _Protocol
from tests.docstrings import run_examples
from tests.web.conftest import LIMIT_S
from tests.web.test_api import problem_of

TOKEN = "s3cret: yés"


@pytest.fixture(scope="module")
def locked() -> Iterator[ServerProcess]:
    with ServerProcess("--http", "127.0.0.1:0", "--http-token", TOKEN) as process:
        yield process


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic("ann", TOKEN), basic("", TOKEN)]
)
def test_the_token_lets_in(authorization: str, locked: ServerProcess) -> None:
    url = f"{locked.http_url}/api/statistics"
    headers = [(b"authorization", authorization.encode())]
    assert httpx.get(url, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Token {TOKEN}",
        TOKEN,
        "Basic %%%",
        basic(TOKEN, ""),
        basic("ann", "wrong"),
    ],
)
@pytest.mark.parametrize("path", ["/api/statistics", "/api", "/metrics", "/api/openapi.json", "/x"])
def test_nobody_else_is(path: str, authorization: str | None, locked: ServerProcess) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    answer = httpx.get(f"{locked.http_url}{path}", headers=headers)
    assert "token" in problem_of(answer, 401)["detail"]
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_health_needs_no_token(locked: ServerProcess) -> None:
    assert httpx.get(f"{locked.http_url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{locked.http_url}/readyz").json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:99", "[::1]", "LOCALHOST:1"])
def test_this_machines_names_are_ours(host: str, shared: ServerProcess) -> None:
    assert httpx.get(f"{shared.http_url}/api/jobs", headers={"host": host}).status_code == 200


def test_so_is_the_address_that_it_listens_on() -> None:
    with ServerProcess("--http", "127.0.0.2:0") as server:
        found = re.search(r"http://127\.0\.0\.2:\d+", server.start_line)
        assert found is not None
        assert httpx.get(f"{found[0]}/api/jobs").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""])
def test_without_a_token_no_other_name_is(host: str, shared: ServerProcess) -> None:
    answer = httpx.get(f"{shared.http_url}/api/jobs", headers={"host": host})
    assert "name" in problem_of(answer, 421)["detail"]


def test_a_page_of_another_host_changes_nothing(web: ServerProcess, http: httpx.Client) -> None:
    job = {"function": "f"}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = http.post("/api/jobs", json=job, headers={"origin": origin})
        assert "another host" in problem_of(answer, 403)["detail"]
    assert http.post("/api/jobs", json=job, headers={"origin": web.http_url}).status_code == 202
    assert http.get("/api/jobs", headers={"origin": "https://evil.example"}).status_code == 200


def test_large_bodies_are_refused_and_the_server_goes_on(tmp_path: Path) -> None:
    flags = ("--max-payload", "4096", "--max-output", "8192", "--http", "127.0.0.1:0")

    def pieces() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    with ServerProcess(*flags) as server:
        with httpx.Client(base_url=server.http_url, timeout=LIMIT_S) as http:
            path = "/api/functions/f/jobs"
            assert http.post(path, content=b"x" * 3000).status_code == 202
            assert "takes" in problem_of(http.post(path, content=b"x" * 4096), 413)["detail"]
            assert "takes" in problem_of(http.post(path, content=b"x" * 10**6), 413)["detail"]
            try:
                refused = http.post(path, content=pieces())
            except (httpx.WriteError, httpx.ReadError):
                pass  # it hung up on the flood before its answer was read
            else:
                problem_of(refused, 413)
            assert len(http.get("/api/jobs").json()["jobs"]) == 1


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def read_it(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    guard = Guard(read_it, hosts=("x",), body_bytes_max=10, body_s=0.01)
    with pytest.raises(Exception, match=r"did not come within 0\.01 s"):
        await guard(post_of_one_byte(), nothing, unheard)


async def test_a_request_may_take_its_time_once_its_body_is_there() -> None:
    async def wait_on(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await receive()

    messages: list[Message] = [{"type": "http.request", "body": b"x"}]

    async def receive() -> Message:
        return messages.pop() if messages else await nothing()

    guard = Guard(wait_on, hosts=("x",), body_bytes_max=10, body_s=0.01)
    await guard(post_of_one_byte(), receive, unheard)


def post_of_one_byte() -> Scope:
    headers = [(b"host", b"x"), (b"content-length", b"1")]
    return {"type": "http", "path": "/", "raw_path": b"/", "method": "POST", "headers": headers}


async def nothing() -> Message:
    """What a client says that says nothing."""
    await asyncio.Event().wait()
    raise AssertionError


async def unheard(message: Message) -> None:
    raise AssertionError("nobody answers")


async def test_who_holds_a_connection_for_nothing_is_hung_up_on() -> None:
    class Hasty(_Protocol):
        patience_s = 0.05

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)  # longer than anybody may be silent: this one is at work
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, lifespan="off", log_config=None, http=Hasty)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Hasty(config, state, {}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for said in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(LIMIT_S):
            answer = await reader.read()  # until it hangs up
        assert answer.startswith(b"HTTP/1.1 204") is said.endswith(b"\r\n\r\n")
        writer.close()
    server.close()


def test_headers_do_not_grow_without_a_limit(shared: ServerProcess) -> None:
    port = int(shared.http_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.settimeout(LIMIT_S)
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        said = b""
        try:
            for _ in range(10_000):
                stranger.sendall(b"X: " + b"x" * 1000 + b"\r\n")
        except OSError:
            pass  # it hung up
        else:
            said = stranger.recv(100)
        assert said == b"" or said.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "something"])
def test_a_body_arrives_whatever_else_its_client_would_rather_speak(
    upgrade: str, http: httpx.Client
) -> None:
    headers = {"connection": "Upgrade", "upgrade": upgrade}
    http.post("/api/functions/f/jobs", content=b"hello", headers=headers)
    (job,) = http.get("/api/jobs").json()["jobs"]
    assert job["payload_bytes"] == 5


def test_answers_are_not_framed_nor_guessed(shared_http: httpx.Client) -> None:
    for path in ("/", "/api", "/api/jobs", "/metrics", "/nothing"):
        headers = shared_http.get(path).headers
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == (
            "DENY",
            "nosniff",
        )


def test_it_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pem = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ServerProcess("--http", "127.0.0.1:0", "--http-cert", str(pem)) as server:
        assert server.http_url.startswith("https://")
        answer = httpx.get(
            f"{server.http_url}/healthz",
            verify=ssl.create_default_context(cafile=tmp_path / "ca.pem"),
        )
        assert answer.json() == {"status": "ok"}


def test_examples() -> None:
    import gearpy.web.guard

    assert run_examples(gearpy.web.guard).failed == 0
    assert _without_port("") == ""
