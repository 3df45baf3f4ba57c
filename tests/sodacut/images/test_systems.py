"""Images of one place whose coordinates are of several systems: found, cut, coloured, marked and mapped alike."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image as Picture

from sodalake.lake.errors import LakeError
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.lake import Lake
from sodalake.sodacut.errors import Damaged
from sodalake.sodacut.images.choosing import chosen
from sodalake.sodacut.images.coverage import coverage_of
from sodalake.sodacut.images.frames import frame_of_wcs
from sodalake.sodacut.images.preparing import prepared
from sodalake.sodacut.images.products import ImageProduct
from sodalake.sodacut.images.requests import AtPosition, Output, Size
from sodalake.sodacut.images.session import ImageSession
from sodalake.sodacut.shapes import directions

PLACE = SkyCoord(150.0, 20.0, unit="deg", frame="icrs")
SIDE = 201
STEP = 1e-4  # degrees
SYSTEMS = {
    "icrs": ("RA---TAN", "DEC--TAN", {}, "icrs"),
    "galactic": ("GLON-TAN", "GLAT-TAN", {}, "galactic"),
    "moved": ("RA---TAN", "DEC--TAN", {"RADESYS": "FK5", "EQUINOX": 2010.0}, "fk5"),
    "old": ("RA---TAN", "DEC--TAN", {"RADESYS": "FK4", "EQUINOX": 1950.0}, "fk4"),
}
SURVEY = """
name = "systems"
title = "Systems"
description = "One place in several systems."
facility = "F"
instrument = "I"

[images]
files = '[a-z]+_(?P<band>[gri])\\.fits'

[band]
name = "{band}"

[bands]
g = [4.0e-7, 5.5e-7]
r = [5.5e-7, 7.0e-7]
i = [7.0e-7, 8.5e-7]
"""


def header_of(system: str) -> fits.Header:
    """A tangent plane whose middle pixel is at the place."""
    first, second, more, frame = SYSTEMS[system]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [first, second]
    wcs.wcs.crpix = [SIDE // 2 + 1, SIDE // 2 + 1]
    wcs.wcs.cdelt = [-STEP, STEP]
    header = wcs.to_header()
    header.update(more)
    names = {"fk5": {"equinox": "J2010"}, "fk4": {"equinox": "B1950"}}
    there = PLACE.transform_to(SkyCoord(0 * u.deg, 0 * u.deg, frame=frame, **names.get(frame, {})).frame)
    header["CRVAL1"], header["CRVAL2"] = there.spherical.lon.deg, there.spherical.lat.deg
    return header


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ImageSession:
    root = tmp_path_factory.mktemp("systems")
    (root / "images").mkdir()
    (root / "systems.toml").write_text(SURVEY)
    random = np.random.default_rng(4)
    for system in SYSTEMS:
        for number, band in enumerate("gri"):
            header = header_of(system)
            header["CRVAL1"] += number * 1e-6  # not the same pixels
            pixels = random.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
            fits.PrimaryHDU(pixels, header).writeto(root / "images" / f"{system}_{band}.fits")
    report = ingest_images(str(root / "lake"), str(root / "systems.toml"), [str(root / "images")], workers=1)
    assert not report.failed
    return ImageSession(Lake.open(str(root / "lake")))


def ask(bands: str = "gri", **more: Any) -> AtPosition:
    return AtPosition("systems", PLACE.ra.deg, PLACE.dec.deg, Size(41, 41, "px"), tuple(bands), **more)


def answer(session: ImageSession, system: str, request: AtPosition) -> ImageProduct:
    """Answer by the images of one system alone."""
    (found,) = session.candidates([request])
    assert not isinstance(found, LakeError)
    mine = [image for image in found if image.image_id.startswith(system)]
    assert len(mine) == len(request.bands), "the index has them all"
    survey = session.lake.image_survey("systems")
    ready = prepared(survey, chosen(request, survey, mine))
    return ready.finish(session.files.read(ready.wanted))


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("grid", ["image", "north"])
def test_a_mosaic_is_whole(session: ImageSession, system: str, grid: Any) -> None:
    product = answer(session, system, ask("g", algorithm="coadd", grid=grid))
    assert product.covered == 1
    with fits.open(io.BytesIO(product.body)) as file:
        wcs = WCS(file[0].header)
        assert np.isfinite(file[0].data).all()
    x, y = frame_of_wcs(wcs).to_pixels(directions(np.array([PLACE.ra.deg]), np.array([PLACE.dec.deg])))
    assert (x[0], y[0]) == pytest.approx((20, 20), abs=0.5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_colour_picture_has_all_its_bands(session: ImageSession, system: str) -> None:
    product = answer(session, system, ask(output=Output("png")))
    assert dict(product.headers)["X-Sodalake-Bands"].count("covered=1") == 3


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_mark_is_at_the_place(session: ImageSession, system: str) -> None:
    marked, plain = (
        np.asarray(Picture.open(io.BytesIO(answer(session, system, ask("g", output=output)).body)))
        for output in (Output("png", marker=True), Output("png"))
    )
    rows, columns = np.nonzero(marked != plain) if marked.ndim == 2 else np.nonzero((marked != plain).any(2))
    assert (columns.min() + columns.max()) / 2 == pytest.approx(20, abs=1)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(20, abs=1)


def test_one_that_cannot_be_used_spoils_nothing(session: ImageSession) -> None:
    request = ask("g")
    (found,) = session.candidates([request])
    assert not isinstance(found, LakeError)
    survey = session.lake.image_survey("systems")
    bad = replace(found[0], image_id="bad", header=found[0].header.replace(b"CDELT1  =", b"CDELT1  = 0. /"))
    choice = chosen(request, survey, [bad, *found])
    assert {image.image_id for image in choice.images} <= {image.image_id for image in found}
    with pytest.raises(Damaged, match="systems bad: "):
        chosen(request, survey, [bad])


def test_a_map_of_outlines_with_different_numbers_of_corners() -> None:
    square = np.array([(10.0, 10.0), (10.2, 10.0), (10.2, 10.2), (10.0, 10.2)])
    five = np.array([(30.0, 10.0), (30.1, 9.99), (30.2, 10.0), (30.2, 10.2), (30.0, 10.2)])
    both = coverage_of([square, five, square + 5])
    assert both == coverage_of([square]).union(coverage_of([five]), coverage_of([square + 5]))
