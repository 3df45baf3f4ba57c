"""The command line: what scripts rely on."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from sodalake.lake.demo import write_demo_archive
from sodalake.server.cli import main

COMMANDS = ("demo", "ingest", "serve", "explain", "hips", "config", "token", "cluster", "bench")
HEAVY = {
    "dask",
    "distributed",
    "pyarrow",
    "tornado",
    "numpy",
    "pydantic",
    "astropy",
    "matplotlib",
    "structlog",
}


def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments, prog_name="sodalake", env=environment or None)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_are_all_listed() -> None:
    code, out, _ = run("--help")
    assert code == 0
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert out.startswith(f"Usage: sodalake {command}")
    assert len(out.splitlines()) > 5


@pytest.mark.parametrize("action", ["up", "down", "status"])
def test_every_action_of_the_cluster_explains_itself(action: str) -> None:
    code, out, _ = run("cluster", action, "--help")
    assert code == 0
    assert out.startswith(f"Usage: sodalake cluster {action}")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["ingest", "--help"], ["config", "--help"], ["token", "--help"]],
)
def test_help_does_not_wait_for_what_it_does_not_need(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom sodalake.server.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert "click" in loaded
    assert not loaded & HEAVY


def test_the_version() -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert "sodalake" in out


def test_config_prints_toml_and_json() -> None:
    code, out, _ = run("config", SODALAKE_PORT="1234")
    assert code == 0
    assert tomllib.loads(out)["port"] == 1234
    code, out, _ = run("config", "--json", SODALAKE_LIMITS__EPOCHS="77")
    assert json.loads(out)["limits"]["epochs"] == 77


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["config", "--config", "/nowhere.toml"], {}, "cannot be read"),
        (["config"], {"SODALAKE_PROT": "1"}, "SODALAKE_PROT is no setting"),
        (["serve"], {}, "No lake is named"),
        (["serve", "--lake", "/nowhere/at/all", "--port", "0"], {}, "There is no lake at"),
        (["serve", "--lake", "/x", "--prefix", "bad prefix", "--port", "0"], {}, "prefix="),
        (["token", "no name"], {}, "cannot be the name of a user"),
        (["ingest", "nosuchsurvey", "{tmp}", "--lake", "{tmp}/lake"], {}, "nosuchsurvey"),
        (["ingest", "ztf", "/nowhere/at/all", "--lake", "{tmp}/lake"], {}, "/nowhere/at/all"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_code_2(
    arguments: list[str], environment: dict[str, str], says: str, tmp_path: Path
) -> None:
    code, out, err = run(*(word.format(tmp=tmp_path) for word in arguments), **environment)
    assert code == 2
    assert out == ""
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["serve", "--port", "70000"], ["ingest", "ztf"], ["serve", "--prot"]]
)
def test_usage_errors_are_click_s_own(arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith("Usage: sodalake")


def test_ingest_reports_and_adds_nothing_twice(tmp_path: Path) -> None:
    files = write_demo_archive(str(tmp_path / "archive"), objects=8, nights=3, seed=3, surveys=["ztf"])
    alerts = sum(file.rows for file in files)
    arguments = [
        "ingest",
        "ztf",
        str(tmp_path / "archive"),
        "--lake",
        str(tmp_path / "lake"),
        "--workers",
        "1",
    ]
    code, out, _ = run(*arguments, "--json")
    first = json.loads(out)
    assert (code, first["alerts"], first["files"], first["known"]) == (0, alerts, len(files), 0)
    code, out, _ = run(*arguments)
    assert code == 0
    assert out.startswith("0 alerts of 0 files in ")
    assert f"{len(files)} files were in the lake already" in out


def test_ingest_of_a_damaged_file_goes_on_and_says_so(tmp_path: Path) -> None:
    files = write_demo_archive(str(tmp_path / "archive"), objects=8, nights=3, seed=3, surveys=["ztf"])
    (tmp_path / "archive" / "broken.parquet").write_bytes(b"PAR1 this is no Parquet file PAR1")
    code, out, _ = run(
        "ingest",
        "ztf",
        str(tmp_path / "archive"),
        "--lake",
        str(tmp_path / "lake"),
        "--workers",
        "1",
        "--json",
    )
    report = json.loads(out)
    assert code == 1
    assert report["files"] == len(files)
    assert [url.rpartition("/")[2] for url in report["failed"]] == ["broken.parquet"]
