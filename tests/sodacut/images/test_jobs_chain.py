"""The whole way of a job on images over a small lake: list or combinations in; parts, manifest and zip out."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from small_tiles import (
    CENTRE,
    SCALE,
    SIDE,
    STEP,
    TILES,
    Tile,
    brightness,
    lake_of_tiles,
    pixels_of,
    wcs_of,
    write_tiles,
)

from sodalake.lake.errors import LakeError, UsageError
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.lake import Lake
from sodalake.lake.results import ResultFolder
from sodalake.sodacut.errors import Cancelled
from sodalake.sodacut.images.jobs.reading import ImageTargets
from sodalake.sodacut.images.jobs.running import run_unit
from sodalake.sodacut.images.jobs.units import ImageUnit, resolve, units, whole
from sodalake.sodacut.images.jobs.work import ImageWork
from sodalake.sodacut.images.requests import AtPosition, ByImage, ImageRequest, Limits, Output, Size
from sodalake.sodacut.images.session import ImageSession
from sodalake.sodacut.jobs import (
    ERROR,
    NO_OVERLAP,
    NOT_FOUND,
    OK,
    Range,
    lost,
    manifest_table,
    manifests,
    zip_pieces,
)
from sodalake.sodacut.jobs.locator import Locator, locator
from sodalake.sodacut.jobs.reports import UnitReport
from sodalake.sodacut.regions import parse_circle

GONE, CUT, OTHER = Tile("gone", 6, 0), Tile("cut", 8, 0), Tile("other", 10, 0)
SPOILED = (GONE, CUT, OTHER)


@pytest.fixture(scope="module")
def lake_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four tiles that overlap, and three that were spoiled after they were ingested."""
    root, lake = tmp_path_factory.mktemp("sky"), tmp_path_factory.mktemp("lake")
    lake_of_tiles(root, lake)
    paths = write_tiles(root / "spoiled", SPOILED)
    assert not ingest_images(str(lake), "small", [str(root / "spoiled")], workers=1).failed
    for band in ("g", "r"):
        paths[f"gone_{band}"].unlink()
        content = paths[f"cut_{band}"].read_bytes()
        paths[f"cut_{band}"].write_bytes(content[: len(content) // 3])
        other = paths[f"other_{band}"]
        other.write_bytes(other.read_bytes()[:3000] + b"\xff" * (other.stat().st_size - 3000))
    return str(lake)


@pytest.fixture(scope="module")
def session(lake_url: str) -> Iterator[ImageSession]:
    lake = Lake.open(lake_url)
    session = ImageSession(lake)
    yield session
    session.files.close()
    lake.close()


@pytest.fixture
def results(tmp_path: Path) -> ResultFolder:
    return ResultFolder(str(tmp_path / "results"))


@dataclass(frozen=True)
class Row:
    """A target: a place or an image, and what is asked of it."""

    request: ImageRequest | LakeError
    id: str = ""


def place(column: float, row: float) -> tuple[float, float]:
    """Return a position of the tiles' lattice: (0, 0) is in the middle of tile ``se``."""
    tile = Tile("", 0, 0)
    ra, dec = wcs_of(tile).wcs.crval
    return float(ra - column * STEP / np.cos(np.radians(CENTRE[1]))), float(dec + row * STEP)


def at(column: float, row: float, size: int = 30, **more: Any) -> AtPosition:
    ra, dec = place(column, row)
    return AtPosition("small", ra, dec, Size(size, size, "px"), **{"bands": ("g",), **more})


def listed(rows: Sequence[Row]) -> ImageWork:
    requests = [row.request for row in rows]
    by_place = [one if isinstance(one, AtPosition) else None for one in requests]
    numbers = [str(number) for number in range(len(rows))]
    targets = ImageTargets(
        [row.id or str(number) for number, row in enumerate(rows, 1)],
        [None if isinstance(one, LakeError) else one.survey for one in requests],
        [one.image_id if isinstance(one, ByImage) else None for one in requests],
        np.array([np.nan if one is None else one.ra for one in by_place]),
        np.array([np.nan if one is None else one.dec for one in by_place]),
        {"WHICH": list(numbers)},
        {number: one for number, one in enumerate(requests) if isinstance(one, LakeError)},
    )

    def order(survey: str, by_image: bool, own: Any) -> ImageRequest:
        one = requests[int(own["WHICH"])]
        assert not isinstance(one, LakeError)
        return replace(one, image_id="") if isinstance(one, ByImage) else replace(one, ra=0.0, dec=0.0)

    return ImageWork.of_list(targets, order)


def travelled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, 5))


def cut_up(session: ImageSession, work: ImageWork, each: int = 4, **more: Any) -> list[ImageUnit]:
    resolved = [travelled(resolve(session, travelled(question))) for question in work.chunks(3)]
    todo = units(work, resolved[::-1], each, **more)
    assert sum(len(unit) for unit in todo) == len(work)
    return [travelled(unit) for unit in todo]


def done(
    session: ImageSession, work: ImageWork, results: ResultFolder, each: int = 4, **more: Any
) -> list[UnitReport]:
    """Do all of a work; everything goes through pickle, as it does to a worker and back."""
    return [
        travelled(run_unit(session, unit, results, f"job/part-{number:06d}", **more))
        for number, unit in enumerate(cut_up(session, work, each))
    ]


def lines(reports: Sequence[UnitReport], count: int) -> list[dict[str, Any]]:
    return manifest_table(reports, count).to_pylist()  # type: ignore[no-any-return]


def bodies(reports: Sequence[UnitReport], results: ResultFolder) -> dict[int, bytes]:
    found = {}
    for report in reports:
        for file in report.files():
            part = results.open(file.part)
            found[file.row] = part.read_at(file.offset, file.length)
            part.close()
    return found


def opened(body: bytes) -> fits.HDUList:
    return fits.open(io.BytesIO(body))


# ---------------------------------------------------------------------- lists


@pytest.mark.parametrize("each", [1, 3, 1000])
def test_a_list_with_all_that_can_happen(session: ImageSession, results: ResultFolder, each: int) -> None:
    rows = [
        Row(at(0, 0), "inside"),
        Row(at(0.2, 0.1, bands=("g", "r")), "two bands"),
        Row(at(-5 / 9, 0), "half outside"),
        Row(at(0.5, 0.5, algorithm="coadd", size=60), "all four"),
        Row(at(40, 0), "nowhere"),
        Row(ByImage("small", "ne_r"), "whole image"),
        Row(ByImage("small", "no_such"), "no such image"),
        Row(ByImage("small", "sw_g", parse_circle("10 10 0.1")), "beside"),
        Row(UsageError("It is wrong."), "wrong"),
        Row(at(6, 0), "gone"),
        Row(at(8, 0.4), "truncated"),
        Row(at(10, 0, bands=("r",)), "overwritten"),
        Row(at(0.1, 0, output=Output("png")), "picture"),
        Row(at(0, 0), "inside again"),
    ]
    work = listed(rows)
    reports = done(session, work, results, each)
    found = lines(reports, len(rows))
    assert [(line["id"], line["status"]) for line in found] == [
        ("inside", OK), ("two bands", OK), ("half outside", OK), ("all four", OK), ("nowhere", NOT_FOUND),
        ("whole image", OK), ("no such image", NOT_FOUND), ("beside", NO_OVERLAP), ("wrong", ERROR),
        ("gone", ERROR), ("truncated", ERROR), ("overwritten", ERROR), ("picture", OK), ("inside again", OK),
    ]  # fmt: skip
    assert all((line["message"] is None) == (line["status"] == OK) for line in found)
    assert [line["images"] for line in found[:4]] == [
        "se_g", "se_g se_r", "se_g", "ne_g nw_g se_g sw_g",
    ]  # fmt: skip
    assert found[5]["image"] == "ne_r"
    assert found[0]["image"] is None
    assert found[0]["covered"] == 1.0
    assert 0.4 < found[2]["covered"] < 0.6
    assert found[3]["covered"] == 1.0
    assert found[0]["archive_file"].endswith("/se_g.fits")
    assert [one.rpartition("/")[2] for one in found[1]["archive_file"].split(" ")] == [
        "se_g.fits",
        "se_r.fits.fz",
    ]
    assert found[4]["archive_file"] is None
    assert "no_such" in found[6]["message"]
    assert "gone_g.fits" in found[9]["message"]
    made = bodies(reports, results)
    assert sorted(made) == [row for row, line in enumerate(found, 1) if line["status"] == OK]
    assert made[1] == made[14]
    for row, body in made.items():
        assert hashlib.sha256(body).hexdigest() == found[row - 1]["sha256"]
        assert len(body) == found[row - 1]["bytes"]
    assert made[13].startswith(b"\x89PNG")
    assert np.array_equal(opened(made[6])[0].data, pixels_of(TILES[2], "r"))


def test_cuts_are_what_astropy_cuts(session: ImageSession, results: ResultFolder) -> None:
    spots = [(0.0213 * n + 0.001, 0.0147 * n - 0.3) for n in range(25)]
    rows = [Row(at(*spot, size=31, bands=(band,))) for spot in spots for band in "gr"]
    made = bodies(done(session, listed(rows), results, 1000), results)
    assert len(made) == len(rows)
    for number, row in enumerate(rows, 1):
        request = row.request
        assert isinstance(request, AtPosition)
        with opened(made[number]) as file:
            name = file[0].header["IMAGEID"]
            (tile,) = (one for one in TILES if f"{one.name}_{request.bands[0]}" == name)
            middle = [float(one) for one in wcs_of(tile).world_to_pixel_values(request.ra, request.dec)]
            expected = Cutout2D(pixels_of(tile, request.bands[0]), tuple(middle), 31, mode="partial")
            assert np.array_equal(file[0].data, expected.data, equal_nan=True)
            found = [float(one) for one in WCS(file[0].header).world_to_pixel_values(request.ra, request.dec)]
            # The pixel that the place is in is the sixteenth of thirty-one.
            assert found == pytest.approx([one - np.floor(one + 0.5) + 15 for one in middle], abs=1e-6)


def test_what_is_cut_alone_is_the_same(session: ImageSession, results: ResultFolder) -> None:
    rows = [
        Row(at(0.5, 0.4, algorithm="coadd", size=40)),
        Row(at(0.49, 0.4, algorithm="median", bands=())),
        Row(at(0, 0.1, output=Output("jpeg"))),
        Row(ByImage("small", "sw_r", parse_circle("149.975 1.975 0.005"), planes=("weight",))),
    ]
    made = bodies(done(session, listed(rows), results), results)
    assert made == {number: session.answer(row.request).body for number, row in enumerate(rows, 1)}  # type: ignore[arg-type]


def test_a_mosaic_shows_the_sky_of_its_tiles(session: ImageSession, results: ResultFolder) -> None:
    (made,) = bodies(
        done(session, listed([Row(at(0.5, 0.5, size=80, algorithm="coadd"))]), results), results
    ).values()
    with opened(made) as file:
        y, x = np.mgrid[10:70, 10:70]
        ra, dec = WCS(file[0].header).pixel_to_world_values(x, y)
        assert np.abs(file[0].data[10:70, 10:70] - brightness(ra, dec, "g")).max() < 0.05


# ---------------------------------------------------------------------- units


def test_neighbours_are_in_one_unit_and_few_reads(session: ImageSession, results: ResultFolder) -> None:
    rng = np.random.default_rng(3)
    rows = [Row(at(float(rng.integers(2)), float(rng.uniform(-0.3, 0.3)), bands=("r",))) for _ in range(40)]
    todo = cut_up(session, listed(rows), 20)
    first = [
        sorted({one for images in unit.targets["images"].to_pylist() for one in images}) for unit in todo
    ]
    assert first[0][0] == "se_r"
    assert first[-1][-1] == "sw_r"
    assert sum(len(images) for images in first) <= 3
    before = session.files.reads
    whole_work = whole(listed(rows), [resolve(session, one) for one in listed(rows).chunks()])
    assert len(run_unit(session, whole_work, results, "job/part").entries) == 40
    assert session.files.reads - before <= 4


def test_wide_places_are_looked_up_few_at_a_time(session: ImageSession) -> None:
    rows = [Row(at(0, 0, size=size)) for size in (30, 30000, 30000, 30, 30000)]
    work = listed(rows)
    asked: list[int] = []

    class Counting(ImageSession):
        def candidates(self, requests: Sequence[ImageRequest]) -> Any:
            asked.append(len(requests))
            return session.candidates(requests)

    counting = object.__new__(Counting)
    counting.lake = session.lake
    (question,) = work.chunks()
    entries = resolve(counting, question).entries
    assert asked == [2, 2, 1]
    assert [len(one) for one in entries["images"].to_pylist()] == [1] * 5


def test_what_holds_several_images_is_apart(session: ImageSession) -> None:
    rows = [
        Row(at(0, 0)), Row(at(0.5, 0, algorithm="coadd")), Row(at(0, 0, algorithm="coadd")),
        Row(at(0.5, 0)), Row(at(50, 50)), Row(at(0.5, 0.5, algorithm="nearest")),
    ]  # fmt: skip
    todo = cut_up(session, listed(rows), 100)
    assert {frozenset(unit.targets["row"].to_pylist()): unit.several for unit in todo} == {
        frozenset({1, 3, 4, 5}): False,
        frozenset({2, 6}): True,
    }


def test_units_are_bounded_by_pixels(session: ImageSession) -> None:
    rows = [Row(ByImage("small", f"{tile.name}_{band}")) for tile in TILES for band in "gr"]
    todo = cut_up(session, listed(rows), 100, most_pixels=2.5 * SIDE * SIDE)
    assert [len(unit) for unit in todo] == [2, 2, 2, 2]
    assert [len(unit) for unit in cut_up(session, listed(rows), 100, most_pixels=1)] == [1] * 8


def test_what_is_too_much_is_that_targets_error(session: ImageSession, results: ResultFolder) -> None:
    rows = [Row(at(0, 0, size=4000)), Row(at(0, 0))]
    found = lines(done(session, listed(rows), results, limits=Limits(pixels=2e6, side=2000)), 2)
    assert [line["status"] for line in found] == [ERROR, OK]
    assert "4000 pixels on a side" in found[0]["message"]


def test_a_unit_that_is_called_off_writes_nothing(session: ImageSession, results: ResultFolder) -> None:
    looks = iter([False] * 3)
    (unit,) = cut_up(session, listed([Row(at(0, 0)) for _ in range(20)]), 100)
    with pytest.raises(Cancelled):
        run_unit(session, unit, results, "job/part", lambda: next(looks, True))
    assert results.names("job") == []


def test_a_unit_that_failed_for_good_is_in_the_manifest(session: ImageSession) -> None:
    todo = cut_up(session, listed([Row(at(0, 0)), Row(at(50, 50)), Row(UsageError("Wrong."))]), 100)
    found = lines([lost(unit, "The workers died.") for unit in todo], 3)
    assert [line["message"] for line in found][::2] == ["The workers died.", "Wrong."]
    assert [line["status"] for line in found] == [ERROR, NOT_FOUND, ERROR]


# ---------------------------------------------------------------------- combinations


def test_combinations_have_a_result_each(session: ImageSession, results: ResultFolder) -> None:
    near, far = parse_circle("150.025 1.975 0.003"), parse_circle("10 10 0.003")
    green = (4.2e-7, 5.0e-7)
    work = ImageWork.of_combinations(
        [
            (f"{image} {number}", ByImage("small", image, region, band, (60000.0, 60001.0)))
            for image in ("se_g", "se_r")
            for number, (region, band) in enumerate(
                [(near, None), (far, None), (near, green), (near, (1.0, 2.0))]
            )
        ]
    )
    reports = done(session, work, results, 3)
    files = sorted((file for report in reports for file in report.files()), key=lambda file: file.row)
    assert [file.status for file in files] == [
        OK, NO_OVERLAP, OK, NO_OVERLAP, OK, NO_OVERLAP, NO_OVERLAP, NO_OVERLAP,
    ]  # fmt: skip
    made = bodies(reports, results)
    for file in files:
        if file.status != OK:
            assert made[file.row].startswith(b"Error: ")
            assert file.content_type == "text/plain; charset=utf-8"
    assert made[1] == made[3]


# ---------------------------------------------------------------------- results


def test_the_zip_the_locator_and_the_manifests_agree(session: ImageSession, results: ResultFolder) -> None:
    rows = [Row(at(0.1 * n, 0, bands=("g",)), f"star {n}") for n in range(-9, 12)]
    reports = done(session, listed(rows), results, 5)
    table = manifest_table(reports, len(rows), urls="files/")
    pieces = zip_pieces(reports, manifests(table))
    body = b"".join(
        results.open(one.object).read_at(one.offset, one.length) if isinstance(one, Range) else one
        for one in pieces.pieces
    )
    names = [line["file"] for line in table.to_pylist() if line["file"]]
    with zipfile.ZipFile(io.BytesIO(body)) as bundle:
        assert bundle.testzip() is None
        assert bundle.namelist() == [*names, "manifest.csv", "manifest.json", "manifest.vot"]
        results.write("job/locator", locator(reports, len(rows)))
        find = Locator(results.open("job/locator"))
        for name in names:
            found = find.find(name)
            assert found is not None
            assert results.open(found.object).read_at(found.offset, found.length) == bundle.read(name)
        head = bundle.read("manifest.csv").decode().partition("\r\n")[0].split(",")
    assert head[4:9] == ["survey", "image", "images", "covered", "file"]
    assert SCALE == 1.0


def test_the_manifests_votable_has_the_columns_of_images(
    session: ImageSession, results: ResultFolder
) -> None:
    from astropy.io.votable import parse

    reports = done(session, listed([Row(at(0, 0)), Row(at(50, 0))]), results)
    table = (
        parse(io.BytesIO(manifests(manifest_table(reports, 2))["manifest.vot"])).get_first_table().to_table()
    )
    assert {"image", "images", "covered"} < set(table.colnames)
    assert "alert" not in table.colnames
    assert table["covered"][0] == 1.0
