"""What calls do step by step, without any connection."""

import pytest

from gearpy.address import Address
from gearpy.client.calls import Calls
from gearpy.client.core import ClientCore
from gearpy.client.desk import Desk
from gearpy.client.servers import Servers
from gearpy.client.steps import Open
from gearpy.errors import ConnectionLost

A, B = Address("a"), Address("b")


class Line:
    """A connection that is only a core."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.core = ClientCore()


def calls(*addresses: Address) -> Calls:
    servers = Servers(addresses, lambda: 0.0)
    return Calls(servers, Desk(), 30.0, lambda: 0.0, lambda: 0.0)


def gone(address: Address, said: bytes) -> Line:
    line = Line(address)
    line.core.receive(said)
    line.core.lost("it is gone")
    return line


def test_what_speaks_no_gearman_is_told_to_the_next_call_and_tried_by_the_one_after() -> None:
    made = calls(A)
    made.gone(gone(A, b"SSH-2.0-OpenSSH_9\r\n"), [])
    with pytest.raises(ConnectionLost, match="it is gone"):
        next(made.echo(b""))
    assert next(made.echo(b"")) == Open(A)


def test_an_idle_connection_that_ended_is_no_news() -> None:
    made = calls(A)
    made.gone(gone(A, b""), [])
    assert next(made.echo(b"")) == Open(A)


def test_what_speaks_no_gearman_fails_no_call_while_another_lives() -> None:
    made = calls(A, B)
    made.gone(gone(A, b"SSH-2.0-OpenSSH_9\r\n"), [])
    assert next(made.echo(b"")) == Open(B)
