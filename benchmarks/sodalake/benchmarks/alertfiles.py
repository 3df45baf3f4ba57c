"""The files of an `AlertTable`, as Fink has its own: a file a night, Snappy, one row group, most columns in a struct.

The thirty columns that are asked for are described in ``surveys/bench.toml``; a wider table has more of the same kinds.
Stamps are null: nothing here asks for them.
"""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .alerttable import CLASSES, FIRST_NIGHT, AlertRecipe, AlertTable
from .kept import SURVEY, KeptFiles, kept_folder

__all__ = ["AlertFiles", "column_names", "make_alert_files"]

_VERSION = 1  # of what the files are: another one makes them anew
_STAMPS = "cutoutScience"
_NIGHT = date(2024, 1, 1)

# More columns than the survey file has are of these kinds, in turn.
_MORE = (
    ("float", "stat.value", "Measurement {} of the source."),
    ("double", "stat.value", "Measurement {} of the source, in double precision."),
    ("float", "stat.error", "Uncertainty {} of the source."),
    ("int", "meta.number", "Count {} of the source."),
    ("char", "meta.code", "Flag {} of the source."),
)
_FLAGS = np.array(["t", "f", "g", "bad"])
_FLOATS = (
    "magap", "sigmagap", "distnr", "magnr", "chinr", "sharpnr", "rb", "drb", "fwhm", "classtar", "diffmaglim", "sky",
    "ssdistnr",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertFiles(KeptFiles[AlertRecipe]):
    """A made archive: its recipe and folder, its files in the order of their nights, and their bytes."""

    @property
    def name(self) -> str:
        """What is in the files follows from it."""
        return _name(self.recipe)


def make_alert_files(
    recipe: AlertRecipe,
    cache: Path | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> AlertFiles:
    """Return the files of a recipe, making them where the cache does not hold them.

    Parameters
    ----------
    cache
        Folder of archives; the user's cache by default.
    progress
        Is told files made and files in all.
    """
    folder = kept_folder(_name(recipe), cache, lambda making: _make(recipe, making, progress))
    return AlertFiles.of(recipe, folder)


def column_names(recipe: AlertRecipe) -> list[str]:
    """Return the names of a table's columns, in the order of the survey file."""
    return [path.rpartition(".")[2] for path in tomllib.loads(_survey_text(recipe))["columns"]]


def _name(recipe: AlertRecipe) -> str:
    long = f"-{recipe.long_objects}x{recipe.long_epochs}" if recipe.long_objects else ""
    return f"alerts-v{_VERSION}-{recipe.survey}-{recipe.alerts}x{recipe.columns}-{recipe.rows}{long}-s{recipe.seed}"


def _make(recipe: AlertRecipe, folder: Path, progress: Callable[[int, int], None]) -> dict[str, Any]:
    table = AlertTable(recipe)
    names = []
    for number in range(recipe.files):
        night = _NIGHT + timedelta(days=number)
        mark = uuid.uuid5(uuid.NAMESPACE_URL, f"{recipe} {number}")
        name = f"year={night:%Y}/month={night:%m}/day={night:%d}/part-{number:05d}-{mark}.c000.snappy.parquet"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = _night(table, number)
        pq.write_table(
            rows,
            path,
            row_group_size=len(rows),
            compression="snappy",
            data_page_version="1.0",
            store_schema=False,
        )
        names.append(name)
        progress(number + 1, recipe.files)
    (folder / SURVEY).write_text(_survey_text(recipe))
    return {"recipe": asdict(recipe), "files": names}


def _night(table: AlertTable, number: int) -> pa.Table:
    """Return the rows of one file."""
    recipe = table.recipe
    rows = slice(number * recipe.rows, (number + 1) * recipe.rows)
    objects, times = table.objects[rows], table.times[rows]
    count = len(objects)
    rng = np.random.default_rng([recipe.seed, number])
    inside: dict[str, Any] = {
        "jd": times,
        "ra": table.ra[rows],
        "dec": table.dec[rows],
        "fid": rng.integers(1, 3, count, dtype=np.int32),
        "magpsf": table.magnitudes[rows],
        "sigmapsf": rng.gamma(2, 0.05, count).astype(np.float32),
    }
    inside |= {name: rng.normal(10, 3, count).astype(np.float32) for name in _FLOATS}
    inside |= {
        "nid": np.full(count, number + 2557, np.int32),
        "fieldid": (objects % 1800).astype(np.int32),
        "rcid": (objects % 64).astype(np.int32),
        "ndethist": rng.integers(1, 2000, count, dtype=np.int32),
        "isdiffpos": np.array(["t", "f"])[rng.integers(0, 2, count)],
        "rbversion": np.full(count, "t17_f5_c3"),
        "jdstarthist": FIRST_NIGHT - rng.uniform(0, 2000, count),
    }
    inside |= dict(_more(recipe, rng, count))
    return pa.table(
        {
            "objectId": AlertTable.object_names(objects),
            "candid": table.alert_ids[rows],
            "candidate": pa.StructArray.from_arrays(
                [pa.array(values) for values in inside.values()], list(inside)
            ),
            "finkclass": pa.DictionaryArray.from_arrays(
                table.classes[rows].astype(np.int32), list(CLASSES)
            ).cast(pa.string()),
            "snn_score": rng.random(count),
            _STAMPS: pa.nulls(count, pa.binary()),
        }
    )


def _more(recipe: AlertRecipe, rng: np.random.Generator, count: int) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, kind, _, _ in _added(recipe):
        if kind == "int":
            yield name, rng.integers(0, 10_000, count, dtype=np.int32)
        elif kind == "char":
            yield name, _FLAGS[rng.integers(0, len(_FLAGS), count)]
        else:
            values = rng.normal(0, 1, count)
            yield name, values.astype(np.float32) if kind == "float" else values


def _added(recipe: AlertRecipe) -> Iterator[tuple[str, str, str, str]]:
    """Columns beyond those of the survey file: name, kind, UCD, description."""
    for number in range(recipe.columns - 30):
        kind, ucd, text = _MORE[number % len(_MORE)]
        yield f"more{number:03d}", kind, ucd, text.format(number)


def _survey_text(recipe: AlertRecipe) -> str:
    """Return the survey file of a recipe."""
    text = (resources.files("sodalake.benchmarks") / "surveys" / "bench.toml").read_text(encoding="utf-8")
    more = "".join(
        f'"candidate.{name}" = {{ ucd = "{ucd}", datatype = "{kind}", description = "{description}" }}\n'
        for name, kind, ucd, description in _added(recipe)
    )
    return text.replace('name = "bench"', f'name = "{recipe.survey}"') + more
