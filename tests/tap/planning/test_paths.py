"""Whichever way a table is read, by an index or from the archive, the answer is the same."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.tap.errors import AdqlError
from sodalake.tap.planning.planner import Indices
from sodalake.tap.questions import Question, Upload
from sodalake.tap.running.guard import Guard
from sodalake.tap.session import Session


@dataclass(frozen=True)
class Found:
    """Rows of an answer, in their order, and the paths by which they were read."""

    rows: list[tuple[object, ...]]
    paths: frozenset[str]


def answered(
    session: Session, adql: str, indices: Indices = "all", uploads: tuple[Upload, ...] = ()
) -> Found:
    question = Question(adql, rows=1_000_000, uploads=uploads)
    run = session.run(question, session.asked(question, indices), Guard(60), most=50_000)
    batches = list(run.batches())
    table = pa.Table.from_batches(batches) if batches else None
    rows = [] if table is None else [tuple(row.values()) for row in table.to_pylist()]
    return Found(rows, frozenset(one.path for one in run.counted.values()))


def same(session: Session, adql: str, *, ordered: bool = False, uploads: tuple[Upload, ...] = ()) -> Found:
    by_index, whole = (answered(session, adql, indices, uploads) for indices in ("all", "none"))
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


def test_a_number_that_no_id_reaches_is_looked_for_nowhere(
    session: Session, some: list[tuple[object, ...]]
) -> None:
    candid = some[3][1]
    for where, path in {
        "candid = 99999999999999999999": "nothing",
        "candid IN (99999999999999999999, -99999999999999999999)": "nothing",
        f"candid = 99999999999999999999 OR candid = {candid}": "alert",
        "NOT candid = 99999999999999999999": "archive",
    }.items():
        found = answered(session, f"SELECT candid FROM ztf.alerts WHERE {where}")
        assert found.paths == {path}, where
        assert bool(found.rows) is (path != "nothing"), where


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
        "SELECT a.candid, b.n_alerts, c.objectId FROM ztf.alerts AS a"
        " JOIN (ztf.alerts AS c JOIN ztf.objects AS b ON b.objectId = c.objectId) ON a.candid = c.candid",
        "SELECT a.objectId, b.fid FROM ztf.objects AS a"
        " LEFT JOIN (ztf.alerts AS b JOIN ztf.alerts AS c ON b.candid = c.candid AND c.fid = 1)"
        " ON a.objectId = b.objectId",
        "SELECT a.n_alerts, b.candid, c.objectId FROM ztf.objects AS a, ztf.alerts AS b"
        " RIGHT JOIN ztf.objects AS c ON b.objectId = c.objectId AND b.fid = 1 WHERE a.objectId = c.objectId",
        "SELECT a.n_alerts, b.candid, c.objectId FROM ztf.objects AS a, ztf.alerts AS b"
        " FULL JOIN ztf.objects AS c ON b.objectId = c.objectId WHERE a.objectId = b.objectId",
    ],
)
def test_queries_of_other_shapes(session: Session, adql: str) -> None:
    same(session, adql, ordered="ORDER BY" in adql)


def test_ids_that_are_doubles_are_what_a_comparison_makes_of_them(
    session: Session, some: list[tuple[object, ...]]
) -> None:
    ids = [float(str(row[1])) for row in some[:2]]
    assert min(ids) > 2**53
    where = f"candid = {ids[0]!r} OR candid IN ({ids[1]!r}, 5)"
    rows = same(session, f"SELECT candid FROM ztf.alerts WHERE {where}").rows
    assert {float(str(row[0])) for row in rows} == set(ids)
    assert {row[1] for row in some[:2]} <= {row[0] for row in rows}
    small = Upload("m", b"id\n1.5\n7.0\n", "text/csv")
    large = Upload("m", "\n".join(["id", "7.5", *map(repr, ids)]).encode(), "text/csv")
    join = "SELECT a.candid FROM TAP_UPLOAD.m AS m JOIN ztf.alerts AS a ON a.candid = m.id"
    assert same(session, join, uploads=(large,)).rows == rows
    found = same(session, join, uploads=(small,))
    assert (found.rows, found.paths) == ([], {"alert", "given"})


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (" OR ".join(f"fid = {number}" for number in range(1200)), True),
        (" AND ".join(f"fid <> {number}" for number in range(5, 1200)), True),
        (" OR ".join(f"fid = {number} AND fid < 3" for number in range(3, 1200)), False),
        (f"NOT ({' OR '.join(f'fid = {number}' for number in range(5, 1200))})", True),
        (f"fid < {'+'.join(['1'] * 2000)}", True),
    ],
)
def test_conditions_may_be_many(session: Session, where: str, found: bool) -> None:
    ((count,),) = answered(session, f"SELECT COUNT(*) FROM ztf.alerts WHERE {where}").rows
    assert bool(count) == found
    joined = f"SELECT a.candid FROM ztf.alerts a JOIN lsst.alerts b ON a.candid = b.diaSourceId WHERE {where}"
    assert not answered(session, joined).rows


def test_ids_may_be_many(session: Session, some: list[tuple[object, ...]]) -> None:
    ids = [*(row[1] for row in some[:3]), *range(1200)]
    where = " OR ".join(f"candid = {one}" for one in ids)
    found = answered(session, f"SELECT candid FROM ztf.alerts WHERE {where}")
    assert found.paths == {"alert"}
    assert len(found.rows) == 3


@pytest.mark.parametrize("operator", ["+", "/"])
def test_what_is_nested_too_deep_is_told(session: Session, operator: str) -> None:
    with pytest.raises(AdqlError, match="nested too deep"):
        answered(session, f"SELECT COUNT(*) FROM ztf.alerts WHERE {operator.join(['fid'] * 1500)} > 3")


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


@pytest.mark.parametrize(
    "query",
    [
        "{match} WHERE a.jd > (SELECT MIN(jd) FROM ztf.alerts)",
        "{match} WHERE a.objectId IN (SELECT objectId FROM ztf.objects WHERE n_alerts > 0)",
        "{match} UNION SELECT objectId, n_alerts FROM ztf.objects",
        "SELECT objectId, n_alerts FROM ztf.objects UNION ALL {match} UNION ALL {match}",
        "WITH x AS ({match}) SELECT x.candid, b.diaSourceId FROM x JOIN lsst.alerts AS b"
        " ON b.diaSourceId = x.diaSourceId",
        "SELECT x.candid, b.jd FROM ({match}) AS x LEFT JOIN ztf.alerts AS b ON b.candid = x.candid",
        "SELECT l.diaSourceId, b.n_alerts FROM ({match}) AS x JOIN lsst.alerts AS l ON l.diaSourceId = x.diaSourceId"
        " JOIN ztf.objects AS b ON DISTANCE(l.ra, l.dec, b.ra, b.dec) < 0.5",
    ],
)
def test_matches_by_place_beside_other_blocks(session: Session, query: str) -> None:
    columns = "a.objectId, l.diaSourceId" if "UNION" in query else "a.candid, l.diaSourceId"
    match = f"SELECT {columns} FROM ztf.alerts AS a JOIN lsst.alerts AS l ON DISTANCE(a.ra, a.dec, l.ra, l.dec) < 3"
    assert same(session, query.replace("{match}", match)).rows


@pytest.mark.parametrize(
    ("query", "plainly"),
    [
        (
            "SELECT a.candid, b.n_alerts FROM ((SELECT candid, objectId FROM ztf.alerts WHERE fid = 1) AS a"
            " JOIN ztf.objects AS b ON a.objectId = b.objectId)",
            "SELECT a.candid, b.n_alerts FROM ztf.alerts AS a JOIN ztf.objects AS b ON a.objectId = b.objectId"
            " WHERE a.fid = 1",
        ),
        (
            "SELECT * FROM ((SELECT candid, objectId FROM ztf.alerts) AS a JOIN ztf.objects AS b"
            " ON a.objectId = b.objectId)",
            "SELECT * FROM (SELECT candid, objectId FROM ztf.alerts) AS a JOIN ztf.objects AS b"
            " ON a.objectId = b.objectId",
        ),
        (
            "SELECT i.band, c.objectId FROM plates.images AS i, (ztf.alerts AS a JOIN ztf.objects AS b"
            " ON a.objectId = b.objectId AND a.fid = 9) RIGHT JOIN ztf.objects AS c ON c.objectId = b.objectId",
            "SELECT i.band, c.objectId FROM plates.images AS i, ztf.objects AS c",
        ),
        (
            "SELECT i.band, c.objectId FROM plates.images AS i, (SELECT objectId FROM ztf.alerts WHERE fid = 9) AS a"
            " RIGHT JOIN ztf.objects AS c ON c.objectId = a.objectId",
            "SELECT i.band, c.objectId FROM plates.images AS i, ztf.objects AS c",
        ),
        (
            "SELECT o.objectId, a.candid FROM ztf.objects AS o LEFT JOIN ztf.alerts AS a"
            " ON a.objectId = o.objectId JOIN ztf.objects AS c ON c.objectId = o.objectId AND a.magpsf IS NULL",
            "SELECT objectId, candid FROM ztf.alerts WHERE magpsf IS NULL",
        ),
        (
            "SELECT a.candid, l.diaSourceId, o.objectId FROM ztf.alerts AS a JOIN lsst.alerts AS l ON a.fid = 1"
            " LEFT JOIN ztf.objects AS o ON o.objectId = a.objectId AND DISTANCE(a.ra, a.dec, l.ra, l.dec) < 3",
            "SELECT a.candid, l.diaSourceId, o.objectId FROM ztf.alerts AS a JOIN lsst.alerts AS l ON a.fid = 1"
            " LEFT JOIN ztf.objects AS o ON o.objectId = a.objectId AND DISTANCE(a.ra, a.dec, l.ra, l.dec) + 0 < 3",
        ),
    ],
)
def test_joins_mean_what_they_say(session: Session, query: str, plainly: str) -> None:
    found, other = same(session, query).rows, answered(session, plainly).rows
    assert found
    assert Counter(map(repr, found)) == Counter(map(repr, other))


INTERNAL = ("l", "R", "_row", "__ROW", "_Partner", "e0", "_g0", "_a0", "rowid", "s0", "pairs0")


def places(session: Session, names: tuple[str, ...]) -> Upload:
    """Places of some alerts, with columns of such names: 1000, 1001, … in the first row, 1010, … in the next."""
    rows = answered(session, "SELECT TOP 9 candid, ra, dec FROM ztf.alerts ORDER BY candid").rows
    lines = [
        ",".join(map(str, [*row, *(1000 + 100 * number + at for at in range(len(names)))]))
        for number, row in enumerate(rows)
    ]
    return Upload("mine", "\n".join([",".join(["id", "ra", "dec", *names]), *lines]).encode(), "text/csv")


@pytest.mark.parametrize("name", ["l", "_row", "__ROW", "_Partner", "e0"])
@pytest.mark.parametrize(
    "join",
    [
        "ztf.alerts AS a JOIN TAP_UPLOAD.mine AS m ON {near}",
        "ztf.alerts AS a LEFT JOIN TAP_UPLOAD.mine AS m ON {near}",
        "TAP_UPLOAD.mine AS m JOIN ztf.alerts AS a ON {near}",
    ],
)
def test_uploads_may_have_columns_named_as_ours_are(session: Session, name: str, join: str) -> None:
    join = join.format(near="DISTANCE(m.ra, m.dec, a.ra, a.dec) < 0.001")
    found, plain = (
        same(
            session, f'SELECT m.id, a.candid, m."{one}" AS x FROM {join}', uploads=(places(session, (one,)),)
        )
        for one in (name, "plain")
    )
    assert Counter(found.rows) == Counter(plain.rows)
    assert len({row[2] for row in found.rows if row[2] is not None}) == 9


@pytest.mark.parametrize("name", INTERNAL)
def test_rows_of_an_upload_are_those_that_are_wanted(session: Session, name: str) -> None:
    upload = places(session, (name,))
    found = same(
        session,
        f'SELECT m."{name}", m.id, m."{name}" + 1 AS y FROM TAP_UPLOAD.mine AS m WHERE m."{name}" + 0 > 1550',
        uploads=(upload,),
        ordered=True,
    )
    ids = [int(line.split(b",")[0]) for line in upload.content.split()[1:]]
    assert found.rows == [(1000 + 100 * at, ids[at], 1001 + 100 * at) for at in (6, 7, 8)]


def test_an_upload_may_have_all_names_of_ours(session: Session) -> None:
    upload = places(session, INTERNAL)
    found = same(
        session,
        "SELECT m.*, a.candid, n.* FROM TAP_UPLOAD.mine AS m JOIN ztf.alerts AS a"
        " ON DISTANCE(m.ra, m.dec, a.ra, a.dec) < 0.001 JOIN TAP_UPLOAD.mine AS n"
        " ON DISTANCE(m.ra, m.dec, n.ra, n.dec) < 0.001",
        uploads=(upload,),
    )
    rows = {
        tuple(float(one) if b"." in one else int(one) for one in line.split(b","))
        for line in upload.content.split()[1:]
    }
    width = 3 + len(INTERNAL)
    assert {row[:width] for row in found.rows} == rows
    assert {row[width + 1 :] for row in found.rows} == rows


@pytest.mark.parametrize("name", ["s0", "S2", "pairs0", "Pairs1", "bin"])
@pytest.mark.parametrize(
    "query",
    [
        'SELECT "{}".candid, l.diaSourceId FROM ztf.alerts AS "{}" JOIN lsst.alerts AS l ON {near}',
        'SELECT l.candid, "{}".diaSourceId FROM ztf.alerts AS l JOIN lsst.alerts AS "{}" ON {near}',
        'WITH "{}" AS (SELECT objectId, candid, ra, dec FROM ztf.alerts WHERE fid = 1)'
        " SELECT a.candid, l.diaSourceId FROM ztf.alerts AS a JOIN lsst.alerts AS l"
        ' ON DISTANCE(a.ra, a.dec, l.ra, l.dec) < 3 JOIN "{}" ON "{}".candid = a.candid',
        'SELECT a.candid, "{}".diaSourceId FROM ztf.alerts AS a JOIN (SELECT l.ra, l.dec, l.diaSourceId'
        " FROM ztf.objects AS o JOIN lsst.alerts AS l ON DISTANCE(o.ra, o.dec, l.ra, l.dec) < 3)"
        ' AS "{}" ON {near_a}',
        'SELECT a.candid, "{}"."{}" FROM ztf.alerts AS a LEFT JOIN TAP_UPLOAD."{}" ON {near_a}',
        'SELECT COUNT("{}"."{}"), IVO_HISTOGRAM("{}".ra, 0, 360, 5), "{}".dec + 1 AS "{}"'
        ' FROM TAP_UPLOAD."{}" GROUP BY "{}".dec + 1',
    ],
)
def test_tables_may_be_named_as_ours_are(session: Session, name: str, query: str) -> None:
    near = 'DISTANCE("{}".ra, "{}".dec, l.ra, l.dec) < 3'
    query = query.replace("{near}", near).replace("{near_a}", near.replace("l.", "a."))
    found, plain = (
        same(session, query.replace("{}", one), uploads=(replace(places(session, (one,)), name=one),))
        for one in (name, "plain")
    )
    assert found.rows
    assert Counter(map(repr, found.rows)) == Counter(map(repr, plain.rows))


def test_outputs_may_be_named_as_parts_of_aggregates_are(session: Session) -> None:
    query = (
        "SELECT fid AS {}, COUNT(*) AS {}, MIN(jd) AS {}, isdiffpos AS {} FROM ztf.alerts"
        " GROUP BY fid, isdiffpos HAVING COUNT(*) > 1 ORDER BY fid DESC, isdiffpos, COUNT(*)"
    )
    found = same(session, query.format('"_g1"', '"_a1"', '"_a0"', '"_g0"'), ordered=True)
    assert found.rows == answered(session, query.format("a", "b", "c", "d")).rows
    assert len(found.rows) > 2


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
