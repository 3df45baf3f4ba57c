"""BAND, TIME and POL of stamps: what is not of them is nothing, and nothing is no error (SODA 1.0, 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

JD_TO_MJD = 2_400_000.5
BANDS = {1: "4.5e-7", 2: "6.5e-7", 3: "8e-7"}  # metres, in the middle of ZTF's g, r and i


def filter_of(alert: Any) -> int:
    rows = pq.read_table(alert.path, columns=["candid", "candidate"]).to_pylist()
    return int(next(row["candidate"]["fid"] for row in rows if str(row["candid"]) == alert.alert_id))


def test_a_stamp_is_of_its_band(server: Any, archive: Any, make_did: Callable[..., str]) -> None:
    alert = archive.one("ztf")
    did, mine = make_did(alert, "science"), filter_of(alert)
    for number, wavelength in BANDS.items():
        answer = server.soda(did, BAND=wavelength)
        assert answer.status == (200 if number == mine else 204), (number, mine)
        assert answer.status == 200 or answer.body == b""
    assert server.soda(did, BAND="-Inf +Inf").body == server.soda(did).body
    assert server.soda(did, BAND="1e-3 1").status == 204


def test_a_stamp_is_of_its_time(server: Any, archive: Any, make_did: Callable[..., str]) -> None:
    alert = archive.one("ztf")
    did, mjd = make_did(alert, "science"), alert.time - JD_TO_MJD
    assert server.soda(did, TIME=f"{mjd - 0.001!r} {mjd + 0.001!r}").status == 200
    assert server.soda(did, TIME=f"{mjd - 1!r} {mjd - 0.001!r}").status == 204
    assert server.soda(did, TIME=f"{mjd + 0.5!r} +Inf").status == 204


def test_a_stamp_has_no_polarization(server: Any, archive: Any, make_did: Callable[..., str]) -> None:
    did = make_did(archive.one("ztf"), "science")
    assert server.ask("/soda/sync", [("ID", did), ("POL", "I"), ("POL", "V")]).status == 204


def test_of_rubin_the_time_is_tai(server: Any, archive: Any, make_did: Callable[..., str]) -> None:
    alert = archive.one("lsst")
    did, utc = make_did(alert, "science"), alert.time - 37 / 86_400
    assert server.soda(did, TIME=f"{utc - 1e-5!r} {utc + 1e-5!r}").status == 200
    assert server.soda(did, TIME=f"{utc + 0.01!r} +Inf").status == 204


@pytest.mark.parametrize(
    ("name", "value"), [("BAND", "g"), ("BAND", "2 1"), ("TIME", "now"), ("POL", "12"), ("MOC", "x")]
)
def test_what_is_no_filter_is_told(
    server: Any, archive: Any, make_did: Callable[..., str], name: str, value: str
) -> None:
    answer = server.soda(make_did(archive.one("ztf"), "science"), **{name: value})
    assert answer.status == 400
    assert answer.label == "UsageError"
    assert name in answer.text


def test_a_coverage_map_cuts_stamps_that_know_where_they_are(
    server: Any, archive: Any, make_did: Callable[..., str]
) -> None:
    did = make_did(archive.one("lsst"), "science")
    assert server.soda(did, MOC="0/0-11").body == server.soda(did).body
    assert server.soda(did, MOC="29/0").status == 204
