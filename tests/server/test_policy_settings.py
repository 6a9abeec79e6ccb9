"""Policies in the settings file: what is read, and the sentences about what can't be."""

from pathlib import Path

import pytest

from gearpy.engine.policy import Delays, Exponential, Policy
from gearpy.engine.policy_book import PATTERNS_MAX
from gearpy.errors import SettingError
from gearpy.server.settings import FIELDS, Settings, load


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "gearpy.toml"
    file.write_text(text, encoding="utf-8")
    return load({}, {}, str(file))


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SettingError) as caught:
        loaded(folder, text)
    return str(caught.value).replace(str(folder), "DIR")


def test_no_tables_no_policies(tmp_path: Path) -> None:
    assert loaded(tmp_path, "port = 1").policies == {}
    assert loaded(tmp_path, "[function]").policies == {}
    assert load({}, {}, None).policies == Settings().policies == {}


def test_a_table_for_each_function(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        port = 4731

        [function."*"]
        poison = 3

        [function."image.*"]
        attempts = 8
        retry-on = ["lost", "timeout", "exception"]
        timeout-s = 30
        backoff = { base-s = 2, cap-s = 60.5 }

        [function.mail]
        backoff = [1, 5, 30]
        rate-per-minute = 100
        max_queue = 1000

        [function."Köln".backoff]
        factor = 3

        [function.empty]
        """,
    )
    assert settings.port == 4731
    assert settings.policies == {
        b"*": Policy(poison=3),
        b"image.*": Policy(
            attempts=8,
            retry_on=frozenset({"lost", "timeout", "exception"}),
            timeout_s=30.0,
            backoff=Exponential(base_s=2.0, cap_s=60.5),
        ),
        b"mail": Policy(backoff=Delays((1.0, 5.0, 30.0)), rate_per_minute=100, max_queue=1000),
        "Köln".encode(): Policy(backoff=Exponential(factor=3.0)),
        b"empty": Policy(),
    }


def test_policies_are_no_flag_and_no_variable(tmp_path: Path) -> None:
    assert "policies" not in FIELDS
    assert "function" not in FIELDS
    assert load({}, {"GEARPY_POLICIES": "x", "GEARPY_FUNCTION": "x"}, None).policies == {}
    assert loaded(tmp_path, "[function.a]").given == frozenset()


def test_policies_is_no_key_of_the_file(tmp_path: Path) -> None:
    assert "has a setting that nobody knows: policies" in refusal(tmp_path, "[policies.a]")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("function = 5", "function in DIR/gearpy.toml must be tables, one for each function: [fu"),
        ("[[function]]\nattempts = 5", 'must be tables, one for each function: [function."NAME"]'),
        (
            "[function]\nattempts = 5",
            'attempts in [function] in DIR/gearpy.toml must be a table; write [function."NAME"]',
        ),
        (
            '[function."image.*"]\ntimeout-s = -1',
            '[function."image.*"] in DIR/gearpy.toml: timeout-s is -1; it must be a number of sec',
        ),
        (
            "[function.mail]\nattempts = true",
            '[function."mail"] in DIR/gearpy.toml: attempts is true; it must be a whole number',
        ),
        (
            "[function.mail]\nretries = 5",
            "[function.\"mail\"] in DIR/gearpy.toml: a policy has no field 'retries'; its",
        ),
        ("[function.mail]\ntimeout-s = nan", "timeout-s is nan; it must be a number of seconds"),
        ("[function.mail]\ntimeout-s = 2026-01-01", "timeout-s is datetime.date(2026, 1, 1)"),
        (
            "[function.image.resize]\nattempts = 5",
            '[function."image"] in DIR/gearpy.toml holds tables of its own; the name of a function'
            ' with dots stands in quotes, like [function."image.resize"]',
        ),
        (
            '[function.""]',
            '[function.""] in DIR/gearpy.toml: a policy needs the name of a function',
        ),
        ('[function."a\\u0001"]', "a function name may not hold control characters"),
        (f"[function.{'a' * 256}]", "a function name or pattern has at most 255 bytes"),
        (
            "".join(f"[function.f{number}]\n" for number in range(PATTERNS_MAX + 1)),
            "the [function] tables in DIR/gearpy.toml: policies for 1,001 names and patterns are",
        ),
        ("function = " + "[" * 100_000, "DIR/gearpy.toml is not a TOML file: it is nested too dee"),
        ("port = " + "9" * 5000, "DIR/gearpy.toml is not a TOML file: Exceeds the limit"),
    ],
    ids=lambda value: value[:30],
)
def test_a_bad_table_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in refusal(tmp_path, text)
