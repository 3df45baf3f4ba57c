"""What a HiPS says of itself: the file ``properties`` (HiPS 1.0, 4.4.1), and the list of a server's HiPS (5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["Described", "Properties", "hips_did", "now", "parsed", "regime", "written"]

Properties = Mapping[str, str]

# Where a band is, by its wavelengths in metres (HiPS 1.0, 4.4.1: obs_regime).
_REGIMES: Final = (
    ("Gamma-ray", 0.0, 1e-11),
    ("X-ray", 1e-11, 1e-8),
    ("EUV", 1e-8, 1e-7),
    ("UV", 1e-7, 3.2e-7),
    ("Optical", 3.2e-7, 1e-6),
    ("Infrared", 1e-6, 1e-3),
    ("Millimeter", 1e-3, 1e-2),
    ("Radio", 1e-2, float("inf")),
)


def hips_did(authority: str, collection: str, name: str) -> str:
    """Return the identifier of a HiPS (creator_did)."""
    return f"ivo://{authority}/P/{collection}/{name}"


def regime(bands: Iterable[tuple[float, float]]) -> list[str]:
    """Return the names of the regimes in which bands (metres) have their middles."""
    middles = [(low + high) / 2 for low, high in bands]
    return [name for name, low, high in _REGIMES if any(low <= middle < high for middle in middles)]


def written(properties: Properties, more: Mapping[str, Iterable[str]] | None = None) -> bytes:
    """Return the file; keywords of `more` stand in it once for each value."""
    lines = [(key, value) for key, value in properties.items() if value]
    lines += [(key, value) for key, values in (more or {}).items() for value in values]
    # A line is a keyword and a value, whatever a survey's file says.
    return "".join(f"{key:<20} = {' '.join(value.split())}\n" for key, value in lines).encode()


def parsed(content: bytes) -> dict[str, str]:
    """Return what stands in the file; of a keyword that stands there more than once the first."""
    found: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key.strip(), value.strip())
    return found


def now() -> str:
    """Return the time as HiPS writes it (UTC, minutes)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")


@dataclass(frozen=True, slots=True)
class Described:
    """A HiPS, in words of the standard.

    Attributes
    ----------
    did, collection, title, description, copyright, acknowledgement
        creator_did, obs_collection, obs_title, obs_description, obs_copyright, obs_ack.
    bands
        Shortest and longest wavelength of each band in it, metres.
    order
        Of its deepest tiles.
    formats
        ``fits``, ``png``, ``jpeg``, the best for looking first.
    fraction
        Of the sky that it covers.
    centre, field_of_view
        Where a client begins: degrees.
    facility, instrument
        Where the images come from.
    cut, range
        Of the numbers: shown darkest and brightest, and all there are.
    times
        t_min and t_max, MJD.
    colours
        Names of the bands of a HiPS in colour, red first; none: it is of one band.
    pixel_scale
        Of its deepest tiles, arcseconds; `width` pixels are a tile's side.
    software
        What made it.
    """

    did: str
    collection: str
    title: str
    description: str
    bands: tuple[tuple[float, float], ...]
    order: int
    formats: tuple[str, ...]
    fraction: float
    centre: tuple[float, float]
    field_of_view: float
    pixel_scale: float
    width: int
    software: str
    facility: str = ""
    instrument: str = ""
    copyright: str = ""
    acknowledgement: str = ""
    cut: tuple[float, float] | None = None
    range: tuple[float, float] | None = None
    times: tuple[float, float] | None = None
    colours: tuple[str, ...] = ()

    def written(self, released: str) -> bytes:
        """Return the file ``properties``; `released` is hips_release_date."""
        low = min((low for low, _ in self.bands), default=None)
        high = max((high for _, high in self.bands), default=None)
        properties = {
            "creator_did": self.did,
            "obs_collection": self.collection,
            "obs_title": self.title,
            "obs_description": self.description,
            "obs_copyright": self.copyright,
            "obs_ack": self.acknowledgement,
            "prov_progenitor": ", ".join(one for one in (self.facility, self.instrument) if one),
            "t_min": "" if self.times is None else f"{self.times[0]:.6f}",
            "t_max": "" if self.times is None else f"{self.times[1]:.6f}",
            "em_min": "" if low is None else f"{low:.6g}",
            "em_max": "" if high is None else f"{high:.6g}",
            "hips_builder": self.software,
            "hips_version": "1.4",
            "hips_release_date": released,
            "hips_creation_date": released,
            "hips_status": "public master clonableOnce",
            "hips_frame": "equatorial",
            "hips_order": str(self.order),
            "hips_order_min": "0",
            "hips_tile_width": str(self.width),
            "hips_tile_format": " ".join(self.formats),
            "hips_pixel_bitpix": "-32" if "fits" in self.formats else "",
            "hips_pixel_scale": f"{self.pixel_scale / 3600:.6g}",
            "hips_pixel_cut": "" if self.cut is None else "{:.6g} {:.6g}".format(*self.cut),
            "hips_data_range": "" if self.range is None else "{:.6g} {:.6g}".format(*self.range),
            "hips_initial_ra": f"{self.centre[0]:.6f}",
            "hips_initial_dec": f"{self.centre[1]:.6f}",
            "hips_initial_fov": f"{self.field_of_view:.6g}",
            "s_pixel_scale": f"{self.pixel_scale / 3600:.6g}",
            "moc_sky_fraction": f"{self.fraction:.6g}",
            "moc_access_url": "Moc.fits",
            "dataproduct_type": "image",
            "dataproduct_subtype": "color" if self.colours else "",
            "hips_rgb_red": self.colours[0] if self.colours else "",
            "hips_rgb_green": self.colours[len(self.colours) // 2] if self.colours else "",
            "hips_rgb_blue": self.colours[-1] if self.colours else "",
            "client_category": "Image/sodalake",
        }
        return written(properties, {"obs_regime": regime(self.bands)})
