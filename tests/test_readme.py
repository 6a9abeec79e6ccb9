"""The README tells the truth: its table of settings is the one in the code.

``python -m tests.test_readme --write`` writes the table anew.
"""

import dataclasses
import sys
from pathlib import Path

from gearpy.server.settings import FIELDS, Settings

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: begin (made by: python -m tests.test_readme --write) -->\n"
END = "<!-- settings: end -->\n"


def table() -> str:
    """A row for each setting, in the order of their declarations."""
    rows = ["| flag | default | what it does |", "|---|---|---|"]
    for item in dataclasses.fields(Settings):
        declaration = FIELDS[item.name]
        flags = ", ".join(f"`{flag}`" for flag in declaration.flags)
        value = f" {declaration.metavar}" if declaration.metavar else ""
        says = declaration.says
        if declaration.ignored:
            says += f" It does nothing: {declaration.ignored}."
        rows.append(f"| {flags}{value} | {_shown(item.default)} | {says} |")
    return "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    if default in ("", ()):
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:,}" if isinstance(default, int) and default >= 1 << 16 else f"{default}"


def current() -> str:
    return README.read_text().partition(BEGIN)[2].partition(END)[0]


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    assert current() == table(), "run: python -m tests.test_readme --write"


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
