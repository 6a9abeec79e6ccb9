"""Many workers as a table that people can read."""

import json
from typing import Any

import pytest

from gearpy.cli.worker_report import show_workers, summary


def worker(connection: int, *running: tuple[str, float], **said: Any) -> dict[str, Any]:
    return {
        "connection": connection,
        "address": "127.0.0.1",
        "client_id": "-",
        "worker": f"127.0.0.1:{connection}",
        "functions": ["resize", "mail"],
        "running": [
            {"handle": handle, "function": "mail", "since_s": since_s}
            for handle, since_s in running
        ],
        "state": said or None,
        "state_age_s": 5.0 if said else None,
        "missed": said.get("missed", False),
    }


def shown(
    capsys: pytest.CaptureFixture[str], *workers: dict[str, Any], as_json: bool = False
) -> str:
    show_workers(list(workers), 1000.0, as_json)
    return capsys.readouterr().out


def test_what_nobody_says_takes_no_room(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, worker(1), worker(2, ("H:1", 940.0))).splitlines()
    assert lines[0] == "2 workers; 1 of them runs 1 job"
    assert lines[1].split() == ["Worker", "Functions", "Runs"]
    assert lines[2].split() == ["127.0.0.1:1", "mail,", "resize"]
    assert lines[3].split()[3:] == ["H:1", "mail", "for", "60", "s"]
    assert shown(capsys) == "No workers are connected.\n"


def test_five_hundred_workers_take_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    many = [
        worker(
            number,
            *((f"H:{number}:{job}", 1000.0 - job) for job in range(20)),
            group=f"group-{number % 2}",
            memory_bytes=number * 1_000_000,
            jobs_failed=number % 3,
            supervisor=number == 7,
        )
        for number in range(500)
    ]
    for each in many:
        each["functions"] = [f"function-{number:02}" for number in range(40)]
    report = shown(capsys, *many).splitlines()
    assert len(report) == 502
    assert report[0] == "500 workers; 500 of them run 10,000 jobs"
    headings = "Worker Group Functions Runs Memory Failed Heartbeat Note"
    assert " ".join(report[1].split()) == headings
    assert [line.split()[1] for line in report[2:]] == ["group-0"] * 250 + ["group-1"] * 250
    assert [line.split()[0] for line in report[2:5]] == [f"127.0.0.1:{each}" for each in (0, 2, 4)]
    assert max(map(len, report)) < 200
    assert "function-00, function-01, function-02 and 37 more" in report[2]
    assert "H:0:19 mail for 19 s, H:0:18 mail for 18 s and 18 more" in report[2]
    assert [line.split()[0] for line in report if "supervisor" in line] == ["127.0.0.1:7"]


def test_strangers_words_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = worker(1, ("H:\x1b[2J", 1000.0), group="[red]\x1b[2J")
    hostile["functions"] = ["\udcff\x07"]
    report = shown(capsys, hostile)
    assert report.replace("\n", "").isprintable()
    assert "[red]\\x1b[2J" in report
    assert json.loads(shown(capsys, hostile, as_json=True))["workers"] == [hostile]


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        ([worker(1)], "1 worker"),
        ([worker(1, missed=True)], "1 worker; 1 missed its heartbeat"),
        (
            [
                worker(1, ("a", 1.0)),
                worker(2, ("b", 1.0), ("c", 1.0), missed=True),
                worker(3, missed=True),
            ],
            "3 workers; 2 of them run 3 jobs; 2 missed their heartbeats",
        ),
    ],
)
def test_all_in_a_sentence(workers: list[dict[str, Any]], sentence: str) -> None:
    assert summary(workers) == sentence
