"""Images by id, by place, in joins, and all of them: whichever way they are read, the answer is the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.lake.alertrows import TooManyRows
from sodalake.tap.planning.planner import Indices
from sodalake.tap.questions import Limits, Question, Upload
from sodalake.tap.running.guard import Guard
from sodalake.tap.session import Session, share_run

IMAGES = 140  # of the lake: 150 were written, and 10 of a file were not any more when it came again


@dataclass(frozen=True)
class Found:
    """Rows of an answer, the paths by which they were read, and how many were read of each source."""

    rows: list[tuple[object, ...]]
    paths: frozenset[str]
    read: int


def answered(
    session: Session,
    adql: str,
    indices: Indices = "all",
    *,
    most: int = 50_000,
    uploads: tuple[Upload, ...] = (),
) -> Found:
    question = Question(adql, rows=1_000_000, uploads=uploads, limits=Limits(index_rows=most))
    run = session.run(question, session.asked(question, indices), Guard(60), most=most)
    rows = [tuple(row.values()) for batch in run.batches() for row in batch.to_pylist()]
    counted = run.counted.values()
    return Found(rows, frozenset(one.path for one in counted), sum(one.rows for one in counted))


def same(session: Session, adql: str, *, uploads: tuple[Upload, ...] = ()) -> Found:
    by_index, whole = (answered(session, adql, one, uploads=uploads) for one in ("all", "none"))  # type: ignore[arg-type]
    assert whole.paths <= {"archive", "given", "nothing", "archive, nothing"}
    assert Counter(map(repr, by_index.rows)) == Counter(map(repr, whole.rows))
    return by_index


@pytest.fixture(scope="module")
def some(session: Session) -> list[tuple[object, ...]]:
    """Some images: id, place, outline, diameter."""
    return answered(
        session, "SELECT image_id, ra, dec, s_region, fov FROM plates.images ORDER BY image_id"
    ).rows


def test_all_images_are_there_once(session: Session, some: list[tuple[object, ...]]) -> None:
    assert len({row[0] for row in some}) == len(some) == IMAGES
    found = same(session, "SELECT obs_id, obs_collection, calib_level FROM ivoa.obscore WHERE obs_collection <> 'ztf'"
                          " AND dataproduct_subtype IS NULL")  # fmt: skip
    assert Counter(row[1:] for row in found.rows) == {("wide", 2): 90, ("deep", 3): 50}
    assert {row[0] for row in found.rows} == {row[0] for row in some}


def test_each_index_is_taken(session: Session, some: list[tuple[object, ...]]) -> None:
    name, ra, dec, region, _ = some[40]
    cases = {
        f"image_id = '{name}'": "image",
        f"image_id IN ('{name}', '{some[3][0]}', 'nothing')": "image",
        f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra}, {dec}, 0.01))": "sky",
        f"DISTANCE(ra, dec, {ra}, {dec}) <= 36/3600.": "sky",
        f"1 = CONTAINS(POINT({ra}, {dec}), s_region)": "sky",
        f"1 = INTERSECTS(s_region, CIRCLE({ra}, {dec}, 1))": "sky",
        f"INTERSECTS(CIRCLE({ra}, {dec}, 1), s_region) = 1": "sky",
        f"1 = INTERSECTS(s_region, POLYGON({ra}, {dec}, {ra}+0.1, {dec}, {ra}, {dec}+0.1))": "sky",
        f"1 = CONTAINS(s_region, CIRCLE({ra}, {dec}, 30))": "sky",
        f"ra BETWEEN {ra} - 0.01 AND {ra} + 0.01 AND dec BETWEEN {dec} - 0.01 AND {dec} + 0.01": "sky",
        "seeing < 1": "images",
        "band = 'g' AND t_min > 58500": "images",
    }
    for where, path in cases.items():
        found = same(session, f"SELECT image_id, band, s_region FROM plates.images WHERE {where}")
        assert found.paths == {path}, where
        assert found.rows, where
        if path != "images":
            assert found.read < IMAGES, where
    assert region.startswith("Polygon ICRS ")  # type: ignore[attr-defined]


def test_each_index_is_taken_for_obscore(session: Session, some: list[tuple[object, ...]]) -> None:
    name, ra, dec, *_ = some[40]
    did = f"ivo://sodalake/plates?{str(name).replace('/', '%2F')}"
    cases = {
        f"obs_publisher_did = '{did}'": "image, nothing",
        f"obs_id IN ('{name}')": "alert, image",
        f"1 = INTERSECTS(s_region, CIRCLE({ra}, {dec}, 1))": "sky",
        f"1 = CONTAINS(POINT({ra}, {dec}), s_region) AND obs_collection = 'deep'": "nothing, sky",
        f"1 = CONTAINS(POINT(s_ra, s_dec), CIRCLE({ra}, {dec}, 0.1))": "sky",
        "obs_collection = 'wide'": "images, nothing",
        "calib_level = 3": "images, nothing",
        "facility_name = 'Mount Example'": "images, nothing",
        "dataproduct_subtype = 'stamps' AND obs_collection = 'wide'": "nothing",
        "obs_collection = 'nowhere'": "nothing",
    }
    for where, path in cases.items():
        found = same(session, f"SELECT * FROM ivoa.obscore WHERE {where}")
        assert found.paths == {path}, where
        assert bool(found.rows) == ("nowhere" not in where and "stamps" not in where), where


def test_times_of_alerts_have_their_index_whatever_images_last(session: Session) -> None:
    ((jd,),) = answered(session, "SELECT TOP 1 jd FROM ztf.alerts ORDER BY jd").rows
    day = float(str(jd)) - 2_400_000.5
    found = same(
        session, f"SELECT obs_id, t_max FROM ivoa.obscore WHERE t_min <= {day} AND t_max >= {day - 0.01}"
    )
    assert found.paths == {"images, time"}
    assert found.rows
    years = same(session, "SELECT obs_id FROM ivoa.obscore WHERE t_min <= 58900 AND t_max >= 58899.9")
    assert len(years.rows) > 10  # coadded images, that began long before


def test_more_images_than_may_be_read_at_once_are_for_the_scans(
    session: Session, some: list[tuple[object, ...]]
) -> None:
    query = "SELECT image_id FROM plates.images WHERE seeing < 1"
    few = Question(query, limits=Limits(index_rows=IMAGES - 1))
    assert session.asked(few).plan.scans
    assert not session.asked(Question(query, limits=Limits(index_rows=IMAGES))).plan.scans
    # what is in a place turns out to be too many only when it is read
    crowded = "SELECT image_id FROM plates.images WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(150, 2, 4))"
    with pytest.raises(TooManyRows):
        answered(session, crowded, most=20)
    assert session.asked(Question(crowded, limits=Limits(index_rows=20)), "ids").plan.scans
    assert session.explained(Question(crowded, limits=Limits(index_rows=20)), run=True).rows > 20


def test_the_first_rows_are_read_and_no_more(session: Session) -> None:
    found = answered(session, "SELECT TOP 3 image_id FROM plates.images", most=IMAGES - 1)
    assert len(found.rows) == 3
    assert found.read < IMAGES
    assert not session.asked(
        Question("SELECT TOP 3 * FROM ivoa.obscore", limits=Limits(index_rows=3))
    ).plan.scans


def test_plans_are_told(session: Session, some: list[tuple[object, ...]]) -> None:
    name, ra, dec, *_ = some[0]
    told = {
        f"1 = CONTAINS(POINT({ra}, {dec}), s_region)": "plates: row store, by place",
        f"image_id = '{name}'": "plates: row store, by image id",
        "seeing > 1": f"plates: row store, all images, about {IMAGES} rows",
    }
    for where, path in told.items():
        text = session.explained(Question(f"SELECT * FROM plates.images WHERE {where}")).plan
        assert path in text
        assert "archive" not in text
    text = session.explained(Question("SELECT band FROM plates.images WHERE seeing > 1"), indices="none").plan
    assert "plates: row store, all images" in text


@pytest.mark.parametrize(
    "query",
    [
        "SELECT obs_collection, COUNT(*) AS n, AVG(s_fov) FROM ivoa.obscore GROUP BY obs_collection ORDER BY n",
        "SELECT obs_publisher_did FROM ivoa.obscore WHERE s_pixel_scale > 0.5 ORDER BY obs_publisher_did",
        "SELECT TOP 30 obs_id, t_min FROM ivoa.obscore WHERE s_dec > 0 ORDER BY t_min, obs_id",
    ],
)
def test_images_stand_beside_shares_of_the_archive(session: Session, query: str) -> None:
    question = Question(query, rows=1_000_000)
    asked = session.asked(question)
    shares = session.shares(asked.plan, 1)
    assert len(shares) > 2
    parts: dict[str, list[pa.Table]] = {}
    for share in shares:
        run = share_run(session, question, asked.plan, Guard(60))
        parts.setdefault(share.source, []).append(run.reduced_share(share))
    run = session.run(question, asked, Guard(60), most=None, parts=parts)
    rows = [tuple(row.values()) for batch in run.batches() for row in batch.to_pylist()]
    whole = answered(session, query).rows
    assert [row[:2] for row in rows] == [row[:2] for row in whole]
    assert len(rows) == len(whole) > 3


# ---------------------------------------------------------------------- joins


def targets(some: list[tuple[object, ...]]) -> Upload:
    """Places in some images, and one in none."""
    lines = [f"{n},{row[1]},{row[2]}" for n, row in enumerate(some[::9])]
    return Upload("t", "\n".join(["n,lon,lat", *lines, "999,12.5,-66.5"]).encode(), "text/csv")


@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN"])
@pytest.mark.parametrize("first", ["TAP_UPLOAD.t", "plates.images"])
@pytest.mark.parametrize(
    "on",
    [
        "1 = CONTAINS(POINT(t.lon, t.lat), i.s_region)",
        "DISTANCE(t.lon, t.lat, i.ra, i.dec) < 0.5",
        "1 = CONTAINS(POINT(t.lon, t.lat), CIRCLE(i.ra, i.dec, i.fov / 2))",
        "1 = CONTAINS(POINT(t.lon, t.lat), CIRCLE(i.ra, i.dec, i.fov))",
    ],
)
def test_places_are_matched_with_images(
    session: Session, some: list[tuple[object, ...]], join: str, first: str, on: str
) -> None:
    second = "plates.images" if first != "plates.images" else "TAP_UPLOAD.t"
    alias = {"plates.images": "i", "TAP_UPLOAD.t": "t"}
    query = (
        f"SELECT t.n, i.image_id FROM {first} AS {alias[first]} {join} {second} AS {alias[second]} ON {on}"
    )
    found = same(session, query, uploads=(targets(some),))
    asked = Question(query, uploads=(targets(some),))
    names = {number: row[0] for number, row in enumerate(some[::9])}
    assert set(names.items()) <= set(found.rows)
    text = session.explained(asked).plan
    assert ("matched with" in text) == ("/ 2" not in on)
    if first == "TAP_UPLOAD.t" and "i.fov" not in on:
        assert found.paths == {"given", "sky"}
        assert found.read < IMAGES


def test_images_are_reached_by_their_ids(session: Session, some: list[tuple[object, ...]]) -> None:
    ids = "\n".join(["name", *(str(row[0]) for row in some[:3]), "nothing"]).encode()
    query = "SELECT i.image_id FROM TAP_UPLOAD.t AS t JOIN plates.images AS i ON t.name = i.image_id"
    found = same(session, query, uploads=(Upload("t", ids, "text/csv"),))
    assert sorted(row[0] for row in found.rows) == sorted(row[0] for row in some[:3])  # type: ignore[type-var]
    assert found.paths == {"given", "image"}


def test_alerts_are_matched_with_the_images_they_are_on(session: Session) -> None:
    on = "1 = CONTAINS(POINT(a.ra, a.dec), i.s_region)"
    found = same(session, f"SELECT i.image_id, a.candid FROM plates.images AS i JOIN ztf.alerts AS a ON {on}")
    counted = same(session, f"SELECT COUNT(*) FROM ztf.alerts AS a JOIN plates.images AS i ON {on}")
    assert counted.rows == [(len(found.rows),)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i.image_id FROM plates.images AS i WHERE EXISTS"
        " (SELECT * FROM ztf.alerts AS a WHERE 1 = CONTAINS(POINT(a.ra, a.dec), i.s_region) AND a.fid = 1)",
        "SELECT a.candid FROM ztf.alerts AS a WHERE EXISTS"
        " (SELECT * FROM plates.images AS i WHERE 1 = CONTAINS(POINT(a.ra, a.dec), i.s_region) AND i.band = 'g')",
        "SELECT a.candid, i.image_id FROM ztf.alerts AS a, plates.images AS i"
        " WHERE CONTAINS(POINT(a.ra, a.dec), i.s_region) = 1 AND a.fid = 2",
        "SELECT i.image_id, j.image_id AS other FROM plates.images AS i JOIN plates.images AS j"
        " ON 1 = CONTAINS(POINT(i.ra, i.dec), j.s_region)",
        "SELECT i.image_id, o.obs_id FROM plates.images AS i LEFT JOIN ivoa.obscore AS o"
        " ON 1 = CONTAINS(POINT(i.ra, i.dec), o.s_region) AND o.dataproduct_subtype IS NULL",
        "SELECT COUNT(*) FROM plates.images AS i WHERE i.image_id NOT IN"
        " (SELECT obs_id FROM ivoa.obscore WHERE obs_collection = 'deep')",
    ],
)
def test_joins_of_other_shapes(session: Session, query: str) -> None:
    assert same(session, query).rows


# ---------------------------------------------------------------------- any conditions


@st.composite
def conditions(draw: st.DrawFn, some: list[tuple[object, ...]], obscore: bool) -> str:
    """A condition on images, about some of them."""
    name, ra, dec, region, fov = draw(st.sampled_from(some))
    corners = str(region).split()[2:]
    x, y = draw(st.sampled_from([(ra, dec), (corners[0], corners[1]), (corners[-2], corners[-1])]))
    radius = draw(st.sampled_from(["0.0001", str(fov), "2", "35", "120"]))
    lon, lat, key = ("s_ra", "s_dec", "obs_id") if obscore else ("ra", "dec", "image_id")
    wide = "s_fov" if obscore else "fov"
    simple = [
        f"{key} = '{name}'",
        f"{key} IN ('{name}', 'x')",
        f"1 = INTERSECTS(s_region, CIRCLE({x}, {y}, {radius}))",
        f"0 = INTERSECTS(s_region, CIRCLE({x}, {y}, {radius}))",
        f"1 = CONTAINS(POINT({x}, {y}), s_region)",
        f"1 = CONTAINS(s_region, CIRCLE({x}, {y}, {radius}))",
        f"1 = INTERSECTS(POLYGON({x}, {y}, {x} + 5, {y}, {x}, -89), s_region)",
        f"1 = CONTAINS(POINT({lon}, {lat}), CIRCLE({x}, {y}, {radius}))",
        f"DISTANCE({lon}, {lat}, {x}, {y}) < {radius}",
        f"{lon} BETWEEN {x} - 1 AND {x} + 1 AND {lat} BETWEEN {y} - 1 AND {y} + 1",
        f"{wide} > {fov}",
        "t_min < 58500 AND t_max >= 58500",
        "t_max > 58900",
        "t_min IS NULL",
        "calib_level = 3",
    ]
    one = draw(st.sampled_from(simple))
    match draw(st.integers(0, 5)):
        case 0:
            return f"({one} OR {draw(conditions(some, obscore))})"
        case 1:
            return f"{one} AND {draw(conditions(some, obscore))}"
        case 2:
            return f"NOT ({one})"
    return one


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_condition(session: Session, some: list[tuple[object, ...]], data: st.DataObject) -> None:
    where = data.draw(conditions(some, obscore=False))
    same(session, f"SELECT image_id, seeing FROM plates.images WHERE {where}")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_condition_on_obscore(
    session: Session, some: list[tuple[object, ...]], data: st.DataObject
) -> None:
    where = data.draw(conditions(some, obscore=True))
    same(session, f"SELECT obs_publisher_did, em_min FROM ivoa.obscore WHERE {where}")


def test_rows_are_kept_while_the_files_are_the_same(session: Session) -> None:
    rows = session.rows
    survey = session.lake.image_survey("plates")
    view = session.lake.catalogue("plates").view(fresh=True)
    first = pa.concat_tables(rows.kept.all(survey, ["image_id"], view=view))
    again = pa.concat_tables(rows.kept.all(survey, ["image_id", "seeing"], view=view))
    assert first.column("image_id").to_pylist() == again.column("image_id").to_pylist()
    assert np.isfinite(again.column("seeing").drop_null().to_numpy()).all()
