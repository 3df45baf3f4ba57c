"""HiPS of made and of real images: their numbers, their tree, what they say of themselves, and work that is cut off."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from click.testing import CliRunner
from image_lake import REAL, exposure
from mocpy import MOC
from numpy.typing import NDArray
from PIL import Image
from reproject import reproject_interp
from reproject.hips import reproject_to_hips
from scipy.ndimage import map_coordinates

from sodalake.lake.errors import ConfigurationError, NotInLake, Unavailable
from sodalake.lake.files import filesystem, read_bytes
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.lake import Lake
from sodalake.server.cli import main
from sodalake.sodacut.hips import publishing
from sodalake.sodacut.hips.building import Plan, build_band, build_colours, plan
from sodalake.sodacut.hips.properties import parsed, regime
from sodalake.sodacut.hips.publishing import publish, workplace
from sodalake.sodacut.hips.tiles import FILE, numbers_in, read_tile, tile_name
from sodalake.sodacut.images.frames import wcs_of

SURVEY = """
name = "{name}"
title = "Made for tests"
description = "Noise, and a ramp."
facility = "Test"
instrument = "Test"
licence = "CC0-1.0"

[images]
files = '[a-z]+_(?P<band>[gri])\\.fits'

[images.planes.mask]
meaning = "mask"
file = "{{stem}}.mask.fits"

[band]
name = "{{band}}"

[bands]
g = [4.0e-7, 5.5e-7]
r = [5.5e-7, 7.0e-7]
i = [7.0e-7, 8.5e-7]

[time]
keyword = "MJD-OBS"
exposure = "EXPTIME"

[pixels]
zero_point = "MAGZERO"
"""
ORDER = 10  # pixels of 0.4″, those of the images have 0.5″


def ingested(root: Path, name: str) -> Lake:
    survey = root / f"{name}.toml"
    survey.write_text(SURVEY.format(name=name))
    report = ingest_images(str(root / "lake"), str(survey), [str(root / name)], workers=1)
    assert report.rows
    assert not report.failed
    return Lake.open(str(root / "lake"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One image in r, two that overlap in g, one in i: of 200 by 167 arcseconds."""
    root = tmp_path_factory.mktemp("hips")
    folder = root / "made"
    folder.mkdir()
    for name, ra, mjd, level in (
        ("one_r", 40.0, 60_000.0, 10.0), ("one_g", 40.0, 60_001.0, 20.0), ("two_g", 40.03, 60_002.0, 30.0),
        ("one_i", 40.0, 60_003.0, 40.0),
    ):  # fmt: skip
        exposure(folder / f"{name}.fits", ra=ra, dec=-10.0, mjd=mjd, level=level)
    # Twice the numbers for the same light.
    with fits.open(folder / "two_g.fits", mode="update", memmap=False) as hdus:
        hdus[0].data *= 2
        hdus[0].header["MAGZERO"] = 25.0 + 2.5 * np.log10(2)
    fits.setval(folder / "one_g.fits", "MAGZERO", value=25.0)
    ramp(folder / "one_r.fits")
    return ingested(root, "made")


def ramp(path: Path) -> None:
    """Put a ramp over an image, so that a place can be told from its value."""
    with fits.open(path, mode="update", memmap=False) as hdus:
        y, x = np.mgrid[0 : hdus[0].data.shape[0], 0 : hdus[0].data.shape[1]]
        hdus[0].data = (100 + 0.25 * x + 0.5 * y).astype(np.float32)


def built(lake: Lake, folder: Path, band: str, order: int | None = ORDER) -> Plan:
    about = plan(lake, lake.image_survey("made"), "made", band, order)
    build_band(lake, about, folder, authority="test")
    return about


@pytest.fixture(scope="module")
def bands(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Plan]]:
    """A folder with the HiPS of all bands, and what they were to be."""
    folder = tmp_path_factory.mktemp("bands")
    return folder, {band: built(lake, folder / band, band) for band in "gri"}


def test_tiles_of_one_image_are_those_that_reproject_makes(
    lake: Lake, bands: tuple[Path, dict[str, Plan]], tmp_path: Path
) -> None:
    folders = {"ours": bands[0] / "r", "theirs": tmp_path / "theirs"}
    (image,) = ImageFinder(lake).near(lake.image_survey("made"), 40.0, -10.0, 0.01, bands=("r",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reproject's own, of tiles without a pixel
        with fits.open(image.pixels.url.removeprefix("file://")) as hdus:
            reproject_to_hips(
                (hdus[0].data.astype(float), WCS(hdus[0].header)),
                coord_system_out="equatorial",
                reproject_function=reproject_interp,
                output_directory=str(tmp_path / "theirs"),
                level=ORDER,
                tile_size=512,
            )
    numbers = numbers_in(folders["theirs"], ORDER)
    assert numbers == numbers_in(folders["ours"], ORDER)
    assert len(numbers) > 1
    for number in numbers:
        theirs, ours = (read_tile(folders[who], ORDER, number) for who in ("theirs", "ours"))
        assert theirs is not None
        assert ours is not None
        both = np.isfinite(theirs) & np.isfinite(ours)
        # A masked pixel has no part in ours, and no pixel more than the image has is there.
        assert np.count_nonzero(~np.isclose(ours[both], theirs[both], atol=1e-3)) < 30
        assert not (np.isfinite(ours) & ~np.isfinite(theirs)).any()
        assert np.count_nonzero(np.isfinite(theirs) & ~np.isfinite(ours)) < 30
        with fits.open(folders["ours"] / tile_name(ORDER, number)) as hdus:
            assert hdus[0].header["NPIX"] == number
            assert hdus[0].header["FILTER"] == "r"


@pytest.mark.parametrize("above", [9, 8, 6])
def test_a_tile_above_shows_the_same_places(
    lake: Lake, bands: tuple[Path, dict[str, Plan]], above: int
) -> None:
    folder = bands[0] / "r"
    (image,) = ImageFinder(lake).near(lake.image_survey("made"), 40.0, -10.0, 0.01, bands=("r",))
    wcs = wcs_of(image)
    seen = 0
    for number in numbers_in(folder, above):
        with fits.open(folder / tile_name(above, number)) as hdus:
            tile, frame = hdus[0].data, WCS(hdus[0].header)
        # Whole pixels only: those of whose neighbours all are there.
        there = np.isfinite(tile)
        inner = there[1:-1, 1:-1] & there[:-2, 1:-1] & there[2:, 1:-1] & there[1:-1, :-2] & there[1:-1, 2:]
        y, x = (axis + 1 for axis in np.nonzero(inner))
        at = wcs.world_to_pixel(frame.pixel_to_world(x, y))
        expected = 100 + 0.25 * at[0] + 0.5 * at[1]
        off = np.abs(tile[y, x] - expected) > 0.05 * 2 ** (ORDER - above)
        assert np.count_nonzero(off) < 10  # about the pixel that is masked
        seen += len(x)
    assert seen > 20


def test_overlapping_images_are_one_in_their_mean(bands: tuple[Path, dict[str, Plan]]) -> None:
    folder = bands[0] / "g"
    one, two, both = [], [], []
    for number in numbers_in(folder, ORDER):
        with fits.open(folder / tile_name(ORDER, number)) as hdus:
            tile, frame = hdus[0].data, WCS(hdus[0].header)
        y, x = np.nonzero(np.isfinite(tile))
        ra = frame.pixel_to_world(x, y).ra.deg
        # 200″ wide at dec -10, middles 106″ apart: 94″ in the middle are of both.
        east = (ra - 40.0) * np.cos(np.radians(10)) * 3600
        one.append(tile[y, x][east < -5])
        both.append(tile[y, x][(east > 10) & (east < 95)])
        two.append(tile[y, x][east > 110])
    means = [float(np.concatenate(values).mean()) for values in (one, both, two)]
    assert means == pytest.approx([20, 25, 30], abs=0.1)


def test_it_says_what_it_is(bands: tuple[Path, dict[str, Plan]]) -> None:
    folder, about = bands[0] / "g", bands[1]["g"]
    said = parsed((folder / "properties").read_bytes())
    for key in (
        "creator_did", "obs_title", "dataproduct_type", "hips_version", "hips_release_date", "hips_status",
        "hips_tile_format", "hips_order", "hips_frame", "obs_description", "obs_copyright", "hips_initial_ra",
        "hips_initial_dec", "hips_initial_fov", "hips_pixel_cut", "hips_data_range",
    ):  # fmt: skip
        assert said[key], key
    assert said["creator_did"] == "ivo://test/P/made/g"
    assert said["hips_frame"] == "equatorial"
    assert said["hips_order"] == str(ORDER)
    assert said["hips_tile_width"] == "512"
    assert said["hips_tile_format"].split() == ["png", "fits"]
    assert said["dataproduct_type"] == "image"
    assert (float(said["em_min"]), float(said["em_max"])) == pytest.approx((4.0e-7, 5.5e-7))
    assert said["obs_regime"] == "Optical"
    assert (float(said["t_min"]), float(said["t_max"])) == pytest.approx((60_001.0, 60_002.0), abs=1e-6)
    moc = MOC.load(str(folder / "Moc.fits"), "fits")
    assert float(said["moc_sky_fraction"]) == pytest.approx(moc.sky_fraction, rel=1e-4)
    assert moc == about.moc
    inside = moc.contains_lonlat([40.0, 40.05, 41.0] * u.deg, [-10.0, -10.0, -10.0] * u.deg)
    assert inside.tolist() == [True, True, False]
    page = (folder / "index.html").read_text()
    assert "Made for tests, g" in page
    assert "http" not in page
    names = {path.relative_to(folder).as_posix() for path in (folder).rglob("*") if path.is_file()}
    assert all(FILE.fullmatch(name) for name in names), names
    assert "Norder3/Allsky.png" in names


def test_the_order_is_that_of_the_images(lake: Lake) -> None:
    assert plan(lake, lake.image_survey("made"), "made", "g").order == 10
    assert plan(lake, lake.image_survey("made"), "made", "g", 5).order == 5


def test_a_shallow_one_is_of_averaged_pixels(lake: Lake, tmp_path: Path) -> None:
    built(lake, tmp_path / "g", "g", 7)  # pixels of 3.2″: six of the images' along a side
    (number, *_) = numbers_in(tmp_path / "g", 7)
    tile = read_tile(tmp_path / "g", 7, number)
    assert tile is not None
    values = tile[np.isfinite(tile)]
    # Noise of 1 in a pixel: 36 of them, then the four about a place.
    assert values[values < 21].std() < 0.2


def test_pictures_show_the_numbers_and_nothing_where_nothing_is(bands: tuple[Path, dict[str, Plan]]) -> None:
    folder = bands[0] / "r"
    (number, *_) = numbers_in(folder, ORDER)
    tile = read_tile(folder, ORDER, number)
    assert tile is not None
    picture = np.asarray(Image.open(folder / tile_name(ORDER, number, "png")))[::-1]
    np.testing.assert_array_equal(picture[..., 3] > 0, np.isfinite(tile))
    there = np.isfinite(tile)
    order = np.argsort(tile[there])
    assert (np.diff(picture[there][order][:, 0].astype(int)) >= 0).all()
    whole = np.asarray(Image.open(folder / "Norder3/Allsky.png"))
    assert whole.shape == (64 * 29, 64 * 27, 4)
    above = numbers_in(folder, 3)[0]
    row, column = divmod(above, 27)
    lit = whole[64 * row : 64 * row + 64, 64 * column : 64 * column + 64, 3]
    assert lit.any()
    assert np.count_nonzero(whole[..., 3]) == np.count_nonzero(lit)


def test_three_bands_in_colour(lake: Lake, bands: tuple[Path, dict[str, Plan]], tmp_path: Path) -> None:
    names = ("i", "r", "g")
    plans = [bands[1][name] for name in names]
    folders = [bands[0] / name for name in names]
    build_colours(lake, plans, folders, tmp_path / "colour", name="colour", authority="test", pictures="jpeg")
    said = parsed((tmp_path / "colour" / "properties").read_bytes())
    assert said["dataproduct_subtype"] == "color"
    assert said["hips_tile_format"] == "jpeg"
    assert (said["hips_rgb_red"], said["hips_rgb_green"], said["hips_rgb_blue"]) == names
    assert (float(said["em_min"]), float(said["em_max"])) == pytest.approx((4.0e-7, 8.5e-7))
    tiles = {number for folder in folders for number in numbers_in(folder, ORDER)}
    assert set(numbers_in(tmp_path / "colour", ORDER, "jpeg")) == tiles
    assert np.asarray(Image.open(tmp_path / "colour" / "preview.jpg")).shape == (512, 512, 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs shared/data/tiles")
def test_real_images_have_their_values_in_its_tiles(tmp_path: Path) -> None:
    report = ingest_images(str(tmp_path / "lake"), "decam", [str(REAL)], workers=1)
    assert not report.failed
    lake = Lake.open(str(tmp_path / "lake"))
    survey = lake.image_survey("decam")
    about = plan(lake, survey, "decam", "z")
    build_band(lake, about, tmp_path / "z", authority="test")
    zero_point = about.subject.zero_point
    assert zero_point is not None
    moc = MOC.load(str(tmp_path / "z" / "Moc.fits"), "fits")
    finder = ImageFinder(lake)
    compared = 0
    for number in numbers_in(tmp_path / "z", about.order):
        with fits.open(tmp_path / "z" / tile_name(about.order, number)) as hdus:
            tile, frame = hdus[0].data, WCS(hdus[0].header)
            assert hdus[0].header["MAGZERO"] == zero_point
        y, x = np.nonzero(np.isfinite(tile))
        sky = frame.pixel_to_world(x, y)
        assert moc.contains_lonlat(sky.ra[::50], sky.dec[::50]).all()
        images = finder.near(survey, float(sky.ra.deg.mean()), float(sky.dec.deg.mean()), 0.05, bands=("z",))
        if len(images) > 1:
            continue
        (image,) = images
        with fits.open(image.pixels.url.removeprefix("file://")) as hdus:
            data = np.asarray(hdus[image.hdu].data, float)
        at = wcs_of(image).world_to_pixel(sky)
        scale = 1.0 if image.zero_point is None else 10 ** (0.4 * (zero_point - image.zero_point))
        expected = scale * bilinear(data, at)
        # Beside a pixel that is masked the others count more.
        close = np.isclose(tile[y, x], expected, rtol=1e-4, atol=1e-3)
        assert close.mean() > 0.9
        compared += 1
    assert compared >= 2
    assert numbers_in(tmp_path / "z", 3)


def bilinear(
    data: NDArray[np.float64], at: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    return np.asarray(map_coordinates(data, (at[1], at[0]), order=1, mode="nearest"))


# ---------------------------------------------------------------------- cut off, and gone on with


class Stopped(Exception):
    pass


def test_work_that_was_cut_off_goes_on_and_nobody_sees_half_of_it(lake: Lake, tmp_path: Path) -> None:
    survey = lake.image_survey("made")
    about = plan(lake, survey, "made", "g", 11)
    assert len(about.tiles) > 8
    base = f"file://{tmp_path}"

    def cut(what: str, done: int, of: int) -> None:
        if done > 3:
            raise Stopped

    with workplace(base, "g", about.mark) as folder, pytest.raises(Stopped):
        build_band(lake, about, folder, authority="test", progress=cut)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("Npix*.fits")}
    assert 0 < len(made) < len(about.tiles)
    with workplace(base, "g", about.mark) as folder:
        build_band(lake, about, folder, authority="test")
        for path, time in made.items():
            assert path.stat().st_mtime_ns == time
        publish(folder, base, "g")
    assert [path.name for path in tmp_path.iterdir()] == ["g"]
    assert parsed((tmp_path / "g" / "properties").read_bytes())["hips_order"] == "11"
    assert not list((tmp_path / "g").rglob(".*"))


def test_two_do_not_make_the_same_one(tmp_path: Path) -> None:
    place = f"file://{tmp_path}", "g", "mark"
    with workplace(*place), pytest.raises(Unavailable, match="just now"), workplace(*place):
        pass


def test_what_was_begun_and_left_is_cleared_away(tmp_path: Path) -> None:
    base = f"file://{tmp_path}"
    with workplace(base, "g", "first") as folder:
        (folder / "Npix1.fits").touch()
    (tmp_path / f".g.{'0' * 32}.old").mkdir()
    (tmp_path / ".r.first.making").mkdir()
    with workplace(base, "g", "second") as folder:
        assert {path.name for path in tmp_path.glob(".g.*.making")} == {folder.name}
        (folder / "properties").touch()
        publish(folder, base, "g")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".r.first.making", "g"]


def test_the_old_one_is_there_until_the_new_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = f"file://{tmp_path}"
    for turn in ("first", "second"):
        with workplace(base, "g", turn) as folder:
            (folder / "properties").write_text(f"obs_title = {turn}\n")
            if turn == "second":
                assert parsed((tmp_path / "g/properties").read_bytes())["obs_title"] == "first"
            publish(folder, base, "g")
    assert parsed((tmp_path / "g/properties").read_bytes())["obs_title"] == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"take about .* GB"):
        publishing.check_room(tmp_path, 10**9, 12)
    publishing.check_room(tmp_path, 1, 12)


@pytest.mark.cluster
def test_on_hdfs_it_is_copied_and_renamed(
    lake: Lake, tmp_path: Path, hdfs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    about = plan(lake, lake.image_survey("made"), "made", "r", 8)
    seen = []
    for _ in range(2):
        with workplace(f"{hdfs_url}/hips", "r", about.mark) as folder:
            build_band(lake, about, folder, authority="test")
            wanted = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in folder.rglob("*")
                if path.name != ".lock" and path.is_file()
            }
            url = publish(folder, f"{hdfs_url}/hips", "r", lambda done, of: seen.append((done, of)))
        assert url == f"{hdfs_url}/hips/r"
        for name, content in wanted.items():
            assert read_bytes(f"{url}/{name}") == content
        names = [
            one["name"].rstrip("/").rpartition("/")[2]
            for one in filesystem(url).ls(f"{hdfs_url}/hips", detail=True)
        ]
        assert names == ["r"]
    assert seen[-1] == (len(wanted), len(wanted))
    assert not list((tmp_path / "cache").rglob("Npix*"))


# ---------------------------------------------------------------------- the command


@pytest.fixture
def hips(lake: Lake, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(
            main, ["hips", *arguments, "--lake", lake.url, "--workers", "1", "--out", str(tmp_path)]
        )
        return done.exit_code, done.output

    return run


def test_the_command_makes_what_is_asked_for(hips: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = hips("made", "--order", "4", "--colour", "--pictures", "jpeg")
    assert code == 0, said
    assert said.split() == [f"file://{tmp_path}/{name}" for name in ("g", "r", "i", "colour")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colour", "g", "i", "r"]
    code, said = hips("made", "--order", "3", "--band", "g")
    assert code == 0, said
    assert parsed((tmp_path / "g/properties").read_bytes())["hips_order"] == "3"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "There is no collection 'nowhere'"),
        (("made", "--band", "Q"), "no image in band 'Q'"),
        (("made", "--order", "99"), "--order"),
    ],
)
def test_what_cannot_be_made_is_told(
    hips: Callable[..., tuple[int, str]], arguments: tuple[str, ...], told: str
) -> None:
    code, said = hips(*arguments)
    assert code == 2
    assert told in said
    assert "Traceback" not in said


def test_an_image_that_cannot_be_read_ends_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "spoiled"
    folder.mkdir()
    exposure(folder / "one_g.fits", ra=40.0, dec=-10.0, mjd=60_000.0, level=10.0)
    lake = ingested(tmp_path, "spoiled")
    (folder / "one_g.fits").unlink()
    done = CliRunner().invoke(main, ["hips", "spoiled", "--lake", lake.url, "--workers", "1"])
    assert done.exit_code == 2
    assert "one_g.fits" in done.output
    assert not (tmp_path / "lake/hips/spoiled/g").exists()


def test_regimes() -> None:
    assert regime([(4e-7, 5.5e-7)]) == ["Optical"]
    assert regime([(1e-7, 2e-7), (2e-6, 3e-6)]) == ["UV", "Infrared"]


def test_a_collection_without_images_has_none(lake: Lake) -> None:
    with pytest.raises(NotInLake, match="no image in band"):
        plan(lake, lake.image_survey("made"), "made", "Y")
