"""Whichever way a table is read, by an index or from the archive, the answer is the same."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.tap.planning.planner import Indices
from sodalake.tap.questions import Question
from sodalake.tap.running.guard import Guard
from sodalake.tap.session import Session


@dataclass(frozen=True)
class Found:
    """Rows of an answer, in their order, and the paths by which they were read."""

    rows: list[tuple[object, ...]]
    paths: frozenset[str]


def answered(session: Session, adql: str, indices: Indices = "all") -> Found:
    question = Question(adql, rows=1_000_000)
    run = session.run(question, session.asked(question, indices), Guard(60), most=50_000)
    batches = list(run.batches())
    table = pa.Table.from_batches(batches) if batches else None
    rows = [] if table is None else [tuple(row.values()) for row in table.to_pylist()]
    return Found(rows, frozenset(one.path for one in run.counted.values()))


def same(session: Session, adql: str, *, ordered: bool = False) -> Found:
    by_index, whole = answered(session, adql), answered(session, adql, "none")
    assert whole.paths <= {"archive", "given", "nothing", "archive, nothing"}
    if ordered:
        assert by_index.rows == whole.rows
    else:
        assert Counter(map(repr, by_index.rows)) == Counter(map(repr, whole.rows))
    return by_index


@pytest.fixture(scope="module")
def some(session: Session) -> list[tuple[object, ...]]:
    """Some alerts: objectId, candid, ra, dec, jd, magpsf."""
    found = answered(session, "SELECT objectId, candid, ra, dec, jd, magpsf FROM ztf.alerts ORDER BY candid")
    return found.rows[::7]


def test_each_index_is_taken(session: Session, some: list[tuple[object, ...]]) -> None:
    object_id, candid, ra, dec, jd, _ = some[3]
    cases = {
        f"objectId = '{object_id}'": "object",
        f"candid = {candid}": "alert",
        f"candid IN ({candid}, {some[4][1]})": "alert",
        f"(candid = {candid} OR candid = {some[4][1]}) AND jd > 0": "alert",
        f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra}, {dec}, 0.01))": "sky",
        f"CONTAINS(POINT({ra}, {dec}), CIRCLE(ra, dec, 0.01)) = 1": "sky",
        f"DISTANCE(POINT(ra, dec), POINT({ra}, {dec})) < 0.01": "sky",
        f"DISTANCE(ra, dec, {ra}, {dec}) <= 36/3600.": "sky",
        f"0.01 > DISTANCE(POINT({ra}, {dec}), POINT(ra, dec))": "sky",
        f"1 = INTERSECTS(POINT(ra, dec), CIRCLE(POINT({ra}, {dec}), 0.01))": "sky",
        f"1 = CONTAINS(POINT(ra, dec), BOX({ra}, {dec}, 0.02, 0.02))": "sky",
        f"1 = CONTAINS(POINT(ra, dec), POLYGON({ra}-0.1, {dec}-0.1, {ra}+0.1, {dec}-0.1, {ra}, {dec}+0.1))": "sky",
        f"ra BETWEEN {ra} - 0.01 AND {ra} + 0.01 AND dec BETWEEN {dec} - 0.01 AND {dec} + 0.01": "sky",
        f"jd BETWEEN {jd} - 0.01 AND {jd} + 0.01": "time",
        "magpsf < 18": "archive",
    }
    for where, path in cases.items():
        found = same(session, f"SELECT candid, jd, magpsf FROM ztf.alerts WHERE {where}")
        assert found.paths == {path}, where
        assert found.rows, where


def test_classes_are_read_by_class(session: Session) -> None:
    ((name, _), *_) = answered(
        session, "SELECT cdsxmatch, COUNT(*) FROM ztf.alerts GROUP BY cdsxmatch ORDER BY 2 DESC"
    ).rows
    found = same(session, f"SELECT candid FROM ztf.alerts WHERE cdsxmatch = '{name}' AND fid = 1")
    assert found.paths == {"class"}
    assert found.rows


def test_the_newer_version_of_an_alert_counts(session: Session) -> None:
    found = same(session, "SELECT COUNT(*), COUNT(DISTINCT candid), COUNT(magpsf) FROM ztf.alerts")
    ((rows, different, magnitudes),) = found.rows
    assert rows == different
    assert magnitudes < rows  # those that are not a number are null, on both paths


@pytest.mark.parametrize(
    "adql",
    [
        "SELECT fid, COUNT(*) AS n, AVG(magpsf) AS m, MIN(jd) AS a FROM ztf.alerts GROUP BY fid ORDER BY n",
        "SELECT ROUND(magpsf, 0) AS m, COUNT(*) FROM ztf.alerts GROUP BY ROUND(magpsf, 0) HAVING COUNT(*) > 3"
        " ORDER BY 1",
        "SELECT COUNT(*), SUM(fid), AVG(fid) FROM ztf.alerts WHERE jd < 0",
        "SELECT COUNT(DISTINCT objectId) FROM ztf.alerts",
        "SELECT DISTINCT fid, isdiffpos FROM ztf.alerts ORDER BY fid, isdiffpos",
        "SELECT TOP 9 objectId, candid, magpsf FROM ztf.alerts WHERE magpsf IS NOT NULL ORDER BY magpsf, candid",
        "SELECT TOP 5 candid FROM ztf.alerts ORDER BY jd DESC, candid OFFSET 3",
        "SELECT candid FROM ztf.alerts WHERE magpsf = (SELECT MIN(magpsf) FROM ztf.alerts)",
        "SELECT objectId FROM ztf.alerts WHERE fid = 1 INTERSECT SELECT objectId FROM ztf.alerts WHERE fid = 2",
        "WITH x AS (SELECT objectId, COUNT(*) AS n FROM ztf.alerts GROUP BY objectId) SELECT MAX(n), AVG(n) FROM x",
        "SELECT obs_collection, instrument_name, COUNT(*) FROM ivoa.obscore GROUP BY obs_collection, instrument_name",
        "SELECT obs_publisher_did FROM ivoa.obscore WHERE t_min > 61000 AND obs_collection = 'nowhere'",
        "SELECT a.candid FROM ztf.alerts AS a WHERE NOT EXISTS (SELECT * FROM ztf.alerts AS b"
        " WHERE b.objectId = a.objectId AND b.jd < a.jd)",
        "SELECT fid, ivo_string_agg(objectId, ',') FROM ztf.alerts WHERE jd < 2461106 GROUP BY fid",
        "SELECT n_alerts, COUNT(*) FROM ztf.objects GROUP BY n_alerts ORDER BY 1",
    ],
)
def test_queries_of_other_shapes(session: Session, adql: str) -> None:
    same(session, adql, ordered="ORDER BY" in adql)


def test_objects_are_what_their_alerts_say(session: Session) -> None:
    summed = answered(
        session,
        "SELECT objectId, COUNT(*) AS n, MAX(jd) AS j FROM ztf.alerts GROUP BY objectId ORDER BY objectId",
    )
    listed = answered(session, "SELECT objectId, n_alerts, last_jd FROM ztf.objects ORDER BY objectId")
    assert listed.rows == summed.rows


def test_joins_are_reached_by_their_keys(session: Session, some: list[tuple[object, ...]]) -> None:
    object_id, candid, ra, dec, _, _ = some[5]
    found = same(
        session,
        f"SELECT a.candid, b.candid AS c FROM ztf.alerts AS a JOIN ztf.alerts AS b ON a.objectId = b.objectId"
        f" WHERE a.candid = {candid}",
    )
    assert found.paths == {"alert", "object"}
    found = same(
        session,
        f"SELECT o.objectId, o.n_alerts, a.candid FROM ztf.objects AS o JOIN ztf.alerts AS a ON o.objectId = a.objectId"
        f" WHERE 1 = CONTAINS(POINT(a.ra, a.dec), CIRCLE({ra}, {dec}, 0.01))",
    )
    assert found.paths == {"objects", "sky"}
    found = same(
        session,
        f"SELECT candid FROM ztf.alerts WHERE objectId IN (SELECT objectId FROM ztf.alerts WHERE candid = {candid})",
    )
    assert found.paths == {"alert", "object"}
    assert len(found.rows) == len(
        same(session, f"SELECT 1 AS x FROM ztf.alerts WHERE objectId = '{object_id}'").rows
    )


@pytest.mark.parametrize("join", ["JOIN", "LEFT JOIN"])
@pytest.mark.parametrize("radius", [0.0005, 0.5, 3.0])
def test_matches_by_place(session: Session, join: str, radius: float) -> None:
    near = f"1 = CONTAINS(POINT(a.ra, a.dec), CIRCLE(l.ra, l.dec, {radius}))"
    found = same(
        session,
        f"SELECT a.candid, l.diaSourceId FROM ztf.alerts AS a {join} lsst.alerts AS l ON {near} AND a.fid < 3",
    )
    alerts = answered(session, "SELECT candid, ra, dec, fid FROM ztf.alerts").rows
    others = answered(session, "SELECT diaSourceId, ra, dec FROM lsst.alerts").rows
    expected: Counter[tuple[object, object]] = Counter()
    for candid, ra, dec, fid in alerts:
        met = [one for one, x, y in others if fid < 3 and apart(ra, dec, x, y) <= radius]  # type: ignore[operator]
        expected.update((candid, one) for one in met or ([None] if join == "LEFT JOIN" else []))
    assert Counter(found.rows) == expected


def apart(ra: object, dec: object, x: object, y: object) -> float:
    a, b, c, d = (math.radians(float(one)) for one in (ra, dec, x, y))  # type: ignore[arg-type]
    half = math.sin((d - b) / 2) ** 2 + math.cos(b) * math.cos(d) * math.sin((c - a) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


# ---------------------------------------------------------------------- any conditions

NUMBERS = ("magpsf", "jd", "ra", "dec", "fid", "candid")


@st.composite
def conditions(draw: st.DrawFn, some: list[tuple[object, ...]]) -> str:
    """A condition on ztf.alerts, about some of its alerts."""
    object_id, candid, ra, dec, jd, _ = draw(st.sampled_from(some))
    values = {
        "magpsf": "18.5",
        "jd": str(jd),
        "ra": str(ra),
        "dec": str(dec),
        "fid": "2",
        "candid": str(candid),
    }
    radius = draw(st.sampled_from(["0.0003", "0.1", "5", "40", "179"]))
    column = draw(st.sampled_from(NUMBERS))
    simple = [
        f"objectId = '{object_id}'",
        f"objectId IN ('{object_id}', 'nothing')",
        f"{column} {draw(st.sampled_from(['<', '<=', '=', '>', '>=', '<>']))} {values[column]}",
        f"{values[column]} < {column}",
        f"{column} BETWEEN {values[column]} - 1 AND {values[column]} + 1",
        f"jd > {jd} - 0.5 AND jd < {jd} + 0.5",
        f"DISTANCE(POINT(ra, dec), POINT({ra}, {dec})) < {radius}",
        f"1 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius}))",
        f"0 = CONTAINS(POINT(ra, dec), CIRCLE({ra}, {dec}, {radius}))",
        f"1 = CONTAINS(POINT(ra, dec), POLYGON({ra}, {dec}, {ra} + 20, {dec}, {ra} + 10, 89))",
        "magpsf IS NULL",
        "cdsxmatch = 'Unknown'",
    ]
    one = draw(st.sampled_from(simple))
    match draw(st.integers(0, 5)):
        case 0:
            return f"({one} OR {draw(conditions(some))})"
        case 1:
            return f"{one} AND {draw(conditions(some))}"
        case 2:
            return f"NOT ({one})"
    return one


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_condition(session: Session, some: list[tuple[object, ...]], data: st.DataObject) -> None:
    where = data.draw(conditions(some))
    outputs = data.draw(
        st.sampled_from(
            ["candid", "COUNT(*)", "candid, magpsf, ra + 1 AS x", "objectId, DISTANCE(ra, dec, 1, 2) AS d"]
        )
    )
    same(session, f"SELECT {outputs} FROM ztf.alerts WHERE {where}")
