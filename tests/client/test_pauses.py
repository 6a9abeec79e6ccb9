"""Pauses between attempts to reach a server."""

from gearpy.pauses import pause_s


def test_they_grow_to_half_a_minute() -> None:
    assert [pause_s(failures, 0) for failures in (1, 2, 3, 6, 7, 8, 5_000)] == [
        0.5,
        1.0,
        2.0,
        16.0,
        30.0,
        30.0,
        30.0,
    ]


def test_chance_takes_up_to_a_quarter_off() -> None:
    assert pause_s(1, 1) == 0.375
    assert pause_s(50, 0.5) == 26.25
