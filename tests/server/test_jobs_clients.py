"""Programs that astronomers have, against the tree: pyvo, curl, and uws-client."""

from __future__ import annotations

import gc
import io
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests
from job_server import GATES, PATIENCE, JobServer

pytestmark = [pytest.mark.client, pytest.mark.embedded]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"))
    yield server
    server.stop()


@pytest.fixture
def gate() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    GATES.open(name)


# ---------------------------------------------------------------------- pyvo


# It does not read all of its answers, and then their connections are nobody's.
leaves_connections = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """Connections of pyvo, of which none is left for another test to stumble over."""
    with requests.Session() as opened:
        yield opened
    gc.collect()


@leaves_connections
def test_pyvo_reads_list_and_job(jobs: JobServer, gate: str, session: requests.Session) -> None:
    uws = pytest.importorskip("pyvo.io.uws", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    path = jobs.create({"GATE": gate, "RUNID": "of pyvo", "UNITS": 2, "PHASE": "RUN"})
    GATES.open(gate)
    jobs.until(path, "COMPLETED")
    job = uws.parse_job(io.BytesIO(session.get(f"{jobs.url}/soda/async{path}").content))
    assert (job.phase, job.runid, job.jobid) == ("COMPLETED", "of pyvo", path[1:])
    assert next(one.href for one in job.results) == f"{jobs.url}/soda/async{path}/results/lines"
    assert job.jobinfo["progress"]["done"].value == 2
    assert path[1:] in [
        one.jobid for one in uws.parse_job_list(io.BytesIO(session.get(f"{jobs.url}/soda/async").content))
    ]


@leaves_connections
def test_pyvo_runs_a_job_of_tap(jobs: JobServer, session: requests.Session) -> None:
    tap = pytest.importorskip("pyvo.dal.tap", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    job = tap.AsyncTAPJob.create(f"{jobs.url}/tap", "SELECT 1000", maxrec=7, session=session)
    assert (job.phase, job.uws_version) == ("PENDING", "1.1")
    job.query = "SELECT 2000"
    assert job.query == "SELECT 2000"
    job.execution_duration = 77
    assert job.execution_duration.to_value("s") == 77
    later = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    job.destruction = later.isoformat().replace("+00:00", "Z")
    assert job.destruction.datetime.replace(tzinfo=UTC) == later
    assert job.owner is None or not job.owner
    job.run().wait(timeout=PATIENCE)
    job.raise_if_error()
    assert job.phase == "COMPLETED"
    assert job.result_uri == f"{jobs.url}/tap/async/{job.job_id}/results/result"
    job.delete()
    assert jobs.ask(f"//tap/async/{job.job_id}").status == 404


@leaves_connections
def test_pyvo_tells_the_error_of_a_job(jobs: JobServer, session: requests.Session) -> None:
    tap = pytest.importorskip("pyvo.dal.tap", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    query = pytest.importorskip(
        "pyvo.dal.exceptions", reason="PYVO IS NOT INSTALLED: install the extra `client`"
    )
    job = tap.AsyncTAPJob.create(f"{jobs.url}/tap", "DUFF QUERY", session=session)
    job.run().wait(timeout=PATIENCE)
    assert job.phase == "ERROR"
    with pytest.raises(query.DALQueryError, match="DUFF QUERY"):
        job.raise_if_error()


@leaves_connections
def test_pyvo_uploads_a_table(jobs: JobServer, session: requests.Session) -> None:
    tap = pytest.importorskip("pyvo.dal.tap", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    job = tap.AsyncTAPJob.create(
        f"{jobs.url}/tap", "SELECT 1", uploads={"t1": io.BytesIO(b"<VOTABLE/>")}, session=session
    )
    stored = jobs.call(jobs.store.get(job.job_id))
    assert next(one.value for one in stored.parameters if one.id.upper() == "UPLOAD").startswith("t1,param:")
    [upload] = stored.uploads
    assert jobs.ask(f"//tap/async/{job.job_id}/parameters/{upload.name}").body == b"<VOTABLE/>"
    job.upload(t2=io.BytesIO(b"<VOTABLE>2</VOTABLE>"))
    assert len(jobs.call(jobs.store.get(job.job_id)).uploads) == 2


@leaves_connections
def test_pyvo_aborts(jobs: JobServer, gate: str, session: requests.Session) -> None:
    tap = pytest.importorskip("pyvo.dal.tap", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    path = jobs.create({"GATE": gate, "PHASE": "RUN"})
    jobs.until(path, "EXECUTING")
    job = tap.AsyncTAPJob(f"{jobs.url}/soda/async{path}", delete=False, session=session)
    job.abort()
    assert job.phase == "ABORTED"


# ---------------------------------------------------------------------- curl


def test_curl(jobs: JobServer, gate: str, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("CURL IS NOT INSTALLED")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [curl, "-sS", "--fail-with-body", *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        ).stdout

    targets = tmp_path / "targets.csv"
    targets.write_text("id,ra,dec\n" + "star,10.5,-3.25\n" * 100_000)
    tree = f"{jobs.url}/soda/async"
    url = run(
        tree,
        "-F",
        "DATA=@targets.csv",
        "-F",
        "PHASE=RUN",
        "-F",
        "RUNID=my run",
        "-o",
        os.devnull,
        "-w",
        "%{redirect_url}",
    )
    assert url.startswith(f"{tree}/")
    assert ">COMPLETED<" in run(f"{url}?WAIT=60&PHASE=EXECUTING") + run(f"{url}?WAIT=60")
    run("-O", "-J", f"{url}/results/lines")
    assert (tmp_path / "lines.txt").read_text() == f"[{targets.read_text()}|"
    # A download that was cut off goes on where it ended.
    whole = (tmp_path / "lines.txt").read_bytes()
    (tmp_path / "part").write_bytes(whole[:1000])
    run("-C", "-", "-o", "part", f"{url}/results/lines")
    assert (tmp_path / "part").read_bytes() == whole
    assert run(f"{tree}?LAST=1").count("<uws:jobref") == 1
    assert run("-X", "DELETE", url, "-o", os.devnull, "-w", "%{redirect_url}") == f"{tree}?LAST=100"
    assert (
        run("-o", os.devnull, "-w", "%{http_code}", "-X", "POST", tree, "-d", "PHASE=RUN&GATE=" + gate)
        == "303"
    )


# ---------------------------------------------------------------------- uws-client


@pytest.fixture(scope="module")
def uws_client(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The command of uws-client, which is of Python 2: an installed copy, converted."""
    found = find_spec("uws")
    if found is None or not found.submodule_search_locations or find_spec("lib2to3") is None:
        pytest.skip("UWS-CLIENT NOT TESTED: install the group `interop`, on Python 3.12 or older")
    folder = tmp_path_factory.mktemp("uws-client")
    shutil.copytree(
        next(iter(found.submodule_search_locations)), folder / "uws", ignore=shutil.ignore_patterns("tests")
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "lib2to3", "-w", "-n", "--no-diffs", str(folder / "uws")],
        check=True,
        capture_output=True,
    )

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from uws.cli.main import main; main()", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        )
        assert done.returncode == 0, done.stderr
        assert "An error occurred" not in done.stdout, done.stdout
        return done.stdout

    return run


def test_uws_client(jobs: JobServer, gate: str, uws_client: Callable[..., str]) -> None:
    host = ("-H", f"{jobs.url}/soda/async")
    shown = uws_client(
        *host, "job", "new", "--run", f"GATE={gate}", "UNITS=2", "RUNID=converted", "executionDuration=60"
    )
    found = re.search(r"Job ID: (\w+)", shown)
    assert found, shown
    job_id = found[1]
    jobs.until(f"/{job_id}", "EXECUTING")
    assert "EXECUTING" in uws_client(*host, "job", "phase", job_id)
    listed = uws_client(*host, "list", "--executing", "--last", "1")
    assert job_id in listed
    assert "1 jobs listed" in listed
    shown = uws_client(*host, "job", "show", job_id, "--wait", "1", "--phase", "executing")
    assert "converted" in shown
    assert re.search(r"Execution duration\s+60", shown)
    assert "successfully deleted" in uws_client(*host, "job", "delete", job_id)
    assert jobs.ask(f"/{job_id}").status == 404


def test_uws_client_changes_and_aborts(jobs: JobServer, gate: str, uws_client: Callable[..., str]) -> None:
    host = ("-H", f"{jobs.url}/soda/async")
    found = re.search(r"Job ID: (\w+)", uws_client(*host, "job", "new", f"GATE={gate}"))
    assert found
    job_id = found[1]
    assert "PENDING" in uws_client(*host, "job", "show", job_id)
    # A job that has results it cannot show: what is converted calls itself for ever where it would print them.
    assert "ABORTED" in uws_client(*host, "job", "abort", job_id)
