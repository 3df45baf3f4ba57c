"""What is given: FITS, pictures and arrays, of the bands that were made.

Whatever is given says what it is of: FITS by its header (IMAGEID, or IMAGE001, … of a mosaic, and COVERED), everything
by headers of its own that a server passes on (`ImageProduct.headers`), so that nothing is ever silently less than was
asked for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.images.choosing import Choice
from sodalake.sodacut.images.colour import Colours
from sodalake.sodacut.images.cut import fits_of
from sodalake.sodacut.images.drawing import Drawing, draw
from sodalake.sodacut.images.extensions import of_bands
from sodalake.sodacut.images.frames import frame_of_wcs
from sodalake.sodacut.images.making import Made
from sodalake.sodacut.images.requests import AtPosition, ByImage
from sodalake.sodacut.images.scaling import blank_of
from sodalake.sodacut.picture import Look
from sodalake.sodacut.products import FITS, JSON, PNG, Product
from sodalake.sodacut.shapes import directions
from sodalake.sodacut.stampfits import Pixels
from sodalake.sodacut.tables import json_array

__all__ = ["JPEG", "ImageProduct", "listed", "product_of"]

JPEG: Final = "image/jpeg"

_TYPES: Final = {"fits": FITS, "png": PNG, "jpeg": JPEG, "json": JSON}
_ENDINGS: Final = {"fits": "fits", "png": "png", "jpeg": "jpg", "json": "json"}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.+_-]+")
_MOST_LISTED: Final = 1500  # characters of a header of HTTP; all images are in the header of FITS
_MOST_NAME: Final = 120  # characters

Card = tuple[str, Any, str]


@dataclass(frozen=True, slots=True)
class ImageProduct(Product):
    """Bytes to be sent, and what they are of.

    Attributes
    ----------
    headers
        Names and values of HTTP headers.
    covered
        The share of the pixels that images have; of several bands the least.
    inputs
        Id of each image, and the share of the pixels that it has.
    """

    headers: tuple[tuple[str, str], ...] = ()
    covered: float = 1.0
    inputs: tuple[tuple[str, float], ...] = ()


def product_of(choice: Choice, survey: ImageSurvey, layers: Sequence[Made]) -> ImageProduct:
    """Write what was made.

    Raises
    ------
    BadPicture
        A colour map that is not known, or a picture that is too large.
    """
    output = choice.request.output
    if output.form == "fits":
        body = _fits(choice, survey, layers)
    elif output.form == "json":
        body = _json(layers)
    else:
        body = _picture(choice, layers)
    inputs = tuple(one for made in layers for one in made.inputs)
    return ImageProduct(
        body,
        _TYPES[output.form],
        filename=_name(choice, layers),
        headers=tuple(_headers(layers)),
        covered=min(made.covered for made in layers),
        inputs=inputs,
    )


def _headers(layers: Sequence[Made]) -> Iterator[tuple[str, str]]:
    yield "X-Sodalake-Covered", f"{min(made.covered for made in layers):.4g}"
    used = [name for made in layers for name, share in made.inputs if share > 0]
    yield "X-Sodalake-Inputs", str(len(used))
    yield "X-Sodalake-Images", listed([quote(name, safe="") for name in used])
    if any(made.masked is not None for made in layers):
        yield "X-Sodalake-Masked", str(sum(_masked(made) for made in layers))
    if len(layers) > 1:
        yield (
            "X-Sodalake-Bands",
            ", ".join(
                f"{quote(str(made.layer.band), safe='')};covered={made.covered:.4g};inputs={len(made.inputs)}"
                for made in layers
            ),
        )


def _masked(made: Made) -> int:
    """Return how many of the images that are used have a mask."""
    return sum(has for (_, share), has in zip(made.inputs, made.masked or (), strict=False) if share > 0)


def listed(names: Sequence[str]) -> str:
    """Return as many names as proxies let through, and three dots where there are more."""
    shown: list[str] = []
    length = 0
    for name in names:
        length += len(name) + 2
        if length > _MOST_LISTED:
            return ", ".join((*shown, "..."))
        shown.append(name)
    return ", ".join(shown)


def _name(choice: Choice, layers: Sequence[Made]) -> str:
    request = choice.request
    if isinstance(request, ByImage):
        stem = request.image_id
    else:
        bands = "".join(str(made.layer.band) for made in layers if made.layer.band is not None)
        stem = "_".join(
            part for part in (request.survey, f"{request.ra:.5f}{request.dec:+.5f}", bands) if part
        )
    return f"{_UNSAFE.sub('-', stem)[:_MOST_NAME]}.{_ENDINGS[request.output.form]}"


# ---------------------------------------------------------------------- FITS


def _fits(choice: Choice, survey: ImageSurvey, layers: Sequence[Made]) -> bytes:
    if len(layers) == 1:
        return _file(choice, survey, layers[0])
    about = [
        *_asked(choice, survey),
        ("COVERED", round(min(made.covered for made in layers), 6), "share of the pixels, of all bands"),
        ("BANDS", ",".join(str(made.layer.band) for made in layers), "an extension each"),
    ]
    return of_bands(about, [(str(made.layer.band), _file(choice, survey, made)) for made in layers])


def _asked(choice: Choice, survey: ImageSurvey) -> list[Card]:
    """Return what was asked for, as cards."""
    request = choice.request
    cards: list[Card] = [("SURVEY", survey.name, "survey of images")]
    if isinstance(request, AtPosition):
        cards += [
            ("CUTRA", request.ra, "[deg] position asked for, ICRS"),
            ("CUTDEC", request.dec, "[deg]"),
            ("CUTWIDTH", request.size.width, f"[{request.size.unit}] size asked for"),
            ("CUTHEIGH", request.size.height, f"[{request.size.unit}]"),
        ]
    return cards


def _file(choice: Choice, survey: ImageSurvey, made: Made) -> bytes:
    """Write one band as a file."""
    layer = made.layer
    if layer.grid is None:
        placed = layer.placed[0]
        more = [
            *_asked(choice, survey)[1:],
            ("COVERED", round(made.covered, 6), "share of the pixels that the image has"),
        ]
        if made.masked is not None:
            said = "pixels that its mask flags are missing" if all(made.masked) else "the image has no mask"
            more.append(("MASKED", all(made.masked), said))
        return fits_of(placed.image, placed.wanted, made.pixels, made.planes, more)
    with IMPORTS:
        from astropy.io import fits

    header = fits.Header()
    header.extend(layer.grid.cards)
    header.extend(_asked(choice, survey))
    if layer.band is not None:
        header["BAND"] = layer.band
    collections = {placed.image.collection for placed in layer.placed}
    if collections:
        header["COLLECT"] = ",".join(sorted(collections))
    units = {placed.image.unit for placed in layer.placed}
    if len(units) == 1 and (unit := units.pop()):
        header["BUNIT"] = unit
    if made.mosaic is not None:
        header.extend(made.mosaic.cards(made.masked))
    else:
        header["COVERED"] = 0.0, "no image has a pixel here"
    file = fits.HDUList([fits.PrimaryHDU(made.pixels, header)])
    for name, plane in made.planes.items():
        file.append(fits.ImageHDU(plane, fits.Header(layer.grid.cards), name=name.upper()))
    out = io.BytesIO()
    file.writeto(out)
    return out.getvalue()


# ---------------------------------------------------------------------- pictures and arrays


def _json(layers: Sequence[Made]) -> bytes:
    parts = [json_array(_with_nothing(made)) for made in layers]
    return parts[0] if len(parts) == 1 else b"[" + b",".join(parts) + b"]"


def _with_nothing(made: Made) -> Any:
    """Return the pixels; of integers those without a value (BLANK) as None, which FITS says in its header."""
    if made.pixels.dtype.kind == "f":
        return made.pixels
    missing = made.pixels == blank_of(made.layer.placed[0].original.pixels.place)
    if not missing.any():
        return made.pixels
    values = made.pixels.astype(object)
    values[missing] = None
    return values


def _picture(choice: Choice, layers: Sequence[Made]) -> bytes:
    request = choice.request
    output = request.output
    first = next((made for made in layers if made.layer.grid is None), layers[0])
    wcs = first.wcs()
    marker = None
    if output.marker:
        height, width = first.pixels.shape
        marker = ((width - 1) / 2, (height - 1) / 2)
        if isinstance(request, AtPosition):
            x, y = frame_of_wcs(wcs).to_pixels(directions(np.array([request.ra]), np.array([request.dec])))
            marker = (float(x[0]), float(y[0]))
    drawing = Drawing("png" if output.form == "png" else "jpeg", choice.zoom, marker, output.scalebar)
    look: Look | Colours = output.look
    if len(layers) > 1:
        look = output.colours or Colours()
    planes: list[Pixels] = [made.pixels for made in layers]
    return draw(planes if len(planes) > 1 else planes[0], look, drawing, wcs)
