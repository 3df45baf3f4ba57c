"""How much a query may take: time, memory, what it reads; and that it ends when nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest
from lxml import etree

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest

if TYPE_CHECKING:
    from conftest import Answer, Server

pytestmark = pytest.mark.embedded
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Every four alerts, compared: some 10^10 rows, of which none is found.
GREEDY = (
    "SELECT COUNT(*) FROM ztf.alerts AS a, ztf.alerts AS b, ztf.alerts AS c, ztf.alerts AS d"
    " WHERE a.jd + b.jd + c.jd + d.jd < 0"
)
UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"


@pytest.fixture(scope="module")
def whole_lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake of which every file is there."""
    folder = tmp_path_factory.mktemp("limits")
    files = write_demo_archive(str(folder / "archive"), objects=200, nights=6, surveys=["ztf"])
    assert not ingest(str(folder / "lake"), "ztf", [file.url for file in files], workers=1).failed
    return str(folder / "lake")


@pytest.fixture(scope="module")
def wide(whole_lake: str, server: Server) -> Iterator[Server]:
    """A service that allows what services allow."""
    started = type(server)(["--lake", whole_lake])
    yield started
    assert not any("Traceback" in line for line in started.log), "\n".join(started.log)
    started.stop()


@pytest.fixture(scope="module")
def narrow(whole_lake: str, server: Server) -> Iterator[Server]:
    """A service that allows little."""
    started = type(server)(
        ["--lake", whole_lake],
        {
            "SODALAKE_TAP__SYNC_SECONDS": "8",
            "SODALAKE_TAP__SYNC_BYTES": "1000",
            "SODALAKE_TAP__ROWS": "5",
            "SODALAKE_TAP__SYNC_ROWS": "20",
            "SODALAKE_TAP__INDEX_ROWS": "100",
        },
    )
    yield started
    started.stop()


def sync(server: Server, query: str, **more: object) -> Answer:
    return server.ask("/tap/sync", {"QUERY": query, "FORMAT": "csv", **more})


def post(server: Server, path: str, **fields: str) -> Answer:
    return server.ask(path, method="POST", body=urlencode(fields).encode(), headers=FORM)


def run(server: Server, query: str, **more: str) -> str:
    made = post(server, "/tap/async", QUERY=query, FORMAT="csv", PHASE="RUN", **more)
    assert made.status == 303
    return urlsplit(made.headers["Location"]).path


def phase(server: Server, job: str, wait: int = 40) -> str:
    """The phase of a job, once it has ended or `wait` seconds have passed."""
    until = time.monotonic() + wait
    while True:
        left = max(0, int(until - time.monotonic()))
        now = etree.fromstring(server.ask(job, {"WAIT": left}).body).findtext(f"{UWS}phase") or ""
        if now not in ("QUEUED", "EXECUTING") or not left:
            return now


def until_executing(server: Server, job: str) -> None:
    until = time.monotonic() + 30
    while server.ask(f"{job}/phase").text != "EXECUTING":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_would_read_much_is_told_to_become_a_job(narrow: Server) -> None:
    answer = sync(narrow, "SELECT COUNT(*) FROM ztf.alerts WHERE magpsf < 18")
    assert answer.status == 400
    assert "would read about" in answer.text
    assert "/tap/async" in answer.text
    job = run(narrow, "SELECT COUNT(*) AS n FROM ztf.alerts WHERE magpsf < 30")
    assert phase(narrow, job) == "COMPLETED"
    assert int(narrow.ask(f"{job}/results/result").text.split()[1]) > 50


def test_rows_are_cut_where_the_service_says(narrow: Server) -> None:
    every = narrow.ask("/tap/sync", {"QUERY": "SELECT * FROM tap_schema.columns"})
    assert every.body.count(b"OVERFLOW") == 1
    assert len(sync(narrow, "SELECT column_name FROM tap_schema.columns").text.splitlines()) == 1 + 5
    assert (
        len(sync(narrow, "SELECT column_name FROM tap_schema.columns", MAXREC=999).text.splitlines())
        == 1 + 20
    )


@pytest.mark.parametrize("selected", ["COUNT(*)", "a.table_name, b.table_name AS y"])
def test_time_is_up_at_sync(narrow: Server, selected: str) -> None:
    tables = ", ".join(f"tap_schema.columns AS {name}" for name in "abcd")
    summed = " + ".join(f"{name}.column_index" for name in "abcd")
    began = time.monotonic()
    answer = sync(narrow, f"SELECT {selected} FROM {tables} WHERE SIN({summed}) > 2")
    assert answer.status == 408, answer.text
    assert b"QUERY_STATUS" in answer.body
    assert time.monotonic() - began < 20
    assert sync(narrow, "SELECT TOP 1 table_name FROM tap_schema.tables").status == 200


def test_abort_reaches_a_running_query(wide: Server) -> None:
    job = run(wide, GREEDY)
    until_executing(wide, job)
    time.sleep(1)  # so that it computes
    began = time.monotonic()
    assert post(wide, f"{job}/phase", PHASE="ABORT").status == 303
    assert phase(wide, job, wait=0) == "ABORTED"
    assert (
        time.monotonic() - began < 20
    )  # a second, on a machine that does nothing else; it would take minutes
    assert wide.ask(f"{job}/results/result").status == 404
    # The worker is free again: what comes next does not wait for what was ended.
    following = run(wide, "SELECT COUNT(*) AS n FROM ztf.alerts")
    assert phase(wide, following) == "COMPLETED"


def test_execution_duration_ends_a_query(wide: Server) -> None:
    job = run(wide, GREEDY, EXECUTIONDURATION="1")
    assert phase(wide, job) in ("ABORTED", "ERROR")


def test_a_query_ends_with_its_client(whole_lake: str, new_server: Callable[..., Server]) -> None:
    server = new_server("--lake", whole_lake, SODALAKE_TAP__QUERIES="1")
    host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
    import http.client

    gone = http.client.HTTPConnection(host or "", port)
    gone.request("GET", "/tap/sync?" + urlencode({"QUERY": GREEDY}))
    until = time.monotonic() + 20
    while (full := sync(server, "SELECT TOP 1 table_name FROM tap_schema.tables")).status != 503:
        assert time.monotonic() < until
    assert int(full.headers["Retry-After"]) > 0
    assert b"QUERY_STATUS" in full.body
    gone.close()
    until = time.monotonic() + 20
    while sync(server, "SELECT TOP 1 table_name FROM tap_schema.tables").status != 200:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_many_at_once_are_all_answered(wide: Server) -> None:
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(3):
            statuses.append(sync(wide, "SELECT TOP 5 objectId, jd FROM ztf.alerts").status)

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 90


def test_a_job_tells_how_it_ran(wide: Server) -> None:
    job = run(wide, "SELECT objectId, COUNT(*) AS n FROM ztf.alerts GROUP BY objectId ORDER BY n DESC")
    assert phase(wide, job) == "COMPLETED"
    document = etree.fromstring(wide.ask(job).body)
    note = document.findtext(f"{UWS}jobInfo/note") or ""
    assert "Parquet archive" in note
    assert "read: " in note
    page = wide.ask(job, headers={"Accept": "text/html"})
    assert "How it ran" in page.text
