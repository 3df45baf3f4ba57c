"""A file's images, as the file of their survey understands them.

Headers are read, and the tables of compressed images; no pixels. What an image is called, which band it is of, when it
was taken and what stands beside it are said by the survey's file in words: groups of the pattern of file names, and
keywords of the image's header or, where it has them not, of the primary one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from ..errors import Damaged, FileGone, UsageError
from ..files import FileStat, OpenFile, join, open_source, path_of
from ..importing import IMPORTS
from .compressed import restored, tiled
from .headers import Ahead, Hdu, number_in, read_hdus, scaling_in, text_in, value_in
from .imagesurvey import ImageSurvey
from .outlines import NoCoordinates, coverage
from .records import Image, Plain, Plane, Tiled

with IMPORTS:
    from astropy.io import fits

__all__ = ["Described", "describe", "described", "file_words", "image_ids"]

_ENDINGS: Final = (".gz", ".fz", ".fits", ".fit", ".fts")
# Tables of distortion that images have beside them (Paper IV), and the keywords that say that they are to be looked up.
_TABLES: Final = frozenset({"WCSDVARR", "D2IMARR"})
_LOOKED_UP: Final = ("CPDIS1", "CPDIS2", "CQDIS1", "CQDIS2", "D2IMDIS1", "D2IMDIS2")
_WORD: Final = re.compile(r"\{([^{}]*)\}")
_JD: Final = 2400000.5
_DAY: Final = 86400.0
# Degrees from an image's middle to its edge: an outline is taken for the edge of less than half the sky, and a cap
# around an image for one that its corners tell.
_FARTHEST: Final = 80.0
# What an HDU does not inherit of the primary header: what describes the primary's own data, commentary, and
# coordinates, which no reader of FITS looks for there.
_OWN: Final = re.compile(
    r"^(|SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|BLOCKED|BSCALE|BZERO|BLANK|DATAMIN|DATAMAX"
    r"|CHECKSUM|DATASUM|EXTNAME|EXTVER|EXTLEVEL|INHERIT|NEXTEND|END|COMMENT|HISTORY|CONTINUE"
    r"|WCSAXES\w?|RADE\w*|EQUINOX\w?|LONPOLE\w?|LATPOLE\w?|C(TYPE|RVAL|RPIX|DELT|UNIT|ROTA|NAME)\d+\w?"
    r"|(CD|PC|PV|PS|A|B|AP|BP)\d*_\w+|WCS\w+|WAT\d_\d+|LTM\d_\d|LTV\d|Z(IMAGE|TENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT))$"
)


@dataclass(frozen=True, slots=True)
class Described:
    """What is in one file.

    Attributes
    ----------
    images
        In the order of their HDUs.
    skipped
        Images left out, by reason.
    beside
        URL of each other file that planes were looked for in → when it was last written, None where there is none.
    """

    images: tuple[Image, ...]
    skipped: Counter[str]
    beside: Mapping[str, float | None] = field(default_factory=dict)


def describe(url: str, survey: ImageSurvey, number: int = 0) -> list[Image]:
    """Return the images of a file; see `described`."""
    return list(described(url, survey, number).images)


def described(url: str, survey: ImageSurvey, number: int = 0) -> Described:
    """Return the images of a file, and what was left out.

    Parameters
    ----------
    number
        The file's number in the catalogue.

    Raises
    ------
    FileGone, Damaged
        The file, or one with planes of its images, cannot be read; it is truncated, or no FITS file; its only image
        has no coordinates.
    UsageError
        The survey's file does not fit it: a word of a template is nowhere, or two images have the same id.
    Unavailable
        The file system does not answer.
    """
    words = file_words(url, survey)
    if words is None:
        return Described((), Counter({"files whose name is not one of the survey's images": 1}))
    source = open_source(url)
    try:
        return _File(url, source, survey, number, words).described()
    finally:
        source.close()


def file_words(url: str, survey: ImageSurvey) -> dict[str, str] | None:
    """Return the words that a file's name gives (its groups, and ``stem``); None where it is no file of images."""
    name = PurePosixPath(path_of(url)).name
    stem = name
    while stem.lower().endswith(_ENDINGS):
        stem = stem.rpartition(".")[0]
    if not survey.images.files:
        return {"stem": stem}
    found = re.fullmatch(survey.images.files, name)
    if found is None:
        return None
    return {"stem": stem, **{group: text or "" for group, text in found.groupdict().items()}}


def image_ids(url: str, survey: ImageSurvey) -> set[str]:
    """Return what no two files have in common that share no image.

    Of ids that are made of a file's name (and the HDU), that is the ids' part that the name gives, and the file is not
    opened; else the ids.

    Raises
    ------
    FileGone, Damaged, UsageError, Unavailable
        As `described`.
    """
    words = file_words(url, survey)
    if words is None:
        return set()
    template = survey.images.id or "{stem}"
    if all(word in words or word == "hdu" for word in _WORD.findall(template)):
        return {_WORD.sub(lambda found: words.get(found[1], ""), template)}
    return {image.image_id for image in describe(url, survey)}


class _File:
    """One open file, and those with planes of its images."""

    def __init__(
        self, url: str, source: OpenFile, survey: ImageSurvey, number: int, words: Mapping[str, str]
    ) -> None:
        self._url, self._survey, self._file, self._words = url, survey, number, words
        self._stat = FileStat(url, source.size, source.modified())
        self._ahead = Ahead(source, url)
        # Tables of compressed images are read while the walk is at them: what follows is mostly in the same read.
        self._tables: dict[tuple[str, int], Tiled] = {}
        self._hdus = self._walked(self._ahead)
        self._beside: dict[str, tuple[FileStat, list[Hdu]] | None] = {}

    def described(self) -> Described:
        wanted = self._wanted()
        if not wanted:
            raise UsageError(
                f"{self._url} has no image of {self._survey.name}.",
                f"Its HDUs are {', '.join(f'{hdu.word} ({_kind(hdu)})' for hdu in self._hdus)}. An image has two axes; "
                "`images.hdus` in the survey's file says which are images.",
            )
        images: list[Image] = []
        advice = ""
        skipped: Counter[str] = Counter()
        for hdu in wanted:
            try:
                images.append(self._image(hdu, len(images), several=len(wanted) > 1))
            except NoCoordinates as error:
                if len(wanted) == 1:
                    raise Damaged(f"{self._url}, HDU {hdu.number}: {error.message}", error.advice) from error
                skipped[error.message.rstrip(".")] += 1
                advice = advice or error.advice
        if not images:
            raise Damaged(
                f"{self._url}: none of its {len(wanted)} images can be used. {next(iter(skipped))}.",
                advice or "Check their coordinates.",
            )
        twice = [name for name, count in Counter(image.image_id for image in images).items() if count > 1]
        if twice:
            raise UsageError(
                f"{self._url}: {len(twice)} ids stand for several images each, {twice[0]!r} for one.",
                f"Let `images.id` in the survey's file have a word that tells them apart{self._apart(images)}.",
            )
        beside = {url: None if there is None else there[0].mtime for url, there in self._beside.items()}
        return Described(tuple(images), skipped, beside)

    def _apart(self, images: Sequence[Image]) -> str:
        """Return which word would tell images of one id apart, where one is known that does."""
        hdus = [self._hdus[image.hdu] for image in images]
        for name, words in (
            ("hdu", [hdu.word for hdu in hdus]),
            ("EXTVER", [text_in(hdu.header, "EXTVER") for hdu in hdus]),
        ):
            pairs = {(image.image_id, word) for image, word in zip(images, words, strict=True)}
            if all(words) and len(pairs) == len(images):
                return f", such as {{{name}}}"
        return ": a keyword of their headers"

    def _walked(self, ahead: Ahead) -> list[Hdu]:
        hdus = []
        for hdu in read_hdus(ahead):
            if hdu.is_compressed and len(hdu.axes) == 2:
                self._tables[ahead.url, hdu.number] = tiled(ahead, hdu)
            hdus.append(hdu)
        return hdus

    # ------------------------------------------------------------------ which HDUs

    def _wanted(self) -> list[Hdu]:
        """Return the HDUs that are images of the survey."""
        flat = [hdu for hdu in self._hdus if _is_flat(hdu) and min(hdu.axes) > 0]
        about = self._survey.images
        if about.hdus:
            return [hdu for hdu in flat if any(hdu.is_called(name) for name in about.hdus)]
        planes = {
            self._filled(plane.hdu, hdu, f"images.planes.{name}.hdu").upper()
            for hdu in flat
            for name, plane in about.planes.items()
            if not plane.file
        }
        return [hdu for hdu in flat if not any(hdu.is_called(name) for name in planes)]

    # ------------------------------------------------------------------ one image

    def _image(self, hdu: Hdu, row: int, *, several: bool) -> Image:
        survey = self._survey
        width, height = hdu.axes
        for keyword in _LOOKED_UP:
            if text_in(hdu.header, keyword).lower() == "lookup":
                raise NoCoordinates(
                    f"Its distortion stands in tables of the file ({keyword} is 'Lookup'), which are not read.",
                    "Resample it, or describe its distortion by SIP or TPV.",
                )
        cards = restored(hdu)
        place = coverage(cards, (height, width))
        if place.radius > _FARTHEST:
            raise NoCoordinates(
                f"It reaches farther than {_FARTHEST:g} degrees from its middle.",
                "Cut it into images of less than half the sky.",
            )
        collection = survey.collection_of(path_of(self._url))
        template = survey.images.id or ("{stem}.{hdu}" if several else "{stem}")
        t_min, t_max, exposure = self._times(hdu)
        return Image(
            survey=survey.name,
            collection=collection,
            image_id=self._filled(template, hdu, "images.id"),
            number=self._file,
            row=row,
            hdu=hdu.number,
            shape=(height, width),
            header=b"".join((*cards, *self._inherited(hdu))),
            ra=place.ra,
            dec=place.dec,
            radius=place.radius,
            outline=place.outline,
            pixel_scale=place.pixel_scale,
            band=self._band(hdu),
            t_min=t_min,
            t_max=t_max,
            exposure=exposure,
            unit=text_in(hdu.header, "BUNIT") or survey.pixels.unit or None,
            zero_point=self._zero_point(hdu),
            seeing=self._seeing(hdu, place.pixel_scale),
            pixels=self._plane(self._stat, hdu),
            planes=self._planes(hdu),
        )

    def _inherited(self, hdu: Hdu) -> list[bytes]:
        """Return the primary header's cards that are an HDU's too.

        Those of a primary header that says so (INHERIT = T, FITS 4.0 appendix K), else those the survey's file names.
        """
        if not hdu.number or value_in(hdu.header, "INHERIT") is False:
            return []
        about = self._survey
        named: set[str | float | None] = {about.pixels.zero_point, about.pixels.seeing}
        if about.band is not None:
            named.add(about.band.keyword)
        if about.time is not None:
            named |= {about.time.keyword, about.time.exposure, about.time.end}
        every = value_in(hdu.header, "INHERIT") is True
        inherited, kept = [], False
        for card in self._hdus[0].cards:
            name = card[:8].decode().rstrip()
            if name == "CONTINUE":  # of the text of the card before
                if kept:
                    inherited.append(card)
                continue
            if name == "HIERARCH":
                kept = every and card.partition(b"=")[0].decode()[9:].strip() not in hdu.header
            else:
                kept = (every or name in named) and not _OWN.match(name) and name not in hdu.header
            if kept:
                inherited.append(card)
        return inherited

    def _header_with(self, hdu: Hdu, keyword: str) -> fits.Header:
        """Return the header that says a keyword: the HDU's own, else the primary."""
        return hdu.header if value_in(hdu.header, keyword) is not None else self._hdus[0].header

    def _number(self, hdu: Hdu, keyword: str | None) -> float | None:
        if keyword is None:
            return None
        return number_in(self._header_with(hdu, keyword), keyword, self._where(hdu))

    def _band(self, hdu: Hdu) -> str | None:
        about = self._survey.band
        if about is None:
            return None
        if about.keyword is not None:
            said = text_in(self._header_with(hdu, about.keyword), about.keyword)
        else:
            said = self._filled(about.name, hdu, "band.name")
        if about.pattern and said:
            found = re.search(about.pattern, said)
            said = "" if found is None else next((group for group in found.groups() if group), found[0])
        return about.values.get(said, said) or None

    def _times(self, hdu: Hdu) -> tuple[float | None, float | None, float | None]:
        about = self._survey.time
        if about is None:
            return None, None, None
        begin = self._day(hdu, about.keyword)
        exposure = self._number(hdu, about.exposure)
        end = None if about.end is None else self._day(hdu, about.end)
        if end is None and begin is not None:
            end = begin + (exposure or 0.0) / _DAY
        return begin, end, exposure

    def _day(self, hdu: Hdu, keyword: str) -> float | None:
        """Return a time as MJD (UTC)."""
        about = self._survey.time
        if about is None:
            return None
        header = self._header_with(hdu, keyword)
        if about.scale != "iso_utc":
            number = number_in(header, keyword, self._where(hdu))
            if number is None or about.scale == "mjd_utc":
                return number
            return number - _JD if about.scale == "jd_utc" else _mjd(number, "mjd", "tai")
        said = text_in(header, keyword)
        if not said:
            return None
        try:
            return _mjd(said.rstrip("Z"), None, "utc")
        except ValueError:
            raise Damaged(
                f"{self._where(hdu)}: {keyword} is {said!r}, which is no date as 2026-01-31T23:59:59.",
                "Mend the header, or name another keyword in the survey's file.",
            ) from None

    def _zero_point(self, hdu: Hdu) -> float | None:
        said = self._survey.pixels.zero_point
        return self._number(hdu, said) if isinstance(said, str) else said

    def _seeing(self, hdu: Hdu, pixel_scale: float) -> float | None:
        about = self._survey.pixels
        width = self._number(hdu, about.seeing)
        if width is None or width <= 0:
            return None
        return width if about.seeing_unit == "arcsec" else width * pixel_scale

    # ------------------------------------------------------------------ where pixels are

    def _plane(self, of: FileStat, hdu: Hdu) -> Plane:
        if (of.url, hdu.number) in self._tables:
            return Plane(self._file, of.url, of.size, self._tables[of.url, hdu.number], of.mtime)
        header = hdu.header
        blank, bitpix = value_in(header, "BLANK"), value_in(header, "BITPIX")
        if not isinstance(bitpix, int):
            raise Damaged(
                f"{of.url}, HDU {hdu.number}: BITPIX is no number.", "Check how the file was written."
            )
        place = Plain(
            offset=hdu.data,
            bitpix=bitpix,
            scale=scaling_in(header, "BSCALE", 1.0),
            zero=scaling_in(header, "BZERO", 0.0),
            blank=blank if isinstance(blank, int) and bitpix > 0 else None,
        )
        return Plane(self._file, of.url, of.size, place, of.mtime)

    def _planes(self, hdu: Hdu) -> dict[str, Plane]:
        """Return what stands beside an image."""
        found: dict[str, Plane] = {}
        for name, plane in self._survey.images.planes.items():
            where = f"images.planes.{name}"
            of, hdus = self._stat, self._hdus
            if plane.file:
                url = join(self._url.rpartition("/")[0], self._filled(plane.file, hdu, f"{where}.file"))
                there = self._other(url)
                if there is None:
                    continue
                of, hdus = there
            if plane.hdu:
                called = self._filled(plane.hdu, hdu, f"{where}.hdu")
                mine = [one for one in hdus if one.is_called(called) and one.axes]
            else:
                mine = [one for one in hdus if one.name and one.name.upper() == hdu.name.upper() and one.axes]
                mine = mine or [one for one in hdus if one.number == hdu.number and one.axes]
                flat = [one for one in hdus if _is_flat(one)]
                mine = mine or (flat if len(flat) == 1 else [])  # compressed beside plain: another number
            if not mine:
                continue
            if mine[0].axes != hdu.axes:
                raise Damaged(
                    f"{of.url}: the {name} of HDU {hdu.number} has {_size(mine[0].axes)} pixels, the image "
                    f"{_size(hdu.axes)}.",
                    "Check that both are of the same image.",
                )
            found[name] = self._plane(of, mine[0])
        return found

    def _other(self, url: str) -> tuple[FileStat, list[Hdu]] | None:
        """Return a file with planes, and its HDUs; None where there is no such file."""
        if url not in self._beside:
            try:
                source = open_source(url)
            except FileGone:
                self._beside[url] = None
                return None
            try:
                stat = FileStat(url, source.size, source.modified())
                self._beside[url] = stat, self._walked(Ahead(source, url))
            finally:
                source.close()
        return self._beside[url]

    # ------------------------------------------------------------------ words

    def _filled(self, template: str, hdu: Hdu, key: str) -> str:
        """Return a template with its words put in."""

        def word(found: re.Match[str]) -> str:
            name = found[1]
            if name == "hdu":
                return hdu.word
            if name in self._words:
                return self._words[name]
            said = text_in(self._header_with(hdu, name), name) if name else ""
            if not said:
                raise UsageError(
                    f"{self._where(hdu)}: `{key}` asks for {{{name}}}, which is neither a group of `images.files` "
                    "nor a keyword of its header.",
                    "Correct the survey's file, or leave this file out.",
                )
            return said

        return _WORD.sub(word, template)

    def _where(self, hdu: Hdu) -> str:
        return f"{self._url}, HDU {hdu.number}"


def _mjd(value: Any, form: str | None, scale: str) -> float:
    with IMPORTS:
        from astropy.time import Time

    return float(Time(value, format=form, scale=scale).utc.mjd)


def _is_flat(hdu: Hdu) -> bool:
    """Say whether an HDU has two axes and is no table of distortion."""
    return len(hdu.axes) == 2 and hdu.name.upper() not in _TABLES


def _kind(hdu: Hdu) -> str:
    if not hdu.axes:
        return "no image"
    return f"{len(hdu.axes)} {'axis' if len(hdu.axes) == 1 else 'axes'}: {_size(hdu.axes)}"


def _size(axes: Sequence[int]) -> str:
    return " x ".join(str(axis) for axis in axes)
