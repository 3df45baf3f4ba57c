"""Cone searches: parameters, columns with the UCDs of 1.03, exact cones, errors in both ways."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from lxml import etree

if TYPE_CHECKING:
    from conftest import Answer, Server

pytestmark = pytest.mark.embedded
V = "{http://www.ivoa.net/xml/VOTable/v1.3}"


def rows_of(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.fixture(scope="module")
def places(server: Server) -> list[dict[str, str]]:
    answer = server.ask(
        "/tap/sync",
        {"LANG": "ADQL", "QUERY": "SELECT alert_diaSourceId, ra, dec FROM lsst.alerts", "FORMAT": "csv"},
    )
    assert answer.status == 200, answer.text
    return rows_of(answer)


def cone(server: Server, table: str = "lsst.alerts", **parameters: object) -> Answer:
    return server.ask(f"/scs/{table}", {name.upper(): value for name, value in parameters.items()})


def test_a_cone_is_exact(server: Server, places: list[dict[str, str]]) -> None:
    ra, dec = float(places[0]["ra"]), float(places[0]["dec"])
    for radius in (1e-5, 0.001, 1.0, 30.0, 180.0):
        got = {
            row["alert_diaSourceId"]
            for row in rows_of(cone(server, ra=ra, dec=dec, sr=radius, responseformat="csv"))
        }
        lon, lat = (np.radians([float(row[name]) for row in places]) for name in ("ra", "dec"))
        a, d = np.radians(ra), np.radians(dec)
        apart = np.degrees(
            2
            * np.arcsin(
                np.sqrt(np.sin((lat - d) / 2) ** 2 + np.cos(lat) * np.cos(d) * np.sin((lon - a) / 2) ** 2)
            )
        )
        assert got == {
            row["alert_diaSourceId"] for row, far in zip(places, apart, strict=True) if far <= radius
        }
        assert got


@pytest.mark.parametrize("table", ["ztf.alerts", "lsst.alerts", "ZTF.ALERTS"])
@pytest.mark.parametrize("verbosity", ["1", "2", "3", "9"])
def test_columns_of_1_03(server: Server, table: str, verbosity: str) -> None:
    answer = cone(server, table, ra=10, dec=10, sr=0.1, verb=verbosity)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml")
    root = etree.fromstring(answer.body)
    fields = list(root.iter(f"{V}FIELD"))
    by_ucd: dict[str, list[Any]] = {}
    for field in fields:
        by_ucd.setdefault(field.get("ucd", ""), []).append(field)
    for ucd, datatype in (("ID_MAIN", "char"), ("POS_EQ_RA_MAIN", "double"), ("POS_EQ_DEC_MAIN", "double")):
        (field,) = by_ucd[ucd]
        assert field.get("datatype") == datatype
    assert not any("meta.main" in ucd for ucd in by_ucd)
    assert len(root.findall(f"{V}RESOURCE")) == 1
    assert (len(fields) == 3) == (verbosity == "1")
    assert (len(fields) > 50) == (verbosity == "3")


def test_a_radius_of_zero_and_maxrec_zero_ask_for_columns(
    server: Server, places: list[dict[str, str]]
) -> None:
    ra, dec = places[0]["ra"], places[0]["dec"]
    for asked in ({"sr": 0}, {"sr": 180, "maxrec": 0}):
        root = etree.fromstring(cone(server, ra=ra, dec=dec, **asked).body)
        assert list(root.iter(f"{V}FIELD"))
        assert not list(root.iter(f"{V}TR"))


def test_maxrec_is_told(server: Server) -> None:
    answer = cone(server, ra=0, dec=0, sr=180, maxrec=2)
    assert len(list(etree.fromstring(answer.body).iter(f"{V}TR"))) == 2
    assert "OVERFLOW" in answer.text


@pytest.mark.parametrize(
    "asked",
    [{"dec": 1, "sr": 1}, {"ra": 1, "sr": 1}, {"ra": 1, "dec": 1}, {"ra": "x", "dec": 1, "sr": 1},
     {"ra": 1, "dec": 91, "sr": 1}, {"ra": 361, "dec": 1, "sr": 1}, {"ra": 1, "dec": 1, "sr": -1},
     {"ra": "nan", "dec": 1, "sr": 1}, {"ra": "inf", "dec": 1, "sr": 1}, {"ra": 1, "dec": 1, "sr": 181},
     {"ra": 1, "dec": 1, "sr": 1, "maxrec": -1}, {"ra": "1;DROP", "dec": 1, "sr": 1},
     {"ra": 1, "dec": 1, "sr": 1, "responseformat": "docx"}],
)  # fmt: skip
def test_errors_are_told_in_both_ways(server: Server, asked: dict[str, object]) -> None:
    answer = cone(server, **asked)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml")
    infos = {info.get("name"): info for info in etree.fromstring(answer.body).iter(f"{V}INFO")}
    assert infos["QUERY_STATUS"].get("value") == "ERROR"
    assert infos["Error"].get("value") == infos["QUERY_STATUS"].text
    assert len(infos["Error"].get("value", "")) > 20


@pytest.mark.parametrize("name", ["nope", "tap_schema.tables", "ivoa.obscore", "ztf"])
def test_only_tables_with_places_have_cones(server: Server, name: str) -> None:
    answer = cone(server, name, ra=1, dec=1, sr=1)
    assert answer.status == 404
    assert "ztf.alerts" in answer.text


def test_parameters_may_be_posted(server: Server) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.ask("/scs/ztf.alerts", method="POST", body=b"ra=1&Dec=1&SR=0.1&unknown=1", headers=form)
    assert answer.status == 200
    assert 'QUERY_STATUS" value="OK' in answer.text


def test_what_is_declared(server: Server) -> None:
    root = etree.fromstring(server.ask("/scs/lsst.alerts/capabilities").body)
    (found,) = root.xpath("capability[@standardID='ivo://ivoa.net/std/ConeSearch']")
    assert [child.tag for child in found] == [
        "description", "interface", "maxSR", "maxRecords", "verbosity", "testQuery",
    ]  # fmt: skip
    assert found.findtext("interface/accessURL") == f"{server.url}/scs/lsst.alerts?"
    assert server.ask("/scs/lsst.alerts/availability").status == 200
