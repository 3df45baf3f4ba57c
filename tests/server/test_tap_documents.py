"""TAP's documents and its reading of requests, without a server."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from vo_models.vosi.capabilities import VOSICapabilities

from sodalake.lake.lake import Lake
from sodalake.server.config import Settings, load_settings
from sodalake.server.dali import Parameters
from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported
from sodalake.server.tap.capabilities import DOCUMENTS, tap_mode
from sodalake.server.tap.examples import examples, examples_page
from sodalake.server.tap.fetching import fetch, is_allowed
from sodalake.server.tap.requests import format_of, maxrec_of, uploads_named
from sodalake.server.tap.tables import TableDocuments, table_document, tableset
from sodalake.server.vosi import capabilities
from sodalake.tap.adql import parse, resolve
from sodalake.tap.errors import FormatError, UploadError
from sodalake.tap.metadata import Published
from sodalake.tap.published import publish

BASE = "https://alerts.example.org/lake"
FLAGS = "{http://esa.int/xml/EsaTapPlus}flags"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    lake = Lake.create(str(tmp_path_factory.mktemp("lake")), surveys=["ztf", "lsst"])
    yield publish(lake, "example.org")
    lake.close()


# ---------------------------------------------------------------------- capabilities


@pytest.fixture(scope="module")
def declared() -> etree._Element:
    settings = load_settings(lake="none")
    return etree.fromstring(capabilities(BASE, (tap_mode(settings),), "/tap", DOCUMENTS))


def test_there_is_one_capability_of_tap(declared: etree._Element) -> None:
    (tap,) = declared.xpath("capability[@standardID='ivo://ivoa.net/std/TAP']")
    interface = tap.find("interface")
    assert interface is not None
    assert (interface.get("role"), interface.get("version")) == ("std", "1.1")
    assert interface.findtext("accessURL") == f"{BASE}/tap"
    order = [child.tag for child in tap]
    expected = [
        "description", "interface", "dataModel", "language", "outputFormat", "uploadMethod", "retentionPeriod",
        "executionDuration", "outputLimit", "uploadLimit",
    ]  # fmt: skip
    assert list(dict.fromkeys(order)) == expected


def test_documents_are_declared_where_they_are(declared: etree._Element) -> None:
    found = {one.get("standardID"): one.findtext("interface/accessURL") for one in declared}
    assert found["ivo://ivoa.net/std/VOSI#tables-1.1"] == f"{BASE}/tap/tables"
    assert found["ivo://ivoa.net/std/DALI#examples"] == f"{BASE}/tap/examples"
    assert found["ivo://ivoa.net/std/VOSI#availability"] == f"{BASE}/tap/availability"


def test_limits_are_those_of_the_settings() -> None:
    settings = Settings(lake="x", tap={"rows": 7, "async_rows": 70, "upload_hosts": []})
    root = etree.fromstring(capabilities(BASE, (tap_mode(settings),), "/tap", DOCUMENTS))
    assert root.findtext(".//outputLimit/default") == "7"
    assert root.findtext(".//outputLimit/hard") == "70"
    methods = {one.get("ivo-id", "").rpartition("#")[2] for one in root.iter("uploadMethod")}
    assert methods == {"upload-inline"}


def test_other_parsers_read_it() -> None:
    document = capabilities(BASE, (tap_mode(load_settings(lake="none")),), "/tap", DOCUMENTS)
    assert any(
        str(one.standard_id) == "ivo://ivoa.net/std/TAP"
        for one in VOSICapabilities.from_xml(document).capability
    )


# ---------------------------------------------------------------------- tables


def test_all_tables_and_columns_are_told(published: Published) -> None:
    root = etree.fromstring(tableset(published))
    assert [one.text for one in root.iterfind("schema/table/name")] == [one.qualified for one in published]
    for table, element in zip(published, root.iterfind("schema/table"), strict=True):
        assert len(element.findall("column")) == len(table.columns)
        assert element.get("type") == table.kind
    (size,) = [c for c in root.iter("column") if c.findtext("name") == '"size"']
    kind = size.find("dataType")
    assert kind is not None
    assert (kind.text, kind.get("arraysize")) == ("int", None)


def test_details_and_choice(published: Published) -> None:
    short = etree.fromstring(tableset(published, columns=False))
    assert not list(short.iter("column"))
    assert len(list(short.iter("table"))) == len(list(published))
    one = etree.fromstring(tableset(published, only={"ztf.alerts"}))
    assert [table.findtext("name") for table in one.iter("table")] == ["ztf.alerts"]
    assert len(one.findall("schema")) == 1


def test_only_tapplus_gets_its_attribute(published: Published) -> None:
    assert not any(FLAGS in column.attrib for column in etree.fromstring(tableset(published)).iter("column"))
    assert all(FLAGS in c.attrib for c in etree.fromstring(tableset(published, flags=True)).iter("column"))


def test_one_table_is_a_document(published: Published) -> None:
    table = published.table("ztf.alerts")
    assert table is not None
    root = etree.fromstring(table_document(table))
    assert root.tag == "{http://www.ivoa.net/xml/VOSITables/v1.0}table"
    assert root.findtext("foreignKey/targetTable") == "ztf.objects"
    assert root.findtext("foreignKey/fkColumn/fromColumn") == "objectId"


def test_documents_are_kept(published: Published) -> None:
    documents = TableDocuments()
    first = documents.of(published, True, None, False)
    assert documents.of(published, True, None, False) is first
    assert documents.of(published, False, None, False) != first
    assert documents.of(published, True, {"ztf.alerts"}, True) != first


# ---------------------------------------------------------------------- examples


def test_examples_are_queries_of_what_is_there(published: Published) -> None:
    found = examples(published)
    assert len({one.identifier for one in found}) == len(found)
    for one in found:
        assert published.table(one.table) is not None
        assert resolve(parse(one.query), published).outputs


def test_the_page_has_the_properties_of_dali(published: Published) -> None:
    root = etree.fromstring(examples_page(examples(published)))
    body = root.find("{*}body")
    assert body is not None
    assert body.get("vocab") == "http://www.ivoa.net/rdf/examples#"
    for one in body.iterfind("{*}div"):
        assert one.get("typeof") == "example"
        assert one.get("resource") == f"#{one.get('id')}"
        for name in ("name", "table", "query"):
            assert len(one.xpath(f".//*[@property='{name}']")) == 1


# ---------------------------------------------------------------------- requests


def test_uploads_come_one_a_value_or_several() -> None:
    found = uploads_named(["a,param:p1", "b,http://h/x;y=1;c , https://h/z"])
    assert [(one.name, one.uri, one.part) for one in found] == [
        ("a", "param:p1", "p1"), ("b", "http://h/x;y=1", None), ("c", "https://h/z", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", ["a", "a,", ",param:x", "1a,param:x", "a b,param:x", "é,param:x", ";", '"a",param:x']
)
def test_what_is_no_upload_is_told(value: str) -> None:
    with pytest.raises(UploadError):
        uploads_named([value])


def test_names_stand_once() -> None:
    with pytest.raises(UploadError, match="called"):
        uploads_named(["a,param:x", "A,param:y"])
    with pytest.raises(UploadError, match="17 uploads"):
        uploads_named([f"t{n},param:x" for n in range(17)])


@given(st.text())
def test_any_text_is_uploads_or_told(value: str) -> None:
    with contextlib.suppress(UploadError):
        assert all(one.name and one.uri for one in uploads_named([value]))


@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", "x", "+1", "١", "0x1"])
def test_maxrec_is_a_whole_number(value: str) -> None:
    with pytest.raises(BadParameter, match="MAXREC"):
        maxrec_of(Parameters([("MAXREC", value)]))


def test_maxrec_is_read() -> None:
    assert maxrec_of(Parameters([])) is None
    assert maxrec_of(Parameters([("maxrec", "0")])) == 0
    assert maxrec_of(Parameters([("MAXREC", "9" * 5000)])) == 10**15
    with pytest.raises(MultiValuedParamNotSupported):
        maxrec_of(Parameters([("MAXREC", "1"), ("maxrec", "1")]))


def test_formats() -> None:
    assert format_of(Parameters([("FORMAT", "csv"), ("RESPONSEFORMAT", "csv")]))[0].name == "csv"
    assert format_of(Parameters([("FORMAT", "text/xml")]))[1] == "text/xml"
    # Two names of one format do not differ, and the newer parameter's is answered.
    both = format_of(Parameters([("FORMAT", "csv"), ("RESPONSEFORMAT", "text/csv")]))
    assert (both[0].name, both[1]) == ("csv", "text/csv")
    with pytest.raises(MultiValuedParamNotSupported):
        format_of(Parameters([("FORMAT", "csv"), ("RESPONSEFORMAT", "votable")]))
    with pytest.raises(FormatError):
        format_of(Parameters([("FORMAT", "docx")]))


# ---------------------------------------------------------------------- fetching


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
     "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "240.0.0.1", "not an address"],
)  # fmt: skip
def test_neighbours_are_not_public(address: str) -> None:
    assert not is_allowed("any.example.org", address, ("public",))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_the_world_is_public(address: str) -> None:
    assert is_allowed("any.example.org", address, ("public",))
    assert not is_allowed("any.example.org", address, ())


def test_names_and_networks_are_allowed_by_the_settings() -> None:
    assert is_allowed("Data.Example.org.", "10.0.0.7", ("data.example.org",))
    assert not is_allowed("evil.org", "10.0.0.7", ("data.example.org",))
    assert is_allowed("x", "10.0.0.7", ("10.0.0.0/8",))
    assert not is_allowed("x", "11.0.0.7", ("10.0.0.0/8",))


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/table.csv")
            self.end_headers()
        elif self.path == "/slow":
            time.sleep(1.0)
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path.startswith("/table.csv"):
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"a\n1\n")
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def got(url: str, hosts: tuple[str, ...], seconds: float = 5.0, most: int = 100) -> tuple[bytes, str, str]:
    found = asyncio.run(fetch(url, hosts, seconds, most))
    return found.content, found.content_type, found.filename


def test_a_table_is_fetched(site: str) -> None:
    assert got(f"{site}/table.csv", ("127.0.0.0/8",)) == (b"a\n1\n", "text/csv", "table.csv")


def test_each_redirect_is_looked_at(site: str) -> None:
    named = site.replace("127.0.0.1", "localhost")
    assert got(f"{named}/moved", ("localhost", "127.0.0.1"))[0] == b"a\n1\n"
    assert got(f"{named}/table.csv", ("localhost",))[0] == b"a\n1\n"
    with pytest.raises(UploadError, match=r"not fetched from 127\.0\.0\.1"):
        got(f"{named}/moved", ("localhost",))
    with pytest.raises(UploadError):
        got(f"{site}/loop", ("127.0.0.0/8",))


def test_limits_of_fetching(site: str) -> None:
    with pytest.raises(UploadError, match="not fetched"):
        got(f"{site}/table.csv", ("public",))
    with pytest.raises(UploadError):
        got(f"{site}/table.csv", ("127.0.0.0/8",), most=3)
    with pytest.raises(UploadError, match="404"):
        got(f"{site}/nothing", ("127.0.0.0/8",), most=10_000)
    with pytest.raises(UploadError, match="within"):
        got(f"{site}/slow", ("127.0.0.0/8",), seconds=0.2)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://h/x", "http://", "http:///x", "http://[::1", "http://u:p@8.8.8.8/", "vos://x/y",
     "http://h/\x00", "http://h/a b", "//h/x", "http://é/"],
)  # fmt: skip
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(UploadError):
        got(url, ("public",))
