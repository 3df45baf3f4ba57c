"""Whether a client wants gzip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.server.negotiation import accepts_gzip


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, identity", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.8", True),
        ("gzip ; q = 0.3", True),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("br", False),
        ("gzip;q=high", False),
        ("gzip;q=7", False),
        ("gzip;q=nan", False),
    ],
)
def test_headers(header: str, wanted: bool) -> None:
    assert accepts_gzip(header) is wanted


@given(st.text(alphabet="gzipx-*;q=., 01id", max_size=40))
def test_no_header_is_an_error(header: str) -> None:
    assert accepts_gzip(header) in (True, False)
