"""Survey images in `ivoa.obscore`, and their own table: rows that are checked against an image at a time."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from sodalake.lake.images.imagecolumns import IMAGE_COLUMNS
from sodalake.lake.images.imagesurvey import ImageSurvey, load_image_survey
from sodalake.tap.metadata import arrow_schema
from sodalake.tap.published import ImagesView, obscore_table
from sodalake.tap.published.imagestable import images_table

BASE = "https://example.org/lake"
NAMES = [column.name for column in obscore_table().columns]
IDS = ["c4d_170916_045042_r.N15", "a b/c?d", "50%é"]


def images() -> pa.Table:
    """Three images: one of which all is known, and two of which little is."""
    known: dict[str, list[object]] = {
        "image_id": list(IDS),
        "collection": ["decam"] * 3,
        "band": ["r", "no such filter", None],
        "ra": [10.0, 359.9, 0.0],
        "dec": [-30.0, 89.9, 0.0],
        "fov": [0.3, 0.2, 2.0],
        "s_region": ["Polygon ICRS 1 2 3 4 5 6"] * 3,
        "t_min": [58_012.2, None, 50_000.0],
        "t_max": [58_012.3, None, 59_000.0],
        "exposure": [90.0, None, None],
        "width": [2046, 100, 1],
        "height": [4094, 50, 1],
        "pixel_scale": [0.262, 0.3, 1.0],
        "calib_level": [2, 2, 2],
        "unit": ["adu", None, "nJy"],
        "zero_point": [25.1, None, None],
        "seeing": [1.1, None, None],
        "filesize": [1_000_001, 2000, 0],
        "planes": ["weight mask", "", ""],
    }
    return pa.table(known, IMAGE_COLUMNS)


@pytest.fixture(scope="module")
def survey() -> ImageSurvey:
    return load_image_survey("decam")


@pytest.fixture(scope="module")
def view(survey: ImageSurvey) -> ImagesView:
    return ImagesView(survey, images_table(survey, 3), "example.org", BASE)


def test_rows_have_the_types_of_the_table(view: ImagesView) -> None:
    made = view.derive(images(), NAMES)
    assert made.schema == arrow_schema(obscore_table().columns)
    for name in NAMES:
        alone = images().select(list(view.needs([name])) or ["image_id"])
        assert view.derive(alone, [name]).column(0).to_pylist() == made.column(name).to_pylist()


def test_values_of_one_image(view: ImagesView, survey: ImageSurvey) -> None:
    row = view.derive(images(), NAMES).to_pylist()[0]
    assert row | {
        "obs_id": IDS[0], "obs_publisher_did": f"ivo://example.org/decam?{IDS[0]}", "obs_collection": "decam",
        "dataproduct_type": "image", "dataproduct_subtype": None, "calib_level": 2, "target_name": None,
        "access_estsize": 1001, "access_format": "application/x-votable+xml;content=datalink",
        "s_ra": 10.0, "s_dec": -30.0, "s_fov": 0.3, "s_region": "Polygon ICRS 1 2 3 4 5 6", "s_resolution": 1.1,
        "s_xel1": 2046, "s_xel2": 4094, "s_pixel_scale": 0.262,
        "t_min": 58_012.2, "t_max": 58_012.3, "t_exptime": 90.0,
        "em_min": survey.bands["r"][0], "em_max": survey.bands["r"][1], "o_unit": "adu", "o_ucd": survey.pixels.ucd,
        "facility_name": survey.facility, "instrument_name": survey.instrument, "publisher_id": "ivo://example.org",
    } == row  # fmt: skip


def test_what_is_not_known_is_null(view: ImagesView) -> None:
    for row in view.derive(images(), NAMES).to_pylist()[1:]:
        assert [row[name] for name in ("em_min", "em_max", "s_resolution", "t_exptime", "pol_states")] == [
            None
        ] * 5


def test_ids_are_escaped_and_found_again(view: ImagesView) -> None:
    rows = view.derive(images(), ["obs_publisher_did", "access_url"]).to_pylist()
    for row, image in zip(rows, IDS, strict=True):
        assert view.id_of(row["obs_publisher_did"]) == image
        assert row["access_url"].startswith(f"{BASE}/datalink/links?")
        assert parse_qs(urlsplit(row["access_url"]).query)["ID"] == [row["obs_publisher_did"]]
    assert view.id_of("ivo://example.org/des?x") is None


def test_what_the_planner_is_told_is_what_rows_have(view: ImagesView) -> None:
    made = view.derive(images(), NAMES)
    for name, values in view.values.items():
        assert set(made[name].to_pylist()) <= set(values), name
    for name, (column, offset) in view.linear.items():
        assert offset == 0.0
        assert made[name].to_pylist() == images()[column].to_pylist()
    for name, column in view.same.items():
        assert made[name].to_pylist() == images()[column].to_pylist()


def test_the_table_has_the_columns_of_the_rows(survey: ImageSurvey) -> None:
    table = images_table(survey, 7)
    assert arrow_schema(table.columns) == IMAGE_COLUMNS
    assert (table.qualified, table.rows, table.content) == ("decam.images", 7, "images")
    assert all(table.column(name) is not None for name in table.roles.values())
    assert all(column.description and column.ucd for column in table.columns)
    main = {column.name: column.ucd for column in table.columns if "meta.main" in column.ucd}
    assert main == {
        "image_id": "meta.id;meta.main",
        "ra": "pos.eq.ra;meta.main",
        "dec": "pos.eq.dec;meta.main",
    }
    assert table.column("t_min").unit == "d"  # type: ignore[union-attr]
