import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from click.testing import CliRunner

from sodalake.benchmarks import COMMANDS
from sodalake.benchmarks.footprints import FootprintRecipe, make_footprint_files
from sodalake.benchmarks.imagepeers import Answer
from sodalake.benchmarks.images import BENCH, QUICK
from sodalake.benchmarks.imagestage import ImageStage
from sodalake.benchmarks.imagetiles import BANDS, TileRecipe, make_tile_files
from sodalake.benchmarks.report import Figure
from sodalake.benchmarks.sites import embedded_site

TINY = replace(
    QUICK, side=512, images=60, in_a_file=20, requests=4, cuts=24, bulk=24, field=0.05, sheet=1, warm=1
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStage]:
    cache = tmp_path_factory.mktemp("tiles")
    with embedded_site() as site, ImageStage(site, TINY, cache, lambda _: None) as stage:
        yield stage


@pytest.fixture(scope="module")
def figures(stage: ImageStage) -> list[Figure]:
    # astrocut has an environment of its own, of some hundred megabytes from a registry: not for a test.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sodalake.benchmarks.imageinside.astrocut", lambda *_: Answer(seconds=[0.1, 0.2], version="1")
        )
        return [figure for measure in BENCH.rows.values() for figure in measure(stage)]


@pytest.mark.embedded
def test_every_row_is_measured_embedded(figures: list[Figure], stage: ImageStage) -> None:
    assert {figure.row for figure in figures} == set(BENCH.rows)
    assert {figure.place for figure in figures} == {"embedded"}
    assert all(figure.reached > 0 for figure in figures), [one for one in figures if not one.reached > 0]
    assert json.loads(json.dumps([figure.to_dict() for figure in figures]))
    assert stage.cache is not None
    assert (stage.cache / "images-embedded.png").stat().st_size > 10_000


@pytest.mark.embedded
def test_what_does_not_depend_on_speed_is_reached(figures: list[Figure]) -> None:
    reached = {
        figure.measure: figure for figure in figures if figure.row == "bytes" and figure.mark is not None
    }
    assert len(reached) == 2
    assert all(figure.met for figure in reached.values()), reached


@pytest.mark.embedded
def test_every_measure_of_the_table_has_its_mark(figures: list[Figure]) -> None:
    marks = {figure.measure: figure.mark for figure in figures}
    wanted = {
        "SODA sync, plain, p50": 8, "SODA sync, rice, p50": 8, "by position, plain": 8,
        "in process, as FITS, plain": 1,
        "rice tiles: bytes": 0.3, "rice tiles: reads": 2, "tiles, plain, 2 workers": 2264,
        "tiles, rice, 2 workers": 600,
        "over 4 tiles, 3 bands, colour PNG, rice": 250, "in colour at 1024 px, rice": 3, "memory of a worker": 500,
        "the images of a position": 3,
    }  # fmt: skip
    for part, mark in wanted.items():
        assert [given for measure, given in marks.items() if part in measure] == [mark], part
    assert sum("astrocut" in measure for measure in marks) == 2
    assert sum("Cutout2D" in measure for measure in marks) == 2


@pytest.mark.embedded
def test_an_answer_that_has_other_pixels_is_not_measured(stage: ImageStage) -> None:
    one, other = stage.cuts(2, seed=1)
    stage.check("plain", stage.by_image("plain", one), one)
    with pytest.raises(RuntimeError, match="others than its file has"):
        stage.check("plain", stage.by_image("plain", one), other)
    with pytest.raises(RuntimeError, match="404"):
        stage.fetch("/soda/sync?ID=ivo://sodalake/benchplain?nothing")


@pytest.mark.parametrize("form", ["plain", "rice"])
def test_tiles_see_the_same_sky(form: str, tmp_path: Path) -> None:
    recipe = TileRecipe(form, side=256, columns=2, rows=2)  # type: ignore[arg-type]
    made = make_tile_files(recipe, tmp_path, workers=1)
    assert len(made.files) == recipe.tiles * len(BANDS)
    again = make_tile_files(recipe, tmp_path, workers=1)
    assert again.files == made.files
    assert made.files[0].stat().st_mtime_ns == again.files[0].stat().st_mtime_ns
    planes = []
    for tile in (0, 1):
        with fits.open(made.path(tile, "r")) as hdus:
            hdu = hdus[-1]
            assert hdu.header["FILTER"] == "r"
            assert hdu.header["MAGZERO"] == 31.4
            if form == "rice":
                assert hdu.compression_type == "RICE_1"
                assert hdu.tile_shape == (1, 256)
            planes.append((np.asarray(hdu.data), WCS(hdu.header)))
    (west, left), (east, right) = planes
    # Both see the overlap, a twentieth of a side: the same to within their noise, where it is bright.
    y, x = np.mgrid[20:236, 2:10]
    at = left.world_to_pixel(right.pixel_to_world(x, y))
    columns, rows = (np.rint(axis).astype(int) for axis in at)
    inside = (columns >= 0) & (columns < 256) & (rows >= 0) & (rows < 256)
    other = inside if inside.any() else None
    if other is None:  # east is to the left
        x = x + 244
        at = left.world_to_pixel(right.pixel_to_world(x, y))
        columns, rows = (np.rint(axis).astype(int) for axis in at)
        inside = (columns >= 0) & (columns < 256) & (rows >= 0) & (rows < 256)
    assert inside.sum() > 500
    one, two = west[rows[inside], columns[inside]], east[y[inside], x[inside]]
    bright = one > 400
    if bright.sum() > 20:
        assert np.corrcoef(one[bright], two[bright])[0, 1] > 0.6


def test_footprints_are_as_many_as_asked_for(tmp_path: Path) -> None:
    made = make_footprint_files(FootprintRecipe(images=50, in_a_file=20), tmp_path)
    places = []
    for path in made.files:
        with fits.open(path) as hdus:
            hdus.verify("exception")
            for hdu in hdus[1:]:
                lon, lat = WCS(hdu.header).all_pix2world(1.5, 1.5, 0)
                places.append((float(lon), float(lat)))
    assert len(places) == 50
    np.testing.assert_allclose(places, list(made.recipe.places()), atol=1e-9)


def test_a_row_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(stage: ImageStage) -> list[Figure]:
        raise RuntimeError("No such luck.")

    bench = replace(BENCH, rows={"one": fails})
    monkeypatch.setattr("sodalake.benchmarks.images.BENCH", bench)
    arguments = ["--quick", "--json", "--where", "embedded", "--cache", str(tmp_path), "--only", "one"]
    done = CliRunner().invoke(COMMANDS["images"], arguments)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["failed"] == {"embedded, one": "No such luck."}


def test_rows_that_can_be_asked_for_are_the_rows_there_are() -> None:
    (only,) = (option for option in COMMANDS["images"].params if option.name == "only")
    assert tuple(only.type.choices) == tuple(BENCH.rows)  # type: ignore[attr-defined]


def test_without_astrocut_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sodalake.benchmarks.imagepeers import astrocut

    (tmp_path / "astrocut-venv/bin").mkdir(parents=True)
    (tmp_path / "astrocut-venv/ready").touch()
    python = tmp_path / "astrocut-venv/bin/python"
    python.write_text("#!/bin/sh\necho 'ModuleNotFoundError: no astrocut' >&2\nexit 1\n")
    python.chmod(0o755)
    answer = astrocut(tmp_path, ["a.fits"], [(1.0, 2.0)], 100)
    assert not answer.seconds
    assert answer.why == "astrocut cannot be run: ModuleNotFoundError: no astrocut"
