"""Where requests may go, and where they must not."""

import pytest

from gearpy.errands import hosts
from gearpy.errands.hosts import Hosts
from gearpy.errors import BadErrand, InvalidArgument
from tests.docstrings import run_examples

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


async def refusal(patterns: list[str], host: str, port: int = 80) -> str:
    """Why a host may not be asked."""
    with pytest.raises(BadErrand) as caught:
        await Hosts(patterns).addresses(host, port)
    return str(caught.value)


async def is_named(patterns: list[str], host: str, port: int = 80) -> bool:
    """Whether a host is allowed by its name, wherever it is: ``.invalid`` is nowhere."""
    why = await refusal(patterns, host, port)
    assert ("nobody knows where" in why) != ("not allowed here" in why)
    return "nobody knows where" in why


def test_the_examples_in_its_docstrings_are_true() -> None:
    assert run_examples(hosts).failed == 0


# ---- names


@pytest.mark.parametrize(
    ("pattern", "host", "port"),
    [
        ("api.invalid", "api.invalid", 80),
        ("API.Invalid", "api.iNVALID", 80),
        ("api.invalid.", "api.invalid", 80),
        ("api.invalid", "api.invalid.", 80),
        ("*.invalid", "api.invalid", 443),
        ("*.invalid", "a.b.invalid", 443),
        ("api?.invalid", "api7.invalid", 80),
        ("*", "api.invalid", 1),
        ("*:80", "api.invalid", 80),
        ("api.invalid:8080", "api.invalid", 8080),
        ("xn--bcher-kva.invalid", "xn--bcher-kva.invalid", 80),
        ("under_score-d.invalid", "under_score-d.invalid", 80),
    ],
)
async def test_a_name_that_is_allowed(pattern: str, host: str, port: int) -> None:
    assert await is_named(["other.invalid", pattern], host, port)


@pytest.mark.parametrize(
    ("pattern", "host", "port"),
    [
        ("api.invalid", "xapi.invalid", 80),
        ("api.invalid", "x.api.invalid", 80),
        ("api.invalid", "api.invalid.evil.invalid", 80),
        ("api.invalid", "apixinvalid", 80),
        ("*.api.invalid", "api.invalid", 80),
        ("*.api.invalid", "evilapi.invalid", 80),
        ("*.api.invalid", "x.api.invalid.evil.invalid", 80),
        ("api.invalid:8080", "api.invalid", 80),
        ("*:8080", "api.invalid", 808),
        ("10.0.0.0/8", "api.invalid", 80),
        ("0.0.0.0/0", "api.invalid", 80),
        ("::/0", "api.invalid", 80),
    ],
)
async def test_a_name_that_is_not(pattern: str, host: str, port: int) -> None:
    assert not await is_named([pattern], host, port)


async def test_nothing_is_allowed_where_nothing_is_said() -> None:
    why = "requests to api.invalid:80 are not allowed here; no --allow-host names it"
    assert await refusal([], "api.invalid") == why


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid", "." * 300, ".", "\0", " "])
async def test_a_name_that_none_can_be_is_nowhere(host: str) -> None:
    assert "nobody knows where" in await refusal(["*"], host)


# ---- addresses and networks


@pytest.mark.parametrize(
    ("pattern", "host", "port"),
    [
        (PUBLIC, PUBLIC, 80),
        (f"{PUBLIC}:8080", PUBLIC, 8080),
        ("93.184.0.0/16", PUBLIC, 80),
        ("93.184.215.14/16", PUBLIC, 80),
        ("0.0.0.0/0", PUBLIC, 80),
        ("*", PUBLIC, 80),
        ("*:443", PUBLIC, 443),
        (PUBLIC_V6, PUBLIC_V6, 80),
        (f"[{PUBLIC_V6}]", PUBLIC_V6, 80),
        (f"[{PUBLIC_V6}]:8080", PUBLIC_V6, 8080),
        ("2606:2800::/32", PUBLIC_V6, 80),
        ("[2606:2800::/32]:443", PUBLIC_V6, 443),
        ("2606:2800:021f:CB07:6820:80da:af6b:8b2c", PUBLIC_V6, 80),
        ("*", PUBLIC_V6, 80),
        ("10.1.0.0/16", "10.1.2.3", 80),
        ("10.1.0.0/16:6379", "10.1.2.3", 6379),
        ("127.0.0.1", "127.0.0.1", 80),
        ("169.254.169.254", "169.254.169.254", 80),
        ("::1", "::1", 80),
        ("[::1]:80", "::1", 80),
        ("fd00::/8", "fd00::7", 80),
    ],
)
async def test_an_address_that_is_allowed(pattern: str, host: str, port: int) -> None:
    assert await Hosts(["other.invalid", pattern]).addresses(host, port) == [host]


@pytest.mark.parametrize(
    ("pattern", "host", "port"),
    [
        (PUBLIC, "93.184.215.15", 80),
        (f"{PUBLIC}:8080", PUBLIC, 80),
        ("93.184.0.0/16", "93.185.0.1", 80),
        ("[2606:2800::/32]:443", PUBLIC_V6, 80),
        ("0.0.0.0/0", PUBLIC_V6, 80),
        ("0.0.0.0/0", f"::ffff:{PUBLIC}", 80),
        ("127.0.0.0/8", "::ffff:127.0.0.1", 80),
        ("127.0.0.1", "::ffff:7f00:1", 80),
        ("127.0.0.1", "127.1", 80),
        ("127.0.0.1", "2130706433", 80),
        ("10.1.0.0/16", "10.2.0.0", 80),
    ],
)
async def test_an_address_that_is_not(pattern: str, host: str, port: int) -> None:
    assert "are not allowed here" in await refusal([pattern], host, port)


# ---- what is no pattern


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "'' is no host: write example.org"),
        (".", "'.' is no host"),
        ("...:80", "'...:80' is no host"),
        (":80", "':80' is no host"),
        ("http://example.org", "is no host"),
        ("http://example.org:80", "is no host"),
        ("example.org/path", "is no host, and no network of addresses"),
        ("example.org:", "is no host"),
        ("example.org:http", "is no host"),
        ("example.org:0", "has no port from 1 to 65535"),
        ("example.org:65536", "has no port from 1 to 65535"),
        ("example.org:" + "9" * 5000, "is no host"),
        ("example.org:-1", "is no host"),
        ("exa mple.org", "is no host"),
        ("user@example.org", "is no host"),
        ("example.org\n", "is no host"),
        ("a,b", "is no host"),
        ("10.0.0.0/33", "is no host, and no network of addresses"),
        ("10.0.0/8", "is no host, and no network of addresses"),
        ("10.0.0.0/8/8", "is no host, and no network of addresses"),
        ("[example.org]", "is no host, and no network of addresses"),
        ("[10.0.0.1", "is no host"),
        ("2606:2800::/32:443", "is no host"),
        ("10.0.0.1]", "is no host, and no network of addresses"),
        ("[::1", "is no host"),
        ("[[::1]]", "is no host"),
        ("example[0-9].org", "is no host, and no network of addresses"),
        ("fe80::1%eth0:80", "is no host"),
        ("bücher.example", "write the name as DNS has it"),
        ("example.org:٣", "write the name as DNS has it"),
    ],
)
def test_what_is_no_pattern_is_a_sentence(pattern: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Hosts(["example.org", pattern])
    assert says in str(caught.value)


# ---- addresses that are not everybody's

INNER = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",  # a carrier's
    "100.100.100.200",  # a cloud's secrets: Alibaba's,
    "169.254.169.254",  # those of most,
    "192.0.0.192",  # Oracle's,
    "168.63.129.16",  # and Azure's
    "0.0.0.0",
    "0.1.2.3",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001:db8::1",
    "2001:10::1",
    "5f00::1",
    "4000::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::ffff:168.63.129.16",
    "::ffff:224.0.0.1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::93.184.215.14",
    "64:ff9b:1::10.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("address", INNER)
@pytest.mark.parametrize("pattern", ["*", "*:80", "*?*"])
async def test_a_star_never_opens_an_inner_address(pattern: str, address: str) -> None:
    why = await refusal(["localhost", "db.invalid", "8.8.8.8", pattern], address)
    assert "which is not an address of the public Internet" in why
    assert "say --allow-host" in why


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "0",
        "0.0",
        "0x0",
        "00000",
        "3232235777",  # 192.168.1.1
        "2852039166",  # 169.254.169.254
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "10.1",
        "LOCALHOST",
        "localhost.",
    ],
)
@pytest.mark.parametrize("pattern", ["*", "*:80", "*0*", "*1*", "*a*"])
async def test_an_address_in_disguise_is_not_opened_either(pattern: str, host: str) -> None:
    """Whatever this machine takes them for."""
    why = await refusal([pattern, "10.9.0.0/16", "127.0.0.1:81"], host)
    assert any(
        each in why
        for each in ("not an address of the public", "nobody knows where", "are not allowed here")
    )


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1 .invalid", "127.0.0.1\t", "127.0.0.1#.invalid", "127.0.0.1%.invalid", "::1%lo"],
)
async def test_what_stands_behind_an_address_does_not_hide_it(host: str) -> None:
    why = await refusal(["*"], host)
    assert "nobody knows where" in why or "not an address of the public Internet" in why


async def test_a_named_host_is_opened_wherever_it_is() -> None:
    found = await Hosts(["localhost"]).addresses("LocalHost.", 80)
    assert set(found) <= {"127.0.0.1", "::1"}
    assert await Hosts(["localhost:80"]).addresses("localhost", 80) == found
    assert await Hosts(["*", "127.0.0.0/8", "::1"]).addresses("localhost", 80) == found


@pytest.mark.parametrize(
    ("patterns", "host"),
    [
        (["localhost:8080", "*"], "localhost"),
        (["127.0.0.0/8:8080", "[::1/128]:8080", "*"], "localhost"),
        (["127.0.0.0/8:8080", "*"], "127.0.0.1"),
        (["127.0.0.1:8080", "*:22"], "127.0.0.1"),
        (["[::1]:8080", "*"], "::1"),
        (["10.0.0.0/8:8080", "*"], "10.1.2.3"),
    ],
)
async def test_another_port_stays_closed_whatever_else_is_allowed(
    patterns: list[str], host: str
) -> None:
    hosts = Hosts(patterns)
    assert await hosts.addresses(host, 8080)
    assert "not an address of the public Internet" in await refusal(patterns, host, 22)


@pytest.mark.parametrize("pattern", ["local*", "?ocalhost", "localhos?", "*localhost*"])
async def test_half_a_name_is_no_name(pattern: str) -> None:
    why = await refusal([pattern], "localhost")
    assert "which is not an address of the public Internet" in why


async def test_one_inner_address_among_several_is_enough_to_refuse() -> None:
    found = ["93.184.215.14", "10.1.2.3", "fd00::1"]

    async def find(host: str, port: int) -> list[str]:
        return found

    for allowed in ([], ["10.0.0.0/8"], ["fd00::/8"]):
        with pytest.raises(BadErrand, match="not an address of the public Internet"):
            await Hosts(["*.example.org", *allowed], find).addresses("a.example.org", 80)
    hosts = Hosts(["*.example.org", "10.0.0.0/8", "fd00::/8"], find)
    assert await hosts.addresses("a.example.org", 80) == found
