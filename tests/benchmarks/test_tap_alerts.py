import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from sodalake.benchmarks.alertfiles import AlertFiles, column_names, make_alert_files
from sodalake.benchmarks.alerttable import CLASSES, EPOCHS, AlertRecipe, AlertTable
from sodalake.lake.flatten import flat_columns, flatten
from sodalake.lake.survey import load_survey

RECIPE = AlertRecipe(alerts=5000, rows=2000)
WIDE = AlertRecipe("wide", alerts=3000, rows=2000, columns=130, long_objects=1, long_epochs=1575)


@pytest.fixture(scope="module")
def table() -> AlertTable:
    return AlertTable(RECIPE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> AlertFiles:
    return make_alert_files(RECIPE, tmp_path_factory.mktemp("alerts"))


def rows_of(files: AlertFiles) -> pa.Table:
    survey = load_survey(str(files.survey_file))
    return pa.concat_tables([flatten(pq.ParquetFile(path).read(), survey) for path in files.files])


def test_files_hold_what_the_table_says(table: AlertTable, files: AlertFiles) -> None:
    rows = rows_of(files)
    assert rows["candid"].to_pylist() == table.alert_ids.tolist()
    assert rows["objectId"].to_pylist() == AlertTable.object_names(table.objects).tolist()
    for name, values in (
        ("jd", table.times),
        ("ra", table.ra),
        ("dec", table.dec),
        ("magpsf", table.magnitudes),
    ):
        assert np.array_equal(rows[name].to_numpy(), values)
    assert rows["finkclass"].to_pylist() == [CLASSES[number] for number in table.classes]


@pytest.mark.parametrize("recipe", [RECIPE, WIDE])
def test_the_survey_file_describes_every_column(recipe: AlertRecipe, tmp_path: Path) -> None:
    made = make_alert_files(recipe, tmp_path)
    survey = load_survey(str(made.survey_file))
    schema = pq.ParquetFile(made.files[0]).schema_arrow
    names = [column.name for column in flat_columns(schema, survey)]
    assert names == column_names(recipe)
    assert len(names) == recipe.columns
    assert survey.name == recipe.survey
    assert not any(pa.types.is_null(kind) for kind in rows_of(made).schema.types)


def test_files_are_as_fink_has_them(files: AlertFiles) -> None:
    assert [path.relative_to(files.folder).parts[:3] for path in files.files] == [
        ("year=2024", "month=01", f"day=0{day}") for day in (1, 2, 3)
    ]
    for path, rows in zip(files.files, (2000, 2000, 1000), strict=True):
        metadata = pq.ParquetFile(path).metadata
        assert (metadata.num_rows, metadata.num_row_groups) == (rows, 1)
        assert metadata.row_group(0).column(0).compression == "SNAPPY"
    assert pa.types.is_struct(pq.ParquetFile(files.files[0]).schema_arrow.field("candidate").type)


def test_a_recipe_makes_the_same_bytes_each_time(files: AlertFiles, tmp_path: Path) -> None:
    again = make_alert_files(RECIPE, tmp_path)
    assert [hashlib.sha256(path.read_bytes()).digest() for path in again.files] == [
        hashlib.sha256(path.read_bytes()).digest() for path in files.files
    ]
    assert again.name == files.name
    assert AlertFiles(WIDE, tmp_path, (), ()).name != files.name


def test_ids_are_unique_and_grow_with_the_night(table: AlertTable) -> None:
    assert (np.diff(table.alert_ids) > 0).all()
    nights = np.floor(table.times - 0.6)
    assert (np.diff(nights) >= 0).all()
    assert len(np.unique(nights)) == RECIPE.files
    numbers = np.arange(100_000)
    assert len(np.unique(AlertTable.object_names(numbers))) == len(numbers)


def test_objects_have_as_many_alerts_as_is_said(table: AlertTable) -> None:
    assert np.array_equal(np.bincount(table.objects), table.epochs)
    wide = AlertTable(WIDE)
    assert wide.epochs.sum() == len(wide) == WIDE.alerts
    assert wide.epochs[0] == 1575
    some = wide.random_objects(1000, np.random.default_rng(1))
    assert len(set(some.tolist())) == len(some)
    assert (np.bincount(wide.objects)[some] == EPOCHS).all()
    with pytest.raises(ValueError, match="more than 3000 alerts"):
        AlertTable(AlertRecipe(alerts=3000, long_objects=2))


@pytest.mark.parametrize("radius", [10 / 3600, 0.7, 2.0])
def test_circles_hold_what_astropy_finds_in_them(table: AlertTable, radius: float) -> None:
    sky = SkyCoord(table.ra, table.dec, unit="deg")
    for ra, dec in zip(*table.centres(10, np.random.default_rng(3)), strict=True):
        found, doubtful = table.near(ra, dec, radius)
        apart = SkyCoord(ra, dec, unit="deg").separation(sky)
        assert set(found.tolist()) == set(np.flatnonzero(apart <= radius * units.deg).tolist())
        assert doubtful == 0
        if radius < 0.1:
            assert len(found) == EPOCHS


def test_an_alert_on_the_edge_of_a_circle_is_told(table: AlertTable) -> None:
    edge = float(table.dec[7] - table.dec[7].round(2))
    assert table.near(table.ra[7], float(table.dec[7].round(2)), abs(edge))[1] == 1


def test_a_million_alerts_are_as_dense_as_the_marks_suppose() -> None:
    table = AlertTable(AlertRecipe())
    rng = np.random.default_rng(4)
    for radius, most in ((10 / 3600, 14), (1.0, 100), (5.0, 2500)):
        counts = [
            len(table.near(ra, dec, radius)[0]) for ra, dec in zip(*table.centres(10, rng), strict=True)
        ]
        assert np.mean(counts) == pytest.approx(most, rel=0.1)
    shares = np.bincount(table.classes) / len(table)
    assert len(shares) == 20
    assert shares.max() > 50 * shares.min() > 0


def test_classes_are_counted_between_times(table: AlertTable) -> None:
    begin, end = np.sort(table.times[table.classes == 2])[[3, 90]]
    assert table.in_class_between(2, begin, end) == 88
    expected = ((table.classes == 1) & (table.times >= begin) & (table.times <= end)).sum()
    assert table.in_class_between(1, begin, end) == expected
