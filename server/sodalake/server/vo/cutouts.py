"""SODA as other protocols' answers tell of it: the descriptor of ``/soda/sync`` (DataLink 1.1, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sodalake.lake.survey import STAMP_KINDS
from sodalake.server.imagesoda import IMAGE_FORMATS
from sodalake.server.soda import FORMATS, SYNC
from sodalake.tap.published import Input, service_descriptor

__all__ = ["Domain", "soda_descriptor", "soda_inputs"]

_OPTIONS: Final[Mapping[str, Sequence[str]]] = {
    "KIND": STAMP_KINDS,
    "RESPONSEFORMAT": tuple(dict.fromkeys(form.name for form in (*FORMATS, *IMAGE_FORMATS))),
}


_LATER: Final = ("moc",)  # xtypes of DALI 1.2, which validators of 1.1 warn of


@dataclass(frozen=True, slots=True)
class Domain:
    """What is known of the parameters where they are about one thing (SODA 1.0, section 4).

    Attributes
    ----------
    limits
        Parameter → smallest and largest value, as text; of CIRCLE and POLYGON the covering shape is the largest.
    options
        Parameter → values to choose from.
    without
        Parameters that are not for it.
    """

    limits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    without: Sequence[str] = ()


def soda_inputs(ref: str = "", value: str = "", domain: Domain = Domain()) -> list[Input]:
    """Return what a client sends to ``/soda/sync``: the ID from a FIELD, or a given one, and what the user says.

    Single numbers are left out, which are about a picture's look: pyvo 1.9 fails on one that has no value.
    """
    return [
        Input(
            one.name,
            one.description,
            value if one.name == "ID" else "",
            ref if one.name == "ID" else "",
            one.datatype,
            one.arraysize,
            "" if one.xtype in _LATER else one.xtype,
            one.unit,
            one.ucd,
            domain.options.get(one.name, _OPTIONS.get(one.name, ())),
            domain.limits.get(one.name, ("", "")),
        )
        for one in SYNC.parameters
        if one.arraysize and one.name not in domain.without
    ]


def soda_descriptor(base_url: str, inputs: Sequence[Input], identifier: str = "") -> str:
    """Return the descriptor of ``/soda/sync``."""
    return service_descriptor(
        SYNC.description,
        f"{base_url}{SYNC.path}",
        inputs,
        standard=SYNC.standard,
        name=identifier or "cutout",  # a name is there once in a document, too
        identifier=identifier,
    )
