"""Tables of a lake: columns and their types, roles, what cone searches need, and when they are made anew."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.survey import Survey, load_survey, parse_survey
from sodalake.tap.answers import Answer, Ending
from sodalake.tap.formats import output_format, write
from sodalake.tap.metadata import Published, Table
from sodalake.tap.published import link_descriptors, publish
from sodalake.tap.published.columntypes import type_of
from sodalake.tap.published.surveytables import alerts_table


@pytest.fixture(scope="module")
def published(demo_lake: Lake) -> Published:
    return publish(demo_lake, "example.org")


def table(published: Published, name: str) -> Table:
    found = published.table(name)
    assert found is not None, name
    return found


def test_each_survey_is_a_schema_with_alerts_and_objects(published: Published) -> None:
    assert [one.qualified for one in published] == [
        "ztf.alerts", "ztf.objects", "lsst.alerts", "lsst.objects", "ivoa.obscore",
        "tap_schema.schemas", "tap_schema.tables", "tap_schema.columns", "tap_schema.keys", "tap_schema.key_columns",
    ]  # fmt: skip
    assert table(published, "ZTF.Alerts").survey == "ztf"


def test_links_refer_to_the_fields_of_their_document(published: Published) -> None:
    candid, did = (
        table(published, name).column(column)
        for name, column in (("ztf.alerts", "candid"), ("ivoa.obscore", "obs_publisher_did"))
    )
    assert candid is not None
    assert did is not None
    outputs = [replace(candid, name="a b"), replace(did, name="a:b"), replace(candid, name="a_b")]
    links = link_descriptors(outputs, published, "http://x")
    told = Answer(outputs, iter(()), Ending, (), links)
    document = ElementTree.fromstring(b"".join(write(output_format("votable/td")[0], told)))
    fields = [one.attrib["ID"] for one in document.findall(".//{*}FIELD")]
    assert len(set(fields)) == 3
    assert [one.attrib["ref"] for one in document.findall(".//{*}PARAM") if "ref" in one.attrib] == fields


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_alerts_have_the_columns_of_the_rows_in_the_order_of_the_survey_file(
    demo_lake: Lake, published: Published, survey: str
) -> None:
    packed = {name for p in demo_lake.catalogue(survey).packings().values() for name in p.schema.names}
    names = [column.name for column in table(published, f"{survey}.alerts").columns]
    assert set(names) == packed
    listed = [column.name for column in demo_lake.survey(survey).columns if column.name in packed]
    assert names[: len(listed)] == listed


def test_columns_say_what_the_survey_file_says(published: Published) -> None:
    alerts = table(published, "ztf.alerts")
    magnitude = alerts.column("magpsf")
    assert magnitude is not None
    assert (magnitude.unit, magnitude.ucd, magnitude.datatype) == ("mag", "phot.mag;em.opt", "float")
    assert magnitude.principal
    assert not magnitude.indexed
    for name, datatype in (("candid", "long"), ("jd", "double"), ("objectId", "char")):
        column = alerts.column(name)
        assert column is not None
        assert (column.datatype, column.indexed) == (datatype, True)
    assert all(column.description for one in published for column in one.columns)


def test_roles_name_columns(published: Published) -> None:
    assert dict(table(published, "ztf.alerts").roles) == {
        "alert": "candid", "object": "objectId", "time": "jd", "ra": "ra", "dec": "dec", "class": "cdsxmatch",
    }  # fmt: skip
    assert dict(table(published, "lsst.objects").roles) == {"object": "diaObjectId", "ra": "ra", "dec": "dec"}
    for one in published:
        assert all(one.column(name) is not None for name in one.roles.values()), one.qualified


@pytest.mark.parametrize("name", ["ztf.alerts", "ztf.objects", "lsst.alerts", "lsst.objects"])
def test_each_table_has_one_id_and_one_place(published: Published, name: str) -> None:
    columns, roles = table(published, name).columns, table(published, name).roles
    for ucd, role in (
        ("meta.id;meta.main", "alert" if "alert" in roles else "object"),
        ("pos.eq.ra;meta.main", "ra"),
        ("pos.eq.dec;meta.main", "dec"),
    ):
        assert [column.name for column in columns if column.ucd == ucd] == [roles[role]]
    assert len([column for column in columns if "meta.main" in column.ucd]) == 3


def test_alerts_name_their_objects(published: Published) -> None:
    for survey in ("ztf", "lsst"):
        (key,) = table(published, f"{survey}.alerts").keys
        target = table(published, key.target)
        for source, named in key.columns:
            mine, other = table(published, f"{survey}.alerts").column(source), target.column(named)
            assert mine is not None
            assert other is not None
            assert mine.datatype == other.datatype


def test_the_class_is_the_first_column_that_is_there() -> None:
    ztf = load_survey("ztf")
    base = pa.schema([("candid", pa.int64())])
    both = base.append(pa.field("cdsxmatch", pa.string())).append(pa.field("finkclass", pa.string()))
    assert alerts_table(ztf, both, 0).roles["class"] == "finkclass"
    assert alerts_table(ztf, both.remove(2), 0).roles["class"] == "cdsxmatch"
    assert "class" not in alerts_table(ztf, base, 0).roles


def test_a_lake_without_alerts_has_tables(tmp_path: Path) -> None:
    lake = Lake.create(str(tmp_path / "lake"), surveys=["ztf", "lsst"])
    try:
        published = publish(lake, "example.org")
        alerts = table(published, "ztf.alerts")
        assert [(c.name, c.datatype) for c in alerts.columns] == [
            ("objectId", "char"), ("candid", "long"), ("jd", "double"), ("ra", "double"), ("dec", "double"),
        ]  # fmt: skip
        assert alerts.rows == 0
    finally:
        lake.close()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.bool_(), ("short", "", "")),
        (pa.uint8(), ("short", "", "")),
        (pa.uint16(), ("int", "", "")),
        (pa.uint32(), ("long", "", "")),
        (pa.uint64(), ("char", "*", "")),
        (pa.int64(), ("long", "", "")),
        (pa.float32(), ("float", "", "")),
        (pa.timestamp("us"), ("char", "*", "timestamp")),
        (pa.string(), ("char", "*", "")),
        (pa.null(), ("char", "*", "")),
    ],
)
def test_types_are_those_that_adql_has(kind: pa.DataType, expected: tuple[str, str, str]) -> None:
    assert tuple(type_of(kind)) == expected


def test_what_is_all_null_has_the_declared_type() -> None:
    assert tuple(type_of(pa.null(), "double")) == ("double", "", "")
    assert tuple(type_of(pa.float32(), "double")) == ("float", "", "")


def test_a_commit_is_seen_and_else_nothing_is_made_again(tmp_path: Path) -> None:
    write_demo_archive(str(tmp_path / "archive"), objects=6, nights=2, seed=9)
    url = str(tmp_path / "lake")
    lake = Lake.create(url, surveys=["ztf"])
    try:
        empty = publish(lake, "a.b")
        assert publish(lake, "a.b") is empty
        assert not ingest(url, "ztf", [str(tmp_path / "archive/ztf")], workers=1).failed
        lake.catalogue("ztf").view(fresh=True)
        full = publish(lake, "a.b")
        assert full.generation != empty.generation
        alerts = table(full, "ztf.alerts")
        # columns that another process has added are there, not only those known before
        assert len(alerts.columns) > 50
        assert alerts.rows == sum(r.rows for r in lake.catalogue("ztf").records())
        assert publish(lake, "c.d").generation != full.generation
    finally:
        lake.close()


def test_many_threads_get_the_same(demo_lake: Lake) -> None:
    found: list[Published] = []
    threads = [threading.Thread(target=lambda: found.append(publish(demo_lake, "t.t"))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len({id(one) for one in found}) == 1


def test_any_survey_is_as_good() -> None:
    text = """
name = "own"
title = "Own alerts"
description = "A survey of our own."
facility = "F"
instrument = "I"
[ids]
alert = "no"
alert_name = "no"
alert_kind = "text"
object = "star"
object_name = "star"
[time]
path = "when"
scale = "mjd_tai"
name = "when"
[position]
ra = "p.a"
dec = "p.d"
[stamps]
format = "fits"
pixel_scale = 1.0
has_wcs = false
[stamps.kinds]
science = "s"
"""
    survey: Survey = parse_survey(text)
    made = alerts_table(survey, pa.schema([("when", pa.null()), ("other", pa.int8())]), None)
    assert {(c.name, c.datatype) for c in made.columns} == {
        ("no", "char"), ("star", "char"), ("when", "double"), ("p_a", "double"), ("p_d", "double"), ("other", "short"),
    }  # fmt: skip
    assert made.rows is None
    assert replace(made, rows=1).qualified == "own.alerts"
