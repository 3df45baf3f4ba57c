"""A request to TAP, read: LANG, QUERY, FORMAT, MAXREC, RUNID, UPLOAD (TAP 1.1, 2.7).

REQUEST and VERSION, which TAP 1.0 had, are ignored; clients still send them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tornado.httputil import HTTPServerRequest

from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported
from sodalake.server.jobs.forms import Part, read_form
from sodalake.server.sections import Limits, Tap
from sodalake.server.tap.engine import Query
from sodalake.server.tap.fetching import fetch
from sodalake.tap.errors import UploadError
from sodalake.tap.formats import OutputFormat, output_format
from sodalake.tap.questions import Upload

__all__ = ["LANGUAGES", "UploadName", "adql_of", "format_of", "maxrec_of", "query_of", "uploads_named"]

LANGUAGES: Final = ("ADQL", "ADQL-2.0", "ADQL-2.1")

_LARGEST: Final = 10**15
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# TAP 1.0 has several uploads in one value; a semicolon of a URL is none that a name and a comma follow.
_BETWEEN: Final = re.compile(r";(?=\s*[A-Za-z][A-Za-z0-9_]*\s*,)", re.ASCII)
_MOST_UPLOADS: Final = 16


@dataclass(frozen=True, slots=True)
class UploadName:
    """One table to come: its name, and where from (``param:PART`` or a URL)."""

    name: str
    uri: str

    @property
    def part(self) -> str | None:
        """The name of the part it is; None for a URL."""
        scheme, _, rest = self.uri.partition(":")
        return rest if scheme.lower() == "param" else None


def uploads_named(values: Sequence[str]) -> list[UploadName]:
    """Read the values of UPLOAD: ``name,uri`` each, or several of them with ``;`` between (TAP 1.1, 2.7.6).

    Raises
    ------
    UploadError
        It has another form, a name is none or stands twice, or there are too many.
    """
    found: list[UploadName] = []
    for value in values:
        for one in _BETWEEN.split(value):
            name, comma, uri = (part.strip() for part in one.partition(","))
            if not comma or not uri:
                raise UploadError(
                    f"UPLOAD={clip(one)!r} is not NAME,URI.", "Write UPLOAD=mytable,param:PART, or a URL."
                )
            if not _NAME.fullmatch(name):
                raise UploadError(
                    f"{clip(name)!r} is no name of an uploaded table.",
                    "Names are letters, digits and _, and begin with a letter.",
                )
            if any(name.lower() == other.name.lower() for other in found):
                raise UploadError(f"Two uploaded tables are called {name}.", "Name each differently.")
            found.append(UploadName(name, uri))
    if len(found) > _MOST_UPLOADS:
        raise UploadError(f"There are {len(found)} uploads.", f"At most {_MOST_UPLOADS} are taken.")
    return found


def adql_of(parameters: Parameters) -> str:
    """Return QUERY, where LANG is a language we have.

    Raises
    ------
    BadParameter
        It is not, or there is no query.
    """
    language = parameters.one("LANG") or LANGUAGES[0]
    if language.upper() not in LANGUAGES:
        raise BadParameter(
            f"LANG={clip(language)!r} is no query language of this service.",
            f"It has {', '.join(LANGUAGES)}.",
        )
    return parameters.required("QUERY", "Send a query in ADQL, such as SELECT * FROM tap_schema.tables.")


def maxrec_of(parameters: Parameters) -> int | None:
    """Return MAXREC, None where it is absent (DALI 1.1, 3.4.4).

    Raises
    ------
    BadParameter
        It is no whole number, or negative.
    """
    value = parameters.one("MAXREC")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise BadParameter(
            f"MAXREC={clip(value)!r} is not a whole number from 0 up.",
            "0 asks for the columns alone; without it there is a default.",
        )
    return min(int(value[:20]), _LARGEST)


def format_of(parameters: Parameters) -> tuple[OutputFormat, str]:
    """Return what RESPONSEFORMAT, or FORMAT, asks for, and the Content-Type to answer with.

    Raises
    ------
    FormatError, MultiValuedParamNotSupported
        It is not offered, or the two differ.
    """
    names = ("RESPONSEFORMAT", "FORMAT")
    asked = [output_format(value) for name in names if (value := parameters.one(name)) is not None]
    if len({form.name for form, _ in asked}) > 1:
        raise MultiValuedParamNotSupported(
            "RESPONSEFORMAT and FORMAT ask for different formats.", "Send one of them."
        )
    return asked[0] if asked else output_format(None)


async def query_of(request: HTTPServerRequest, base_url: str, tap: Tap, limits: Limits) -> Query:
    """Read a request to ``/tap/sync``, and fetch the tables that it names by URL.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, FormatError, UploadError
        What is wrong with it.
    """
    form = read_form(request)
    pairs = [(one.id, one.value) for one in form.parameters if not one.by_reference]
    parameters = Parameters([*pairs, *((name, value) for name in form.ours for value in form.ours[name])])
    adql = adql_of(parameters)
    form_, content_type = format_of(parameters)
    maxrec = maxrec_of(parameters)
    named = uploads_named([value for value in parameters.get("upload", ()) if value.strip()])
    parts = {part.name: part for part in form.parts}
    uploads = await _fetched(named, parts, tap, limits)
    return Query(
        adql,
        form_,
        content_type,
        maxrec,
        uploads,
        base_url=base_url,
        run_id=parameters.run_id(),
    )


async def _fetched(
    named: Sequence[UploadName], parts: Mapping[str, Part], tap: Tap, limits: Limits
) -> tuple[Upload, ...]:
    async def one(upload: UploadName) -> Upload:
        if upload.part is not None:
            part = parts[upload.part]  # `read_form` has looked that it is there
            return Upload(upload.name, part.content, part.content_type, part.filename)
        found = await fetch(upload.uri, tap.upload_hosts, tap.upload_seconds, limits.upload)
        return Upload(upload.name, found.content, found.content_type, found.filename)

    return tuple(await asyncio.gather(*(one(upload) for upload in named)))
