"""Service descriptors: what else can be had of the rows of an answer (DataLink 1.1, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from sodalake.tap.formats.idents import idents_of
from sodalake.tap.metadata import Column, Published

__all__ = ["LINKS_STANDARD", "Input", "link_descriptors", "links_of_did", "service_descriptor"]

LINKS_STANDARD: Final = "ivo://ivoa.net/std/DataLink#links-1.1"
_DID: Final = "obscore:curation.publisherdid"
_LINKS: Final = {
    "alerts": "Stamps of the {survey} alert: each as a file or a picture, cutouts, its light curve.",
    "images": "The {survey} image: as a file or a picture, cutouts, what stands beside it.",
}


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter that a client sends.

    Attributes
    ----------
    name, description
        Its name, and what it does.
    value
        What is always sent; empty where `ref` or the user says.
    ref
        ID of the FIELD whose values are sent, row by row; empty where it has none.
    datatype, arraysize, xtype, unit, ucd
        VOTable's; `arraysize` is empty for a scalar.
    options
        Values to choose from.
    limits
        Smallest and largest value, as text; either may be empty.
    """

    name: str
    description: str = ""
    value: str = ""
    ref: str = ""
    datatype: str = "char"
    arraysize: str = "*"
    xtype: str = ""
    unit: str = ""
    ucd: str = ""
    options: Sequence[str] = ()
    limits: tuple[str, str] = ("", "")

    def xml(self) -> str:
        """Return the PARAM."""
        attributes = {
            "name": self.name,
            "datatype": self.datatype,
            "arraysize": self.arraysize,
            "xtype": self.xtype,
            "unit": self.unit,
            "ucd": self.ucd,
            "ref": self.ref,
        }
        inside = f"<DESCRIPTION>{escape(self.description)}</DESCRIPTION>" if self.description else ""
        low, high = self.limits
        choice = "".join(f"<OPTION value={quoteattr(option)}/>" for option in self.options)
        choice = "".join(
            f"<{kind} value={quoteattr(limit)}/>" for kind, limit in (("MIN", low), ("MAX", high)) if limit
        ) + choice  # fmt: skip
        inside += f"<VALUES>{choice}</VALUES>" if choice else ""
        return f"<PARAM{_attributes(attributes)} value={quoteattr(self.value)}>{inside}</PARAM>"


def service_descriptor(
    description: str,
    access_url: str,
    inputs: Iterable[Input],
    *,
    standard: str = "",
    name: str = "",
    identifier: str = "",
    this: bool = False,
    content_type: str = "",
) -> str:
    """Return the RESOURCE that describes a service.

    Parameters
    ----------
    standard
        The standard's identifier; empty for a service of our own.
    name
        For people.
    identifier
        XML ID, unique in its document; what ``service_def`` names. Empty: none.
    this
        Whether it is the service that answers.
    content_type
        What it answers with, where that is one thing.
    """
    attributes = {
        "type": "meta",
        "utype": "adhoc:this" if this else "adhoc:service",
        "name": name,
        "ID": identifier,
    }
    told = [("accessURL", access_url), ("standardID", standard), ("contentType", content_type)]
    params = "".join(Input(key, value=value).xml() for key, value in told if value)
    group = "".join(one.xml() for one in inputs)
    return (
        f"<RESOURCE{_attributes(attributes)}><DESCRIPTION>{escape(description)}</DESCRIPTION>{params}"
        f'<GROUP name="inputParams">{group}</GROUP></RESOURCE>'
    )


def links_of_did(base_url: str, field: str) -> str:
    """Return the descriptor of the links of publisher DIDs, which stand in the FIELD whose ID is `field`."""
    return service_descriptor(
        "An image, or the stamps of an alert, each as a file or a picture; cutouts; light curves.",
        f"{base_url}/datalink/links",
        [Input("ID", "Publisher DID.", ref=field, ucd="meta.id;meta.main")],
        standard=LINKS_STANDARD,
        name="links",
    )


def link_descriptors(outputs: Sequence[Column], published: Published, base_url: str) -> tuple[str, ...]:
    """Return the descriptors of the links of an answer's rows.

    Parameters
    ----------
    outputs
        Columns of the answer. Those that are a publisher DID, or the id of a survey's alerts or images, have links;
        they are known by what is told of them, since a query may have renamed them.
    published
        What can be queried.
    base_url
        The service's root as the client sees it, without a slash at its end.
    """
    found = []
    ids = {
        (column.ucd, column.datatype, column.description): table
        for table in published
        for role in ("alert", "image")
        if role in table.roles and (column := table.column(table.roles[role])) is not None
    }
    idents = idents_of([output.name for output in outputs])
    for output, ident in zip(outputs, idents, strict=True):
        table = ids.get((output.ucd, output.datatype, output.description))
        if output.utype.lower() == _DID:
            found.append(links_of_did(base_url, ident))
        elif table is not None:
            found.append(
                service_descriptor(
                    _LINKS[table.content].format(survey=table.survey),
                    f"{base_url}/datalink/links",
                    [
                        Input("SURVEY", value=table.survey),
                        Input("ID", output.description, ref=ident, datatype=output.datatype,
                              arraysize=output.arraysize, ucd="meta.id;meta.main"),
                    ],
                    standard=LINKS_STANDARD,
                    name=f"links of {table.survey}",
                )
            )  # fmt: skip
    return tuple(found)


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value)
