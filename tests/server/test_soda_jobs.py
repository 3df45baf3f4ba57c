"""SODA, asynchronous, from outside: combinations and lists in, results, manifests and containers out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse as parse_votable
from pyvo.io.uws import parse_job

pytestmark = pytest.mark.embedded

Alert = Archive = Server = Any  # of this room's conftest

OVER = ("COMPLETED", "ERROR", "ABORTED", "ARCHIVED")


class JobClient:
    """What a script does with /soda/async."""

    def __init__(self, server: Server, token: str = "") -> None:
        self.server = server
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(
        self,
        parameters: Sequence[tuple[str, object]],
        files: Mapping[str, tuple[str, str, bytes]] | None = None,
        path: str = "/soda/async",
    ) -> str:
        """Create a job and return its path."""
        answer = self.post(path, parameters, files)
        assert answer.status == 303, answer.text
        return urlsplit(answer.headers["Location"]).path

    def post(
        self,
        path: str,
        parameters: Sequence[tuple[str, object]],
        files: Mapping[str, tuple[str, str, bytes]] | None = None,
    ):
        if not files:
            body, kind = urlencode(parameters).encode(), "application/x-www-form-urlencoded"
        else:
            mark = uuid.uuid4().hex
            pieces = [
                f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                for name, value in parameters
            ]
            for name, (filename, content_type, content) in files.items():
                head = (
                    f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
                    f"Content-Type: {content_type}\r\n\r\n"
                )
                pieces.append(head.encode() + content + b"\r\n")
            body = b"".join(pieces) + f"--{mark}--\r\n".encode()
            kind = f"multipart/form-data; boundary={mark}"
        return self.server.ask(path, method="POST", body=body, headers={**self.headers, "Content-Type": kind})

    def get(self, path: str, **headers: str):
        return self.server.ask(path, headers={**self.headers, **headers})

    def ended(self, job: str):
        """Wait for a job's end, as pyvo does, and return its document."""
        while True:
            document = parse_job(io.BytesIO(self.get(f"{job}?WAIT=20").body))
            if document.phase in OVER:
                return document

    def run(self, parameters, files=None):
        job = self.send([*parameters, ("PHASE", "RUN")], files)
        return job, self.ended(job)

    def manifest(self, job: str) -> list[dict[str, str]]:
        text = self.get(f"{job}/results/manifest.csv").text
        return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def client(server: Server) -> JobClient:
    return JobClient(server)


def listed(document) -> dict[str, str]:
    return {result.id_: result.href for result in document.results}


def targets(alerts: Sequence[Alert]) -> bytes:
    lines = ["id,candid", *(f"star {number},{alert.alert_id}" for number, alert in enumerate(alerts))]
    return "\r\n".join(lines).encode()


def whole(archive: Archive, count: int, survey: str = "ztf") -> list[Alert]:
    return [alert for alert in archive.alerts[survey] if all(alert.stamps.values())][:count]


def upload(content: bytes, name: str = "targets.csv", kind: str = "text/csv"):
    return {"list": (name, kind, content)}


UPLOAD = [("UPLOAD", "targets,param:list")]


# ---------------------------------------------------------------------- combinations


def test_a_result_for_every_combination(
    client: JobClient, archive: Archive, make_did: Callable[..., str]
) -> None:
    alert = archive.one("lsst")
    ids = [("ID", make_did(alert, kind)) for kind in ("science", "template")]
    position = centre(alert)
    circles = [("CIRCLE", f"{position} {radius}") for radius in (0.002, 0.004)]
    job, document = client.run([*ids, *circles])
    assert document.phase == "COMPLETED"
    products = [name for name in listed(document) if not name.startswith("manifest")]
    assert len(products) == 4
    rows = client.manifest(job)
    assert [row["status"] for row in rows] == ["OK"] * 4
    for row in rows:
        got = client.get(f"{job}/results/{row['file']}")
        assert got.status == 200
        assert hashlib.sha256(got.body).hexdigest() == row["sha256"]
        assert len(got.body) == int(row["bytes"])
        url = urljoin(f"{client.server.url}{job}/results/manifest.csv", row["url"])
        assert client.get(urlsplit(url).path).body == got.body
        with fits.open(io.BytesIO(got.body)) as file:
            assert min(file[0].shape) > 1


def centre(alert: Alert) -> str:
    """Return the position of a Rubin alert."""
    for row in pq.read_table(alert.path).to_pylist():
        if str(row["diaSourceId"]) == alert.alert_id:
            return f"{row['diaSource']['ra']} {row['diaSource']['dec']}"
    raise AssertionError(alert)


def test_a_combination_that_cannot_be_is_a_text(
    client: JobClient, archive: Archive, make_did: Callable[..., str]
) -> None:
    good = make_did(archive.one("ztf"), "science")
    ids = [
        good,
        make_did("1", "science"),
        "nonsense",
        make_did(archive.truncated, "science"),
        "ivo://other/x?1",
    ]
    job, document = client.run([("ID", one) for one in ids])
    assert document.phase == "COMPLETED"
    rows = client.manifest(job)
    assert [row["status"] for row in rows] == ["OK", "NOT_FOUND", "ERROR", "ERROR", "NOT_FOUND"]
    assert [row["id"] for row in rows] == ids
    for row in rows[1:]:
        got = client.get(f"{job}/results/{row['file']}")
        assert got.headers["Content-Type"].startswith("text/plain")
        assert got.text.startswith(("UsageError: ", "Error: "))
        assert row["message"]


def test_no_overlap_is_told_in_the_result(
    client: JobClient, archive: Archive, make_did: Callable[..., str]
) -> None:
    job, document = client.run([("ID", make_did(archive.one("lsst"), "science")), ("CIRCLE", "10 89 0.001")])
    assert document.phase == "COMPLETED"
    (row,) = client.manifest(job)
    assert row["status"] == "NO_OVERLAP"


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ([], "ID"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "tiff")], "RESPONSEFORMAT"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("STRETCH", "sideways")], "sideways"),
        ([("ID", "{did}"), ("RESPONSEFORMAT", "png"), ("RESPONSEFORMAT", "fits")], "2 times"),
        ([("ID", "{did}"), ("UPLOAD", "targets,http://example.org/list.csv")], "UPLOAD"),
    ],
)
def test_what_is_wrong_with_all_is_the_jobs_error(
    client: JobClient,
    archive: Archive,
    make_did: Callable[..., str],
    parameters: list[tuple[str, str]],
    word: str,
) -> None:
    did = make_did(archive.one("ztf"), "science")
    job, document = client.run([(name, value.replace("{did}", did)) for name, value in parameters])
    assert document.phase == "ERROR"
    assert word in str(document.errorsummary.message.content)
    assert word in client.get(f"{job}/error").text


def test_pictures_and_arrays(client: JobClient, archive: Archive, make_did: Callable[..., str]) -> None:
    did = make_did(archive.one("lsst"), "science")
    for form, begins in (("png", b"\x89PNG"), ("json", b"{"), ("arrow", b"\xff\xff\xff\xff")):
        job, document = client.run([("ID", did), ("RESPONSEFORMAT", form)])
        assert document.phase == "COMPLETED"
        (row,) = client.manifest(job)
        assert client.get(f"{job}/results/{row['file']}").body.startswith(begins)


# ---------------------------------------------------------------------- lists


def test_a_list_as_a_zip_and_one_by_one(client: JobClient, archive: Archive) -> None:
    alerts = whole(archive, 12)
    job, document = client.run([*UPLOAD, ("KIND", "science")], upload(targets([*alerts, alerts[0]])))
    assert document.phase == "COMPLETED"
    assert list(listed(document)) == ["manifest.csv", "manifest.json", "manifest.vot", "stamps.zip"]
    rows = client.manifest(job)
    assert [row["id"] for row in rows] == [f"star {number}" for number in range(13)]
    assert [row["alert"] for row in rows] == [alert.alert_id for alert in [*alerts, alerts[0]]]
    head = client.server.ask(f"{job}/results/stamps.zip", method="HEAD")
    got = client.get(f"{job}/results/stamps.zip")
    assert int(head.headers["Content-Length"]) == len(got.body)
    with zipfile.ZipFile(io.BytesIO(got.body)) as archived:
        assert archived.testzip() is None
        for row in rows:
            content = archived.read(row["file"])
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert {row["file"] for row in rows} < set(archived.namelist())
    url = urljoin(f"{client.server.url}{job}/results/manifest.csv", rows[5]["url"])
    assert hashlib.sha256(client.get(urlsplit(url).path).body).hexdigest() == rows[5]["sha256"]
    part = client.get(f"{job}/results/stamps.zip", Range="bytes=100-299")
    assert part.status == 206
    assert part.body == got.body[100:300]


def test_the_manifests_agree(client: JobClient, archive: Archive, tmp_path: Path) -> None:
    alerts = whole(archive, 3)
    listed_ids = targets(alerts) + b"\r\nlost,12345\r\nodd,x12\r\n"
    job, document = client.run(UPLOAD, upload(listed_ids))
    assert document.phase == "COMPLETED"
    rows = client.manifest(job)
    assert [row["status"] for row in rows] == ["OK", "OK", "OK", "NOT_FOUND", "ERROR"]
    as_json = json.loads(client.get(f"{job}/results/manifest.json").body)
    assert [str(row["id"]) for row in as_json] == [row["id"] for row in rows]
    assert as_json[0]["alert"] == alerts[0].alert_id
    file = tmp_path / "manifest.vot"
    file.write_bytes(client.get(f"{job}/results/manifest.vot").body)
    table = parse_votable(file).get_first_table().to_table()
    assert [str(value) for value in table["sha256"]] == [row["sha256"] for row in rows]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_list_as_a_table(client: JobClient, archive: Archive, form: str) -> None:
    alerts = whole(archive, 9, "lsst")
    lines = ["id\tdiaSourceId", *(f"o{n}\t{alert.alert_id}" for n, alert in enumerate(alerts))]
    job, document = client.run(
        [*UPLOAD, ("RESPONSEFORMAT", form)],
        upload("\n".join(lines).encode(), "targets.tsv", "text/tab-separated-values"),
    )
    assert document.phase == "COMPLETED"
    name = {"arrow": "stamps.arrows", "parquet": "stamps.parquet"}[form]
    content = io.BytesIO(client.get(f"{job}/results/{name}").body)
    table = pa.ipc.open_stream(content).read_all() if form == "arrow" else pq.read_table(content)
    assert table.num_rows == 27
    assert set(table["id"].to_pylist()) == {f"o{n}" for n in range(9)}
    assert {row["file"] for row in client.manifest(job)} == {name}


def test_rows_have_their_own_parameters(client: JobClient, archive: Archive) -> None:
    one, two = whole(archive, 2, "lsst")
    rows = [
        {"id": "a", "diaSourceId": one.alert_id, "KIND": "template", "RESPONSEFORMAT": "png"},
        {"id": "b", "diaSourceId": two.alert_id, "CIRCLE": "10 89 0.001"},
        {"id": "c", "diaSourceId": two.alert_id, "CIRCLE": "ten"},
    ]
    job, document = client.run(
        [*UPLOAD, ("KIND", "science")],
        upload(json.dumps(rows).encode(), "targets.json", "application/json"),
    )
    assert document.phase == "COMPLETED"
    first, second, third = client.manifest(job)
    assert first["file"].endswith(".png")
    assert (first["status"], second["status"], third["status"]) == ("OK", "NO_OVERLAP", "ERROR")


def test_positions_find_the_newest_alert(client: JobClient, archive: Archive) -> None:
    table = pq.read_table(archive.one("ztf").path)
    row = next(r for r in table.to_pylist() if (r["cutoutScience"] or {}).get("stampData"))
    place = row["candidate"]
    lines = f"id,ra,dec\nhere,{place['ra']},{place['dec']}\nnowhere,10.0,-89.0\n"
    job, document = client.run([*UPLOAD, ("SURVEY", "ztf"), ("KIND", "science")], upload(lines.encode()))
    assert document.phase == "COMPLETED"
    here, nowhere = client.manifest(job)
    assert here["status"] == "OK"
    assert here["object"] == row["objectId"]
    assert nowhere["status"] == "NOT_FOUND"
    assert float(here["ra"]) == pytest.approx(place["ra"])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"id,candid\n", "no rows"),
        (b"a,b\n1,2\n", "candid"),
        (b"candid,candid\n1,2\n", "two columns"),
        (b"\xff\xfe\xfa", "UTF"),
        (b"[1, 2", "JSON"),
    ],
)
def test_lists_that_cannot_be_read(client: JobClient, content: bytes, word: str) -> None:
    kind = "application/json" if content.startswith(b"[") else "text/csv"
    _, document = client.run(UPLOAD, upload(content, "targets", kind))
    assert document.phase == "ERROR"
    assert word in str(document.errorsummary.message.content)


def test_a_folder_of_the_users_own(
    new_server: Callable[..., Server], archive: Archive, tmp_path: Path
) -> None:
    key = "k" * 40
    server = new_server(SODALAKE_JOBS__HOMES=f"file://{tmp_path}/homes/{{user}}", SODALAKE_IDENTITY__KEY=key)
    anna = JobClient(server, token("anna", key))
    alerts = whole(archive, 4)
    job, document = anna.run([*UPLOAD, ("FOLDER", "my-cuts"), ("KIND", "science")], upload(targets(alerts)))
    assert document.phase == "COMPLETED"
    folder = tmp_path / "homes/anna/my-cuts"
    for row in anna.manifest(job):
        assert hashlib.sha256((folder / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert (folder / "manifest.csv").exists()
    for bad in ("../bert", "/etc", "a/../../bert"):
        _, refused = anna.run([*UPLOAD, ("FOLDER", bad)], upload(targets(alerts)))
        assert refused.phase == "ERROR"
    assert [path.name for path in (tmp_path / "homes").iterdir()] == ["anna"]
    _, nobody = JobClient(server).run([*UPLOAD, ("FOLDER", "x")], upload(targets(alerts)))
    assert nobody.phase == "ERROR"
    assert "token" in str(nobody.errorsummary.message.content)


def token(name: str, key: str) -> str:
    from click.testing import CliRunner

    from sodalake.server.cli import main

    made = CliRunner().invoke(main, ["token", name], env={"SODALAKE_IDENTITY__KEY": key})
    assert made.exit_code == 0, made.output
    return made.output.strip()


# ---------------------------------------------------------------------- owners, limits, estimates


def test_owners_see_their_own(new_server: Callable[..., Server], archive: Archive, make_did) -> None:
    key = "k" * 40
    server = new_server(SODALAKE_IDENTITY__KEY=key, SODALAKE_JOBS__ACTIVE="2")
    anna, bert, nobody = (
        JobClient(server, token("anna", key)),
        JobClient(server, token("bert", key)),
        JobClient(server),
    )
    did = make_did(archive.one("ztf"), "science")
    job, document = anna.run([("ID", did)])
    assert document.ownerid == "anna"
    for other in (bert, nobody):
        for path in (job, f"{job}/results/manifest.csv", f"{job}/phase"):
            got = other.get(path)
            assert (got.status, got.label) == (403, "AuthorizationError")
        assert job.rpartition("/")[2] not in other.get("/soda/async").text
    assert job.rpartition("/")[2] in anna.get("/soda/async").text
    for _ in range(2):
        anna.send([("ID", did)])
    full = anna.post("/soda/async", [("ID", did)])
    assert full.status == 429
    assert int(full.headers["Retry-After"]) > 0
    assert bert.send([("ID", did)])


def test_an_estimate_before_the_work(client: JobClient, archive: Archive, make_did) -> None:
    did = make_did(archive.one("ztf"), "science")
    small = json.loads(client.post("/soda/estimate", [("ID", did)]).body)
    assert small["targets"] == 1
    assert small["position"] >= 1
    assert small["expected_end"] >= small["expected_start"]
    assert small["seconds"] > 0
    assert small["bytes"] > 0
    many = targets(whole(archive, 50) * 40)
    large = json.loads(client.post("/soda/estimate", UPLOAD, upload(many)).body)
    assert large["targets"] == 2000
    assert large["seconds"] > small["seconds"]
    assert large["bytes"] > small["bytes"]
    wrong = client.post("/soda/estimate", [("ID", did), ("RESPONSEFORMAT", "tiff")])
    assert wrong.status == 400


def test_a_quote_while_it_waits(client: JobClient, archive: Archive, make_did) -> None:
    job = client.send([("ID", make_did(archive.one("ztf"), "science"))])
    quote = client.get(f"{job}/quote").text.strip()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", quote)


@pytest.mark.parametrize(
    "parameters", [[("ID", "a"), ("ID", "b")], [("ID", "a"), ("CIRCLE", "1 2 3"), ("CIRCLE", "1 2 4")]]
)
def test_what_is_too_much_at_once_points_to_jobs(
    client: JobClient, make_did, archive: Archive, parameters
) -> None:
    did = make_did(archive.one("ztf"), "science")
    got = client.server.ask(
        "/soda/sync", [(name, did if name == "ID" else value) for name, value in parameters]
    )
    assert got.status == 400
    assert "/soda/async" in got.text
