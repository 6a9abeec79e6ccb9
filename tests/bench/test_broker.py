"""The broker's patterns send what they say."""

import pytest

from bench import broker


@pytest.mark.parametrize(
    ("title", "packets"),
    [
        ("submit in the background", 100),
        ("grab and complete", 200),
        ("foreground: submit, grab, complete", 300),
    ],
)
def test_packets_of_a_pattern(title: str, packets: int) -> None:
    lap = dict(broker.PATTERNS)[title](100)
    assert lap.packets == packets
    assert lap.elapsed_s > 0


def test_the_table_has_a_row_for_each_pattern_and_one_for_all() -> None:
    assert broker.measure(rounds=1, jobs=100).row_count == len(broker.PATTERNS) + 1
