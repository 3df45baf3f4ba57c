"""`/tap` as it is served: answers, documents, uploads; and bad input, which is a VOTable error each and never a 500."""

from __future__ import annotations

import csv
import gzip
import io
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from lxml import etree

if TYPE_CHECKING:
    from conftest import Answer, Archive, Server

pytestmark = pytest.mark.embedded
V = "{http://www.ivoa.net/xml/VOTable/v1.3}"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {b} "{("&" + a + ";") * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ) + ']><VOTABLE><RESOURCE><TABLE name="&i;"/></RESOURCE></VOTABLE>'
)  # fmt: skip
TABLE = b"id,ra,dec\n1,10.5,-3\n2,11,4\n"


def sync(server: Server, query: str | None, method: str = "GET", **more: object) -> Answer:
    parameters = {"LANG": "ADQL", **({} if query is None else {"QUERY": query}), **more}
    if method == "GET":
        return server.ask("/tap/sync", parameters)
    return server.ask("/tap/sync", method="POST", body=urlencoded(parameters), headers=FORM)


def urlencoded(parameters: dict[str, object]) -> bytes:
    return urlencode(parameters).encode()


def multipart(
    server: Server, fields: list[tuple[str, str]], files: list[tuple[str, bytes]], *, chunked: bool = False
) -> Answer:
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields
    ]
    parts += [
        f'--{mark}\r\nContent-Disposition: form-data; name="{n}"; filename="{n}.x"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + v
        + b"\r\n"
        for n, v in files
    ]
    body = b"".join(parts) + f"--{mark}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    # http.client sends what has no length as chunks
    pieces: Any = (body[n : n + 1000] for n in range(0, len(body), 1000)) if chunked else body
    return server.ask("/tap/sync", method="POST", body=pieces, headers=headers)


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def error_of(answer: Answer, status: int = 400) -> str:
    assert answer.status == status, answer.text[:500]
    assert answer.headers["Content-Type"] == "application/x-votable+xml"
    root = etree.fromstring(answer.body)
    (info,) = root.iter(f"{V}INFO")
    assert (info.get("name"), info.get("value")) == ("QUERY_STATUS", "ERROR")
    assert not list(root.iter(f"{V}TABLE"))
    assert "Traceback" not in str(info.text)
    return str(info.text)


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("language", ["ADQL", "ADQL-2.0", "adql-2.1"])
def test_rows_are_those_of_the_archive(server: Server, archive: Archive, method: str, language: str) -> None:
    alert = archive.alerts["ztf"][0]
    query = f"SELECT candid, jd FROM ztf.alerts WHERE objectId = '{alert.object_id}'"
    found = rows_of(
        sync(server, query, method, LANG=language, FORMAT="csv", REQUEST="doQuery", VERSION="1.0", X="y")
    )
    expected = {one.alert_id: one.time for one in archive.epochs("ztf", alert.object_id)}
    assert {row["candid"]: float(row["jd"]) for row in found} == expected


def test_votable_is_the_default(server: Server) -> None:
    answer = sync(server, "SELECT TOP 1 schema_name FROM tap_schema.schemas")
    assert answer.headers["Content-Type"] == "application/x-votable+xml"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert (
        sync(server, "SELECT TOP 1 schema_name FROM tap_schema.schemas", "POST").headers["Cache-Control"]
        == "no-store"
    )
    assert (
        sync(server, "SELECT 1 AS x FROM tap_schema.schemas", FORMAT="text/xml").headers["Content-Type"]
        == "text/xml"
    )


def test_maxrec(server: Server) -> None:
    query = "SELECT table_name FROM tap_schema.tables"
    two = sync(server, query, MAXREC=2, FORMAT="votable/td")
    assert len(list(etree.fromstring(two.body).iter(f"{V}TR"))) == 2
    assert "OVERFLOW" in two.text
    none = sync(server, query, MAXREC=0, FORMAT="votable/td")
    assert none.status == 200
    assert "OVERFLOW" in none.text
    assert "<TR>" not in none.text
    all_ = sync(server, query, MAXREC=10, FORMAT="votable/td")
    assert "OVERFLOW" not in all_.text


def test_a_head_has_no_body(server: Server) -> None:
    answer = server.ask("/tap/sync?LANG=ADQL&QUERY=SELECT+1+AS+x+FROM+tap_schema.schemas", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_by_parts(server: Server, chunked: bool) -> None:
    fields = [("LANG", "ADQL"), ("QUERY", "SELECT id, ra + dec AS s FROM TAP_UPLOAD.mine ORDER BY id"),
              ("UPLOAD", "mine,param:p1"), ("FORMAT", "csv")]  # fmt: skip
    found = rows_of(multipart(server, fields, [("p1", TABLE)], chunked=chunked))
    assert [(row["id"], float(row["s"])) for row in found] == [("1", 7.5), ("2", 15.0)]


def test_several_uploads_both_ways(server: Server) -> None:
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.a AS a JOIN TAP_UPLOAD.b AS b ON a.id = b.id"
    for uploads in ([("UPLOAD", "a,param:x;b,param:y")], [("UPLOAD", "a,param:x"), ("UPLOAD", "b,param:y")]):
        fields = [("LANG", "ADQL"), ("QUERY", query), ("FORMAT", "csv"), *uploads]
        assert rows_of(multipart(server, fields, [("x", TABLE), ("y", TABLE)]))[0]["n"] == "2"


# ---------------------------------------------------------------------- documents


def test_the_root_is_a_page(server: Server) -> None:
    for path in ("/tap", "/tap/"):
        answer = server.ask(path)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "ztf.alerts" in answer.text
        assert "script" not in answer.headers["Content-Security-Policy"].replace("script-src 'none'", "")
    run = etree.HTML(answer.text).xpath("//a[text()='Run it']/@href")
    assert len(run) > 6
    shown = server.ask(run[-1].removeprefix(server.url))
    assert (shown.status, shown.headers["Content-Type"].partition(";")[0]) == (200, "text/html")


def test_tables(server: Server) -> None:
    full = server.ask("/tap/tables", headers={"User-Agent": "somebody/1.0"})
    assert full.status == 200
    assert "esatapplus:flags" not in full.text
    assert len(server.ask("/tap/tables?detail=min").body) < len(full.body) / 5
    assert "<column" not in server.ask("/tap/tables?only_tables=true").text
    one = server.ask("/tap/tables?tables=lsst.alerts")
    assert "esatapplus:flags" in one.text
    assert "ztf.alerts" not in one.text
    assert "esatapplus:flags" not in server.ask("/tap/tables/ztf.objects").text
    assert "nope" in error_of(server.ask("/tap/tables/nope"), 404)
    error_of(server.ask("/tap/tables?tables=nope"), 404)
    error_of(server.ask("/tap/tables?detail=some"))


def test_tap_schema_is_what_tables_tells(server: Server) -> None:
    root = etree.fromstring(server.ask("/tap/tables").body)
    told = {
        (table.findtext("name"), column.findtext("name"))
        for table in root.iter("table")
        for column in table.iterfind("column")
    }
    found = rows_of(sync(server, "SELECT table_name, column_name FROM tap_schema.columns", FORMAT="csv"))
    assert {(row["table_name"], row["column_name"]) for row in found} == told


def test_all_listed_columns_can_be_queried_as_they_are_listed(server: Server) -> None:
    found = rows_of(sync(server, "SELECT table_name, column_name FROM tap_schema.columns", FORMAT="csv"))
    by_table: dict[str, list[str]] = {}
    for row in found:
        by_table.setdefault(row["table_name"], []).append(row["column_name"])
    for table, columns in by_table.items():
        answer = sync(server, f"SELECT {', '.join(columns)} FROM {table}", "POST", MAXREC=1)
        assert answer.status == 200, (table, answer.text[:300])


def test_examples_run(server: Server) -> None:
    root = etree.fromstring(server.ask("/tap/examples").body)
    found = dict(
        zip(root.xpath("//*[@typeof]/@id"), root.xpath("//*[@property='query']/text()"), strict=True)
    )
    assert len(found) > 6
    for name, query in found.items():
        # one of ztf's files is gone, which who reads all of them is told
        expected = 410 if name == "ztf_classes" else 200
        assert sync(server, query, MAXREC=5).status == expected, query


def test_availability(server: Server) -> None:
    assert "<available>true</available>" in server.ask("/tap/availability").text


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "query",
    ["DUFF QUERY", "SELECT 'x FROM ztf.alerts", 'SELECT "x FROM ztf.alerts', "SELECT * FROM nowhere.at_all",
     "SELECT nothing FROM ztf.alerts", "SELECT * FROM ztf.alerts LIMIT 5", "DROP TABLE ztf.alerts", ";", "(" * 100,
     "SELECT * FROM read_csv('/etc/passwd')", "SELECT 1; SELECT 2", "SELECT a\x00b FROM ztf.alerts", "é", "--"],
)  # fmt: skip
def test_bad_queries(server: Server, query: str) -> None:
    for method in ("GET", "POST"):
        assert len(error_of(sync(server, query, method))) > 10


def test_huge_queries(server: Server) -> None:
    deep = "SELECT " + "(" * 10_000 + "1" + ")" * 10_000 + " FROM tap_schema.tables"
    error_of(sync(server, deep, "POST"))
    error_of(sync(server, "SELECT '" + "x" * 1_000_000 + "' FROM tap_schema.tables", "POST"))
    assert server.alive()


@pytest.mark.parametrize(
    "more",
    [{"MAXREC": "-1"}, {"MAXREC": "x"}, {"LANG": "OOBLECK"}, {"LANG": "ADQL-3.0"}, {"LANG": "PQL"},
     {"FORMAT": "application/msword"}, {"RESPONSEFORMAT": "csv", "FORMAT": "votable"}, {"UPLOAD": "x"},
     {"UPLOAD": "x,param:nothing"}, {"UPLOAD": "x,file:///etc/passwd"}, {"UPLOAD": "x,http://127.0.0.1:1/y"},
     {"UPLOAD": "x,http://localhost/y"}, {"UPLOAD": "x,http://169.254.169.254/latest/meta-data"}],
)  # fmt: skip
def test_bad_parameters(server: Server, more: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        error_of(sync(server, "SELECT schema_name FROM tap_schema.schemas", method, **more))


def test_a_query_is_needed(server: Server) -> None:
    assert "QUERY" in error_of(sync(server, None))
    assert "QUERY" in error_of(sync(server, " "))


@pytest.mark.parametrize("name", ["QUERY", "LANG", "MAXREC", "FORMAT"])
def test_what_has_one_value_is_not_repeated(server: Server, name: str) -> None:
    values = {
        "QUERY": "SELECT 1 AS x FROM tap_schema.schemas",
        "LANG": "ADQL",
        "MAXREC": "1",
        "FORMAT": "csv",
    }
    answer = server.ask("/tap/sync", [*values.items(), (name, values[name])])
    assert name in error_of(answer)


@pytest.mark.parametrize(
    "content",
    [BOMB.encode(), b"", b"\x00" * 100, b"<VOTABLE>", b"not a table",
     gzip.compress(b"a\n" + b"1\n" * 2_000_000, mtime=0), b"PAR1garbagePAR1", b"SIMPLE  =  T", b"a,a\n1,2\n"],
)  # fmt: skip
def test_bad_uploads(server: Server, content: bytes) -> None:
    fields = [("LANG", "ADQL"), ("QUERY", "SELECT * FROM TAP_UPLOAD.t"), ("UPLOAD", "t,param:p")]
    assert len(error_of(multipart(server, fields, [("p", content)]))) > 10
    assert server.alive()


def test_a_query_string_with_a_broken_escape(server: Server) -> None:
    error_of(server.ask("/tap/sync?LANG=ADQL&QUERY=%zz"))
    error_of(server.ask("/tap/sync?LANG=ADQL&QUERY=%ff"))


def test_methods(server: Server) -> None:
    answer = server.ask("/tap/sync", method="DELETE")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
