"""The race of libraries runs to its end, small."""

import dataclasses
import importlib.util
import io
import os

import pytest
from rich.console import Console

from bench.libraries import race

LIBRARIES = {library.name: library for library in race.LIBRARIES}


def run(*names: str) -> list[race.Heat]:
    small = [dataclasses.replace(LIBRARIES[name], jobs=20, trips=0) for name in names]
    return race.race(1, 1.0, lambda line: None, small)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_runs_to_its_end(name: str) -> None:
    library = LIBRARIES[name]
    if not library.is_there:
        sentence = f"needs the Debian package redis-server, and {library.package} from PyPI"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    [heat] = run(name)
    assert heat.name == name
    assert heat.submits_per_s > 0
    assert heat.jobs_per_s > 0


def test_round_trips() -> None:
    small = dataclasses.replace(LIBRARIES["gearpy"], jobs=20, trips=10)
    [heat] = race.race(1, 1.0, lambda line: None, [small])
    assert heat.trips_per_s > 0


def test_who_is_missing_is_said() -> None:
    absent = race.Library("Nobody", "nobody_app", "no_such_package", 10)
    assert importlib.util.find_spec("no_such_package") is None
    assert race.race(1, 1.0, lambda line: None, [absent]) == []
    assert list(race.missing([absent])) == [
        "Nobody does not take part: it needs redis-server and no_such_package"
    ]


def test_the_table_compares_heats_of_the_same_round() -> None:
    heats = [
        race.Heat("gearpy", 0, 100.0, 10.0, 5.0),
        race.Heat("RQ", 0, 50.0, 2.0, 0.0),
        race.Heat("RQ", 1, 10.0, 1.0, 0.0),
        race.Heat("gearpy", 1, 40.0, 30.0, 7.0),
    ]
    printed = io.StringIO()
    console = Console(width=120, file=printed)
    console.print(race.table(heats))
    lines = printed.getvalue().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if "|" in line]
    assert [cell.strip() for cell in rows[2]] == ["gearpy", "70", "20", "6", "1.0 x", "1.0 x"]
    assert [cell.strip() for cell in rows[3]] == ["RQ", "30", "2", "-", "3.0 x", "17.5 x"]
