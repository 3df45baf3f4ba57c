"""Bad input to TAP and its neighbours, by every way it can come: a VOTable error each time, no 500, nothing left."""

from __future__ import annotations

import http.client
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

import pytest
from lxml import etree

from sodalake.server.errors import Fault
from sodalake.server.faultforms import written

if TYPE_CHECKING:
    from conftest import Answer, Archive, Server

pytestmark = pytest.mark.embedded
V: Final = "{http://www.ivoa.net/xml/VOTable/v1.3}"
UWS: Final = "{http://www.ivoa.net/xml/UWS/v1.0}"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
WAYS: Final = ("get", "post", "multipart", "job", "job by multipart", "job in steps")
BOMB: Final = (
    '<!DOCTYPE x [<!ENTITY a "lol">' + "".join(
        f'<!ENTITY {b} "{("&" + a + ";") * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ) + ']><VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE><FIELD name="a" datatype="char"'
    ' arraysize="*"/><DATA><TABLEDATA><TR><TD>&j;</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>'
)  # fmt: skip
ONE: Final = "SELECT schema_name FROM tap_schema.schemas"
BAD: Final[Mapping[str, tuple[dict[str, str], str]]] = {
    "duff": ({"QUERY": "DUFF QUERY"}, "DUFF"),
    "quote": ({"QUERY": "SELECT 'x FROM ztf.alerts"}, "has no end"),
    "megabyte": ({"QUERY": f"SELECT '{'x' * 1_000_000}' FROM tap_schema.tables"}, ""),
    "unclosed megabyte": ({"QUERY": f"SELECT '{'x' * 990_000} FROM tap_schema.tables"}, ""),
    "deep": ({"QUERY": f"SELECT {'(' * 10_000}1{')' * 10_000} FROM tap_schema.tables"}, ""),
    "unclosed deep": ({"QUERY": "SELECT " + "(" * 10_000}, ""),
    "nul": ({"QUERY": "SELECT a\x00b FROM ztf.alerts"}, "characters"),
    "nothing": ({"QUERY": " "}, "QUERY"),
    "maxrec": ({"QUERY": ONE, "MAXREC": "-1"}, "MAXREC"),
    "maxrec in words": ({"QUERY": ONE, "MAXREC": "all"}, "MAXREC"),
    "language": ({"QUERY": ONE, "LANG": "OOBLECK"}, "OOBLECK"),
    "format": ({"QUERY": ONE, "RESPONSEFORMAT": "application/msword"}, "msword"),
    "part": ({"QUERY": ONE, "UPLOAD": "t,param:nowhere"}, "nowhere"),
    "file": ({"QUERY": ONE, "UPLOAD": "t,file:///etc/passwd"}, "URL"),
    "neighbour": ({"QUERY": ONE, "UPLOAD": "t,http://127.0.0.1:1/t"}, "not fetched"),
}


def error_of(answer: Answer) -> str:
    """What a VOTable of nothing but an error says."""
    assert answer.headers["Content-Type"] in ("application/x-votable+xml", "text/xml"), answer.text[:300]
    root = etree.fromstring(answer.body)
    found = {info.get("name"): info for info in root.iter(f"{V}INFO")}
    assert found["QUERY_STATUS"].get("value") == "ERROR"
    assert not list(root.iter(f"{V}TABLE"))
    text = str(found["QUERY_STATUS"].text)
    assert "Traceback" not in text
    assert 10 < len(text) < 2000
    return text


def multipart(fields: Mapping[str, str], files: Mapping[str, bytes]) -> tuple[bytes, dict[str, str]]:
    mark = uuid.uuid4().hex
    body = b"".join(
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content, more in (
            *((name, value.encode(), "") for name, value in fields.items()),
            *((name, content, '; filename="f"') for name, content in files.items()),
        )
    )
    return body + f"--{mark}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={mark}"}


def ended(server: Server, job: str) -> Answer:
    """The error of a job that ends in one; the job is removed."""
    found = ""
    while found in ("", "QUEUED", "EXECUTING"):
        document = server.ask(job, {"WAIT": 20, "PHASE": found} if found else {})
        found = etree.fromstring(document.body).findtext(f"{UWS}phase") or ""
    assert found == "ERROR"
    assert etree.fromstring(server.ask(f"{job}/results").body).find(f"{UWS}result") is None
    answer = server.ask(f"{job}/error")
    assert server.ask(job, method="DELETE").status == 303
    assert server.ask(job).status == 404
    return answer


def sent(server: Server, way: str, fields: dict[str, str], files: Mapping[str, bytes] | None = None) -> str:
    """What a bad request is told, sent one way."""
    fields = {"LANG": "ADQL", **fields}
    if way == "get":
        answer = server.ask("/tap/sync", fields)
        assert 400 <= answer.status < 500
        return error_of(answer)
    is_job = way.startswith("job")
    if way == "job":
        fields = {**fields, "PHASE": "RUN"}
    elif way == "job by multipart":
        fields = {"PHASE": "RUN", **fields}
    is_form = files or "multipart" in way
    body, headers = multipart(fields, files or {}) if is_form else (urlencode(fields).encode(), FORM)
    answer = server.ask("/tap/async" if is_job else "/tap/sync", method="POST", body=body, headers=headers)
    if not is_job or answer.status != 303:
        assert 400 <= answer.status < 500
        return error_of(answer)
    job = urlsplit(answer.headers["Location"]).path
    if way == "job in steps":
        assert server.ask(f"{job}/phase", method="POST", body=b"PHASE=RUN", headers=FORM).status == 303
    return error_of(ended(server, job))


@pytest.fixture(autouse=True)
def nothing_stays(server: Server, archive: Archive) -> Iterator[None]:
    """Neither a job nor a file of one is there afterwards that was not before."""

    def left() -> tuple[int, set[Path]]:
        jobs = etree.fromstring(server.ask("/tap/async").body)
        return len(jobs), {
            file for file in Path(archive.lake).rglob("*") if "results" in file.parts and file.is_file()
        }

    before = left()
    yield
    assert left() == before
    assert server.alive()


@pytest.mark.parametrize("way", WAYS)
def test_every_bad_request_by_every_way(server: Server, way: str) -> None:
    for name, (fields, word) in BAD.items():
        assert word in sent(server, way, fields), name


@pytest.mark.parametrize("way", ["multipart", "job by multipart", "job in steps"])
@pytest.mark.parametrize(
    "content", [BOMB.encode(), b"", b"\x00" * 999, b"<VOTABLE>", b"PAR1xPAR1", b"a,a\n1,2\n"]
)
def test_bad_uploads_by_every_way(server: Server, way: str, content: bytes) -> None:
    fields = {"QUERY": "SELECT * FROM TAP_UPLOAD.t", "UPLOAD": "t,param:p"}
    assert sent(server, way, fields, {"p": content})


# ---------------------------------------------------------------------- what the gate refuses

PATHS: Final = ("/tap/sync", "/tap/async", "/tap/tables", "/scs/ztf.alerts", "/sia2/query", "/datalink/links")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("length", "status"), [(40_000, 414), (1_000_000, 431)])
def test_long_addresses(server: Server, path: str, length: int, status: int) -> None:
    answer = server.ask(f"{path}?QUERY={'x' * length}")
    assert answer.status == status
    assert "POST" in error_of(answer)


@pytest.mark.parametrize("path", PATHS)
def test_long_bodies(server: Server, path: str) -> None:
    body = b"QUERY=" + b"x" * 5_000_000
    answer = server.ask(path, method="POST", body=body, headers=FORM)
    assert answer.status == 413
    assert "at most" in error_of(answer)
    chunks = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    answer = server.ask(path, method="POST", body=chunks, headers=FORM)  # type: ignore[arg-type]
    assert answer.status == 400
    assert "chunked" in error_of(answer)


def test_the_second_request_of_a_connection_is_told_its_own_way(server: Server) -> None:
    connection = http.client.HTTPConnection(server.host, timeout=30)
    for path, kind in (("/tap/availability", ""), ("/soda/sync", "text/plain; charset=utf-8")):
        connection.request("GET", path + ("" if not kind else "?ID=" + "x" * 100_000))
        answer = connection.getresponse()
        answer.read()
        assert not kind or (answer.status, answer.headers["Content-Type"]) == (431, kind)
    connection.close()


def test_what_is_no_http_has_no_protocol(server: Server) -> None:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01 /tap/sync\r\n\r\n")
        assert b"text/plain" in connection.recv(65_536)


@pytest.mark.parametrize(
    "path",
    ["/tap/nothing", "/tap/sync/x", "/scs/a/b", "/scs/none", "/sia2", "/datalink/x", "/tap/async/none"],
)
def test_paths_that_lead_nowhere(server: Server, path: str) -> None:
    answer = server.ask(path)
    assert answer.status == 404
    text = error_of(answer)
    assert text.startswith("NotFoundFault: ") == path.startswith(("/sia2", "/datalink"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/tap", "application/x-votable+xml"), ("/vo/tap/sync?x=/soda/", "application/x-votable+xml"),
     ("/soda/async/j/parameters/tap", "text/plain; charset=utf-8"), ("/api/v1/cutouts", "application/json"),
     ("/tapestry", "text/plain; charset=utf-8"), ("/lsst/api/v1/cutouts", "application/json"), ("/scs/x", "text/xml"),
     ("", "text/plain; charset=utf-8"), ("/?/tap/", "text/plain; charset=utf-8")],
)  # fmt: skip
def test_the_first_protocol_of_a_path_decides(path: str, kind: str) -> None:
    assert written(Fault(404, "UsageError", "There is nothing here."), path)[0] == kind
