"""Survey images in `ivoa.obscore`: a row for each image, which has its own outline, times and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.tap.metadata import Table

from .obscoreview import Maker, ObscoreView, wavelengths

__all__ = ["ImagesView"]

_KILO: Final = 1000.0

# Column of ObsCore → column of images that it is.
_PLAIN: Final = {
    "s_fov": "fov",
    "s_region": "s_region",
    "s_resolution": "seeing",
    "s_xel1": "width",
    "s_xel2": "height",
    "s_pixel_scale": "pixel_scale",
    "t_max": "t_max",
    "t_exptime": "exposure",
    "calib_level": "calib_level",
    "obs_collection": "collection",
    "o_unit": "unit",
}
_NUMBERS: Final = {"s_ra": "ra", "s_dec": "dec", "t_min": "t_min"}


class ImagesView(ObscoreView):
    """What a survey of images has in `ivoa.obscore`.

    Parameters
    ----------
    survey
        Its description.
    table
        Its table of images, as published.
    authority, base_url
        See `ObscoreView`.
    """

    def __init__(self, survey: ImageSurvey, table: Table, authority: str, base_url: str) -> None:
        super().__init__(survey.name, table, "image", authority, base_url)
        self.survey = survey
        self.reach = None
        self.longest = math.inf  # a coadded image has the times of all its exposures
        numbers = {**_NUMBERS, **{name: own for name, own in _PLAIN.items() if _is_number(table, own)}}
        self.linear = MappingProxyType({name: (own, 0.0) for name, own in numbers.items()})
        self._complete(self._made(), self._few())

    def _few(self) -> dict[str, Sequence[object]]:
        survey = self.survey
        found: dict[str, Sequence[object]] = {
            "dataproduct_subtype": (None,),
            "calib_level": sorted({survey.calib_level(name) for name in survey.collections}),
            "obs_collection": tuple(survey.collections),
            "facility_name": (survey.facility,),
            "instrument_name": (survey.instrument,),
            "o_ucd": (survey.pixels.ucd,),
            "target_name": (None,),
        }
        if survey.band is None:
            found |= {"em_min": (None,), "em_max": (None,)}
        return found

    def _made(self) -> dict[str, tuple[tuple[str, ...], Maker]]:
        """Column → the columns of images that it is made of, and how."""
        made: dict[str, tuple[tuple[str, ...], Maker]] = {
            name: ((own,), _as_it_is(own)) for name, own in {**_PLAIN, **_NUMBERS}.items()
        }
        made["access_estsize"] = (("filesize",), _kilobytes)
        made["obs_title"] = self.titles(f"{self.survey.title}: image ")
        if self.survey.band is not None:
            made["em_min"] = (("band",), lambda rows: wavelengths(rows["band"], self.survey.bands, 0))
            made["em_max"] = (("band",), lambda rows: wavelengths(rows["band"], self.survey.bands, 1))
        return made


def _is_number(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.datatype == "double"


def _as_it_is(name: str) -> Maker:
    return lambda rows: rows[name]


def _kilobytes(rows: pa.Table) -> pa.ChunkedArray:
    return pc.ceil(pc.divide(rows["filesize"].cast(pa.float64()), _KILO)).cast(pa.int64())
