"""Factors between units: prefixes of magnitudes too, and what has none."""

from __future__ import annotations

import pytest

from sodalake.tap.adql.units import factor


@pytest.mark.parametrize(
    ("given", "wanted", "expected"),
    [
        ("deg", "arcsec", 3600.0),
        ("mag", "mmag", 1000.0),
        ("mag/d", "mmag/d", 1000.0),
        ("km/s", "pc/yr", 1.0227121650537077e-06),
    ],
)
def test_factors(given: str, wanted: str, expected: float) -> None:
    assert factor(given, wanted) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "wanted"), [("mag", "Jy"), ("mag(Jy)", "Jy"), ("m", "s"), ("m", "furlongs"), ("mag(AB)", "mag")]
)
def test_what_has_no_factor(given: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be made|No factor|is no unit"):
        factor(given, wanted)
