"""SODA jobs on images, from outside: combinations and lists in, cutouts, manifests and zips out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from pyvo.io.uws import parse_job
from small_tiles import CENTRE, STEP, Tile, lake_of_tiles, write_tiles

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.ingest import ingest

pytestmark = pytest.mark.embedded

Server = Any  # of this room's conftest

OVER = ("COMPLETED", "ERROR", "ABORTED", "ARCHIVED")
UPLOAD = [("UPLOAD", "targets,param:list")]
RA, DEC = CENTRE


@dataclass(frozen=True)
class Sky:
    """A lake with tiles and with alerts, and the name of its service's key."""

    lake: str
    homes: Path
    key: str = "k" * 40


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    root, lake = tmp_path_factory.mktemp("sky"), tmp_path_factory.mktemp("lake")
    lake_of_tiles(root, lake)
    paths = write_tiles(root / "spoiled", (Tile("gone", 6, 0),))
    assert not ingest_images(str(lake), "small", [str(root / "spoiled")], workers=1).failed
    for path in paths.values():
        path.unlink()
    write_demo_archive(str(root / "alerts"), objects=10, nights=2, seed=3, surveys=("ztf",))
    assert not ingest(str(lake), "ztf", [str(root / "alerts")], workers=1).failed
    return Sky(str(lake), tmp_path_factory.mktemp("homes"))


@pytest.fixture(scope="module")
def server(sky: Sky, server_of: type[Server]) -> Iterator[Server]:
    running = server_of(
        ["--lake", sky.lake, "--workers", "1"],
        {
            "SODALAKE_JOBS__HOMES": f"file://{sky.homes}/{{user}}",
            "SODALAKE_IDENTITY__KEY": sky.key,
            "SODALAKE_JOBS__UNIT": "5",
        },
    )
    yield running
    code = running.stop()
    log = "\n".join(running.log)
    assert code == 0, log
    for sign in ("Traceback", "unexpected", "never awaited", "never retrieved"):
        assert sign not in log, log


class JobClient:
    """What a script does with /soda/async."""

    def __init__(self, server: Server, token: str = "") -> None:
        self.server = server
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def post(self, path: str, parameters: Sequence[tuple[str, object]], content: bytes | None = None) -> Any:
        kind = "application/x-www-form-urlencoded"
        body = urlencode(parameters).encode()
        if content is not None:
            mark = uuid.uuid4().hex
            pieces = [
                f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                for name, value in parameters
            ]
            head = f'--{mark}\r\nContent-Disposition: form-data; name="list"; filename="list"\r\n\r\n'
            body = b"".join([*pieces, head.encode(), content, f"\r\n--{mark}--\r\n".encode()])
            kind = f"multipart/form-data; boundary={mark}"
        return self.server.ask(path, method="POST", body=body, headers={**self.headers, "Content-Type": kind})

    def get(self, path: str, **headers: str) -> Any:
        return self.server.ask(path, headers={**self.headers, **headers})

    def run(self, parameters: Sequence[tuple[str, object]], content: bytes | None = None) -> tuple[str, Any]:
        answer = self.post("/soda/async", [*parameters, ("PHASE", "RUN")], content)
        assert answer.status == 303, answer.text
        job = urlsplit(answer.headers["Location"]).path
        while True:
            document = parse_job(io.BytesIO(self.get(f"{job}?WAIT=20").body))
            if document.phase in OVER:
                return job, document

    def listed(self, text: str, *parameters: tuple[str, object]) -> list[dict[str, str]]:
        job, document = self.run([*UPLOAD, *parameters], text.encode())
        assert document.phase == "COMPLETED", document.errorsummary.message.content
        return self.manifest(job)

    def refused(self, parameters: Sequence[tuple[str, object]], content: bytes | None = None) -> str:
        job, document = self.run(parameters, content)
        assert document.phase == "ERROR"
        assert self.get(f"{job}/error").text
        return str(document.errorsummary.message.content)

    def manifest(self, job: str) -> list[dict[str, str]]:
        text = self.get(f"{job}/results/manifest.csv").text
        return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def client(server: Server) -> JobClient:
    return JobClient(server)


def did(image: str, survey: str = "small") -> str:
    return f"ivo://sodalake/{survey}?{quote(image, safe='')}"


def place(column: float, row: float) -> tuple[float, float]:
    """Return a position: (0, 0) is in the middle of tile ``se``, (1, 0) in that of ``sw``."""
    return RA - (column - 0.5) * STEP / float(np.cos(np.radians(DEC))), DEC + (row - 0.5) * STEP


def text(*rows: Sequence[object], columns: str = "id,ra,dec") -> str:
    return "\n".join([columns, *(",".join(map(str, row)) for row in rows)])


# ---------------------------------------------------------------------- combinations


def test_a_result_for_every_combination(client: JobClient) -> None:
    ra, dec = place(0, 0)
    job, document = client.run(
        [
            ("ID", did("se_g")), ("ID", did("se_r")),
            ("CIRCLE", f"{ra} {dec} 0.004"), ("POLYGON", f"{ra} {dec} {ra + 0.004} {dec} {ra} {dec + 0.004}"),
            ("POS", f"RANGE {ra - 0.002} {ra + 0.002} -Inf +Inf"),
            ("BAND", "4e-7 5e-7"), ("BAND", "5.6e-7"),
            ("TIME", "60000 60000.5"), ("TIME", "1 2"),
        ]
    )  # fmt: skip
    assert document.phase == "COMPLETED"
    rows = client.manifest(job)
    assert len(rows) == 2 * 3 * 2 * 2
    assert len([one for one in document.results if not one.id_.startswith("manifest")]) == len(rows)
    for row in rows:
        fits_band = ("4e-7" in row["id"]) == ("se_g" in row["id"])
        expected = "OK" if fits_band and "TIME 60000" in row["id"] else "NO_OVERLAP"
        assert row["status"] == expected
        got = client.get(f"{job}/results/{row['file']}")
        assert hashlib.sha256(got.body).hexdigest() == row["sha256"]
        if expected == "OK":
            with fits.open(io.BytesIO(got.body)) as file:
                assert file[0].header["IMAGEID"] == row["images"] == row["image"]
        else:
            assert got.headers["Content-Type"].startswith("text/plain")
            assert got.text.startswith("Error: ")
    assert sum(row["status"] == "OK" for row in rows) == 6


def test_all_polarizations_are_one_filter(client: JobClient) -> None:
    job, document = client.run([("ID", did("se_g")), ("POL", "I"), ("POL", "Q"), ("MOC", "0/4")])
    assert document.phase == "COMPLETED"
    (row,) = client.manifest(job)
    assert row["status"] == "NO_OVERLAP"


def test_a_combination_is_what_sync_answers(client: JobClient) -> None:
    ra, dec = place(1, 1)
    given = [("CIRCLE", f"{ra} {dec} 0.006"), ("RESPONSEFORMAT", "png"), ("STRETCH", "log"), ("SCALE", "2")]
    job, document = client.run([("ID", did("nw_r")), *given])
    assert document.phase == "COMPLETED"
    (row,) = client.manifest(job)
    at_once = client.server.ask("/soda/sync", [("ID", did("nw_r")), *given])
    assert at_once.status == 200
    assert client.get(f"{job}/results/{row['file']}").body == at_once.body


def test_a_combination_that_cannot_be_is_a_text(client: JobClient) -> None:
    ids = [did("se_g"), did("none"), "nonsense", did("x", "unknown"), "ivo://other/small?se_g", did("gone_g")]
    job, document = client.run([("ID", one) for one in ids])
    assert document.phase == "COMPLETED"
    rows = client.manifest(job)
    assert [row["status"] for row in rows] == ["OK", "NOT_FOUND", "ERROR", "NOT_FOUND", "NOT_FOUND", "ERROR"]
    for row in rows[1:]:
        assert client.get(f"{job}/results/{row['file']}").text.startswith(("UsageError: ", "Error: "))
        assert row["message"]
    assert "gone_g.fits" in rows[5]["message"]


def test_what_is_wrong_with_all_is_the_jobs_error(client: JobClient) -> None:
    one = ("ID", did("se_g"))
    assert "RESPONSEFORMAT" in client.refused([one, ("RESPONSEFORMAT", "tiff")])
    assert "sideways" in client.refused([one, ("RESPONSEFORMAT", "png"), ("STRETCH", "sideways")])
    assert "plane" in client.refused([one, ("PLANES", "depth")])
    assert "combinations" in client.refused(
        [one, *(("CIRCLE", f"{n} 1 1") for n in range(1, 200)), *(("TIME", n) for n in range(200))]
    )


def test_alerts_and_images_are_jobs_of_their_own(client: JobClient) -> None:
    message = client.refused([("ID", did("se_g")), ("ID", "ivo://sodalake/ztf?1/science")])
    assert "ztf" in message
    assert "small" in message
    both = f"did\n{did('se_g')}\nivo://sodalake/ztf?1/science\n"
    assert "one job for each" in client.refused(UPLOAD, both.encode())
    assert "one job for each" in client.refused(
        [*UPLOAD, ("SURVEY", "ztf")], b"survey,ra,dec\nsmall,1,2\n,3,4\n"
    )
    assert "SURVEY" in client.refused(UPLOAD, b"ra,dec\n1,2\n")
    assert "no survey 'moon'" in client.refused([*UPLOAD, ("SURVEY", "moon")], b"ra,dec\n1,2\n")


# ---------------------------------------------------------------------- lists


def test_a_list_of_places_as_a_zip(client: JobClient) -> None:
    spots = [place(0.11 * n, 0.07 * n) for n in range(14)]
    rows = [(f"star {n}", *spot) for n, spot in enumerate(spots)]
    job, document = client.run(
        [*UPLOAD, ("SURVEY", "small"), ("SIZE", "25px"), ("BANDS", "g")], text(*rows).encode()
    )
    assert document.phase == "COMPLETED"
    assert [one.id_ for one in document.results] == [
        "manifest.csv",
        "manifest.json",
        "manifest.vot",
        "cutouts.zip",
    ]
    told = client.manifest(job)
    assert [row["id"] for row in told] == [f"star {n}" for n in range(14)]
    assert {row["status"] for row in told} == {"OK"}
    got = client.get(f"{job}/results/cutouts.zip")
    with zipfile.ZipFile(io.BytesIO(got.body)) as bundle:
        assert bundle.testzip() is None
        for row, (ra, dec) in zip(told, spots, strict=True):
            body = bundle.read(row["file"])
            assert hashlib.sha256(body).hexdigest() == row["sha256"]
            asked = {"survey": "small", "ra": ra, "dec": dec, "size": "25px", "bands": "g"}
            at_once = client.server.ask("/api/v1/images/cutout", asked)
            assert at_once.body == body
            assert at_once.headers["X-Sodalake-Covered"] == f"{float(row['covered']):.4g}"
    named = client.get(f"{job}/files/{told[3]['file']}")
    assert hashlib.sha256(named.body).hexdigest() == told[3]["sha256"]


def test_rows_have_their_own_parameters(client: JobClient) -> None:
    ra, dec = place(0.5, 0.5)
    rows = [
        {"id": "coadd", "ra": ra, "dec": dec, "ALGORITHM": "coadd"},
        {"id": "picture", "ra": ra, "dec": dec, "format": "png", "bands": "r"},
        {"id": "large", "ra": ra, "dec": dec, "size": "1arcmin"},
        {"id": "outside", "ra": 10, "dec": 10},
        {"id": "band", "ra": ra, "dec": dec, "bands": "z"},
        {"id": "size", "ra": ra, "dec": dec, "size": "-3"},
        {"id": "algorithm", "ra": ra, "dec": dec, "algorithm": "magic"},
        {"id": "region", "ra": ra, "dec": dec, "circle": "1 2 3"},
        {"id": "image", "obs_publisher_did": did("ne_r"), "circle": f"{ra} {dec + 0.01} 0.002"},
        {"id": "around", "obs_publisher_did": did("ne_r"), "ra": ra, "dec": dec, "size": "10arcsec"},
        {"id": "broken", "ra": place(6, 0)[0], "dec": dec},
        {"id": "huge", "ra": ra, "dec": dec, "size": "1e9"},
        {"id": "wide", "ra": ra, "dec": dec, "size": "20"},
    ]
    found = client.listed(json.dumps(rows), ("SURVEY", "small"), ("SIZE", "20arcsec"), ("BANDS", "g"))
    assert [(row["id"], row["status"]) for row in found] == [
        ("coadd", "OK"), ("picture", "OK"), ("large", "OK"), ("outside", "NOT_FOUND"), ("band", "ERROR"),
        ("size", "ERROR"), ("algorithm", "ERROR"), ("region", "ERROR"), ("image", "OK"), ("around", "OK"),
        ("broken", "ERROR"), ("huge", "ERROR"), ("wide", "ERROR"),
    ]  # fmt: skip
    assert sorted(found[0]["images"].split()) == ["ne_g", "nw_g", "se_g", "sw_g"]
    assert len(found[0]["archive_file"].split()) == 4
    assert found[1]["file"].endswith(".png")
    assert int(found[2]["bytes"]) > int(found[8]["bytes"])
    for row, word in zip(found[4:8], ("'z'", "'-3'", "magic", "CIRCLE"), strict=True):
        assert word in row["message"]
    assert "gone" in found[10]["message"]
    assert "10 at most" in found[12]["message"]
    assert found[8]["image"] == "ne_r"


def test_a_colour_picture_of_every_place(client: JobClient) -> None:
    rows = [(n, *place(0.2 * n, 0)) for n in range(4)]
    found = client.listed(
        text(*rows), ("SURVEY", "small"), ("SIZE", "40px"), ("RESPONSEFORMAT", "jpeg"), ("BANDS", "g")
    )
    assert {row["status"] for row in found} == {"OK"}
    assert {row["file"].rpartition(".")[2] for row in found} == {"jpg"}


@pytest.mark.parametrize(
    ("parameters", "content", "word"),
    [
        ([("SURVEY", "small")], "ra,dec\n1,2\n", "SIZE"),
        ([("SURVEY", "small"), ("SIZE", "0")], "ra,dec\n1,2\n", "SIZE"),
        ([("SURVEY", "small"), ("SIZE", "nan")], "ra,dec\n1,2\n", "SIZE"),
        ([("SURVEY", "small"), ("ALGORITHM", "magic")], "ra,dec,size\n1,2,1arcmin\n", "magic"),
        ([("SURVEY", "small"), ("SIZE", "1arcmin"), ("BANDS", "z")], "ra,dec\n1,2\n", "'z'"),
        ([("SURVEY", "small"), ("SIZE", "1arcmin"), ("RESPONSEFORMAT", "parquet")], "ra,dec\n1,2\n", "zip"),
        ([("SURVEY", "small"), ("SIZE", "1arcmin"), ("RESPONSEFORMAT", "tiff")], "ra,dec\n1,2\n", "tiff"),
        ([("SURVEY", "small"), ("SIZE", "1arcmin")], "name\nx\n", "No column"),
        ([("SURVEY", "small"), ("SIZE", "1arcmin")], "ra,ra\n1,2\n", "two columns"),
    ],
)
def test_what_is_wrong_with_every_row_is_the_jobs_error(
    client: JobClient, parameters: list[tuple[str, str]], content: str, word: str
) -> None:
    assert word in client.refused([*UPLOAD, *parameters], content.encode())


def test_a_folder_of_the_users_own(server: Server, sky: Sky) -> None:
    anna = JobClient(server, token("anna", sky.key))
    rows = [(f"s{n}", *place(0.1 * n, 0)) for n in range(6)]
    found = anna.listed(
        text(*rows), ("SURVEY", "small"), ("SIZE", "20px"), ("BANDS", "r"), ("FOLDER", "cuts")
    )
    for row in found:
        assert (
            hashlib.sha256((sky.homes / "anna/cuts" / row["file"]).read_bytes()).hexdigest() == row["sha256"]
        )
    assert (sky.homes / "anna/cuts/manifest.vot").exists()


def token(name: str, key: str) -> str:
    from click.testing import CliRunner

    from sodalake.server.cli import main

    made = CliRunner().invoke(main, ["token", name], env={"SODALAKE_IDENTITY__KEY": key})
    assert made.exit_code == 0, made.output
    return made.output.strip()


# ---------------------------------------------------------------------- estimates


def test_an_estimate_before_the_work(client: JobClient) -> None:
    rows = text(*((n, *place(0.01 * n, 0)) for n in range(50)))
    given = [*UPLOAD, ("SURVEY", "small"), ("SIZE", "20px")]
    told = json.loads(client.post("/soda/estimate", given, rows.encode()).body)
    assert told["targets"] == 50
    assert told["seconds"] > 0
    assert told["bytes"] > 0
    before = told["based_on"]
    client.listed(rows, ("SURVEY", "small"), ("SIZE", "20px"))
    fewer = rows.rpartition("\n")[
        0
    ].encode()  # another question: the same one has the same answer for a second
    again: Mapping[str, Any] = json.loads(client.post("/soda/estimate", given, fewer).body)
    assert again["based_on"] == before + 1
    other = [*UPLOAD, ("SURVEY", "small"), ("SIZE", "2arcmin"), ("ALGORITHM", "coadd")]
    assert json.loads(client.post("/soda/estimate", other, rows.encode()).body)["based_on"] == 0
    wrong = client.post("/soda/estimate", [*UPLOAD, ("SURVEY", "small")], rows.encode())
    assert wrong.status == 400
    assert "SIZE" in wrong.text


# ---------------------------------------------------------------------- what dies meanwhile


def test_a_job_goes_on_from_what_is_finished_when_the_server_died(
    sky: Sky, server_of: type[Server], tmp_path: Path
) -> None:
    own = {
        "SODALAKE_JOBS__STORE": f"sqlite://{tmp_path}/jobs.sqlite",
        "SODALAKE_JOBS__RESULTS": f"file://{tmp_path}/results",
        "SODALAKE_JOBS__UNIT": "3",
    }
    first = server_of(["--lake", sky.lake, "--workers", "1"], own)
    rows = text(*((n, *place(0.5, 0.01 * n)) for n in range(36)))
    given = [
        ("SURVEY", "small"),
        ("SIZE", "150px"),
        ("ALGORITHM", "coadd"),
        ("METHOD", "exact"),
        ("BANDS", "g"),
    ]
    try:
        client = JobClient(first)
        answer = client.post("/soda/async", [*UPLOAD, *given, ("PHASE", "RUN")], rows.encode())
        job = urlsplit(answer.headers["Location"]).path
        while not (before := progress(client, job)):
            assert client.get(f"{job}/phase").text.strip() in ("QUEUED", "EXECUTING")
        first.process.kill()
        assert before < 100
    finally:
        first.stop()
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("part-*")}
    assert parts
    second = server_of(["--lake", sky.lake, "--workers", "1"], own)
    try:
        client = JobClient(second)
        assert progress(client, job) >= before
        while client.get(f"{job}?WAIT=20&PHASE=EXECUTING").text.find("COMPLETED") < 0:
            assert client.get(f"{job}/phase").text.strip() in ("QUEUED", "EXECUTING", "COMPLETED")
        told = client.manifest(job)
        assert [(row["id"], row["status"]) for row in told] == [(str(n), "OK") for n in range(36)]
        with zipfile.ZipFile(io.BytesIO(client.get(f"{job}/results/cutouts.zip").body)) as bundle:
            assert bundle.testzip() is None
            assert all(hashlib.sha256(bundle.read(row["file"])).hexdigest() == row["sha256"] for row in told)
    finally:
        assert second.stop() == 0
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("part-*")}
    assert any(kept.get(name) == written for name, written in parts.items())


def progress(client: JobClient, job: str) -> float:
    """Return how much of a job is done, per cent; 0 before it is planned."""
    found = re.search(r"<percent>([0-9.]+)", client.get(job).text)
    return float(found[1]) if found else 0.0
