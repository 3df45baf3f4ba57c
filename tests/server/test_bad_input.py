"""Bad input: each a clear error with the right status and label, and the server alive after it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.embedded
Did = Callable[..., str]
LABELS = {
    "Error",
    "AuthenticationError",
    "AuthorizationError",
    "ServiceUnavailable",
    "UsageError",
    "MultiValuedParamNotSupported",
}


@pytest.fixture(autouse=True)
def alive_afterwards(server: Any) -> Iterator[None]:
    yield
    assert server.alive()


@pytest.mark.parametrize(
    ("parameters", "status", "label"),
    [
        ([], 400, "UsageError"),
        ([("ID", "")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?1/science")], 404, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?99999999999999999999/science")], 404, "UsageError"),
        ([("ID", "ivo://sodalake/none?1/science")], 404, "UsageError"),
        ([("ID", "ivo://elsewhere.org/ztf?1/science")], 404, "UsageError"),
        ([("ID", "ztf/1/science")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?1/sience")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?1/science/more")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?abc/science")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?" + "9" * 3000)], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?%00/science")], 400, "UsageError"),
        ([("ID", "ivo://sodalake/ztf?%zz/science")], 400, "UsageError"),
        ([("ID", "{did}"), ("ID", "{did}")], 400, "MultiValuedParamNotSupported"),
        ([("ID", "{did}"), ("id", "{did}")], 400, "MultiValuedParamNotSupported"),
        ([("ID", "{did}"), ("KIND", "template")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "image/gif")], 400, "UsageError"),
        (
            [("ID", "{did}"), ("RESPONSEFORMAT", "fits"), ("RESPONSEFORMAT", "png")],
            400,
            "MultiValuedParamNotSupported",
        ),
        ([("ID", "{rubin}"), ("CIRCLE", "1 2 3"), ("CIRCLE", "1 2 4")], 400, "MultiValuedParamNotSupported"),
        (
            [("ID", "{rubin}"), ("CIRCLE", "1 2 3"), ("POLYGON", "1 1 2 2 3 1")],
            400,
            "MultiValuedParamNotSupported",
        ),
        ([("ID", "{rubin}"), ("CIRCLE", "1 2")], 400, "UsageError"),
        ([("ID", "{rubin}"), ("CIRCLE", "1 2 -3")], 400, "UsageError"),
        ([("ID", "{rubin}"), ("CIRCLE", "NaN 2 3")], 400, "UsageError"),
        ([("ID", "{rubin}"), ("CIRCLE", "one two three")], 400, "UsageError"),
        ([("ID", "{rubin}"), ("POLYGON", "1 1 2 2")], 400, "UsageError"),
        ([("ID", "{rubin}"), ("POS", "BOX 1 2 3 4")], 400, "UsageError"),
        ([("ID", "{rubin}"), ("POS", "RANGE 1 2 3")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("STRETCH", "curvy")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("PMIN", "-1")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("PMAX", "1e400")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("SCALE", "0")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("SCALE", "100000")], 400, "UsageError"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("COLORMAP", "../x")], 400, "UsageError"),
    ],
    ids=str,
)
def test_soda_parameters(
    server: Any, archive: Any, make_did: Did, parameters: list[tuple[str, str]], status: int, label: str
) -> None:
    names = {
        "did": make_did(archive.one("ztf"), "science"),
        "rubin": make_did(archive.one("lsst"), "science"),
    }
    filled = [
        (name, value.replace("{did}", names["did"]).replace("{rubin}", names["rubin"]))
        for name, value in parameters
    ]
    answer = server.ask("/soda/sync", filled)
    assert (answer.status, answer.label) == (status, label)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "query", ["ID=%zz", "ID=%", "ID=%f", "ID=%ff%fe", "%zz=1", "ID=ivo://sodalake/ztf%3F1%2Fscience&x=%e2%28"]
)
def test_what_is_not_percent_encoded_utf8(server: Any, query: str) -> None:
    answer = server.ask(f"/soda/sync?{query}")
    assert (answer.status, answer.label) == (400, "UsageError")


@pytest.mark.parametrize(
    ("which", "status", "label"),
    [("corrupt", 502, "Error"), ("truncated", 502, "Error"), ("gone", 410, "Error")],
)
def test_an_archive_that_is_damaged(
    server: Any, archive: Any, make_did: Did, which: str, status: int, label: str
) -> None:
    for more in ({}, {"RESPONSEFORMAT": "png"}, {"RESPONSEFORMAT": "json"}, {"RESPONSEFORMAT": "arrow"}):
        answer = server.soda(make_did(getattr(archive, which), "science"), **more)
        assert (answer.status, answer.label) == (status, label), more


def test_the_other_stamps_of_a_damaged_file_are_served(server: Any, archive: Any, make_did: Did) -> None:
    assert server.soda(make_did(archive.corrupt, "template")).status == 200
    assert server.soda(make_did(archive.truncated, "template")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"objectId": ["a"]}',
        b'{"objectId": {"a": 1}}',
        b'{"objectId": "a", "OBJECTID": "b"}',
        b'{"objectId": "a", "objectId": "b"}',
        b'{"kind": "Science", "candid": 1e5}',
        b'{"kind": "Science", "candid": ' + b"9" * 100_000 + b"}",
        b'{"kind": "Science", "candid": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe\x00",
        b"\x00" * 100,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_no_json_object(server: Any, body: bytes) -> None:
    answer = server.ask(
        "/api/v1/cutouts", method="POST", body=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400
    assert answer.label in ("UsageError", "MultiValuedParamNotSupported")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--y\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nnothing\r\n--x--"),
        ("application/x-www-form-urlencoded", b"ID=%ff"),
        ("application/x-www-form-urlencoded", b"a=1&" * 20_000),
    ],
)
def test_a_form_that_is_none(server: Any, kind: str, body: bytes) -> None:
    answer = server.ask("/soda/sync", method="POST", body=body, headers={"Content-Type": kind})
    assert (answer.status, answer.label) == (400, "UsageError")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
def test_a_method_that_is_not_answered(server: Any, method: str) -> None:
    answer = server.ask("/soda/sync", method=method)
    assert (answer.status, answer.label) == (405, "UsageError")
    assert "GET" in answer.headers["Allow"]


# ---------------------------------------------------------------------- sizes and broken HTTP


def raw(server: Any, *pieces: bytes) -> bytes:
    """Send bytes as they are and return all that comes back; a server that stops listening is no error."""
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = b""
        while piece := connection.recv(65_536):
            got += piece
            head, _, body = got.partition(b"\r\n\r\n")
            if b"Content-Length: " in head and len(body) >= int(
                head.partition(b"Content-Length: ")[2].split(b"\r")[0]
            ):
                break
        return got


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    assert b": " in answer.partition(b"\r\n\r\n")[2], "a sentence says why"
    return int(answer.split(b" ", 2)[1])


def test_a_hundred_megabytes_of_query_string(server: Any) -> None:
    began = time.monotonic()
    megabyte = b"x" * 1_000_000
    answer = raw(server, b"GET /soda/sync?ID=", *([megabyte] * 100), b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status_of(answer) in (414, 431)
    assert time.monotonic() - began < 60


def test_a_url_that_is_too_long(server: Any) -> None:
    answer = raw(server, b"GET /soda/sync?ID=" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status_of(answer) == 414
    assert b"UsageError: " in answer


def test_headers_that_are_too_long(server: Any) -> None:
    answer = raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
    assert status_of(answer) == 431


def test_a_body_that_is_too_long(server: Any) -> None:
    head = b"POST /api/v1/cutouts HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
    answer = raw(server, head, *([b"x" * 1_000_000] * 100))
    assert status_of(answer) == 413
    assert b'"label": "UsageError"' in answer


def test_a_chunked_body_that_is_too_long(server: Any) -> None:
    head = b"POST /soda/sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    assert status_of(raw(server, head, *([chunk] * 40), b"0\r\n\r\n")) == 400


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"POST /soda/sync HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /soda/sync HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /soda/sync HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /soda/sync?" + b"&".join(b"a%d=1" % n for n in range(4000)) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda request: repr(request[:40]),
)
def test_what_is_no_http(server: Any, request_: bytes) -> None:
    assert status_of(raw(server, request_)) in (400, 413, 414, 431)


# ---------------------------------------------------------------------- properties

words = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "science",
            "Science",
            "All",
            "png",
            "fits",
            "true",
            "1",
            "nan",
            "-1",
            "1 2 3",
            "ivo://sodalake/ztf?1",
        ]
    ),
    st.floats().map(str),
    st.integers().map(str),
)
soda_names = st.sampled_from(
    ["ID", "id", "CIRCLE", "POLYGON", "POS", "KIND", "RESPONSEFORMAT", "STRETCH", "PMIN", "PMAX", "COLORMAP", "SCALE",
     "MAXREC", "RUNID", "BAND", "TIME", "POL", "MOC", "PLANES", "anything"]
)  # fmt: skip
rest_names = st.sampled_from(
    ["objectId", "candid", "kind", "output-format", "stretch", "colormap", "pmin", "pmax", "convolution_kernel",
     "all", "hdfsPath", "return_type", "diaSourceId", "anything"]
)  # fmt: skip
patient = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def sane(answer: Any) -> None:
    assert answer.status in (200, 204) or 400 <= answer.status < 500, answer.text
    if answer.status >= 400:
        assert answer.label in LABELS


@patient
@given(parameters=st.lists(st.tuples(soda_names, words), max_size=6), with_id=st.booleans())
def test_no_parameters_of_soda_answer_500(
    server: Any, archive: Any, make_did: Did, parameters: list[tuple[str, str]], with_id: bool
) -> None:
    given_id = [("ID", make_did(archive.one("lsst")))] if with_id else []
    encoded = urlencode([*given_id, *parameters], errors="surrogatepass")
    sane(server.ask(f"/soda/sync?{encoded}"))


@patient
@given(parameters=st.lists(st.tuples(rest_names, words), max_size=6), with_id=st.booleans())
def test_no_parameters_of_the_cutout_api_answer_500(
    server: Any, archive: Any, parameters: list[tuple[str, str]], with_id: bool
) -> None:
    given_id = [("objectId", archive.busiest("ztf")), ("kind", "Science")] if with_id else []
    encoded = urlencode([*given_id, *parameters], errors="surrogatepass")
    sane(server.ask(f"/api/v1/cutouts?{encoded}"))


@patient
@given(
    path=st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"), max_size=60
    )
)
def test_no_path_answers_500(server: Any, path: str) -> None:
    sane(server.ask("/" + path))
