"""The list of jobs: who sees what, PHASE, AFTER, LAST and all of them together; large ones."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_server import GATES, HREF, UWS, JobServer
from lxml import etree

from sodalake.server.jobs import JobLimits
from sodalake.uws.documents import iso
from sodalake.uws.jobs import NewJob
from sodalake.uws.phases import Phase

pytestmark = pytest.mark.embedded
OWNER = "lister"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"), limits=JobLimits(anonymous_list=False))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def made(jobs: JobServer) -> list[tuple[str, str, datetime]]:
    """Id, phase and time of jobs in many phases, oldest first."""
    gate = uuid.uuid4().hex
    for phase in [
        "PENDING",
        "COMPLETED",
        "ERROR",
        "ABORTED",
        "EXECUTING",
        "PENDING",
        "COMPLETED",
        "ARCHIVED",
    ] * 2:
        parameters: dict[str, object] = {"RUNID": f"is {phase}"}
        if phase not in ("PENDING", "ABORTED"):
            parameters["PHASE"] = "RUN"
        if phase == "EXECUTING":
            parameters["GATE"] = gate
        if phase == "ERROR":
            parameters["FAIL"] = "As it should."
        path = jobs.create(parameters, user=OWNER)
        if phase == "ABORTED":
            jobs.post(f"{path}/phase", {"PHASE": "ABORT"}, user=OWNER)
        elif phase == "ARCHIVED":
            jobs.until(path, "COMPLETED", user=OWNER)
            jobs.post(f"{path}/destruction", {"DESTRUCTION": "2020"}, user=OWNER)
            jobs.until_stored(path, "ARCHIVED")
        else:
            jobs.until(path, phase, user=OWNER)
    refs = jobs.call(jobs.store.find("gated", OWNER, phases=frozenset(Phase)))
    yield [(ref.id, str(ref.phase), ref.created) for ref in reversed(refs)]  # type: ignore[misc]
    GATES.open(gate)


def listed(jobs: JobServer, query: Sequence[tuple[str, object]] = (), user: str = OWNER) -> list[str]:
    answer = jobs.ask("?" + "&".join(f"{name}={value}" for name, value in query), user=user)
    assert answer.status == 200, answer.text
    root = answer.xml
    assert (root.tag, root.get("version")) == (f"{UWS}jobs", "1.1")
    return [str(one.get("id")) for one in root]


def test_a_line_of_the_list(jobs: JobServer, made: list[tuple[str, str, datetime]]) -> None:
    root = jobs.ask(user=OWNER).xml
    known = {job_id: (phase, created) for job_id, phase, created in made}
    for one in root:
        phase, created = known[str(one.get("id"))]
        assert one.tag == f"{UWS}jobref"
        assert one.get(HREF) == f"{jobs.url}/soda/async/{one.get('id')}"
        assert [etree.QName(child).localname for child in one] == [
            "phase",
            "runId",
            "ownerId",
            "creationTime",
        ]
        assert [child.text for child in one] == [phase, f"is {phase}", OWNER, iso(created)]


def test_the_list_has_all_but_the_archived_newest_first(
    jobs: JobServer, made: list[tuple[str, str, datetime]]
) -> None:
    assert listed(jobs) == [job_id for job_id, phase, _ in reversed(made) if phase != "ARCHIVED"]


filters = st.fixed_dictionaries(
    {},
    optional={
        "PHASE": st.lists(st.sampled_from(list(Phase)), min_size=1, max_size=4),
        "AFTER": st.integers(0, 15),
        "LAST": st.integers(1, 20),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=filters, shift=st.sampled_from([-1, 0, 1]))
def test_filters_together_mean_and(
    jobs: JobServer, made: list[tuple[str, str, datetime]], wanted: dict[str, object], shift: int
) -> None:
    expected = list(reversed(made))
    query: list[tuple[str, object]] = []
    phases = wanted.get("PHASE")
    if isinstance(phases, list):
        expected = [one for one in expected if one[1] in phases]
        query += [("PHASE", phase) for phase in phases]
    else:
        expected = [one for one in expected if one[1] != "ARCHIVED"]
    if "AFTER" in wanted:
        moment = made[int(str(wanted["AFTER"]))][2] + timedelta(milliseconds=shift)
        expected = [one for one in expected if one[2] > moment]
        query.append(("AFTER", iso(moment)))
    if "LAST" in wanted:
        expected = expected[: int(str(wanted["LAST"]))]
        query.append(("last", wanted["LAST"]))
    assert listed(jobs, query) == [job_id for job_id, _, _ in expected]


def test_after_is_strict_to_the_millisecond(jobs: JobServer, made: list[tuple[str, str, datetime]]) -> None:
    newest = max(created for _, phase, created in made if phase != "ARCHIVED")
    assert listed(jobs, [("AFTER", iso(newest))]) == []
    assert len(listed(jobs, [("AFTER", iso(newest - timedelta(milliseconds=1)))])) >= 1


@pytest.mark.parametrize(
    "query",
    [
        "PHASE=", "PHASE=completed", "PHASE=RUN", "PHASE=PENDING,QUEUED", "PHASE=PENDING&PHASE=NONE", "PHASE=%00",
        "LAST=", "LAST=0", "LAST=-1", "LAST=1.5", "LAST=ten", "LAST=1e3", "LAST=%2B5", "LAST=1&LAST=2", "LAST=1_000",
        "LAST=99999999999999999999", "LAST=%D9%A1", "AFTER=", "AFTER=yesterday", "AFTER=2026-13-01", "AFTER=12:00",
        "AFTER=2026-05-17%2020:00", "AFTER=2026-05-17T20:00:00%20UTC", "AFTER=1747512000", "AFTER=2026&AFTER=2027",
        "AFTER=2026-05-17T20:00:00+02:00", "LAST=%zz", "AFTER=%ff",
    ],
)  # fmt: skip
def test_filters_that_are_wrong(jobs: JobServer, query: str) -> None:
    answer = jobs.ask(f"?{query}", user=OWNER)
    assert (answer.status, answer.label) in ((400, "UsageError"), (400, "MultiValuedParamNotSupported"))


def test_everybody_sees_his_own(jobs: JobServer, made: list[tuple[str, str, datetime]]) -> None:
    path = jobs.create(user="somebody")
    assert listed(jobs, user="somebody") == [path[1:]]
    assert path[1:] not in listed(jobs)
    nobodys = jobs.create()
    assert listed(jobs, user="") == []
    assert listed(jobs, [("PHASE", "PENDING")], user="") == []
    assert jobs.job(nobodys).status == 200


def test_visitors_without_a_name_may_see_each_others_jobs_where_that_is_wanted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = JobServer(tmp_path_factory.mktemp("open"), limits=JobLimits(anonymous_list=True))
    try:
        path = server.create()
        server.create(user="ada")
        assert listed(server, user="") == [path[1:]]
    finally:
        server.stop()


def test_a_list_of_ten_thousand(jobs: JobServer, record_property: Callable[[str, object], None]) -> None:
    async def fill() -> None:
        for _ in range(100):
            await asyncio.gather(
                *(jobs.store.create(NewJob("gated", owner="crowd", run_id="many")) for _ in range(100))
            )

    jobs.call(fill())
    headers = jobs.token("crowd")
    times = []
    for _ in range(20):
        began = time.perf_counter()
        answer = jobs.ask("?LAST=50", headers=headers)
        times.append(time.perf_counter() - began)
        assert len(answer.xml) == 50
    record_property("ms of LAST=50 of 10 000", round(1000 * sorted(times)[10], 1))
    whole = jobs.ask(headers=headers)
    assert whole.headers["Transfer-Encoding"] == "chunked", "it is streamed"
    ids = [one.get("id") for one in whole.xml]
    assert len(set(ids)) == len(ids) == 10_000
    assert ids[:50] == [one.get("id") for one in answer.xml]
