"""The tree of UWS 1.1: every resource, read and changed; whose a job is; what the protocol refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from job_server import GATES, HREF, LAST, NIL, UWS, JobServer, multipart
from lxml import etree

from sodalake.server.jobs import JobLimits
from sodalake.uws.documents import iso

pytestmark = pytest.mark.embedded

LIMITS = JobLimits(
    execution=600, longest_execution=3600, lifetime=timedelta(days=1), longest_lifetime=timedelta(days=9)
)
WORDS = ("phase", "executionduration", "destruction", "quote", "owner", "error")
TEXT = "text/plain; charset=utf-8"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"), limits=LIMITS)
    yield server
    server.stop()


@pytest.fixture
def gate() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    GATES.open(name)


def time_of(text: str | None) -> datetime:
    assert text is not None
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def parameters_of(document: etree._Element) -> list[tuple[str | None, str | None]]:
    return [(one.get("id"), one.text) for one in document.iter(f"{UWS}parameter")]


# ---------------------------------------------------------------------- a job's life


def test_a_job_from_birth_to_its_results(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate, "RUNID": "first"})
    document = jobs.job(path)
    assert document.value("phase") == "PENDING"
    assert document.value("runId") == "first"
    answer = jobs.post(f"{path}/phase", {"PHASE": "RUN"})
    assert (answer.status, answer.headers["Location"]) == (303, f"{jobs.url}/soda/async{path}")
    jobs.until(path, "EXECUTING")
    GATES.open(gate)
    document = jobs.until(path, "COMPLETED")
    results = list(document.xml.iter(f"{UWS}result"))
    assert [one.get(HREF) for one in results] == [
        f"{jobs.url}/soda/async{path}/results/{name}" for name in ("lines", "line-0")
    ]
    assert [(one.get("size"), one.get("mime-type")) for one in results] == [
        ("4", "text/plain; charset=utf-8"),
        ("2", "text/plain"),
    ]
    assert jobs.ask(f"{path}/results/lines").body == b"[0\n|"
    born, began, ended = (time_of(document.value(name)) for name in ("creationTime", "startTime", "endTime"))
    assert born <= began <= ended


@pytest.mark.parametrize("place", ["query", "body"])
def test_phase_run_in_the_request_that_creates(jobs: JobServer, place: str) -> None:
    if place == "query":
        answer = jobs.post("?PHASE=RUN&runid=at%20once", {"UNITS": 2})
    else:
        answer = jobs.post("", {"UNITS": 2, "phase": "RUN", "RunId": "at once"})
        assert answer.status == 303
    path = answer.headers["Location"].removeprefix(f"{jobs.url}/soda/async")
    document = jobs.until(path, "EXECUTING", "COMPLETED", "QUEUED")
    assert document.value("runId") == "at once"
    assert parameters_of(document.xml) == [("UNITS", "2")]


def test_every_word_is_an_answer(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate, "PHASE": "RUN"}, user="ada")
    jobs.until(path, "EXECUTING", user="ada")
    document = jobs.job(path, user="ada")
    words = {}
    for word in WORDS:
        answer = jobs.ask(f"{path}/{word}", user="ada")
        assert (answer.status, answer.headers["Content-Type"]) == (200, TEXT)
        words[word] = answer.text
    assert words == {
        "phase": "EXECUTING",
        "executionduration": "600",
        "destruction": document.value("destruction"),
        "quote": "",
        "owner": "ada",
        "error": "",
    }
    assert document.value("ownerId") == "ada"


def test_what_is_not_known_is_nil(jobs: JobServer) -> None:
    document = jobs.job(jobs.create()).xml
    assert [one.tag.removeprefix(UWS) for one in document] == [
        "jobId", "ownerId", "phase", "quote", "creationTime", "startTime", "endTime", "executionDuration",
        "destruction", "parameters", "results", "jobInfo",
    ]  # fmt: skip
    nil = {one.tag.removeprefix(UWS) for one in document if one.get(NIL) == "true"}
    assert nil == {"ownerId", "quote", "startTime", "endTime"}
    assert document.get("version") == "1.1"


def test_head_answers_as_get_without_a_body(jobs: JobServer) -> None:
    path = jobs.create({"PHASE": "RUN"})
    jobs.until(path, "COMPLETED")
    for resource in (
        "",
        *(f"/{word}" for word in WORDS),
        "/parameters",
        "/results",
        "/results/lines",
        "/files/0",
    ):
        asked, head = jobs.ask(path + resource), jobs.ask(path + resource, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers[name] == asked.headers[name], (resource, name)
    assert jobs.ask("", method="HEAD").status == 200


def test_options_and_what_is_not_answered(jobs: JobServer) -> None:
    path = jobs.create()
    allowed = {
        "": {"GET", "HEAD", "POST", "OPTIONS"},
        path: {"GET", "HEAD", "POST", "DELETE", "OPTIONS"},
        **{f"{path}/{word}": {"GET", "HEAD", "POST", "OPTIONS"} for word in WORDS[:3]},
        **{f"{path}/{word}": {"GET", "HEAD", "OPTIONS"} for word in WORDS[3:]},
        f"{path}/parameters": {"GET", "HEAD", "POST", "OPTIONS"},
        f"{path}/parameters/ID": {"GET", "HEAD", "PUT", "OPTIONS"},
        f"{path}/results": {"GET", "HEAD", "OPTIONS"},
        f"{path}/results/lines": {"GET", "HEAD", "OPTIONS"},
        f"{path}/files/0": {"GET", "HEAD", "OPTIONS"},
    }
    for resource, methods in allowed.items():
        answer = jobs.ask(resource, method="OPTIONS")
        assert (answer.status, set(answer.headers["Allow"].split(", "))) == (204, methods)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        for method in {"POST", "PUT", "DELETE", "PATCH"} - methods:
            answer = jobs.ask(resource, method=method)
            assert (answer.status, answer.label) == (405, "UsageError"), (resource, method)
            assert set(answer.headers["Allow"].split(", ")) == methods
    assert jobs.job(path).value("phase") == "PENDING"


def test_progress_is_in_job_info(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate, "UNITS": 4, "PHASE": "RUN"})
    GATES.reached(gate)
    GATES.open(gate)
    found = jobs.until(path, "COMPLETED").xml.find(f"{UWS}jobInfo")
    assert found is not None
    assert {one.tag: one.text for one in found[0]} == {
        "total": "4", "done": "4", "failed": "0", "bytes": "8", "percent": "100.0",
    }  # fmt: skip


# ---------------------------------------------------------------------- errors of jobs


def test_an_error_is_a_summary_and_a_text(jobs: JobServer) -> None:
    path = jobs.create({"FAIL": "No such <star>.", "PHASE": "RUN"})
    document = jobs.until(path, "ERROR")
    summary = document.xml.find(f"{UWS}errorSummary")
    assert summary is not None
    assert (summary.get("type"), summary.get("hasDetail")) == ("fatal", "false")
    message = summary.findtext(f"{UWS}message")
    assert message == "No such <star>. Ask for something else."
    answer = jobs.ask(f"{path}/error")
    assert (answer.status, answer.headers["Content-Type"], answer.text) == (200, TEXT, f"{message}\n")


def test_an_error_may_have_a_document_of_its_own(jobs: JobServer) -> None:
    path = jobs.create({"FAIL": "A document of it", "PHASE": "RUN"})
    document = jobs.until(path, "ERROR")
    summary = document.xml.find(f"{UWS}errorSummary")
    assert summary is not None
    assert summary.get("hasDetail") == "true"
    answer = jobs.ask(f"{path}/error")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-votable+xml")
    assert answer.text == "<VOTABLE>A document of it</VOTABLE>"


# ---------------------------------------------------------------------- ending


def test_abort_keeps_what_is_finished(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate, "UNITS": 3, "PHASE": "RUN"})
    jobs.until_done(path, 1)
    GATES.reached(gate)
    began = datetime.now(UTC)
    answer = jobs.post(f"{path}/phase", {"PHASE": "ABORT"})
    assert datetime.now(UTC) - began < timedelta(seconds=2)
    assert (answer.status, answer.headers["Location"]) == (303, f"{jobs.url}/soda/async{path}")
    document = jobs.job(path)
    assert document.value("phase") == "ABORTED"
    assert document.value("endTime")
    assert jobs.ask(f"{path}/results/line-0").body == b"0\n"


def test_abort_keeps_what_is_finished_as_it_is_told(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate + LAST, "UNITS": 2, "PHASE": "RUN"})
    GATES.reached(gate + LAST)
    jobs.until_done(path, 1)
    assert jobs.post(f"{path}/phase", {"PHASE": "ABORT"}).status == 303
    # COMPLETED where all that was left of the job was faster than its end.
    assert jobs.job(path).value("phase") in {"ABORTED", "COMPLETED"}
    assert jobs.ask(f"{path}/results/line-1").body == b"1\n"


def test_abort_of_what_has_ended_changes_nothing(jobs: JobServer) -> None:
    path = jobs.create({"PHASE": "RUN"})
    jobs.until(path, "COMPLETED")
    assert jobs.post(f"{path}/phase", {"PHASE": "ABORT"}).status == 303
    assert jobs.job(path).value("phase") == "COMPLETED"


@pytest.mark.parametrize("how", ["DELETE", "ACTION", "ACTION in the query"])
def test_delete_forgets_a_job_and_its_files(jobs: JobServer, how: str, gate: str) -> None:
    body, headers = multipart(("GATE", gate), ("PHASE", "RUN"), ("DATA", b"x\n", "list.csv", "text/csv"))
    path = jobs.create(body, headers=headers)
    GATES.reached(gate)
    assert any(name.startswith(path[1:]) for name in jobs.objects())
    if how == "DELETE":
        answer = jobs.ask(path, method="DELETE")
    elif how == "ACTION":
        answer = jobs.post(path, {"ACTION": "DELETE"})
    else:
        answer = jobs.post(f"{path}?action=DELETE", {})
    assert (answer.status, answer.headers["Location"]) == (303, f"{jobs.url}/soda/async?LAST=100")
    for resource in ("", "/phase", "/parameters", "/results", "/results/lines", "/error"):
        answer = jobs.ask(path + resource)
        assert (answer.status, answer.label) == (404, "UsageError")
    assert jobs.ask(path, method="DELETE").status == 404
    assert not any(name.startswith(path[1:]) for name in jobs.objects())


def test_destruction_archives_a_job_and_takes_its_files(jobs: JobServer) -> None:
    path = jobs.create({"PHASE": "RUN"}, user="archivist")
    jobs.until(path, "COMPLETED", user="archivist")
    answer = jobs.post(f"{path}/destruction", {"DESTRUCTION": "2020-01-01T00:00:00Z"}, user="archivist")
    assert answer.status == 303
    jobs.until_stored(path, "ARCHIVED")
    document = jobs.job(path, user="archivist")
    assert document.xml.find(f"{UWS}results") is not None
    gone = jobs.ask(f"{path}/results/lines", user="archivist")
    assert (gone.status, gone.label) == (410, "UsageError")
    assert jobs.ask(f"{path}/files/0", user="archivist").status == 410

    def listed(query: str) -> list[str]:
        return [str(one.get("id")) for one in jobs.ask(query, user="archivist").xml]

    assert listed("") == listed("?PHASE=COMPLETED") == listed("?LAST=5") == []
    assert listed("?PHASE=ARCHIVED") == listed("?PHASE=COMPLETED&PHASE=ARCHIVED") == [path[1:]]
    late = jobs.post(f"{path}/destruction", {"DESTRUCTION": "2099-01-01"}, user="archivist")
    assert (late.status, late.label) == (403, "UsageError")


# ---------------------------------------------------------------------- what a client may change


@pytest.mark.parametrize(("asked", "given"), [("60", "60"), ("0", "3600"), ("999999999999", "3600")])
@pytest.mark.parametrize("at_the_job", [True, False])
def test_execution_duration_is_taken_up_to_the_limit(
    jobs: JobServer, asked: str, given: str, at_the_job: bool
) -> None:
    path = jobs.create()
    answer = jobs.post(path if at_the_job else f"{path}/executionduration", {"EXECUTIONDURATION": asked})
    assert (answer.status, answer.headers["Location"]) == (303, f"{jobs.url}/soda/async{path}")
    assert jobs.ask(f"{path}/executionduration").text == given
    assert jobs.job(path).value("executionDuration") == given


def test_destruction_is_taken_up_to_the_limit(jobs: JobServer) -> None:
    path = jobs.create()
    soon = iso(datetime.now(UTC) + timedelta(days=3))
    jobs.post(f"{path}/destruction", {"DESTRUCTION": soon})
    assert jobs.ask(f"{path}/destruction").text == jobs.job(path).value("destruction") == soon
    jobs.post(path, {"destruction": "9999-12-31"})
    left = time_of(jobs.ask(f"{path}/destruction").text) - datetime.now(UTC)
    assert timedelta(days=8, hours=23) < left <= timedelta(days=9)


def test_limits_may_come_with_the_request_that_creates(jobs: JobServer) -> None:
    path = jobs.create({"EXECUTIONDURATION": 7, "DESTRUCTION": "2020"})
    assert jobs.ask(f"{path}/executionduration").text == "7"
    assert jobs.ask(f"{path}/destruction").text == "2020-01-01T00:00:00.000Z"


def test_parameters_add_up_while_pending(jobs: JobServer) -> None:
    path = jobs.create([("ID", "one"), ("RUNID", "old"), ("RESPONSEFORMAT", "fits")])
    answer = jobs.post(f"{path}/parameters", [("ID", "two"), ("runId", "new"), ("responseformat", "png")])
    assert (answer.status, answer.headers["Location"]) == (303, f"{jobs.url}/soda/async{path}")
    document = jobs.job(path)
    assert document.value("runId") == "new"
    expected = [("ID", "one"), ("ID", "two"), ("responseformat", "png")]
    assert parameters_of(document.xml) == expected
    assert parameters_of(jobs.ask(f"{path}/parameters").xml) == expected
    assert jobs.ask(f"{path}/parameters/id").text == "one\ntwo"


def test_put_sets_a_parameter(jobs: JobServer) -> None:
    path = jobs.create([("ID", "one"), ("ID", "two"), ("KIND", "science")])
    answer = jobs.ask(
        f"{path}/parameters/ID",
        method="PUT",
        data=b"three & \xc3\xbc",
        headers={"Content-Type": "text/plain"},
    )
    assert answer.status == 303
    assert parameters_of(jobs.job(path).xml) == [("KIND", "science"), ("ID", "three & ü")]
    assert jobs.ask(f"{path}/parameters/ID").text == "three & ü"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_parameters_are_taken_from_pending_jobs_only(jobs: JobServer, gate: str, method: str) -> None:
    path = jobs.create({"GATE": gate, "PHASE": "RUN"})
    target = f"{path}/parameters" + ("/ID" if method == "PUT" else "")
    answer = jobs.ask(target, method=method, data=b"ID=1" if method == "PUT" else {"ID": 1})
    assert (answer.status, answer.label) == (403, "UsageError")
    assert parameters_of(jobs.job(path).xml) == [("GATE", gate)]


def test_a_job_takes_no_parameters_at_its_own_address(jobs: JobServer) -> None:
    path = jobs.create()
    for data in ({"ID": 1}, {"RUNID": "x"}, {"PHASE": "RUN", "ID": 1}, {}):
        answer = jobs.post(path, data)
        assert (answer.status, answer.label) == (400, "UsageError")
    assert jobs.job(path).value("phase") == "PENDING"
    assert jobs.post(path, {"PHASE": "RUN"}).status == 303
    jobs.until(path, "COMPLETED")


# ---------------------------------------------------------------------- whose a job is


def everything(jobs: JobServer, path: str, user: str = "") -> Iterator[tuple[str, Any]]:
    for word in (
        "",
        *(f"/{word}" for word in WORDS),
        "/parameters",
        "/parameters/GATE",
        "/results",
        "/results/x",
        "/files/x",
    ):
        yield word, jobs.ask(path + word, user=user)
    for word, data in {
        "/phase": {"PHASE": "RUN"},
        "/executionduration": {"EXECUTIONDURATION": 5},
        "/destruction": {"DESTRUCTION": "2030-01-01"},
        "/parameters": {"ID": 5},
        "": {"ACTION": "DELETE"},
    }.items():
        yield f"POST {word}", jobs.post(path + word, data, user=user)
    yield "PUT", jobs.ask(f"{path}/parameters/X", method="PUT", data=b"1", user=user)
    yield "DELETE", jobs.ask(path, method="DELETE", user=user)


@pytest.mark.parametrize("visitor", ["", "eve"])
def test_another_owners_job_is_forbidden(jobs: JobServer, visitor: str) -> None:
    path = jobs.create({"GATE": "x"}, user="ada")
    before = jobs.job(path, user="ada").body
    for what, answer in everything(jobs, path, visitor):
        assert (answer.status, answer.label) == (403, "AuthorizationError"), what
    assert jobs.job(path, user="ada").body == before


def test_a_job_of_another_kind_is_not_in_this_tree(jobs: JobServer) -> None:
    path = jobs.create()
    assert jobs.ask(f"//tap/async{path}").status == 404
    answer = jobs.ask("//tap/async", method="POST", data={"QUERY": "SELECT 3", "PHASE": "RUN"})
    assert answer.status == 303
    other = answer.headers["Location"].removeprefix(f"{jobs.url}/tap/async")
    assert jobs.ask(other).status == 404
    assert jobs.ask(f"//tap/async{other}?WAIT=20").xml.findtext(f"{UWS}phase") in (
        "QUEUED",
        "EXECUTING",
        "COMPLETED",
    )


def test_who_has_no_name_has_the_jobs_whose_address_he_has(jobs: JobServer) -> None:
    path = jobs.create()
    assert jobs.job(path, user="ada").xml.find(f"{UWS}ownerId").get(NIL) == "true"  # type: ignore[union-attr]
    assert jobs.post(f"{path}/phase", {"PHASE": "ABORT"}, user="ada").status == 303


@pytest.mark.parametrize("job_id", ["none", "a" * 24, "%00", "..%2F..", "x" * 500, "%ff", "a.b", "ID'--"])
def test_no_such_job(jobs: JobServer, job_id: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        answer = jobs.ask(f"/{job_id}", method=method)
        assert answer.status in (404, 400)
        assert method == "HEAD" or answer.label == "UsageError"
    assert jobs.ask(f"/{job_id}/phase", method="POST", data={"PHASE": "RUN"}).status in (404, 400)


def test_limits_refuse_with_a_time_to_come_again(tmp_path: Any) -> None:
    server = JobServer(tmp_path, limits=JobLimits(active=5, active_of_owner=2))
    try:
        body, headers = multipart(("DATA", b"content", "a.csv", "text/csv"))
        for user in ("ada", "ada", "eve", "eve"):
            server.create(user=user)
        refused = server.post("", body, headers=headers, user="ada")
        assert (refused.status, refused.label) == (429, "ServiceUnavailable")
        assert "ada has 2 jobs" in refused.text
        assert int(refused.headers["Retry-After"]) > 0
        server.create()
        refused = server.post("", body, headers=headers)
        assert (refused.status, refused.label) == (503, "ServiceUnavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert server.objects() == []
    finally:
        server.stop()
