"""What stands in the tables of the settings file: policies of functions, and schedules."""

from typing import Any, Final

from gearpy.engine.cron import SCHEDULES_MAX, Schedule, check_schedule_name, read_schedule
from gearpy.engine.policy import Policy, read_policy
from gearpy.engine.policy_book import PolicyBook, check_pattern
from gearpy.errors import ArgumentTooLarge, InvalidArgument, SettingError
from gearpy.server.ticks import CronTicks

POLICIES: Final = "function"
SCHEDULES: Final = "schedule"


def read_schedules(path: str, tables: Any) -> dict[str, Schedule]:
    """The schedules by name.  Raises SettingError."""
    if not isinstance(tables, dict):
        raise SettingError(
            f'{SCHEDULES} in {path} must be tables, one for each schedule: [{SCHEDULES}."NAME"]'
        )
    schedules = {}
    for name, table in tables.items():
        where = f'[{SCHEDULES}."{name}"] in {path}'
        if not isinstance(table, dict):
            raise SettingError(f"{where} must be a table with cron and function")
        try:
            check_schedule_name(name)
            schedules[name] = read_schedule(table, CronTicks())
        except (InvalidArgument, ArgumentTooLarge) as error:
            raise SettingError(f"{where}: {error}") from None
    if len(schedules) > SCHEDULES_MAX:
        raise SettingError(f"{path} has {len(schedules):,} schedules; {SCHEDULES_MAX:,} at most")
    return schedules


def read_policies(path: str, tables: Any) -> dict[bytes, Policy]:
    """The policies by function name or shell pattern.  Raises SettingError."""
    if not isinstance(tables, dict):
        raise SettingError(
            f'{POLICIES} in {path} must be tables, one for each function: [{POLICIES}."NAME"]'
        )
    policies = {name.encode(): _read_policy(path, name, table) for name, table in tables.items()}
    try:
        PolicyBook(policies)
    except InvalidArgument as error:
        raise SettingError(f"the [{POLICIES}] tables in {path}: {error}") from None
    return policies


def _read_policy(path: str, name: str, table: Any) -> Policy:
    where = f'[{POLICIES}."{name}"] in {path}'
    if not isinstance(table, dict):
        raise SettingError(
            f'{name} in [{POLICIES}] in {path} must be a table; write [{POLICIES}."NAME"] with'
            " the name of a function, and below it what is decided for that function"
        )
    if any(isinstance(value, dict) and key != "backoff" for key, value in table.items()):
        raise SettingError(
            f"{where} holds tables of its own; the name of a function with dots stands in"
            f' quotes, like [{POLICIES}."image.resize"]'
        )
    try:
        check_pattern(name.encode())
        return read_policy(table)
    except InvalidArgument as error:
        raise SettingError(f"{where}: {error}") from None
