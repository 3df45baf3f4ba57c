"""DataLink: rows of alerts that are there, rows of IDs that are not, and every link leads where it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from lxml import etree

if TYPE_CHECKING:
    from conftest import Alert, Answer, Archive, Server

pytestmark = pytest.mark.embedded
V = "{http://www.ivoa.net/xml/VOTable/v1.3}"
N = {"v": V[1:-1]}


def table_of(answer: Answer) -> list[dict[str, str]]:
    root = etree.fromstring(answer.body)
    names = [field.get("name", "") for field in root.iter(f"{V}FIELD")]
    return [dict(zip(names, (cell.text or "" for cell in row), strict=True)) for row in root.iter(f"{V}TR")]


def links(server: Server, *ids: str, **more: str) -> Answer:
    return server.ask("/datalink/links", [*(("ID", one) for one in ids), *more.items()])


def at(server: Server, url: str) -> Answer:
    parts = urlsplit(url)
    assert parts.netloc == server.host
    return server.ask(f"{parts.path}?{parts.query}")


@pytest.fixture(scope="module")
def some(archive: Archive) -> Sequence[Alert]:
    return [archive.alerts["ztf"][0], archive.alerts["lsst"][0], archive.alerts["ztf"][5]]


def test_an_alert_has_its_links(
    server: Server, archive: Archive, some: Sequence[Alert], make_did: Callable[..., str]
) -> None:
    for alert in some[:2]:
        answer = links(server, make_did(alert))
        assert answer.headers["Content-Type"] == "application/x-votable+xml;content=datalink"
        rows = table_of(answer)
        assert [row["semantics"] for row in rows] == [
            "#this", "#preview", "#cutout", "#progenitor", "#progenitor", "#progenitor", "#auxiliary",
        ]  # fmt: skip
        assert {row["ID"] for row in rows} == {make_did(alert)}
        for row in rows:
            assert (bool(row["access_url"]) + bool(row["service_def"]) + bool(row["error_message"])) == 1
            if row["access_url"]:
                found = at(server, row["access_url"])
                assert found.status == 200, row
                assert found.headers["Content-Type"] == row["content_type"]
        curve = at(server, rows[-1]["access_url"] + "&RESPONSEFORMAT=csv").text.strip().split("\n")
        assert len(curve) - 1 == len(archive.epochs(alert.survey, alert.object_id))


def test_stamps_are_the_stamps(server: Server, some: Sequence[Alert], make_did: Callable[..., str]) -> None:
    rows = table_of(links(server, make_did(some[0])))
    kinds = [row["local_semantics"] for row in rows if row["semantics"] == "#progenitor"]
    assert kinds == ["science", "template", "difference"]
    for row in rows:
        if row["content_type"] == "application/fits" and row["access_url"]:
            assert at(server, row["access_url"]).body.startswith(b"SIMPLE  =")


def test_cutouts_have_a_descriptor(
    server: Server, some: Sequence[Alert], make_did: Callable[..., str]
) -> None:
    root = etree.fromstring(links(server, *(make_did(one) for one in some)).body)
    named = {row.text for row in root.iterfind(f".//{V}TR/{V}TD[3]") if row.text}
    (service,) = root.xpath("//v:RESOURCE[@utype='adhoc:service']", namespaces=N)
    assert named == {service.get("ID")}
    values = {one.get("name"): one.get("value") for one in service.findall(f"{V}PARAM")}
    assert values["accessURL"] == f"{server.url}/soda/sync"
    assert values["standardID"] == "ivo://ivoa.net/std/SODA#sync-1.0"
    inputs = {one.get("name"): one for one in service.findall(f"{V}GROUP/{V}PARAM")}
    assert inputs["ID"].get("ref") == "ID"
    assert {"CIRCLE", "POLYGON", "POS"} <= set(inputs)


def test_rows_of_an_id_stand_together(
    server: Server, some: Sequence[Alert], make_did: Callable[..., str]
) -> None:
    ids = [make_did(some[0]), "ivo://sodalake/ztf?1", make_did(some[1]), make_did(some[2]), make_did(some[0])]
    told = [row["ID"] for row in table_of(links(server, *ids))]
    assert list(dict.fromkeys(told)) == ids[:4]
    assert [one for n, one in enumerate(told) if n == 0 or told[n - 1] != one] == ids[:4]


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ("ivo://sodalake/ztf?1", "NotFoundFault"),
        ("ivo://sodalake/nope?1", "NotFoundFault"),
        ("ivo://elsewhere/ztf?1", "NotFoundFault"),
        ("ivo://sodalake/ztf?x", "UsageFault"),
        ("ivo://sodalake/ztf?1/colour", "UsageFault"),
        ("nonsense", "UsageFault"),
        ("ivo://sodalake/ztf?1 OR 1=1", "UsageFault"),
        ("<&\">'", "UsageFault"),
        ("ivo://sodalake/ztf?99999999999999999999", "NotFoundFault"),
    ],
)
def test_an_id_that_means_nothing_has_a_row(server: Server, sent: str, word: str) -> None:
    answer = links(server, sent)
    assert answer.status == 200
    (row,) = table_of(answer)
    assert (row["ID"], row["semantics"], row["error_message"].partition(":")[0]) == (sent, "#this", word)
    assert not row["access_url"]


def test_ids_of_alerts_with_their_survey(
    server: Server, some: Sequence[Alert], make_did: Callable[..., str]
) -> None:
    answer = links(server, some[0].alert_id, some[2].alert_id, SURVEY="ztf")
    rows = table_of(answer)
    assert [row["ID"] for row in rows if row["semantics"] == "#this"] == [some[0].alert_id, some[2].alert_id]
    root = etree.fromstring(answer.body)
    # SODA takes no such id, so each alert's identifier is written out
    fixed = root.xpath(
        "//v:RESOURCE[@utype='adhoc:service']/v:GROUP/v:PARAM[@name='ID']/@value", namespaces=N
    )
    assert fixed == [make_did(some[0]), make_did(some[2])]


def test_a_kind_has_its_own_links(
    server: Server, some: Sequence[Alert], make_did: Callable[..., str]
) -> None:
    rows = table_of(links(server, make_did(some[0], "template")))
    assert [row["semantics"] for row in rows] == ["#this", "#preview", "#cutout", "#auxiliary"]
    assert at(server, rows[1]["access_url"]).body.startswith(b"\x89PNG")


def test_no_id_is_an_empty_table(server: Server) -> None:
    answer = links(server)
    root = etree.fromstring(answer.body)
    assert not table_of(answer)
    assert root.xpath("//v:INFO[@name='standardID']/@value", namespaces=N) == [
        "ivo://ivoa.net/std/DataLink#links-1.1"
    ]
    assert root.xpath("//v:RESOURCE[@utype='adhoc:this']", namespaces=N)


def test_many_ids_are_cut_between_ids(server: Server) -> None:
    body = "&".join(f"ID=ivo://sodalake/ztf?{number}" for number in range(1, 503)).encode()
    answer = server.ask(
        "/datalink/links",
        method="POST",
        body=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status == 200
    assert len(table_of(answer)) == 500
    assert "OVERFLOW" in answer.text


@pytest.mark.parametrize(
    ("asked", "given"),
    [("votable", "application/x-votable+xml;content=datalink"), ("text/xml", "text/xml"),
     ("application/x-votable+xml;serialization=TABLEDATA", "application/x-votable+xml;content=datalink")],
)  # fmt: skip
def test_formats(server: Server, asked: str, given: str) -> None:
    assert links(server, RESPONSEFORMAT=asked).headers["Content-Type"] == given


def test_other_formats_are_an_error(server: Server) -> None:
    answer = links(server, RESPONSEFORMAT="csv")
    assert answer.status == 400
    (info,) = etree.fromstring(answer.body).iter(f"{V}INFO")
    assert str(info.text).startswith("UsageFault: ")


def test_what_is_declared(server: Server) -> None:
    root = etree.fromstring(server.ask("/datalink/capabilities").body)
    found = [one.get("standardID") for one in root]
    assert "ivo://ivoa.net/std/DataLink#links-1.1" in found
