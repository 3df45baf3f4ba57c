import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow.parquet as pq
import pytest

from sodalake.benchmarks.agreement import Disagreement, agree
from sodalake.benchmarks.archive import Archive, Recipe, make_archive
from sodalake.benchmarks.seeds import Seeds, question, stamps_of
from sodalake.lake.files import as_url
from sodalake.sodacut import read_image


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(Recipe("ztf", 1, 28), tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def seeds() -> Iterator[Seeds]:
    with Seeds() as running:
        yield running


def asked(archive: Archive, slot: int, kind: str, return_type: str = "array") -> str:
    slots = np.array([slot])
    identities = archive.identities
    (name,), (alert,) = identities.object_ids(slots), identities.alert_ids(slots)
    return question(as_url(str(archive.files[0])), name, int(alert), kind, return_type)


def test_the_stamps_are_those_of_the_row(archive: Archive) -> None:
    row = pq.ParquetFile(archive.files[0]).read().slice(3, 1).to_pylist()[0]
    named = {
        "hdfsPath": as_url(str(archive.files[0])),
        "objectId": row["objectId"],
        "candid": str(row["candid"]),
    }
    assert stamps_of({**named, "kind": "Template"}) == [row["cutoutTemplate"]["stampData"]]
    assert stamps_of({**named, "kind": "All"}) == [
        row[f"cutout{kind}"]["stampData"] for kind in ("Science", "Template", "Difference")
    ]


def test_both_processes_answer_over_http(archive: Archive, seeds: Seeds) -> None:
    assert len(set(seeds.addresses)) == 2
    row = pq.ParquetFile(archive.files[0]).read().slice(7, 1).to_pylist()[0]
    for host, port in seeds.addresses:
        with urllib.request.urlopen(f"http://{host}:{port}{asked(archive, 7, 'Difference')}") as answer:
            (image,) = json.load(answer)
        expected = read_image(row["cutoutDifference"]["stampData"])
        assert np.array_equal(np.array(image, np.float32), expected, equal_nan=True)


def test_a_service_agrees_with_itself(archive: Archive, seeds: Seeds) -> None:
    first, second = seeds.addresses
    agree(first, second, [asked(archive, 5, "Science"), asked(archive, 5, "Science", "FITS")])


class _Liar(BaseHTTPRequestHandler):
    """Answers 2 x 2 zeros to everything but one path."""

    def do_GET(self) -> None:
        body = b"[[[0, 0], [0, null]]]"
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_another_answer_is_a_disagreement(archive: Archive, seeds: Seeds, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Liar) as liar:
        thread = Thread(target=liar.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        host, port = "127.0.0.1", liar.server_port
        agree((host, port), (host, port), ["/x"])
        with pytest.raises(Disagreement, match="other pixels"):
            agree((host, port), seeds.addresses[0], [asked(archive, 1, "Science")])
        with pytest.raises(Disagreement, match="answered 404"):
            agree((host, port), (host, port), ["/missing"])
        liar.shutdown()
        thread.join()


def test_the_service_is_gone_when_it_is_left() -> None:
    with Seeds() as running:
        host, port = running.addresses[0]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{host}:{port}/")
