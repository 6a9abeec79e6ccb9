"""``gearpy schedule`` against real servers, and what becomes of schedules when one is killed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpy.client import Client
from gearpy.errors import GearpyError, SettingError
from gearpy.server.settings import load
from gearpy.testing.process import ServerProcess
from tests.cli.command import OnTerminal, gearpy, printed


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


@pytest.fixture
def settled(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose settings have a schedule "report", at 9 in Berlin."""
    settings = tmp_path / "gearpy.toml"
    settings.write_text(
        '[schedule.report]\ncron = "0 9 * * *"\nfunction = "f"\ntimezone = "Europe/Berlin"\n'
    )
    with ServerProcess("--config-file", str(settings)) as server:
        yield server.address


def failed(*arguments: str, server: str) -> str:
    """The one line that the command complains with."""
    ran = gearpy("schedule", *arguments, server=server)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.count(b"\n") == 1
    return ran.stderr.decode().removeprefix("gearpy: ").rstrip()


def crons(server: str) -> dict[str, str]:
    rows = json.loads(done("list", "--json", server=server))["schedules"]
    return {row["name"]: row["schedule"]["cron"] for row in rows}


BERLIN = r"20\d\d-\d\d-\d\d 09:00:00\+0[12]:00"
OF_THE_FILE = "0 9 * * * Europe/Berlin, function f"


def test_one_that_is_paused_can_be_set_and_stays_paused(server: ServerProcess) -> None:
    done("add", "0 9 * * *", "digest", "--name", "a b", server=server.address)
    assert done("pause", "a b", server=server.address) == (
        "a b is paused (gearpy schedule resume 'a b').\n"
    )
    again = ("add", "0 9 * * *", "digest", "--name", "a b")
    assert done(*again, server=server.address) == (
        "a b is set, and is paused (gearpy schedule resume 'a b').\n"
    )
    assert json.loads(done(*again, "--json", server=server.address))["next_s"] == []


def test_another_schedule_takes_no_place_without_a_word(server: ServerProcess) -> None:
    address = server.address
    done("add", "0 8 * * *", "digest", "--timezone", "Europe/Berlin", server=address)
    there = "0 8 * * * Europe/Berlin, function digest; set by an operator"
    question = (
        f"There is a schedule digest already ({there}); this replaces it."
        " To have both, give this one another --name."
    )
    assert failed("add", "0 20 * * *", "digest", server=address) == (
        f"{question} Nobody can be asked here whether to go on: say --yes"
    )
    assert crons(address) == {"digest": "0 8 * * *"}
    with OnTerminal("schedule", "add", "0 20 * * *", "digest", server=address) as terminal:
        terminal.read_until(f"{question} Go on? [y/N] ")
        terminal.write("n\n")
        dialogue = terminal.end()
    assert (dialogue.code, dialogue.stdout) == (1, b"")
    assert crons(address) == {"digest": "0 8 * * *"}
    with OnTerminal("schedule", "add", "0 20 * * *", "digest", server=address) as terminal:
        terminal.read_until("Go on? [y/N] ")
        terminal.write("y\n")
        dialogue = terminal.end()
    assert dialogue.code == 0
    assert dialogue.stdout.endswith(
        f" (UTC), in place of the one that was there ({there}).\n".encode()
    )
    assert crons(address) == {"digest": "0 20 * * *"}
    done("add", "0 8 * * *", "digest", "--name", "morning", server=address)
    assert crons(address) == {"digest": "0 20 * * *", "morning": "0 8 * * *"}


def test_the_same_may_be_said_again(server: ServerProcess) -> None:
    """Scripts that set up a server do."""
    more = ("--data", "all", "--unique", "u", "--attempts", "3", "--no-overlap", "--name", "n")
    first = done("add", "0 8 * * *", "digest", *more, server=server.address)
    assert done("add", "0 8 * * *", "digest", *more, server=server.address) == first
    assert "in place of" not in first
    for other in (("--data", "some"), ("--attempts", "4"), ("--unique", "v"), ("--missed", "skip")):
        said = failed("add", "0 8 * * *", "digest", *more, *other, server=server.address)
        assert said.startswith("There is a schedule n already")


def test_one_of_the_settings_is_replaced_and_comes_back(settled: str) -> None:
    said = failed("add", "0 20 * * *", "g", "--name", "report", server=settled)
    assert f"already ({OF_THE_FILE}; from the settings file)" in said
    added = done("add", "0 20 * * *", "g", "--name", "report", "--yes", server=settled)
    there = f"({OF_THE_FILE}; from the settings file)"
    assert added.endswith(f", in place of the one that was there {there}.\n")
    again = ("add", "0 21 * * *", "g", "--name", "report", "--yes", "--json")
    assert json.loads(done(*again, server=settled))["replaced"]["schedule"]["cron"] == "0 20 * * *"
    removed = done("remove", "report", server=settled)
    assert re.fullmatch(
        r"Took back the schedule report; that of the settings file counts again"
        rf" \({re.escape(OF_THE_FILE)}\), and fires next at {BERLIN}\.\n",
        removed,
    )
    assert failed("remove", "report", server=settled) == (
        "no schedule report was set: the one that there is comes from the settings file, so take"
        " it out there, or say: gearpy schedule pause report"
    )


def test_that_there_is_none_any_more_is_said(server: ServerProcess) -> None:
    done("add", "0 8 * * *", "digest", server=server.address)
    assert done("remove", "digest", server=server.address) == (
        "Took back the schedule digest; there is none with this name any more.\n"
    )


def test_its_times_are_those_of_its_zone(settled: str) -> None:
    pattern = re.compile(BERLIN)
    assert len(pattern.findall(done("show", "report", server=settled))) == 5
    assert len(pattern.findall(done("list", server=settled))) == 1
    done("pause", "report", server=settled)
    resumed = done("resume", "report", server=settled)
    assert re.fullmatch(rf"report fires next at {BERLIN} \(Europe/Berlin\)\.\n", resumed)


def test_yes_and_no_are_said_in_one_way(server: ServerProcess) -> None:
    options = ("--no-overlap", "--attempts", "3", "--priority", "low")
    done("add", "0 8 * * *", "digest", *options, server=server.address)
    lines = [line.split() for line in done("show", "digest", server=server.address).splitlines()]
    assert ["overlap", "no"] in lines
    assert ["paused", "no"] in lines
    assert ["options", "attempts=3,", "priority=low"] in lines


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
