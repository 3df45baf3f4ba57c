"""Where a picture is on the sky, written into the picture.

Two ways, for two kinds of readers. Astronomy Visualization Metadata 1.1 (AVM, an XMP packet) is what planetarium and
outreach programs read, PNG and JPEG alike: a tangent plane, whose pixels are counted as in FITS, from 1 at the lower
left, so that a picture turned over for its format keeps the numbers of its image. The FITS cards of the coordinates
stand in it too, and again in a PNG's text chunk ``FITS``: these have distortions as well.

Coordinates that are no tangent plane (TPV, SIP, other projections) are approximated by one, fitted over the picture. If
it is good to half a pixel everywhere, AVM's `Spatial.Quality` is ``Full``; else it is ``Position``, and `Spatial.Notes`
says how far it is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.coordinates import SkyFrame, lon_lat
from sodalake.sodacut.images.frames import frame_of_wcs
from sodalake.sodacut.images.grids import Card, grid_of

__all__ = ["Sky", "fits_text", "sky_of", "xmp_packet"]

Quality = Literal["Full", "Position"]

_GOOD: Final = 0.5  # pixels
_POLE: Final = 90 - 1e-9  # degrees
_POINTS: Final = 9  # on a side of the lattice that a tangent plane is fitted to

_AVM = "http://www.communicatingastronomy.org/avm/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_X = "adobe:ns:meta/"
_XML = "http://www.w3.org/XML/1998/namespace"


@dataclass(frozen=True, slots=True)
class Sky:
    """Where a picture is.

    Attributes
    ----------
    shape
        (height, width) of the picture.
    value
        (RA, Dec) where the plane touches the sky, degrees, ICRS.
    pixel
        That place in the picture; pixels are counted from 1, at the lower left.
    matrix
        Degrees on the plane for a pixel to the right, and one upwards: CD of FITS, (2, 2).
    error
        How far the plane is off, at most, in pixels of the picture.
    cards
        The coordinates as they are, as FITS cards.
    """

    shape: tuple[int, int]
    value: tuple[float, float]
    pixel: tuple[float, float]
    matrix: NDArray[np.float64]
    error: float
    cards: tuple[Card, ...]

    @property
    def quality(self) -> Quality:
        """AVM's word for it."""
        return "Full" if self.error <= _GOOD else "Position"

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel in arcseconds."""
        return float(3600 * np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def scale(self) -> tuple[float, float]:
        """CDELT: degrees; the first is negative where east is left of north."""
        across = float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))
        up = float(np.hypot(self.matrix[0, 1], self.matrix[1, 1]))
        return (-across if np.linalg.det(self.matrix) < 0 else across), up

    @property
    def rotation(self) -> float:
        """CROTA2: degrees from -180 to 180."""
        return float(np.degrees(np.arctan2(-self.matrix[0, 1], self.matrix[1, 1])))


def sky_of(wcs: Any, shape: tuple[int, int], picture: tuple[int, int] | None = None) -> Sky | None:
    """Where a picture of an image is; None where some of it has no place on the sky.

    Parameters
    ----------
    wcs
        `astropy.wcs.WCS` of the image.
    shape
        (height, width) of the image.
    picture
        (height, width) of the picture; None: the image's.
    """
    picture = picture or shape
    plane = _tangent_plane(wcs, shape, picture)
    if plane is None:
        return None
    value, pixel, matrix, error = plane
    if wcs.cpdis1 is None and wcs.cpdis2 is None and wcs.det2im1 is None and wcs.det2im2 is None:
        cards = grid_of(wcs, shape).scaled_to(picture).cards
    else:  # lookup tables are no cards
        cards = _tangent_cards(value, pixel, matrix)
    return Sky(picture, value, pixel, matrix, error, cards)


def _tangent_plane(
    wcs: Any, shape: tuple[int, int], picture: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float], NDArray[np.float64], float] | None:
    height, width = picture
    along = np.linspace(0, 1, _POINTS)
    x, y = (axis.ravel() for axis in np.meshgrid(0.5 + along * width, 0.5 + along * height))
    x, y = np.append(x, (width + 1) / 2), np.append(y, (height + 1) / 2)
    # The same places in the image: edges fall on edges.
    image_x, image_y = (x - 0.5) * shape[1] / width + 0.5, (y - 0.5) * shape[0] / height + 0.5
    frame = frame_of_wcs(wcs)
    lon, lat = lon_lat(frame.to_sky(image_x - 1, image_y - 1).T)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    if _is_plain(frame):
        # The plane is there; one fitted to it would be the same to a few digits less.
        value = float(wcs.wcs.crval[0]), float(wcs.wcs.crval[1])
        pixel_x = (wcs.wcs.crpix[0] - 0.5) * width / shape[1] + 0.5
        pixel_y = (wcs.wcs.crpix[1] - 0.5) * height / shape[0] + 0.5
        matrix = wcs.pixel_scale_matrix * np.array([shape[1] / width, shape[0] / height])
    else:
        # (At the very pole north is said by LONPOLE, which AVM has not: a few millionths of an arcsecond beside it.)
        value = float(lon[-1]), float(np.clip(lat[-1], -_POLE, _POLE))
        xi, eta = _gnomonic(lon, lat, value)
        design = np.stack([x - x[-1], y - y[-1], np.ones_like(x)], axis=1)
        fitted = np.linalg.lstsq(design, np.stack([xi, eta], axis=1), rcond=None)[0]
        matrix = fitted[:2].T
        away = np.linalg.solve(matrix, -fitted[2])
        pixel_x, pixel_y = x[-1] + away[0], y[-1] + away[1]
    xi, eta = _gnomonic(lon, lat, value)
    found = np.linalg.solve(matrix, np.stack([xi, eta]))
    error = float(np.hypot(found[0] + pixel_x - x, found[1] + pixel_y - y).max())
    return value, (float(pixel_x), float(pixel_y)), matrix, error


def _is_plain(frame: SkyFrame) -> bool:
    """Whether the coordinates are a tangent plane that AVM can say as it is."""
    wcs = frame.wcs
    return (
        frame.is_icrs
        and str(wcs.wcs.ctype[0]) == "RA---TAN"
        and not wcs.has_distortion
        and wcs.wcs.lonpole == 180
        and abs(wcs.wcs.crval[1]) <= _POLE
    )


def _gnomonic(
    lon: NDArray[np.float64], lat: NDArray[np.float64], centre: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Standard coordinates, degrees."""
    dec0 = np.radians(centre[1])
    away, dec = np.radians(lon - centre[0]), np.radians(lat)
    depth = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(away)
    xi = np.cos(dec) * np.sin(away) / depth
    eta = (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(away)) / depth
    return np.degrees(xi), np.degrees(eta)


def _tangent_cards(
    value: tuple[float, float], pixel: tuple[float, float], matrix: NDArray[np.float64]
) -> tuple[Card, ...]:
    return (
        ("WCSAXES", 2),
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRVAL1", value[0]),
        ("CRVAL2", value[1]),
        ("CRPIX1", pixel[0]),
        ("CRPIX2", pixel[1]),
        *((f"CD{i + 1}_{j + 1}", float(matrix[i, j])) for i in (0, 1) for j in (0, 1)),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("RADESYS", "ICRS"),
    )


def fits_text(sky: Sky) -> str:
    """The coordinates as FITS cards, 80 characters each, without END."""
    with IMPORTS:
        from astropy.io.fits import Header

    height, width = sky.shape
    header = Header([("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", height), *sky.cards])
    return str(header.tostring(endcard=False, padding=False))


def xmp_packet(sky: Sky) -> bytes:
    """AVM 1.1 as an XMP packet (without a byte order mark inside: it is UTF-8)."""
    names = {"x": _X, "rdf": _RDF, "avm": _AVM}
    root = etree.Element(f"{{{_X}}}xmpmeta", nsmap=names)
    description = etree.SubElement(
        etree.SubElement(root, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""}
    )

    def say(name: str, text: str) -> None:
        etree.SubElement(description, f"{{{_AVM}}}{name}").text = text

    def enumerate_(name: str, values: Sequence[float | int]) -> None:
        sequence = etree.SubElement(etree.SubElement(description, f"{{{_AVM}}}{name}"), f"{{{_RDF}}}Seq")
        for value in values:
            etree.SubElement(sequence, f"{{{_RDF}}}li").text = repr(value)

    height, width = sky.shape
    say("MetadataVersion", "1.1")
    say("Spatial.CoordinateFrame", "ICRS")
    say("Spatial.Equinox", "J2000")
    say("Spatial.CoordsystemProjection", "TAN")
    enumerate_("Spatial.ReferenceValue", sky.value)
    enumerate_("Spatial.ReferenceDimension", (width, height))
    enumerate_("Spatial.ReferencePixel", sky.pixel)
    enumerate_("Spatial.Scale", sky.scale)
    say("Spatial.Rotation", repr(sky.rotation))
    # Deprecated, and all that says the whole of a mirrored or a sheared picture.
    enumerate_("Spatial.CDMatrix", [float(value) for value in sky.matrix.ravel()])
    say("Spatial.Quality", sky.quality)
    if sky.error > 0.01:
        notes = etree.SubElement(etree.SubElement(description, f"{{{_AVM}}}Spatial.Notes"), f"{{{_RDF}}}Alt")
        note = etree.SubElement(notes, f"{{{_RDF}}}li", {f"{{{_XML}}}lang": "x-default"})
        note.text = (
            f"A tangent plane fitted to distorted coordinates, off by up to {sky.error:.2g} pixels; "
            "Spatial.FITSheader has the coordinates themselves."
        )
    say("Spatial.FITSheader", fits_text(sky))
    body = etree.tostring(root, encoding="UTF-8")
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + body + b'\n<?xpacket end="w"?>'
    )
