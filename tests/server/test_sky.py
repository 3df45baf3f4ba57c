"""``/moc`` and ``/hips`` as clients ask them: coverage, tiles, lists, and names that lead nowhere."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from image_lake import ImageLake
from mocpy import MOC
from PIL import Image

from sodalake.server.cli import main
from sodalake.sodacut.hips.properties import parsed

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HIPS = "/hips/skytiles/r"


class Server(Protocol):
    """The server of these tests."""

    url: str

    def ask(self, path: str, parameters: Any = (), **how: Any) -> Any:
        """Ask it."""


@pytest.fixture(scope="module")
def tiles(images: ImageLake) -> list[str]:
    """The tiles' names of a HiPS in the lake, below its address; all in one cell of order 6."""
    done = CliRunner().invoke(
        main, ["hips", "skytiles", "--lake", images.lake, "--workers", "1", "--order", "6", "--band", "r"]
    )
    assert done.exit_code == 0, done.output
    folder = done.output.split()[0].removeprefix("file://")
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("Npix*.fits"))


def loaded(content: bytes) -> MOC:
    with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        file.write(content)
        file.flush()
        return MOC.load(file.name, "fits")


# ---------------------------------------------------------------------- coverage


def test_the_coverage_of_a_collection_is_that_of_its_images(image_server: Server, images: ImageLake) -> None:
    answer = image_server.ask("/moc/skytiles")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/fits"
    moc = loaded(answer.body)
    for image_id in ("tile1_g", "tile6_r", "tile3_i"):
        wcs = images.wcs(image_id)
        inside = wcs.pixel_to_world([0, 511, 1023], [0, 511, 1023])
        assert moc.contains_lonlat(inside.ra, inside.dec).all()
    beyond = images.wcs("tile1_g").pixel_to_world([-300], [-300])
    assert not moc.contains_lonlat(beyond.ra, beyond.dec).any()
    # Three by two tiles of 0.1138° on a side that share a twentieth; and cells that their edges cross.
    covered = 2.9 * 1.95 * 0.1138**2
    assert covered < moc.sky_fraction * 41252.96 < 1.3 * covered
    with fits.open(io.BytesIO(answer.body)) as hdus:
        assert hdus[1].header["ORDERING"] in ("NUNIQ", "RANGE")
        assert hdus[1].header["COORDSYS"].strip() == "C"


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [
        ({"RESPONSEFORMAT": "ascii"}, {}),
        ({"responseformat": "text/plain"}, {}),
        ({}, {"Accept": "text/plain"}),
    ],
)
def test_coverage_as_text(image_server: Server, parameters: Any, headers: Any) -> None:
    answer = image_server.ask("/moc/skytiles", parameters, headers=headers)
    assert answer.headers["Content-Type"].startswith("text/plain")
    whole = loaded(image_server.ask("/moc/skytiles").body)
    assert MOC.from_string(answer.body.decode(), "ascii") == whole


def test_who_has_the_map_is_told_so(image_server: Server) -> None:
    etag = image_server.ask("/moc/skytiles").headers["ETag"]
    assert image_server.ask("/moc/skytiles", headers={"If-None-Match": etag}).status == 304
    head = image_server.ask("/moc/skytiles", method="HEAD")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("path", ["/moc/nowhere", "/moc/..", "/moc/sky%00tiles", "/moc/skytiles/more"])
def test_a_collection_that_is_not_there(image_server: Server, path: str) -> None:
    answer = image_server.ask(path)
    assert answer.status == 404
    assert b"Traceback" not in answer.body


def test_a_form_that_is_not_offered(image_server: Server) -> None:
    answer = image_server.ask("/moc/skytiles", {"RESPONSEFORMAT": "yaml"})
    assert answer.status == 400
    assert b"Offered: fits" in answer.body


def test_the_collections_are_listed(image_server: Server) -> None:
    for path in ("/moc", "/moc/"):
        listed = json.loads(image_server.ask(path).body)["collections"]
        (one,) = (entry for entry in listed if entry["collection"] == "skytiles")
        assert one["moc"] == f"{image_server.url}/moc/skytiles"
        assert one["bands"] == ["g", "r", "i"]
    page = image_server.ask("/moc/", headers=BROWSER)
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'href="{image_server.url}/moc/skytiles"'.encode() in page.body


# ---------------------------------------------------------------------- HiPS


def test_tiles_are_served(image_server: Server, tiles: list[str]) -> None:
    deepest = next(name for name in tiles if name.startswith("Norder6"))
    answer = image_server.ask(f"{HIPS}/{deepest}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/fits"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "max-age" in answer.headers["Cache-Control"]
    with fits.open(io.BytesIO(answer.body)) as hdus:
        assert hdus[0].data.shape == (512, 512)
        assert np.isfinite(hdus[0].data).any()
    picture = image_server.ask(f"{HIPS}/{deepest.replace('.fits', '.png')}")
    assert picture.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(picture.body)).size == (512, 512)
    assert image_server.ask(f"{HIPS}/preview.jpg").headers["Content-Type"] == "image/jpeg"


def test_properties_and_coverage_are_served(image_server: Server, tiles: list[str]) -> None:
    answer = image_server.ask(f"{HIPS}/properties")
    assert answer.headers["Content-Type"].startswith("text/plain")
    said = parsed(answer.body)
    assert said["hips_order"] == "6"
    assert said["creator_did"] == "ivo://sodalake/P/skytiles/r"
    moc = loaded(image_server.ask(f"{HIPS}/Moc.fits").body)
    assert moc.sky_fraction == pytest.approx(float(said["moc_sky_fraction"]), rel=1e-4)


def test_ranges_and_tags(image_server: Server, tiles: list[str]) -> None:
    path = f"{HIPS}/{tiles[0]}"
    whole = image_server.ask(path)
    part = image_server.ask(path, headers={"Range": "bytes=2880-5759"})
    assert (part.status, part.body) == (206, whole.body[2880:5760])
    assert part.headers["Content-Range"] == f"bytes 2880-5759/{len(whole.body)}"
    assert image_server.ask(path, headers={"If-None-Match": whole.headers["ETag"]}).status == 304
    assert image_server.ask(path, headers={"Range": "bytes=99999999-"}).status == 416
    head = image_server.ask(path, method="HEAD")
    assert (head.headers["Content-Length"], head.body) == (str(len(whole.body)), b"")
    asked = image_server.ask(path, method="OPTIONS", headers={"Origin": "https://aladin.cds.unistra.fr"})
    assert asked.status == 204


@pytest.mark.parametrize(
    "path",
    [
        "/hips/skytiles/r/../../../lake.toml", "/hips/skytiles/r/..%2F..%2F..%2Flake.toml", "/hips/skytiles/..",
        "/hips/skytiles/r/%2e%2e/%2e%2e/%2e%2e/lake.toml", "/hips/skytiles/r/Norder6/Dir0/../../properties",
        "/hips/skytiles/r/.lock", "/hips/skytiles/.r.making/properties", "/hips/skytiles/r/properties/",
        "/hips/skytiles/r/Norder6/Dir0/Npix1.exe", "/hips/skytiles/r//etc/passwd", "/hips/..%2F../lake.toml",
        "/hips/nowhere/r/properties", "/hips/skytiles/Q/properties", "/hips/skytiles/r/Norder6/Dir0/Npix1.fits",
    ],
)  # fmt: skip
def test_what_no_hips_has_is_not_there(image_server: Server, tiles: list[str], path: str) -> None:
    answer = image_server.ask(path)
    assert answer.status == 404, answer.body[:200]
    assert b"rows =" not in answer.body
    assert b"Traceback" not in answer.body


def test_the_address_of_a_hips_is_a_page(image_server: Server, tiles: list[str]) -> None:
    moved = image_server.ask(HIPS)
    assert (moved.status, moved.headers["Location"]) == (301, f"{image_server.url}{HIPS}/")
    page = image_server.ask(f"{HIPS}/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert b'src="preview.jpg"' in page.body


def test_hips_are_listed(image_server: Server, tiles: list[str]) -> None:
    records = [
        parsed(record.encode()) for record in image_server.ask("/hipslist").body.decode().split("\n\n")
    ]
    (one,) = (record for record in records if record.get("creator_did") == "ivo://sodalake/P/skytiles/r")
    assert one["hips_service_url"] == f"{image_server.url}{HIPS}"
    assert one["hips_status"].split()[0] == "public"
    assert one["hips_release_date"]
    listed = json.loads(image_server.ask("/hips/").body)["hips"]
    assert [entry["address"] for entry in listed if entry["name"] == "r"] == [f"{image_server.url}{HIPS}"]
    assert f'href="{image_server.url}{HIPS}/"'.encode() in image_server.ask("/hips/", headers=BROWSER).body
    of_collection = json.loads(image_server.ask("/moc/").body)["collections"]
    assert [one["hips"] for one in of_collection if one["collection"] == "skytiles"] == [
        [f"{image_server.url}{HIPS}"]
    ]
