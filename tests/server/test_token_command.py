"""`sodalake token`: what scripts get, and what it makes on its way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner

from sodalake.server.cli import main
from sodalake.server.config import load_settings
from sodalake.server.tokens import Tokens, signing_key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has made no token yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "sodalake"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["token", *arguments], prog_name="sodalake")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def said(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token.strip(), options={"verify_signature": False})
    return claims


def test_the_token_alone_is_printed(home: Path) -> None:
    code, out, err = run("anna", "--email", "anna@example.org", "--group", "astro", "--group", "follow-up")
    assert code == 0
    assert err == f"A new key signs the tokens: {home / 'token.key'}\n"
    assert stat.S_IMODE((home / "token.key").stat().st_mode) == 0o600
    settings = load_settings()
    claims = Tokens(signing_key(settings.identity), settings.authority).claims(out.removesuffix("\n"))
    assert (claims.name, claims.groups, claims.email) == ("anna", {"astro", "follow-up"}, "anna@example.org")
    assert claims.expires - time.time() == pytest.approx(90 * 86_400, abs=60)
    code, again, err = run("anna", "--days", "2")
    assert (code, err) == (0, "")
    assert said(again)["exp"] - said(again)["iat"] == 2 * 86_400


def test_a_shell_takes_it() -> None:
    script = 'TOKEN=$("$0" -m sodalake.server token anna) && printf "<%s>" "$TOKEN"'
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, check=True)
    assert said(done.stdout.removeprefix("<").removesuffix(">"))["sub"] == "anna"
    assert "token.key" in done.stderr


def test_the_settings_are_those_of_the_service(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "sodalake.toml"
    file.write_text(f'authority = "my.archive"\n[identity]\nkey_file = "{tmp_path / "own.key"}"\n')
    code, out, _ = run("anna", "--config", str(file))
    assert code == 0
    settings = load_settings(file)
    assert Tokens(signing_key(settings.identity), "my.archive").claims(out.strip()).name == "anna"
    assert (tmp_path / "own.key").exists()
    assert not home.exists()


def test_a_key_in_the_settings_makes_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SODALAKE_IDENTITY__KEY", "0123456789" * 4)
    code, out, err = run("anna")
    assert (code, err) == (0, "")
    assert Tokens(b"0123456789" * 4, "sodalake").claims(out.strip()).name == "anna"
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["an na"], "cannot be the name of a user"),
        (["anonymous"], "cannot be the name of a user"),
        (["anna", "--group", "a/b"], "cannot be the name of a group"),
        (["anna", "--email", "nobody"], "no mail address"),
        (["anna", "--config", "/nowhere.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_one_line_and_makes_no_key(arguments: list[str], says: str, home: Path) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not home.exists()


@pytest.mark.parametrize("days", ["0", "-1", "3651", "many"])
def test_days_that_are_none(days: str) -> None:
    code, out, err = run("anna", "--days", days)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: sodalake token")


def test_a_key_that_others_read_signs_nothing(home: Path) -> None:
    run("anna")
    (home / "token.key").chmod(0o644)
    code, out, err = run("anna")
    assert (code, out) == (2, "")
    assert "open to others (mode 0644)" in err
    assert "chmod 600" in err


@pytest.mark.embedded
def test_the_service_believes_it(
    new_server: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SODALAKE_IDENTITY__URGENT_GROUPS", "follow-up, night")
    server = new_server()
    made = server.wait_for("key_made")  # the service came first, and made the key
    assert str(home / "token.key") in made
    code, out, err = run("anna")
    assert (code, err) == (0, "")
    answer = server.ask("/soda/capabilities", headers={"Authorization": f"Bearer {out.strip()}"})
    assert (answer.status, answer.headers["X-VO-Authenticated"]) == (200, "anna")
    (home / "token.key").unlink()
    _, other, _ = run("anna")
    refused = server.ask("/soda/capabilities", headers={"Authorization": f"Bearer {other.strip()}"})
    assert refused.status == 401
    assert "signed with another key" in refused.text
    log = "\n".join(server.log)
    assert out.strip() not in log
    assert os.environ["XDG_CONFIG_HOME"] == str(home.parent)
