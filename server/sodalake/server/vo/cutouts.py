"""SODA as other protocols' answers tell of it: the descriptor of ``/soda/sync`` (DataLink 1.1, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sodalake.lake.survey import STAMP_KINDS
from sodalake.server.soda import FORMATS, SYNC
from sodalake.tap.published import Input, service_descriptor

__all__ = ["soda_descriptor", "soda_inputs"]

_OPTIONS: Final[Mapping[str, Sequence[str]]] = {
    "KIND": STAMP_KINDS,
    "RESPONSEFORMAT": tuple(form.name for form in FORMATS),
}


def soda_inputs(ref: str = "", value: str = "") -> list[Input]:
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
            one.xtype,
            one.unit,
            one.ucd,
            _OPTIONS.get(one.name, ()),
        )
        for one in SYNC.parameters
        if one.arraysize
    ]


def soda_descriptor(base_url: str, inputs: Sequence[Input], identifier: str = "") -> str:
    """Return the descriptor of ``/soda/sync``."""
    return service_descriptor(
        SYNC.description,
        f"{base_url}{SYNC.path}",
        inputs,
        standard=SYNC.standard,
        name="cutout",
        identifier=identifier,
    )
