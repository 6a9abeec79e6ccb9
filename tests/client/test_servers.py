"""Which of several servers a job goes to."""

from collections import Counter

from gearpy.address import Address
from gearpy.client.servers import Servers

A, B, C = (Address(name) for name in "abc")


def servers(*addresses: Address) -> Servers:
    return Servers(addresses, lambda: 0.0)


def test_jobs_without_a_key_go_round() -> None:
    three = servers(A, B, C)
    assert [three.order(b"", 0)[0] for _ in range(6)] == [A, B, C, A, B, C]
    assert sorted(map(str, three.order(b"", 0))) == sorted(map(str, (A, B, C)))


def test_a_key_has_its_server_whatever_the_order_of_the_list() -> None:
    keys = [b"%d" % number for number in range(3_000)]
    ordered = {key: servers(A, B, C).order(key, 0) for key in keys}
    assert ordered == {key: servers(C, A, B).order(key, 5) for key in keys}
    shares = Counter(order[0] for order in ordered.values())
    assert all(900 < shares[address] < 1_100 for address in (A, B, C))
    # Without one server its keys go to the others, and no other key moves.
    for key, order in ordered.items():
        assert servers(A, B).order(key, 0) == [one for one in order if one is not C]


def test_the_hash_is_that_of_other_processes() -> None:
    """Written down once: clients of different versions are to agree."""
    firsts = b"".join(
        servers(A, B, C).order(b"%d" % number, 0)[0].host.encode() for number in range(12)
    )
    assert firsts == b"baabccccbccc"


def test_a_server_that_failed_comes_last_until_its_pause_is_over() -> None:
    two = servers(A, B)
    key = next(key for key in (b"%d" % n for n in range(99)) if two.order(key, 0)[0] is A)
    two.failed(A, 10.0)
    assert two.order(key, 10.0) == [B, A]
    assert two.order(key, 10.49) == [B, A]
    assert two.order(key, 10.5) == [A, B]


def test_pauses_grow_until_it_works() -> None:
    one = servers(A, B)
    now_s, pauses = 0.0, []
    one.failed(B, 0.0)
    for _ in range(8):
        one.failed(A, now_s)
        one.failed(A, now_s)  # at the same time: counts once
        pause = (
            next(
                t
                for t in range(1, 200)
                if one.order(b"", now_s + t / 2)[0] == A or one.order(b"", now_s + t / 2)[0] == A
            )
            / 2
        )
        pauses.append(pause)
        now_s += pause
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    one.worked(A)
    one.failed(A, now_s)
    assert one.wait_s(now_s) == 0.0


def test_of_servers_that_all_failed_the_one_that_is_due_next_comes_first() -> None:
    two = servers(A, B)
    two.failed(A, 0.0)
    two.failed(B, 0.2)
    for _ in range(3):
        assert two.order(b"", 0.3) == [A, B]
    assert two.wait_s(0.3) == 0.2
    assert servers(A).wait_s(0.3) == 0.0
