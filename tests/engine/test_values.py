"""The pure functions and tables: moves, keys, limits, retries; and the examples of docstrings."""

import importlib
import pkgutil

import pytest

import gearpy.engine
from gearpy.engine import job, rules
from gearpy.engine.job import (
    DEAD,
    DELAYED,
    FINISHED,
    MOVES,
    QUEUED,
    RETRYING,
    RUNNING,
    UNFINISHED,
    coalescing_key,
)
from gearpy.engine.rules import FOR_EVER, Rules, check_function, check_unique, may_retry
from gearpy.errors import ArgumentTooLarge, InvalidArgument
from tests.docstrings import run_examples

MODULES = [module.name for module in pkgutil.iter_modules(gearpy.engine.__path__)]
STATES = {*UNFINISHED, *FINISHED, DEAD}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    result = run_examples(importlib.import_module(f"gearpy.engine.{name}"))
    assert result.failed == 0
    if name in ("job", "policy"):
        assert result.attempted, "its examples are looked at"


def test_every_move_is_between_states() -> None:
    for move in MOVES.values():
        assert set(move) | set(move.values()) <= STATES


def test_only_an_operator_brings_back_what_ended_and_everything_can_end() -> None:
    edges = {(before, after) for move in MOVES.values() for before, after in move.items()}
    revivals = {edge for edge in edges if edge[0] not in UNFINISHED}
    assert revivals == set(MOVES["revive"].items())
    assert "completed" not in MOVES["revive"]
    for state in UNFINISHED:
        assert {after for before, after in edges if before == state} & {*FINISHED, DEAD}


def test_only_what_runs_can_end_well_or_go_back() -> None:
    for name in ("complete", "fail", "requeue", "retry"):
        assert set(MOVES[name]) == {RUNNING}
    assert MOVES["assign"] == {QUEUED: RUNNING}
    assert MOVES["become due"] == {DELAYED: QUEUED, RETRYING: QUEUED}
    assert RUNNING not in MOVES["expire"], "what has started in time may end"


def test_the_table_of_moves_is_complete() -> None:
    tables = {name for name in vars(job) if name.isupper() and isinstance(vars(job)[name], dict)}
    assert len(tables - {"MOVES"}) == len(MOVES)


@pytest.mark.parametrize(
    ("unique", "payload", "key"),
    [
        (b"", b"data", None),
        (b"", b"", None),
        (b"u", b"", b"u"),
        (b"u", b"data", b"u"),
        (b"-", b"data", (b"data",)),
        (b"-", b"", None),
        (b"--", b"data", b"--"),
    ],
)
def test_coalescing_keys(unique: bytes, payload: bytes, key: object) -> None:
    assert coalescing_key(unique, payload) == key


@pytest.mark.parametrize(
    ("retries", "attempts"),
    [(0, 1), (1, 2), (5, 6)],
)
def test_retries_are_attempts_after_the_first(retries: int, attempts: int) -> None:
    losses = 1
    while may_retry(losses, retries):
        losses += 1
    assert losses == attempts


def test_retries_for_ever() -> None:
    assert may_retry(10**9, FOR_EVER)
    assert Rules().job_retries == FOR_EVER


@pytest.mark.parametrize("name", [b"", b"f", b"f" * 255, "größe".encode(), b"a b", b"\xff"])
def test_function_names_that_are_allowed(name: bytes) -> None:
    check_function(name)


@pytest.mark.parametrize("name", [b"a\nb", b"a\rb", b"\0", b"\x1b[2J", b"\x7f"])
def test_function_names_that_could_forge_reports(name: bytes) -> None:
    with pytest.raises(InvalidArgument, match="control characters"):
        check_function(name)


def test_function_names_that_are_too_long() -> None:
    with pytest.raises(ArgumentTooLarge, match="at most 255 bytes; this one has 256"):
        check_function(b"f" * (rules.FUNCTION_BYTES_MAX + 1))


def test_uniques_have_a_limit() -> None:
    check_unique(b"u" * rules.UNIQUE_BYTES_MAX)
    with pytest.raises(ArgumentTooLarge, match=r"^Unique value too large$"):
        check_unique(b"u" * (rules.UNIQUE_BYTES_MAX + 1))
