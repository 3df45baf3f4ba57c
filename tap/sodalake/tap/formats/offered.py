"""Which formats there are, and which of them a request means (DALI 1.1, 3.4.3; TAP 1.1, 2.7.3)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from sodalake.tap.errors import FormatError

__all__ = ["FORMATS", "OutputFormat", "output_format"]

_VOTABLE = "application/x-votable+xml"
_STANDARD = "ivo://ivoa.net/std/TAPRegExt#output-votable-"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """One way to write an answer.

    Attributes
    ----------
    name
        Ours, and its main short name.
    mimes
        Media types that ask for it; the first is answered where none was asked for.
    shorts
        Short names that ask for it, in lower case.
    ivo_id
        TAPRegExt's identifier of the format; empty where it has none.
    extension
        Of a file's name, without the dot.
    """

    name: str
    mimes: tuple[str, ...]
    shorts: tuple[str, ...]
    ivo_id: str = ""
    extension: str = ""


FORMATS: Final = (
    OutputFormat("votable", (_VOTABLE, "text/xml", "application/xml"), ("votable", "vot", "xml"), "", "vot"),
    OutputFormat(
        "votable/b2",
        (f"{_VOTABLE};serialization=BINARY2", "text/xml;serialization=BINARY2"),
        ("votable/b2", "votable/binary2"),
        _STANDARD + "binary2",
        "vot",
    ),
    OutputFormat(
        "votable/td",
        (f"{_VOTABLE};serialization=TABLEDATA", "text/xml;serialization=TABLEDATA"),
        ("votable/td", "votable/tabledata"),
        _STANDARD + "td",
        "vot",
    ),
    OutputFormat(
        "votable/b",
        (f"{_VOTABLE};serialization=BINARY", "text/xml;serialization=BINARY"),
        ("votable/b", "votable/binary"),
        _STANDARD + "binary",
        "vot",
    ),
    OutputFormat("csv", ("text/csv;header=present", "text/csv"), ("csv",), "", "csv"),
    OutputFormat("tsv", ("text/tab-separated-values",), ("tsv",), "", "tsv"),
    OutputFormat("fits", ("application/fits", "image/fits"), ("fits",), "", "fits"),
    OutputFormat("json", ("application/json",), ("json",), "", "json"),
    OutputFormat(
        "parquet", ("application/vnd.apache.parquet", "application/x-parquet"), ("parquet",), "", "parquet"
    ),
    OutputFormat("arrow", ("application/vnd.apache.arrow.stream",), ("arrow",), "", "arrows"),
    OutputFormat("html", ("text/html",), ("html",), "", "html"),
)


def output_format(value: str | None) -> tuple[OutputFormat, str]:
    """Return the format that RESPONSEFORMAT (or FORMAT) asks for, and the Content-Type to answer with.

    A media type is compared without regard to case, blanks, quotes and ``charset=utf-8``, and is answered as it was
    asked for (DALI 1.1, 3.4.3). A short name is answered with the format's first media type. Nothing asked: VOTable.

    Raises
    ------
    FormatError
        There is no such format; says which there are.
    """
    asked = (value or "").strip()
    if not asked:
        return FORMATS[0], FORMATS[0].mimes[0]
    form = _names().get(_normal(asked))
    if form is None:
        shown = "".join(c if c.isprintable() else "�" for c in asked[:80])
        raise FormatError(
            f"There is no output format {shown!r}.",
            f"Ask for one of: {', '.join(each.name for each in FORMATS)}; "
            f"or for one of these media types: {', '.join(mime for each in FORMATS for mime in each.mimes)}.",
        )
    # What is echoed goes into a header: only what can stand there.
    if "/" in asked and asked.isascii() and asked.isprintable() and asked.lower() not in form.shorts:
        return form, asked.replace("x-votable xml", "x-votable+xml")
    return form, form.mimes[0]


def _normal(asked: str) -> str:
    kind, *parameters = (re.sub(r"\s*=\s*", "=", part.strip().lower()) for part in asked.split(";"))
    # A plus sign that is not escaped in a URL arrives as a blank; clients in use send it so.
    kind = kind.replace("x-votable xml", "x-votable+xml")
    kept = sorted(part.replace('"', "") for part in parameters if part)
    return ";".join([kind, *(part for part in kept if part not in ("charset=utf-8", "charset=utf8"))])


@functools.cache
def _names() -> dict[str, OutputFormat]:
    return {name: form for form in FORMATS for name in (*form.shorts, *map(_normal, form.mimes))}
