"""What a request gives for a job: parameters, files, and what is the tree's own (UWS 1.1, 2.2.3; DALI 1.1, 3).

A file is a part of the request's multipart body that a value names as ``param:PART`` (UWS 1.1, 2.2.3.1.1; DALI 1.1,
3.4.5): the whole value is that, or UPLOAD's, ``name,param:PART``. A part with a file name that nothing names is taken
as the value of the parameter it is called after, because ``curl -F TARGETS=@list.csv`` is what people write.

PHASE, RUNID, ACTION, WAIT, EXECUTIONDURATION and DESTRUCTION are the tree's; every other name is the job's, and is
judged when the job is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tornado.httputil import HTTPServerRequest

from sodalake.server.dali import MAX_RUNID, Parameters, check_query, clip, decoded
from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported
from sodalake.uws.documents import BadTime, parse_time
from sodalake.uws.jobs import Parameter

__all__ = [
    "OURS",
    "PART_NAME",
    "Form",
    "Part",
    "check_text",
    "duration_of",
    "moment",
    "read_form",
    "run_id_of",
    "whole_number",
]  # fmt: skip

OURS: Final = frozenset({"phase", "runid", "action", "wait", "executionduration", "destruction"})
"""Names, in small letters, that are the tree's own."""

_PARAM: Final = re.compile(r"param:(.*)", re.I | re.S)
PART_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""Names of parts: safe as the end of an object's name and of a URL."""

_NAME: Final = re.compile(r"[^\s\x00-\x1f/?#&=<>\"']{1,64}")
# What no XML document can carry, escaped or not (XML 1.0, 2.2); and what a data base's text cannot either.
_ILLEGAL: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST: Final = (
    100 * 366 * 86400
)  # seconds; a longer executionDuration is a mistake, and no integer of the store


@dataclass(frozen=True, slots=True)
class Part:
    """A file that came with a request.

    Attributes
    ----------
    name
        What ``param:NAME`` names.
    """

    name: str
    content: bytes
    content_type: str = "application/octet-stream"
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """What a request gives.

    Attributes
    ----------
    ours
        The tree's own parameters.
    parameters
        The job's, with the names as they were written; `by_reference` ones have the name of a part as value.
    parts
        The files.
    """

    ours: Parameters
    parameters: tuple[Parameter, ...]
    parts: tuple[Part, ...]


def read_form(request: HTTPServerRequest) -> Form:
    """Read the query string and the body (urlencoded or multipart) of a request.

    Raises
    ------
    BadParameter
        Something that is not UTF-8, a name or a text that no document can carry, a part that is named and not there,
        or one that cannot be stored under its name.
    MultiValuedParamNotSupported
        Two parts have one name.
    """
    check_query(request)
    named = set(_named(request.query_arguments)) | set(_named(request.body_arguments))
    parts = {part.name: part for part in _parts(request, named)}
    pairs = [
        (name, value)
        for arguments, is_body in ((request.query_arguments, False), (request.body_arguments, True))
        for name, values in arguments.items()
        if not (is_body and name in parts)  # it is a file that came without a file name
        for value in values
    ]
    ours: list[tuple[str, str]] = []
    parameters: list[Parameter] = []
    used: set[str] = set()
    for name, raw in pairs:
        value = _text(name, raw)
        if name.lower() in OURS:
            ours.append((name, value))
            continue
        parameters.append(Parameter(name, value))
        if name.lower() == "upload":
            used.update(_check_named(part, parts) for part in _uploads(value))
        elif match := _PARAM.fullmatch(value):
            used.add(_check_named(match[1], parts))
            parameters[-1] = Parameter(name, match[1], by_reference=True)
    by_value = {parameter.value for parameter in parameters if parameter.by_reference}
    # What UPLOAD or nothing names is a parameter too: its content has an address, and the document tells it.
    parameters += [Parameter(name, name, by_reference=True) for name in parts if name not in by_value]
    return Form(Parameters(ours), tuple(parameters), tuple(parts.values()))


def _named(arguments: Mapping[str, Sequence[bytes]]) -> Iterator[str]:
    """Yield the names of parts that values name; what is not UTF-8 names none."""
    for name, values in arguments.items():
        for raw in values:
            if b":" not in raw[:64] and name.lower() != "upload":
                continue
            value = raw[:4096].decode("utf-8", "replace")
            if name.lower() == "upload":
                yield from _uploads(value)
            elif match := _PARAM.fullmatch(value):
                yield match[1]


def _uploads(value: str) -> Iterator[str]:
    """Yield the parts that a value of UPLOAD names: NAME,URI, and several of them with ; between (TAP 1.0, 2.5)."""
    for upload in value.split(";"):
        if match := _PARAM.fullmatch(upload.partition(",")[2].strip()):
            yield match[1]


def _check_named(name: str, parts: Mapping[str, Part]) -> str:
    if name not in parts:
        raise BadParameter(
            f"param:{clip(name)} names no part of the request.",
            "Send the file in the same multipart/form-data body, as a part of that name.",
        )
    return name


def _parts(request: HTTPServerRequest, named: set[str]) -> Iterator[Part]:
    for name, files in request.files.items():
        _check_part(name, len(files) + (len(request.body_arguments.get(name, ())) if name in named else 0))
        file = files[0]
        kind = file.content_type.strip()
        if kind.lower() == "application/unknown" or not kind.isprintable() or not kind.isascii():
            kind = "application/octet-stream"
        yield Part(name, file.body, kind[:200], _ILLEGAL.sub("\ufffd", file.filename)[:200])
    for name in named & request.body_arguments.keys():
        if name not in request.files:
            values = request.body_arguments[name]
            _check_part(name, len(values))
            yield Part(name, values[0])


def _check_part(name: str, count: int) -> None:
    if PART_NAME.fullmatch(name) is None:
        raise BadParameter(
            f"A file cannot be called {clip(name)!r}.",
            "Names of parts are up to 64 letters, digits and _ . - of ASCII.",
        )
    if count > 1:
        raise MultiValuedParamNotSupported(
            f"There are {count} parts called {name}.", "Name each differently."
        )


def _text(name: str, raw: bytes) -> str:
    return check_text(name, decoded(name, raw))


def check_text(name: str, value: str) -> str:
    """Return the value of a parameter; BadParameter where it, or its name, is nothing a document can carry."""
    if _NAME.fullmatch(name) is None:
        raise BadParameter(
            f"{clip(name)!r} is no name of a parameter.",
            "Names have up to 64 characters, and no space in them.",
        )
    if _ILLEGAL.search(value):
        raise BadParameter(
            f"The value of {clip(name)} has characters that no XML document can carry.",
            "Send binary content as a file (multipart/form-data).",
        )
    return value


def run_id_of(parameters: Parameters) -> str | None:
    """Return RUNID (DALI 1.1, 3.4.6); BadParameter where it is longer than the 64 characters it may have."""
    value = parameters.one("RUNID")
    if value is not None and len(value) > MAX_RUNID:
        raise BadParameter(f"RUNID has {len(value)} characters.", f"It may have {MAX_RUNID}.")
    return value


def whole_number(parameters: Parameters, name: str, low: int, advice: str) -> int | None:
    """Return a whole number not below `low`; None where there is none."""
    value = parameters.one(name)
    if value is None:
        if name in parameters:
            raise BadParameter(f"{name} has no value.", advice)
        return None
    digits = value.removeprefix("-") if low < 0 else value
    # Python's own limit on digits, and the integers of data bases, are far above what makes sense here.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15 and int(value) >= low):
        raise BadParameter(f"{name}={clip(value)!r} is no whole number of at least {low}.", advice)
    return int(value)


def duration_of(parameters: Parameters) -> int | None:
    """Return EXECUTIONDURATION in seconds (UWS 1.1, 2.1.4); None where there is none."""
    seconds = whole_number(parameters, "EXECUTIONDURATION", 0, "It is in seconds; 0 means no limit.")
    return None if seconds is None else min(seconds, _LONGEST)


def moment(parameters: Parameters, name: str) -> datetime | None:
    """Return a time; None where there is none."""
    value = parameters.one(name)
    if value is None:
        if name in parameters:
            raise BadParameter(f"{name} has no value.", "Write it as 2026-05-17T20:00:00Z.")
        return None
    try:
        return parse_time(value)
    except BadTime:
        raise BadParameter(
            f"{name}={clip(value)!r} is no time of ISO 8601.", "Write it as 2026-05-17T20:00:00Z."
        ) from None
