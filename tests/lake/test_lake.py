"""lake.toml, and what a lake needs to be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from sodalake.lake.errors import ConfigurationError, NotInLake
from sodalake.lake.files import as_url
from sodalake.lake.lake import Lake

THIRD = """
name = "third"
title = "A third survey"
description = "For the test."
facility = "Somewhere"
instrument = "A camera"
[ids]
alert = "id"
alert_name = "id"
object = "name"
object_name = "name"
[time]
path = "mjd"
scale = "mjd_tai"
name = "mjd"
[position]
ra = "ra"
dec = "dec"
[stamps]
format = "fits"
pixel_scale = 0.5
has_wcs = false
[stamps.kinds]
science = "stamp"
"""


def test_a_lake_is_made_once_and_opened_again(tmp_path: Path) -> None:
    Lake.create(str(tmp_path / "l"), surveys=["ztf"], archive=["/data/archive"]).close()
    made = Lake.create(
        str(tmp_path / "l"), surveys=["lsst"], archive=["/data/archive/science", "/data/other"]
    )
    made.close()
    lake = Lake.open(str(tmp_path / "l"))
    assert list(lake.surveys) == ["ztf", "lsst"]
    assert lake.content.archive == ("file:///data/archive", "file:///data/other")
    assert lake.roots[0] == as_url(str(tmp_path / "l" / "files"))
    assert set(lake.rows.tables()) == {
        f"{s}.{t}"
        for s in ("ztf", "lsst")
        for t in ("alert", "object", "sky", "time", "class", "objects", "files")
    }
    lake.close()


def test_a_third_survey_is_a_file_which_the_lake_keeps(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(THIRD)
    Lake.create(str(tmp_path / "l"), surveys=[str(tmp_path / "mine.toml")]).close()
    (tmp_path / "mine.toml").unlink()
    lake = Lake.open(str(tmp_path / "l"))
    assert lake.survey("third").title == "A third survey"
    with pytest.raises(NotInLake, match="third"):
        lake.survey("ztf")


def test_a_lake_can_be_moved_as_a_folder(tmp_path: Path) -> None:
    lake = Lake.create(str(tmp_path / "l"), surveys=["ztf"])
    lake.rows.put_many("ztf.alert", [(b"k", {"p": b"v"})])
    lake.close()
    (tmp_path / "l").rename(tmp_path / "moved")
    moved = Lake.open(str(tmp_path / "moved"))
    assert moved.rows.get("ztf.alert", b"k", ["p"]) == (b"v",)
    moved.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version = 2", "version"),
        ("version = 1\nrow = 'x'", "row"),
        ("version = ", "lake.toml"),
        ("version = 1\nrows = 'postgres://x'", "postgres"),
        ("version = 1\nsurveys = ['zft']", "zft"),
        ("version = 1\nsurveys = 'ztf'", "surveys"),
    ],
)
def test_a_wrong_lake_file_names_what_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "lake.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        _ = Lake.open(str(tmp_path)).rows


def test_no_lake_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no lake at"):
        Lake.open(str(tmp_path))


def test_a_lake_elsewhere_needs_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--rows"):
        Lake.create("memory://somewhere/lake")
    Lake.create(str(tmp_path / "l")).close()
    with pytest.raises(ConfigurationError, match="not in hbase"):
        Lake.create(str(tmp_path / "l"), rows="hbase://127.0.0.1:1/x")
