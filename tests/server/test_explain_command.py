"""`sodalake explain`: the plan of a query, for people and for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest
from sodalake.server.cli import main

if TYPE_CHECKING:
    from pathlib import Path

CONE = "SELECT candid FROM ztf.alerts WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.1))"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    files = write_demo_archive(str(folder / "archive"), objects=40, nights=3, surveys=["ztf"])
    assert not ingest(str(folder / "lake"), "ztf", [file.url for file in files], workers=1).failed
    return folder / "lake"


def explain(lake: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", "--lake", str(lake), *arguments], prog_name="sodalake")


def test_the_path_and_its_ranges_are_told(lake: Path) -> None:
    told = explain(lake, CONE)
    assert told.exit_code == 0, told.output
    assert "row store, by place" in told.stdout
    assert "ranges of cells" in told.stdout
    assert "answered row by row" in told.stdout
    assert "Parquet archive" in explain(lake, "--archive", CONE).stdout


def test_a_query_that_is_run_is_counted(lake: Path) -> None:
    told = explain(lake, "--run", "--json", "SELECT fid, COUNT(*) AS n FROM ztf.alerts GROUP BY fid")
    found = json.loads(told.stdout)
    assert found["rows"] in (2, 3)
    assert any("aggregated at the files" in line for line in found["plan"])
    assert any("read: " in line for line in found["plan"])
    assert found["sql"].startswith("SELECT")


def test_what_is_wrong_is_one_line(lake: Path) -> None:
    told = explain(lake, "SELECT nothing FROM ztf.alerts")
    assert told.exit_code == 2
    assert told.stderr.startswith("sodalake: Line 1, column 8: ")
    assert "Traceback" not in told.stderr
