"""`ivoa.obscore`: the columns of ObsCore 1.1 (tables 1, 5 and 6), as validators want them to the letter.

`s_region` is text of xtype ``adql:region`` (STC-S): STILTS 3.4.7 takes nothing else for it, though DALI 1.1 has
polygons of numbers.
"""

from __future__ import annotations

import functools
from typing import Final

from sodalake.tap.metadata import Column, Table

__all__ = ["OBSCORE_STANDARD", "obscore_table"]

OBSCORE_STANDARD: Final = "ivo://ivoa.net/std/ObsCore#core-1.1"
"""What a service declares that has the table."""

_SPACE = "Char.SpatialAxis."
_TIME = "Char.TimeAxis."
_BAND = "Char.SpectralAxis."
_PLACE = "Coverage.Location.Coord.Position2D.Value2."

# name, type, unit, utype, UCD, description; the mandatory ones first, in the standard's order
_COLUMNS: Final = (
    ("dataproduct_type", "char", "", "ObsDataset.dataProductType", "meta.code.class", "Kind of data: image."),
    ("calib_level", "int", "", "ObsDataset.calibLevel", "meta.code;obs.calib", "Level of calibration, 0 to 4."),
    ("obs_collection", "char", "", "DataID.collection", "meta.id", "Survey of alerts, or collection of images."),
    ("obs_id", "char", "", "DataID.observationID", "meta.id", "Id of the alert, or of the image."),
    ("obs_publisher_did", "char", "", "Curation.publisherDID", "meta.ref.ivoid",
     "Identifier of the image, or of the alert's stamps: the ID of DataLink and SODA."),
    ("access_url", "char", "", "Access.reference", "meta.ref.url", "Links of the image, or of the stamps (DataLink)."),
    ("access_format", "char", "", "Access.format", "meta.code.mime", "MIME type of what access_url gives."),
    ("access_estsize", "long", "kbyte", "Access.size", "phys.size;meta.file", "Size of an image's file."),
    ("target_name", "char", "", "Target.name", "meta.id;src", "Id of the object of an alert."),
    ("s_ra", "double", "deg", f"{_SPACE}{_PLACE}C1", "pos.eq.ra", "Right ascension of the centre, ICRS."),
    ("s_dec", "double", "deg", f"{_SPACE}{_PLACE}C2", "pos.eq.dec", "Declination of the centre, ICRS."),
    ("s_fov", "double", "deg", f"{_SPACE}Coverage.Bounds.Extent.diameter", "phys.angSize;instr.fov",
     "Diameter; of a stamp about."),
    ("s_region", "region", "", f"{_SPACE}Coverage.Support.Area", "pos.outline;obs.field",
     "What it covers (STC-S, ICRS); of a stamp about: a square with North up."),
    ("s_resolution", "double", "arcsec", f"{_SPACE}Resolution.Refval.value", "pos.angResolution",
     "Resolution on the sky: the seeing of an image; of stamps not known."),
    ("s_xel1", "long", "", f"{_SPACE}numBins1", "meta.number", "Pixels along the first axis; those of stamps differ."),
    ("s_xel2", "long", "", f"{_SPACE}numBins2", "meta.number", "Pixels along the second axis; those of stamps differ."),
    ("t_min", "double", "d", f"{_TIME}Coverage.Bounds.Limits.StartTime", "time.start;obs.exposure",
     "Begin of the exposure, MJD, UTC; its middle where only that is known."),
    ("t_max", "double", "d", f"{_TIME}Coverage.Bounds.Limits.StopTime", "time.end;obs.exposure",
     "End of the exposure, MJD, UTC; as t_min where its length is not known."),
    ("t_exptime", "double", "s", f"{_TIME}Coverage.Support.Extent", "time.duration;obs.exposure",
     "Length of the exposure."),
    ("t_resolution", "double", "s", f"{_TIME}Resolution.Refval.value", "time.resolution",
     "Resolution in time; an image has one time."),
    ("t_xel", "long", "", f"{_TIME}numBins", "meta.number", "Samples in time."),
    ("em_min", "double", "m", f"{_BAND}Coverage.Bounds.Limits.LoLimit", "em.wl;stat.min",
     "Shortest wavelength of the band."),
    ("em_max", "double", "m", f"{_BAND}Coverage.Bounds.Limits.HiLimit", "em.wl;stat.max",
     "Longest wavelength of the band."),
    ("em_res_power", "double", "", f"{_BAND}Resolution.ResolPower.refVal", "spect.resolution",
     "Resolving power; a band has none."),
    ("em_xel", "long", "", f"{_BAND}numBins", "meta.number", "Samples in wavelength."),
    ("o_ucd", "char", "", "Char.ObservableAxis.ucd", "meta.ucd", "UCD of the pixels."),
    ("pol_states", "char", "", "Char.PolarizationAxis.stateList", "meta.code;phys.polarization",
     "Polarization states; none."),
    ("pol_xel", "long", "", "Char.PolarizationAxis.numBins", "meta.number", "Samples in polarization."),
    ("facility_name", "char", "", "Provenance.ObsConfig.Facility.name", "meta.id;instr.tel", "Observatory."),
    ("instrument_name", "char", "", "Provenance.ObsConfig.Instrument.name", "meta.id;instr", "Instrument."),
    ("dataproduct_subtype", "char", "", "ObsDataset.dataProductSubtype", "meta.code.class",
     "stamps: those of an alert; null: a survey's image."),
    ("obs_title", "char", "", "DataID.title", "meta.title;obs", "What it is, in a few words."),
    ("publisher_id", "char", "", "Curation.publisherID", "meta.ref.ivoid", "Identifier of the publisher."),
    ("s_pixel_scale", "double", "arcsec", f"{_SPACE}Sampling.RefVal.SamplingPeriod", "phys.angSize;instr.pixel",
     "Size of a pixel."),
    ("o_unit", "char", "", "Char.ObservableAxis.unit", "meta.unit", "Unit of the pixels."),
)  # fmt: skip
_PRINCIPAL: Final = frozenset(name for name, *_ in _COLUMNS[:30]) - {
    "s_resolution", "s_xel1", "s_xel2", "t_resolution", "t_xel", "em_res_power", "em_xel", "o_ucd", "pol_states",
    "pol_xel",
}  # fmt: skip
_INDEXED: Final = frozenset(
    {"obs_publisher_did", "obs_id", "obs_collection", "s_ra", "s_dec", "s_region", "t_min"}
)


@functools.cache
def obscore_table() -> Table:
    """Return the table, a view with a row for the stamps of each alert, and for each image, of every survey."""
    return Table(
        "ivoa",
        "obscore",
        tuple(
            Column(
                name,
                "char" if kind == "region" else kind,
                "*" if kind in ("char", "region") else "",
                "adql:region" if kind == "region" else "",
                unit,
                ucd,
                f"obscore:{utype}",
                description,
                indexed=name in _INDEXED,
                principal=name in _PRINCIPAL,
                std=True,
            )
            for name, kind, unit, utype, ucd, description in _COLUMNS
        ),
        "obscore",
        roles={"ra": "s_ra", "dec": "s_dec", "time": "t_min", "region": "s_region", "fov": "s_fov"},
        kind="view",
        description="ObsCore 1.1: one row for the stamps of each alert, and for each image.",
        utype="ivo://ivoa.net/std/ObsCore#table-1.1",
    )
