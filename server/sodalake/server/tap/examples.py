"""``/tap/examples``: queries to begin with, of the surveys that are there (DALI 1.1, 2.3; TAP 1.1, 2.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from sodalake.server.tap.handling import VotableHandler
from sodalake.tap.metadata import Published, Table
from sodalake.tap.published import listed_name

__all__ = ["Example", "ExamplesHandler", "examples", "examples_page"]


@dataclass(frozen=True, slots=True)
class Example:
    """One query: an id for links to it, what it is for, its table, and its text."""

    identifier: str
    name: str
    table: str
    query: str


def examples(published: Published) -> list[Example]:
    """Return queries that run on what is published."""
    found: list[Example] = []
    for table in published:
        if table.content == "alerts":
            found += _of_alerts(table)
        elif table.content == "objects":
            found += _of_objects(table)
        elif table.content == "images":
            found.append(_of_images(table))
    found += [
        Example(
            "stamps",
            "Stamps near a place",
            "ivoa.obscore",
            "SELECT TOP 10 obs_publisher_did, target_name, t_min, access_url FROM ivoa.obscore\n"
            "WHERE 1 = CONTAINS(POINT('ICRS', s_ra, s_dec), CIRCLE('ICRS', 150.1, 2.2, 0.5))",
        ),
        Example(
            "columns",
            "Columns that an index serves",
            "tap_schema.columns",
            "SELECT table_name, column_name, unit, description FROM tap_schema.columns WHERE indexed = 1",
        ),
    ]
    return found


def _of_alerts(table: Table) -> Iterator[Example]:
    roles = {role: listed_name(name) for role, name in table.roles.items()}
    schema, name = table.schema, table.qualified
    what = ", ".join(roles[role] for role in ("alert", "object", "time", "ra", "dec"))
    yield Example(
        f"{schema}_cone",
        f"Alerts of {schema} within an arcminute of a place",
        name,
        f"SELECT TOP 100 {what} FROM {name}\n"  # noqa: S608 - ADQL can only read
        f"WHERE 1 = CONTAINS(POINT('ICRS', {roles['ra']}, {roles['dec']}), CIRCLE('ICRS', 150.1, 2.2, 0.0167))",
    )
    if "class" in roles:
        yield Example(
            f"{schema}_classes",
            f"How many alerts of {schema} there are of each class",
            name,
            f"SELECT {roles['class']}, COUNT(*) AS alerts FROM {name}\nGROUP BY {roles['class']} ORDER BY alerts DESC",  # noqa: S608 - ADQL can only read
        )


def _of_objects(table: Table) -> Iterator[Example]:
    name = table.qualified
    yield Example(
        f"{table.schema}_objects",
        f"Objects of {table.schema} with most alerts",
        name,
        f"SELECT TOP 20 {listed_name(table.roles['object'])}, n_alerts FROM {name} ORDER BY n_alerts DESC",  # noqa: S608 - ADQL can only read
    )


def _of_images(table: Table) -> Example:
    name = table.qualified
    return Example(
        f"{table.schema}_images",
        f"Images of {table.schema} that a place is on, the sharpest first",
        name,
        f"SELECT TOP 20 image_id, band, t_min, exposure, seeing FROM {name}\n"  # noqa: S608 - ADQL can only read
        "WHERE 1 = CONTAINS(POINT('ICRS', 150.1, 2.2), s_region) ORDER BY seeing",
    )


def examples_page(found: Sequence[Example]) -> bytes:
    """Return the page, well-formed XML with the properties of DALI-examples."""
    shown = "\n".join(
        f'<div typeof="example" id={quoteattr(one.identifier)} resource={quoteattr("#" + one.identifier)}>\n'
        f'<h2 property="name">{escape(one.name)}</h2>\n'
        f'<p>Table: <span property="table">{escape(one.table)}</span></p>\n'
        f'<pre property="query">{escape(one.query)}</pre>\n</div>'
        for one in found
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n<head><title>Queries to begin with</title></head>\n'
        f'<body vocab="http://www.ivoa.net/rdf/examples#">\n<h1>Queries to begin with</h1>\n{shown}\n</body>\n</html>\n'
    ).encode()


class ExamplesHandler(VotableHandler):
    """``/tap/examples``."""

    def get(self) -> None:
        """Answer with the page."""
        self.set_header("Content-Type", "application/xhtml+xml; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(examples_page(examples(self.service.tap.published())))

    head = get
