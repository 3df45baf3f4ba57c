"""Settings: one file, the environment before it, the command line before both; what is unknown is an
error."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from sodalake.lake.errors import ConfigurationError
from sodalake.server.config import Settings, load_settings, to_toml


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SODALAKE_"):
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "sodalake.toml"
    file.write_text(text)
    return file


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, 'port = 1\nlake = "a"\nprefix = "/file"\n[limits]\nepochs = 10\nbody = 2048\n')
    monkeypatch.setenv("SODALAKE_PORT", "2")
    monkeypatch.setenv("SODALAKE_LIMITS__EPOCHS", "20")
    monkeypatch.setenv("SODALAKE_PREFIX", "/environment/")
    settings = load_settings(file, port=3, lake=None)
    assert settings.port == 3
    assert settings.lake == "a"
    assert settings.prefix == "/environment"
    assert (settings.limits.epochs, settings.limits.body) == (20, 2048)


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SODALAKE_CONFIG", str(write(tmp_path, "port = 4")))
    assert load_settings().port == 4


def test_what_is_printed_is_read_back_and_explains_every_key(tmp_path: Path) -> None:
    settings = load_settings(trusted_proxies=["10.0.0.0/8", "::1"], authority="my.archive", prefix="/a/b")
    text = to_toml(settings)
    assert load_settings(write(tmp_path, text)).model_dump() == settings.model_dump()
    lines = text.splitlines()
    keys = [at for at, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert all(lines[at - 1].startswith("# ") for at in keys)
    assert len(keys) == sum(1 for _ in leaves(Settings))


def leaves(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation)
        else:
            assert field.description, name
            yield name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "prot is no setting"),
        ("[limits]\nepoch = 1", "limits.epoch is no setting"),
        ("port = 70000", "port=70000"),
        ('port = "many"', "port='many'"),
        ('prefix = "no slash"', "a path such as /sodalake"),
        ('prefix = "/a/../../b c"', "a path such as /sodalake"),
        ('trusted_proxies = ["everyone"]', "trusted_proxies"),
        ('authority = "a/b"', "authority"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[deadlines]\nrequest = 0", "deadlines.request"),
        ("[mail]\nhost = 'mail.example.org'", "mail: mail.sender is needed"),
        ("[mail]\nsender = 'nobody'", "mail.sender"),
        ("[mail]\nuser = 'anna'\ntls = 'none'", "in the clear"),
        ("[mail]\nurl = 'ftp://example.org'", "mail.url"),
        ("port = ", "is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in caught.value.message


SECRET = "a word that nobody may see"


@pytest.mark.parametrize(
    "text",
    [
        f'[identity]\nkey = "{SECRET}"',
        f'[mail]\nhost = "mail.example.org"\nuser = "anna"\npassword = "{SECRET}"',
        f'[mail]\npassword = "{SECRET}"',
        f'[mail]\npassword = ["{SECRET}"]',
    ],
)
def test_what_is_wrong_is_told_without_the_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    text = f'[identity]\nkey = "{SECRET * 2}"\n[mail]\nuser = "anna"\npassword = "{SECRET}"\n'
    settings = load_settings(write(tmp_path, text))
    assert settings.identity.key.get_secret_value() == SECRET * 2
    printed = to_toml(settings)
    assert "# key is set, and not printed." in printed.splitlines()
    assert "# password is set, and not printed." in printed.splitlines()
    for told in (printed, settings.model_dump_json(), repr(settings)):
        assert SECRET not in told
    again = load_settings(write(tmp_path, printed))
    assert not again.identity.key.get_secret_value()
    assert again.mail.user == "anna"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["SODALAKE_PROT", "sodalake_limits__epoch", "SODALAKE_LOG__LEVELS"])
def test_an_unknown_variable_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


def test_variables_of_the_tests_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SODALAKE_TEST_CLUSTER", "/x")
    assert load_settings().lake == ""


def test_the_printed_form_is_toml_and_json() -> None:
    settings = load_settings()
    assert tomllib.loads(to_toml(settings)) == json.loads(settings.model_dump_json())


def test_a_password_in_an_address_is_not_printed() -> None:
    address = "postgresql://soda:hunter2@db.example.org/jobs"
    printed = to_toml(load_settings(jobs={"store": address}))
    assert "hunter2" not in printed
    assert "# store is set, and not printed." in printed
    assert 'store = ""' in to_toml(load_settings())
