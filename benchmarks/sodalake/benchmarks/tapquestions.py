"""Queries of the bench, each with the number of rows that its answer has; random, and no two the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from .alerttable import CLASSES, EPOCHS, FIRST_NIGHT, AlertTable

__all__ = [
    "Asked",
    "Matched",
    "classes_counted",
    "classes_measured",
    "cones",
    "everything",
    "greedy",
    "long_objects",
    "matches",
    "objects",
    "slices",
]

_COMMON = 8  # classes of which a night has more than a thousand alerts
_TOP = 1000
_AVERAGED = (
    "magap",
    "sigmagap",
    "distnr",
    "magnr",
    "chinr",
    "sharpnr",
    "rb",
    "drb",
    "fwhm",
    "classtar",
    "sky",
)
_BOUNDARY: Final = "sodalake-bench-53d0e19c"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, and how many rows its answer has.

    Attributes
    ----------
    adql
        The query.
    rows
        Of the answer.
    form
        FORMAT; empty: none is asked for.
    maxrec
        MAXREC; 0: none is given.
    """

    adql: str
    rows: int
    form: str = ""
    maxrec: int = 0

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """TAP's parameters."""
        given = [("LANG", "ADQL"), ("QUERY", self.adql)]
        given += [("FORMAT", self.form)] if self.form else []
        return given + ([("MAXREC", str(self.maxrec))] if self.maxrec else [])

    @property
    def path(self) -> str:
        """The request to ``/tap/sync``."""
        return f"/tap/sync?{urlencode(self.parameters)}"


def objects(table: AlertTable, count: int, rng: np.random.Generator, columns: str = "*") -> list[Asked]:
    """Return queries for all rows of different objects (where there are so many)."""
    numbers = table.random_objects(count, rng)
    name = table.recipe.table
    return [
        Asked(f"SELECT {columns} FROM {name} WHERE objectId = '{one}'", EPOCHS)
        for one in table.object_names(numbers).tolist()
    ]


def long_objects(table: AlertTable, count: int) -> list[Asked]:
    """Return queries for the objects that have many rows, in turn."""
    recipe = table.recipe
    numbers = np.arange(count) % recipe.long_objects
    return [
        Asked(f"SELECT * FROM {recipe.table} WHERE objectId = '{one}'", recipe.long_epochs)
        for one in table.object_names(numbers).tolist()
    ]


def cones(table: AlertTable, radius: float, count: int, rng: np.random.Generator) -> list[Asked]:
    """Return queries for all rows in circles of a radius (degrees)."""
    found: list[Asked] = []
    while len(found) < count:
        for ra, dec in zip(*table.centres(count - len(found), rng), strict=True):
            alerts, doubtful = table.near(ra, dec, radius)
            if not doubtful:
                circle = f"CIRCLE('ICRS', {ra:.7f}, {dec:.7f}, {radius!r})"
                adql = (
                    f"SELECT * FROM {table.recipe.table} WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), {circle})"
                )
                found.append(Asked(adql, len(alerts)))
    return found


def slices(table: AlertTable, count: int, rng: np.random.Generator) -> list[Asked]:
    """Return queries for a thousand alerts of a class in the time that a night has."""
    nights = table.recipe.files
    found = []
    begins = FIRST_NIGHT + rng.uniform(0, max(0, nights - 1), count)
    for begin in begins.round(6).tolist():
        number, end = int(rng.integers(_COMMON)), round(begin + 1.0, 6)
        adql = (
            f"SELECT TOP {_TOP} * FROM {table.recipe.table}"
            f" WHERE finkclass = '{CLASSES[number]}' AND jd BETWEEN {begin!r} AND {end!r}"
        )
        found.append(Asked(adql, min(_TOP, table.in_class_between(number, begin, end))))
    return found


def classes_counted(table: AlertTable, count: int, rng: np.random.Generator) -> list[Asked]:
    """Return queries that count the classes; they differ in a name only."""
    classes = len(np.unique(table.classes))
    return [
        Asked(
            f"SELECT finkclass, COUNT(*) AS n{number} FROM {table.recipe.table} GROUP BY finkclass", classes
        )
        for number in rng.permutation(100_000)[:count].tolist()
    ]


def classes_measured(table: AlertTable, count: int, rng: np.random.Generator) -> list[Asked]:
    """Return queries for the mean of some column in each class."""
    classes = len(np.unique(table.classes))
    return [
        Asked(
            f"SELECT finkclass, COUNT(*) AS n{number}, AVG({_AVERAGED[number % len(_AVERAGED)]}) AS mean"
            f" FROM {table.recipe.table} GROUP BY finkclass",
            classes,
        )
        for number in rng.permutation(100_000)[:count].tolist()
    ]


def everything(table: AlertTable, rows: int, form: str, turn: int) -> Asked:
    """Return a query for so many rows of all columns; one less each turn."""
    rows = min(rows, len(table)) - turn
    return Asked(f"SELECT TOP {rows} * FROM {table.recipe.table}", rows, form, rows)


def greedy(table: AlertTable, count: int, rng: np.random.Generator) -> list[Asked]:
    """Return queries that read all of the table: sorted by what no index knows, and brought together by fields."""
    rows = min(_TOP, len(table))
    fields = len(np.unique(table.objects % 1800))
    found = []
    for number in rng.permutation(100_000)[:count].tolist():
        column = _AVERAGED[number % len(_AVERAGED)]
        if number % 2:
            adql = f"SELECT TOP {rows} * FROM {table.recipe.table} ORDER BY {column} - {number} * sigmapsf"
            found.append(Asked(adql, rows))
        else:
            adql = (
                f"SELECT fieldid, COUNT(*) AS n{number}, AVG({column}) AS mean, MAX(jdstarthist) AS latest,"
                f" MIN(snn_score) AS lowest FROM {table.recipe.table} GROUP BY fieldid"
            )
            found.append(Asked(adql, fields))
    return found


@dataclass(frozen=True, slots=True)
class Matched:
    """A query with a table of positions: its multipart body, and how many rows its answer has."""

    body: bytes
    content_type: str
    rows: int


def matches(table: AlertTable, positions: int, columns: str, rng: np.random.Generator) -> Matched:
    """Return the match of random positions, each within 0.4″ of an object, with all alerts within 1″ of them.

    Parameters
    ----------
    columns
        What is selected; the upload is ``u``, the alerts are ``a``.
    """
    numbers = table.random_objects(positions, rng)
    ra, dec = table.object_places(numbers)
    apart, towards = rng.uniform(0, 0.4 / 3600, len(numbers)), rng.uniform(0, 2 * np.pi, len(numbers))
    dec = dec + apart * np.cos(towards)
    ra = (ra + apart * np.sin(towards) / np.cos(np.radians(dec))) % 360
    adql = (
        f"SELECT {columns} FROM TAP_UPLOAD.mine AS u JOIN {table.recipe.table} AS a"
        " ON 1 = CONTAINS(POINT('ICRS', a.ra, a.dec), CIRCLE('ICRS', u.ra, u.dec, 1./3600.))"
    )
    # An alert is at most 0.36″ from its object and no two objects are near each other: all alerts match, no others.
    return Matched(
        _multipart(Asked(adql, 0).parameters, _votable(ra, dec)),
        f"multipart/form-data; boundary={_BOUNDARY}",
        EPOCHS * len(numbers),
    )


def _multipart(parameters: list[tuple[str, str]], upload: bytes) -> bytes:
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in [*parameters, ("UPLOAD", "mine,param:positions")]
    ]
    file = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="positions"; filename="positions.vot"\r\n'
        "Content-Type: application/x-votable+xml\r\n\r\n"
    )
    return "".join([*parts, file]).encode() + upload + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _votable(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> bytes:
    """Return positions as a VOTable in TABLEDATA, as client libraries send them."""
    rows = "".join(
        f"<TR><TD>{number}</TD><TD>{one!r}</TD><TD>{other!r}</TD></TR>"
        for number, (one, other) in enumerate(zip(ra.tolist(), dec.tolist(), strict=True))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE><TABLE><FIELD name="id" datatype="int"/>'
        '<FIELD name="ra" datatype="double" unit="deg" ucd="pos.eq.ra"/>'
        '<FIELD name="dec" datatype="double" unit="deg" ucd="pos.eq.dec"/>'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()
