"""VOSI documents, read back by other people's parsers and held to the schemas' order of elements."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from lxml import etree
from vo_models.vosi.availability import Availability
from vo_models.vosi.capabilities import VOSICapabilities

from sodalake.server.soda import SYNC
from sodalake.server.sodaorders import ASYNC
from sodalake.server.vosi import availability, capabilities

BASE = "https://alerts.example.org/lake"
SINCE = datetime(2026, 3, 12, 1, 2, 3, tzinfo=UTC)
XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"


@pytest.fixture(scope="module")
def document() -> bytes:
    return capabilities(BASE, (SYNC, ASYNC))


def test_capabilities_are_read_by_vo_models(document: bytes) -> None:
    read = VOSICapabilities.from_xml(document)
    found = {str(one.standard_id): one for one in read.capability}
    assert set(found) == {
        "ivo://ivoa.net/std/VOSI#capabilities",
        "ivo://ivoa.net/std/VOSI#availability",
        "ivo://ivoa.net/std/SODA#sync-1.0",
        "ivo://ivoa.net/std/SODA#async-1.0",
    }
    jobs = found["ivo://ivoa.net/std/SODA#async-1.0"].interface[0]
    assert str(jobs.access_url[0].value) == f"{BASE}/soda/async"
    assert jobs.access_url[0].use == "base"
    soda = found["ivo://ivoa.net/std/SODA#sync-1.0"].interface[0]
    assert (soda.role, soda.version, soda.type) == ("std", "1.0", "vs:ParamHTTP")
    assert str(soda.access_url[0].value) == f"{BASE}/soda/sync"
    assert soda.access_url[0].use == "full"
    methods = [str(method.standard_id) if method.standard_id else "" for method in soda.security_method or ()]
    assert methods == ["", "ivo://ivoa.net/sso#BasicAA", "ivo://ivoa.net/sso#OAuth"]
    assert not found["ivo://ivoa.net/std/VOSI#availability"].interface[0].security_method


@pytest.mark.client
# VODataService has two query types and parameters in a ParamHTTP; pyvo's reader warns of both, and goes on.
@pytest.mark.filterwarnings("ignore:.*(W17|Unknown element)")
def test_capabilities_are_read_by_pyvo(document: bytes) -> None:
    vosi = pytest.importorskip("pyvo.io.vosi", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    read = vosi.parse_capabilities(io.BytesIO(document))
    soda = next(one for one in read if one.standardid == "ivo://ivoa.net/std/SODA#sync-1.0")
    assert soda.interfaces[0].accessurls[0].content == f"{BASE}/soda/sync"


def test_elements_stand_in_the_order_of_the_schemas(document: bytes) -> None:
    root = etree.fromstring(document)
    assert root.tag == "{http://www.ivoa.net/xml/VOSICapabilities/v1.0}capabilities"
    below_root = [element for element in root.iter() if element is not root]
    assert all(not element.tag.startswith("{") for element in below_root), "children are unqualified"
    orders = {
        "capability": ["validationLevel", "description", "interface"],
        "interface": [
            "accessURL",
            "mirrorURL",
            "securityMethod",
            "queryType",
            "resultType",
            "param",
            "testQuery",
        ],
        "param": ["name", "description", "unit", "ucd", "utype", "dataType"],
    }
    for element in below_root:
        if order := orders.get(element.tag):
            places = [order.index(child.tag) for child in element]
            assert places == sorted(places), element.tag
        if element.tag == "interface":
            assert element.get(XSI) == "vs:ParamHTTP"
    required = [param.findtext("name") for param in root.iter("param") if param.get("use") == "required"]
    assert required == ["ID"]


@pytest.mark.parametrize(
    ("name", "unit", "ucd", "datatype", "arraysize", "xtype"),
    [
        ("ID", None, "meta.ref.url;meta.curation", "char", "*", None),
        ("CIRCLE", "deg", "pos.outline;obs", "double", "3", "circle"),
        ("POLYGON", "deg", "pos.outline;obs", "double", "*", "polygon"),
        ("POS", None, "pos.outline;obs", "char", "*", None),
    ],
)
def test_soda_parameters_have_the_three_factors(
    document: bytes, name: str, unit: str | None, ucd: str, datatype: str, arraysize: str, xtype: str | None
) -> None:
    param = next(p for p in etree.fromstring(document).iter("param") if p.findtext("name") == name)
    kind = param.find("dataType")
    assert kind is not None
    assert (param.findtext("unit"), param.findtext("ucd"), kind.text) == (unit, ucd, datatype)
    assert (kind.get("arraysize"), kind.get("extendedType")) == (arraysize, xtype)


def test_availability_is_read_by_vo_models() -> None:
    up = Availability.from_xml(availability(True, SINCE))
    assert up.available is True
    assert str(up.up_since).startswith("2026-03-12T01:02:03")
    down = Availability.from_xml(availability(False, SINCE, ["rows: \x00 <no & answer>", "files: gone"]))
    assert down.available is False
    assert down.up_since is None
    assert down.note == ["rows:   <no & answer>", "files: gone"]
