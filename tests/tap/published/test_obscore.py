"""`ivoa.obscore`: the standard's columns, and rows that are checked against an alert at a time."""

from __future__ import annotations

import math
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.survey import Survey, load_survey
from sodalake.tap.metadata import Table, arrow_schema
from sodalake.tap.published import AlertsView, obscore_table
from sodalake.tap.published.surveytables import alerts_table

BASE = "https://example.org/lake"
MANDATORY = """
    dataproduct_type calib_level obs_collection obs_id obs_publisher_did access_url access_format
    access_estsize target_name s_ra s_dec s_fov s_region s_resolution s_xel1 s_xel2 t_min t_max t_exptime t_resolution
    t_xel em_min em_max em_res_power em_xel o_ucd pol_states pol_xel facility_name instrument_name
"""
NAMES = [column.name for column in obscore_table().columns]


def ztf_alerts(**changes: pa.Array) -> pa.Table:
    columns = {
        "candid": pa.array([1786552611115010002, 7, 8], pa.int64()),
        "objectId": pa.array(["ZTF21abfmbix", None, ""], pa.string()),
        "jd": pa.array([2459000.5, 2459001.25, None], pa.float64()),
        "ra": pa.array([10.0, 359.999, 0.0], pa.float64()),
        "dec": pa.array([-30.0, 89.9999, None], pa.float64()),
        "fid": pa.array([1, 2, 9], pa.int32()),
        "exptime": pa.array([30.0, None, -1.0], pa.float32()),
        **changes,
    }
    return pa.table(columns)


def view_of(survey: Survey, alerts: pa.Table) -> AlertsView:
    return AlertsView(survey, alerts_table(survey, alerts.schema, None), "example.org", BASE)


@pytest.fixture
def ztf() -> AlertsView:
    return view_of(load_survey("ztf"), ztf_alerts())


def test_the_mandatory_columns_come_first() -> None:
    table: Table = obscore_table()
    assert NAMES[:30] == MANDATORY.split()
    assert all(column.std and column.utype.startswith("obscore:") for column in table.columns)
    region = table.column("s_region")
    assert region is not None
    assert (region.datatype, region.xtype) == ("char", "adql:region")
    assert table.kind == "view"


def test_rows_have_the_types_of_the_table(ztf: AlertsView) -> None:
    made = ztf.derive(ztf_alerts(), NAMES)
    assert made.schema == arrow_schema(obscore_table().columns)
    assert made.num_rows == 3
    assert ztf.derive(ztf_alerts().slice(0, 0), NAMES).schema == made.schema


def test_values_of_one_alert(ztf: AlertsView) -> None:
    row = ztf.derive(ztf_alerts(), NAMES).to_pylist()[0]
    assert row["obs_publisher_did"] == "ivo://example.org/ztf?1786552611115010002"
    assert row["obs_id"] == "1786552611115010002"
    assert row["target_name"] == "ZTF21abfmbix"
    asked = urlsplit(row["access_url"])
    assert f"{asked.scheme}://{asked.netloc}{asked.path}" == f"{BASE}/datalink/links"
    assert parse_qs(asked.query) == {"ID": [row["obs_publisher_did"]]}
    assert row["access_format"] == "application/x-votable+xml;content=datalink"
    assert (row["dataproduct_type"], row["calib_level"], row["obs_collection"]) == ("image", 2, "ztf")
    assert (row["t_min"], row["t_exptime"]) == (59_000.0, 30.0)
    assert row["t_max"] == pytest.approx(row["t_min"] + 30 / 86_400, abs=1e-9)
    assert (row["em_min"], row["em_max"]) == (3.676e-7, 5.614e-7)
    assert row["instrument_name"] == "ZTF"
    assert row["o_ucd"] == "phot.count"


def test_what_is_not_known_is_null(ztf: AlertsView) -> None:
    rows = ztf.derive(ztf_alerts(), NAMES).to_pylist()
    assert (rows[1]["target_name"], rows[2]["target_name"]) == (None, None)
    assert (rows[1]["t_exptime"], rows[2]["t_exptime"]) == (None, None)
    assert rows[1]["t_max"] == rows[1]["t_min"]
    assert (rows[2]["t_min"], rows[2]["t_max"], rows[2]["s_region"], rows[2]["em_min"]) == (None,) * 4
    assert all(row["access_estsize"] is None for row in rows)


def test_julian_dates_become_modified_ones(ztf: AlertsView) -> None:
    made = ztf.derive(ztf_alerts(), ["t_min"])["t_min"].to_pylist()
    assert made == [59000.0, 59000.75, None]
    assert ztf.linear["t_min"] == ("jd", -2400000.5)


def test_atomic_time_becomes_universal_time() -> None:
    lsst = load_survey("lsst")
    alerts = pa.table(
        {
            "alert_diaSourceId": pa.array([5], pa.int64()),
            "diaObjectId": pa.array([0], pa.int64()),
            "ssObjectId": pa.array([77], pa.int64()),
            "midpointMjdTai": [61_000.5],
            "ra": [1.0],
            "dec": [2.0],
            "band": ["y"],
        }
    )
    view = view_of(lsst, alerts)
    (row,) = view.derive(alerts, NAMES).to_pylist()
    assert row["t_min"] == pytest.approx(61_000.5 - 37 / 86_400, abs=1e-10)
    assert row["t_max"] == row["t_min"]
    assert (row["em_min"], row["em_max"]) == (9.238e-7, 1.0845e-6)
    # 0 is no object: the solar-system object is meant
    assert row["target_name"] == "77"
    assert row["obs_publisher_did"] == "ivo://example.org/lsst?5"


def test_bands_are_found_whatever_the_writer_made_of_them() -> None:
    for kind in (pa.int16(), pa.int64(), pa.float64(), pa.string()):
        alerts = ztf_alerts(fid=pa.array([3, 1, None], pa.int64()).cast(kind))
        made = view_of(load_survey("ztf"), alerts).derive(alerts, ["em_min"])["em_min"].to_pylist()
        assert made == [6.871e-7, 3.676e-7, None], kind


def test_dictionaries_are_taken_for_texts() -> None:
    alerts = ztf_alerts()
    coded = alerts.set_column(1, "objectId", alerts["objectId"].dictionary_encode())
    view = view_of(load_survey("ztf"), alerts)
    assert view.derive(coded, NAMES).equals(view.derive(alerts, NAMES))


def test_only_what_is_needed_is_read(ztf: AlertsView) -> None:
    assert ztf.needs(["s_ra", "calib_level"]) == ("ra",)
    assert ztf.needs(["t_max", "t_min"]) == ("jd", "exptime")
    assert ztf.needs(["instrument_name", "s_fov"]) == ()
    for name in NAMES:
        alone = ztf_alerts().select(list(ztf.needs([name])) or ["jd"])
        assert ztf.derive(alone, [name]).num_rows == 3
    assert set(ztf.values) | {n for n in NAMES if ztf.needs([n])} | {"s_fov", "s_pixel_scale"} == set(NAMES)


def test_constants_are_what_rows_have(ztf: AlertsView) -> None:
    made = ztf.derive(ztf_alerts(), NAMES)
    for name, values in ztf.values.items():
        assert made[name].to_pylist() == list(values) * 3


def test_linear_columns_are_what_rows_have(ztf: AlertsView) -> None:
    alerts = ztf_alerts()
    made = ztf.derive(alerts, NAMES)
    for name, (column, offset) in ztf.linear.items():
        expected = [None if value is None else value + offset for value in alerts[column].to_pylist()]
        assert made[name].to_pylist() == expected


@given(
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 89.9999, 0.0])),
)
def test_regions_are_squares_around_the_place(ra: float, dec: float) -> None:
    alerts = ztf_alerts(ra=pa.array([ra] * 3), dec=pa.array([dec] * 3))
    view = view_of(load_survey("ztf"), alerts)
    text = view.derive(alerts, ["s_region"])["s_region"][0].as_py()
    words = text.split()
    assert words[:2] == ["Polygon", "ICRS"]
    numbers = np.array(words[2:], float)
    assert numbers.size == 8
    lon, lat = np.radians(numbers[::2]), np.radians(numbers[1::2])
    corners = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]).T
    a, d = math.radians(ra), math.radians(dec)
    centre = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
    apart = np.degrees(np.arctan2(np.linalg.norm(np.cross(corners, centre), axis=1), corners @ centre))
    assert np.all(apart <= view.reach)
    assert np.allclose(apart, 63 * 1.01 / 3600 / math.sqrt(2), rtol=2e-3)
    # counter-clockwise as seen from inside: clockwise from outside
    for one, two in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        assert np.dot(np.cross(one, two), centre) < 0


def test_text_ids_are_escaped_and_found_again() -> None:
    ztf = load_survey("ztf")
    survey = ztf.model_copy(update={"ids": ztf.ids.model_copy(update={"alert_kind": "text"})})
    ids = ["plain-1", "a b/c?d", "50%é"]
    alerts = ztf_alerts(candid=pa.array(ids))
    view = view_of(survey, alerts)
    rows = view.derive(alerts, ["obs_publisher_did", "access_url", "obs_id"]).to_pylist()
    assert [row["obs_id"] for row in rows] == ids
    for row, alert in zip(rows, ids, strict=True):
        assert view.id_of(row["obs_publisher_did"]) == alert
        assert parse_qs(urlsplit(row["access_url"]).query)["ID"] == [row["obs_publisher_did"]]


@pytest.mark.parametrize(
    "did",
    ["", "ivo://example.org/ztf", "ivo://example.org/lsst?7", "ivo://other/ztf?7", "ivo://example.org/ztf?7/science",
     "IVO://example.org/ztf?7", "ivo://example.org/ztf?%37", "x" * 100_000],
)  # fmt: skip
def test_what_no_row_has_names_no_alert(ztf: AlertsView, did: str) -> None:
    assert ztf.id_of(did) is None


def test_its_own_identifiers_name_alerts(ztf: AlertsView) -> None:
    assert ztf.id_of("ivo://example.org/ztf?7") == "7"
