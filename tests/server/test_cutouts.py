"""The cutout API that Fink's users know, and all epochs of an object as one stream."""

from __future__ import annotations

import csv
import gzip
import hashlib
import http.client
import io
import json
import socket
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from PIL import Image

pytestmark = pytest.mark.embedded
KINDS = ("science", "template", "difference")
CUTOUTS = "/api/v1/cutouts"


def plain(stamp: bytes) -> bytes:
    return gzip.decompress(stamp) if stamp.startswith(b"\x1f\x8b") else stamp


def pixels(stamp: bytes) -> np.ndarray:
    with fits.open(io.BytesIO(plain(stamp)), ignore_missing_simple=True) as file:
        return np.asarray(file[0].data, dtype=np.float32)


def post(server: Any, document: object, path: str = CUTOUTS) -> Any:
    return server.ask(
        path, method="POST", body=json.dumps(document).encode(), headers={"Content-Type": "application/json"}
    )


# ---------------------------------------------------------------------- the public service


def test_get_without_parameters_describes_them(server: Any) -> None:
    for path, name in (
        (CUTOUTS, "objectId"),
        (f"/ztf{CUTOUTS}", "objectId"),
        (f"/lsst{CUTOUTS}", "diaObjectId"),
    ):
        answer = server.ask(path)
        assert answer.status == 200
        args = json.loads(answer.body)["args"]
        assert {"name", "required", "description"} == set(args[0])
        assert name in [arg["name"] for arg in args]


def test_a_picture_of_the_latest_alert_is_the_default(server: Any, archive: Any) -> None:
    name = archive.busiest("ztf")
    latest = archive.epochs("ztf", name)[0]
    answer = server.ask(CUTOUTS, {"objectId": name, "kind": "Science"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}_Science.png"'
    height, width = pixels(latest.stamps["science"]).shape
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.size == (width, height)


def test_fits_and_arrays_of_the_latest_alert_or_of_the_one_named(server: Any, archive: Any) -> None:
    name = archive.busiest("ztf")
    epochs = archive.epochs("ztf", name)
    for alert, more in ((epochs[0], {}), (epochs[-1], {"candid": epochs[-1].alert_id})):
        answer = server.ask(CUTOUTS, {"objectId": name, "kind": "Template", "output-format": "FITS", **more})
        assert answer.body == plain(alert.stamps["template"])
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}_Template.fits"'
        answer = server.ask(CUTOUTS, {"objectId": name, "kind": "All", "output-format": "array", **more})
        arrays = json.loads(answer.body)
        assert list(arrays) == [f"b:cutout{kind.capitalize()}_stampData" for kind in KINDS]
        for kind in KINDS:
            if alert.stamps[kind] is not None:
                got = np.array(arrays[f"b:cutout{kind.capitalize()}_stampData"], dtype=np.float32)
                np.testing.assert_array_equal(got, pixels(alert.stamps[kind]))


def test_post_takes_json_and_the_query_goes_first(server: Any, archive: Any) -> None:
    alert = archive.one("ztf")
    document = {
        "objectId": alert.object_id,
        "candid": int(alert.alert_id),
        "kind": "Science",
        "output-format": "FITS",
    }
    assert post(server, document).body == plain(alert.stamps["science"])
    both = post(server, document | {"kind": "Nothing"}, f"{CUTOUTS}?kind=Template")
    assert both.body == plain(alert.stamps["template"])


def test_another_survey_than_the_default_one(server: Any, archive: Any) -> None:
    alert = archive.one("lsst")
    answer = server.ask(
        f"/lsst{CUTOUTS}", {"diaSourceId": alert.alert_id, "kind": "Difference", "output-format": "FITS"}
    )
    assert answer.body == plain(alert.stamps["difference"])
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{alert.alert_id}_Difference.fits"'


def test_looks_change_the_picture(server: Any, archive: Any) -> None:
    asked = {"objectId": archive.busiest("ztf"), "kind": "Science"}
    looks: list[dict[str, object]] = [
        {},
        {"stretch": "linear"},
        {"stretch": "log", "pmin": 5, "pmax": 90.5},
        {"colormap": "viridis"},
        {"convolution_kernel": "gauss"},
    ]
    made = [server.ask(CUTOUTS, {**asked, **look}) for look in looks]
    assert [answer.status for answer in made] == [200] * len(looks)
    assert len({answer.body for answer in made}) == len(looks)


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"kind": "Science"}, 400),
        ({"objectId": "ZTF26nothere", "kind": "Science"}, 404),
        ({"objectId": "{busiest}"}, 400),
        ({"objectId": "{busiest}", "kind": "Sience"}, 400),
        ({"objectId": "{busiest}", "kind": "All"}, 400),
        ({"objectId": "{busiest}", "kind": "All", "output-format": "FITS"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "output-format": "GIF"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "stretch": "curvy"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "colormap": "mauve-ish"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "pmin": "low"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "pmin": "nan"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "pmin": "80", "pmax": "20", "stretch": "linear"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "convolution_kernel": "moffat"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "candid": "1.5e18"}, 400),
        ({"objectId": "{busiest}", "kind": "Science", "candid": "12345"}, 404),
        ({"objectId": "ZTF26other", "kind": "Science", "candid": "{alert}"}, 404),
        ({"objectId": "x" * 2000, "kind": "Science"}, 400),
        ({"candid": "{alert}", "all": "true"}, 400),
        ({"objectId": "{busiest}", "all": "maybe"}, 400),
        ({"objectId": "{busiest}", "all": "true", "output-format": "PNG"}, 400),
        ({"objectId": "ZTF26nothere", "all": "true"}, 404),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else str(value),
)
def test_what_cannot_be_is_an_error_in_json(
    server: Any, archive: Any, parameters: dict[str, str], status: int
) -> None:
    names = {"busiest": archive.busiest("ztf"), "alert": archive.one("ztf").alert_id}
    answer = server.ask(CUTOUTS, {key: value.format(**names) for key, value in parameters.items()})
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    document = json.loads(answer.body)
    assert document["status"] == "error"
    assert document["label"] == "UsageError"
    assert document["text"]


def test_a_survey_that_is_not_here(server: Any) -> None:
    answer = server.ask(f"/nowhere{CUTOUTS}", {"objectId": "1", "kind": "Science"})
    assert (answer.status, answer.label) == (404, "UsageError")
    assert "ztf" in json.loads(answer.body)["advice"]


# ---------------------------------------------------------------------- the internal service


@pytest.mark.parametrize("form", ["path", "hdfs", "url"])
def test_the_internal_service_reads_one_file(server: Any, archive: Any, form: str) -> None:
    alert = archive.one("ztf")
    path = {"path": alert.path, "hdfs": f"hdfs://namenode:8020//{alert.path}", "url": f"file://{alert.path}"}[
        form
    ]
    asked = {"hdfsPath": path, "objectId": alert.object_id, "candid": int(alert.alert_id), "kind": "Science"}
    arrays = json.loads(post(server, asked).body)
    assert len(arrays) == 1
    np.testing.assert_array_equal(np.array(arrays[0], dtype=np.float32), pixels(alert.stamps["science"]))
    three = json.loads(post(server, asked | {"kind": "All"}).body)
    assert len(three) == 3
    answer = post(server, asked | {"return_type": "FITS"})
    assert answer.body == plain(alert.stamps["science"])


def test_the_internal_service_takes_the_latest_alert_of_the_file(server: Any, archive: Any) -> None:
    spoiled = archive.epochs("ztf", "ZTF26spoiled")
    answer = server.ask(
        CUTOUTS,
        {"hdfsPath": spoiled[0].path, "objectId": "ZTF26spoiled", "kind": "Template", "return_type": "FITS"},
    )
    assert answer.body == plain(spoiled[0].stamps["template"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/etc/passwd", 403),
        ("../../../../etc/passwd", 403),
        ("{root}/../../../../etc/passwd", 403),
        ("{root}/%2e%2e/%2e%2e/etc/passwd", 403),
        ("file:///etc/passwd", 403),
        ("{root}", 403),
        ("{root}/ztf/nothing.parquet", 404),
        ("\0", 400),
        ("x" * 5000, 400),
    ],
)
def test_a_path_may_not_leave_the_archive(server: Any, archive: Any, path: str, status: int) -> None:
    asked = {
        "hdfsPath": path.format(root=archive.root / "ztf"),
        "objectId": "ZTF26spoiled",
        "kind": "Science",
    }
    answer = server.ask(CUTOUTS, asked)
    assert answer.status == status
    assert answer.label == ("AuthorizationError" if status == 403 else "UsageError")
    assert b"root:" not in answer.body


def test_the_internal_service_gives_one_stamp_as_fits(server: Any, archive: Any) -> None:
    alert = archive.one("ztf")
    asked = {"hdfsPath": alert.path, "objectId": alert.object_id, "kind": "All", "return_type": "FITS"}
    assert server.ask(CUTOUTS, asked).status == 400


def test_an_alert_that_is_in_another_file(server: Any, archive: Any) -> None:
    alert, other = archive.one("ztf"), archive.epochs("ztf", "ZTF26spoiled")[0]
    asked = {"hdfsPath": other.path, "objectId": alert.object_id, "candid": alert.alert_id, "kind": "Science"}
    assert server.ask(CUTOUTS, asked).status == 404


# ---------------------------------------------------------------------- all epochs


def stream(server: Any, name: str, **more: object) -> Any:
    answer = server.ask(CUTOUTS, {"objectId": name, "all": "true", **more})
    assert answer.status == 200, answer.text
    assert answer.headers["Transfer-Encoding"] == "chunked"
    return answer


def test_all_epochs_as_json_newest_first(server: Any, archive: Any) -> None:
    epochs = archive.epochs("ztf", archive.busiest("ztf"))
    assert len(epochs) > 4, "more than a chunk"
    got = json.loads(stream(server, epochs[0].object_id).body)
    assert [entry["alertId"] for entry in got] == [alert.alert_id for alert in epochs]
    for entry, alert in zip(got, epochs, strict=True):
        for kind in KINDS:
            array = entry[f"b:cutout{kind.capitalize()}_stampData"]
            if alert.stamps[kind] is None:
                assert array is None
            else:
                np.testing.assert_array_equal(np.array(array, np.float32), pixels(alert.stamps[kind]))


def test_all_epochs_as_fits(server: Any, archive: Any) -> None:
    epochs = archive.epochs("ztf", archive.busiest("ztf"))
    body = stream(server, epochs[0].object_id, **{"output-format": "FITS", "kind": "Science"}).body
    with fits.open(io.BytesIO(body)) as file:
        assert file[-1].name == "END"
        images = [hdu for hdu in file[1:-1] if hdu.data is not None]
        assert len(images) == sum(alert.stamps["science"] is not None for alert in epochs)


def test_all_epochs_as_arrow(server: Any, archive: Any) -> None:
    epochs = archive.epochs("ztf", archive.busiest("ztf"))
    body = stream(server, epochs[0].object_id, **{"output-format": "Arrow"}).body
    table = pa.ipc.open_stream(body).read_all()
    there = sum(stamp is not None for alert in epochs for stamp in alert.stamps.values())
    assert table.num_rows in (there, 3 * len(epochs))


def test_all_epochs_as_a_zip_with_a_manifest(server: Any, archive: Any) -> None:
    epochs = archive.epochs("ztf", archive.busiest("ztf"))
    body = stream(server, epochs[0].object_id, **{"output-format": "zip"}).body
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        assert file.testzip() is None
        rows = list(csv.DictReader(io.StringIO(file.read("manifest.csv").decode())))
        assert len(rows) == 3 * len(epochs)
        for row in rows:
            alert = next(a for a in epochs if a.alert_id == row["alert_id"])
            stamp = alert.stamps[row["kind"]]
            if stamp is None:
                assert row["name"] == ""
            else:
                assert file.read(row["name"]) == stamp
                assert row["sha256"] == hashlib.sha256(stamp).hexdigest()


def test_an_error_in_the_middle_cuts_the_stream(server: Any, archive: Any) -> None:
    connection = http.client.HTTPConnection(server.host, timeout=60)
    connection.request("GET", f"{CUTOUTS}?objectId=ZTF26spoiled&all=true")
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    connection.close()
    server.wait_for("stream cut", "ZTF26spoiled")
    assert server.alive()


def test_a_client_of_http_1_0_cannot_take_a_cut_stream_for_a_whole_one(server: Any, archive: Any) -> None:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {CUTOUTS}?objectId=ZTF26spoiled&all=true HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            read_to_the_end(connection)


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def test_an_error_in_the_first_chunk_is_an_error(server: Any, archive: Any) -> None:
    answer = server.ask(CUTOUTS, {"objectId": "ZTF26corrupt", "all": "true"})
    assert (answer.status, answer.label) == (502, "Error")


def test_a_client_that_goes_away_stops_the_work(server: Any) -> None:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(
            f"GET {CUTOUTS}?objectId=ZTF26streamed&all=true HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    server.wait_for("status=499", "ZTF26streamed")
    assert server.alive()


def test_head_of_a_stream_sends_no_body(server: Any) -> None:
    answer = server.ask(CUTOUTS, {"objectId": "ZTF26streamed", "all": "true"}, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
