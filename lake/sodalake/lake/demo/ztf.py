"""ZTF-like alerts: Fink's Parquet, with gzipped FITS stamps in DN.

Identifiers are built as ZTF builds them, since much software takes them apart: ``candid`` is days since 2017 with
nine more digits, the quadrant, and the source's number in it (19 digits: no float holds it); ``objectId`` is
``ZTF``, the year and seven letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sodalake.lake.demo.bands import ZTF_FILTERS, magnitude
from sodalake.lake.demo.columns import column, lists, schema_of, struct
from sodalake.lake.demo.fitsbytes import ztf_gzip
from sodalake.lake.demo.photometry import THRESHOLD, Alert, Curve, Instrument
from sodalake.lake.demo.population import FIELDS, Kind
from sodalake.lake.demo.stamps import Studio
from sodalake.lake.demo.visits import JD_OF_MJD, Visit

__all__ = ["ZTF", "candid", "object_id", "ztf_stamps", "ztf_table"]

ZTF: Final = Instrument(
    name="ztf", number=1, scale=1.01, gain=1.3, saturation=42_000.0, template_fwhm=1.95, template_noise=0.12,
    template_blur=0.4,
)  # fmt: skip

_SIZE: Final = 63
_HISTORY_DAYS: Final = 30.0
_EXAMPLE: Final = "ztf/part-00000-67addd34-6967-4e0d-92ab-cd0a37aadaac.c000.snappy.parquet"
_UNIX_OF_MJD: Final = 40587.0
_NEW: Final = (Kind.SUPERNOVA_IA, Kind.SUPERNOVA_II, Kind.ASTEROID, Kind.DWARF_NOVA, Kind.BOGUS)
_VSX: Final = {Kind.RR_LYRAE: "RRAB", Kind.MIRA: "M", Kind.DWARF_NOVA: "UGSS"}
_SIMBAD: Final = (Kind.RR_LYRAE, Kind.MIRA, Kind.AGN, Kind.BLAZAR, Kind.DWARF_NOVA)


def object_id(curve: Curve, visit: Visit) -> str:
    """Return the objectId; what moves is another object in each visit."""
    thing = curve.sky_object
    number = thing.number + (10_000_000 * (visit.number + 1) if thing.kind is Kind.ASTEROID else 0)
    number = (number + 21_701) * 5_435_817_643 % 26**7  # one to one, and neighbours do not look alike
    letters = ""
    for _ in range(7):
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    year = visit.night.year % 100 if thing.kind in _NEW else 18
    return f"ZTF{year:02d}{letters}"


def candid(curve: Curve, visit: Visit, positive: bool) -> int:
    """Return the alert's candid: visit, quadrant, sign and number in the quadrant."""
    number = curve.sky_object.number
    fraction = (visit.mjd + JD_OF_MJD - 2457754.5) * 100_000
    exposure = (int(fraction) * 100 + number % 64) * 100 + 15
    return exposure * 1_000_000 + 10_000 + (5_000 if positive else 0) + number // 64 % 5_000


def ztf_stamps(studio: Studio, alert: Alert) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return the gzipped science, template and difference stamps."""
    made = studio.take(alert, _SIZE)
    written = int((alert.visit.mjd - _UNIX_OF_MJD) * 86400.0) + 500
    planes = (made.science, made.template, made.difference)
    science, template, difference = (None if plane is None else ztf_gzip(plane, written) for plane in planes)
    return science, template, difference


def ztf_table(alerts: Sequence[Alert], stamps: Sequence[Sequence[bytes | None]]) -> pa.Table:
    """Return one night's file: a row an alert, in the types of Fink's files."""
    schema = schema_of(_EXAMPLE)
    count = len(alerts)
    ids = [candid(a.curve, a.visit, a.flux > 0) for a in alerts]
    kinds = [a.sky_object.kind for a in alerts]
    rng = np.random.default_rng([ids[0] % 2**32, count]) if alerts else np.random.default_rng(0)
    ages = [int(a.curve.detected[: a.index + 1].sum()) for a in alerts]

    def score(*like: Kind) -> np.ndarray[Any, np.dtype[np.float64]]:
        hit = np.array([kind in like for kind in kinds], dtype=bool)
        sure = np.clip(np.array(ages) / 6.0, 0.15, 1.0)  # a classifier knows more when it has seen more
        return np.where(hit, sure * rng.beta(9.0, 2.0, count), rng.beta(0.6, 9.0, count))

    values: dict[str, Any] = {
        "schemavsn": ["3.3"] * count,
        "publisher": ["Fink"] * count,
        "objectId": [object_id(a.curve, a.visit) for a in alerts],
        "candid": ids,
        "candidate": struct(schema.field("candidate").type, _candidate(alerts, ids, ages, rng), count),
        "prv_candidates": _history(schema.field("prv_candidates").type, alerts),
        "timestamp": pa.array(
            [int(((a.visit.mjd - _UNIX_OF_MJD) * 86400.0 + 700.0) * 1e6) * 1000 for a in alerts], pa.int64()
        ),
        "cdsxmatch": [_simbad(a) for a in alerts],
        "gcvs": [_VSX.get(kind, "Unknown") for kind in kinds],
        "vsx": [_VSX.get(kind, "Unknown") for kind in kinds],
        "x3hsp": ["Unknown"] * count,
        "x4lac": [f"4FGL J{int(a.ra / 15):02d}{a.dec:+05.1f}" if a.sky_object.kind is Kind.BLAZAR else "Unknown"
                  for a in alerts],
        "roid": [3 if kind is Kind.ASTEROID else 0 for kind in kinds],
        "rf_snia_vs_nonia": np.round(score(Kind.SUPERNOVA_IA), 3),
        "snn_snia_vs_nonia": score(Kind.SUPERNOVA_IA),
        "snn_sn_vs_all": score(Kind.SUPERNOVA_IA, Kind.SUPERNOVA_II),
        "mulens": score(Kind.MICROLENSING),
        "nalerthist": ages,
        "rf_kn_vs_nonkn": np.zeros(count),
        "anomaly_score": rng.normal(-0.05, 0.05, count),
        "lc_features_g": _features(schema.field("lc_features_g").type, alerts, "g"),
        "lc_features_r": _features(schema.field("lc_features_r").type, alerts, "r"),
        "fink_broker_version": ["4.1"] * count,
        "fink_science_version": ["8.39.0"] * count,
    }  # fmt: skip
    for at, (name, tail) in enumerate(
        (("Science", "targ_sci"), ("Template", "ref"), ("Difference", "targ_scimref"))
    ):
        kind = schema.field(f"cutout{name}").type
        bytes_ = [three[at] for three in stamps]
        names = [f"candid{i}_pid{i // 1_000_000}_{tail}.fits.gz" for i in ids]
        missing = np.array([data is None for data in bytes_], dtype=bool)
        values[f"cutout{name}"] = struct(kind, {"fileName": names, "stampData": bytes_}, count, missing)
    return pa.table([column(values.get(f.name), f.type, count) for f in schema], schema=schema)


def _simbad(alert: Alert) -> str:
    kind, host = alert.sky_object.kind, alert.sky_object.host
    if kind in _SIMBAD:
        return str(kind.value)
    return "Galaxy" if host is not None and host.magnitude < 16.5 else "Unknown"


def _limit(visit: Visit) -> float:
    """Five-sigma limiting magnitude of a visit."""
    sigma = visit.noise * np.sqrt(4.0 * np.pi) * visit.seeing / ZTF.scale / 2.355
    return float(visit.zero_point - 2.5 * np.log10(THRESHOLD * sigma))


def _shared(visits: Sequence[Visit], numbers: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, Any]:
    """What alerts and non-detections have in common."""
    rcid = numbers % 64
    jd = np.array([v.mjd + JD_OF_MJD for v in visits])
    zero_points = np.array([v.zero_point for v in visits])
    return {
        "jd": jd,
        "fid": [ZTF_FILTERS[v.band] for v in visits],
        "pid": [
            (int((j - 2457754.5) * 100_000) * 100 + int(q)) * 100 + 15 for j, q in zip(jd, rcid, strict=True)
        ],
        "diffmaglim": [_limit(v) for v in visits],
        "pdiffimfilename": [
            f"ztf_{v.night:%Y%m%d}{(v.mjd % 1.0) * 1e6:06.0f}_{FIELDS[v.field][0]:06d}_z{v.band}"
            f"_c{q // 4 + 1:02d}_o_q{q % 4 + 1}_scimrefdiffimg.fits"
            for v, q in zip(visits, rcid, strict=True)
        ],
        "programpi": ["Kulkarni"] * len(visits),
        "programid": [1] * len(visits),
        "nid": (jd - 2457754.5).astype(np.int64),
        "rcid": rcid,
        "field": [FIELDS[v.field][0] for v in visits],
        "magzpsci": zero_points,
        "magzpscirms": np.full(len(visits), 0.03),
        "rbversion": ["t17_f5_c3"] * len(visits),
    }


def _candidate(
    alerts: Sequence[Alert], ids: Sequence[int], ages: Sequence[int], rng: np.random.Generator
) -> dict[str, Any]:
    count = len(alerts)
    visits = [a.visit for a in alerts]
    numbers = np.array([a.sky_object.number for a in alerts], dtype=np.int64)
    flux, error = np.array([a.flux for a in alerts]), np.array([a.error for a in alerts])
    moving = np.array([a.sky_object.kind is Kind.ASTEROID for a in alerts], dtype=bool)
    bogus = np.array([a.sky_object.kind is Kind.BOGUS for a in alerts], dtype=bool)
    mags, sigmas = magnitude(flux), 2.5 / np.log(10.0) * error / np.abs(flux)
    limits = np.array([_limit(v) for v in visits])
    steady = np.array([0.0 if m else a.sky_object.light.reference(a.visit.band)
                       for a, m in zip(alerts, moving, strict=True)])  # fmt: skip
    hosts = [a.sky_object.host for a in alerts]
    near = np.where(
        steady > 0, magnitude(np.maximum(steady, 1.0)), [h.magnitude if h else 21.5 for h in hosts]
    )
    apart = np.array([0.0 if s > 0 else float(np.hypot(h.east, h.north)) if h else 6.0
                      for s, h in zip(steady, hosts, strict=True)])  # fmt: skip
    first = [a.curve.mjd[a.curve.detected][0] + JD_OF_MJD for a in alerts]
    shared = _shared(visits, numbers)
    edges = [a.sky_object.edge for a in alerts]
    x, y = 60.0 + numbers * 611 % 2950 + rng.random(count), 60.0 + numbers * 977 % 2960 + rng.random(count)
    real_bogus = np.where(bogus, rng.beta(2.0, 6.0, count), rng.beta(9.0, 1.6, count))
    return shared | {
        "candid": list(ids),
        "isdiffpos": ["t" if f > 0 else "f" for f in flux],
        "tblid": numbers // 64,
        "xpos": x,
        "ypos": y,
        "ra": [a.ra for a in alerts],
        "dec": [a.dec for a in alerts],
        "magpsf": mags,
        "sigmapsf": sigmas,
        "chipsf": rng.gamma(12.0, 0.15, count),
        "magap": mags + rng.normal(0.0, 0.5, count) * sigmas,
        "sigmagap": sigmas * 1.3,
        "distnr": apart + rng.normal(0.15, 0.05, count) ** 2,
        "magnr": near,
        "sigmagnr": np.full(count, 0.02),
        "sky": rng.normal(0.0, 0.8, count),
        "magdiff": rng.normal(0.0, 0.3, count) * sigmas,
        "fwhm": np.array([v.seeing for v in visits]) / ZTF.scale,
        "classtar": np.where(bogus, rng.random(count), rng.beta(20.0, 1.0, count)),
        "mindtoedge": [float(e.distance) if e else float(min(p, q, 3072 - p, 3080 - q))
                       for e, p, q in zip(edges, x, y, strict=True)],
        "magfromlim": limits - mags,
        "nneg": np.where(bogus, rng.integers(2, 9, count), rng.integers(0, 3, count)),
        "nbad": np.zeros(count, dtype=np.int64),
        "rb": real_bogus,
        "drb": np.clip(real_bogus ** np.where(bogus, 2.0, 0.2), 0.0, 1.0),
        "drbversion": ["d6_m7"] * count,
        "ssdistnr": np.where(moving, rng.gamma(2.0, 0.4, count), -999.0),
        "ssmagnr": np.where(moving, mags + rng.normal(0.0, 0.1, count), -999.0),
        "ssnamenr": [str(20_011 + 17 * int(n)) if m else "null" for n, m in zip(numbers, moving, strict=True)],
        "sumrat": np.where(bogus, rng.random(count), 1.0),
        "ranr": [a.ra for a in alerts],
        "decnr": [a.dec for a in alerts],
        "sgscore1": [0.03 if h else 0.98 for h in hosts],
        "distpsnr1": apart,
        "srmag1": near,
        "ndethist": np.where(moving, 0, ages),
        "ncovhist": [a.index + 1 for a in alerts],
        "jdstarthist": np.where(moving, shared["jd"], first),
        "jdendhist": shared["jd"],
        "scorr": np.abs(flux) / error,
        "tooflag": np.zeros(count, dtype=np.int64),
        "exptime": np.full(count, 30.0),
    }  # fmt: skip


def _history(kind: pa.ListType, alerts: Sequence[Alert]) -> pa.ListArray:
    """Return `prv_candidates`: what was seen, or not, at the same place in the 30 days before."""
    visits: list[Visit] = []
    numbers: list[int] = []
    seen: list[tuple[Curve, int] | None] = []
    lengths = []
    for alert in alerts:
        curve = alert.curve
        first = int(np.searchsorted(curve.mjd, alert.visit.mjd - _HISTORY_DAYS))
        before = range(first, alert.index)
        moving = curve.sky_object.kind is Kind.ASTEROID
        for index in before:
            visits.append(curve.visits[index])
            numbers.append(curve.sky_object.number)
            seen.append((curve, index) if curve.detected[index] and not moving else None)
        lengths.append(len(before))

    def of(function: Any) -> list[Any]:
        return [None if one is None else function(*one) for one in seen]

    values = _shared(visits, np.array(numbers, dtype=np.int64)) | {
        "candid": of(lambda c, i: candid(c, c.visits[i], c.flux[i] > 0)),
        "isdiffpos": of(lambda c, i: "t" if c.flux[i] > 0 else "f"),
        "ra": of(lambda c, i: c.sky_object.ra),
        "dec": of(lambda c, i: c.sky_object.dec),
        "magpsf": of(lambda c, i: float(magnitude(c.flux[i]))),
        "sigmapsf": of(lambda c, i: float(2.5 / np.log(10.0) * c.error[i] / abs(c.flux[i]))),
        "fwhm": of(lambda c, i: c.visits[i].seeing / ZTF.scale),
        "rb": of(lambda c, i: 0.4 if c.sky_object.kind is Kind.BOGUS else 0.85),
    }
    return lists(kind, struct(kind.value_type, values, len(visits)), lengths)


def _features(kind: pa.StructType, alerts: Sequence[Alert], band: str) -> pa.StructArray:
    """Return the simple light-curve features of Fink's `lc_features_*`; NaN where nothing was seen."""
    rows = []
    for alert in alerts:
        curve, until = alert.curve, alert.index + 1
        here = curve.detected[:until] & np.array([v.band == band for v in curve.visits[:until]])
        mags, weights = (
            magnitude(curve.flux[:until][here]),
            (curve.flux[:until] / curve.error[:until])[here] ** 2,
        )
        if len(mags) == 0:
            rows.append([np.nan] * 5)
            continue
        rows.append(
            [mags.mean(), np.average(mags, weights=weights), mags.std(), np.median(mags), np.ptp(mags) / 2.0]
        )
    flat = np.array(rows).reshape(len(alerts), 5)
    names = ("mean", "weighted_mean", "standard_deviation", "median", "amplitude")
    return struct(kind, {name: flat[:, at] for at, name in enumerate(names)}, len(alerts))
