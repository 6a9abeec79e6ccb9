"""Requests over HTTP, to receivers that are really there."""

import asyncio
import gzip
import json
import ssl
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from gearpy.errands.hosts import Hosts
from gearpy.errands.orders import (
    HTTP_FUNCTION,
    REDIRECTS_MAX,
    NotWell,
    Output,
    Request,
    Response,
    read_request,
)
from gearpy.errands.requests import Requester
from gearpy.errands.worker import CONCURRENCY, Allowance, Errands
from gearpy.errors import BadErrand, FailJob
from gearpy.version import VERSION
from tests.errands.receiver import Answer, Receiver, nobody, receiving, redirect, saying, silent

BYTES_MAX = 1 << 20
LIMIT_S = 30.0
INNER = ("127.0.0.0/8", "::1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Somebody else."""
    with receiving() as made:
        yield made


async def ask(
    url: str, *, hosts: tuple[str, ...] = INNER, bytes_max: int = BYTES_MAX, **order: Any
) -> Response:
    """The answer to a request as it stands in a job."""
    payload = json.dumps({"url": url, "timeout_s": LIMIT_S, **order}).encode()
    async with Requester(Hosts(hosts), bytes_max) as requester:
        return await requester.perform(read_request(payload))


async def failure(url: str, **order: Any) -> str:
    """Why there is no good answer."""
    with pytest.raises(FailJob) as caught:
        await ask(url, **order)
    return str(caught.value)


# ---- what is sent


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_each_method_arrives_with_its_parameters(method: str, receiver: Receiver) -> None:
    params = {"id": 7, "name": "größe & co", "many": ["a", "b=c"], "yes": True, "half": 0.5}
    encoded = "id=7&name=gr%C3%B6%C3%9Fe+%26+co&many=a&many=b%3Dc&yes=true&half=0.5"
    answer = await ask(f"{receiver.url}/path?first=1", method=method, params=params)
    [asked] = receiver.asked
    assert asked.method == method
    if method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        assert (asked.target, asked.body) == (f"/path?first=1&{encoded}", b"")
        assert "content-type" not in asked.headers
    else:
        assert (asked.target, asked.body) == ("/path?first=1", encoded.encode())
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"well")


async def test_a_body_arrives_as_it_is(receiver: Receiver) -> None:
    everything = bytes(range(256)) * 1000
    request = Request(url=receiver.url, method="PUT", body=everything, timeout_s=LIMIT_S)
    async with Requester(Hosts(INNER), BYTES_MAX) as requester:
        await requester.perform(read_request(request.payload()))
    await ask(receiver.url, method="POST", body='{"a": 1}', headers={"Content-Type": "a/json"})
    await ask(receiver.url, method="DELETE", body="gone", params={"a": "b"})
    await ask(receiver.url, method="POST")
    first, second, third, fourth = receiver.asked
    assert (first.method, first.body) == ("PUT", everything)
    assert (second.body, second.headers["content-type"]) == (b'{"a": 1}', "a/json")
    assert (third.target, third.body) == ("/?a=b", b"gone")
    assert (fourth.body, fourth.headers["content-length"]) == (b"", "0")


async def test_headers_arrive_but_those_of_the_connection_are_ours(receiver: Receiver) -> None:
    forged = {
        "Host": "evil.example",
        "HOST": "evil.example",
        "Content-Length": "0",
        "Transfer-Encoding": "chunked",
        "Connection": "upgrade",
        "Upgrade": "websocket",
        "Accept-Encoding": "br",
    }
    own = {"X-Own": "yes", "User-Agent": "mine", "Accept": "text/plain", "Cookie": "a=b"}
    await ask(f"{receiver.url}/", method="POST", body="body", headers={**forged, **own})
    await ask(f"{receiver.url}/")
    asked, plain = receiver.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/", b"body")
    assert asked.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert asked.headers["content-length"] == "4"
    assert not {"transfer-encoding", "upgrade"} & set(asked.headers)
    assert asked.headers["accept-encoding"] == "gzip"
    assert {name.lower(): value for name, value in own.items()}.items() <= asked.headers.items()
    assert plain.headers["user-agent"] == f"gearpy/{VERSION}"


async def test_a_host_is_named_as_it_was_asked_for(receiver: Receiver) -> None:
    url = f"http://LocalHost:{receiver.port}/"
    answer = await ask(url, hosts=("localhost",))
    assert receiver.asked[0].headers["host"] == f"localhost:{receiver.port}"
    assert answer.url == f"http://localhost:{receiver.port}/"


async def test_a_user_in_the_url_is_the_one_who_asks(receiver: Receiver) -> None:
    url = f"http://ann:s3cret@127.0.0.1:{receiver.port}/"
    assert (await ask(url)).url == f"{receiver.url}/"
    assert receiver.asked[0].headers["authorization"] == "Basic YW5uOnMzY3JldA=="
    await ask(url, headers={"Authorization": "Bearer other"})
    assert receiver.asked[1].headers["authorization"] == "Bearer other"


async def test_what_may_be_secret_in_a_url_is_in_no_sentence(receiver: Receiver) -> None:
    receiver.answers(Answer(403, b"go away"))
    url = f"http://ann:s3cret@127.0.0.1:{receiver.port}/hook?token=s3cret#s3cret"
    why = await failure(url)
    assert why == f"GET http://127.0.0.1:{receiver.port}/hook was answered with 403: go away"
    receiver.answers(redirect("/hook?token=s3cret"))
    assert "s3cret" not in await failure(url)
    receiver.answers(Answer(body=b"x" * 11))
    assert "s3cret" not in await failure(url, bytes_max=10)


async def test_a_receiver_on_ipv6() -> None:
    with receiving("::1") as receiver:
        answer = await ask(f"{receiver.url}/path", hosts=("::1",))
        assert answer.url == f"http://[::1]:{receiver.port}/path"
        assert receiver.asked[0].headers["host"] == f"[::1]:{receiver.port}"
        answer = await ask(f"{receiver.url}/path", hosts=(f"[::1]:{receiver.port}",))
        assert "not allowed" in await failure(receiver.url, hosts=("[::1]:1",))


async def test_what_one_job_is_told_is_not_for_the_next_one(receiver: Receiver) -> None:
    receiver.answers(Answer(headers={"set-cookie": "session=s3cret; path=/"}))
    async with Requester(Hosts(INNER), BYTES_MAX) as requester:
        for _ in range(2):
            await requester.perform(Request(url=receiver.url, timeout_s=LIMIT_S))
    assert ["cookie" in asked.headers for asked in receiver.asked] == [False, False]


# ---- what is answered


async def test_an_answer_is_told_with_some_of_its_headers(receiver: Receiver) -> None:
    headers = {"content-type": "text/plain", "etag": '"7"', "x-other": "no", "set-cookie": "a=b"}
    receiver.answers(Answer(201, b"\xff made", headers))
    answer = await ask(f"{receiver.url}/a")
    assert (answer.status, answer.url, answer.body) == (201, f"{receiver.url}/a", b"\xff made")
    assert dict(answer.headers).items() >= {"content-type": "text/plain", "etag": '"7"'}.items()
    assert not {"x-other", "set-cookie"} & set(answer.headers)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503, 599])
async def test_a_bad_status_is_told_with_all_that_was_said(status: int, receiver: Receiver) -> None:
    receiver.answers(Answer(status, b"no such\nphoto\x1b[2J" + b"x" * 1000, {"retry-after": "7"}))
    with pytest.raises(NotWell) as caught:
        await ask(f"{receiver.url}/photo", method="POST")
    report = caught.value.report
    assert isinstance(report, Response)
    assert (report.status, len(report.body)) == (status, 1017)
    assert report.headers["retry-after"] == "7"
    why = str(caught.value)
    assert why.startswith(f"POST {receiver.url}/photo was answered with {status}: no such photo [2")
    assert why.isprintable()
    assert len(why) < 300


async def test_a_bad_status_without_a_word(receiver: Receiver) -> None:
    receiver.answers(Answer(500, b""))
    assert (await failure(receiver.url)).endswith("was answered with 500")


@pytest.mark.parametrize("status", [200, 204, 304, 399])
async def test_other_statuses_are_good(status: int, receiver: Receiver) -> None:
    receiver.answers(Answer(status, b""))
    assert (await ask(receiver.url)).status == status


@pytest.mark.parametrize("endless", [True, False])
async def test_an_answer_that_is_too_large_is_given_up(endless: bool, receiver: Receiver) -> None:
    receiver.answers(Answer(body=b"x" * 1000, endless=endless))
    why = await failure(receiver.url, bytes_max=999)
    assert why == f"the answer of {receiver.url} has more than 999 bytes"
    receiver.answers(Answer(body=b"x" * 1000))
    assert len((await ask(receiver.url, bytes_max=1000)).body) == 1000


async def test_an_answer_may_be_compressed(receiver: Receiver) -> None:
    text = b"".join(b"%d " % number for number in range(100_000))
    for name in ("gzip", "GZIP", "x-gzip"):
        receiver.answers(Answer(body=gzip.compress(text), headers={"content-encoding": name}))
        assert (await ask(receiver.url)).body == text
    assert (await failure(receiver.url, bytes_max=len(text) - 1)).endswith("bytes")
    assert len((await ask(receiver.url, bytes_max=len(text))).body) == len(text)


async def test_a_little_that_is_very_much_is_given_up(receiver: Receiver) -> None:
    """And never unpacked: it could be more than there is memory."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    twice = gzip.compress(bomb)
    assert len(twice) < 4_000
    tracemalloc.start()
    try:
        receiver.answers(Answer(body=bomb, headers={"content-encoding": "gzip"}))
        assert "has more than" in await failure(receiver.url)
        receiver.answers(Answer(body=twice, headers={"content-encoding": "gzip, gzip"}))
        assert "can't be read: it is encoded as 'gzip, gzip'" in await failure(receiver.url)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("more", [1, 300_000])
async def test_what_stands_behind_the_end_of_it_is_not_kept(more: int, receiver: Receiver) -> None:
    body = gzip.compress(b"text") + bytes(more)
    receiver.answers(Answer(body=body, headers={"content-encoding": "gzip"}, endless=True))
    assert "there is something behind its end" in await failure(receiver.url)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "x" * 1000])
async def test_an_encoding_that_can_not_be_read_is_said(encoding: str, receiver: Receiver) -> None:
    receiver.answers(Answer(body=b"no gzip", headers={"content-encoding": encoding}))
    why = await failure(receiver.url)
    assert f"the answer of {receiver.url} can't be read" in why
    receiver.answers(Answer(204, b"", headers={"content-encoding": encoding}))
    assert (await ask(receiver.url)).status == 204


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 twohundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000,
        b"HTTP/1.1 302 Found\r\nlocation: http://[::1/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://a:b/\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: \xff\xfe\x01\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_a_sentence(answer: bytes) -> None:
    with saying(answer) as url:
        assert url in await failure(url)


# ---- when there is none


async def test_nobody_is_waited_for_longer_than_was_said(receiver: Receiver) -> None:
    with silent() as url:
        why = await failure(f"{url}/path", timeout_s=0.3)
    assert why == f"GET {url}/path was not answered within 0.3 s"
    receiver.answers(Answer(endless=True))
    assert "was not answered within 0.3 s" in await failure(receiver.url, timeout_s=0.3)
    with silent() as url:
        tls = url.replace("http", "https")
        assert "was not answered within 0.3 s" in await failure(tls, timeout_s=0.3)


async def test_a_host_that_is_not_there(receiver: Receiver) -> None:
    url = nobody()
    assert (await failure(url)).startswith(f"GET {url} failed: ")
    why = await failure("http://nowhere.invalid/", hosts=("*",))
    assert why.startswith("nobody knows where nowhere.invalid is: ")


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///path",
        "http://:80/",
        "http://[::1",
        "http://[::1]x/",
        "http://a:b/",
        "http://a:99999/",
        "http://1.2.3.400/",
        "http://0177.0.0.1/",
        "http://" + "a" * 70_000,
        "http://\N{LATIN SMALL LETTER DOTLESS I}\N{COMBINING DIAERESIS}\N{SNOWMAN}/",
    ],
)
async def test_what_is_no_url_is_a_sentence(url: str) -> None:
    why = await failure(url, hosts=("*",))
    assert " is no URL" in why
    assert len(why) < 400


# ---- certificates


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[Receiver]:
    """One whose certificate is for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with receiving(context=context) as made:
        yield made


async def test_a_certificate_that_nobody_knows_is_refused(secured: Receiver) -> None:
    url = f"https://localhost:{secured.port}/"
    why = await failure(url, hosts=("localhost",), headers={"authorization": "s3cret"})
    assert why.startswith(f"GET {url} failed: ")
    assert "certificate verify failed" in why
    assert secured.asked == []


async def test_one_that_is_known_is_good_for_its_own_name_only(
    secured: Receiver, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    answer = await ask(f"https://localhost:{secured.port}/", hosts=("localhost",))
    assert answer.status == 200
    assert "IP address mismatch" in await failure(secured.url)
    assert len(secured.asked) == 1


# ---- redirects


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (301, "HEAD", "HEAD"),
        (302, "POST", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (307, "PUT", "PUT"),
        (308, "POST", "POST"),
        (308, "GET", "GET"),
    ],
)
async def test_a_redirect_is_followed(
    status: int, method: str, then: str, receiver: Receiver
) -> None:
    receiver.answers(redirect("../there?x=1", status), Answer())
    body = "body" if method in ("POST", "PUT") else None
    answer = await ask(f"{receiver.url}/a/b", method=method, body=body)
    assert answer.url == f"{receiver.url}/there?x=1"
    first, second = receiver.asked
    assert (first.method, first.target) == (method, "/a/b")
    assert (second.method, second.target) == (then, "/there?x=1")
    assert second.body == (first.body if then == method else b"")
    assert second.headers.get("content-length", "0") == str(len(second.body))


async def test_a_form_that_becomes_a_get_leaves_its_type_behind(receiver: Receiver) -> None:
    receiver.answers(redirect("/there"), Answer())
    await ask(receiver.url, method="POST", params={"a": "b"})
    assert receiver.asked[1].body == b""
    assert "content-type" not in receiver.asked[1].headers


async def test_what_is_no_redirect_is_an_answer(receiver: Receiver) -> None:
    for status in (300, 304, 305, 306):
        receiver.answers(redirect("/there", status))
        assert (await ask(receiver.url)).status == status
    receiver.answers(Answer(302, b"nowhere"))
    assert (await ask(receiver.url)).body == b"nowhere"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_a_request_that_is_not_to_be_redirected_is_not(
    status: int, receiver: Receiver
) -> None:
    receiver.answers(redirect("/login", status), Answer())
    why = await failure(receiver.url, redirects=0)
    assert why == f"GET {receiver.url} was answered with {status}"
    assert len(receiver.asked) == 1
    assert (await ask(f"{receiver.url}/", redirects=0)).status == 200


async def test_redirects_come_to_an_end(receiver: Receiver) -> None:
    receiver.answers(redirect("/"))
    why = await failure(receiver.url)
    assert why == f"{receiver.url} was redirected more than {REDIRECTS_MAX} times"
    assert len(receiver.asked) == REDIRECTS_MAX + 1
    receiver.answers(*[redirect("/")] * REDIRECTS_MAX, Answer())
    assert (await ask(receiver.url)).status == 200


SECRETS = {
    "Authorization": "Bearer s3cret",
    "Cookie": "session=s3cret",
    "X-Api-Key": "s3cret",
    "webhook-id": "1",
    "webhook-timestamp": "1",
    "webhook-signature": "v1,s3cret",
}


@pytest.mark.parametrize("status", [302, 307])
async def test_what_was_said_to_one_host_is_not_said_to_another(
    status: int, receiver: Receiver, other: Receiver
) -> None:
    order: dict[str, Any] = {
        "method": "POST",
        "body": "{}",
        "headers": {**SECRETS, "Accept": "text/plain", "Content-Type": "application/json"},
    }
    receiver.answers(redirect(f"{other.url}/there", status))
    await ask(f"http://ann:s3cret@127.0.0.1:{receiver.port}/", **order)
    [asked] = other.asked
    assert "s3cret" not in str(asked)
    assert not {name.lower() for name in SECRETS} & set(asked.headers)
    assert asked.headers["accept"] == "text/plain"
    assert asked.headers["host"] == f"127.0.0.1:{other.port}"
    assert asked.headers.get("content-type") == ("application/json" if status == 307 else None)


async def test_the_same_place_under_another_name_is_another_host(receiver: Receiver) -> None:
    receiver.answers(redirect(f"http://localhost:{receiver.port}/"), Answer())
    await ask(receiver.url, headers=SECRETS, hosts=(*INNER, "localhost"))
    assert "s3cret" in str(receiver.asked[0])
    assert "s3cret" not in str(receiver.asked[1])


async def test_the_same_host_is_told_the_same(receiver: Receiver) -> None:
    receiver.answers(redirect(f"{receiver.url}/there"), Answer())
    await ask(receiver.url, headers=SECRETS)
    assert receiver.asked[1].headers["authorization"] == "Bearer s3cret"
    assert receiver.asked[1].headers["webhook-signature"] == "v1,s3cret"


async def test_a_redirect_leads_to_no_host_that_is_not_allowed(
    receiver: Receiver, other: Receiver
) -> None:
    receiver.answers(redirect(other.url))
    why = await failure(receiver.url, hosts=(f"127.0.0.1:{receiver.port}",))
    assert why.startswith(f"requests to 127.0.0.1:{other.port} are not allowed here")
    assert other.asked == []


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0", "127.0.0.2", "[::ffff:127.0.0.1]", "[::1]"]
)
async def test_a_redirect_leads_to_no_inner_address(
    host: str, receiver: Receiver, other: Receiver
) -> None:
    receiver.answers(redirect(f"http://{host}:{other.port}/there"))
    why = await failure(receiver.url, hosts=(f"127.0.0.1:{receiver.port}", "*"))
    assert "not an address of the public Internet" in why
    assert other.asked == []


async def test_a_redirect_leads_to_no_other_port_of_an_allowed_address(
    receiver: Receiver, other: Receiver
) -> None:
    receiver.answers(redirect(f"{other.url}/there"))
    why = await failure(receiver.url, hosts=(f"127.0.0.1:{receiver.port}", "*"))
    assert "which is not an address of the public Internet" in why
    assert other.asked == []


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:1", "data:,x"]
)
async def test_a_redirect_leads_nowhere_but_to_the_web(to: str, receiver: Receiver) -> None:
    receiver.answers(redirect(to))
    assert "is no URL" in await failure(receiver.url)


# ---- hosts in disguise


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1",
        "\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}\N{FULLWIDTH DIGIT SEVEN}.1",
        "%6c%6f%63alhost",
        "a@127.0.0.1",
        "example.org#@127.0.0.1",
        "127.0.0.1%00.example.org",
        "127.0.0.1%20.example.org",
    ],
)
async def test_a_star_leads_nobody_inside(host: str, receiver: Receiver) -> None:
    with pytest.raises(BadErrand):
        await ask(f"http://{host}:{receiver.port}/", hosts=("*",))
    assert receiver.asked == []


async def test_what_looks_like_the_host_is_not_it(receiver: Receiver) -> None:
    """The user, the path and the rest do not name a host."""
    for url in (
        f"http://127.0.0.1:{receiver.port}@nowhere.invalid/",
        f"http://nowhere.invalid/127.0.0.1:{receiver.port}",
        f"http://nowhere.invalid?@127.0.0.1:{receiver.port}",
        f"http://nowhere.invalid#@127.0.0.1:{receiver.port}",
    ):
        assert "are not allowed here" in await failure(url, hosts=("127.0.0.1",)), url
    assert receiver.asked == []


async def test_a_name_is_looked_up_as_it_is_written_in_dns() -> None:
    """Python would look up strasse for straße, which is somebody else's."""
    why = await failure("http://straße.invalid/", hosts=("*",))
    assert "nobody knows where xn--strae-oqa.invalid is" in why
    why = await failure("http://straße.invalid/", hosts=("strasse.invalid", "stra?e.invalid"))
    assert why.startswith("requests to xn--strae-oqa.invalid:80 are not allowed here")


LOOKED_UP: list[str] = []


@pytest.fixture
def looked_up() -> list[str]:
    """The names that this process looks up, from now on."""
    if not LOOKED_UP:
        sys.addaudithook(_hear)  # for good: it can't be taken back
    LOOKED_UP[:] = ["begun"]
    return LOOKED_UP


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        LOOKED_UP.append(str(arguments[0]))
        if arguments[0] == SLOW:
            ASKED.release()
            GOES_ON.wait(LIMIT_S)


SLOW = "slow.invalid"
ASKED = threading.Semaphore(0)
GOES_ON = threading.Event()


async def test_names_that_take_long_hold_up_nobody_else(
    receiver: Receiver, looked_up: list[str]
) -> None:
    GOES_ON.clear()
    receiver.answers(Answer(body=b"here"))
    async with Errands(Allowance(hosts=(SLOW, "localhost"))) as errands:

        async def get(host: str) -> Response | Output:
            order = {"url": f"http://{host}:{receiver.port}/", "timeout_s": LIMIT_S}
            return await errands.perform(HTTP_FUNCTION, json.dumps(order).encode(), "H:vm:1")

        slow = [asyncio.create_task(get(SLOW)) for _ in range(CONCURRENCY)]
        try:
            for _ in slow:
                assert await asyncio.to_thread(ASKED.acquire, timeout=LIMIT_S)
            assert "here" in (await get("localhost")).result().decode()
            assert not any(each.done() for each in slow)
        finally:
            GOES_ON.set()
            refused = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(each, BadErrand) for each in refused)


async def test_a_name_is_looked_up_once_and_goes_nowhere_else(
    receiver: Receiver, looked_up: list[str]
) -> None:
    """Or else it could be somewhere else when it is gone to."""
    receiver.answers(redirect(f"http://localhost:{receiver.port}/there"), Answer())
    await ask(f"http://localhost:{receiver.port}/", hosts=("localhost",))
    assert len(receiver.asked) == 2
    assert looked_up == ["begun", "localhost", "localhost"]


async def test_no_proxy_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look names up once more, and go where it likes."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, receiver.url)
    assert "nobody knows" in await failure("http://nowhere.invalid/", hosts=("*",))
    assert receiver.asked == []
