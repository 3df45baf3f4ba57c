"""Rubin-like alerts: Fink's Parquet for the LSST stream, with plain three-HDU FITS stamps in nJy.

A ``diaSourceId`` is packed as Rubin's are, day, exposure, detector and number in 64 bits; a ``diaObjectId`` is the
id of the object's first source; a solar-system object has no diaObjectId (0) but an ssObjectId.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sodalake.lake.demo.bands import BANDS, magnitude
from sodalake.lake.demo.columns import column, lists, schema_of, struct
from sodalake.lake.demo.fitsbytes import rubin_fits
from sodalake.lake.demo.photometry import Alert, Curve, Instrument
from sodalake.lake.demo.population import Kind
from sodalake.lake.demo.scenes import Blobs, PointSpread, render
from sodalake.lake.demo.stamps import Studio, Triplet
from sodalake.lake.demo.visits import TAI_MINUS_UTC_DAYS, Visit

__all__ = ["RUBIN", "dia_source_id", "rubin_stamps", "rubin_table"]

RUBIN: Final = Instrument(
    name="lsst", number=2, scale=0.2, gain=2.0, saturation=150_000.0, template_fwhm=0.95, template_noise=0.12,
    template_blur=0.12,
)  # fmt: skip

_EXAMPLE: Final = "lsst/part-1-0-417693031.parquet"
_TRANSFER_ONLY: Final = (
    "year",
    "month",
    "day",
    "tns_type_recomputed",
)  # not in archives: folders say the date
_SPREAD_SIZE: Final = 41
_LABELS: Final = {  # Fink's main classifier: 11 SN-like, 21 fast, 22 periodic, ...
    Kind.SUPERNOVA_IA: 11, Kind.SUPERNOVA_II: 12, Kind.MICROLENSING: 21, Kind.DWARF_NOVA: 13,
    Kind.RR_LYRAE: 22, Kind.MIRA: 22, Kind.AGN: 22, Kind.BLAZAR: 21, Kind.BOGUS: -1, Kind.ASTEROID: -1,
}  # fmt: skip
_SIMBAD: Final = {
    Kind.RR_LYRAE: "RR*", Kind.MIRA: "Mi*", Kind.AGN: "QSO", Kind.BLAZAR: "BLL", Kind.DWARF_NOVA: "CV*",
}  # fmt: skip


def _detector(curve: Curve) -> int:
    return curve.sky_object.number * 11 % 189


def dia_source_id(curve: Curve, visit: Visit) -> int:
    """Return the alert's diaSourceId: day, exposure of the day, detector and number in it."""
    exposure = (int(visit.mjd) - 60_000) << 17 | visit.number % 2**17
    return (exposure << 8 | _detector(curve)) << 22 | curve.sky_object.number % 2**22


def _object_ids(alert: Alert) -> tuple[int, int]:
    """Return diaObjectId and ssObjectId; one of them is 0."""
    curve = alert.curve
    if alert.sky_object.kind is Kind.ASTEROID:
        return 0, 21_163_600_000_000_000 + 7_919 * alert.sky_object.number
    first = int(np.flatnonzero(curve.detected)[0])
    return dia_source_id(curve, curve.visits[first]), 0


def _size(alert: Alert) -> int:
    """Pixels of the stamp: the footprint, at least 30."""
    return int(np.clip(14.0 + 13.0 * np.log10(alert.snr) + 6.0 * (alert.visit.seeing - 1.1), 30, 56))


def rubin_stamps(studio: Studio, alert: Alert) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return the science, template and difference stamps, FITS."""
    made = studio.take(alert, _size(alert))
    spread, template_spread = _spread_image(made.spread), _spread_image(made.template_spread)
    variance, template_variance = made.science_variance, made.template_variance
    return (
        _fits(alert, made, made.science, variance, spread),
        _fits(alert, made, made.template, template_variance, template_spread),
        _fits(alert, made, made.difference, variance + template_variance, spread),
    )


def _fits(
    alert: Alert, made: Triplet, pixels: Any, variance: Any, spread: np.ndarray[Any, np.dtype[np.float64]]
) -> bytes | None:
    if pixels is None:
        return None
    x, y = _on_detector(alert)
    return rubin_fits(
        pixels, variance, spread,
        corner=(int(x) - pixels.shape[1] // 2, int(y) - pixels.shape[0] // 2),
        rotation=alert.visit.rotation,
        reference=(made.centre[0] + 1.0, made.centre[1] + 1.0),
        position=(alert.ra, alert.dec),
        scale=RUBIN.scale,
    )  # fmt: skip


def _spread_image(spread: PointSpread) -> np.ndarray[Any, np.dtype[np.float64]]:
    middle = float(_SPREAD_SIZE // 2)
    star = Blobs.points(0.0, 0.0, 1e6)
    image = render(star, spread, (_SPREAD_SIZE, _SPREAD_SIZE), (middle, middle)).astype(np.float64)
    return np.asarray(image / image.sum())


def _on_detector(alert: Alert) -> tuple[float, float]:
    number = alert.sky_object.number + 31 * alert.visit.number
    return 60.0 + number * 613 % 3950, 60.0 + number * 977 % 3880


def rubin_table(alerts: Sequence[Alert], stamps: Sequence[Sequence[bytes | None]]) -> pa.Table:
    """Return one night's file: a row an alert, in the types of Fink's files."""
    schema = schema_of(_EXAMPLE, _TRANSFER_ONLY)
    count = len(alerts)
    kinds = [a.sky_object.kind for a in alerts]
    moving = np.array([kind is Kind.ASTEROID for kind in kinds], dtype=bool)
    ids = [dia_source_id(a.curve, a.visit) for a in alerts]
    rng = np.random.default_rng([ids[0] % 2**32, count]) if alerts else np.random.default_rng(0)
    times = [_stamp_time(a.visit) for a in alerts]
    hits = np.array([kind in (Kind.SUPERNOVA_IA, Kind.SUPERNOVA_II) for kind in kinds], dtype=bool)
    source = schema.field("diaSource").type
    values: dict[str, Any] = {
        "diaSourceId": ids,
        "observation_reason": ["ddf_cosmos"] * count,
        "target_name": ["ddf_cosmos"] * count,
        "diaSource": struct(source, _sources(source, alerts, rng), count),
        "prvDiaSources": _earlier(schema.field("prvDiaSources").type, alerts),
        "prvDiaForcedSources": _forced(schema.field("prvDiaForcedSources").type, alerts),
        "diaObject": struct(schema.field("diaObject").type, _objects(alerts), count, moving),
        "ssSource": struct(schema.field("ssSource").type, _moving(alerts, ids), count, ~moving),
        "mpc_orbits": struct(
            schema.field("mpc_orbits").type, {"designation": [_designation(a) for a in alerts]}, count, ~moving
        ),
        "cutoutScience": [three[0] for three in stamps],
        "cutoutTemplate": [three[1] for three in stamps],
        "cutoutDifference": [three[2] for three in stamps],
        "brokerIngestMjd": [_tai(a.visit) + 0.0012 for a in alerts],
        "lsst_schema_version": ["lsst.v10_0"] * count,
        "brokerStartProcessTimestamp": times,
        "brokerEndProcessTimestamp": times,
        "timestamp": times,
        "fink_broker_version": ["4.1"] * count,
        "fink_science_version": ["8.39.0"] * count,
        "publisher": ["Fink"] * count,
        "clf": struct(
            schema.field("clf").type,
            {
                "snnSnVsOthers_score": np.where(hits, rng.beta(9, 2, count), rng.beta(1, 6, count)),
                "cats_class": [_LABELS[kind] for kind in kinds],
                "cats_score": rng.beta(12.0, 1.5, count),
                "earlySNIa_score": np.full(count, -1.0),
            },
            count,
        ),
        "xm": struct(schema.field("xm").type, _matches(alerts), count),
        "pred": struct(
            schema.field("pred").type,
            {
                "is_sso": moving.tolist(),
                "is_first": [None if m else bool(a.curve.detected[: a.index].sum() == 0)
                             for a, m in zip(alerts, moving, strict=True)],
                "is_cataloged": [kind in _SIMBAD for kind in kinds],
                "main_label_classifier": [_LABELS[kind] for kind in kinds],
                "main_label_crossmatch": [_SIMBAD.get(kind) for kind in kinds],
            },
            count,
        ),
        "misc": struct(
            schema.field("misc").type,
            {"firstDiaSourceMjdTaiFink": [_first_seen(a) for a in alerts]},
            count,
        ),
    }  # fmt: skip
    return pa.table([column(values.get(f.name), f.type, count) for f in schema], schema=schema)


def _tai(visit: Visit) -> float:
    return visit.mjd + TAI_MINUS_UTC_DAYS


def _first_seen(alert: Alert) -> float:
    return float(alert.curve.mjd[alert.curve.detected][0]) + TAI_MINUS_UTC_DAYS


def _stamp_time(visit: Visit) -> str:
    seconds = int((visit.mjd % 1.0) * 86400.0) + 110
    return (
        f"{visit.night:%Y-%m-%d} {seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}.512908"
    )


def _visit_number(visit: Visit) -> int:
    return int(f"{visit.night:%Y%m%d}{visit.number % 100_000:05d}")


def _sources(kind: pa.StructType, alerts: Sequence[Alert], rng: np.random.Generator) -> dict[str, Any]:
    """Return the fields of `diaSource` that the demo knows; all flags are down."""
    count = len(alerts)
    flux, error = np.array([a.flux for a in alerts]), np.array([a.error for a in alerts])
    total = np.array([a.total for a in alerts])
    snr = np.abs(flux) / error
    moving = [a.sky_object.kind is Kind.ASTEROID for a in alerts]
    bogus = np.array([a.sky_object.kind is Kind.BOGUS for a in alerts], dtype=bool)
    seeing = np.array([a.visit.seeing for a in alerts])
    spread = (seeing / 2.355) ** 2
    scatter = seeing / 3600.0 / np.maximum(snr, 1.0)
    edge = [a.sky_object.edge is not None for a in alerts]
    down = [False] * count
    flags: list[str] = [
        kind.field(i).name for i in range(kind.num_fields) if pa.types.is_boolean(kind.field(i).type)
    ]
    values: dict[str, Any] = dict.fromkeys(flags, down)
    return values | {
        "diaSourceId": [dia_source_id(a.curve, a.visit) for a in alerts],
        "visit": [_visit_number(a.visit) for a in alerts],
        "detector": [_detector(a.curve) for a in alerts],
        "diaObjectId": [_object_ids(a)[0] for a in alerts],
        "ssObjectId": [_object_ids(a)[1] for a in alerts],
        "parentDiaSourceId": [0] * count,
        "midpointMjdTai": [_tai(a.visit) for a in alerts],
        "ra": [a.ra for a in alerts],
        "raErr": scatter,
        "dec": [a.dec for a in alerts],
        "decErr": scatter,
        "ra_dec_Cov": np.zeros(count),
        "x": [_on_detector(a)[0] for a in alerts],
        "y": [_on_detector(a)[1] for a in alerts],
        "xErr": scatter * 3600.0 / RUBIN.scale,
        "yErr": scatter * 3600.0 / RUBIN.scale,
        "apFlux": flux + error * rng.normal(0.0, 0.8, count),
        "apFluxErr": 1.6 * error,
        "isNegative": (flux < 0).tolist(),
        "snr": snr,
        "psfFlux": flux,
        "psfFluxErr": error,
        "psfChi2": rng.normal(1681.0, 60.0, count),
        "psfNdata": [1681] * count,
        "psfFlux_flag_edge": edge,
        "pixelFlags": edge,
        "pixelFlags_edge": edge,
        "scienceFlux": total + error * rng.normal(0.0, 0.3, count),
        "scienceFluxErr": error,
        "templateFlux": [0.0 if m else a.sky_object.light.reference(a.visit.band)
                         for a, m in zip(alerts, moving, strict=True)],
        "templateFluxErr": 0.05 * error,
        "ixx": spread * rng.normal(1.0, 0.05, count),
        "iyy": spread * rng.normal(1.0, 0.05, count),
        "ixy": spread * rng.normal(0.0, 0.05, count),
        "ixxPSF": spread,
        "iyyPSF": spread,
        "ixyPSF": np.zeros(count),
        "extendedness": rng.beta(1.0, 8.0, count),
        "reliability": np.where(bogus, rng.beta(2.0, 7.0, count), rng.beta(10.0, 1.5, count)),
        "band": [a.visit.band for a in alerts],
        "timeProcessedMjdTai": [_tai(a.visit) + 0.0008 for a in alerts],
        "bboxSize": [_size(a) for a in alerts],
        "trailLength": [0.2] * count,
    }  # fmt: skip


def _before(alert: Alert) -> list[int]:
    """Indices of earlier alerts of the same object."""
    if alert.sky_object.kind is Kind.ASTEROID:
        return []
    return [int(i) for i in np.flatnonzero(alert.curve.detected[: alert.index])]


def _earlier(kind: pa.ListType, alerts: Sequence[Alert]) -> pa.ListArray:
    flat: list[Alert] = []
    lengths = []
    for alert in alerts:
        curve, before = alert.curve, _before(alert)
        flat += [
            Alert(
                curve=curve, index=i, visit=curve.visits[i], flux=float(curve.flux[i]), error=float(curve.error[i]),
                total=float(curve.total[i]), ra=alert.sky_object.ra, dec=alert.sky_object.dec, stars=alert.stars,
            )
            for i in before
        ]  # fmt: skip
        lengths.append(len(before))
    rng = np.random.default_rng(len(flat))
    return lists(kind, struct(kind.value_type, _sources(kind.value_type, flat, rng), len(flat)), lengths)


def _forced(kind: pa.ListType, alerts: Sequence[Alert]) -> pa.ListArray:
    """Forced photometry: every earlier visit, seen or not."""
    flat = [
        (alert, i)
        for alert in alerts
        for i in (() if alert.sky_object.kind is Kind.ASTEROID else range(alert.index))
    ]
    lengths = [0 if a.sky_object.kind is Kind.ASTEROID else a.index for a in alerts]
    values: dict[str, Any] = {
        "diaForcedSourceId": [dia_source_id(a.curve, a.curve.visits[i]) + 2**21 for a, i in flat],
        "diaObjectId": [_object_ids(a)[0] for a, _ in flat],
        "ra": [a.sky_object.ra for a, _ in flat],
        "dec": [a.sky_object.dec for a, _ in flat],
        "visit": [_visit_number(a.curve.visits[i]) for a, i in flat],
        "detector": [_detector(a.curve) for a, _ in flat],
        "psfFlux": [float(a.curve.flux[i]) for a, i in flat],
        "psfFluxErr": [float(a.curve.error[i]) for a, i in flat],
        "midpointMjdTai": [_tai(a.curve.visits[i]) for a, i in flat],
        "scienceFlux": [float(a.curve.total[i]) for a, i in flat],
        "scienceFluxErr": [float(a.curve.error[i]) for a, i in flat],
        "band": [a.curve.visits[i].band for a, i in flat],
        "timeProcessedMjdTai": [_tai(a.curve.visits[i]) + 0.0008 for a, i in flat],
    }
    return lists(kind, struct(kind.value_type, values, len(flat)), lengths)


def _objects(alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return the fields of `diaObject`: identity, position and what its earlier sources add up to."""
    values: dict[str, Any] = {
        "diaObjectId": [_object_ids(a)[0] for a in alerts],
        "validityStartMjdTai": [_tai(a.visit) + 0.0009 for a in alerts],
        "ra": [a.sky_object.ra for a in alerts],
        "dec": [a.sky_object.dec for a in alerts],
        "firstDiaSourceMjdTai": [
            float(a.curve.mjd[a.curve.detected][0]) + TAI_MINUS_UTC_DAYS for a in alerts
        ],
        "lastDiaSourceMjdTai": [_tai(a.visit) for a in alerts],
        "nDiaSources": [len(_before(a)) + 1 for a in alerts],
    }
    for band in BANDS:
        fluxes = []
        for alert in alerts:
            at = [i for i in (*_before(alert), alert.index) if alert.curve.visits[i].band == band]
            fluxes.append(alert.curve.flux[at])
        values |= {
            f"{band}_psfFluxMean": [float(f.mean()) if len(f) else None for f in fluxes],
            f"{band}_psfFluxSigma": [float(f.std(ddof=1)) if len(f) > 1 else None for f in fluxes],
            f"{band}_psfFluxNdata": [len(f) for f in fluxes],
            f"{band}_psfFluxMin": [float(f.min()) if len(f) else None for f in fluxes],
            f"{band}_psfFluxMax": [float(f.max()) if len(f) else None for f in fluxes],
        }
    return values


def _designation(alert: Alert) -> str:
    number = alert.sky_object.number
    return (
        f"{1990 + number % 35} {'ABCDEFGHJKLMNOPQRSTUVWXY'[number % 24]}{'QRSTUV'[number % 6]}{number % 300}"
    )


def _moving(alerts: Sequence[Alert], ids: Sequence[int]) -> dict[str, Any]:
    return {
        "diaSourceId": list(ids),
        "ssObjectId": [_object_ids(a)[1] for a in alerts],
        "designation": [_designation(a) for a in alerts],
        "ephRa": [a.ra for a in alerts],
        "ephDec": [a.dec for a in alerts],
        "ephVmag": [float(magnitude(a.total)) for a in alerts],
        "ephRateRa": [a.sky_object.motion[0] for a in alerts],
        "ephRateDec": [a.sky_object.motion[1] for a in alerts],
    }


def _matches(alerts: Sequence[Alert]) -> dict[str, Any]:
    kinds = [a.sky_object.kind for a in alerts]
    return {
        "simbad_otype": [_SIMBAD.get(kind) for kind in kinds],
        "gaiadr3_VarFlag": [int(kind in (Kind.RR_LYRAE, Kind.MIRA)) for kind in kinds],
        "tns_type": [kind.value if kind is Kind.SUPERNOVA_IA and a.curve.detected[: a.index].sum() > 5 else None
                     for kind, a in zip(kinds, alerts, strict=True)],
        "vsx_Type": ["RRAB" if kind is Kind.RR_LYRAE else "M" if kind is Kind.MIRA else None for kind in kinds],
    }  # fmt: skip
