"""``gearpy schedule`` against real servers, and what becomes of schedules when one is killed."""

import json
from pathlib import Path

import pytest

from gearpy.client import Client
from gearpy.errors import GearpyError, SettingError
from gearpy.server.settings import load
from gearpy.testing.process import ServerProcess
from tests.cli.command import gearpy, printed


def done(*arguments: str, server: str) -> str:
    report, said = printed("schedule", *arguments, server=server)
    assert said == ""
    return report


def test_a_schedule_is_added_shown_and_removed(server: ServerProcess) -> None:
    address = server.address
    added = done("add", "0 8 * * *", "digest", "--data", "all", "--attempts", "3", server=address)
    assert added.startswith("digest fires next at 20")
    assert "0 8 * * *" in done("list", server=address)
    row = json.loads(done("show", "digest", "--json", server=address))
    assert (row["schedule"]["data"], row["schedule"]["options"]) == ("all", {"attempts": 3})
    assert len(row["next_s"]) == 5
    shown = done("show", "digest", server=address)
    assert shown.count(":00:00") == 5
    done("pause", "digest", server=address)
    assert "paused" in done("list", server=address)
    assert "fires next" in done("resume", "digest", server=address)
    done("remove", "digest", server=address)
    assert done("list", server=address) == "No schedules.\n"
    for verb in ("show", "remove", "run", "pause", "resume"):
        with pytest.raises(GearpyError, match="no schedule"):
            printed("schedule", verb, "digest", server=address)


def test_everything_that_can_be_said_arrives(server: ServerProcess) -> None:
    flags = ("--name", "nightly", "--timezone", "Europe/Berlin", "--unique", "u", "--missed")
    more = ("skip", "--no-overlap", "--priority", "low")
    added = done("add", "*/5 * * * *", "f", *flags, *more, "--json", server=server.address)
    made = json.loads(added)["schedule"]
    assert made == {
        "cron": "*/5 * * * *",
        "timezone": "Europe/Berlin",
        "function": "f",
        "missed": "skip",
        "overlap": False,
        "unique": "u",
        "options": {"priority": "low"},
    }


def test_it_is_run_by_hand(server: ServerProcess) -> None:
    done("add", "0 8 * * *", "digest", "--data", "all", server=server.address)
    handle = done("run", "digest", server=server.address).strip()
    with Client(server.address) as client:
        assert client.operate("job", handle=handle)["job"]["payload"] == "all"


def test_a_payload_may_be_any_bytes(server: ServerProcess) -> None:
    ran = gearpy(
        "schedule", "add", "0 8 * * *", "f", "--data", b"\xff", "--json", server=server.address
    )
    assert json.loads(ran.stdout)["schedule"]["data_base64"] == "/w=="


def test_a_bad_one_is_said(server: ServerProcess) -> None:
    ran = gearpy("schedule", "add", "often", "f", server=server.address)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"cron is 'often'; it must be minute, hour" in ran.stderr


def test_schedules_outlive_a_kill(tmp_path: Path) -> None:
    settings = tmp_path / "gearpy.toml"
    settings.write_text('[schedule.hourly]\ncron = "0 * * * *"\nfunction = "f"\n')
    flags = ("--journal", str(tmp_path / "jobs.db"), "--config-file", str(settings))
    with ServerProcess(*flags) as server:
        done("add", "0 8 * * *", "digest", "--data", "all", server=server.address)
        done("pause", "hourly", server=server.address)
        handle = done("run", "digest", server=server.address).strip()
        before = done("list", "--json", server=server.address)
        server.kill()
        server.start()
        after = json.loads(done("list", "--json", server=server.address))
        assert after == json.loads(before)
        assert [row["origin"] for row in after["schedules"]] == ["set", "file"]
        assert after["schedules"][0]["handle"] == handle


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[schedule.s]\ncron = "x"\nfunction = "f"', "cron is 'x'"),
        ('[schedule.s]\ncron = "* * * * *"', "needs the field function"),
        ('[schedule."a/b"]\ncron = "* * * * *"\nfunction = "f"', "no slash"),
        ("schedule = 5", "must be tables"),
        ("[schedule]\ns = 5", "must be a table"),
    ],
)
def test_a_bad_one_in_the_settings_is_said(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "gearpy.toml"
    file.write_text(text)
    with pytest.raises(SettingError, match=says):
        load({}, {}, str(file))
