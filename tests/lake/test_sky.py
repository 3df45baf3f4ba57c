"""Alerts by position: cells, cones as ranges, and what a search may see."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from alert_files import Alert, night
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from sodalake.lake.catalogue import FileRecord
from sodalake.lake.errors import ConfigurationError, Damaged, UsageError
from sodalake.lake.files import as_url, join, read_bytes, stat
from sodalake.lake.indexing import index_file
from sodalake.lake.ingest import Progress, ingest
from sodalake.lake.keys import parse_sky_key, sky_keys, sky_range
from sodalake.lake.lake import Lake
from sodalake.lake.reader import Found, Reader
from sodalake.lake.reindexing import fill_file, reindex
from sodalake.lake.sky import CELLS, GAP, Ranges, cone_ranges, joined, separations, sky_cells
from sodalake.lake.survey import load_survey, parse_survey, read_survey_text
from sodalake.lake.writing import write_whole
from sodalake.server.cli import main

Floats = npt.NDArray[np.float64]

# ---------------------------------------------------------------------- geometry

longitudes = st.one_of(
    st.floats(0, 360), st.sampled_from([0.0, 45.0, 90.0, 180.0, 359.9999999, 360.0, -720.5])
)
latitudes = st.one_of(
    st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0, 89.9999999, -89.9999999, 41.8103148957786])
)
radii = st.one_of(
    st.floats(math.log(0.1 / 3600), math.log(180)).map(lambda x: min(180.0, math.exp(x))),
    st.sampled_from([0.0, 0.1 / 3600, 1 / 3600, 90.0, 179.9999, 180.0]),
)


def ranges_of(ra: float, dec: float, radius: float, gap: int = GAP) -> Ranges:
    """The ranges of one cone."""
    return cone_ranges(np.array([ra]), np.array([dec]), np.array([radius]), gap)


def vectors(ra: Floats, dec: Floats) -> Floats:
    """Unit vectors (N x 3): another way to distances than the formula under test."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def apart(ra: float, dec: float, other_ra: Floats, other_dec: Floats) -> Floats:
    """Degrees between a place and others, by the chord."""
    one = vectors(np.array([ra]), np.array([dec]))
    other = vectors(other_ra, other_dec)
    chord, sum_ = np.linalg.norm(one - other, axis=1), np.linalg.norm(one + other, axis=1)
    return np.asarray(np.degrees(2 * np.arctan2(chord, sum_)), np.float64)


def around(ra: float, dec: float, distance: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Places at distances (degrees) from a centre, in directions (radians)."""
    centre = vectors(np.array([ra]), np.array([dec]))[0]
    lon, lat = math.radians(ra), math.radians(dec)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    turn = np.radians(distance)
    way = np.cos(angle)[:, None] * north + np.sin(angle)[:, None] * east
    there = np.cos(turn)[:, None] * centre + np.sin(turn)[:, None] * way
    return (
        np.degrees(np.arctan2(there[:, 1], there[:, 0])) % 360,
        np.degrees(np.arctan2(there[:, 2], np.hypot(there[:, 0], there[:, 1]))),
    )


@given(longitudes, latitudes, radii, st.integers(0, 2**32 - 1))
@example(0.0, 90.0, 1 / 3600, 1)
@example(0.0, -90.0, 20.0, 1)
@example(359.99999, 0.0, 0.01, 1)
@example(45.0, 41.8103148957786, 5.0, 1)
def test_the_ranges_of_a_cone_hold_every_place_in_it(ra: float, dec: float, radius: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance = radius * np.concatenate([np.sqrt(rng.random(200)), np.ones(200), [0.0]])
    there = around(ra, dec, distance, rng.random(401) * 2 * np.pi)
    cells, _ = sky_cells(*there)
    # What rounding put outside the cone does not count.
    inside = separations(np.full(1, ra), np.full(1, dec), *there) <= radius
    for gap in (0, 1 << 32):
        ranges = ranges_of(ra, dec, radius, gap)
        assert np.all(ranges.first[1:] - ranges.after[:-1] > gap)
        assert ranges.first[0] >= 0
        assert ranges.after[-1] <= CELLS
        assert len(ranges) <= 100
        at = np.searchsorted(ranges.first, cells.astype(np.int64), "right") - 1
        assert np.all((at >= 0) & (cells < ranges.after[at]) | ~inside)


@given(st.lists(st.tuples(longitudes, latitudes, radii), max_size=12))
def test_many_cones_have_the_ranges_that_each_has_alone(cones: list[tuple[float, float, float]]) -> None:
    columns = np.array(cones, np.float64).reshape(-1, 3).T
    together = cone_ranges(*columns)
    for at, cone in enumerate(cones):
        mine = together.owner == at
        assert list(ranges_of(*cone)) == list(
            zip(together.first[mine].tolist(), together.after[mine].tolist(), strict=True)
        )
    scans = joined(together)
    assert all(start < stop for start, stop in scans)
    assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(scans))
    for first, after in together:
        assert any(start <= first and after <= stop for start, stop in scans)


@given(longitudes, latitudes, st.floats(0.1, 30).map(lambda arcsec: arcsec / 3600))
def test_a_small_cone_is_few_ranges(ra: float, dec: float, radius: float) -> None:
    ranges = ranges_of(ra, dec, radius)
    assert len(ranges) <= 8
    assert sum(after - first for first, after in ranges) <= 16 << 32  # some 10 000 square arcseconds


def test_a_cone_is_covered_without_much_beyond_it() -> None:
    for radius in (0.1, 1.0, 10.0, 60.0):
        area = sum(after - first for first, after in ranges_of(77.0, -33.0, radius)) / CELLS
        assert area / ((1 - math.cos(math.radians(radius))) / 2) < 1.6
    assert list(ranges_of(3.0, 4.0, 180.0)) == [(0, CELLS)]


@given(longitudes, latitudes, longitudes, latitudes)
def test_distances_are_exact_near_and_far(ra: float, dec: float, other_ra: float, other_dec: float) -> None:
    other = np.array([other_ra]), np.array([other_dec])
    (got,) = separations(np.array([ra]), np.array([dec]), *other)
    assert got == pytest.approx(apart(ra, dec, *other)[0], abs=1e-12)


def test_a_milliarcsecond_and_an_antipode_are_told() -> None:
    one = np.array([10.0]), np.array([60.0])
    assert separations(*one, np.array([10.0]), np.array([60 + 1e-3 / 3600]))[0] == pytest.approx(
        1e-3 / 3600, rel=1e-8
    )
    assert separations(*one, np.array([190.0]), np.array([-60 + 1e-7]))[0] == pytest.approx(
        180 - 1e-7, abs=1e-12
    )


@pytest.mark.parametrize(
    ("cone", "said"),
    [
        ((math.nan, 0.0, 1.0), "right ascension nan"),
        ((math.inf, 0.0, 1.0), "right ascension inf"),
        ((1.0, 90.1, 1.0), "declination 90.1"),
        ((1.0, math.nan, 1.0), "declination nan"),
        ((1.0, 2.0, -1e-9), "radius -1e-09"),
        ((1.0, 2.0, 180.1), "radius 180.1"),
        ((1.0, 2.0, math.nan), "radius nan"),
    ],
)
def test_what_is_no_cone_is_refused(cone: tuple[float, float, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ranges_of(*cone)


def test_rows_without_a_place_have_no_cell() -> None:
    ra = np.array([1.0, np.nan, 3.0, 4.0, np.inf, 6.0])
    dec = np.array([1.0, 2.0, np.nan, 90.5, 5.0, -90.0])
    cells, there = sky_cells(ra, dec)
    assert there.tolist() == [True, False, False, False, False, True]
    assert len(cells) == 2
    assert sky_cells(ra[1:3], dec[1:3])[0].tolist() == []


@given(st.lists(st.tuples(st.integers(0, CELLS - 1), st.text(min_size=1, max_size=12)), max_size=20))
def test_keys_sort_as_cells_and_come_apart_again(rows: list[tuple[int, str]]) -> None:
    keys = sky_keys(np.array([cell for cell, _ in rows], np.uint64), [alert for _, alert in rows])
    assert [parse_sky_key(key) for key in keys] == rows
    for key, (cell, _) in zip(keys, rows, strict=True):
        start, stop = sky_range(cell, cell + 1)
        assert start <= key < stop
        assert not key < sky_range(0, cell)[1]


@pytest.mark.parametrize(
    "key", [b"", b"00_1", b"zzzzzzzzzzzzzzzz_1", b"0123456789abcdef", b"0123456789abcdef_%ff"]
)
def test_what_is_no_key_is_damage(key: bytes) -> None:
    with pytest.raises(Damaged):
        parse_sky_key(key)


def test_covering_columns_are_what_the_survey_file_says() -> None:
    ztf = load_survey("ztf")
    assert ztf.covering_names == ("jd", "ra", "dec", "candid", "objectId", "fid", "magpsf", "sigmapsf", "drb",
                                  "finkclass", "cdsxmatch")  # fmt: skip
    plain = parse_survey(re.sub(r"covering = \[[^]]*\]", "", read_survey_text("ztf")))
    assert plain.covering_names == (
        "jd", "ra", "dec", "candid", "objectId", "fid", "magpsf", "sigmapsf", "finkclass", "cdsxmatch",
    )  # fmt: skip
    assert {"alert_diaSourceId", "ra", "dec", "midpointMjdTai", "psfFlux", "band"} < set(
        load_survey("lsst").covering_names
    )


@pytest.mark.parametrize("path", ["candidate.ra", "candidate.drb"])
def test_rows_must_carry_what_places_and_covers(path: str) -> None:
    text = read_survey_text("ztf").replace("leave_out = [", f'leave_out = [\n    "{path}",')
    with pytest.raises(ConfigurationError, match=rf"must carry {path}"):
        parse_survey(text)


# ---------------------------------------------------------------------- in a lake


def scattered(count: int, seed: int, start: int = 10**18) -> list[Alert]:
    """Alerts all over the sky, at the poles, at the wrap, and in a crowd of arcseconds."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.random(count) * 360, np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    quarter = count // 4
    dec[:quarter] = rng.choice([-90, 90], quarter) * (1 - rng.random(quarter) * 1e-4)
    ra[quarter : 2 * quarter] = rng.normal(0, 1e-3, quarter) % 360
    dec[quarter : 2 * quarter] = rng.normal(0, 1e-3, quarter)
    ra[2 * quarter : 3 * quarter] = 200 + rng.normal(0, 3 / 3600, quarter)
    dec[2 * quarter : 3 * quarter] = 30 + rng.normal(0, 3 / 3600, quarter)
    times = 2459540.5 + rng.integers(0, 40, count) / 8  # some are equally new
    return [
        Alert(start + i, f"ZTF21aa{i % 5}", float(times[i]), place=(float(ra[i]), float(dec[i])))
        for i in range(count)
    ]


def shuffled_cones(count: int, alerts: list[Alert], seed: int) -> tuple[Floats, Floats, Floats]:
    """Cones of all sizes, half of them beside an alert."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.random(count) * 360, np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    for at in range(0, count, 2):
        place = alerts[rng.integers(len(alerts))].place
        assert place is not None
        ra[at], dec[at] = place  # type: ignore[assignment]
        ra[at] += rng.choice([-360, 0, 360])
    radius = np.exp(rng.uniform(math.log(0.1 / 3600), math.log(40), count))
    radius[rng.random(count) < 0.1] = 180.0
    return ra, dec, radius


class Brute:
    """What must be found, by looking at every alert."""

    def __init__(self, alerts: list[Alert]) -> None:
        self.alerts = alerts
        self.ra = np.array([alert.place[0] for alert in alerts if alert.place], np.float64)
        self.dec = np.array([alert.place[1] for alert in alerts if alert.place], np.float64)

    def cone(self, ra: float, dec: float, radius: float) -> dict[str, float]:
        distance = apart(ra, dec, self.ra, self.dec)
        return {str(self.alerts[at].candid): float(distance[at]) for at in np.flatnonzero(distance <= radius)}

    def newest(self, ra: float, dec: float, radius: float) -> str | None:
        times = {str(alert.candid): alert.jd or 0.0 for alert in self.alerts}
        near = self.cone(ra, dec, radius)
        return min(near, key=lambda alert: (-times[alert], near[alert])) if near else None


def ids(found: list[Found | None]) -> list[str | None]:
    return [None if one is None else one.alert_id for one in found]


def one(value: float) -> Floats:
    return np.array([value])


class SkyContract:
    """Searches on every back end; a subclass says where the lake and the archive are."""

    @pytest.fixture
    def place(self) -> tuple[str, str, str | None]:
        """URLs of the lake and the archive, and the row store's."""
        raise NotImplementedError

    @pytest.fixture
    def put(self, place: tuple[str, str, str | None], tmp_path: Path) -> Callable[..., str]:
        """Writes a night of alerts into the archive and returns the file's URL."""

        def put(day: int, alerts: list[Alert], part: int = 0, **options: Any) -> str:
            local = night(tmp_path / "made", day, alerts, part, **options)
            url = join(place[1], str(local.relative_to(tmp_path / "made")))
            write_whole(url, local.read_bytes())
            return url

        return put

    @pytest.fixture
    def bring(self, place: tuple[str, str, str | None]) -> Callable[..., Any]:
        return lambda *paths: ingest(place[0], "ztf", list(paths or place[1:2]), rows=place[2], workers=1)

    @pytest.fixture
    def reader(self, place: tuple[str, str, str | None]) -> Callable[[], Reader]:
        return lambda: Reader(Lake.open(place[0]))

    def check(self, reader: Reader, alerts: list[Alert], cones: tuple[Floats, Floats, Floats]) -> None:
        """Both searches find what is there and nothing else."""
        survey, brute = reader.lake.survey("ztf"), Brute(alerts)
        expected = [brute.newest(*cone) for cone in zip(*cones, strict=True)]
        assert ids(reader.near_many(survey, *cones)) == expected
        for cone in list(zip(*cones, strict=True))[:8]:
            table = reader.cone(survey, *map(float, cone))
            near = brute.cone(*cone)
            got = dict(zip(map(str, table["candid"].to_pylist()), table["distance"].to_pylist(), strict=True))
            assert got == pytest.approx(near, abs=1e-12)
            assert table["distance"].to_pylist() == sorted(got.values())

    def test_searches_find_what_looking_at_everything_finds(self, put: Any, bring: Any, reader: Any) -> None:
        alerts = scattered(300, seed=1)
        put(22, alerts[:200], row_group_size=77)
        put(23, alerts[200:])
        bring()
        self.check(reader(), alerts, shuffled_cones(120, alerts, seed=2))

    def test_a_cone_answers_with_the_covering_columns(self, put: Any, bring: Any, reader: Any) -> None:
        put(22, [replace(Alert(1, "ZTF21a", 2459540.5), place=(0.0001, 10.0))])
        # A later year has one column more.
        put(
            23,
            [Alert(2, "ZTF21b", 2459541.5, place=(359.9999, 10.0), extra={"finkclass": "SN"})],
        )
        bring()
        running = reader()
        survey = running.lake.survey("ztf")
        table = running.cone(survey, 0.0, 10.0, 1.0)
        assert table.column_names == [*survey.covering_names, "distance"]
        assert sorted(table["candid"].to_pylist()) == [1, 2]
        assert dict(zip(table["candid"].to_pylist(), table["finkclass"].to_pylist(), strict=True)) == {
            1: None,
            2: "SN",
        }
        assert set(table["objectId"].to_pylist()) == {"ZTF21a", "ZTF21b"}
        assert table["magpsf"].to_pylist() == [18.0, 18.0]
        assert running.cone(survey, 0.0, 10.0, 1.0, limit=1).num_rows == 1
        assert running.cone(survey, 0.0, 10.0, 1.0, limit=0).num_rows == 0
        empty = running.cone(survey, 180.0, -10.0, 1.0)
        assert empty.num_rows == 0
        assert empty.schema.equals(table.schema)

    def test_only_what_may_be_seen_is_found(
        self, put: Any, bring: Any, reader: Any, place: tuple[str, str, str | None]
    ) -> None:
        alerts = scattered(40, seed=3)
        put(22, alerts)
        bring()
        running = reader()
        survey = running.lake.survey("ztf")
        # One is processed again at its place, one has moved a little, one far away; one more is new.
        moved = [
            replace(alerts[0], version=1),
            replace(alerts[1], version=1, place=(200.001, 30.001)),
            replace(alerts[2], version=1, place=(77.0, -12.0), jd=2459600.5),
            Alert(5, "ZTF21n", 2459700.5, place=(200.0, 30.0)),
        ]
        url = put(23, moved)
        catalogue = running.lake.catalogue("ztf")
        record = catalogue.begin(FileRecord(0, url, len(read_bytes(url)), stat(url).mtime))

        class Killed(Exception):
            pass

        def die(*_: Any, **__: Any) -> None:
            raise Killed

        cones = shuffled_cones(40, [*alerts, *moved], seed=4)
        with pytest.MonkeyPatch.context() as patch:  # the moment before the commit
            patch.setattr("sodalake.lake.catalogue.Catalogue.commit", die)
            with pytest.raises(Killed):
                index_file(place[0], "ztf", record)
        self.check(running, alerts, cones)
        bring()
        now = [*moved, *alerts[3:]]
        self.check(running, now, cones)
        (found,) = running.near_many(survey, one(77.0), one(-12.0), one(1 / 3600))
        assert found is not None
        assert (found.alert_id, found.record.number, found.time) == (
            str(alerts[2].candid),
            record.number,
            2459600.5,
        )
        (read,) = running.stamps(survey, [found], ("science",))
        assert read.stamps == {"science": moved[2].stamp("Science")}
        # And a third time: the versions before last go.
        again = [replace(alert, version=2) for alert in moved]
        put(24, again)
        bring()
        self.check(reader(), [*again, *alerts[3:]], cones)
        # The newest file is written anew, with less in it: the rest is seen as the night before had it.
        put(24, again[:2])
        bring()
        self.check(reader(), [*again[:2], *moved[2:], *alerts[3:]], cones)

    def test_an_alert_twice_in_a_file_or_without_a_place(self, put: Any, bring: Any, reader: Any) -> None:
        first = Alert(1, "ZTF21a", place=(10.0, 20.0))
        nowhere = [
            Alert(2, "ZTF21b", place=(math.nan, 20.0)),
            Alert(3, "ZTF21c", place=(10.0, None)),
        ]
        put(22, [first, replace(first, place=(50.0, 20.0)), *nowhere])
        assert bring().rows == 3
        running = reader()
        survey = running.lake.survey("ztf")
        assert running.cone(survey, 0.0, 0.0, 180.0)["ra"].to_pylist() == [50.0]
        both = running.near_many(survey, np.array([10.0, 50.0]), np.full(2, 20.0), np.full(2, 1e-3))
        assert ids(both) == [None, "1"]
        assert running.find(survey, "3").alert_id == "3"

    def test_an_older_lake_says_so_and_is_reindexed(
        self, put: Any, bring: Any, reader: Any, place: tuple[str, str, str | None]
    ) -> None:
        alerts = scattered(60, seed=5)
        put(20, alerts[:20])
        put(21, [replace(alert, version=1) for alert in alerts[10:40]], row_group_size=7)
        bring()
        lake = Lake.open(place[0])
        lake.rows.drop("ztf.sky")  # as it was before there was such a table
        for record in lake.catalogue("ztf").records():
            stored = json.loads(record.to_json())
            del stored["tables"]
            lake.rows.put_many("ztf.files", [(record.key, {"f": json.dumps(stored).encode()})])
        survey = lake.survey("ztf")
        whole = np.zeros(1), np.zeros(1), np.full(1, 180.0)

        def refused() -> None:
            for search in (
                lambda: reader().near_many(survey, *whole),
                lambda: reader().cone(survey, 0, 0, 1),
            ):
                with pytest.raises(UsageError, match="sodalake ingest ztf --reindex"):
                    search()

        refused()
        # New files are in the index, and know the older ones' rows as superseded.
        put(22, [replace(alert, version=2) for alert in alerts[35:]])
        bring()
        refused()
        # Half done, then killed before the record is written.
        older = sorted(
            lake.catalogue("ztf").view(fresh=True).lacking("sky"), key=lambda record: record.number
        )
        assert [record.number for record in older] == [1, 2]

        class Killed(Exception):
            pass

        def die(*_: Any, **__: Any) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sodalake.lake.catalogue.Catalogue.fill", die)
            with pytest.raises(Killed):
                fill_file(place[0], "ztf", older[0])
        refused()
        told: list[Progress] = []
        report = reindex(place[0], "ztf", workers=1, progress=told.append)
        assert (report.failed, len(report.done), len(report.known)) == ({}, 2, 1)
        assert [(p.files, p.total_files) for p in told] == [(1, 2), (2, 2)]
        assert told[-1].bytes == told[-1].total_bytes > 0
        cones = shuffled_cones(40, alerts, seed=6)
        self.check(reader(), alerts, cones)
        again = reindex(place[0], "ztf", workers=1)
        assert (again.done, len(again.known)) == ([], 3)
        # What was filled in is superseded like everything else.
        put(23, [replace(alert, version=3) for alert in alerts[:30]])
        bring()
        self.check(reader(), alerts, cones)


class TestEmbedded(SkyContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> tuple[str, str, str | None]:
        return as_url(str(tmp_path / "lake")), as_url(str(tmp_path / "archive")), None

    def test_a_position_that_is_none_is_named(self, put: Any, bring: Any, reader: Any) -> None:
        put(22, scattered(8, seed=1))
        bring()
        running = reader()
        with pytest.raises(UsageError, match=r"Position 2: .* 91"):
            running.near_many(running.lake.survey("ztf"), np.zeros(3), np.array([0.0, 91.0, 0.0]), np.ones(3))
        assert running.near_many(running.lake.survey("ztf"), np.empty(0), np.empty(0), np.empty(0)) == []

    def test_a_reindex_goes_on_past_a_file_that_is_gone(
        self, put: Any, bring: Any, place: tuple[str, str, str | None]
    ) -> None:
        first, second = put(22, scattered(8, seed=1)), put(23, scattered(8, seed=2, start=50))
        bring()
        lake = Lake.open(place[0])
        for record in lake.catalogue("ztf").records():
            lake.rows.put_many("ztf.files", [(record.key, {"f": replace(record, tables=()).to_json()})])
        Path(first.removeprefix("file://")).write_bytes(read_bytes(second))
        shown = CliRunner().invoke(main, ["ingest", "ztf", "--reindex", "--lake", place[0], "--json"])
        assert shown.exit_code == 1
        report = json.loads(shown.output)
        assert (report["files"], report["known"], list(report["failed"])) == (1, 0, [first])
        assert "changed since its ingest" in report["failed"][first]
        # Ingested again, it is whole.
        shown = CliRunner().invoke(
            main, ["ingest", "ztf", place[1], "--reindex", "--lake", place[0], "--workers", "1"]
        )
        assert shown.exit_code == 0, shown.output
        assert "2 files lacked nothing" in shown.output


@pytest.mark.cluster
class TestHadoop(SkyContract):
    @pytest.fixture
    def place(self, hdfs_url: str, hbase_url: str) -> tuple[str, str, str | None]:
        return join(hdfs_url, "lake"), join(hdfs_url, "archive"), hbase_url
