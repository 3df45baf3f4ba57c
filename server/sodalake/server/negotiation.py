"""Content negotiation: whether a client wants its bytes gzipped, and pages rather than data (RFC 9110, 12.5)."""

from __future__ import annotations

import functools

__all__ = ["accepts_gzip", "prefers_html"]


@functools.lru_cache(maxsize=256)
def accepts_gzip(header: str) -> bool:
    """Say whether an Accept-Encoding header prefers gzip to the bytes as they are, or likes both equally.

    A header that is absent or empty asks for nothing special; a weight that is malformed counts as zero.
    """
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, value = parameter.partition("=")
        weights[coding.strip()] = _weight(value.strip()) if name.strip() == "q" else 1.0
    gzip = max(weights.get("gzip", 0.0), weights.get("x-gzip", 0.0))
    if "gzip" not in weights and "x-gzip" not in weights:
        gzip = weights.get("*", 0.0)
    # Identity that is not named is acceptable, and stands behind whatever is named.
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


@functools.lru_cache(maxsize=256)
def prefers_html(header: str) -> bool:
    """Say whether an Accept header names (X)HTML and likes XML no better.

    Who does not name HTML is a program, ``*/*`` too. Browsers name HTML and XML both, with HTML first or weighted
    higher; where neither is, XML is preferred (UWS 1.1, 2.2.2).
    """
    if "image/gif" in header and "xml" not in header:
        # What Java's URLConnection sends by itself, so STILTS and TOPCAT do; browsers name XML or XHTML too.
        return False
    html = xml = 0.0
    html_at = xml_at = 0
    for at, part in enumerate(header.lower().split(",")):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                weight = _weight(value.strip())
        if kind in ("text/html", "application/xhtml+xml") and weight > html:
            html, html_at = weight, at
        elif kind in ("text/xml", "application/xml") and weight > xml:
            xml, xml_at = weight, at
    return html > xml or (html == xml > 0 and html_at < xml_at)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
