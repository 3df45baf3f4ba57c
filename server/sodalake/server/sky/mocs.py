"""``/moc``: what collections cover, as MOC 2.0."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from sodalake.lake.errors import LakeError
from sodalake.lake.lanes import Lane
from sodalake.server.dali import Format, Parameters, response_format
from sodalake.server.handlers import Handler
from sodalake.server.sky.collections import collection_survey, made_hips
from sodalake.server.sky.listing import ListHandler
from sodalake.sodacut.images.coverage import Asked, MocForm, begin_coverage

__all__ = ["MocHandler", "MocListHandler"]

_FITS: Final = Format("fits", ("application/fits", "image/fits", "application/x-fits"))
_ASCII: Final = Format("ascii", ("text/plain",), ("ascii", "text", "txt"))
_FEW: Final = 2000  # images whose outlines are a map in half a second: the fast lane's
_SECONDS: Final = 60.0  # that the first map of a hundred thousand images may take, once


class MocHandler(Handler):
    """``/moc/COLLECTION``: FITS, or ASCII (``RESPONSEFORMAT=ascii``, or an Accept header with ``text/plain``)."""

    async def get(self, collection: str) -> None:
        """Answer with the map."""
        survey = collection_survey(self.service.lake, collection)
        asked = Parameters.of(self.request).one("RESPONSEFORMAT")
        if asked is None and _wants_text(self.request.headers.get("Accept", "")):
            asked = "ascii"
        form, content_type = response_format(asked, (_FITS, _ASCII))
        kind: MocForm = "ascii" if form is _ASCII else "fits"
        asked_for = Asked(survey.name, collection, kind, _FEW)
        body = await self._of(self.service.lane, asked_for, self.service.settings.deadlines.request)
        if body is None:
            body = await self._of(self.service.scans, replace(asked_for, most=None), _SECONDS)
        if kind == "ascii" and content_type == "text/plain":
            content_type = "text/plain; charset=utf-8"
        self.set_header("Content-Type", content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        # It changes with the next image; who has it asks with its ETag.
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Vary", "Accept")
        self.set_header(
            "Content-Disposition",
            f'inline; filename="{collection}.moc.{"txt" if kind == "ascii" else "fits"}"',
        )
        self.finish(body)

    head = get

    @staticmethod
    async def _of(lane: Lane, asked: Asked, seconds: float) -> bytes | None:
        """Return a map as bytes; None where it is for another lane."""
        stream = await lane.open(begin_coverage, asked, deadline=seconds)
        try:
            body = b"".join([piece async for piece in stream])
        finally:
            await stream.close()
        return body if stream.head is not None else None


def _wants_text(accept: str) -> bool:
    """Say whether an Accept header names text and not FITS: a program that takes anything gets FITS."""
    return "text/plain" in accept and "fits" not in accept and "*/*" not in accept


class MocListHandler(ListHandler):
    """``/moc/``: the collections, with the addresses of their maps and HiPS; JSON, or a page."""

    page, of = "collections.html", "collections"

    async def listed(self, base: str) -> list[dict[str, Any]]:
        """Return the collections."""
        lake = self.service.lake
        try:
            made = await asyncio.to_thread(made_hips, lake)
        except LakeError:
            made = []  # the list is of the lake's surveys: it is no worse without what was made of them
        return [
            {
                "collection": name,
                "survey": survey.name,
                "title": about.title or survey.title,
                "description": about.description or survey.description,
                "bands": list(survey.bands),
                "moc": f"{base}/moc/{name}",
                "hips": [f"{base}/hips/{name}/{one.name}" for one in made if one.collection == name],
            }
            for survey in lake.image_surveys.values()
            for name, about in survey.collections.items()
        ]
