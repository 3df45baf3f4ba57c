"""Content negotiation: whether a client wants its bytes gzipped (RFC 9110, 12.5.3)."""

from __future__ import annotations

import functools

__all__ = ["accepts_gzip"]


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


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
