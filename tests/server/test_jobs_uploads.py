"""Files that come with a job: how they are named, stored, told and served; and that nothing is left of what failed."""

from __future__ import annotations

import contextlib
import http.client
import select
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from job_server import UWS, JobServer, multipart

from sodalake.lake.errors import Unavailable
from sodalake.lake.results import ResultFolder
from sodalake.server.sections import Limits

pytestmark = pytest.mark.embedded
LIST = b"id,ra,dec\r\nstar,10.5,-3\r\n\x00\xff not text at all"
FORM = "application/x-www-form-urlencoded"
KB = 1024


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    limits = Limits(body=64 * KB, upload=1024 * KB, uploads=2)
    server = JobServer(tmp_path_factory.mktemp("jobs"), sizes=limits)
    yield server
    server.stop()


def parameters_of(jobs: JobServer, path: str) -> list[tuple[str | None, str | None, str | None]]:
    found = jobs.job(path).xml.iter(f"{UWS}parameter")
    return [(one.get("id"), one.get("byReference"), one.text) for one in found]


# ---------------------------------------------------------------------- the ways to send one


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ([("TARGETS", "param:list"), ("list", LIST, "a.csv", "text/csv")], "list", [("TARGETS", "list")]),
        ([("list", LIST, "a.csv", "text/csv"), ("targets", "PARAM:list")], "list", [("targets", "list")]),
        ([("TARGETS", LIST, "a.csv", "text/csv")], "TARGETS", [("TARGETS", "TARGETS")]),
        (
            [("UPLOAD", "mine,param:p-1.x"), ("p-1.x", LIST, "a.csv", "text/csv")],
            "p-1.x",
            [("UPLOAD", ""), ("p-1.x", "p-1.x")],
        ),
    ],
    ids=["param", "PARAM", "by its own name", "UPLOAD"],
)  # fmt: skip
def test_a_file_is_told_by_reference_and_served(
    jobs: JobServer, fields: list[Any], name: str, expected: list[tuple[str, str]]
) -> None:
    body, headers = multipart(*fields)
    path = jobs.create(body, headers=headers)
    assert parameters_of(jobs, path) == [
        (key, "true", f"{jobs.url}/soda/async{path}/parameters/{part}")
        if part
        else ("UPLOAD", None, "mine,param:p-1.x")
        for key, part in expected
    ]
    answer = jobs.ask(f"{path}/parameters/{name}")
    assert (answer.status, answer.body) == (200, LIST)
    assert answer.headers["Content-Type"] == "text/csv"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.csv"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    job = jobs.call(jobs.store.get(path[1:]))
    assert [(one.name, one.size, one.content_type, one.filename) for one in job.uploads] == [
        (name, len(LIST), "text/csv", "a.csv")
    ]
    assert jobs.objects().count(job.uploads[0].object) == 1
    part = jobs.ask(f"{path}/parameters/{name}", headers={"Range": "bytes=3-9"})
    assert (part.status, part.body) == (206, LIST[3:10])


def test_a_part_without_a_file_name_is_a_file_where_it_is_named_so(jobs: JobServer) -> None:
    body, headers = multipart(("TARGETS", "param:list"), ("list", "id\n1\n"), ("KIND", "science"))
    path = jobs.create(body, headers=headers)
    url = f"{jobs.url}/soda/async{path}/parameters/list"
    assert sorted(parameters_of(jobs, path), key=str) == sorted(
        [("TARGETS", "true", url), ("KIND", None, "science")], key=str
    )
    assert jobs.ask(f"{path}/parameters/list").body == b"id\n1\n"
    assert jobs.ask(f"{path}/parameters/targets").body == b"id\n1\n"


def test_the_query_may_name_a_part_of_the_body(jobs: JobServer) -> None:
    body, headers = multipart(("list", LIST, "a.csv", "text/csv"))
    answer = jobs.post("?TARGETS=param:list", body, headers=headers)
    assert answer.status == 303
    where = answer.headers["Location"].removeprefix(f"{jobs.url}/soda/async")
    assert [(one[0], one[1]) for one in parameters_of(jobs, where)] == [("TARGETS", "true")]


def test_the_job_reads_its_file(jobs: JobServer) -> None:
    body, headers = multipart(("DATA", LIST, "a.csv", "text/csv"), ("PHASE", "RUN"))
    path = jobs.create(body, headers=headers)
    jobs.until(path, "COMPLETED")
    assert jobs.ask(f"{path}/results/line-0").body == LIST


def test_chunked_multipart(jobs: JobServer) -> None:
    body, headers = multipart(("UPLOAD", "t1,param:t1"), ("t1", b"x" * 200 * KB, "t1", "application/xml"))
    connection = http.client.HTTPConnection(jobs.host, timeout=60)
    pieces = iter([body[:10], body[10:70_000], body[70_000:]])
    connection.request("POST", "/soda/async", pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (303, b"")
    path = str(answer.headers["Location"]).removeprefix(f"{jobs.url}/soda/async")
    connection.close()
    assert jobs.ask(f"{path}/parameters/t1").body == b"x" * 200 * KB


# ---------------------------------------------------------------------- while it is pending


def test_a_file_is_added_and_replaced(jobs: JobServer) -> None:
    path = jobs.create({"KIND": "science"})
    for content in (b"first", b"second"):
        body, headers = multipart(("TARGETS", "param:list"), ("list", content, "b.csv", "text/csv"))
        assert jobs.post(f"{path}/parameters", body, headers=headers).status == 303
    url = f"{jobs.url}/soda/async{path}/parameters/list"
    assert parameters_of(jobs, path) == [("KIND", None, "science"), ("TARGETS", "true", url)]
    assert jobs.ask(f"{path}/parameters/list").body == b"second"
    put = jobs.ask(
        f"{path}/parameters/list", method="PUT", data=b"third", headers={"Content-Type": "text/csv"}
    )
    assert put.status == 303
    assert jobs.ask(f"{path}/parameters/list").body == b"third"


def test_put_makes_a_file_of_what_is_no_text(jobs: JobServer) -> None:
    path = jobs.create()
    for content, kind in ((LIST, "application/octet-stream"), (b"long" * 50 * KB, "text/plain")):
        answer = jobs.ask(
            f"{path}/parameters/DATA", method="PUT", data=content, headers={"Content-Type": kind}
        )
        assert answer.status == 303
        assert jobs.ask(f"{path}/parameters/DATA").body == content
    bad = jobs.ask(f"{path}/parameters/a%20b", method="PUT", data=LIST, headers={"Content-Type": "text/csv"})
    assert (bad.status, bad.label) == (400, "UsageError")


def test_what_is_served_is_no_page_of_ours(jobs: JobServer) -> None:
    body, headers = multipart(("P", b"<script>alert(1)</script>", "ö<b>.html", "text/html"))
    path = jobs.create(body, headers=headers)
    answer = jobs.ask(f"{path}/parameters/P")
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    disposition = answer.headers["Content-Disposition"]
    assert disposition == "attachment; filename=\"__b_.html\"; filename*=UTF-8''%C3%B6%3Cb%3E.html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# ---------------------------------------------------------------------- what is refused, and what stays of it


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ([("TARGETS", "param:list")], "UsageError"),
        ([("UPLOAD", "a,param:b"), ("c", b"1", "c", "text/csv")], "UsageError"),
        ([("T", "param:../x"), ("../x", b"1", "x", "text/csv")], "UsageError"),
        ([("T", "param:"), ("x", b"1", "x", "text/csv")], "UsageError"),
        ([("a/b", b"1", "x", "text/csv")], "UsageError"),
        ([(".hidden", b"1", "x", "text/csv")], "UsageError"),
        ([("n" * 65, b"1", "x", "text/csv")], "UsageError"),
        ([("x", b"1", "x", "text/csv"), ("x", b"2", "x", "text/csv")], "MultiValuedParamNotSupported"),
        ([("T", "param:x"), ("x", "1"), ("x", "2")], "MultiValuedParamNotSupported"),
        ([("T", "param:x"), ("x", "1"), ("x", b"2", "x", "text/csv")], "MultiValuedParamNotSupported"),
        ([("x", b"1", "x", "text/csv"), ("PHASE", "WALK")], "UsageError"),
        ([("x", b"1", "x", "text/csv"), ("DESTRUCTION", "soon")], "UsageError"),
        ([("x", b"1", "x", "text/csv"), ("RUNID", "r" * 65)], "UsageError"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
@pytest.mark.parametrize("target", ["list", "parameters"])
def test_what_is_refused_leaves_nothing(jobs: JobServer, fields: list[Any], label: str, target: str) -> None:
    body, headers = multipart(*fields)
    pending = jobs.create() if target == "parameters" else ""
    objects, count = jobs.objects(), len(jobs.ask().xml)
    answer = jobs.post(f"{pending}/parameters" if pending else "", body, headers=headers)
    assert (answer.status, answer.label) == (400, label)
    assert jobs.objects() == objects
    assert len(jobs.ask().xml) == count
    if pending:
        assert parameters_of(jobs, pending) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nothing of it"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nno header\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n"),
        (FORM, b"ID=%ff"),
        (FORM, b"ID=%00"),
        (FORM, b"%00=1"),
        (FORM, b"a%20b=1"),
        (FORM, b"RUNID=%01"),
        (FORM, b"=1"),
        (FORM, b"&".join(b"a=%d" % number for number in range(1100))),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_body_that_is_broken(jobs: JobServer, kind: str, body: bytes) -> None:
    objects, count = jobs.objects(), len(jobs.ask().xml)
    answer = jobs.post("", body, headers={"Content-Type": kind})
    assert (answer.status, answer.label) == (400, "UsageError"), answer.text
    assert (jobs.objects(), len(jobs.ask().xml)) == (objects, count)


class Failing(ResultFolder):
    """A folder whose disk is full for the second file."""

    def write(self, name: str, content: Any) -> int:
        if name.endswith("-second"):
            raise Unavailable("The disk is full.", "Try again later.")
        return super().write(name, content)


def test_nothing_stays_where_a_file_cannot_be_stored(jobs: JobServer) -> None:
    body, headers = multipart(("first", b"1", "x", "text/csv"), ("second", b"2", "x", "text/csv"))
    objects, count = jobs.objects(), len(jobs.ask().xml)
    jobs.room.results = Failing(jobs.results.url)
    try:
        answer = jobs.post("", body, headers=headers)
    finally:
        jobs.room.results = jobs.results
    assert (answer.status, answer.label) == (503, "ServiceUnavailable")
    assert (jobs.objects(), len(jobs.ask().xml)) == (objects, count)


class Held(ResultFolder):
    """A folder whose writes begin, and go on when they may."""

    began = threading.Event()
    go = threading.Event()

    def write(self, name: str, content: Any) -> int:
        self.began.set()
        assert self.go.wait(60)
        return super().write(name, content)


def test_a_client_that_goes_away_leaves_a_whole_job_or_none(jobs: JobServer) -> None:
    body, headers = multipart(("DATA", b"content", "x", "text/csv"))
    count = len(jobs.ask().xml)
    jobs.room.results = Held(jobs.results.url)
    try:
        connection = http.client.HTTPConnection(jobs.host, timeout=60)
        connection.request("POST", "/soda/async", body, headers)
        assert Held.began.wait(60)
        connection.close()
        Held.go.set()
        jobs.call(jobs.room.settled())
    finally:
        jobs.room.results = jobs.results
    listed = jobs.ask().xml
    assert len(listed) == count + 1
    assert jobs.ask(f"/{listed[0].get('id')}/parameters/DATA").body == b"content"


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize("path", ["/soda/async", "/soda/async/", "/soda/async/ID/parameters"])
def test_files_may_be_longer_than_other_bodies(jobs: JobServer, path: str) -> None:
    body, headers = multipart(("DATA", b"x" * 900 * KB, "big.csv", "text/csv"))
    target = "/" + path.replace("/ID", jobs.create())
    answer = jobs.ask(target, method="POST", data=body, headers=headers)
    assert answer.status == 303
    where = answer.headers["Location"].removeprefix(f"{jobs.url}/soda/async")
    assert len(jobs.ask(f"{where}/parameters/DATA").body) == 900 * KB


@pytest.mark.parametrize(
    ("method", "path", "kind", "size"),
    [
        ("POST", "/soda/async", "multipart/form-data; boundary=b", 1100 * KB),
        ("POST", "/soda/async", FORM, 100 * KB),
        ("POST", "/soda/async/x/phase", "multipart/form-data; boundary=b", 100 * KB),
        ("POST", "/soda/sync", "multipart/form-data; boundary=b", 100 * KB),
        ("PUT", "/soda/async/x/parameters/DATA", "text/csv", 1100 * KB),
        ("PUT", "/soda/sync", "text/csv", 100 * KB),
    ],
)
def test_what_is_too_long_is_refused_before_it_is_read(
    jobs: JobServer, method: str, path: str, kind: str, size: int
) -> None:
    answer = jobs.ask(f"/{path}", method=method, data=b"x" * size, headers={"Content-Type": kind})
    assert (answer.status, answer.label) == (413, "UsageError")


@pytest.mark.parametrize(("size", "status"), [(900 * KB, 303), (1100 * KB, 400)])
def test_chunked_bodies_are_counted_as_they_come(jobs: JobServer, size: int, status: int) -> None:
    body, headers = multipart(("DATA", b"x" * size, "big.csv", "text/csv"))
    connection = http.client.HTTPConnection(jobs.host, timeout=60)
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer is there before all is sent
        connection.request("POST", "/soda/async", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == status
    connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_only_so_many_large_ones_arrive_at_a_time(jobs: JobServer, chunked: bool) -> None:
    body, headers = multipart(("DATA", b"x" * 200 * KB, "big.csv", "text/csv"))
    half = len(body) // 2

    def begin() -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(jobs.host, timeout=60)
        connection.putrequest("POST", "/soda/async")
        for name, value in headers.items():
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        else:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send((b"%x\r\n" % half if chunked else b"") + body[:half] + (b"\r\n" if chunked else b""))
        return connection

    def end(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        rest = body[half:]
        connection.send(
            (b"%x\r\n" % len(rest) if chunked else b"") + rest + (b"\r\n0\r\n\r\n" if chunked else b"")
        )
        return connection.getresponse()

    arriving = [begin(), begin(), begin()]
    # One of them is refused with an answer, as soon as both others are in, whichever these are.
    readable, _, _ = select.select([one.sock for one in arriving], [], [], 60)
    (refused,) = (one for one in arriving if one.sock in readable)
    arriving.remove(refused)
    answer = refused.getresponse()
    assert answer.status == 503
    assert answer.read().startswith(b"ServiceUnavailable: ")
    assert int(answer.headers["Retry-After"]) > 0
    for one in arriving:
        assert end(one).status == 303
        one.close()
    refused.close()
    again = begin()
    assert end(again).status == 303, "the places are free again"
    again.close()


def test_places_are_given_back_when_a_client_goes_away(jobs: JobServer) -> None:
    body, headers = multipart(("DATA", b"x" * 200 * KB, "big.csv", "text/csv"))
    for _ in range(4):
        connection = http.client.HTTPConnection(jobs.host, timeout=60)
        connection.putrequest("POST", "/soda/async")
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body[: 100 * KB])
        connection.close()
    for _ in range(50):
        answer = jobs.post("", body, headers=headers)
        if answer.status == 303:
            return
        assert answer.status == 503
    pytest.fail("the places of clients that went away are not given back")
