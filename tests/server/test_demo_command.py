"""`sodalake demo`: makes its lake once, serves it, and touches nothing that is not its own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from sodalake.lake.errors import ConfigurationError, Unavailable
from sodalake.lake.lake import Lake
from sodalake.server.cli import main
from sodalake.server.commands import demo as command

pytestmark = pytest.mark.embedded
OBJECTS = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "demo"
    with command.prepared(folder, OBJECTS) as lake:
        assert lake == folder
    return folder


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `sodalake demo` until its line comes, then end it as Ctrl-C does."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sodalake.server",
            "demo",
            "--no-browser",
            "--objects",
            str(OBJECTS),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "SODALAKE_WORKERS": "1", **environment},
    )
    assert process.stdout is not None
    try:
        word, url = process.stdout.readline().split()
        assert word == "ready"
        yield url, process
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        process.stdout.close()


def test_it_serves_a_lake_in_the_users_cache(tmp_path: Path) -> None:
    with running("--port", "0", XDG_CACHE_HOME=str(tmp_path)) as (url, _):
        with urllib.request.urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        assert "ZTF" in text
        assert text.count('class="card"') >= 5
    assert (tmp_path / "sodalake" / "demo" / "lake.toml").exists()


def test_a_lake_that_is_there_is_served_as_it_is(made: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in made.rglob("*.parquet")}
    marker = (made / "demo.json").stat().st_mtime_ns
    with command.prepared(made, OBJECTS):
        pass
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.parquet")} == files
    assert (made / "demo.json").stat().st_mtime_ns == marker
    lake = Lake.open(str(made))
    assert list(lake.surveys) == ["ztf", "lsst"]
    lake.close()


def test_without_a_port_a_taken_one_is_passed_over(made: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running("--folder", str(made), SODALAKE_PORT=str(port)) as (url, _):
            assert f":{port}/" not in url


def test_another_sodalake_makes_it_again(made: Path) -> None:
    old = json.loads((made / "demo.json").read_text())
    (made / "demo.json").write_text(json.dumps(old | {"code": "older"}))
    (made / "left over").write_text("of the older one")
    with command.prepared(made, OBJECTS):
        assert json.loads((made / "demo.json").read_text()) == old
        assert not (made / "left over").exists()


def test_one_that_was_interrupted_is_made_again(made: Path) -> None:
    (made / "demo.json").unlink()
    (made.parent / f".{made.name}.begun").touch()
    with command.prepared(made, OBJECTS):
        assert (made / "demo.json").exists()
    assert not (made.parent / f".{made.name}.begun").exists()


def test_it_is_not_made_again_under_another_demos_feet(made: Path) -> None:
    with (
        command.prepared(made, OBJECTS),
        command.prepared(made, OBJECTS),  # two may serve the same
        pytest.raises(Unavailable, match="another demo"),
        command.prepared(made, OBJECTS + 1),
    ):
        pass
    with (made.parent / f".{made.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it lets go


@pytest.mark.parametrize("name", ["thesis.tex", "lake.toml"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigurationError, match="not a demo lake"), command.prepared(tmp_path, OBJECTS):
        pass
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]
    done = CliRunner().invoke(main, ["demo", "--no-browser", "--folder", str(tmp_path)])
    assert done.exit_code == 2
    assert "not a demo lake" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--objects", "0"], ["--colour"]])
def test_wrong_arguments(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["demo", *arguments]).exit_code == 2
