"""Addresses as people write them, and the way to a server."""

import socket
import sys
from pathlib import Path

import pytest

from gearpy.address import Address, connect, read_address
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
    with pytest.raises(SettingError, match=r"host:port.*unix:///path"):
        read_address(text)


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
