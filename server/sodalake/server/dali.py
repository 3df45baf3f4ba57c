"""Parameters the way of DALI 1.1 (section 3), for every protocol of the server.

Names are case-insensitive and values are not; a value may stand in the query string, in an urlencoded body or
in a multipart body; unknown names are ignored. A value that is repeated where one is expected is an error
(3.2), never the first or the last of them. The REST API adds JSON bodies, where a value is a scalar; numbers
keep the digits they were written with, so that a 64-bit id never passes through a float.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tornado.httputil import HTTPServerRequest

from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported

__all__ = ["MAX_RUNID", "Format", "Parameters", "check_query", "clip", "decoded", "response_format"]

MAX_RUNID: Final = 64  # characters, DALI 1.1, 3.4.6

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRUE = frozenset({"1", "true", "t", "yes"})
_FALSE = frozenset({"0", "false", "f", "no"})


def clip(value: str, length: int = 80) -> str:
    """Return `value` as it may be quoted in a message: printable, and not longer than `length` characters."""
    text = value if len(value) <= length else value[: length - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in text)


class Parameters(Mapping[str, Sequence[str]]):
    """The parameters of one request: lower-case name → its values, in the order they came.

    Parameters
    ----------
    pairs
        Name and value of each, decoded.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name.lower(), []).append(value)
        self._values = values

    @classmethod
    def of(cls, request: HTTPServerRequest) -> Parameters:
        """Read the parameters of a request's query string and of its urlencoded or multipart body.

        Raises
        ------
        BadParameter
            A percent sign that escapes nothing, or bytes that are not UTF-8.
        """
        check_query(request)
        return cls((*_decoded(request.query_arguments), *_decoded(request.body_arguments)))

    @classmethod
    def of_rest(cls, request: HTTPServerRequest) -> Parameters:
        """Read a REST request: the query string goes first, the body (JSON or a form) fills in what it lacks.

        Raises
        ------
        BadParameter
            As `of`; or a JSON body that is not one flat object.
        """
        parameters = cls.of(request)
        if request.body and not request.body_arguments and not request.files:
            for name, value in _json_pairs(request.body):
                if name.lower() not in parameters._values:
                    parameters._values[name.lower()] = [value]
        elif request.body_arguments:
            for name, values in cls(_decoded(request.query_arguments)).items():
                parameters._values[name] = list(values)
        return parameters

    def __getitem__(self, name: str) -> Sequence[str]:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def one(self, name: str) -> str | None:
        """Return the value of `name`, or None where it is absent or empty.

        Raises
        ------
        MultiValuedParamNotSupported
            It is repeated.
        """
        values = self._values.get(name.lower())
        if values is None:
            return None
        if len(values) > 1:
            raise MultiValuedParamNotSupported(
                f"{name} was given {len(values)} times, and this service takes it once.",
                "Send one request a value.",
            )
        return values[0].strip() or None

    def required(self, name: str, advice: str = "") -> str:
        """Return the value of `name`; BadParameter says what it is when it is missing."""
        value = self.one(name)
        if value is None:
            raise BadParameter(f"A value for {name} is required.", advice)
        return value

    def number(
        self, name: str, default: float, low: float = -math.inf, high: float = math.inf, *, unit: str = ""
    ) -> float:
        """Return `name` as a finite number from `low` to `high` (both included)."""
        value = self.one(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high or math.isinf(number):
            limits = "" if math.isinf(low) and math.isinf(high) else f" from {low:g} to {high:g}"
            raise BadParameter(
                f"{name}={clip(value)!r} is not a number{limits}{' ' + unit if unit else ''}.",
                f"The default is {default:g}.",
            )
        return number

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return `name` as an integer from `low` to `high` (both included)."""
        value = self.one(name)
        if value is None:
            return default
        # isascii: int() also takes the digits of every script; the length: int() refuses huge ones in its own
        # way.
        digits = value.removeprefix("+").removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19 and low <= int(value) <= high):
            raise BadParameter(
                f"{name}={clip(value)!r} is not an integer from {low} to {high}.",
                f"The default is {default}.",
            )
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return `name` as a DALI boolean (0, 1, true, false; T and F of VOTable too)."""
        value = self.one(name)
        if value is None:
            return default
        if (word := value.lower()) in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise BadParameter(f"{name}={clip(value)!r} is neither true nor false.", "Write true or false.")

    def choice(self, name: str, options: Sequence[str], default: str | None = None) -> str | None:
        """Return the one of `options` that `name` names, in any case of letters; `default` where it is
        absent."""
        value = self.one(name)
        if value is None:
            return default
        word = value.lower()
        for option in options:
            if option.lower() == word:
                return option
        raise BadParameter(f"{name}={clip(value)!r} is not known.", f"Known: {', '.join(options)}.")

    def run_id(self) -> str | None:
        """Return RUNID for the log (DALI 1.1, 3.4.6), cut to its length; it never fails a request."""
        values = self._values.get("runid")
        return clip(values[0], MAX_RUNID) if values else None


class Format:
    """One format a resource can answer in.

    Parameters
    ----------
    name
        Our name for it, one word.
    mimes
        Its MIME types; the first is the one we choose.
    shorts
        The short forms RESPONSEFORMAT takes.
    """

    __slots__ = ("mimes", "name", "shorts")

    def __init__(self, name: str, mimes: Sequence[str], shorts: Sequence[str] = ()) -> None:
        self.name = name
        self.mimes = tuple(mimes)
        self.shorts = tuple(shorts) or (name,)


def response_format(value: str | None, formats: Sequence[Format]) -> tuple[Format, str]:
    """Choose the format a RESPONSEFORMAT asks for, and the Content-Type that answers it.

    A MIME type that was asked for is given back exactly (DALI 1.1, 3.4.3); a short form gets the format's
    own. Without a value the first of `formats` is the default.

    Raises
    ------
    BadParameter
        None of `formats` is meant.
    """
    if value is None:
        return formats[0], formats[0].mimes[0]
    word = value.lower()
    for form in formats:
        if word in form.shorts:
            return form, form.mimes[0]
        if word in form.mimes:
            return form, value
    known = ", ".join(f"{form.shorts[0]} ({form.mimes[0]})" for form in formats)
    raise BadParameter(f"RESPONSEFORMAT={clip(value)!r} is not offered here.", f"Offered: {known}.")


def check_query(request: HTTPServerRequest) -> None:
    """Refuse a query string with a percent sign that escapes nothing; Tornado would take it as it is.

    Raises
    ------
    BadParameter
        It has one.
    """
    if "%" in request.query and (broken := _BROKEN_ESCAPE.search(request.query)):
        near = request.query[broken.start() : broken.start() + 3]
        raise BadParameter(
            f"The query string has a percent sign that escapes nothing ({clip(near)!r}).",
            "Write a percent sign itself as %25.",
        )


def decoded(name: str, value: bytes) -> str:
    """Return a value as text; BadParameter where it is not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadParameter(
            f"The value of {clip(name)} is not UTF-8.", "Percent-encode the UTF-8 form of the text."
        ) from None


def _decoded(arguments: Mapping[str, list[bytes]]) -> Iterator[tuple[str, str]]:
    for name, values in arguments.items():
        for value in values:
            yield name, decoded(name, value)


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, those that stand twice among them."""


def _json_pairs(body: bytes) -> Iterator[tuple[str, str]]:
    try:
        # Numbers stay the text they were: no id becomes a float, no 10 000-digit integer is computed.
        content = json.loads(
            body.decode(), parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_Members
        )
    except UnicodeDecodeError:
        raise BadParameter("The body is not UTF-8.", "Send a JSON object in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise BadParameter(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            'Send an object such as {"objectId": "ZTF21abfmbix", "kind": "Science"}.',
        ) from None
    except RecursionError:
        raise BadParameter("The JSON body is nested too deeply.", "Send one flat object.") from None
    if not isinstance(content, _Members):
        raise BadParameter(
            "The JSON body is not an object.", 'Send an object such as {"objectId": "ZTF21abfmbix"}.'
        )
    seen: set[str] = set()
    for name, value in content:
        if name.lower() in seen:
            raise MultiValuedParamNotSupported(
                f"{clip(name)} stands twice in the JSON body.", "Write it once."
            )
        seen.add(name.lower())
        if value is None:
            continue
        if isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, str):
            yield name, value
        else:
            raise BadParameter(
                f"{clip(name)} in the JSON body is not one value.", "Write text, a number or a boolean."
            )
