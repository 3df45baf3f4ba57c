"""Many stamps in one FITS file.

An archive's stamp is a file of its own, its image in the primary HDU. Bound together they become extensions
behind an empty primary HDU: EXTNAME is the kind (SCIENCE, TEMPLATE, DIFFERENCE), what came beside the image
is called after it (SCIENCE_VARIANCE, SCIENCE_PSF), and every card the survey wrote is kept. Each extension
says which alert it is of, so that those of a hundred epochs can stand in one file. A stamp that the alert
does not have is named in the primary header, so that its absence cannot be taken for a loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged
from sodalake.sodacut.cards import Header, card, padded
from sodalake.sodacut.stampfits import Hdu, header_of, walk

__all__ = ["extensions", "marker", "primary"]

_ROLES = {"UNCERT": "VARIANCE", "PSFIMAGE": "PSF"}
_REWRITTEN = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "EXTNAME", "CHECKSUM", "DATASUM",
    "ALERTID", "OBJECTID", "ALERTTIM", "KIND",
)  # fmt: skip


def primary(about: Sequence[tuple[str, str, str]], absent: Sequence[str] = ()) -> bytes:
    """An empty primary HDU.

    Parameters
    ----------
    about
        Keyword, value and comment of the cards that say what the file is.
    absent
        Kinds of stamps the alert does not have.
    """
    header = Header(
        [
            *card("SIMPLE", True, "conforms to FITS standard"),
            *card("BITPIX", 8),
            *card("NAXIS", 0),
            *card("EXTEND", True),
        ]
    )
    for keyword, value, comment in about:
        header.set(keyword, value, comment)
    if absent:
        header.set("ABSENT", ",".join(kind.upper() for kind in absent), "stamps the alert does not have")
    return header.to_bytes()


def extensions(data: bytes, kind: str, alert: AlertStamps) -> bytes:
    """All HDUs of one FITS stamp as extensions; an HDU without data is left out.

    Raises
    ------
    Damaged
        The bytes are no FITS.
    """
    parts = []
    for number, hdu in enumerate(hdu for hdu in walk(data) if hdu.data_end > hdu.data_start):
        parts.append(_extension_header(data, hdu, number, kind, alert).to_bytes())
        parts.append(padded(data[hdu.data_start : hdu.data_end]))
    if not parts:
        raise Damaged("The stamp has no data.")
    return b"".join(parts)


def marker(name: str, alert: AlertStamps | None = None) -> bytes:
    """An extension without data, of which only the name matters.

    A stamp the alert does not have, or the end.
    """
    header = Header(card("XTENSION", "IMAGE", "image extension"))
    for keyword, value in (("BITPIX", 8), ("NAXIS", 0), ("PCOUNT", 0), ("GCOUNT", 1)):
        header.set(keyword, value)
    header.set("EXTNAME", name)
    if alert is not None:
        header.set("KIND", name)
        _identify(header, alert)
        header.set("ABSENT", True, "the alert has no such stamp")
    return header.to_bytes()


def _identify(header: Header, alert: AlertStamps) -> None:
    header.set("ALERTID", alert.alert_id)
    header.set("OBJECTID", alert.object_id)
    if math.isfinite(alert.time):
        header.set("ALERTTIM", alert.time, "[d] time, in the survey's own scale")


def _extension_header(data: bytes, hdu: Hdu, number: int, kind: str, alert: AlertStamps) -> Header:
    original = header_of(data, hdu)
    name = kind.upper()
    if number:
        name = f"{name}_{_ROLES.get(hdu.name, hdu.name) or number + 1}"
    axes = [f"NAXIS{axis + 1}" for axis in range(len(hdu.axes))]
    head = Header(card("XTENSION", hdu.extension or "IMAGE", "image extension" if not hdu.extension else ""))
    head.set("BITPIX", hdu.bitpix)
    head.set("NAXIS", len(hdu.axes))
    for axis, length in zip(axes, hdu.axes, strict=True):
        head.set(axis, length)
    head.set("PCOUNT", int(original.get("PCOUNT") or 0))
    head.set("GCOUNT", int(original.get("GCOUNT") or 1))
    head.set("EXTNAME", name)
    head.set("KIND", kind.upper())
    _identify(head, alert)
    original.drop(*_REWRITTEN, *axes)
    head.cards += original.cards
    return head
