"""Names: what tables and columns a part of a query sees, by ADQL's rules of case (2.1.2).

A regular identifier means whatever is written so, without regard to case; a delimited one only what is written exactly
so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from ..metadata import Column, Published, Table
from .kinds import kind_of
from .values import Value

__all__ = ["Catalogue", "Merged", "Relation", "Scope", "Shape", "matching", "shape_of"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Columns of a relation, ready to be looked up.

    Attributes
    ----------
    names
        As they are queried.
    targets
        As they are called in the canonical tree.
    columns, kinds
        What is known of each.
    exact, folded
        Where each name is: as written, and in lower case.
    """

    names: tuple[str, ...]
    targets: tuple[str, ...]
    columns: tuple[Column, ...]
    kinds: tuple[str, ...]
    exact: dict[str, list[int]]
    folded: dict[str, list[int]]


def shape_of(
    names: Sequence[str], targets: Sequence[str], columns: Sequence[Column], kinds: Sequence[str]
) -> Shape:
    """Return the shape of columns of given names."""
    exact: dict[str, list[int]] = {}
    folded: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        exact.setdefault(name, []).append(at)
        folded.setdefault(name.lower(), []).append(at)
    return Shape(tuple(names), tuple(targets), tuple(columns), tuple(kinds), exact, folded)


def matching(name: str, quoted: bool, exact: dict[str, list[int]], folded: dict[str, list[int]]) -> list[int]:
    """Return where a name is, by the rules of case; a regular one prefers what is written as it is."""
    if quoted:
        return exact.get(name, [])
    found = folded.get(name.lower(), [])
    return exact.get(name, found) if len(found) > 1 else found


_KEPT: Final = 512
_shapes: OrderedDict[int, tuple[Table, Shape]] = OrderedDict()


def _shape_of_table(table: Table) -> Shape:
    """Return a table's shape, made once: 300 names cost 0.2 ms."""
    key = id(table)
    kept = _shapes.get(key)
    if kept is not None and kept[0] is table:
        return kept[1]
    names = [column.name for column in table.columns]
    shape = shape_of(names, names, table.columns, [kind_of(column) for column in table.columns])
    _shapes[key] = table, shape
    while len(_shapes) > _KEPT:
        try:
            _shapes.popitem(last=False)
        except KeyError:
            break
    return shape


@dataclass(slots=True)
class Relation:
    """One table, or subquery, in FROM.

    Attributes
    ----------
    alias
        What it is called in the canonical tree; no two are called alike.
    name, quoted
        What the query calls it.
    schema
        Of a table that has no alias; empty else.
    source
        The id of its source; None for a subquery.
    used
        Names of columns that the query uses.
    """

    alias: str
    name: str
    quoted: bool
    schema: str
    shape: Shape
    source: str | None
    used: set[str] = field(default_factory=set)

    @classmethod
    def of_table(
        cls, table: Table, alias: str, name: str, quoted: bool, schema: str, source: str
    ) -> Relation:
        """Return one occurrence of a table."""
        return cls(alias, name, quoted, schema, _shape_of_table(table), source)

    def answers_to(self, name: str, quoted: bool) -> bool:
        """Say whether a name means this."""
        if quoted and self.quoted:
            return name == self.name
        if quoted or self.quoted:
            return name == self.name if quoted else name.lower() == self.name.lower()
        return name.lower() == self.name.lower()

    def value(self, at: int) -> Value:
        """Return a column, by its place."""
        shape = self.shape
        target = shape.targets[at]
        column = shape.columns[at]
        node = exp.Column(
            this=exp.Identifier(this=target, quoted=True), table=exp.Identifier(this=self.alias, quoted=True)
        )
        meta = node.meta
        meta["source"] = self.source
        meta["name"] = target
        self.used.add(target)
        return Value(node, shape.kinds[at], column.unit, column)


@dataclass(slots=True)
class Merged:
    """A column of USING or NATURAL JOIN: one name for a column of either side."""

    name: str
    value: Value
    hides: frozenset[tuple[str, int]]

    def taken(self) -> Value:
        """Return it, once more."""
        value = self.value
        return Value(value.node.copy(), value.kind, value.unit, value.column)


@dataclass(slots=True)
class Scope:
    """What names mean in one SELECT: its relations, then those of the SELECT that it stands in."""

    relations: list[Relation] = field(default_factory=list)
    merged: list[Merged] = field(default_factory=list)
    outer: Scope | None = None

    def beside(self, other: Scope) -> Scope:
        """Return what is seen where both are joined."""
        return Scope([*self.relations, *other.relations], [*self.merged, *other.merged], self.outer)

    def unqualified(self, name: str, quoted: bool) -> list[tuple[Relation | Merged, int]]:
        """Return every column of this scope that a name may mean."""
        found: list[tuple[Relation | Merged, int]] = []
        hidden: set[tuple[str, int]] = set()
        for one in self.merged:
            hidden |= one.hides
            if one.name == name or (not quoted and one.name.lower() == name.lower()):
                found.append((one, 0))
        for relation in self.relations:
            for at in matching(name, quoted, relation.shape.exact, relation.shape.folded):
                if (relation.alias, at) not in hidden:
                    found.append((relation, at))
        return found

    def qualified(self, schema: str | None, table: str, quoted: bool) -> list[Relation]:
        """Return relations of this scope that a qualifier may mean."""
        return [
            relation
            for relation in self.relations
            if relation.answers_to(table, quoted)
            and (schema is None or relation.schema.lower() == schema.lower())
        ]

    def star(self) -> Iterator[Value]:
        """Return the columns of ``*``: merged ones first, then the others, as SQL-92 has it."""
        hidden: set[tuple[str, int]] = set()
        for one in self.merged:
            hidden |= one.hides
        inner = {place for one in self.merged for place in one.hides}
        for one in self.merged:
            yield one.taken()
        for relation in self.relations:
            for at in range(len(relation.shape.names)):
                if (relation.alias, at) not in inner:
                    yield relation.value(at)

    def names(self) -> Iterator[str]:
        """Return all names of columns, for suggestions."""
        scope: Scope | None = self
        while scope is not None:
            for relation in scope.relations:
                yield from relation.shape.names
            scope = scope.outer


class Catalogue:
    """Tables that can be named: published ones and uploads."""

    def __init__(self, published: Published, uploads: Iterable[Table]) -> None:
        self._tables: dict[str, list[Table]] = {}
        self._qualified: list[str] = []
        for table in (*published, *uploads):
            self._tables.setdefault(table.name.lower(), []).append(table)
            self._qualified.append(table.qualified)

    def find(self, schema: tuple[str, bool] | None, name: tuple[str, bool]) -> list[Table]:
        """Return the tables that a name may mean: (identifier, whether it is delimited)."""
        found = [
            table for table in self._tables.get(name[0].lower(), []) if not name[1] or table.name == name[0]
        ]
        if schema is not None:
            found = [
                table
                for table in found
                if table.schema == schema[0] or (not schema[1] and table.schema.lower() == schema[0].lower())
            ]
        return found

    def alike(self, name: str) -> list[Table]:
        """Return tables whose name differs from this at most in case."""
        return self._tables.get(name.lower(), [])

    def names(self) -> list[str]:
        """Return all names, for suggestions."""
        return self._qualified
