"""The demo sky: deterministic, written as the real archives are, and consistent from light curve to pixel."""

from __future__ import annotations

import datetime
import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.alerts import ByAlert, Newest
from sodalake.lake.demo import DemoFile, add_noise, make_demo_lake, real_alerts, write_demo_archive
from sodalake.lake.demo import lightcurves as lc
from sodalake.lake.demo.archive import LAST_NIGHT
from sodalake.lake.demo.bands import BANDS, magnitude, njy
from sodalake.lake.demo.columns import schema_of, struct
from sodalake.lake.demo.fitsbytes import ztf_gzip
from sodalake.lake.demo.population import Galaxy, Kind, populate
from sodalake.lake.demo.scenes import Blobs, Pixels, PointSpread, render
from sodalake.lake.demo.tiles import TILE_BANDS
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.records import Plain, Tiled
from sodalake.lake.lake import Lake
from sodalake.lake.reader import Reader

KINDS = ("Science", "Template", "Difference")
REAL = {
    "ztf": "ztf/part-00000-67addd34-6967-4e0d-92ab-cd0a37aadaac.c000.snappy.parquet",
    "lsst": "lsst/part-1-0-417693031.parquet",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[DemoFile]:
    return write_demo_archive(str(tmp_path_factory.mktemp("demo")), objects=60, nights=10)


def path_of(file: DemoFile) -> Path:
    return Path(urlsplit(file.url).path)


def rows_of(files: Sequence[DemoFile], survey: str) -> list[dict[str, Any]]:
    return [
        row for file in files if file.survey == survey for row in pq.read_table(path_of(file)).to_pylist()
    ]


def stamp_of(row: dict[str, Any], kind: str) -> bytes | None:
    stored = row[f"cutout{kind}"]
    return stored["stampData"] if isinstance(stored, dict) else stored


def pixels_of(stamp: bytes) -> Any:
    plain = gzip.decompress(stamp) if stamp[:2] == b"\x1f\x8b" else stamp
    with fits.open(io.BytesIO(plain), ignore_missing_simple=True) as hdus:
        return np.array(hdus[0].data, dtype=np.float64)


# ---------------------------------------------------------------------- files


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one, two, other = (
        write_demo_archive(str(tmp_path / name), objects=9, nights=5, seed=seed)
        for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    assert len(one) == len(two) > 2

    def contents(made: list[DemoFile], name: str) -> dict[str, bytes]:
        return {str(path_of(f).relative_to(tmp_path / name)): path_of(f).read_bytes() for f in made}

    assert contents(one, "one") == contents(two, "two")
    assert not set(contents(one, "one").values()) & set(contents(other, "other").values())


def test_an_object_is_the_same_in_a_larger_sky(tmp_path: Path) -> None:
    small, large = (
        rows_of(write_demo_archive(str(tmp_path / str(n)), objects=n, nights=4, surveys=["ztf"]), "ztf")
        for n in (8, 16)
    )
    by_id = {row["candid"]: row for row in large}
    assert 0 < len(small) < len(large)
    for row in small:
        twin = by_id[row["candid"]]
        assert row["objectId"] == twin["objectId"]
        assert [stamp_of(row, k) for k in KINDS] == [stamp_of(twin, k) for k in KINDS]


def test_files_lie_where_fink_puts_them(files: list[DemoFile]) -> None:
    assert {file.survey for file in files} == {"ztf", "lsst"}
    for file in files:
        tail = "/".join(path_of(file).parts[-7:])
        night = f"year={file.night:%Y}/month={file.night:%m}/day={file.night:%d}"
        assert re.fullmatch(
            rf"{file.survey}/archive/science/{night}/part-00000-[0-9a-f-]{{36}}\.c000\.snappy\.parquet", tail
        )
        assert file.size == path_of(file).stat().st_size
        assert LAST_NIGHT - datetime.timedelta(days=10) < file.night <= LAST_NIGHT


def test_files_are_built_as_finks_are(files: list[DemoFile]) -> None:
    for file in files:
        metadata = pq.read_metadata(path_of(file))
        assert (metadata.num_row_groups, metadata.num_rows) == (1, file.rows)
        columns = [metadata.row_group(0).column(at) for at in range(metadata.num_columns)]
        assert {column.compression for column in columns} == {"SNAPPY"}
        stamps = [c for c in columns if re.search(r"cutout\w+(\.stampData)?$", c.path_in_schema)]
        assert len(stamps) == 3
        for column in stamps:
            assert "PLAIN" in column.encodings
            assert not column.has_dictionary_page
    ztf = next(pq.read_metadata(path_of(f)).row_group(0) for f in files if f.survey == "ztf")
    times = [ztf.column(at) for at in range(ztf.num_columns) if ztf.column(at).path_in_schema == "timestamp"]
    assert [column.physical_type for column in times] == ["INT96"]


@pytest.mark.parametrize("survey", ["ztf", "lsst"])
def test_schemas_are_those_of_real_files(files: list[DemoFile], survey: str) -> None:
    real = schema_of(REAL[survey])
    for file in files:
        if file.survey == survey:
            for field in pq.read_schema(path_of(file)):
                assert field.type == real.field(field.name).type, field.name
            carried = set(pq.read_schema(path_of(file)).names)
            assert set(real.names) - carried <= {"year", "month", "day", "tns_type_recomputed"}


def test_every_real_ztf_file_has_the_candidate_the_demo_has(files: list[DemoFile], real_alerts: Path) -> None:
    ours = pq.read_schema(path_of(files[0])).field("candidate").type
    for path in sorted(real_alerts.glob("ztf_fink_*/*.snappy.parquet")):
        theirs = pq.read_schema(path).field("candidate").type
        assert {(f.name, f.type) for f in theirs} == {(f.name, f.type) for f in ours}, path.name


def test_the_size_follows_the_number_of_objects(tmp_path: Path) -> None:
    totals = {}
    for objects in (10, 40):
        made = write_demo_archive(str(tmp_path / str(objects)), objects=objects, nights=6)
        totals[objects] = sum(file.rows for file in made), sum(file.size for file in made)
    assert 2 < totals[40][0] / totals[10][0] < 8
    for rows, size in totals.values():
        assert size < rows * 130_000 + 1_000_000


def test_progress_ends_where_it_said(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = write_demo_archive(
        str(tmp_path), objects=6, nights=4, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (sum(file.rows for file in made),) * 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("wrong", [{"objects": 0}, {"nights": 0}, {"surveys": ["sdss"]}])
def test_a_sky_that_cannot_be(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one object"):
        write_demo_archive(str(tmp_path), **wrong)


# ---------------------------------------------------------------------- alerts


def test_ztf_ids_are_built_as_ztfs(files: list[DemoFile]) -> None:
    rows = rows_of(files, "ztf")
    ids = [row["candid"] for row in rows]
    assert len(set(ids)) == len(ids)
    for row in rows:
        candidate = row["candidate"]
        assert row["candid"] == candidate["candid"] > 2**53
        assert row["candid"] // 1_000_000 == candidate["pid"]
        assert candidate["pid"] // 10**9 == candidate["nid"]
        assert candidate["pid"] // 100 % 100 == candidate["rcid"]
        assert row["candid"] % 1_000_000 // 5_000 == (3 if candidate["isdiffpos"] == "t" else 2)
        assert re.fullmatch(r"ZTF(18|26)[a-z]{7}", row["objectId"])


def test_rubin_ids_are_as_rubins(files: list[DemoFile]) -> None:
    rows = rows_of(files, "lsst")
    ids = [row["diaSourceId"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert all(2**53 < one < 2**63 for one in ids)
    for row in rows:
        source, moving = row["diaSource"], row["pred"]["is_sso"]
        assert source["diaSourceId"] == row["diaSourceId"]
        assert (source["diaObjectId"] == 0) == moving == (source["ssObjectId"] > 0)
        assert (row["diaObject"] is None) == moving == (row["ssSource"] is not None)
        if not moving:
            assert row["diaObject"]["diaObjectId"] == source["diaObjectId"]
            assert row["diaObject"]["nDiaSources"] == len(row["prvDiaSources"]) + 1


def test_the_history_of_an_alert_is_what_came_before(files: list[DemoFile]) -> None:
    rows = rows_of(files, "ztf")
    seen = {row["candid"]: row for row in rows}
    known = 0
    for row in rows:
        times = [before["jd"] for before in row["prv_candidates"]]
        assert all(row["candidate"]["jd"] - 30 <= time < row["candidate"]["jd"] for time in times)
        for before in row["prv_candidates"]:
            assert (before["candid"] is None) == (before["magpsf"] is None)
            if before["candid"] is not None:
                known += 1
                assert seen[before["candid"]]["objectId"] == row["objectId"]
                assert before["magpsf"] == pytest.approx(
                    seen[before["candid"]]["candidate"]["magpsf"], rel=1e-6
                )
    assert known > 20


def test_alerts_stand_out_and_asteroids_do_not_come_back(files: list[DemoFile]) -> None:
    rows = rows_of(files, "ztf")
    assert all(row["candidate"]["scorr"] > 5 for row in rows)
    moving = [row["objectId"] for row in rows if row["roid"] == 3]
    assert len(moving) == len(set(moving)) > 0
    assert {row["candidate"]["isdiffpos"] for row in rows} == {"t", "f"}


# ---------------------------------------------------------------------- pixels


def test_ztf_stamps_are_like_ztfs(files: list[DemoFile]) -> None:
    shapes, holes, lost = set(), 0, 0
    for row in rows_of(files, "ztf"):
        for kind in KINDS:
            stamp = stamp_of(row, kind)
            if stamp is None:
                lost += 1
                assert row[f"cutout{kind}"] is None
                continue
            plain = gzip.decompress(stamp)
            assert len(plain) % 2880 == 0
            assert plain.startswith(b"SIMPLE  =  T ")  # as ZTF writes it: not FITS to the letter
            assert b"CRVAL" not in plain[:2880]
            image = pixels_of(stamp)
            shapes.add(image.shape)
            holes += bool(np.isnan(image).any())
            assert np.isfinite(image).mean() > 0.3
            assert row[f"cutout{kind}"]["fileName"].startswith(f"candid{row['candid']}_pid")
    assert (63, 63) in shapes
    assert max(max(shape) for shape in shapes) == 63
    assert len(shapes) > 1, "stamps at the end of a chip are smaller"
    assert holes > 3, "or have NaN beyond it"
    assert lost > 0, "and some are missing"


def test_rubin_stamps_are_like_rubins(files: list[DemoFile]) -> None:
    sizes = set()
    for row in rows_of(files, "lsst"):
        for kind in KINDS:
            stamp = stamp_of(row, kind)
            if stamp is None:
                continue
            assert len(stamp) % 2880 == 0
            with fits.open(io.BytesIO(stamp)) as hdus:
                hdus.verify("exception")
                assert [hdu.name for hdu in hdus] == ["PRIMARY", "UNCERT", "PSFIMAGE"]
                assert hdus[0].header["BUNIT"] == "nJy"
                assert hdus[1].shape == hdus[0].shape
                assert (hdus[2].shape, hdus[2].header["BITPIX"]) == ((41, 41), -64)
                assert hdus[2].data.sum() == pytest.approx(1.0)
                assert np.nanmin(hdus[1].data) > 0
                wcs = WCS({**hdus[0].header, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
                x, y = wcs.world_to_pixel_values(row["diaSource"]["ra"], row["diaSource"]["dec"])
                sizes.add(hdus[0].shape)
                if row["diaSource"]["pixelFlags_edge"] is False:
                    assert (x, y) == pytest.approx(
                        ((hdus[0].shape[1] - 1) / 2, (hdus[0].shape[0] - 1) / 2), abs=1.5
                    )
    assert len(sizes) > 3
    assert all(max(size) <= 56 for size in sizes)


def test_headers_have_the_cards_of_real_ones(files: list[DemoFile]) -> None:
    ours = stamp_of(next(r for r in rows_of(files, "lsst") if stamp_of(r, "Science")), "Science")
    theirs = pq.read_table(
        pa.BufferReader(dict(real_alerts("lsst"))["part-1-0-417693031.parquet"])
    ).to_pylist()[0]
    assert ours is not None
    with fits.open(io.BytesIO(ours)) as mine, fits.open(io.BytesIO(theirs["cutoutScience"])) as real:
        for a, b in zip(mine, real, strict=True):
            assert [card.keyword for card in a.header.cards] == [card.keyword for card in b.header.cards]
            assert [card.comment for card in a.header.cards] == [card.comment for card in b.header.cards]


def aperture(image: Any, radius: float, centre: tuple[float, float]) -> float:
    rows, columns = np.indices(image.shape)
    inside = (rows - centre[1]) ** 2 + (columns - centre[0]) ** 2 <= radius**2
    return float(image[inside].sum())


def test_difference_is_science_less_template(files: list[DemoFile]) -> None:
    """In an aperture wide enough for both seeings, to the noise; and it holds the flux that the catalogue says."""
    pulls, fluxes = [], []
    for row in rows_of(files, "ztf"):
        candidate = row["candidate"]
        stamps = [stamp_of(row, kind) for kind in KINDS]
        if (
            None in stamps
            or candidate["drb"] < 0.6
            or candidate["mindtoedge"] < 40
            or candidate["distnr"] > 3
        ):
            continue
        science, template, difference = (pixels_of(stamp) for stamp in stamps if stamp is not None)
        if science.shape != (63, 63) or np.isnan(science).any():
            continue
        noise = 1.4826 * np.median(np.abs(difference - np.median(difference)))
        sky = np.median(science - template)
        left = aperture(science - template - sky, 9, (31, 31))
        right = aperture(difference, 9, (31, 31))
        star = 10 ** (-0.4 * (candidate["magnr"] - candidate["magzpsci"]))
        sigma = noise * np.sqrt(np.pi * 81) * 0.5 + 0.03 * star + 5 * noise
        pulls.append((left - right) / sigma)
        expected = 10 ** (-0.4 * (candidate["magpsf"] - candidate["magzpsci"]))
        expected *= 1 if candidate["isdiffpos"] == "t" else -1
        if candidate["scorr"] > 30:
            fluxes.append(right / expected)
    assert len(pulls) > 40
    assert len(fluxes) > 10
    assert np.abs(np.median(pulls)) < 0.5
    assert np.mean(np.abs(pulls) < 3) > 0.9
    assert np.median(fluxes) == pytest.approx(1.0, abs=0.1)


def test_a_star_keeps_its_light_whatever_the_seeing() -> None:
    star = Blobs.points(0.3, -0.2, 5000.0)
    for fwhm, stretch, angle in ((2.2, 1.0, 0.0), (3.5, 1.3, 0.7), (6.0, 1.1, 2.0)):
        image = render(star, PointSpread.of(fwhm, stretch, angle), (81, 81), (40.0, 40.0))
        assert image.sum() == pytest.approx(5000.0, rel=0.01)
        rows, columns = np.indices(image.shape)
        assert (image * columns).sum() / image.sum() == pytest.approx(40.3, abs=0.02)
        assert (image * rows).sum() / image.sum() == pytest.approx(39.8, abs=0.02)


@pytest.mark.parametrize("index", [1.0, 2.5, 4.0])
def test_half_of_a_galaxys_light_is_within_its_radius(index: float) -> None:
    galaxy = Galaxy(0.0, 0.0, 15.0, 0.0, radius=10.0, index=index, axis_ratio=1.0, angle=0.0)
    blobs = Blobs.galaxy(galaxy, "r", Pixels(1.0, 0.0))
    image = render(blobs, PointSpread.of(0.8, 1.0, 0.0), (301, 301), (150.0, 150.0))
    assert image.sum() == pytest.approx(float(njy(15.0)), rel=0.05)
    assert aperture(image, 10.0, (150, 150)) / float(njy(15.0)) == pytest.approx(0.5, abs=0.05)


def test_the_sky_turns_with_the_camera() -> None:
    x, y = Pixels(0.2, 0.0).place(1.0, 0.0)
    assert (float(x), float(y)) == pytest.approx((-5.0, 0.0))  # east is left
    x, y = Pixels(0.2, 90.0).place(1.0, 0.0)
    assert (float(x), float(y)) == pytest.approx((0.0, 5.0), abs=1e-9)  # +Y points east


# ---------------------------------------------------------------------- light curves


def test_ten_kinds_are_all_there() -> None:
    sky = populate(42, 60, 61080.0, 61110.0)
    assert {thing.kind for thing in sky} == set(Kind)
    assert sum(thing.deep for thing in sky) == pytest.approx(60 * 2 / 9, abs=2)


@given(seed=st.integers(0, 2**32), number=st.integers(1, 40), band=st.sampled_from(BANDS))
def test_light_is_finite_and_never_negative(seed: int, number: int, band: str) -> None:
    thing = populate(seed, number, 61080.0, 61110.0)[-1]
    flux = thing.light.flux(np.linspace(60_900.0, 61_400.0, 60), band)
    assert np.isfinite(flux).all()
    assert (flux >= 0).all()
    assert 0 <= thing.light.reference(band) < np.inf


def test_supernovae_rise_and_fall_and_redden() -> None:
    days = np.arange(61_000.0, 61_120.0, 0.25)
    supernova = lc.SupernovaIa(peak_mjd=61_040.0, magnitude=17.0)
    blue, red = supernova.flux(days, "g"), supernova.flux(days, "r")
    assert days[red.argmax()] == pytest.approx(61_040.0, abs=0.5)
    assert magnitude(red.max()) == pytest.approx(17.0, abs=0.01)
    late = days == 61_080.0
    assert (blue[late] / blue.max() < red[late] / red.max()).all()
    assert supernova.flux(np.array([61_000.0]), "r")[0] < 0.01 * red.max()
    plateau = lc.SupernovaII(explosion_mjd=61_000.0, magnitude=18.0)
    brightness = magnitude(plateau.flux(np.array([61_030.0, 61_070.0, 61_150.0]), "i"))
    assert abs(brightness[1] - brightness[0]) < 0.2
    assert brightness[2] - brightness[1] > 1.5


def test_pulsating_stars_repeat() -> None:
    star = lc.RRLyrae(16.0, 0.55, 0.9, 0.2)
    times = np.linspace(61_000.0, 61_000.5, 50)
    np.testing.assert_allclose(star.flux(times, "g"), star.flux(times + 20 * 0.55, "g"), rtol=1e-6)
    swings = {band: np.ptp(magnitude(star.flux(np.linspace(61_000, 61_001, 500), band))) for band in "gi"}
    assert swings["g"] > swings["i"] > 0.5


@pytest.mark.parametrize(("memory", "lag"), [(10.0, 10.0), (100.0, 100.0)])
def test_a_random_walk_forgets_in_its_own_time(memory: float, lag: float) -> None:
    walk = lc.RandomWalk(18.0, 0.0, 0.3, memory, 0.0, 400.0 * memory, noise_seed=5)
    times = np.arange(0.0, 400.0 * memory, memory / 10.0)
    mags = magnitude(walk.flux(times, "g"))
    assert mags.std() == pytest.approx(0.3, rel=0.2)
    shift = int(lag / (memory / 10.0))
    correlation = np.corrcoef(mags[:-shift], mags[shift:])[0, 1]
    assert correlation == pytest.approx(np.exp(-lag / memory), abs=0.12)


def test_a_lens_is_symmetric_and_has_no_colour() -> None:
    event = lc.Microlensing(61_050.0, 18.0, 0.8, impact=0.1, crossing=15.0)
    before, after = event.flux(np.array([61_045.0, 61_055.0]), "r")
    assert before == pytest.approx(after)
    gains = [event.flux(np.array([61_050.0]), band)[0] / event.reference(band) for band in "gi"]
    assert gains[0] == pytest.approx(gains[1])
    assert gains[0] == pytest.approx(10.04, abs=0.05)  # 1/u for a small impact parameter u


# ---------------------------------------------------------------------- more noise


@given(seed=st.integers(0, 2**31), rows=st.integers(1, 70), columns=st.integers(1, 70), hole=st.booleans())
def test_noise_changes_the_pixels_and_nothing_else(seed: int, rows: int, columns: int, hole: bool) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(100.0, 10.0, (rows, columns)).astype(np.float32)
    if hole:
        image[0] = np.nan
    stamp = ztf_gzip(image, 1_700_000_000)
    noisy = add_noise(stamp, rng)
    assert gzip.decompress(noisy)[:2880] == gzip.decompress(stamp)[:2880]
    changed = pixels_of(noisy)
    assert (np.isnan(changed) == np.isnan(image)).all()
    kept = ~np.isnan(image)
    if kept.sum() > 200:
        assert (changed[kept] != image[kept]).mean() > 0.99
        assert np.abs(changed[kept] - image[kept]).max() < 20.0
    assert gzip.decompress(add_noise(stamp, np.random.default_rng(1))) == gzip.decompress(
        add_noise(stamp, np.random.default_rng(1))
    )


def test_noise_leaves_the_other_hdus_alone() -> None:
    row = pq.read_table(pa.BufferReader(dict(real_alerts("lsst"))["part-1-0-417693031.parquet"])).to_pylist()[
        0
    ]
    stamp = row["cutoutScience"]
    noisy = add_noise(stamp, np.random.default_rng(3))
    assert len(noisy) == len(stamp)
    with fits.open(io.BytesIO(stamp)) as before, fits.open(io.BytesIO(noisy)) as after:
        assert not np.array_equal(before[0].data, after[0].data)
        for at in (1, 2):
            np.testing.assert_array_equal(before[at].data, after[at].data)
        assert repr(before[0].header) == repr(after[0].header)


@pytest.mark.parametrize("junk", [b"", b"no FITS at all", b"SIMPLE  = T" + b" " * 69 + b"END" + b" " * 2797])
def test_noise_wants_an_image(junk: bytes) -> None:
    with pytest.raises(ValueError, match="float32 image"):
        add_noise(junk, np.random.default_rng(0))


def test_a_value_for_no_field_is_refused() -> None:
    with pytest.raises(KeyError, match="magpfs"):
        struct(pa.struct([("magpsf", pa.float32())]), {"magpfs": [1.0]}, 1)


# ---------------------------------------------------------------------- what ships, and the lake


def test_real_alerts_ship_with_their_licence(real_alerts_folder: Path) -> None:
    notice = (real_alerts_folder / "NOTICE").read_text()
    assert "Apache License" in notice
    assert "Apache License" in (real_alerts_folder / "LICENSE-APACHE-2.0").read_text()
    files = [path for path in real_alerts_folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    for path in real_alerts_folder.rglob("*.parquet"):
        assert f"{path.parent.name}/{path.name[:20]}" in notice
    assert {name for survey in ("ztf", "lsst") for name, _ in real_alerts(survey)} == {
        path.name for path in files if path.suffix == ".parquet"
    }


@pytest.fixture
def real_alerts_folder() -> Path:
    import sodalake.lake.demo

    return Path(sodalake.lake.demo.__file__).parent / "real"


def test_shipped_files_are_unmodified(real_alerts: Path) -> None:
    originals = {path.name: path.read_bytes() for path in real_alerts.rglob("*.parquet")}
    from sodalake.lake import demo

    for survey in demo.DEMO_SURVEYS:
        for name, content in demo.real_alerts(survey):
            assert content == originals[name]


def test_the_demo_lake_has_everything(tmp_path: Path) -> None:
    told: list[str] = []
    reports = make_demo_lake(
        str(tmp_path), objects=12, nights=5, progress=lambda what, done, total: told.append(what)
    )
    steps = ["drawing alerts", "indexing ztf", "indexing lsst", "drawing tiles", "indexing tiles"]
    assert list(dict.fromkeys(told)) == steps
    assert [report.failed for report in reports] == [{}, {}, {}]
    reader = Reader(Lake.open(str(tmp_path)))
    try:
        for survey in ("ztf", "lsst"):
            newest = reader.answer(Newest(survey, 5))
            assert [alert.time for alert in newest] == sorted((alert.time for alert in newest), reverse=True)
            assert all(alert.kinds for alert in newest)
        for name, content in real_alerts("lsst"):
            for row in pq.read_table(pa.BufferReader(content)).to_pylist():
                [got] = reader.answer(ByAlert("lsst", str(row["diaSourceId"]), ("science",)))
                assert got.stamps["science"] == row["cutoutScience"], name
        tiles = ImageFinder(reader.lake).near(reader.lake.image_survey("skytiles"), 150.1, 2.2, 0.0)
        assert {image.band for image in tiles} == set(TILE_BANDS)
        assert {type(image.pixels.place) for image in tiles} == {Plain, Tiled}
        assert all(set(image.planes) == {"weight"} for image in tiles)
    finally:
        reader.lake.close()
    again = make_demo_lake(str(tmp_path), objects=12, nights=5)
    assert [len(report.done) for report in again] == [0, 0, 0]
    assert [len(report.known) for report in again] == [len(report.done) for report in reports]
