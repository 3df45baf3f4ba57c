"""MOC: read strictly, and the pixels that its cells touch."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from mocpy import MOC

from sodalake.sodacut.coordinates import Box, SkyFrame, pixel_box
from sodalake.sodacut.errors import BadRegion, NoOverlap
from sodalake.sodacut.mocs import Cells, parse_moc
from sodalake.sodacut.shapes import directions

SHAPE = (90, 120)


def frame(ra: float = 150.0, dec: float = 2.0, pixel: float = 3.3, turn: float = 30.0) -> SkyFrame:
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRPIX1=60.5, CRPIX2=45.5, CRVAL1=ra, CRVAL2=dec)
    c, s = np.cos(np.radians(turn)) * pixel / 3600, np.sin(np.radians(turn)) * pixel / 3600
    header.update(CD1_1=-c, CD1_2=s, CD2_1=s, CD2_2=c)
    return SkyFrame(WCS(header))


def touched(cells: Cells, sky: SkyFrame, shape: tuple[int, int] = SHAPE, parts: int = 4) -> Box | None:
    """The box by looking at points of every pixel: a hair smaller than it is, never larger."""
    height, width = shape
    at = (np.arange(parts) + 0.5) / parts - 0.5
    x = (np.arange(width)[:, None] + at).ravel()
    y = (np.arange(height)[:, None] + at).ravel()
    xx, yy = np.meshgrid(x, y)
    inside = cells.holds(sky.to_sky(xx.ravel(), yy.ravel())).reshape(xx.shape)
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return None
    return Box(
        int(columns.min()) // parts,
        int(columns.max()) // parts + 1,
        int(rows.min()) // parts,
        int(rows.max()) // parts + 1,
    )


def check(box: Box, expected: Box) -> None:
    assert 0 <= expected.x0 - box.x0 <= 1
    assert 0 <= box.x1 - expected.x1 <= 1
    assert 0 <= expected.y0 - box.y0 <= 1
    assert 0 <= box.y1 - expected.y1 <= 1


def near(order: int, ra: float, dec: float) -> str:
    moc = MOC.from_lonlat(np.array([ra]) * _deg(), np.array([dec]) * _deg(), max_norder=order)
    return str(moc.to_string())


def _deg() -> object:
    from astropy import units

    return units.deg


@pytest.mark.parametrize("order", [3, 9, 10, 11, 12, 14, 16])
@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.001, -40.0), (80.0, 89.99), (10.0, 41.8)])
def test_the_pixels_of_a_cell(order: int, ra: float, dec: float) -> None:
    sky = frame(ra, dec)
    for aside in (0.0, 0.03):
        cells = parse_moc(near(order, ra + aside, min(dec + aside / 2, 90.0)))
        expected = touched(cells, sky)
        if expected is None:
            continue
        check(pixel_box(cells, sky, SHAPE), expected)


def test_cells_that_lie_apart_and_partly_outside() -> None:
    sky = frame()
    text = f"{near(13, 150.02, 2.01)} {near(12, 149.98, 1.99)} {near(8, 149.0, 3.5)} {near(2, 300.0, -60.0)}"
    cells = parse_moc(text)
    expected = touched(cells, sky)
    assert expected is not None
    check(pixel_box(cells, sky, SHAPE), expected)


def test_the_whole_sky_is_the_whole_image() -> None:
    assert pixel_box(parse_moc("0/0-11"), frame(), SHAPE) == Box(0, 120, 0, 90)


def test_beside_the_image() -> None:
    with pytest.raises(NoOverlap):
        pixel_box(parse_moc(near(12, 151.0, 2.0)), frame(), SHAPE)
    with pytest.raises(NoOverlap):
        pixel_box(parse_moc(near(6, 330.0, -2.0)), frame(), SHAPE)


def test_what_mocpy_says_it_holds() -> None:
    text = "5/8-10,23 6/4000 7/20000-20010"
    cells, moc = parse_moc(text), MOC.from_string(text.replace(",", " "))
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    expected = moc.contains_lonlat(lon * _deg(), lat * _deg())
    assert (cells.holds(directions(lon, lat)) == expected).all()
    centre, radius = cells.cap()
    away = np.degrees(np.arccos(np.clip(directions(lon, lat)[expected] @ centre[0], -1, 1)))
    assert expected.any()
    assert (away <= radius).all()


def test_cells_within_cells_are_what_they_are_together() -> None:
    """SODA's own example."""
    assert parse_moc("1/1 2/1-6") == parse_moc("1/1 2/1,2,3")
    assert parse_moc("s1/1 2/ 3/") == parse_moc("1/1") == parse_moc("2/4 5 6-7")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no cell"),
        ("4/", "no cell"),
        ("abc", "'abc'"),
        ("12", "no order"),
        ("30/1", "30"),
        ("0/12", "0 to 11"),
        ("3/7-5", "7 to 5"),
        ("3/-1", "'3/-1'"),
        ("3/1.5", "'3/1.5'"),
        ("3/٣", "'3/"),
        ("3/" + "9" * 40, "no cell"),
        ("2/1-", "'2/1-'"),
        ("5/" + ",".join(["1"] * 100_001), "100000"),
    ],
)
def test_what_is_no_coverage_map(text: str, word: str) -> None:
    with pytest.raises(BadRegion) as raised:
        parse_moc(text)
    assert word in str(raised.value)
