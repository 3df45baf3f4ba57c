"""TAP, SCS, SIA 2 and DataLink as clients see them: STILTS (with TOPCAT's loading code), pyvo, astroquery."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest

if TYPE_CHECKING:
    from conftest import Server

pytestmark = [pytest.mark.client, pytest.mark.embedded]
STAGES = "TMV TME TMS TMC CPV CAP AVV QGE QPO MDQ OBS EXA"
KNOWN = {"W-CAP-CULF"}  # ADQL 2.1 has a feature, COALESCE, that STILTS 3.4.7 does not know


@pytest.fixture(scope="module")
def tap(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a lake in which no file is spoiled: validators read everything."""
    root = tmp_path_factory.mktemp("clients")
    write_demo_archive(str(root / "archive"), objects=40, nights=8, seed=7)
    for survey in ("ztf", "lsst"):
        assert not ingest(str(root / "lake"), survey, [str(root / "archive" / survey)], workers=1).failed
    running = type(server)(["--lake", str(root / "lake"), "--workers", "1"])
    yield running
    assert running.stop() == 0, "\n".join(running.log[-40:])
    assert "Traceback" not in "\n".join(running.log)


def stilts(*arguments: str) -> str:
    if shutil.which("stilts") is None:
        pytest.skip("STILTS IS NOT INSTALLED: install Debian's package stilts")
    done = subprocess.run(["stilts", *arguments], capture_output=True, text=True, timeout=240, check=False)
    return done.stdout + done.stderr


def one(tap: Server, query: str) -> dict[str, str]:
    answer = tap.ask("/tap/sync", {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv"})
    assert answer.status == 200, answer.text
    return next(csv.DictReader(io.StringIO(answer.text)))


# ---------------------------------------------------------------------- STILTS


def test_taplint_finds_nothing(tap: Server) -> None:
    told = stilts("taplint", f"tapurl={tap.url}/tap", f"stages={STAGES}", "report=EWF", "maxtable=20")
    assert "Totals: " in told, told[-2000:]
    found = [line for line in told.split("\n") if re.match(r"[EWF]-[A-Z]{3}-", line)]
    assert not [line for line in found if line[:10] not in KNOWN], "\n".join(found)
    assert len(found) <= len(KNOWN)


def test_datalinklint_finds_nothing(tap: Server) -> None:
    did = one(tap, "SELECT TOP 1 obs_publisher_did, access_url FROM ivoa.obscore")
    for url in (
        did["access_url"],
        f"{tap.url}/datalink/links",
        f"{tap.url}/datalink/links?ID=ivo://sodalake/ztf?1",
    ):
        told = stilts("datalinklint", f"votable={url}")
        assert "Errors: 0; Warnings: 0" in told, told


def test_tapquery_and_cone_read_rows(tap: Server) -> None:
    told = stilts(
        "tapquery", f"tapurl={tap.url}/tap", "sync=true", "ofmt=csv",
        'adql=SELECT TOP 3 candid, objectId, "timestamp" FROM ztf.alerts',
    )  # fmt: skip
    lines = told.strip().split("\n")
    assert lines[0] == "candid,objectId,timestamp"
    assert len(lines) == 4
    place = one(tap, "SELECT TOP 1 alert_diaSourceId, ra, dec FROM lsst.alerts")
    told = stilts(
        "cone", "servicetype=cone", f"serviceurl={tap.url}/scs/lsst.alerts", f"lon={place['ra']}",
        f"lat={place['dec']}", "radius=0.001", "ofmt=csv", "verb=1",
    )  # fmt: skip
    assert place["alert_diaSourceId"] in told


def test_coneskymatch_matches_each_row(tap: Server, tmp_path: Path) -> None:
    places = [one(tap, f"SELECT TOP 1 ra, dec FROM {table}") for table in ("ztf.alerts", "ztf.objects")]
    given = tmp_path / "in.csv"
    given.write_text("ra,dec\n" + "".join(f"{row['ra']},{row['dec']}\n" for row in places))
    told = stilts(
        "coneskymatch", "servicetype=cone", f"serviceurl={tap.url}/scs/ztf.alerts", f"in={given}", "ifmt=csv",
        "ra=ra", "dec=dec", "sr=0.001", "find=each", "ofmt=csv",
    )  # fmt: skip
    assert len(told.strip().split("\n")) >= 3, told


# ---------------------------------------------------------------------- pyvo


@pytest.fixture
def pyvo() -> Iterator[Any]:
    found = pytest.importorskip("pyvo", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    pytest.importorskip("pyvo.dal")
    with warnings.catch_warnings():
        # its parsers warn of what VODataService and VOTable have and they do not know
        warnings.simplefilter("ignore")
        yield found
        __import__("gc").collect()


def test_pyvo_queries(tap: Server, pyvo: Any) -> None:
    service = pyvo.dal.TAPService(f"{tap.url}/tap")
    assert "ztf.alerts" in service.tables
    assert service.tables["ztf.alerts"].columns
    assert len(service.examples) > 4
    features = (
        service.get_tap_capability()
        .get_adql()
        .get_feature_list("ivo://ivoa.net/std/TAPRegExt#features-adqlgeo")
    )
    assert "CONTAINS" in {feature.form for feature in features}
    rows = service.run_sync("SELECT TOP 5 candid, jd, ra FROM ztf.alerts")
    assert (len(rows), rows.fieldnames) == (5, ("candid", "jd", "ra"))
    assert rows["candid"].dtype == np.int64
    with pytest.raises(pyvo.dal.DALQueryError, match="SELECT"):
        service.run_sync("DUFF QUERY")


def test_pyvo_cones_images_and_cutouts(tap: Server, pyvo: Any) -> None:
    place = one(tap, "SELECT TOP 1 alert_diaSourceId, ra, dec FROM lsst.alerts")
    ra, dec = float(place["ra"]), float(place["dec"])
    cone = pyvo.dal.SCSService(f"{tap.url}/scs/lsst.alerts?").search(pos=(ra, dec), radius=0.001)
    assert place["alert_diaSourceId"] in {record.id for record in cone}
    with pytest.raises(pyvo.dal.DALQueryError):
        pyvo.dal.SCSService(f"{tap.url}/scs/lsst.alerts?").search(pos=(ra, dec), radius=500)
    images = pyvo.dal.SIA2Service(f"{tap.url}/sia2").search(pos=(ra, dec, 0.001))
    assert len(images) >= 1
    found = next(iter(images.iter_datalinks()))
    assert next(found.bysemantics("#this", include_narrower=False)).content_type == "application/fits"
    cutout = next(found.bysemantics("#cutout", include_narrower=False))
    content = cutout.process(circle=(ra, dec, 0.0005)).read()
    assert content.startswith(b"SIMPLE  =")


# ---------------------------------------------------------------------- astroquery


def test_tapplus(tap: Server) -> None:
    core = pytest.importorskip(
        "astroquery.utils.tap.core", reason="ASTROQUERY IS NOT INSTALLED: install the extra `client`"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = core.TapPlus(url=f"{tap.url}/tap")
        tables = {table.get_qualified_name(): table for table in client.load_tables()}
        assert any(name.endswith("ztf.alerts") for name in tables), list(tables)
        assert [c.name for c in client.load_table("ztf.alerts").columns]
        assert not any(table.columns for table in client.load_tables(only_names=True))
        rows = client.launch_job("SELECT TOP 4 candid, jd FROM ztf.alerts").get_results()
        assert (len(rows), rows.colnames) == (4, ["candid", "jd"])
        rows = client.launch_job_async("SELECT TOP 4 candid FROM ztf.alerts").get_results()
        assert len(rows) == 4
