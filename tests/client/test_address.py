"""Addresses as people write them, and the way to a server."""

import socket
import sys
from pathlib import Path

import pytest

from gearpy.address import Address, Tls, connect, read_address, read_addresses
from gearpy.errors import CannotConnect, SettingError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:4730", Address("localhost", 4730)),
        ("gearman.example.org:1", Address("gearman.example.org", 1)),
        ("gearman.example.org", Address("gearman.example.org", 4730)),
        ("127.0.0.1:65535", Address("127.0.0.1", 65535)),
        ("[::1]:4731", Address("::1", 4731)),
        ("[::1]", Address("::1", 4730)),
        ("[fe80::1%eth0]:4730", Address("fe80::1%eth0", 4730)),
        ("unix:///run/gearpy.sock", Address(path="/run/gearpy.sock")),
        ("unix:///with:colon and space", Address(path="/with:colon and space")),
        ("tls://host", Address("host", tls=Tls())),
        ("tls://[::1]:4731?ca=/etc/ca.pem", Address("::1", 4731, tls=Tls("/etc/ca.pem"))),
        ("tls://h:1?ca=a.pem&cert=b&key=c", Address("h", 1, tls=Tls("a.pem", "b", "c"))),
    ],
)
def test_is_read(text: str, address: Address) -> None:
    assert read_address(text) == address
    assert read_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":4730",
        "host:",
        "host:0",
        "host:65536",
        "host:port",
        "host:+1",
        "host:4730 ",
        "host:4730\n",
        "host: 4730",
        "host:\N{ARABIC-INDIC DIGIT ONE}",
        "1:2:3",
        "::1",
        "[::1",
        "[::1]4730",
        "[]:4730",
        "a b:4730",
        "/run/gearpy.sock",
        "tcp://host:4730",
        "unix://",
        "unix://relative",
        "unix:///nul\0",
    ],
)
def test_what_makes_no_sense_is_refused_with_the_forms_that_do(text: str) -> None:
    with pytest.raises(SettingError, match=r"host:port.*tls://.*unix:///path"):
        read_address(text)


@pytest.mark.parametrize("files", ["?ca", "?ca=", "?oak=1", "?cert=a&oak=", "?ca=a&&"])
def test_files_that_tls_knows_nothing_of(files: str) -> None:
    with pytest.raises(SettingError, match="behind the \\? stand files, like ca="):
        read_address(f"tls://host{files}")


def test_a_key_without_its_certificate() -> None:
    with pytest.raises(SettingError, match="key without a certificate"):
        read_address("tls://host?key=me.key")


@pytest.mark.parametrize(
    "servers", ["a:1, b:2,a:1", ["a:1", "b:2"], ("a:1,b:2",), iter(["a:1", "b:2"])]
)
def test_several_servers(servers: str | list[str]) -> None:
    assert read_addresses(servers) == (Address("a", 1), Address("b", 2))


def test_the_environment_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEARPY_SERVERS", raising=False)
    assert read_addresses(None) == (Address("localhost", 4730),)
    monkeypatch.setenv("GEARPY_SERVERS", "a:1,unix:///b")
    assert read_addresses(None) == (Address("a", 1), Address(path="/b"))
    assert read_addresses("c") == (Address("c"),)


@pytest.mark.parametrize("servers", ["", ",", "a,,b", [], [""]])
def test_a_list_with_nothing_in_it(servers: str | list[str]) -> None:
    with pytest.raises(SettingError, match="host:port"):
        read_addresses(servers)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CannotConnect, match=rf"at 127\.0\.0\.1:{port}: Connection refused"):
        connect(Address("127.0.0.1", port), 30.0)


def test_no_socket_there(tmp_path: Path) -> None:
    with pytest.raises(CannotConnect, match="No such file"):
        connect(Address(path=str(tmp_path / "no.sock")), 30.0)


def test_a_name_that_can_be_no_name() -> None:
    with pytest.raises(CannotConnect, match="no Gearman server answers at"):
        connect(read_address("a" * 300), 30.0)


def test_a_path_longer_than_a_socket_may_have() -> None:
    with pytest.raises(CannotConnect, match="path too long"):
        connect(Address(path="/" + "a" * 300), 30.0)


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_timeout_of_nothing_is_refused(timeout_s: float) -> None:
    with pytest.raises(SettingError, match="above 0"):
        connect(Address("127.0.0.1", 1), timeout_s)


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "here.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with connect(Address(path=path), 30.0) as connection:
            assert connection.getpeername() == path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="option numbers differ elsewhere")
def test_small_packets_go_at_once_and_dead_machines_are_noticed() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connect(Address("127.0.0.1", listener.getsockname()[1]), 30.0) as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
