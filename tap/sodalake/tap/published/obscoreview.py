"""Rows of `ivoa.obscore`, made of a survey's own rows when they are asked for: one view a survey.

A view says of which columns of its survey each of ObsCore's is made, makes them, and tells the planner what a condition
on them says of the survey's rows. Alerts have one kind of view (`obscorealerts`), images the other (`obscoreimages`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.metadata import Table, arrow_type

from .obscore import obscore_table

__all__ = ["DATALINK_TYPE", "Maker", "ObscoreView", "doubles", "prefixed", "repeated", "texts", "wavelengths"]

DATALINK_TYPE: Final = "application/x-votable+xml;content=datalink"
"""The MIME type of links, without a space: clients compare it as text (DataLink 1.1, 3.1)."""

_PLAIN_ID: Final = r"^[A-Za-z0-9._~-]*$"
_DID: Final = re.compile(r"(ivo://[^/?#]+/[^?#/]+)\?([^/?#]+)", re.I)
_NOTHING: Final = ("t_resolution", "t_xel", "em_res_power", "em_xel", "pol_states", "pol_xel")

Maker = Callable[[pa.Table], pa.ChunkedArray]
"""Makes one of ObsCore's columns of N rows of a survey."""


class ObscoreView:
    """What one survey has in `ivoa.obscore`; the kinds of survey are subclasses.

    Parameters
    ----------
    survey
        The survey's name.
    table
        Its table, as published.
    key
        Role of the column that is its rows' id.
    authority
        Ours, in identifiers.
    base_url
        The service's root as the client sees it, without a slash at its end: links begin with it.

    Attributes
    ----------
    values
        Column → the few values that its rows may have, text, integer or null.
    linear
        Column → column of the survey, and what is added to it.
    same
        Column → column of the survey with the same texts.
    reach
        Degrees from (s_ra, s_dec) beyond which no `s_region` goes; None: there is an index of the regions themselves.
    longest
        Days from a row's t_min to its t_max at most.
    """

    values: Mapping[str, Sequence[object]]
    linear: Mapping[str, tuple[str, float]]
    same: Mapping[str, str]
    reach: float | None
    longest: float

    def __init__(self, survey: str, table: Table, key: str, authority: str, base_url: str) -> None:
        self.survey_name = survey
        self.table = table
        self._root = f"ivo://{authority}/{survey}"
        self._links = f"{base_url}/datalink/links?ID={quote(self._root + '?', safe='')}"
        self._types = {column.name: arrow_type(column) for column in obscore_table().columns}
        self._key = table.roles[key]
        self._publisher = f"ivo://{authority}"
        self.same = {"obs_id": self._key}
        self._makers: dict[str, tuple[tuple[str, ...], Maker]] = {
            "obs_id": ((self._key,), self.ids),
            "obs_publisher_did": ((self._key,), lambda rows: prefixed(f"{self._root}?", self._escaped(rows))),
            # the id is escaped twice: once in the identifier, once more in the URL's query
            "access_url": (
                (self._key,),
                lambda rows: prefixed(self._links, pc.replace_substring(self._escaped(rows), "%", "%25")),
            ),
        }

    def _complete(
        self, made: Mapping[str, tuple[tuple[str, ...], Maker]], values: Mapping[str, Sequence[object]]
    ) -> None:
        """Take what a kind of survey adds: columns that are made of others, and those that have few values."""
        self._makers |= made
        everywhere: dict[str, Sequence[object]] = {
            "dataproduct_type": ("image",),
            "access_format": (DATALINK_TYPE,),
            "publisher_id": (self._publisher,),
            **dict.fromkeys(_NOTHING, (None,)),
        }
        self.values = MappingProxyType(everywhere | dict(values))

    # ------------------------------------------------------------------ what the planner asks

    @property
    def content(self) -> str:
        """What its rows are: `metadata.Table.content` of the survey's table."""
        return self.table.content

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of the survey of which these columns are made; none for those that are constant."""
        used = (column for name in names if name in self._makers for column in self._makers[name][0])
        return tuple(dict.fromkeys(used))

    def derive(self, rows: pa.Table, names: Sequence[str]) -> pa.Table:
        """Return these columns for some rows.

        Parameters
        ----------
        rows
            N rows of the survey, with at least `needs(names)`.

        Returns
        -------
        pyarrow.Table
            N rows, in the types of `ivoa.obscore`.
        """
        arrays = []
        for name in names:
            kind = self._types[name]
            if name in self._makers:
                made = self._makers[name][1](rows)
                arrays.append(made if made.type == kind else made.cast(kind))
            else:
                (value,) = self.values[name]
                arrays.append(repeated(value, kind, rows))
        if not names:  # Arrow counts rows by columns, so a table without any has lost them
            return rows.select([])
        return pa.Table.from_arrays(arrays, names=list(names))

    def id_of(self, did: str) -> str | None:
        """Return the row's id of a publisher DID in the form that the view writes; None of any other.

        A comparison in a query is one of texts, so another writing of the same identifier is another text.
        """
        match = _DID.fullmatch(did)
        if match is None or match[1] != self._root:
            return None
        found = unquote(match[2])
        return found if quote(found, safe="") == match[2] else None

    # ------------------------------------------------------------------ makers

    def ids(self, rows: pa.Table) -> pa.ChunkedArray:
        """Return the rows' ids (N)."""
        return texts(rows[self._key])

    def titles(self, prefix: str) -> tuple[tuple[str, ...], Maker]:
        """Return the maker of titles: some words and the id."""
        return (self._key,), lambda rows: prefixed(prefix, self.ids(rows))

    def _escaped(self, rows: pa.Table) -> pa.ChunkedArray:
        ids = self.ids(rows)
        if pa.types.is_integer(rows[self._key].type):
            return ids
        odd = pc.invert(pc.match_substring_regex(ids, _PLAIN_ID))
        if not pc.any(odd).as_py():
            return ids
        # ids with signs that a URL gives a meaning to: surveys that have any have few
        escaped = pa.array([quote(text, safe="") for text in ids.filter(odd).to_pylist()], pa.string())
        return pc.replace_with_mask(ids.combine_chunks(), pc.fill_null(odd, False).combine_chunks(), escaped)


def prefixed(prefix: str, column: Any) -> Any:
    """Return a column's texts with a prefix."""
    return pc.binary_join_element_wise(prefix, column, "")


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as texts."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def doubles(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as doubles."""
    return column if pa.types.is_float64(column.type) else column.cast(pa.float64())


def repeated(value: object, kind: pa.DataType, rows: pa.Table) -> pa.ChunkedArray:
    """Return a value, once for each of N rows."""
    return pa.chunked_array([pa.repeat(pa.scalar(value, kind), rows.num_rows)])


def wavelengths(
    column: pa.ChunkedArray, limits: Mapping[str, tuple[float, float]], end: int
) -> pa.ChunkedArray:
    """Return the shortest (`end` 0) or longest (1) wavelength of bands (N); null of those that are not in `limits`."""
    places = pc.index_in(texts(column), value_set=pa.array(list(limits), pa.string()))
    return pa.chunked_array([pa.array([ends[end] for ends in limits.values()], pa.float64())]).take(places)
