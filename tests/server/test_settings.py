"""Settings: where they come from, what counts first, and the sentences about bad ones."""

import dataclasses
import inspect
from pathlib import Path

import pytest

from gearpy.errors import SettingError
from gearpy.server.settings import FIELDS, Settings, key_of, load, variable_of, why_ignored


def refusal(flags: dict[str, object], **given: str) -> str:
    with pytest.raises(SettingError) as caught:
        load(flags, given, None)
    return str(caught.value)


def test_defaults_are_those_of_the_declarations() -> None:
    assert load({}, {}, None) == Settings()
    assert Settings().port == 4730


def test_every_field_is_declared_with_a_flag_and_a_sentence() -> None:
    beside = {"given", "policies", "schedules"}
    assert set(FIELDS) == {item.name for item in dataclasses.fields(Settings)} - beside
    for name, declaration in FIELDS.items():
        assert declaration.flags[-1].startswith(f"--{key_of(name)}"), name
        assert declaration.says.endswith("."), name


def test_a_flag_counts_before_a_variable_and_a_variable_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gearpy.toml"
    file.write_text('port = 1\nbacklog = 2\njob-retries = 3\nlisten = ["127.0.0.1", "::1"]\n')
    settings = load({"port": "30"}, {"GEARPY_PORT": "20", "GEARPY_BACKLOG": "21"}, str(file))
    assert (settings.port, settings.backlog, settings.job_retries) == (30, 21, 3)
    assert settings.listen == ("127.0.0.1", "::1")


def test_a_schedule_that_calls_a_url_needs_a_secret_to_sign_with(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        '[schedule.digest]\ncron = "0 8 * * *"\nfunction = "digest"\n'
        'options = {callback = "https://example.org/done"}\n'
    )
    with pytest.raises(SettingError, match=r"'digest' has a URL .* no --callback-secret"):
        load({}, {}, str(file))
    assert load({"callback_secret": "sixteen bytes or more"}, {}, str(file)).schedules


@pytest.mark.parametrize("secret", ["short", "whsec_?", "whsec_eA=="])
def test_a_secret_is_none_that_can_be_guessed(secret: str) -> None:
    with pytest.raises(SettingError, match=r"^--callback-secret must be a secret: ") as refused:
        load({"callback_secret": secret}, {}, None)
    assert repr(secret) not in str(refused.value), "it may be in a log"


def test_every_setting_can_be_a_variable() -> None:
    values = {
        "job_handle_prefix": "H:x",
        "listen": "127.0.0.1,::1",
        "queue_type": "libsqlite3",
        "verbose": "debug",
        "timeout_unit": "s",
        "log_format": "json",
        "durability": "interval:20",
        "max_payload": "1M",
        "max_output": "2g",
        "file_descriptors": "64",
        "daemon": "no",
        "pid_file": "/tmp/x",
        "unix": "/tmp/x",
        "http": "[::1]:4780",
        "user": "x",
        "otlp": "http://localhost:4318",
        "callback_secret": "sixteen bytes or more",
    }
    environment = {variable_of(name): values.get(name, "1") for name in FIELDS}
    settings = load({}, environment, None)
    assert settings.listen == ("127.0.0.1", "::1")
    assert settings.max_payload == 1 << 20
    assert settings.max_output == 2 << 30
    assert settings.verbose == "DEBUG"
    assert settings.stall_timeout == 1.0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("port", "abc", "GEARPY_PORT is 'abc'; it must be a whole number from 0 to 65535"),
        ("port", "65536", "it must be a whole number from 0 to 65535"),
        ("job_retries", "-2", "it must be a whole number of at least -1"),
        ("max_payload", "64X", "it must be a size from 1024 to 4294967295 bytes"),
        ("drain_timeout", "-1", "it must be a number of seconds"),
        ("stall_timeout", "0", "it must be a number of seconds above 0"),
        ("file_descriptors", "8", "it must be 0 or a whole number of at least 64"),
        ("strict", "maybe", "it must be true or false"),
        ("timeout_unit", "h", "it must be ms or s"),
        ("verbose", "LOUD", "it must be FATAL or ALERT"),
        ("queue_type", "mysql", "it must be builtin"),
        ("job_handle_prefix", "H" * 43, "at most 42 bytes"),
        ("log_file", "a\nb", "it must be text"),
    ],
)
def test_a_bad_value_is_a_sentence(name: str, value: str, sentence: str) -> None:
    assert sentence in refusal({}, **{variable_of(name): value})


def test_the_sentence_names_the_flag() -> None:
    assert refusal({"keepalive": "x"}).startswith("--keepalive is 'x'")


def test_a_file_that_is_not_there_or_not_toml_or_has_strange_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"can't read the settings in .*: No such file"):
        load({}, {}, str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("port: 1")
    with pytest.raises(SettingError, match="is not a TOML file"):
        load({}, {}, str(broken))
    strange = tmp_path / "strange.toml"
    strange.write_text("prot = 1")
    with pytest.raises(SettingError, match="has a setting that nobody knows: prot"):
        load({}, {}, str(strange))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("port = true")
    with pytest.raises(SettingError, match=r"port in .*wrong.toml is 'True'; it must be a whole"):
        load({}, {}, str(wrong))


def test_what_has_no_meaning_is_named_even_with_its_default() -> None:
    assert load({"port": "1"}, {}, None).ignored == ()
    given = load({"threads": "4"}, {"GEARPY_HASHTABLE_BUCKETS": "5"}, None).ignored
    assert [why_ignored(name)[0] for name in given] == ["--hashtable-buckets", "--threads"]


def test_what_may_wait_for_a_peer_holds_the_largest_packet() -> None:
    assert "must fit into what may wait" in refusal({"max_output": "1M"})


@pytest.mark.parametrize(
    "address", ["127.0.0.1:80", "127.9.9.9:0", "[::1]:4780", "localhost:4780", "LocalHost:1"]
)
def test_http_on_this_machine_needs_no_token(address: str) -> None:
    assert load({"http": address}, {}, None).http == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0:80", "[::]:4780", "10.0.0.1:80", "example.org:80", "localhost.local:80"]
)
def test_http_for_other_machines_needs_a_token_or_tls(address: str) -> None:
    sentence = refusal({"http": address})
    assert f"--http {address} is open to other machines" in sentence
    assert "--http-token" in sentence
    assert load({"http": address, "http_token": "x"}, {}, None).http == address
    assert load({"http": address, "http_cert": "x.pem"}, {}, None).http == address


@pytest.mark.parametrize(
    "address", ["", "4780", ":4780", "localhost", "::1:80", "a:65536", "a b:1"]
)
def test_an_address_for_http_has_a_host_and_a_port(address: str) -> None:
    assert "an address and a port" in refusal({"http": address})


@pytest.mark.parametrize("name", ["http_token", "http_cert", "http_key"])
def test_what_is_said_of_http_needs_http(name: str) -> None:
    assert "is given without --http" in refusal({name: "x"})
    assert "without --http-cert" in refusal({"http": "localhost:1", "http_key": "x"})


def test_every_setting_is_read_somewhere() -> None:
    """A setting that nobody reads would be accepted without a word and do nothing."""
    package = Path(inspect.getfile(Settings)).parents[1]
    sources = "".join(
        path.read_text() for path in package.rglob("*.py") if path.name != "settings.py"
    )
    unread = [
        name
        for name, declaration in FIELDS.items()
        if not declaration.ignored and f"settings.{name}" not in sources
    ]
    # These two are read through ``journal_file``.
    assert unread == ["queue_type", "libsqlite3_db"]
