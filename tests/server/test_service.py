"""The service as users meet it: SODA, VOSI and what every answer has in common."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from PIL import Image

pytestmark = pytest.mark.embedded
KINDS = ("science", "template", "difference")
Did = Callable[..., str]


def plain(stamp: bytes) -> bytes:
    return gzip.decompress(stamp) if stamp.startswith(b"\x1f\x8b") else stamp


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_every_stamp_of_every_alert_comes_out_as_it_was(
    server: Any, archive: Any, make_did: Did, survey: str
) -> None:
    for alert in archive.alerts[survey][:25]:
        for kind, stamp in alert.stamps.items():
            answer = server.soda(make_did(alert, kind))
            if stamp is None:
                assert (answer.status, answer.label) == (404, "UsageError")
            else:
                assert answer.status == 200
                assert answer.headers["Content-Type"] == "application/fits"
                assert answer.body == plain(stamp)


def test_a_client_that_takes_gzip_gets_the_stored_bytes(server: Any, archive: Any, make_did: Did) -> None:
    alert = archive.one("ztf")
    answer = server.ask(
        "/soda/sync", {"ID": make_did(alert, "science")}, headers={"Accept-Encoding": "gzip, deflate"}
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.body == alert.stamps["science"]


def test_a_client_that_refuses_gzip_does_not(server: Any, archive: Any, make_did: Did) -> None:
    alert = archive.one("ztf")
    answer = server.ask(
        "/soda/sync", {"ID": make_did(alert, "science")}, headers={"Accept-Encoding": "gzip;q=0, identity"}
    )
    assert answer.headers["Content-Encoding"] is None
    assert answer.body == plain(alert.stamps["science"])


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_without_a_kind_all_stamps_come_in_one_file(
    server: Any, archive: Any, make_did: Did, survey: str
) -> None:
    alert = archive.one(survey)
    answer = server.soda(make_did(alert))
    assert answer.status == 200
    with fits.open(io.BytesIO(answer.body)) as file:
        names = [hdu.name for hdu in file]
    assert [name for name in names if name.lower() in KINDS] == [kind.upper() for kind in KINDS]


def test_names_are_case_insensitive_and_the_authority_too(server: Any, archive: Any, make_did: Did) -> None:
    alert = archive.one("ztf")
    identifier = make_did(alert, "science").replace("sodalake", "SodaLake")
    answer = server.ask("/soda/sync", {"iD": identifier, "responseFORMAT": "FITS", "unknown": "x"})
    assert answer.status == 200
    assert answer.body == plain(alert.stamps["science"])


@pytest.mark.parametrize("way", ["urlencoded", "multipart", "query"])
def test_post_takes_forms_and_the_query(server: Any, archive: Any, make_did: Did, way: str) -> None:
    alert = archive.one("ztf")
    identifier = make_did(alert)
    if way == "urlencoded":
        body = f"ID={identifier.replace('?', '%3F')}&KIND=template".encode()
        answer = server.ask(
            "/soda/sync",
            method="POST",
            body=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    elif way == "multipart":
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (("ID", identifier), ("KIND", "template"))
        )
        answer = server.ask(
            "/soda/sync",
            method="POST",
            body=(parts + "--b--\r\n").encode(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    else:
        answer = server.ask("/soda/sync", {"ID": identifier, "KIND": "template"}, method="POST", body=b"")
    assert answer.status == 200
    assert answer.body == plain(alert.stamps["template"])


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("fits", "application/fits"),
        ("application/fits", "application/fits"),
        ("image/fits", "image/fits"),
        ("Image/PNG", "Image/PNG"),
        ("png", "image/png"),
        ("json", "application/json"),
        ("arrow", "application/vnd.apache.arrow.stream"),
    ],
)
def test_a_mime_type_that_was_asked_for_is_given_back(
    server: Any, archive: Any, make_did: Did, asked: str, answered: str
) -> None:
    answer = server.soda(make_did(archive.one("ztf"), "science"), RESPONSEFORMAT=asked)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == answered


def test_pictures_arrays_and_arrow_show_the_stamp(server: Any, archive: Any, make_did: Did) -> None:
    alert = archive.one("ztf")
    with fits.open(io.BytesIO(plain(alert.stamps["science"])), ignore_missing_simple=True) as file:
        pixels = np.asarray(file[0].data, dtype=np.float32)
    picture = server.soda(
        make_did(alert, "science"), RESPONSEFORMAT="png", STRETCH="asinh", COLORMAP="viridis", SCALE=2, PMIN=1
    )
    with Image.open(io.BytesIO(picture.body)) as image:
        assert image.size == (2 * pixels.shape[1], 2 * pixels.shape[0])
    arrays = json.loads(server.soda(make_did(alert, "science"), RESPONSEFORMAT="json").body)
    got = np.array(arrays["b:cutoutScience_stampData"], dtype=np.float32)
    np.testing.assert_array_equal(got, pixels)
    table = pa.ipc.open_stream(
        server.soda(make_did(alert, "science"), RESPONSEFORMAT="arrow").body
    ).read_all()
    assert table.num_rows == 1


def centre(stamp: bytes) -> tuple[float, float]:
    from astropy.wcs import WCS

    with fits.open(io.BytesIO(stamp)) as file:
        height, width = file[0].data.shape
        lon, lat = WCS(file[0].header).pixel_to_world_values(width / 2, height / 2)
    return float(lon), float(lat)


@pytest.mark.parametrize("shape", ["CIRCLE", "POLYGON", "POS=CIRCLE", "POS=RANGE", "POS=POLYGON"])
def test_a_region_cuts_a_rubin_stamp(server: Any, archive: Any, make_did: Did, shape: str) -> None:
    alert = archive.one("lsst")
    lon, lat = centre(alert.stamps["science"])
    d = 0.0004
    circle = f"{lon} {lat} {d}"
    polygon = f"{lon - d} {lat - d} {lon + d} {lat - d} {lon + d} {lat + d} {lon - d} {lat + d}"
    value = {
        "CIRCLE": circle,
        "POLYGON": polygon,
        "POS=CIRCLE": f"CIRCLE {circle}",
        "POS=RANGE": f"RANGE {lon - d} {lon + d} {lat - d} {lat + d}",
        "POS=POLYGON": f"POLYGON {polygon}",
    }[shape]
    answer = server.soda(make_did(alert, "science"), **{shape.partition("=")[0]: value})
    assert answer.status == 200
    with fits.open(io.BytesIO(answer.body)) as cut, fits.open(io.BytesIO(alert.stamps["science"])) as whole:
        assert 0 < cut[0].data.size < whole[0].data.size
        assert len(cut) == len(whole)


def test_no_overlap_is_an_empty_answer(server: Any, archive: Any, make_did: Did) -> None:
    lon, lat = centre(archive.one("lsst").stamps["science"])
    answer = server.soda(make_did(archive.one("lsst"), "science"), CIRCLE=f"{lon} {-lat or 45} 0.001")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Content-Type"] is None


def test_a_region_on_a_stamp_without_coordinates_is_told(server: Any, archive: Any, make_did: Did) -> None:
    answer = server.soda(make_did(archive.one("ztf"), "science"), CIRCLE="10 10 0.001")
    assert (answer.status, answer.label) == (400, "UsageError")
    assert "coordinates" in answer.text


def test_head_is_get_without_the_body_and_a_tag_saves_it(server: Any, archive: Any, make_did: Did) -> None:
    parameters = {"ID": make_did(archive.one("ztf"), "science")}
    whole = server.ask("/soda/sync", parameters)
    head = server.ask("/soda/sync", parameters, method="HEAD")
    assert head.body == b""
    for name in ("Content-Type", "Content-Length", "ETag", "Content-Disposition"):
        assert head.headers[name] == whole.headers[name]
    again = server.ask("/soda/sync", parameters, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_every_answer_is_open_to_every_origin_and_names_the_server(server: Any) -> None:
    for path, status in (("/healthz", 200), ("/soda/sync", 400), ("/nothing", 404), ("/api/v1/nothing", 404)):
        answer = server.ask(path, headers={"Origin": "https://elsewhere.example"})
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Credentials"] is None
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Server"].startswith("sodalake/")
        assert answer.headers["X-Request-Id"]
    preflight = server.ask("/soda/sync", method="OPTIONS", headers={"Origin": "https://elsewhere.example"})
    assert preflight.status == 204
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


def test_a_header_of_somebody_who_is_no_proxy_changes_no_link(server: Any) -> None:
    answer = server.ask("/soda/capabilities", headers={"X-Forwarded-Host": "evil.example"})
    assert "evil.example" not in answer.text
    assert f"{server.url}/soda/sync" in answer.text


def test_capabilities_and_availability(server: Any) -> None:
    capabilities = server.ask("/soda/capabilities")
    assert capabilities.headers["Content-Type"].startswith("text/xml")
    assert parsedate_to_datetime(capabilities.headers["Last-Modified"]).tzinfo is not None
    availability = server.ask("/soda/availability")
    assert "<available>true</available>" in availability.text


def test_availability_is_false_while_a_back_end_is_away(server: Any, archive: Any) -> None:
    file = Path(archive.lake) / "lake.toml"
    away = file.rename(file.with_suffix(".away"))
    try:
        answer = server.ask("/soda/availability")
        assert answer.status == 200
        assert "<available>false</available>" in answer.text
        assert "<note>files: " in answer.text
        assert server.alive()
    finally:
        away.rename(file)
    assert "<available>true</available>" in server.ask("/soda/availability").text


def test_an_id_that_may_need_all_its_64_bits_keeps_them(server: Any, archive: Any, make_did: Did) -> None:
    large = [a for a in archive.alerts["ztf"] if int(a.alert_id) > 2**62]
    assert large
    for alert in large[:3]:
        answer = server.ask(
            "/api/v1/cutouts",
            method="POST",
            headers={"Content-Type": "application/json"},
            body=f'{{"candid": {alert.alert_id}, "kind": "Science", "output-format": "FITS"}}'.encode(),
        )
        assert answer.body == plain(alert.stamps["science"])
