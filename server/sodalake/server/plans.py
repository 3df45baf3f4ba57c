"""What a request asks for, as plain values: a question for the archive, and a product to make of its answer.

Protocols read their parameters into these; nothing here knows HTTP, and what travels to a worker imports no
web type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sodalake.lake.alerts import Question
from sodalake.lake.errors import NotInLake
from sodalake.lake.lanes import Finish
from sodalake.lake.survey import Survey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.sodacut import Picture, Region

__all__ = ["LASTING", "PASSING", "Plan", "alert_id", "kinds_of", "object_id", "picture"]

LASTING = "public, max-age=300"
"""Cache-Control of what an alert's id names: it changes only when the alert is processed again."""

PASSING = "no-cache"
"""Cache-Control of what the next night changes, such as an object's latest alert."""

_MAX_ID = 128  # characters; the longest real ids have 20
_INTEGER = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer to be made.

    Attributes
    ----------
    question
        What to read.
    finish
        What to make of it, on the worker; returns a `sodacut.Product`.
    content_type
        Content-Type to answer with, where it is not the product's own.
    cache
        Cache-Control.
    attachment
        Whether a browser should save it rather than show it.
    filename
        A name to save it by, where it is not the product's own.
    """

    question: Question
    finish: Finish
    content_type: str | None = None
    cache: str = LASTING
    attachment: bool = False
    filename: str | None = None


def alert_id(survey: Survey, value: str) -> str:
    """Return an alert's id in the form the lake has it, or say why it cannot be one."""
    return _checked(survey.ids.alert_name, survey.ids.alert_kind, value)


def object_id(survey: Survey, value: str) -> str:
    """Return an object's id in the form the lake has it, or say why it cannot be one."""
    kinds = {survey.ids.object_kind, *(other.kind for other in survey.ids.object_otherwise)}
    return _checked(survey.ids.object_name, "text" if "text" in kinds else "integer", value)


def _checked(name: str, kind: str, value: str) -> str:
    if len(value) > _MAX_ID or not value.isprintable():
        raise BadParameter(f"{name}={clip(value)!r} is no id.", f"Ids have at most {_MAX_ID} characters.")
    if kind == "text":
        return value
    if not _INTEGER.fullmatch(value):
        raise BadParameter(
            f"{name}={clip(value)!r} is not an integer.",
            "Send all its digits: a 64-bit id that went through a floating point number has lost some.",
        )
    return str(int(value))


def picture(parameters: Parameters, kind: str | None, region: Region | None = None) -> Picture:
    """Read the parameters of a picture: STRETCH, PMIN, PMAX, COLORMAP, SCALE and CONVOLUTION_KERNEL.

    Raises
    ------
    BadParameter, BadPicture
        One of them cannot be.
    """
    given: dict[str, Any] = {}
    for name, word in (("stretch", "stretch"), ("colormap", "colormap"), ("kernel", "convolution_kernel")):
        if (value := parameters.one(word)) is not None:
            # Names of colour maps are case-sensitive (Blues, blues); the others are words.
            given[name] = value if name == "colormap" else value.lower()
    for name in ("pmin", "pmax", "scale"):
        if parameters.one(name) is not None:
            given[name] = parameters.number(name, 0.0)
    return Picture(kind, region=region, **given)


def kinds_of(survey: Survey, kind: str | None) -> tuple[str, ...]:
    """Return the kinds to read: the one named, or all the survey has."""
    every: tuple[str, ...] = tuple(survey.stamps.kinds)
    if kind is None:
        return every
    if kind not in every:
        raise NotInLake(f"{survey.name} has no {kind} stamps.", f"It has {', '.join(every)}.")
    return (kind,)
