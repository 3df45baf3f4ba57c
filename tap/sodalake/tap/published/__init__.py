"""What can be queried: the tables of a lake's surveys, `ivoa.obscore`, and TAP_SCHEMA, which describes them all.

::

    from sodalake.tap.published import publish, tap_schema_tables

    published = publish(Lake.open("my.lake"), "example.org")
    rows = tap_schema_tables(published)["tap_schema.columns"]

Nothing of this is stored: tables come from the survey files and from the columns that the lake's rows have, rows of
TAP_SCHEMA from the tables, and rows of `ivoa.obscore` from alerts and images, when they are asked for.
"""

from __future__ import annotations

from .descriptors import Input, link_descriptors, links_of_did, service_descriptor
from .names import listed_name
from .obscore import obscore_table
from .obscorealerts import AlertsView
from .obscoreimages import ImagesView
from .obscoreview import ObscoreView
from .publishing import publish
from .tapschema import tap_schema_tables

__all__ = [
    "AlertsView",
    "ImagesView",
    "Input",
    "ObscoreView",
    "link_descriptors",
    "links_of_did",
    "listed_name",
    "obscore_table",
    "publish",
    "service_descriptor",
    "tap_schema_tables",
]
