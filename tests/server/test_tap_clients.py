"""TAP, SCS, SIA 2 and DataLink as clients see them: STILTS (with TOPCAT's loading code), pyvo, astroquery.

One server and one lake for all of them. Nothing may leave the machine: pyvo's `getdataset` and `bysemantics` look the
words of DataLink up at www.ivoa.net, and wait a minute for it where there is no world.
"""

from __future__ import annotations

import csv
import gc
import io
import socket
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
import pytest
from lxml import etree
from sky_images import SURVEY, some_plates, write_plates
from stilts import JAR, check_taplint, stilts

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.ingest import ingest

if TYPE_CHECKING:
    from conftest import Server

pytestmark = [pytest.mark.client, pytest.mark.embedded]
TILES = Path(__file__).parents[3] / "shared/data/tiles"
UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def tap(server_of: type[Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a lake in which no file is spoiled: validators read everything."""
    root = tmp_path_factory.mktemp("clients")
    write_demo_archive(str(root / "archive"), objects=40, nights=8, seed=7)
    for survey in ("ztf", "lsst"):
        assert not ingest(str(root / "lake"), survey, [str(root / "archive" / survey)], workers=1).failed
    (root / "plates.toml").write_text(SURVEY)
    write_plates(root / "plates" / "one.fits", some_plates(24, seed=3))
    surveys = {str(root / "plates.toml"): str(root / "plates")}
    if TILES.is_dir():
        surveys["decam"] = str(TILES)
    for survey, folder in surveys.items():
        assert not ingest_images(str(root / "lake"), survey, [folder], workers=1).failed
    running = server_of(["--lake", str(root / "lake"), "--workers", "1"])
    yield running
    assert running.stop() == 0, "\n".join(running.log[-40:])
    log = "\n".join(running.log)
    assert "Traceback" not in log
    assert " status=5" not in log


@pytest.fixture(scope="module")
def places(tap: Server) -> list[dict[str, str]]:
    """Some objects, with their places."""
    return rows_of(tap, "SELECT TOP 5 objectId, ra, dec FROM ztf.objects ORDER BY objectId")


@pytest.fixture
def given(places: list[dict[str, str]], tmp_path: Path) -> Path:
    """A table of positions to upload, as VOTable; the last is nowhere near."""
    rows = "".join(
        f"<TR><TD>{row['objectId']}</TD><TD>{row['ra']}</TD><TD>{row['dec']}</TD></TR>" for row in places
    )
    file = tmp_path / "given.vot"
    file.write_text(
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        '<FIELD name="mine" datatype="char" arraysize="*"/><FIELD name="lon" datatype="double"/>'
        '<FIELD name="lat" datatype="double"/>'
        f"<DATA><TABLEDATA>{rows}<TR><TD>none</TD><TD>1.5</TD><TD>-89.5</TD></TR></TABLEDATA></DATA>"
        "</TABLE></RESOURCE></VOTABLE>"
    )
    return file


MATCH = (
    "SELECT m.mine, o.objectId FROM TAP_UPLOAD.t1 AS m JOIN ztf.objects AS o"
    " ON DISTANCE(m.lon, m.lat, o.ra, o.dec) < 1e-5 ORDER BY m.mine"
)


def rows_of(tap: Server, query: str) -> list[dict[str, str]]:
    answer = tap.ask("/tap/sync", {"LANG": "ADQL", "QUERY": query, "FORMAT": "csv"})
    assert answer.status == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def matched(places: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(row["objectId"], row["objectId"]) for row in places]


# ---------------------------------------------------------------------- validators


def test_taplint_finds_nothing(tap: Server) -> None:
    check_taplint(f"{tap.url}/tap")


def test_datalinklint_finds_nothing(tap: Server) -> None:
    (row,) = rows_of(tap, "SELECT TOP 1 access_url FROM ivoa.obscore")
    image, other = rows_of(
        tap, "SELECT TOP 2 access_url, obs_publisher_did FROM ivoa.obscore WHERE obs_collection = 'wide'"
    )
    several = (
        f"{row['access_url']}&ID={quote(other['obs_publisher_did'], safe='')}&ID=ivo://sodalake/plates?none"
    )
    for url in (
        row["access_url"],
        image["access_url"],
        several,
        f"{tap.url}/datalink/links?ID=ivo://sodalake/ztf?1",
    ):
        told = stilts("datalinklint", f"votable={url}")
        assert "Errors: 0; Warnings: 0" in told, told


class Schemas(etree.Resolver):
    """Finds what a schema imports beside it, whatever address it names."""

    def __init__(self, jar: zipfile.ZipFile, folder: str) -> None:
        self._jar = jar
        self._folder = folder

    def resolve(self, url: str, public: str, context: Any) -> Any:
        name = {"XMLSchema.xsd": "XMLSchema.xsd", "xml.xsd": "xmlnamespace.xsd"}.get(
            Path(url).name, Path(url).name
        )
        return self.resolve_string(self._jar.read(f"{self._folder}/{name}"), context)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    if not JAR.exists():
        pytest.skip(f"JOBS NOT VALIDATED: {JAR} of Debian's package stilts is absent")
    with zipfile.ZipFile(JAR) as jar:
        name = next(name for name in jar.namelist() if name.endswith("/UWS-v1.1.xsd"))
        parser = etree.XMLParser(no_network=True)
        parser.resolvers.add(Schemas(jar, name.rpartition("/")[0]))
        return etree.XMLSchema(etree.fromstring(jar.read(name), parser))


def test_documents_of_jobs_are_those_of_the_schema(tap: Server, schema: etree.XMLSchema) -> None:
    def made(**parameters: str) -> str:
        answer = tap.ask("/tap/async", method="POST", body=urlencode(parameters).encode(), headers=FORM)
        assert answer.status == 303, answer.text
        return urlsplit(answer.headers["Location"]).path

    jobs = {
        "PENDING": made(QUERY="SELECT <& FROM x", RUNID="a & b", LANG="ADQL"),
        "COMPLETED": made(QUERY="SELECT TOP 1 * FROM ztf.alerts", PHASE="RUN"),
        "ERROR": made(QUERY="DUFF <QUERY>", PHASE="RUN"),
        "ABORTED": made(QUERY="SELECT 1"),
    }
    tap.ask(f"{jobs['ABORTED']}/phase", method="POST", body=b"PHASE=ABORT", headers=FORM)
    paths = ["/tap/async", "/soda/async", "/tap/async?PHASE=ERROR&LAST=1"]
    for phase, job in jobs.items():
        found = etree.fromstring(tap.ask(job).body).findtext(f"{UWS}phase")
        while found in ("QUEUED", "EXECUTING"):
            found = etree.fromstring(tap.ask(job, {"WAIT": 20, "PHASE": found}).body).findtext(f"{UWS}phase")
        assert found == phase
        paths += [job, f"{job}/parameters", f"{job}/results"]
    for path in paths:
        document = etree.fromstring(tap.ask(path).body)
        assert schema.validate(document), (path, schema.error_log)
    broken = etree.fromstring(tap.ask(jobs["ERROR"]).body)
    broken.remove(broken.find(f"{UWS}phase"))
    assert not schema.validate(broken), "the schema is one that tells"


# ---------------------------------------------------------------------- STILTS


POLLED = {"true": (), "false": ("poll=100", "progress=false")}  # what tapquery takes of jobs alone


@pytest.mark.parametrize("sync", ["true", "false"])
def test_tapquery(tap: Server, sync: str) -> None:
    told = stilts(
        "tapquery", f"tapurl={tap.url}/tap", f"sync={sync}", "ofmt=csv", *POLLED[sync],
        'adql=SELECT TOP 3 candid, objectId, "timestamp" FROM ztf.alerts ORDER BY candid',
    )  # fmt: skip
    header, *lines = told.strip().split("\n")
    assert header == "candid,objectId,timestamp"
    expected = rows_of(tap, "SELECT TOP 3 candid, objectId FROM ztf.alerts ORDER BY candid")
    assert [line.split(",")[:2] for line in lines] == [list(row.values()) for row in expected]


@pytest.mark.parametrize(("sync", "written"), [("true", "BINARY2"), ("false", "TABLEDATA")])
def test_tapquery_uploads(
    tap: Server, given: Path, places: list[dict[str, str]], sync: str, written: str
) -> None:
    told = stilts(
        "tapquery", f"tapurl={tap.url}/tap", f"sync={sync}", "ofmt=csv", *POLLED[sync], "nupload=1",
        f"upload1={given}", "upname1=t1", f"upvotformat={written}", f"adql={MATCH}",
    )  # fmt: skip
    assert [tuple(line.split(",")) for line in told.strip().split("\n")[1:]] == matched(places), told


def test_cone_finds_what_is_there(tap: Server) -> None:
    (place,) = rows_of(tap, "SELECT TOP 1 alert_diaSourceId, ra, dec FROM lsst.alerts")
    told = stilts(
        "cone", "servicetype=cone", f"serviceurl={tap.url}/scs/lsst.alerts", f"lon={place['ra']}",
        f"lat={place['dec']}", "radius=0.001", "ofmt=csv", "verb=1",
    )  # fmt: skip
    assert place["alert_diaSourceId"] in told


def test_coneskymatch_matches_each_row(tap: Server, given: Path, places: list[dict[str, str]]) -> None:
    told = stilts(
        "coneskymatch", "servicetype=cone", f"serviceurl={tap.url}/scs/ztf.objects", f"in={given}", "ifmt=votable",
        "ra=lon", "dec=lat", "sr=0.001", "find=best", "usefoot=false", "ofmt=csv", "ocmd=keepcols 'mine objectId'",
    )  # fmt: skip
    assert {tuple(line.split(",")) for line in told.strip().split("\n")[1:]} == set(matched(places)), told


# ---------------------------------------------------------------------- pyvo


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where anything is looked up but this machine; parsers' warnings are not ours."""
    asked: list[str] = []
    lookup = socket.getaddrinfo

    def guarded(host: Any, *arguments: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            asked.append(str(host))
            raise socket.gaierror(f"{host} is not this machine")
        return lookup(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    with warnings.catch_warnings():
        # they warn of what VODataService and VOTable have and they do not know
        warnings.simplefilter("ignore")
        yield
        gc.collect()
    assert not asked


@pytest.fixture
def pyvo(here: None) -> Any:
    pytest.importorskip("pyvo.dal", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    return pytest.importorskip("pyvo", reason="PYVO IS NOT INSTALLED: install the extra `client`")


def test_pyvo_reads_what_there_is(tap: Server, pyvo: Any) -> None:
    service = pyvo.dal.TAPService(f"{tap.url}/tap")
    assert {"ztf.alerts", "lsst.objects", "ivoa.obscore", "tap_schema.columns"} <= set(service.tables.keys())
    columns = {column.name: column for column in service.tables["ztf.alerts"].columns}
    assert columns["jd"].unit == "d"
    assert "indexed" in columns["objectId"].flags
    examples = service.examples
    assert len(examples) > 6
    for example in examples:
        assert len(example.execute().fieldnames) >= 2
    features = (
        service.get_tap_capability()
        .get_adql()
        .get_feature_list("ivo://ivoa.net/std/TAPRegExt#features-adqlgeo")
    )
    assert "CONTAINS" in {feature.form for feature in features}
    assert (service.maxrec, service.available) == (100_000, True)


def test_pyvo_queries(tap: Server, pyvo: Any) -> None:
    service = pyvo.dal.TAPService(f"{tap.url}/tap")
    query = "SELECT TOP 5 candid, jd, ra FROM ztf.alerts ORDER BY candid"
    expected = [int(row["candid"]) for row in rows_of(tap, query)]
    rows = service.run_sync(query)
    assert (len(rows), rows.fieldnames) == (5, ("candid", "jd", "ra"))
    assert rows["candid"].dtype == np.int64
    assert rows["candid"].tolist() == expected
    assert service.run_async(query)["candid"].tolist() == expected
    assert len(service.run_sync("SELECT candid FROM ztf.alerts", maxrec=3)) == 3
    for ask in (service.run_sync, service.run_async):
        with pytest.raises(pyvo.dal.DALQueryError, match="SELECT"):
            ask("DUFF QUERY")
    job = service.submit_job(query)
    job.run().wait(timeout=60)
    assert (job.phase, job.fetch_result()["candid"].tolist()) == ("COMPLETED", expected)
    assert job.job_id in {one.jobid for one in service.get_job_list(phases=["COMPLETED"])}
    job.delete()


def test_pyvo_uploads(tap: Server, pyvo: Any, given: Path, places: list[dict[str, str]]) -> None:
    from astropy.table import Table

    service = pyvo.dal.TAPService(f"{tap.url}/tap")
    for table in (str(given), Table.read(given, format="votable")):
        for ask in (service.run_sync, service.run_async):
            rows = ask(MATCH, uploads={"t1": table})
            assert list(zip(rows["mine"], rows["objectId"], strict=True)) == matched(places)


def test_pyvo_cones(tap: Server, pyvo: Any) -> None:
    (place,) = rows_of(tap, "SELECT TOP 1 alert_diaSourceId, ra, dec FROM lsst.alerts")
    position = float(place["ra"]), float(place["dec"])
    service = pyvo.dal.SCSService(f"{tap.url}/scs/lsst.alerts?")
    assert place["alert_diaSourceId"] in {record.id for record in service.search(pos=position, radius=0.001)}
    with pytest.raises(pyvo.dal.DALQueryError):
        service.search(pos=position, radius=500)


def test_pyvo_images_links_and_cutouts(tap: Server, pyvo: Any) -> None:
    from astropy import units as u

    (place,) = rows_of(tap, "SELECT TOP 1 alert_diaSourceId, ra, dec FROM lsst.alerts")
    ra, dec = float(place["ra"]), float(place["dec"])
    images = pyvo.dal.SIA2Service(f"{tap.url}/sia2").search(pos=(ra, dec, 0.001))
    image = next(one for one in images if one["obs_id"] == place["alert_diaSourceId"])
    links = image.getdatalink()
    this = next(links.bysemantics("#this", include_narrower=False))
    assert this.content_type == "application/fits"
    stamps = tap.ask(this["access_url"].removeprefix(tap.url)).body
    # by the descriptor that comes with the images, and by the one that comes with the links
    cutout = next(links.bysemantics("#cutout", include_narrower=False))
    circle = (ra, dec, 0.0005)
    for content in (image.processed(circle=circle * u.deg).read(), cutout.process(circle=circle).read()):
        assert content.startswith(b"SIMPLE  =")
        assert len(content) < len(stamps)
    curve = next(links.bysemantics("#auxiliary", include_narrower=False))
    assert tap.ask(curve["access_url"].removeprefix(tap.url)).status == 200


def test_pyvo_survey_images_links_and_cutouts(tap: Server, pyvo: Any) -> None:
    from astropy import units as u
    from astropy.io import fits

    plates = "SELECT TOP 1 image_id, ra, dec, fov FROM plates.images WHERE band = 'g' AND fov > 0.1"
    (place,) = rows_of(tap, plates)
    ra, dec, radius = float(place["ra"]), float(place["dec"]), float(place["fov"]) / 8
    service = pyvo.dal.SIA2Service(f"{tap.url}/sia2")
    images = service.search(pos=(ra, dec, radius), band=5e-7, collection=["wide"], calib_level=[2])
    image = next(one for one in images if one["obs_id"] == place["image_id"])
    links = image.getdatalink()
    this = next(links.bysemantics("#this", include_narrower=False))
    with fits.open(io.BytesIO(tap.ask(this["access_url"].removeprefix(tap.url)).body)) as hdus:
        whole = hdus[0].data
    cutout = next(links.bysemantics("#cutout", include_narrower=False))
    for content in (
        image.processed(circle=(ra, dec, radius) * u.deg).read(),
        cutout.process(circle=(ra, dec, radius), band=(4.5e-7, 5e-7) * u.m).read(),
    ):
        with fits.open(io.BytesIO(content)) as hdus:
            assert 0 < hdus[0].data.size < whole.size
            assert set(hdus[0].data.ravel()) <= set(whole.ravel())
    assert not cutout.process(circle=(ra, dec, radius), band=(1e-6, 2e-6) * u.m).read()
    assert not list(service.search(pos=(ra, dec, radius), band=1e-6, collection=["wide"]))


def test_places_are_matched_with_survey_images(tap: Server, pyvo: Any) -> None:
    from astropy.table import Table

    plates = rows_of(tap, "SELECT image_id, ra, dec FROM plates.images ORDER BY image_id")
    mine = Table({key: [float(row[key]) for row in plates] for key in ("ra", "dec")})
    query = (
        "SELECT m.ra, i.image_id FROM TAP_UPLOAD.mine AS m"
        " JOIN plates.images AS i ON 1 = CONTAINS(POINT(m.ra, m.dec), i.s_region)"
    )
    service = pyvo.dal.TAPService(f"{tap.url}/tap")
    for ask in (service.run_sync, service.run_async):
        found = ask(query, uploads={"mine": mine})
        pairs = set(zip(found["ra"], found["image_id"], strict=True))
        assert {(float(row["ra"]), row["image_id"]) for row in plates} <= pairs


# ---------------------------------------------------------------------- astroquery


def test_tapplus(tap: Server, here: None, given: Path, places: list[dict[str, str]]) -> None:
    core = pytest.importorskip(
        "astroquery.utils.tap.core", reason="ASTROQUERY IS NOT INSTALLED: install the extra `client`"
    )
    client = core.TapPlus(url=f"{tap.url}/tap")
    tables = {table.get_qualified_name(): table for table in client.load_tables()}
    assert any(name.endswith("ztf.alerts") for name in tables), list(tables)
    assert "candid" in [column.name for column in client.load_table("ztf.alerts").columns]
    assert not any(table.columns for table in client.load_tables(only_names=True))
    query = "SELECT TOP 4 candid, jd FROM ztf.alerts ORDER BY candid"
    expected = [int(row["candid"]) for row in rows_of(tap, query)]
    for launch in (client.launch_job, client.launch_job_async):
        rows = launch(query).get_results()
        assert (rows.colnames, rows["candid"].tolist()) == (["candid", "jd"], expected)
        rows = launch(MATCH, upload_resource=str(given), upload_table_name="t1").get_results()
        assert list(zip(rows["mine"], rows["objectId"], strict=True)) == matched(places)
