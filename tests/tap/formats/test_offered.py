"""RESPONSEFORMAT, as clients write it."""

from __future__ import annotations

import pytest

from sodalake.tap.errors import FormatError
from sodalake.tap.formats import FORMATS, output_format


@pytest.mark.parametrize(
    ("asked", "name", "answered"),
    [
        (None, "votable", "application/x-votable+xml"),
        ("  ", "votable", "application/x-votable+xml"),
        ("VOTable", "votable", "application/x-votable+xml"),
        ("text/xml", "votable", "text/xml"),
        ("Text/XML; charset=UTF-8", "votable", "Text/XML; charset=UTF-8"),
        ("application/x-votable xml", "votable", "application/x-votable+xml"),
        ("votable/td", "votable/td", "application/x-votable+xml;serialization=TABLEDATA"),
        (
            "application/x-votable+xml;serialization=tabledata",
            "votable/td",
            "application/x-votable+xml;serialization=tabledata",
        ),
        ('text/xml ; Serialization = "BINARY2"', "votable/b2", 'text/xml ; Serialization = "BINARY2"'),
        (
            "application/x-votable+xml; serialization=BINARY",
            "votable/b",
            "application/x-votable+xml; serialization=BINARY",
        ),
        ("csv", "csv", "text/csv;header=present"),
        ("text/csv", "csv", "text/csv"),
        ("text/csv; header=present", "csv", "text/csv; header=present"),
        ("TSV", "tsv", "text/tab-separated-values"),
        ("application/vnd.apache.parquet", "parquet", "application/vnd.apache.parquet"),
        ("text/csv;\r\nheader=present", "csv", "text/csv;header=present"),
    ],
)
def test_what_is_asked(asked: str | None, name: str, answered: str) -> None:
    form, content_type = output_format(asked)
    assert (form.name, content_type) == (name, answered)


@pytest.mark.parametrize(
    "asked",
    ["pdf", "text/csv;header=absent", "application/x-votable+xml;serialization=FITS", "a\0b", "/", ";"],
)
def test_what_is_not_offered(asked: str) -> None:
    with pytest.raises(FormatError, match=r"votable/td, .*parquet"):
        output_format(asked)


def test_every_name_is_one_formats() -> None:
    names = [name for form in FORMATS for name in (*form.mimes, *form.shorts)]
    assert len(set(names)) == len(names)
    for form in FORMATS:
        assert output_format(form.name)[0] is form
        assert output_format(form.mimes[0]) == (form, form.mimes[0])
