"""The sky index of images: no cap misses an image, at poles and where longitudes begin again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from image_files import coordinates

from sodalake.lake.catalogue import FileRecord
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.imagecolumns import IMAGE_COLUMNS, region_text
from sodalake.lake.images.imagerows import ImageRows
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.indexing import enter
from sodalake.lake.images.outlineindex import Caps, Outline, Outlines, cell_ranges, entries, order_of
from sodalake.lake.images.outlines import coverage
from sodalake.lake.images.records import Image, Plain, Plane
from sodalake.lake.lake import Lake
from sodalake.lake.sky import cone_ranges, joined, separations

SHAPE = (90, 120)
SURVEY = """
name = "many"
title = "Many"
description = "Images made for tests."
facility = "Test"
instrument = "Camera"
[images]
[collections.wide]
title = "Wide"
files = "wide"
[collections.deep]
title = "Deep"
"""

Floats = npt.NDArray[np.float64]


def header_of(ra: float, dec: float, scale: float, turn: float) -> fits.Header:
    return coordinates(ra, dec, SHAPE, scale, turn)


def image_of(
    number: int, header: fits.Header, *, file: int = 1, band: str = "r", t_min: float | None = None
) -> Image:
    text = header.tostring(endcard=False, padding=False).encode()
    place = coverage([text[at : at + 80] for at in range(0, len(text), 80)], SHAPE)
    return Image(
        survey="many", collection="wide" if number % 2 else "deep", image_id=f"im_{number}", number=file, row=number,
        hdu=0, shape=SHAPE, header=text, ra=place.ra, dec=place.dec, radius=place.radius, outline=place.outline,
        pixel_scale=place.pixel_scale, band=band, t_min=t_min, t_max=t_min, exposure=None, unit=None, zero_point=None,
        seeing=None, pixels=Plane(file, "file:///none.fits", 10**6, Plain(2880, -32)),
    )  # fmt: skip


def edge_of(wcs: WCS, count: int) -> tuple[Floats, Floats]:
    """Return places on an image's edge, `count` of each side."""
    height, width = SHAPE
    x, y = np.linspace(-0.5, width - 0.5, count), np.linspace(-0.5, height - 0.5, count)
    left, right = np.full(count, -0.5), np.full(count, width - 0.5)
    low, high = np.full(count, -0.5), np.full(count, height - 0.5)
    around = np.concatenate([x, x, left, right]), np.concatenate([low, high, y, y])
    lon, lat = wcs.all_pix2world(*around, 0)
    return np.asarray(lon), np.asarray(lat)


class Reference:
    """Which images a cap meets, by their pixels: slow, and of nothing that is tested."""

    def __init__(self, headers: list[fits.Header]) -> None:
        self.all = [WCS(header) for header in headers]
        self._edges = [edge_of(wcs, 20) for wcs in self.all]
        self._lon, self._lat = (np.stack(values) for values in zip(*self._edges, strict=True))
        middles = np.array([(header["CRVAL1"], header["CRVAL2"]) for header in headers])
        self._middles = middles[:, 0], middles[:, 1]
        self._radii = separations(*(one[:, None] for one in self._middles), self._lon, self._lat).max(axis=1)

    def meeting(self, ra: float, dec: float, radius: float) -> tuple[set[int], set[int]]:
        """Return the images that a cap meets, and those of which it is a matter of thousandths."""
        apart = separations(np.full(len(self.all), ra), np.full(len(self.all), dec), *self._middles)
        found, close = set(), set()
        for at in np.flatnonzero(apart <= self._radii + radius + 0.01).tolist():
            lon, lat = edge_of(self.all[at], 2000)
            nearest = float(separations(np.full(len(lon), ra), np.full(len(lon), dec), lon, lat).min())
            inside = False
            if apart[at] < 80:
                x, y = self.all[at].all_world2pix(ra, dec, 0)
                inside = -0.5 <= x <= SHAPE[1] - 0.5 and -0.5 <= y <= SHAPE[0] - 0.5
            if inside or nearest <= radius:
                found.add(at)
            spacing = float(self._radii[at]) / 1000
            if abs(nearest - radius) < 1e-3 * radius + spacing**2 / (radius + spacing) + 1e-6:
                close.add(at)
        return found, close


def some_headers(rng: np.random.Generator, count: int) -> list[fits.Header]:
    """Images all over the sky, many at the poles and at longitude 0, of many sizes."""
    headers = []
    for at in range(count):
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
        if at % 4 == 0:
            dec = (90 - abs(rng.normal(0, 0.3))) * rng.choice([-1, 1])
        elif at % 4 == 1:
            ra = rng.normal(0, 0.3) % 360
        scale = 10 ** rng.uniform(-1, 2) if at % 10 else 400.0
        headers.append(header_of(float(ra), float(dec), float(scale), float(rng.uniform(0, 360))))
    return headers


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Lake, ImageSurvey, list[fits.Header], list[Image]]:
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.toml").write_text(SURVEY)
    lake = Lake.create(str(folder / "lake"), surveys=[str(folder / "many.toml")])
    survey = lake.image_survey("many")
    headers = some_headers(np.random.default_rng(6), 600)
    images = [
        image_of(at, header, band="gri"[at % 3], t_min=59000.0 + at) for at, header in enumerate(headers)
    ]
    record = lake.catalogue("many").begin(FileRecord(0, "file:///none.fits", 1, 1.0))
    enter(lake, survey, record, images)
    lake.close()
    return Lake.open(str(folder / "lake")), survey, headers, images


def caps(
    rng: np.random.Generator, headers: list[fits.Header], count: int
) -> list[tuple[float, float, float]]:
    """Caps near images' edges, of arcseconds and of degrees."""
    found = []
    for header in (headers[at] for at in rng.integers(0, len(headers), count)):
        lon, lat = edge_of(WCS(header), 100)
        at = int(rng.integers(0, len(lon)))
        shift = rng.normal(0, abs(header["CD1_1"]) * 30 + 1e-4)
        dec = float(np.clip(lat[at] + shift, -90, 90))
        found.append((float(lon[at]), dec, float(10 ** rng.uniform(-4, 1))))
    return found


def test_near_finds_what_brute_force_does(
    made: tuple[Lake, ImageSurvey, list[fits.Header], list[Image]],
) -> None:
    lake, survey, headers, _ = made
    finder, reference = ImageFinder(lake), Reference(headers)
    assert len(finder.orders(survey)) > 5
    rng = np.random.default_rng(1)
    count = doubtful = 0
    for cap in [*caps(rng, headers, 60), (0.0, 90.0, 1e-3), (123.0, -90.0, 0.5), (360.0, 0.0, 1.0)]:
        found = {int(image.image_id.removeprefix("im_")) for image in finder.near(survey, *cap)}
        expected, close = reference.meeting(*cap)
        assert found - close == expected - close, cap
        count, doubtful = count + len(expected), doubtful + len(close)
    assert count > 120
    assert doubtful < count / 10


def test_many_at_once_are_found_as_one_by_one(
    made: tuple[Lake, ImageSurvey, list[fits.Header], list[Image]],
) -> None:
    lake, survey, headers, _ = made
    finder = ImageFinder(lake, kept=10)
    wanted = [*caps(np.random.default_rng(2), headers, 40), (0.0, 0.0, 180.0), (10.0, 10.0, 120.0)]
    ra, dec, radius = np.array(wanted).T
    several = finder.near_many(survey, ra, dec, radius)
    for cap, found in zip(wanted, several, strict=True):
        assert [image.image_id for image in found] == [image.image_id for image in finder.near(survey, *cap)]
    small = np.full(len(ra), 1e-4)  # less than any cell's reach: a cell each
    for cap, outlines in zip(wanted, finder.outlines_near_many(survey, ra, dec, small), strict=True):
        alone = finder.outlines_near(survey, cap[0], cap[1], 1e-4)
        assert [one.image_id for one in outlines] == [one.image_id for one in alone]
    assert finder.near_many(survey, np.empty(0), np.empty(0), np.empty(0)) == []


def test_half_the_sky_is_all_of_it(made: tuple[Lake, ImageSurvey, list[fits.Header], list[Image]]) -> None:
    lake, survey, _, images = made
    finder = ImageFinder(lake)
    everything = finder.outlines_near(survey, 12.0, 34.0, 180.0)
    assert {one.image_id for one in everything} == {image.image_id for image in images}
    assert len(everything) == len(images)
    deep = finder.outlines_near(survey, 0.0, 0.0, 180.0, collections=("deep",), bands=("g",))
    assert {one.image_id for one in deep} == {f"im_{at}" for at in range(0, 600, 6)}
    early = finder.near(survey, 0.0, 0.0, 180.0, time=(59000.0, 59004.0))
    assert [image.image_id for image in early] == [f"im_{at}" for at in range(5)]


def test_outlines_have_what_records_have(
    made: tuple[Lake, ImageSurvey, list[fits.Header], list[Image]],
) -> None:
    lake, survey, _, images = made
    finder = ImageFinder(lake)
    for image in images[:40]:
        (one,) = [
            o for o in finder.outlines_near(survey, image.ra, image.dec, 0.0) if o.image_id == image.image_id
        ]
        assert (one.file, one.row, one.band, one.collection, one.t_min) == (
            image.number, image.row, image.band, image.collection, image.t_min,
        )  # fmt: skip
        assert (one.ra, one.dec, one.radius) == (image.ra, image.dec, image.radius)
        assert np.array_equal(one.vertices, image.outline)
    assert repr(finder.by_id(survey, "im_17")) == repr(images[17])


def test_rows_of_a_part_of_the_sky(made: tuple[Lake, ImageSurvey, list[fits.Header], list[Image]]) -> None:
    lake, survey, headers, _ = made
    finder, rows = ImageFinder(lake), ImageRows(lake)
    for cap in caps(np.random.default_rng(3), headers, 15):
        ranges = joined(cone_ranges(*(np.array([value]) for value in cap)), 0)
        tables = list(rows.in_sky(survey, ranges, ["image_id", "ra"]))
        found = [name for table in tables for name in table.column("image_id").to_pylist()]
        assert len(found) == len(set(found))
        assert {one.image_id for one in finder.outlines_near(survey, *cap)} <= set(found)
        assert len(found) < 600
    everything = list(rows.all(survey, IMAGE_COLUMNS.names))
    assert sum(table.num_rows for table in everything) == 600
    assert all(table.schema.equals(rows.schema(survey)) for table in everything)


def test_an_image_is_entered_in_a_handful_of_cells(
    made: tuple[Lake, ImageSurvey, list[fits.Header], list[Image]],
) -> None:
    lake, _, _, images = made
    count = sum(1 for _ in lake.rows.scan("many.outline", b"", None, ["c"]))
    assert len(images) <= count < 5 * len(images)
    rng = np.random.default_rng(4)
    for radius in (1e-6, 0.001, 0.17, 3.0, 25.0, 50.0, 89.0):
        order = order_of(radius)
        ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
        _, owner = entries(ra, dec, np.full(200, radius), order)
        counts = np.bincount(owner, minlength=200)
        assert counts.min() >= 1
        assert counts.max() <= 12
        assert counts.mean() < 6 or order == 0


def test_a_place_is_looked_for_in_one_cell_of_an_order() -> None:
    ranges = cell_ranges(np.array([10.0]), np.array([20.0]), np.array([0.001]), 8)
    assert len(ranges) == 1
    assert int(ranges.after[0] - ranges.first[0]) == 1 << (2 * (29 - 8))


def test_polygons_that_are_not_convex_and_their_antipodes() -> None:
    # An L about (0, 0) and its place on the other side of the sky.
    vertices = np.array([(-5, -5), (5, -5), (5, 0), (0, 0), (0, 5), (-5, 5)], float)
    one = Outline("a", 1, 0, "c", None, None, 0.0, 0.0, 7.1, vertices)
    outlines = Outlines.of([one])

    def meets(ra: float, dec: float, radius: float) -> bool:
        caps = Caps.of(np.array([ra]), np.array([dec]), np.array([radius]))
        return bool(outlines.meeting(caps, np.zeros(1, np.int64), np.zeros(1, np.int64))[0])

    assert meets(-2.0, -2.0, 0.0)
    assert not meets(3.0, 3.0, 0.0)
    assert meets(3.0, 3.0, 3.1)
    assert not meets(178.0, 2.0, 0.0)
    assert meets(0.0, 0.0, 0.0)  # on a corner


def test_the_smallest_images_are_met() -> None:
    """Of a hundredth of an arcsecond: products of unit vectors know no such lengths."""
    side = 0.005 / 3600
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side
    for ra, dec in ((10.0, 0.0), (200.0, 60.0), (0.0, -89.0)):
        vertices = np.array([(ra, dec)]) + corners / [np.cos(np.radians(dec)), 1]
        outlines = Outlines.of([Outline("a", 1, 0, "c", None, None, ra, dec, 2 * side, vertices)])
        zero = np.zeros(1, np.int64)
        for shift, radius, expected in ((0, 0, True), (3, 0, False), (3, 1.9, False), (3, 2.1, True)):
            # A cap's radius has a hair of 1e-8 degrees: small beside 1.4e-6.
            caps = Caps.of(np.array([ra]), np.array([dec + shift * side]), np.array([radius * side]))
            assert bool(outlines.meeting(caps, zero, zero)[0]) == expected, (ra, dec, shift, radius)


def test_regions_go_counterclockwise_seen_from_inside() -> None:
    # North-West, North-East, South-East, South-West: with East to the left, as the sky is seen.
    expected = "Polygon ICRS 9.000000 1.000000 11.000000 1.000000 11.000000 -1.000000 9.000000 -1.000000"
    around = np.array([(9, 1), (11, 1), (11, -1), (9, -1)], float)
    given = region_text(around)
    turned = region_text(around[::-1])
    corners = {tuple(map(float, text.split()[2:])) for text in (given, turned)}
    assert len(corners) <= 2
    for text in (given, turned):
        lon, lat = np.array(text.split()[2:], float).reshape(-1, 2).T
        x, y = -lon, lat  # as seen from inside
        area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
        assert area > 0
    assert sorted(expected.split()) == sorted(given.split())


def test_a_lake_without_images_has_none(tmp_path: Path) -> None:
    (tmp_path / "many.toml").write_text(SURVEY)
    lake = Lake.create(str(tmp_path / "lake"), surveys=[str(tmp_path / "many.toml")])
    survey = lake.image_survey("many")
    finder, rows = ImageFinder(lake), ImageRows(lake)
    assert finder.near(survey, 1.0, 2.0, 3.0) == []
    assert finder.by_ids(survey, ["a"]) == [None]
    assert list(rows.all(survey, ["ra"])) == []
    assert list(rows.in_sky(survey, [(0, 1 << 40)], ["ra"])) == []
