"""``/hips/COLLECTION/BAND/…``: the files of HiPS, and lists of them (HiPS 1.0, 5).

A HiPS is files in the lake, read in threads and sent whole or in a range. What may be asked for is what a HiPS has; no
other name is looked for. A tile that is not there is the sky beside the images: clients ask for many.
"""

from __future__ import annotations

import asyncio
import hashlib
from email.utils import formatdate
from typing import Any, Final

from sodalake.lake.errors import FileGone
from sodalake.lake.files import FileStat, OpenFiles, join, stat
from sodalake.server.dali import clip
from sodalake.server.errors import NoSuchPage
from sodalake.server.handlers import Handler
from sodalake.server.jobs.ranges import Unsatisfiable, wanted
from sodalake.server.sky.collections import collection_survey, made_hips
from sodalake.server.sky.listing import POLICY, ListHandler
from sodalake.sodacut.hips.properties import written
from sodalake.sodacut.hips.tiles import FILE

__all__ = ["HipsFileHandler", "HipsListHandler", "HipsPageHandler"]

_TYPES: Final = {
    "fits": "application/fits",
    "png": "image/png",
    "jpg": "image/jpeg",
    "html": "text/html; charset=utf-8",
    "properties": "text/plain; charset=utf-8",
}
_PIECE: Final = 1 << 20
# A HiPS that is made anew is a new one everywhere at once, but for what clients keep for so long.
_TILES: Final = "public, max-age=3600"
_HEADS: Final = "no-cache"
_LISTED: Final = (
    "creator_did", "hips_release_date", "hips_status", "hips_service_url", "obs_title", "obs_collection",
    "obs_description", "obs_regime", "dataproduct_type", "dataproduct_subtype", "hips_frame", "hips_order",
    "hips_tile_format", "hips_version", "moc_sky_fraction", "client_category",
)  # fmt: skip

_files = OpenFiles(256)


class HipsFileHandler(Handler):
    """``/hips/COLLECTION/BAND/FILE``."""

    async def get(self, collection: str, name: str, path: str | None) -> None:
        """Send a file; the HiPS' own address is that of its page."""
        collection_survey(self.service.lake, collection)
        if path is None:
            self.redirect(f"{self.base_url()}/hips/{collection}/{name}/", permanent=True)
            return
        path = path or "index.html"
        if not FILE.fullmatch(path):
            raise NoSuchPage(
                f"A HiPS has no file {clip(path)!r}.",
                "It has properties, Moc.fits, and NorderK/DirD/NpixN.EXT.",
            )
        url = join(self.service.lake.url, "hips", collection, name, *path.split("/"))
        try:
            about = await asyncio.to_thread(stat, url)
        except FileGone:
            raise NoSuchPage(
                f"There is no {path} in the HiPS {collection}/{clip(name)}.",
                f"HiPS: {self.base_url()}/hips/.",
            ) from None
        await self._send(about, path)

    head = get

    async def _send(self, about: FileStat, path: str) -> None:
        etag = f'"{_tag(about)}"'
        extension = path.rpartition(".")[2]
        self.set_header("ETag", etag)
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Last-Modified", formatdate(about.mtime, usegmt=True))
        self.set_header("Cache-Control", _TILES if path.startswith("Norder") else _HEADS)
        self.set_header("X-Content-Type-Options", "nosniff")
        if extension == "html":
            self.set_header("Content-Security-Policy", POLICY)
        try:
            what = wanted(self.request.headers, about.size, etag)
        except Unsatisfiable:
            self.set_status(416)
            self.set_header("Content-Range", f"bytes */{about.size}")
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"UsageError: The file has {about.size} bytes, and none of those asked for.\n")
            return
        if what.unchanged:
            self.set_status(304)
            self.finish()
            return
        self.set_header("Content-Type", _TYPES[extension])
        if what.partial:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {what.start}-{what.end - 1}/{about.size}")
        self.set_header("Content-Length", str(what.end - what.start))
        if self.request.method == "HEAD":
            self.finish()
            return
        at = what.start
        first = await asyncio.to_thread(_read, about, at, min(what.end, at + _PIECE))
        with self.whole_or_cut():
            while first:
                self.write(first)
                at += len(first)
                if at >= what.end:
                    break
                await asyncio.wait_for(self.flush(), self.service.settings.deadlines.write)
                first = await asyncio.to_thread(_read, about, at, min(what.end, at + _PIECE))
            self.finish()


def _tag(about: FileStat) -> str:
    return hashlib.sha256(f"{about.size} {about.mtime!r}".encode()).hexdigest()[:24]


def _read(about: FileStat, start: int, stop: int) -> bytes:
    # Of a HiPS that was made anew the files are others: size and time tell them apart.
    return _files.get((about.url, about.size, about.mtime), about.url).read_at(start, stop - start)


class HipsListHandler(Handler):
    """``/hipslist``: the HiPS of this service, as registries and clients read them (HiPS 1.0, 5.2)."""

    async def get(self) -> None:
        """Answer with a record for each."""
        base = self.base_url()
        made = await asyncio.to_thread(made_hips, self.service.lake)
        records = []
        for one in made:
            known = {**one.properties, "hips_service_url": f"{base}/hips/{one.collection}/{one.name}"}
            records.append(written({key: known[key] for key in _LISTED if key in known}))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(b"\n".join(records))

    head = get


class HipsPageHandler(ListHandler):
    """``/hips/``: the HiPS of this service, as a page or as JSON."""

    page, of = "hips.html", "hips"

    async def listed(self, base: str) -> list[dict[str, Any]]:
        """Return the HiPS."""
        made = await asyncio.to_thread(made_hips, self.service.lake)
        return [
            {
                "collection": one.collection,
                "name": one.name,
                "title": one.properties.get("obs_title", f"{one.collection} {one.name}"),
                "order": one.properties.get("hips_order", ""),
                "formats": one.properties.get("hips_tile_format", ""),
                "released": one.properties.get("hips_release_date", ""),
                "address": f"{base}/hips/{one.collection}/{one.name}",
            }
            for one in made
        ]
