"""Bad input to the tree: every parameter of UWS wrong in every way is a 4xx with a label, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_server import Answer, JobServer, multipart

from sodalake.server.jobs import JobLimits
from sodalake.uws.phases import Phase

pytestmark = pytest.mark.embedded
LABELS = {"AuthorizationError", "UsageError", "MultiValuedParamNotSupported"}
LONG = "x" * 5000


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(
        tmp_path_factory.mktemp("jobs"), limits=JobLimits(wait=0.01, active=10**6, active_of_owner=10**6)
    )
    yield server
    server.stop()


def state(jobs: JobServer) -> tuple[int, list[str]]:
    return len(jobs.ask().xml), jobs.objects()


# ---------------------------------------------------------------------- by hand

DURATIONS = [
    "",
    "-1",
    "1.5",
    "1e3",
    "ten",
    "+5",
    " ",
    "0x10",
    "١٢",
    "1,000",
    "NaN",
    "inf",
    "9" * 30,
    LONG,
    "1\x00",
]
TIMES = [
    "",
    "tomorrow",
    "2026-13-01",
    "2026-02-30",
    "20:00",
    "1747512000",
    "2026-05-17 20:00",
    "-1",
    LONG,
    "2026\x00",
]
PHASES = [
    "",
    "run",
    "RUNNING",
    "PENDING",
    "EXECUTING",
    "COMPLETED",
    "DELETE",
    "RUN ABORT",
    LONG,
    "RUN\x00",
    "ABORTED",
]


@pytest.mark.parametrize(
    ("resource", "name", "values"),
    [
        ("/executionduration", "EXECUTIONDURATION", DURATIONS),
        ("/destruction", "DESTRUCTION", TIMES),
        ("/phase", "PHASE", PHASES),
        ("", "EXECUTIONDURATION", DURATIONS),
        ("", "DESTRUCTION", TIMES),
        ("", "PHASE", PHASES),
        ("", "ACTION", ["", "delete", "REMOVE", "DELETE DELETE", LONG]),
        ("/parameters", "RUNID", ["r" * 65, LONG, "a\x00b", "a\x1bb", "\ufffe"]),
        ("/parameters", "PHASE", ["RUN"]),
        ("/parameters", "DESTRUCTION", ["2030"]),
        ("/parameters", "ID", ["a\x00b", "\x01"]),
        ("/parameters", "a b", ["1"]),
        ("/parameters", "\x00", ["1"]),
        ("/parameters", "n" * 65, ["1"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_are_wrong_change_nothing(
    jobs: JobServer, resource: str, name: str, values: list[str]
) -> None:
    path = jobs.create({"ID": "1"})
    before = jobs.job(path).body
    for value in values:
        for data in ([(name, value)], [(name.lower(), value)]):
            answer = jobs.post(path + resource, data)
            assert 400 <= answer.status < 404, (value[:20], answer.text)
            assert answer.label in LABELS
    good = {
        "EXECUTIONDURATION": "5",
        "DESTRUCTION": "2030",
        "PHASE": "RUN",
        "ACTION": "DELETE",
        "RUNID": "x",
    }.get(name)
    if good is not None:
        answer = jobs.post(path + resource, [(name, good), (name.lower(), good)])
        assert (answer.status, answer.label) in ((400, "MultiValuedParamNotSupported"), (400, "UsageError"))
    assert jobs.job(path).body == before


@pytest.mark.parametrize(
    ("resource", "body"),
    [
        ("/executionduration", {}),
        ("/destruction", {}),
        ("/phase", {}),
        ("/parameters", {}),
        ("", {}),
        ("/phase", {"X": "RUN"}),
    ],
)
def test_nothing_asked_for(jobs: JobServer, resource: str, body: dict[str, str]) -> None:
    answer = jobs.post(jobs.create() + resource, body)
    assert (answer.status, answer.label) == (400, "UsageError")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PHASE", [*(p for p in PHASES if p), "ABORT"]),
        ("EXECUTIONDURATION", DURATIONS),
        ("DESTRUCTION", TIMES),
        ("RUNID", ["r" * 65, "a\x00b"]),
        ("ACTION", ["DELETE", ""]),
        ("ID", ["a\x00b", "param:none"]),
        ("UPLOAD", ["a,param:none", "a,PARAM:"]),
        ("<", ["1"]),
    ],
)
@pytest.mark.parametrize("place", ["query", "body", "multipart"])
def test_nothing_is_created_of_what_is_wrong(
    jobs: JobServer, name: str, values: list[str], place: str
) -> None:
    before = state(jobs)
    for value in values:
        if place == "query":
            answer = jobs.post("?" + urlencode({name: value}), {"KIND": "1"})
        elif place == "body":
            answer = jobs.post("", {name: value, "KIND": "1"})
        else:
            body, headers = multipart((name, value), ("DATA", b"1", "a.csv", "text/csv"))
            answer = jobs.post("", body, headers=headers)
        assert (answer.status, answer.label) == (400, "UsageError"), (value[:20], answer.text)
    assert state(jobs) == before


@pytest.mark.parametrize("transition", [("COMPLETED", "RUN"), ("ERROR", "RUN"), ("ABORTED", "RUN")])
def test_transitions_that_are_illegal(jobs: JobServer, transition: tuple[str, str]) -> None:
    phase, word = transition
    path = jobs.create({"FAIL": "x"} if phase == "ERROR" else {})
    jobs.post(f"{path}/phase", {"PHASE": "ABORT" if phase == "ABORTED" else "RUN"})
    jobs.until_stored(path, phase)
    for resource in ("/phase", ""):
        answer = jobs.post(path + resource, {"PHASE": word})
        assert (answer.status, answer.label) == (403, "UsageError")
    late = jobs.post(f"{path}/executionduration", {"EXECUTIONDURATION": 5})
    assert (late.status, late.label) == (403, "UsageError")
    assert jobs.ask(f"{path}/phase").text == phase


@pytest.mark.parametrize("name", ["PHASE", "runid", "DESTRUCTION", "WAIT"])
def test_put_is_for_parameters_of_the_job(jobs: JobServer, name: str) -> None:
    path = jobs.create({"RUNID": "old"})
    answer = jobs.ask(f"{path}/parameters/{name}", method="PUT", data=b"new")
    document = jobs.job(path)
    if name == "runid":
        assert (answer.status, document.value("runId")) == (303, "new")
    else:
        assert (answer.status, answer.label) == (400, "UsageError")
    assert document.value("phase") == "PENDING"
    assert len(list(document.xml.iter("{*}parameter"))) == 0


# ---------------------------------------------------------------------- by hypothesis

names = st.one_of(
    st.sampled_from(
        [
            "PHASE",
            "phase",
            "RUNID",
            "WAIT",
            "LAST",
            "AFTER",
            "ACTION",
            "DESTRUCTION",
            "EXECUTIONDURATION",
            "UPLOAD",
            "ID",
            "DATA",
        ]
    ),
    st.text(max_size=8),
)
values = st.one_of(
    st.sampled_from(
        [
            *Phase,
            "RUN",
            "ABORT",
            "DELETE",
            "-1",
            "0",
            "1",
            "2026-05-17T20:00:00Z",
            "a,param:b",
            "param:DATA",
            "param:../x",
            "param:",
        ]
    ),
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
)
pairs = st.lists(st.tuples(names, values), max_size=5)
resources = st.sampled_from(
    ["", "/phase", "/executionduration", "/destruction", "/quote", "/owner", "/error", "/parameters", "/parameters/ID",
     "/parameters/DATA", "/results", "/results/lines", "/files/0", "/nothing"]
)  # fmt: skip
patient = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def sane(answer: Answer) -> None:
    assert answer.status in (200, 204, 206, 303, 304) or 400 <= answer.status < 500, answer.text
    if answer.status >= 400 and answer.body:
        assert answer.label in LABELS, answer.text


def encoded(given_: list[tuple[str, str]]) -> str:
    return urlencode(given_, errors="surrogatepass")


@patient
@given(
    query=pairs, method=st.sampled_from(["GET", "HEAD", "OPTIONS"]), resource=resources, on_list=st.booleans()
)
def test_no_question_answers_500(
    jobs: JobServer, query: list[tuple[str, str]], method: str, resource: str, on_list: bool
) -> None:
    path = "" if on_list else a_job(jobs) + resource
    sane(jobs.ask(f"{path}?{encoded(query)}", method=method))


_kept: dict[int, str] = {}


def a_job(jobs: JobServer) -> str:
    """A job that some example may have deleted."""
    path = _kept.get(id(jobs))
    if path is None or jobs.ask(path).status != 200:
        path = _kept[id(jobs)] = jobs.create({"ID": "1"})
    return path


@patient
@given(
    query=pairs,
    body=pairs,
    method=st.sampled_from(["POST", "PUT", "DELETE", "PATCH"]),
    resource=resources,
    as_files=st.booleans(),
)
def test_no_change_answers_500(
    jobs: JobServer,
    query: list[tuple[str, str]],
    body: list[tuple[str, str]],
    method: str,
    resource: str,
    as_files: bool,
) -> None:
    path = a_job(jobs) + resource + "?" + encoded(query)
    sane(send(jobs, path, method, body, as_files))


def send(jobs: JobServer, path: str, method: str, body: list[tuple[str, str]], as_files: bool) -> Answer:
    if not as_files:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return jobs.ask(path, method=method, data=encoded(body).encode(), headers=form)
    plain = [(n, v) for n, v in body if (n + v).isprintable() and '"' not in n and n]
    fields: list[Any] = [
        (n, v) if number % 2 else (n, v.encode(), "f.csv", "text/csv") for number, (n, v) in enumerate(plain)
    ]
    content, headers = multipart(*fields)
    return jobs.ask(path, method=method, data=content, headers=headers)


@patient
@given(query=pairs, body=pairs, as_files=st.booleans())
def test_creating_answers_303_or_leaves_nothing(
    jobs: JobServer, query: list[tuple[str, str]], body: list[tuple[str, str]], as_files: bool
) -> None:
    # Nothing is run: what is left of a job that runs is another matter.
    body = [(n, v) for n, v in body if v != "RUN"]
    query = [(n, v) for n, v in query if v != "RUN"]
    objects = jobs.objects()
    answer = send(jobs, "?" + encoded(query), "POST", body, as_files)
    sane(answer)
    assert answer.status == 303 or (answer.status == 400 and jobs.objects() == objects)
    if answer.status == 303:
        path = answer.headers["Location"].removeprefix(f"{jobs.url}/soda/async")
        jobs.job(path)
        for one in jobs.ask(f"{path}/parameters").xml:
            if one.get("byReference") == "true":
                assert jobs.ask("/" + str(one.text).removeprefix(f"http://{jobs.host}")).status == 200
        assert jobs.ask(path, method="DELETE").status == 303
        assert jobs.objects() == objects


@patient
@given(
    content=st.binary(max_size=200),
    kind=st.sampled_from(
        [
            "multipart/form-data; boundary=b",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
            "application/json",
            "text/plain",
            "",
            "multipart/mixed; boundary=b",
        ]
    ),
)
def test_no_body_answers_500(jobs: JobServer, content: bytes, kind: str) -> None:
    objects = jobs.objects()
    answer = jobs.post("", content, headers={"Content-Type": kind})
    sane(answer)
    assert jobs.objects() == objects or answer.status == 303


@patient
@given(
    path=st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"), max_size=40
    )
)
def test_no_path_answers_500(jobs: JobServer, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        sane(jobs.ask("/" + path, method=method, data=b"" if method in ("POST", "PUT") else None))
