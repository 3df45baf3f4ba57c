"""Ingest of images: in place, once, resumable; what readers see meanwhile, and what is told of files that are wrong."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from image_files import SURVEY, coordinates, sky, write_survey, write_tile

from sodalake.lake.catalogue import FileRecord
from sodalake.lake.errors import ConfigurationError, NotInLake, UsageError
from sodalake.lake.files import as_url, filesystem, join, path_of, read_bytes, stat
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.imagerows import ImageRows
from sodalake.lake.images.indexing import index_images
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.images.overviews import LEAST, Strips, binned
from sodalake.lake.images.records import Image, Plain
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.writing import write_whole
from sodalake.server.cli import main
from sodalake.sodacut.images.strips import strips

Put = Callable[..., str]
Bring = Callable[..., Any]
Opened = Callable[[], tuple[ImageFinder, Any]]


class ImageIngestContract:
    """What an ingest of images does on every back end; a subclass says where lake and archive are."""

    @pytest.fixture
    def lake(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def archive(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def rows(self) -> str | None:
        return None

    @pytest.fixture
    def survey(self, tmp_path: Path) -> Path:
        return write_survey(tmp_path / "tiles.toml")

    @pytest.fixture
    def put(self, archive: str, tmp_path: Path) -> Put:
        """Writes a tile and its mask into the archive and returns its URL."""

        def put(name: str, ra: float, dec: float, **more: Any) -> str:
            local = write_tile(tmp_path / "made" / name, ra, dec, **more)
            for file in (local, local.with_name(f"{local.stem}_mask.fits")):
                if file.exists():
                    write_whole(join(archive, *file.relative_to(tmp_path / "made").parts), file.read_bytes())
            return join(archive, *local.relative_to(tmp_path / "made").parts)

        return put

    @pytest.fixture
    def bring(self, lake: str, rows: str | None, survey: Path) -> Bring:
        return lambda *paths, **options: ingest_images(
            lake, str(survey), list(paths), rows=rows, **{"workers": 1, **options}
        )

    @pytest.fixture
    def open_lake(self, lake: str) -> Iterator[Callable[[], Lake]]:
        """Opens the lake; it is closed when the test is over."""
        with contextlib.ExitStack() as stack:

            def open_lake() -> Lake:
                there = Lake.open(lake)
                stack.callback(there.close)
                return there

            yield open_lake

    @pytest.fixture
    def opened(self, open_lake: Callable[[], Lake]) -> Opened:
        def opened() -> tuple[ImageFinder, Any]:
            there = open_lake()
            return ImageFinder(there), there.image_survey("tiles")

        return opened

    def test_what_goes_in_is_found(
        self, open_lake: Callable[[], Lake], put: Put, bring: Bring, opened: Opened, archive: str, lake: str
    ) -> None:
        put("a/t1_r.fits", 10.0, 20.0)
        put("a/t1_g.fits", 10.0, 20.0)
        put("b/t2_r.fits", 10.02, 20.0, weight=False, mask=False)
        report = bring(archive)
        assert (report.rows, report.failed, len(report.done)) == (3, {}, 3)
        assert {done.url.rpartition("/")[2]: done.missing for done in report.done} == {
            "t1_g.fits": (), "t1_r.fits": (), "t2_r.fits": ("weight", "mask"),
        }  # fmt: skip
        finder, tiles = opened()
        assert ids(finder.near(tiles, 10.0, 20.0, 0.0)) == ["t1_g", "t1_r"]
        assert ids(finder.near(tiles, 10.01, 20.0, 0.001)) == ["t1_g", "t1_r", "t2_r"]
        assert ids(finder.near(tiles, 10.0, 20.0, 1.0, bands=("g", "i"))) == ["t1_g"]
        assert finder.near(tiles, 11.0, 20.0, 0.5) == []
        image = finder.by_id(tiles, "t1_r")
        assert image.pixels.url == join(archive, "a", "t1_r.fits")
        assert image.pixels.size == stat(image.pixels.url).size
        for plane in (image.pixels, image.planes["weight"], image.planes["mask"]):
            assert plane.mtime == stat(plane.url).mtime > 1e9
        place = image.pixels.place
        assert isinstance(place, Plain)
        pixels = np.frombuffer(read_bytes(image.pixels.url), ">f4", 60 * 80, place.offset)
        assert np.array_equal(pixels.reshape(60, 80), sky((60, 80)))
        assert ids(finder.by_ids(tiles, ["t2_r", "none", "t1_g", "t2_r", ""])) == [
            "t2_r",
            None,
            "t1_g",
            "t2_r",
            None,
        ]
        with pytest.raises(NotInLake, match="There is no image 't9_r' in tiles"):
            finder.by_id(tiles, "t9_r")
        rows = ImageRows(open_lake())
        (table,) = rows.of_ids(
            tiles, ["t1_r", "none", "t1_r"], ["image_id", "band", "width", "t_min", "planes", "x"]
        )
        assert table.to_pylist() == [
            {
                "image_id": "t1_r",
                "band": "r",
                "width": 80,
                "t_min": 59000.25,
                "planes": "weight mask",
                "x": None,
            }
        ]

    def test_a_second_run_adds_nothing(
        self, open_lake: Callable[[], Lake], put: Put, bring: Bring, lake: str, archive: str
    ) -> None:
        put("t1_r.fits", 1, 2)
        bring(archive)
        report = bring(archive)
        assert (report.rows, len(report.known), report.done) == (0, 1, [])
        assert len(open_lake().catalogue("tiles").records()) == 1

    def test_the_later_ingest_of_an_image_wins(
        self, open_lake: Callable[[], Lake], put: Put, bring: Bring, opened: Opened, archive: str, lake: str
    ) -> None:
        put("a/t1_r.fits", 10.0, 20.0)
        put("a/t2_r.fits", 10.1, 20.0)
        bring(join(archive, "a"))
        put("b/t1_r.fits", 10.5, 20.0)  # the same image, processed again: elsewhere
        report = bring(join(archive, "b"))
        assert sum(done.superseded for done in report.done) == 1
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").ra == pytest.approx(10.5)
        assert finder.near(tiles, 10.0, 20.0, 0.0) == []
        assert ids(finder.near(tiles, 10.5, 20.0, 0.0)) == ["t1_r"]
        rows = ImageRows(open_lake())
        assert [n for t in rows.all(tiles, ["image_id"]) for n in t.column(0).to_pylist()] == ["t1_r", "t2_r"]
        # Both are gone over again when they are changed, and the last one counts.
        put("a/t1_r.fits", 10.7, 20.0, shape=(61, 81))
        bring(archive)
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").ra == pytest.approx(10.7)
        assert len(finder.outlines_near(tiles, 0.0, 0.0, 180.0)) == 2

    def test_a_changed_file_is_indexed_anew(
        self, put: Put, bring: Bring, opened: Opened, archive: str
    ) -> None:
        put("t1_r.fits", 10.0, 20.0)
        bring(archive)
        finder, tiles = opened()
        before = finder.by_id(tiles, "t1_r")
        put("t1_r.fits", 30.0, 20.0, shape=(70, 80))
        assert len(bring(archive).done) == 1
        finder, tiles = opened()
        after = finder.by_id(tiles, "t1_r")
        assert (after.shape, after.number) == ((70, 80), before.number + 1)
        assert finder.near(tiles, 10.0, 20.0, 0.0) == []

    def test_a_changed_survey_file_is_heeded(
        self, put: Put, bring: Bring, opened: Opened, archive: str, survey: Path
    ) -> None:
        put("t1_r.fits", 10.0, 20.0)
        bring(archive)
        write_survey(survey, changes=[("zero_point = 31.4", "zero_point = 22.5")])
        report = bring(archive)
        assert (len(report.done), report.known) == (1, [])
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").zero_point == 22.5
        write_survey(
            survey, changes=[("zero_point = 31.4", "zero_point = 22.5"), ('title = "Tiles"', 'title = "T"')]
        )
        assert len(bring(archive).known) == 1  # what does not matter to the index does not

    def test_a_mask_that_is_new_or_changed_is_noticed(
        self, put: Put, bring: Bring, opened: Opened, archive: str
    ) -> None:
        url = put("t1_r.fits", 10.0, 20.0)
        put("t2_r.fits", 10.1, 20.0)
        masked = join(archive, "t1_r_mask.fits")
        mask = read_bytes(masked)
        filesystem(masked).rm(path_of(masked))
        assert len(bring(archive).done) == 2
        before = stat(url)
        for number in (3, 4):
            write_whole(masked, mask)  # first it is new, then it is another
            assert bring(url).done == []  # who gives the image alone is not told of the mask
            (done,) = bring(archive).done
            assert (done.number, done.url, done.missing) == (number, url, ())
            finder, tiles = opened()
            assert finder.by_id(tiles, "t1_r").planes["mask"].mtime == stat(masked).mtime
            assert bring(archive).done == []
        assert stat(url) == before

    def test_a_running_finder_sees_what_is_new(
        self, put: Put, bring: Bring, opened: Opened, archive: str
    ) -> None:
        put("t1_r.fits", 10.0, 20.0)
        bring(archive)
        finder, tiles = opened()
        assert ids(finder.near(tiles, 10.0, 20.0, 0.0)) == ["t1_r"]
        put("t1_g.fits", 10.0, 20.0)
        bring(archive)
        finder._lake.catalogue("tiles").view(fresh=True)
        assert ids(finder.near(tiles, 10.0, 20.0, 0.0)) == ["t1_g", "t1_r"]

    def test_pending_files_are_not_seen(
        self,
        open_lake: Callable[[], Lake],
        put: Put,
        bring: Bring,
        opened: Opened,
        archive: str,
        lake: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        put("a/t1_r.fits", 10.0, 20.0)
        bring(join(archive, "a"))
        url = put("b/t1_r.fits", 50.0, 20.0)
        there = open_lake()
        file = stat(url)
        catalogue = there.catalogue("tiles")
        record = catalogue.begin(FileRecord(0, url, file.size, file.mtime))

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("sodalake.lake.catalogue.Catalogue.commit", killed)
            with pytest.raises(KeyboardInterrupt):
                index_images(lake, "tiles", record)
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").ra == pytest.approx(10.0)
        assert finder.near(tiles, 50.0, 20.0, 1.0) == []
        assert len(list(there.rows.scan("tiles.image", b"", None, ["d"]))) == 2  # it is written, and hidden
        report = bring(archive)
        assert [done.number for done in report.done] == [record.number]  # under the number it had
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").ra == pytest.approx(50.0)

    def test_of_two_files_one_hides_the_other_whichever_comes_first(
        self, open_lake: Callable[[], Lake], put: Put, bring: Bring, opened: Opened, archive: str, lake: str
    ) -> None:
        """A pending file that is done after a later one: one of them must show, not neither."""
        put("a/t1_r.fits", 10.0, 20.0)
        pending = put("b/t1_r.fits", 50.0, 20.0)
        bring(join(archive, "a"))
        there = open_lake()
        file = stat(pending)
        there.catalogue("tiles").begin(FileRecord(0, pending, file.size, file.mtime))
        put("c/t1_r.fits", 90.0, 20.0)
        bring(join(archive, "c"))
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").ra == pytest.approx(90.0)
        bring(join(archive, "b"))
        finder, tiles = opened()
        assert finder.by_id(tiles, "t1_r").ra == pytest.approx(50.0)
        assert len(finder.outlines_near(tiles, 0.0, 0.0, 180.0)) == 1

    def test_files_that_are_gzip_are_unpacked_with_their_planes(
        self, put: Put, bring: Bring, opened: Opened, archive: str, lake: str, tmp_path: Path
    ) -> None:
        write_tile(tmp_path / "t1_r.fits", 10.0, 20.0)
        for name in ("t1_r.fits", "t1_r_mask.fits"):
            write_whole(join(archive, f"{name}.gz"), gzip.compress((tmp_path / name).read_bytes()))
        assert bring(archive).failed == {}
        finder, tiles = opened()
        image = finder.by_id(tiles, "t1_r")
        assert image.pixels.url.startswith(join(as_url(lake), "files", "tiles"))
        assert read_bytes(image.pixels.url) == (tmp_path / "t1_r.fits").read_bytes()
        assert read_bytes(image.planes["mask"].url) == (tmp_path / "t1_r_mask.fits").read_bytes()
        assert len(bring(archive).known) == 1

    def test_collections_are_parts_of_the_archive(
        self,
        open_lake: Callable[[], Lake],
        bring: Bring,
        opened: Opened,
        archive: str,
        survey: Path,
        tmp_path: Path,
    ) -> None:
        first = '[collections.dr1]\ntitle = "One"\nfiles = "/dr1/"\ncalib_level = 2'
        survey.write_text(f'{SURVEY}\n{first}\n[collections.rest]\ntitle = "Others"')
        for folder, name in (("dr1", "t1"), ("dr1", "t2"), ("dr2", "t3")):
            content = write_tile(tmp_path / f"{name}_r.fits", 10.0, 20.0).read_bytes()
            packed = name == "t2"
            name = f"{name}_r.fits{'.gz' if packed else ''}"
            write_whole(join(archive, folder, name), gzip.compress(content) if packed else content)
        assert bring(archive).failed == {}
        finder, tiles = opened()
        assert ids(finder.near(tiles, 10.0, 20.0, 0.0, collections=("dr1",))) == ["t1_r", "t2_r"]
        assert ids(finder.near(tiles, 10.0, 20.0, 0.0, collections=("rest",))) == ["t3_r"]
        tables = list(ImageRows(open_lake()).all(tiles, ["image_id", "collection", "calib_level"]))
        assert [tuple(row.values()) for table in tables for row in table.to_pylist()] == [
            ("t1_r", "dr1", 2), ("t2_r", "dr1", 2), ("t3_r", "rest", 3),
        ]  # fmt: skip

    @pytest.mark.parametrize("reader", [None, strips], ids=["astropy", "sodacut"])
    def test_overviews(
        self, bring: Bring, opened: Opened, archive: str, tmp_path: Path, reader: Strips | None
    ) -> None:
        shape = (8 * LEAST + 3, 8 * LEAST + 13)
        pixels = sky(shape)
        pixels[0:8, 0:8] = np.nan
        pixels[8, 8] = np.nan
        hdus = [fits.PrimaryHDU(), fits.CompImageHDU(pixels, coordinates(1, 2, shape), name="SCI", quantize_level=0,
                                                     compression_type="GZIP_2", tile_shape=(16, 64))]  # fmt: skip
        fits.HDUList(hdus).writeto(tmp_path / "t1_r.fits.fz")
        write_whole(join(archive, "t1_r.fits.fz"), (tmp_path / "t1_r.fits.fz").read_bytes())
        assert bring(archive, strips=reader).failed == {}
        finder, tiles = opened()
        image = finder.by_id(tiles, "t1_r")
        assert (image.overview_bin, image.shape) == (8, shape)
        assert image.overview is not None
        small = overview_of(image)
        assert small.shape == (LEAST + 1, LEAST + 2)
        assert np.isnan(small[0, 0])
        assert small[3, 4] == pytest.approx(pixels[24:32, 32:40].mean(), rel=1e-6)
        assert small[1, 1] == pytest.approx(np.nanmean(pixels[8:16, 8:16]), rel=1e-6)
        assert small[-1, -1] == pytest.approx(pixels[8 * LEAST :, 8 * LEAST + 8 :].mean(), rel=1e-6)

    def test_files_that_are_wrong_fail_by_name_and_others_go_on(
        self, put: Put, bring: Bring, opened: Opened, archive: str
    ) -> None:
        good = put("a/good_r.fits", 10.0, 20.0)
        short = put("a/short_r.fits", 10.0, 20.0, mask=False, weight=False)
        write_whole(short, read_bytes(short)[:-9000])
        write_whole(join(archive, "text_r.fits"), b"This is no image.")
        write_whole(join(archive, "half_r.fits.gz"), gzip.compress(read_bytes(good))[:-50])
        nowhere = put("a/nowhere_r.fits", 10.0, 20.0, CTYPE1="X", CTYPE2="Y")
        odd = put("a/odd_r.fits", 10.0, 20.0, EXPTIME="long")
        late = put("a/unlike_z.fits", 10.0, 20.0)
        report = bring(archive)
        assert report.rows == 1
        said = {url.rpartition("/")[2]: why for url, why in report.failed.items()}
        assert "truncated" in said["short_r.fits"]
        assert "is not a FITS file" in said["text_r.fits"]
        assert "no whole gzip file" in said["half_r.fits.gz"]
        assert "no celestial coordinates" in said["nowhere_r.fits"]
        assert "EXPTIME is 'long'" in said["odd_r.fits"]
        assert len(said) == 5
        assert not any("Unexpected" in why for why in said.values())
        assert late not in report.failed  # its name is not one of the survey's
        for wrong in (short, nowhere, odd):
            assert wrong.rpartition("/")[2] in report.failed[wrong]
        finder, tiles = opened()
        assert ids(finder.near(tiles, 10.0, 20.0, 1.0)) == ["good_r"]


def ids(images: list[Any]) -> list[str | None]:
    return [None if image is None else image.image_id for image in images]


def overview_of(image: Image) -> Any:
    plane = image.overview
    assert plane is not None
    assert isinstance(plane.place, Plain)
    shape = tuple(-(-side // image.overview_bin) for side in image.shape)
    values = np.frombuffer(read_bytes(plane.url), ">f4", shape[0] * shape[1], plane.place.offset)
    return values.reshape(shape)


class TestEmbedded(ImageIngestContract):
    @pytest.fixture
    def lake(self, tmp_path: Path) -> str:
        return as_url(str(tmp_path / "lake"))

    @pytest.fixture
    def archive(self, tmp_path: Path) -> str:
        return as_url(str(tmp_path / "archive"))

    def test_a_killed_ingest_goes_on(
        self,
        open_lake: Callable[[], Lake],
        put: Put,
        bring: Bring,
        opened: Opened,
        archive: str,
        lake: str,
        survey: Path,
    ) -> None:
        for number in range(12):
            put(f"n{number:02d}/t{number}_r.fits", 10.0 + number, 20.0)
            put(f"n{number:02d}/same_r.fits", 200.0 + number, 20.0, mask=False)
        code = (
            "import sys; from sodalake.lake.images.ingesting import ingest_images\n"
            "if __name__ == '__main__':\n"
            "    ingest_images(sys.argv[1], sys.argv[2], [sys.argv[3]], workers=1,"
            " progress=lambda p: print(p.files, flush=True))"
        )
        for stop_after in (3, 9):
            with subprocess.Popen(
                [sys.executable, "-c", code, lake, str(survey), archive], stdout=subprocess.PIPE, text=True
            ) as run:
                assert run.stdout is not None
                for line in run.stdout:
                    if int(line) >= stop_after:
                        run.send_signal(signal.SIGKILL)
                        break
        report = bring(archive)
        assert not report.failed
        assert report.known
        assert len(report.known) + len(report.done) == 24
        finder, tiles = opened()
        assert len(finder.outlines_near(tiles, 0.0, 0.0, 180.0)) == 13
        assert finder.by_id(tiles, "same_r").ra == pytest.approx(211.0)  # of twelve the last
        records = open_lake().catalogue("tiles").records()
        assert sorted(record.number for record in records) == list(range(1, 25))
        assert {record.state for record in records} == {"committed"}

    def test_workers_heed_the_order_of_files(
        self, put: Put, bring: Bring, opened: Opened, archive: str
    ) -> None:
        for number in range(6):
            put(f"n{number}/same_r.fits", 200.0 + number, 20.0, mask=False)
            put(f"n{number}/t{number}_r.fits", 10.0 + number, 20.0, mask=False)
        report = bring(archive, workers=2)
        assert (report.failed, report.rows) == ({}, 12)
        assert sum(done.superseded for done in report.done) == 5
        finder, tiles = opened()
        assert finder.by_id(tiles, "same_r").ra == pytest.approx(205.0)

    def test_the_two_kinds_of_survey_are_not_mixed_up(
        self,
        open_lake: Callable[[], Lake],
        put: Put,
        bring: Bring,
        archive: str,
        lake: str,
        survey: Path,
        tmp_path: Path,
    ) -> None:
        url = put("t1_r.fits", 1, 2)
        with pytest.raises(
            ConfigurationError, match=r"tiles is a survey of images. Say so: .* --images PATH"
        ):
            ingest(lake, str(survey), [url])
        with pytest.raises(ConfigurationError, match=r"ztf is a survey of alerts. Leave --images out"):
            ingest_images(lake, "ztf", [url])
        assert open_lake().content.surveys == ()  # nothing was added by mistake
        bring(archive)
        opened = open_lake()
        assert (list(opened.surveys), list(opened.image_surveys)) == ([], ["tiles"])
        with pytest.raises(NotInLake, match="tiles is a survey of images, not of alerts"):
            opened.survey("tiles")
        with pytest.raises(NotInLake, match=r"There is no survey 'nix' here. Surveys of this lake: tiles"):
            opened.image_survey("nix")
        with pytest.raises(NotInLake, match="None of these 1 files is one of decam's"):
            ingest_images(lake, "decam", [url])
        other = write_survey(tmp_path / "other.toml", changes=[('name = "tiles"', 'name = "others"')])
        other.write_text(other.read_text() + '\n[collections.tiles]\ntitle = "The same"\n')
        with pytest.raises(ConfigurationError, match="The collection tiles is one of tiles's already"):
            opened.add_survey(str(other))

    def test_a_file_ingested_twice_at_once_is_refused(
        self, open_lake: Callable[[], Lake], put: Put, bring: Bring, lake: str, archive: str
    ) -> None:
        put("t1_r.fits", 1, 2)
        bring(archive)
        record = open_lake().catalogue("tiles").records()[0]
        with pytest.raises(NotInLake):
            index_images(lake, "nosuch", replace(record, state="pending"))

    def test_the_command(self, put: Put, archive: str, lake: str, survey: Path) -> None:
        put("t1_r.fits", 1, 2)
        write_whole(join(archive, "text_r.fits"), b"no")
        run = CliRunner().invoke(
            main, ["ingest", str(survey), "--images", "--workers", "1", "--lake", lake, archive]
        )
        assert run.exit_code == 1
        assert "1 images of 1 files in" in run.output
        assert "failed file://" in run.output
        run = CliRunner().invoke(
            main,
            [
                "ingest",
                str(survey),
                "--images",
                "--workers",
                "1",
                "--json",
                "--lake",
                lake,
                join(archive, "t1_r.fits"),
            ],
        )
        assert run.exit_code == 0
        told = json.loads(run.output)
        assert (told["images"], told["known"], told["failed"]) == (0, 1, {})
        run = CliRunner().invoke(main, ["ingest", str(survey), "--lake", lake, archive])
        assert run.exit_code == 2
        assert "--images PATH" in run.stderr
        run = CliRunner().invoke(main, ["ingest", str(survey), "--images", "--reindex", "--lake", lake])
        assert run.exit_code == 2
        assert "--reindex is of alerts" in run.stderr

    @pytest.mark.parametrize("reader", [None, strips], ids=["astropy", "sodacut"])
    def test_damaged_tiles_are_told_at_ingest(
        self, bring: Bring, archive: str, tmp_path: Path, reader: Strips | None
    ) -> None:
        shape = (8 * LEAST, 8 * LEAST)
        hdu = fits.CompImageHDU(sky(shape), coordinates(1, 2, shape), name="SCI", compression_type="GZIP_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "t1_r.fits")
        content = bytearray((tmp_path / "t1_r.fits").read_bytes())
        half = len(content) // 2
        content[half : half + 3000] = os.urandom(3000)
        write_whole(join(archive, "t1_r.fits"), bytes(content))
        (why,) = bring(archive, strips=reader).failed.values()
        assert "t1_r.fits" in why
        assert "Unexpected" not in why


@pytest.mark.cluster
class TestHadoop(ImageIngestContract):
    @pytest.fixture
    def lake(self, hdfs_url: str) -> str:
        return join(hdfs_url, "lake")

    @pytest.fixture
    def archive(self, hdfs_url: str) -> str:
        return join(hdfs_url, "archive")

    @pytest.fixture
    def rows(self, hbase_url: str) -> str:
        return hbase_url


def test_means_of_squares() -> None:
    pixels = np.arange(35.0).reshape(5, 7)
    whole = binned([pixels], 2)
    assert np.array_equal(whole, binned([pixels[:2], pixels[2:4], pixels[4:]], 2))
    assert whole.shape == (3, 4)
    assert whole[0, 0] == pytest.approx(pixels[:2, :2].mean())
    assert whole[2, 3] == pixels[4, 6]


def test_ids_that_no_key_can_have(tmp_path: Path) -> None:
    text = SURVEY.replace('id = "{tile}_{band}"', 'id = "{OBJECT}"')
    (tmp_path / "tiles.toml").write_text(text)
    write_tile(tmp_path / "archive" / "t1_r.fits", 1, 2, OBJECT="a name / with_blanks")
    write_tile(tmp_path / "archive" / "t2_r.fits", 1, 2, OBJECT="x" * 60 + "/" * 60)
    report = ingest_images(
        str(tmp_path / "lake"), str(tmp_path / "tiles.toml"), [str(tmp_path / "archive")], workers=1
    )
    assert report.rows == 1
    (why,) = report.failed.values()
    assert "has 240 characters; 1 to 200 are possible" in why
    lake = Lake.open(str(tmp_path / "lake"))
    finder, survey = ImageFinder(lake), lake.image_survey("tiles")
    assert finder.by_id(survey, "a name / with_blanks").band == "r"
    with pytest.raises(NotInLake):
        finder.by_id(survey, "x" * 400)
    with pytest.raises(UsageError, match="declination"):
        finder.near(survey, 0.0, 91.0, 1.0)
    with pytest.raises(UsageError, match="radius"):
        finder.near(survey, 0.0, 0.0, float("nan"))
