"""Documents of UWS 1.1: the schema's order, what is nil, what other people's parsers make of them."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pyvo.io import uws as pyvo_uws
from vo_models.uws import Jobs, JobSummary, Parameters, Results
from vo_models.uws.models import MultiValuedParameter

from sodalake.uws.documents import (
    UWS_NAMESPACE,
    BadTime,
    iso,
    job_document,
    list_document,
    parameters_document,
    parse_time,
    percent,
    results_document,
)
from sodalake.uws.jobs import ErrorSummary, Job, JobRef, Parameter, Progress, Result, Segment, Upload
from sodalake.uws.phases import Phase

URL = "https://example.org/soda/async"
NOW = datetime(2026, 5, 17, 20, 1, 2, 345_000, tzinfo=UTC)
UWS = f"{{{UWS_NAMESPACE}}}"
HREF = "{http://www.w3.org/1999/xlink}href"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

FULL = Job(
    "j0b",
    "soda",
    "ada",
    Phase.ERROR,
    NOW,
    (Parameter("ID", "a & b"), Parameter("ID", "<c>"), Parameter("TARGETS", "list 1", by_reference=True)),
    (Upload("list 1", "j0b/upload-1", 12, "text/csv", "list.csv"),),
    "run 7",
    quote=NOW + timedelta(minutes=1),
    queued=NOW,
    started=NOW + timedelta(seconds=1),
    ended=NOW + timedelta(seconds=61),
    execution_duration=3600,
    destruction=NOW + timedelta(days=7),
    results=(
        Result("a/b", "application/fits", (Segment("j0b/part-1", 10, 2880), Segment(data=b"xy"))),
        Result("plain", "", ()),
    ),
    error=ErrorSummary("It broke & fell", transient=True, detail_type="text/plain"),
    progress=Progress(3, 2, 1, 2882),
)
BARE = Job("j1", "soda", None, Phase.PENDING, NOW)
ORDER = [
    "jobId", "runId", "ownerId", "phase", "quote", "creationTime", "startTime", "endTime", "executionDuration",
    "destruction", "parameters", "results", "errorSummary", "jobInfo",
]  # fmt: skip


class OfSoda(Parameters):
    """The parameters of the jobs above, for vo-models."""

    ID: MultiValuedParameter | None = None
    TARGETS: MultiValuedParameter | None = None


def names(root: etree._Element) -> list[str]:
    return [etree.QName(one).localname for one in root]


def job_element(job: Job) -> etree._Element:
    return etree.fromstring(job_document(job, f"{URL}/{job.id}"))


def jobs_element(refs: list[JobRef]) -> etree._Element:
    return etree.fromstring(b"".join(list_document(refs, URL)))


def test_the_order_is_the_schemas() -> None:
    root = job_element(FULL)
    assert (root.tag, root.get("version")) == (f"{UWS}job", "1.1")
    assert names(root) == ORDER
    assert names(job_element(BARE)) == [name for name in ORDER if name not in ("runId", "errorSummary")]


def test_what_is_not_known_is_nil_and_results_are_there() -> None:
    root = job_element(BARE)
    nil = [etree.QName(one).localname for one in root if one.get(NIL) == "true"]
    assert nil == ["ownerId", "quote", "startTime", "endTime", "destruction"]
    assert len(root.findall(f"{UWS}results")) == 1


def test_an_upload_is_told_by_its_address() -> None:
    values = [
        (one.get("id"), one.get("byReference"), one.text) for one in job_element(FULL).iter(f"{UWS}parameter")
    ]
    assert values == [
        ("ID", None, "a & b"),
        ("ID", None, "<c>"),
        ("TARGETS", "true", f"{URL}/j0b/parameters/list%201"),
    ]


def test_results_have_address_size_and_type() -> None:
    found = [dict(one.attrib) for one in job_element(FULL).iter(f"{UWS}result")]
    assert found == [
        {"id": "a/b", HREF: f"{URL}/j0b/results/a%2Fb", "size": "2882", "mime-type": "application/fits"},
        {"id": "plain", HREF: f"{URL}/j0b/results/plain", "size": "0"},
    ]


def test_progress() -> None:
    info = job_element(FULL).find(f"{UWS}jobInfo")
    assert info is not None
    found = {one.tag: one.text for one in info[0]}
    assert info[0].tag == "progress", "no namespace that validators do not know"
    assert found == {"total": "3", "done": "2", "failed": "1", "bytes": "2882", "percent": "66.6"}
    assert percent(Progress()) is None
    assert percent(Progress(100_000, 99_999)) == 99.9, "100 % means done"


@pytest.mark.parametrize("job", [FULL, BARE], ids=["full", "bare"])
def test_vo_models_reads_a_job(job: Job) -> None:
    found = JobSummary[OfSoda].from_xml(job_document(job, f"{URL}/{job.id}"))
    assert (found.job_id, found.run_id, found.owner_id) == (job.id, job.run_id, job.owner)
    assert found.phase.value == job.phase
    assert (found.creation_time, found.start_time, found.end_time) == (job.created, job.started, job.ended)
    assert (found.quote, found.destruction) == (job.quote, job.destruction)
    assert found.execution_duration == job.execution_duration
    assert [one.size for one in found.results.results] == [one.size for one in job.results]
    if job.error is not None:
        assert found.error_summary.message == job.error.message
        assert (found.error_summary.type.value, found.error_summary.has_detail) == ("transient", True)


@pytest.mark.parametrize("job", [FULL, BARE], ids=["full", "bare"])
def test_vo_models_reads_parameters_and_results(job: Job) -> None:
    url = f"{URL}/{job.id}"
    given = OfSoda.from_xml(parameters_document(job, url))
    assert [one.value for one in given.ID or ()] == [one.value for one in job.parameters if one.id == "ID"]
    made = Results.from_xml(results_document(job, url))
    assert [one.id for one in made.results] == [one.id for one in job.results]


def test_pyvo_reads_a_job() -> None:
    found = pyvo_uws.parse_job(io.BytesIO(job_document(FULL, f"{URL}/j0b")))
    assert (found.jobid, found.phase, found.runid, found.ownerid) == ("j0b", "ERROR", "run 7", "ada")
    assert found.destruction.isot == "2026-05-24T20:01:02.345"
    assert [one.href for one in found.results] == [f"{URL}/j0b/results/a%2Fb", f"{URL}/j0b/results/plain"]
    assert found.errorsummary.message.content == "It broke & fell"
    assert found.jobinfo["progress"]["done"].value == 2


REFS = [
    JobRef(
        f"j{number}", Phase.COMPLETED, "a < b" if number % 2 else None, None, NOW - timedelta(seconds=number)
    )
    for number in range(601)
]


def test_a_list_is_written_in_pieces_that_are_one_document() -> None:
    pieces = list(list_document(REFS, URL))
    assert len(pieces) == 5
    assert all(piece.count(b"xmlns") == 0 for piece in pieces[1:])
    root = etree.fromstring(b"".join(pieces))
    assert (root.tag, root.get("version"), len(root)) == (f"{UWS}jobs", "1.1", 601)
    first, second = root[0], root[1]
    assert (first.get("id"), first.get(HREF)) == ("j0", f"{URL}/j0")
    assert names(first) == ["phase", "ownerId", "creationTime"]
    assert names(second) == ["phase", "runId", "ownerId", "creationTime"]
    assert second.findtext(f"{UWS}runId") == "a < b"


@pytest.mark.parametrize("refs", [[], REFS[:1], REFS], ids=len)
def test_vo_models_and_pyvo_read_a_list(refs: list[JobRef]) -> None:
    content = b"".join(list_document(refs, URL))
    found = Jobs.from_xml(content)
    assert [(one.job_id, one.run_id, one.creation_time) for one in found.jobref] == [
        (ref.id, ref.run_id, ref.created) for ref in refs
    ]
    assert found.version.value == "1.1"
    assert [one.jobid for one in pyvo_uws.parse_job_list(io.BytesIO(content))] == [ref.id for ref in refs]


@given(
    value=st.text(),
    name=st.text(min_size=1),
    run_id=st.text(min_size=1),
    error=st.text(),
    result=st.text(min_size=1),
)
def test_no_text_breaks_a_document(value: str, name: str, run_id: str, error: str, result: str) -> None:
    job = Job(
        "j", "soda", None, Phase.ERROR, NOW, (Parameter(name, value),), run_id=run_id, error=ErrorSummary(error),
        results=(Result(result, value, ()),),
    )  # fmt: skip
    root = job_element(job)
    legal = all(
        ord(c) >= 32 and not 0xD800 <= ord(c) < 0xE000 and ord(c) not in (0xFFFE, 0xFFFF) for c in value
    )
    if legal:
        assert (root.findtext(f"{UWS}parameters/{UWS}parameter") or "") == value
    assert len(jobs_element([JobRef("j", Phase.ERROR, run_id, None, NOW)])) == 1


# ---------------------------------------------------------------------- times


@given(moment=st.datetimes(timezones=st.timezones()))
def test_times_are_utc_with_z_and_read_back(moment: datetime) -> None:
    try:
        wanted = moment.astimezone(UTC)
    except OverflowError:
        return
    text = iso(moment)
    assert text.endswith("Z")
    assert parse_time(text) == wanted.replace(microsecond=wanted.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026", datetime(2026, 1, 1)),
        ("2026-05", datetime(2026, 5, 1)),
        ("2026-05-17", datetime(2026, 5, 17)),
        ("20260517", datetime(2026, 5, 17)),
        ("2026-05-17T20", datetime(2026, 5, 17, 20)),
        ("2026-05-17T20:01", datetime(2026, 5, 17, 20, 1)),
        ("2026-05-17T20:01Z", datetime(2026, 5, 17, 20, 1)),
        ("20260517T2001Z", datetime(2026, 5, 17, 20, 1)),
        ("2026-05-17T20:01:02", datetime(2026, 5, 17, 20, 1, 2)),
        ("20260517T200102.345", datetime(2026, 5, 17, 20, 1, 2, 345_000)),
        ("2026-05-17T20:01:02.3", datetime(2026, 5, 17, 20, 1, 2, 300_000)),
        ("2026-05-17T20:01:02,3Z", datetime(2026, 5, 17, 20, 1, 2, 300_000)),
        ("2026-05-17T20:01:02.123456789Z", datetime(2026, 5, 17, 20, 1, 2, 123_456)),
        ("2026-05-17T20:01:02+02:00", datetime(2026, 5, 17, 18, 1, 2)),
        ("2026-05-17T20:01:02-0330", datetime(2026, 5, 17, 23, 31, 2)),
        ("2026-05-17T20:01:02+02", datetime(2026, 5, 17, 18, 1, 2)),
    ],
)
def test_forms_of_iso_8601(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "26", "202605", "2026-13", "2026-02-30", "2026-5-1", "2026/05/17", "17.05.2026", "2026-05-17Z",
        "2026-05-17 20:01:02", "2026-05-17T", "2026-05-17T25:00", "2026-05-17T20:60", "2026-05-17T20:01:61",
        "2026-05-17T20:01:02z", "2026-05-17T20:01:02+2", "2026-05-17T20:01:02 02:00", "2026-05-17T20:01:02+25:00",
        "2026-05-17T200102", "20260517T20:01", "2026-0517", "0000", "0001-01-01T00:00:00+10:00", "2026-05-17T20:01:02.",
        "٢٠٢٦", "1" * 5000, "2026\n",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadTime):
        parse_time(text)


@given(st.text())
def test_any_text_is_a_time_or_not(text: str) -> None:
    with contextlib.suppress(BadTime):
        assert parse_time(text).tzinfo is not None


def test_a_zone_of_another_kind_is_utc_in_the_document() -> None:
    moment: Any = datetime(2026, 5, 17, 20, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert iso(moment) == "2026-05-17T18:01:02.000Z"
