"""What a validator of UWS 1.1 asks a service, scenario by scenario: the account, jobs, waits and the list.

The subjects are those that the field's validator (uws-validator, 2016) has; each is a test of its own, written anew.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from job_server import GATES, HREF, UWS, Answer, JobServer
from lxml import etree

from sodalake.server.jobs import JobLimits
from sodalake.uws.documents import iso

pytestmark = pytest.mark.embedded
USER = "validator"
LONGEST = 4.0  # seconds that WAIT blocks at most here
SOON = 3.0  # seconds that an answer at once may take on a busy machine: less than any wait here that is not 2


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"), limits=JobLimits(wait=LONGEST, anonymous_list=False))
    yield server
    server.stop()


@pytest.fixture
def gate() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    GATES.open(name)


@pytest.fixture
def path(jobs: JobServer, gate: str) -> str:
    """A PENDING job that will execute until its gate is opened."""
    return jobs.create({"GATE": gate, "UNITS": 2}, user=USER)


def run(jobs: JobServer, path: str, *phases: str) -> Answer:
    jobs.post(f"{path}/phase", {"PHASE": "RUN"}, user=USER)
    return jobs.until(path, *(phases or ("EXECUTING",)), user=USER)


def timed(jobs: JobServer, path: str) -> tuple[str | None, float]:
    began = time.monotonic()
    phase = jobs.job(path, user=USER).value("phase")
    return phase, time.monotonic() - began


def listed(jobs: JobServer, query: str = "", user: str = USER) -> list[etree._Element]:
    answer = jobs.ask(query, user=user)
    assert answer.status == 200, answer.text
    return list(answer.xml)


def phases_of(refs: list[etree._Element]) -> list[str | None]:
    return [one.findtext(f"{UWS}phase") for one in refs]


def times_of(refs: list[etree._Element]) -> list[datetime]:
    return [datetime.fromisoformat(one.findtext(f"{UWS}creationTime") or "") for one in refs]


# ---------------------------------------------------------------------- the account


def test_account_the_list_answers_to_a_known_user(jobs: JobServer) -> None:
    answer = jobs.ask(user=USER)
    assert (answer.status, answer.headers["X-VO-Authenticated"]) == (200, USER)
    assert jobs.ask(headers={"Authorization": "Bearer wrong"}).status == 401


# ---------------------------------------------------------------------- a job


def test_job_created_is_pending(jobs: JobServer) -> None:
    answer = jobs.post("", {"ID": "1"}, user=USER)
    assert answer.status == 303
    path = answer.headers["Location"].removeprefix(f"{jobs.url}/soda/async")
    assert jobs.job(path, user=USER).value("phase") == jobs.ask(f"{path}/phase", user=USER).text == "PENDING"


def test_job_has_the_version(jobs: JobServer, path: str) -> None:
    assert jobs.job(path, user=USER).xml.get("version") == "1.1"


def test_job_removed_is_not_found(jobs: JobServer, path: str) -> None:
    answer = jobs.ask(path, method="DELETE", user=USER)
    assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, f"{jobs.url}/soda/async")
    assert jobs.ask(path, user=USER).status == 404


def test_job_aborted(jobs: JobServer, path: str) -> None:
    assert jobs.post(f"{path}/phase", {"PHASE": "ABORT"}, user=USER).status == 303
    assert jobs.job(path, user=USER).value("phase") == "ABORTED"


def test_job_started(jobs: JobServer, path: str, gate: str) -> None:
    answer = jobs.post(f"{path}/phase", {"PHASE": "RUN"}, user=USER)
    assert (answer.status, answer.headers["Location"]) == (303, f"{jobs.url}/soda/async{path}")
    assert jobs.job(path, user=USER).value("phase") in ("QUEUED", "EXECUTING")
    GATES.open(gate)
    found = jobs.until(path, "COMPLETED", user=USER)
    assert found.value("startTime")
    assert found.value("endTime")


def test_job_created_and_started_in_one_step(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate, "PHASE": "RUN"}, user=USER)
    assert jobs.job(path, user=USER).value("phase") in ("QUEUED", "EXECUTING")


def test_job_that_fails(jobs: JobServer) -> None:
    path = jobs.create({"FAIL": "There is no such thing.", "PHASE": "RUN"}, user=USER)
    summary = jobs.until(path, "ERROR", user=USER).xml.find(f"{UWS}errorSummary")
    assert summary is not None
    assert "There is no such thing." in (summary.findtext(f"{UWS}message") or "")
    assert "There is no such thing." in jobs.ask(f"{path}/error", user=USER).text


def test_job_that_takes_long_is_aborted(jobs: JobServer, path: str, gate: str) -> None:
    run(jobs, path)
    GATES.reached(gate)
    began = time.monotonic()
    jobs.post(f"{path}/phase", {"PHASE": "ABORT"}, user=USER)
    assert jobs.job(path, user=USER).value("phase") == "ABORTED"
    assert time.monotonic() - began < 1 + SOON


# ---------------------------------------------------------------------- waiting


@pytest.mark.parametrize("phase", ["COMPLETED", "ABORTED", "ERROR"])
def test_wait_for_an_inactive_job_is_none(jobs: JobServer, phase: str) -> None:
    path = jobs.create({"FAIL": "No."} if phase == "ERROR" else {}, user=USER)
    jobs.post(f"{path}/phase", {"PHASE": "ABORT" if phase == "ABORTED" else "RUN"}, user=USER)
    jobs.until(path, phase, user=USER)
    found, seconds = timed(jobs, f"{path}?WAIT=10")
    assert (found, seconds < SOON) == (phase, True)


def test_wait_for_an_active_job_takes_its_time(jobs: JobServer, path: str) -> None:
    run(jobs, path)
    found, seconds = timed(jobs, f"{path}?WAIT=2")
    assert found == "EXECUTING"
    assert 1.95 <= seconds < 2 + SOON


def test_wait_with_an_inactive_phase_is_none(jobs: JobServer, path: str) -> None:
    jobs.post(f"{path}/phase", {"PHASE": "ABORT"}, user=USER)
    found, seconds = timed(jobs, f"{path}?WAIT=10&PHASE=ABORTED")
    assert (found, seconds < SOON) == ("ABORTED", True)


def test_wait_with_another_phase_is_none(jobs: JobServer, path: str) -> None:
    for phase in ("QUEUED", "EXECUTING", "COMPLETED"):
        found, seconds = timed(jobs, f"{path}?WAIT=10&PHASE={phase}")
        assert (found, seconds < SOON) == ("PENDING", True)


def test_wait_tells_a_change(jobs: JobServer, path: str, gate: str) -> None:
    run(jobs, path)
    with jobs.asking(f"{path}?WAIT=4&PHASE=EXECUTING", user=USER) as answer:
        jobs.parked(1)
        began = time.monotonic()
        GATES.open(gate)
        assert answer().value("phase") == "COMPLETED"
        assert time.monotonic() - began < SOON


def test_wait_without_end_ends_at_the_servers_limit(jobs: JobServer, path: str) -> None:
    found, seconds = timed(jobs, f"{path}?WAIT=-1")
    assert found == "PENDING"
    assert LONGEST - 0.05 <= seconds < LONGEST + SOON


# ---------------------------------------------------------------------- the list


@pytest.fixture(scope="module")
def made(jobs: JobServer) -> list[str]:
    """Ids of jobs of another user: PENDING, ABORTED, ERROR, COMPLETED, in turns; oldest first."""
    paths = []
    for phase in ["PENDING", "ABORTED", "ERROR", "COMPLETED"] * 3:
        data = {"FAIL": "No."} if phase == "ERROR" else {}
        path = jobs.create(data, user="lister")
        if phase != "PENDING":
            jobs.post(f"{path}/phase", {"PHASE": "ABORT" if phase == "ABORTED" else "RUN"}, user="lister")
            jobs.until(path, phase, user="lister")
        paths.append(path[1:])
    return paths


def ids(jobs: JobServer, query: str) -> list[str | None]:
    return [one.get("id") for one in listed(jobs, query, "lister")]


def test_list_has_the_structure(jobs: JobServer, made: list[str]) -> None:
    root = jobs.ask(user="lister").xml
    assert (root.tag, root.get("version")) == (f"{UWS}jobs", "1.1")
    assert sorted(str(one.get("id")) for one in root) == sorted(made)
    for one in root:
        assert one.tag == f"{UWS}jobref"
        assert one.get(HREF) == f"{jobs.url}/soda/async/{one.get('id')}"
        assert one.findtext(f"{UWS}phase")


@pytest.mark.parametrize(
    "phases", [("PENDING",), ("PENDING", "ERROR"), ("PENDING", "ERROR", "COMPLETED"), ("HELD",)]
)
def test_list_by_phases(jobs: JobServer, made: list[str], phases: tuple[str, ...]) -> None:
    refs = listed(jobs, "?" + "&".join(f"PHASE={phase}" for phase in phases), "lister")
    assert set(phases_of(refs)) == set(phases) - {"HELD"}
    assert len(refs) == 3 * len(set(phases) - {"HELD"})


def test_list_by_a_phase_that_is_none(jobs: JobServer) -> None:
    for query in ("?PHASE=NONSENSE", "?PHASE=PENDING&PHASE=pending"):
        answer = jobs.ask(query, user="lister")
        assert (answer.status, answer.label) == (400, "UsageError")


@pytest.mark.parametrize("count", [1, 5, 12, 1000])
def test_list_of_the_last(jobs: JobServer, made: list[str], count: int) -> None:
    assert ids(jobs, f"?LAST={count}") == made[::-1][:count]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", ""])
def test_list_of_a_last_that_is_wrong(jobs: JobServer, value: str) -> None:
    answer = jobs.ask(f"?LAST={value}", user="lister")
    assert (answer.status, answer.label) == (400, "UsageError")


@pytest.mark.parametrize(
    "form",
    [
        "%Y",
        "%Y-%m",
        "%Y-%m-%d",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M:%S.%f",
        "%Y-%m-%dT%H:%M:%SZ",
    ],
)
def test_list_after_a_time(jobs: JobServer, made: list[str], form: str) -> None:
    before = datetime(2001, 1, 1, tzinfo=UTC).strftime(form)
    later = (datetime.now(UTC) + timedelta(days=800)).strftime(form)
    assert len(ids(jobs, f"?AFTER={before}")) == len(made)
    assert ids(jobs, f"?AFTER={later}") == []
    moment = times_of(listed(jobs, "", "lister"))[4]
    after = list(times_of(listed(jobs, f"?AFTER={iso(moment)}", "lister")))
    assert after
    assert all(one > moment for one in after)


def test_list_after_a_time_that_is_none(jobs: JobServer) -> None:
    for value in ("yesterday", "2026-13-01", "2026-01-01T99:00", "01/02/2026", "1747512000"):
        answer = jobs.ask(f"?AFTER={value}", user="lister")
        assert (answer.status, answer.label) == (400, "UsageError")


def test_list_by_phase_and_last(jobs: JobServer, made: list[str]) -> None:
    refs = listed(jobs, "?PHASE=ERROR&LAST=2", "lister")
    assert phases_of(refs) == ["ERROR", "ERROR"]
    assert [one.get("id") for one in refs] == [made[10], made[6]]


def test_list_by_phase_and_after(jobs: JobServer, made: list[str]) -> None:
    moment = times_of(listed(jobs, "?PHASE=COMPLETED", "lister"))[1]
    refs = listed(jobs, f"?PHASE=COMPLETED&AFTER={iso(moment)}", "lister")
    assert [one.get("id") for one in refs] == [made[11]]


def test_list_by_last_and_after(jobs: JobServer, made: list[str]) -> None:
    moment = times_of(listed(jobs, "", "lister"))[6]
    assert ids(jobs, f"?LAST=3&AFTER={iso(moment)}") == made[::-1][:3]
    assert ids(jobs, f"?LAST=9&AFTER={iso(moment)}") == made[::-1][:6]


def test_list_is_newest_first(jobs: JobServer, made: list[str]) -> None:
    times = times_of(listed(jobs, "?LAST=12", "lister"))
    assert times == sorted(times, reverse=True)
